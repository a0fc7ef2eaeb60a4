//! Applications: clients of a database with time-outs, retries, pools, and a name or an address to connect to.
//!
//! Sources: PostgreSQL documentation, "libpq: Database Connection Control Functions"; pgJDBC's "Initializing the Driver"; HikariCP's
//! configuration; resolv.conf(5); `java.security` for the caches of a JVM. **Not modelled:** TLS negotiation, authentication (the
//! server's process times stand for it), transactions of several statements, HikariCP's `keepaliveTime`, `initializationFailTimeout` and
//! thread affinity, the time that the program itself computes.

pub mod config;
mod dial;
mod driver;
pub mod note;
mod pool;
pub mod process;

pub use config::Application;
pub use driver::{Place, Setup, Target};
pub use process::App;
