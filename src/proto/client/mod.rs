//! Clients that measure what a service is worth to them.

pub mod config;
pub mod process;
