//! Patroni: the HA loop, its REST interface, its watchdog.

mod callback;
pub mod config;
mod cycle;
pub mod dcs;
mod demote;
mod fetch;
mod flow;
mod follow;
mod guard;
mod manual;
mod member;
pub mod note;
pub mod process;
pub mod quorum;
mod race;
pub mod rest;
mod serve;
mod server;
mod slots;
mod sql;
pub mod state;
mod sync;

pub use config::Patroni;
pub use demote::Kind;
pub use process::Agent;

/// The port of the REST interface.
pub const REST_PORT: u16 = 8008;
