//! firedrill: rehearse a failover before you have one.
//!
//! A deterministic discrete-event simulator of high-availability clusters, and a tool to teach with it. The map of the house is in
//! `ARCHITECTURE.md`; each module is a floor and uses only floors below it.

pub mod check;
pub mod cli;
pub mod engine;
pub mod experiment;
pub mod fault;
pub mod lang;
pub mod net;
pub mod node;
pub mod proto;
pub mod report;
pub mod scenario;
pub mod sim;
pub mod trace;
pub mod tui;
