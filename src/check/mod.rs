//! Floor 5: what must hold at every event.

mod cluster;
mod database;
pub mod invariants;
pub mod ledger;
mod pool;
