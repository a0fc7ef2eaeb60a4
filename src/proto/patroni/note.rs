//! What Patroni tells: typed facts with their numbers, the marks that they are, and their words.

use super::demote::Kind;
use super::state::Role;
use crate::engine::{Span, Time};
use crate::net::addr::Ip;
use crate::say;
use std::sync::Arc;

/// What was told already, so that it is told once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Told {
    pub(super) leader: Option<Arc<str>>,
    pub(super) dcs_lost: bool,
    /// The version of `/config` that a cycle goes by, and the one whose times are in force.
    pub(super) config: (Option<u64>, Option<u64>),
    /// The lock was handed over while the server stopped.
    pub(super) released: bool,
}

/// Why a node steps back from the race.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The fields are explained by the words above each variant.
pub enum Lost {
    /// Another one was faster.
    TooLate,
    /// PostgreSQL is still starting.
    Starting,
    /// Its pre-promote script failed less than `ttl` ago.
    BackOff,
    /// The cluster is paused.
    Paused,
    /// It carries the tag.
    NoFailover,
    /// `/sync` does not list it.
    NotSync,
    /// `/failsafe` does not list it.
    NotInFailsafe,
    /// A watchdog is required and cannot be used.
    Watchdog,
    /// It is too far behind what the leader published last.
    Lag { lag: u64, most: u64 },
    /// Its timeline is older than the cluster's.
    OldTimeline { mine: u32, clusters: u32 },
    /// A primary answers.
    PrimaryAlive { name: Arc<str> },
    /// Another one has more WAL.
    Behind { name: Arc<str>, theirs: u64, mine: u64 },
    /// Another one has as much WAL and a higher priority.
    Priority { name: Arc<str>, theirs: i64, mine: i64 },
    /// Too few voters are not ahead.
    Quorum { votes: u32, needed: u32 },
    /// The operator wants another one, and that is healthy.
    Candidate { name: Arc<str> },
}

/// Why there is no watchdog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unusable {
    /// The host has none.
    NoDevice,
    /// `loop_wait` does not fit into its time.
    Slack,
}

/// The watchdog beside a renewal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dog {
    /// It counts.
    pub running: bool,
    /// Its time, or what it would be.
    pub timeout: Span,
    /// `ttl`.
    pub ttl: Span,
}

/// A fact. Reasons are keys of messages.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The fields are explained by the words above each variant.
pub enum Note {
    /// The times that Patroni goes by are not those that were set.
    Timing { ttl: Span, loop_wait: Span, retry_timeout: Span },
    /// It owns the leader key.
    Elected { why: &'static str },
    /// It does not own it any more.
    LeaderLost { why: &'static str },
    /// It deleted the leader key.
    KeyReleased,
    /// A replica sees that the leader key is gone.
    KeyGone { leader: Arc<str> },
    /// PostgreSQL is not running, though it should.
    PostgresDead { role: Role },
    /// It does not race, or lost the race.
    RaceLost { why: Lost },
    /// It promotes its PostgreSQL.
    Promoting { why: &'static str },
    /// It demotes its PostgreSQL.
    Demoting { kind: Kind, why: &'static str },
    /// The DCS did not answer for `retry_timeout`.
    DcsLost { retry: Span },
    /// It answers again.
    DcsBack,
    /// Without the DCS the primary goes on: all members agree.
    FailsafeAccepted { members: u32 },
    /// One does not agree, or does not answer.
    FailsafeRefused { by: Arc<str>, refused: bool },
    /// The watchdog counts.
    WatchdogArmed { timeout: Span },
    /// It was put away.
    WatchdogDisarmed,
    /// It cannot be used.
    WatchdogUnusable { why: Unusable, required: bool },
    /// The primary is started again where it crashed.
    StartingPrimary { timeout: Span },
    /// PostgreSQL is started as a standby.
    StartingReplica,
    /// It did not start.
    StartFailed,
    /// It did not say in time how it is.
    PostgresUnclear,
    /// The stop takes too long and is made harder.
    StopHarder { kill: bool },
    /// An operator's restart.
    Restarting,
    /// Crash recovery in single-user mode.
    CrashRecovery,
    /// Its history and the leader's have parted, and it may not be rewound.
    Diverged,
    /// The new primary has not had a checkpoint yet.
    RewindWaits { leader: Arc<str> },
    /// `pg_rewind` runs.
    Rewinding { from: Arc<str> },
    /// It ended.
    Rewound { from: Arc<str>, ok: bool },
    /// A base backup is taken.
    Cloning { from: Arc<str> },
    /// It is there.
    Cloned,
    /// A new cluster is initialised.
    Bootstrapping,
    /// That failed.
    BootstrapFailed,
    /// It streams from another one now.
    Following { leader: Arc<str> },
    /// A switchover begins.
    Switchover { candidate: Option<Arc<str>> },
    /// It cannot be done.
    SwitchoverRefused { why: &'static str },
    /// Its time is long over.
    SwitchoverStale,
    /// An operator's command was answered.
    Answered { status: u16, text: Arc<str> },
    /// The cluster is paused.
    Paused,
    /// It is not paused any more.
    Resumed,
    /// The pre-promote script failed.
    PrePromoteFailed,
    /// `/sync` lists these.
    SyncStandbys { standbys: Arc<str>, quorum: Option<u32> },
    /// The data belong to another cluster.
    SystemIdDiffers { own: Arc<str>, theirs: Arc<str> },
    /// The lock was renewed.
    Renewed(Dog),
    /// A callback took the virtual address.
    VipUp { vip: Ip },
    /// A callback gave it back.
    VipDown { vip: Ip },
    /// A callback sent a DNS update.
    DnsUpdate { name: Arc<str> },
}

fn s(d: Span) -> String {
    Time(d.0).to_string() + " s"
}

impl Lost {
    fn text(&self) -> String {
        match self {
            Lost::TooLate => say!("pat-lost-too-late"),
            Lost::Starting => say!("pat-lost-starting"),
            Lost::BackOff => say!("pat-lost-back-off"),
            Lost::Paused => say!("pat-lost-paused"),
            Lost::NoFailover => say!("pat-lost-nofailover"),
            Lost::NotSync => say!("pat-lost-not-sync"),
            Lost::NotInFailsafe => say!("pat-lost-not-failsafe"),
            Lost::Watchdog => say!("pat-lost-watchdog"),
            Lost::Lag { lag, most } => say!("pat-lost-lag", lag = lag, most = most),
            Lost::OldTimeline { mine, clusters } => {
                say!("pat-lost-timeline", mine = mine, clusters = clusters)
            }
            Lost::PrimaryAlive { name } => say!("pat-lost-primary", name = name),
            Lost::Behind { name, theirs, mine } => {
                say!("pat-lost-behind", name = name, theirs = theirs, mine = mine, by = theirs - mine)
            }
            Lost::Priority { name, theirs, mine } => {
                say!("pat-lost-priority", name = name, theirs = theirs, mine = mine)
            }
            Lost::Quorum { votes, needed } => say!("pat-lost-quorum", votes = votes, needed = needed),
            Lost::Candidate { name } => say!("pat-lost-candidate", name = name),
        }
    }
}

impl Note {
    /// The stable kind of mark, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        Some(match self {
            Note::Elected { .. } => "leader_elected",
            Note::LeaderLost { .. } => "leader_lost",
            Note::KeyReleased => "key_released",
            Note::KeyGone { .. } | Note::PostgresDead { .. } => "detected",
            Note::RaceLost { .. } => "race_lost",
            Note::Promoting { .. } => "failover_started",
            Note::Demoting { .. } => "demoting",
            Note::DcsLost { .. } => "dcs_lost",
            Note::DcsBack => "dcs_back",
            Note::FailsafeAccepted { .. } => "failsafe_accepted",
            Note::FailsafeRefused { .. } => "failsafe_refused",
            Note::WatchdogArmed { .. } => "watchdog_armed",
            Note::WatchdogDisarmed => "watchdog_disarmed",
            Note::WatchdogUnusable { .. } => "watchdog_unusable",
            Note::StartingPrimary { .. } => "restarting_primary",
            Note::Rewinding { .. } => "rewinding",
            Note::Rewound { .. } => "rewound",
            Note::Diverged => "no_rewind",
            Note::Switchover { .. } => "switchover",
            Note::Paused => "paused",
            Note::Resumed => "resumed",
            Note::VipUp { .. } => "vip_up",
            Note::VipDown { .. } => "vip_down",
            Note::DnsUpdate { .. } => "dns_update",
            _ => return None,
        })
    }
    /// What, and why, in words.
    pub fn text(&self) -> (String, String) {
        let plain = |what: String| (what, String::new());
        match self {
            Note::Timing { ttl, loop_wait, retry_timeout } => (
                say!(
                    "pat-timing",
                    ttl = s(*ttl),
                    loop_wait = s(*loop_wait),
                    retry_timeout = s(*retry_timeout)
                ),
                say!("pat-timing-why"),
            ),
            Note::Elected { why } => (say!("pat-elected"), say!(why)),
            Note::LeaderLost { why } => (say!("pat-leader-lost"), say!(why)),
            Note::KeyReleased => plain(say!("pat-key-released")),
            Note::KeyGone { leader } => plain(say!("pat-key-gone", leader = leader)),
            Note::PostgresDead { role } => {
                (say!("pat-postgres-dead", role = role.word()), say!("pat-postgres-dead-why"))
            }
            Note::RaceLost { why } => (say!("pat-race-lost"), why.text()),
            Note::Promoting { why } => (say!("pat-promoting"), say!(why)),
            Note::Demoting { kind, why } => (say!("pat-demoting", kind = kind.word()), say!(why)),
            Note::DcsLost { retry } => (say!("pat-dcs-lost"), say!("pat-dcs-lost-why", retry = s(*retry))),
            Note::DcsBack => plain(say!("pat-dcs-back")),
            Note::FailsafeAccepted { members } => {
                (say!("pat-failsafe-accepted"), say!("pat-failsafe-accepted-why", members = members))
            }
            Note::FailsafeRefused { by, refused } => {
                let why = if *refused { "pat-failsafe-refused-by" } else { "pat-failsafe-silent" };
                (say!("pat-failsafe-refused"), say!(why, name = by))
            }
            Note::WatchdogArmed { timeout } => plain(say!("pat-watchdog-armed", timeout = s(*timeout))),
            Note::WatchdogDisarmed => plain(say!("pat-watchdog-disarmed")),
            Note::WatchdogUnusable { why, required } => {
                let what = if *required { "pat-watchdog-unusable-required" } else { "pat-watchdog-unusable" };
                let why = match why {
                    Unusable::NoDevice => "pat-watchdog-no-device",
                    Unusable::Slack => "pat-watchdog-slack",
                };
                (say!(what), say!(why))
            }
            Note::StartingPrimary { timeout } => {
                (say!("pat-starting-primary"), say!("pat-starting-primary-why", timeout = s(*timeout)))
            }
            Note::StartingReplica => plain(say!("pat-starting-replica")),
            Note::StartFailed => plain(say!("pat-start-failed")),
            Note::PostgresUnclear => plain(say!("pat-postgres-unclear")),
            Note::StopHarder { kill } => {
                plain(if *kill { say!("pat-stop-kill") } else { say!("pat-stop-immediate") })
            }
            Note::Restarting => plain(say!("pat-restarting")),
            Note::CrashRecovery => plain(say!("pat-crash-recovery")),
            Note::Diverged => (say!("pat-diverged"), say!("pat-diverged-why")),
            Note::RewindWaits { leader } => plain(say!("pat-rewind-waits", leader = leader)),
            Note::Rewinding { from } => plain(say!("pat-rewinding", from = from)),
            Note::Rewound { from, ok: true } => plain(say!("pat-rewound", from = from)),
            Note::Rewound { from, ok: false } => plain(say!("pat-rewind-failed", from = from)),
            Note::Cloning { from } => plain(say!("pat-cloning", from = from)),
            Note::Cloned => plain(say!("pat-cloned")),
            Note::Bootstrapping => plain(say!("pat-bootstrapping")),
            Note::BootstrapFailed => plain(say!("pat-bootstrap-failed")),
            Note::Following { leader } => plain(say!("pat-following", leader = leader)),
            Note::Switchover { candidate: Some(c) } => plain(say!("pat-switchover-to", candidate = c)),
            Note::Switchover { candidate: None } => plain(say!("pat-switchover")),
            Note::SwitchoverRefused { why } => (say!("pat-switchover-refused"), say!(why)),
            Note::SwitchoverStale => plain(say!("pat-switchover-stale")),
            Note::Answered { status, text } => plain(say!("pat-answered", status = status, text = text)),
            Note::Paused => plain(say!("pat-paused")),
            Note::Resumed => plain(say!("pat-resumed")),
            Note::PrePromoteFailed => plain(say!("pat-pre-promote-failed")),
            Note::SyncStandbys { standbys, quorum: None } => plain(say!("pat-sync", standbys = standbys)),
            Note::SyncStandbys { standbys, quorum: Some(q) } => {
                plain(say!("pat-quorum", standbys = standbys, quorum = q))
            }
            Note::SystemIdDiffers { own, theirs } => {
                (say!("pat-system-id"), say!("pat-system-id-why", own = own, theirs = theirs))
            }
            Note::Renewed(dog) => plain(say!("pat-renewed", ttl = s(dog.ttl))),
            Note::VipUp { vip } => plain(say!("pat-vip-up", vip = vip)),
            Note::VipDown { vip } => plain(say!("pat-vip-down", vip = vip)),
            Note::DnsUpdate { name } => plain(say!("pat-dns-update", name = name)),
        }
    }
}
