//! Floor 5: what must hold at every event.

mod cluster;
pub(crate) mod crm;
mod database;
pub mod invariants;
pub mod ledger;
mod pool;
