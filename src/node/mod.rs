//! Floor 3: hosts and their kernels, processes, and the world that they make.
//!
//! [`process`] is the interface that every protocol is written on. [`world`] is the state, [`kernel`] what moves it: power, timers,
//! datagrams, ARP; [`forward`] what it passes on; [`tcp`] and `stream` are TCP; [`log`] is what a run leaves behind.

mod ack;
pub mod disk;
pub mod forward;
pub mod kernel;
pub mod log;
pub mod power;
pub mod process;
mod stream;
pub mod tcp;
mod wire;
pub mod world;
