//! Patroni: the HA loop, its REST interface, its watchdog.

pub mod config;
pub mod dcs;
pub mod note;
pub mod process;
pub mod rest;

pub use config::Patroni;
pub use process::Agent;

/// The port of the REST interface.
pub const REST_PORT: u16 = 8008;
