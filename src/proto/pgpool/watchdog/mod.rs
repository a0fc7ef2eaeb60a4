//! pgpool's watchdog: pgpools that watch each other, elect a leader, agree on failovers, and hold a virtual address.
//!
//! Sources: the manual of 4.7, chapter "Watchdog" and "Server Configuration / Watchdog"; `src/watchdog/` of the same (`watchdog.c`,
//! `wd_lifecheck.c`, `wd_heartbeat.c`, `wd_escalation.c`, `wd_if.c`); what 4.3.5 did on a real cluster (`scenarios/validation/pgpool`).
//! Times are whole seconds of the wall clock where the original uses `gettimeofday` ([`config`]), else those of the knobs.
//!
//! Two mechanisms stand side by side: a mesh of TCP connections (port 9000) over which states, votes and beacons go, and the lifecheck,
//! which hears UDP heartbeats (port 9694) or asks queries ([`query`]), and tells its own watchdog who is dead. [`machine`] is the watchdog without a network, with
//! its loop, and `states` what each state does; [`quorum`], [`consensus`], [`lifecheck`] and [`escalation`] are rules of their own;
//! [`process`] puts them on the network, [`heart`] are the processes around it. [`msg`] is what they say, [`note`] what they tell.
//!
//! **Not modelled:** `wd_authkey`; several heartbeat devices; `wd_monitoring_interfaces_list` (all interfaces of a host count);
//! a blocking `write` to a dead peer; the comparison of configurations (only the window of votes travels); that a watchdog that waits
//! for its escalation process does nothing else meanwhile; clearing the shared query cache.

pub mod config;
pub mod consensus;
pub mod escalation;
pub mod heart;
pub mod lifecheck;
pub mod machine;
pub mod msg;
pub mod note;
pub mod process;
pub mod query;
pub mod quorum;
pub mod shm;
mod states;

pub use machine::Machine;
pub use process::Watchdog;
pub use shm::Shm;
