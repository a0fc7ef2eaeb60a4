//! What can be computed exactly: queues, availability, checkpoints, losses; and the simulator beside it.
//!
//! The formulas are textbook (Erlang; birth-death processes; Young 1974 and Daly 2006) and use floats, which decisions of a run never do.
//! [`compare`] plays each case many times with the real engine and looks whether the mean lies within three standard errors.

pub mod availability;
pub mod checkpoint;
pub mod compare;
pub mod detection;
pub mod plant;
pub mod pool_queue;
pub mod queue_world;
pub mod queues;
