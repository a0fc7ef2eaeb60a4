//! Corosync.

pub mod api;
