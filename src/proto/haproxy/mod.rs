//! A service behind the address: as much of HAProxy as a keepalived drill needs.

pub mod config;
pub mod note;
pub mod process;
