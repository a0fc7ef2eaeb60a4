//! A load-balancing director and its servers: [`table`] is IPVS in the kernel with its schedulers ([`schedule`]) and states ([`state`]),
//! [`checkers`] the part of keepalived that fills the table, [`sync`] the daemon that copies connections to the other director, [`server`]
//! a real server.

pub mod checkers;
pub mod config;
pub mod msg;
pub mod note;
pub mod schedule;
pub mod server;
pub mod state;
pub mod sync;
pub mod table;

pub use config::{Lvs, WebServer};
