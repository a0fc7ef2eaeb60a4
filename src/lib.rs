//! firedrill: rehearse a failover before you have one.
pub mod engine;
pub mod node;
pub mod net;
pub mod proto;
pub mod scenario;
