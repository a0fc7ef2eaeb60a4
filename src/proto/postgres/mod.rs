//! PostgreSQL as far as failover matters: WAL positions, streaming replication, commit acknowledgement, timelines, promotion, the stop
//! modes, crash recovery, `pg_rewind`.

pub mod config;
pub mod data;
pub mod msg;
pub mod note;
pub mod process;

pub use config::Postgres;
pub use data::DataDir;
pub use process::Postmaster;

/// The port.
pub const PORT: u16 = 5432;
