//! DNS: authoritative servers, recursive resolvers, and the caches between them and a program.

pub mod config;
pub mod msg;
pub mod note;
pub mod process;

pub use config::{Dns, Resolver};
pub use process::{Authority, Recursor};

/// The port.
pub const PORT: u16 = 53;
