//! PostgreSQL as far as failover matters: WAL positions, streaming replication, commit acknowledgement, timelines, promotion, the stop
//! modes, crash recovery, `pg_rewind`.
//!
//! Follows PostgreSQL 15 (what is said holds for 13 to 17 where nothing else is noted): its documentation, chapters "Reliability and the
//! Write-Ahead Log", "High Availability, Load Balancing, and Replication", "Shutting Down the Server", and its sources, which each file
//! names. One process stands for the postmaster and all that it forks. [`process`] is its life, `session` what clients see, `wal` the
//! log of a primary, `checkpoint` how far back recovery begins, `sender`, `receiver` and `replay` are streaming replication,
//! `transact` are transactions and `sync` whom their commits wait for, [`sql`] the language of statements, [`data`] the data directory, [`history`] the timelines, [`rewind`] what tools do to a directory.
//!
//! A write is a commit record with so many bytes of WAL before it; a read sees all that is committed up to a position. **Not modelled:**
//! the contents of tables (a checksum apart), row locks, vacuum, archives and `restore_command`, logical replication,
//! `hot_standby_feedback` and conflicts of long queries with replay, the crash of a single backend, `max_prepared_transactions` and the
//! other settings that a standby must match (`max_connections` stands for them), WAL that an idle primary writes by itself.

mod checkpoint;
pub mod config;
pub mod data;
pub mod history;
pub mod msg;
pub mod note;
pub mod process;
mod receiver;
mod replay;
pub mod rewind;
mod sender;
mod session;
pub mod sql;
mod sync;
mod transact;
pub mod view;
mod wal;

pub use config::Postgres;
pub use data::DataDir;
pub use process::{Postmaster, Setup};
pub use transact::TableState;

/// The port.
pub const PORT: u16 = 5432;
