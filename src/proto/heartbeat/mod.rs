//! The oldest picture of high availability: one node works and sends heartbeats by broadcast or multicast, the others watch; when nothing
//! has been heard for `deadtime` they race for the resource, the first wins, and the others watch it then.
//!
//! It has no quorum and no fencing: silence is taken for death. That is what it is here for. Beside it a student sees what each of the
//! others adds: VRRP orders the race by priority and says who yields; Corosync agrees on who is a member and which side of a cut is
//! allowed to go on; Pacemaker decides in one place and makes sure by fencing that the old worker has stopped.
//!
//! The knobs have the names of the oldest program of this kind, Linux-HA's heartbeat version 1 (`ha.cf`(5): `keepalive`, `deadtime`,
//! `initdead`, `udpport`, `bcast`, `mcast`, `auto_failback`), and the figures of its sample file; the resource is an address. What that
//! program did not have, a choice of race rules, has names of its own.
//!
//! **Times.** A worker that dies was heard last between 0 and `keepalive` ago, so that its successor starts
//! `deadtime - keepalive .. deadtime` after the death, plus its place in the race: 0 (`FirstToAnnounce`), `(priority - 1) x stagger`
//! (`Priority`), or 0 to `backoff` (`RandomBackoff`), plus `claim_wait`. An orderly stop is told: only the race is left. Two racers whose
//! claims cross (they announce less than one network delay apart) both win; with `claim_wait` above the delay they do not.
//!
//! **Not modelled:** heartbeats over serial lines, authentication (`authkeys`), membership and messages of version 2, resource groups
//! (`haresources`) beyond one address, STONITH of heartbeat (Pacemaker inherited it), `warntime`.

pub mod config;
pub mod node;
pub mod note;

pub use config::Heartbeat;
pub use node::Node;

/// What nodes send each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beat {
    /// The worker is alive; its priority.
    Alive(u32),
    /// The sender takes the resource; its priority.
    Claim(u32),
    /// The sender has given the resource back.
    Release,
}
