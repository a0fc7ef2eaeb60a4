//! Floor 1: the event loop over any model.
//!
//! Time is unsigned nanoseconds ([`time`]), order is (time, sequence) ([`sched`]), randomness is one ChaCha stream a name
//! ([`random`]), and any past moment is a keyframe plus replay ([`history`]). Nothing here knows hosts or networks.
//!
//! **Architecture invariant:** no hash container, wall clock, float, thread or I/O on this floor.

pub mod exponential;
pub mod history;
mod queue;
pub mod random;
pub mod sched;
pub mod time;

pub use sched::{Engine, EventId, Model, Scheduler, TimerId};
pub use time::{Chance, MS, SEC, Span, SpanRange, Time};
