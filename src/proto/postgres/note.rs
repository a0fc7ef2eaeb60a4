//! What PostgreSQL tells: typed facts with their numbers, the marks that they are, and their words.

pub use super::config::StopMode;
use super::msg::{Branch, Lsn, Place, Refusal, WriteId};
use crate::engine::Span;
use crate::net::addr::Ip;
use crate::say;
use std::sync::Arc;

/// A mode in words, with its signal.
fn stop_word(mode: StopMode) -> String {
    say!(match mode {
        StopMode::Smart => "pg-stop-smart",
        StopMode::Fast => "pg-stop-fast",
        StopMode::Immediate => "pg-stop-immediate",
    })
}

/// How a primary came to be one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    /// It was started after it had been shut down in order.
    Started {
        /// Its timeline.
        timeline: u32,
    },
    /// It recovered from a crash.
    Recovered {
        /// Its timeline.
        timeline: u32,
        /// How long that took, from the start.
        took: Span,
    },
    /// It was a standby and was promoted.
    Promoted {
        /// The timeline that it left.
        from: u32,
        /// Where.
        switch: Lsn,
    },
}

/// Why a walsender ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SenderGone {
    /// The connection ended.
    Closed,
    /// The standby did not reply for `wal_sender_timeout`.
    Timeout,
}

/// Why a walreceiver has no upstream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lost {
    /// The upstream closed the connection.
    Closed,
    /// The upstream does not know the connection, or nobody listens there.
    Reset,
    /// TCP gave up.
    NoAnswer,
    /// There is no such host.
    Unreachable,
    /// Nothing came for `wal_receiver_timeout`.
    Silent(Span),
    /// The upstream ended the stream: it is being shut down.
    Ended,
    /// The upstream does not send.
    Refused(Refusal),
    /// The upstream's timeline is lower than the standby's.
    Behind {
        /// The upstream's.
        theirs: u32,
        /// The standby's.
        mine: u32,
    },
    /// `primary_conninfo` was changed.
    Reconfigured,
    /// There is no room for what it gets.
    DiskFull,
}

/// Why a wait for standbys was cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitCut {
    /// The client cancelled it.
    Cancelled,
    /// The session is being ended.
    Terminated,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Note {
    /// A write is committed here: for whoever judges the run.
    Committed { write: WriteId, place: Place },
    /// The server takes writes.
    Primary { timeline: u32, branch: Branch, lsn: Lsn, opened: Opened },
    /// The server takes no more writes.
    Demoted { mode: StopMode },
    /// The server has ended by itself.
    Stopped { clean: bool },
    /// A stop waits for walsenders.
    StopWaits { standbys: String, timeout: Span },
    /// The server cannot start; `why` is the key of the message that says so.
    CannotStart { why: &'static str },
    /// The server breaks off.
    Panic { why: &'static str },
    /// WAL is replayed before anybody is let in.
    Recovery { bytes: u64, takes: Span, standby: bool },
    /// A standby lets clients read.
    HotStandby { timeline: u32, lsn: Lsn },
    /// A promotion has begun.
    Promoting { backlog: u64, takes: Span },
    /// A standby gets WAL.
    Streaming { from: Ip, timeline: u32, lsn: Lsn },
    /// A standby gets no WAL any more.
    ReceiverLost { why: Lost },
    /// A standby stands still.
    ReplayPaused { theirs: u32, mine: u32 },
    /// A standby is sent no WAL any more.
    SenderGone { name: Arc<str>, why: SenderGone, silent: Span },
    /// Commits wait for standbys that are not there.
    SyncBlocked { have: u32, need: u32 },
    /// They do not any more.
    SyncReleased,
    /// `synchronous_standby_names` has changed.
    NamesChanged { names: String },
    /// A wait for standbys was cut.
    WaitCut { place: Place, why: WaitCut },
    /// A slot lost its WAL.
    SlotInvalidated { slot: Arc<str> },
    /// The disk is full.
    DiskFull,
    /// Nobody else is let in.
    TooManyConnections { used: u32 },
}

fn mb(bytes: u64) -> String {
    format!("{}.{} MB", bytes >> 20, ((bytes & 0xF_FFFF) * 10) >> 20)
}

impl Refusal {
    fn words(&self) -> String {
        match self {
            Refusal::StartingUp => say!("pg-refused-starting"),
            Refusal::ShuttingDown => say!("pg-refused-stopping"),
            Refusal::OtherSystem => say!("pg-refused-system"),
            Refusal::Diverged { by_number: true, at } => say!("pg-refused-diverged", at = at),
            Refusal::Diverged { by_number: false, .. } => say!("pg-refused-hidden"),
            Refusal::Ahead(flush) => say!("pg-refused-ahead", flush = flush),
            Refusal::Removed(oldest) => say!("pg-refused-removed", oldest = oldest),
            Refusal::NoSlot => say!("pg-refused-no-slot"),
            Refusal::SlotActive => say!("pg-refused-slot-active"),
            Refusal::SlotInvalidated => say!("pg-refused-slot-lost"),
            Refusal::TooMany => say!("pg-refused-senders"),
        }
    }
}
impl Lost {
    fn words(&self) -> String {
        match self {
            Lost::Closed => say!("pg-lost-closed"),
            Lost::Reset => say!("pg-lost-reset"),
            Lost::NoAnswer => say!("pg-lost-no-answer"),
            Lost::Unreachable => say!("pg-lost-unreachable"),
            Lost::Silent(timeout) => say!("pg-lost-silent", timeout = timeout),
            Lost::Ended => say!("pg-lost-ended"),
            Lost::Refused(why) => why.words(),
            Lost::Behind { theirs, mine } => say!("pg-lost-behind", theirs = theirs, mine = mine),
            Lost::Reconfigured => say!("pg-lost-reconfigured"),
            Lost::DiskFull => say!("pg-disk-full"),
        }
    }
}

impl Note {
    /// The stable kind of mark, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        Some(match self {
            Note::Primary { opened: Opened::Promoted { .. }, .. } => "promoted",
            Note::Primary { opened: Opened::Recovered { .. }, .. } => "recovered",
            Note::Demoted { .. } => "demoted",
            Note::Stopped { .. } => "stopped",
            Note::Panic { .. } | Note::CannotStart { .. } => "failed",
            Note::Streaming { .. } => "rejoined",
            Note::ReceiverLost { why: Lost::Refused(Refusal::Diverged { .. }) | Lost::Behind { .. } } => {
                "diverged"
            }
            Note::ReceiverLost { .. } => "upstream_lost",
            Note::SenderGone { .. } => "standby_lost",
            Note::SyncBlocked { .. } => "sync_blocked",
            Note::SyncReleased => "sync_released",
            Note::WaitCut { .. } => "sync_cut",
            Note::SlotInvalidated { .. } => "slot_lost",
            Note::DiskFull => "disk_full",
            Note::Committed { .. }
            | Note::Primary { .. }
            | Note::StopWaits { .. }
            | Note::Recovery { .. }
            | Note::HotStandby { .. }
            | Note::Promoting { .. }
            | Note::ReplayPaused { .. }
            | Note::NamesChanged { .. }
            | Note::TooManyConnections { .. } => return None,
        })
    }
    /// What, and why, in words.
    pub fn text(&self) -> (String, String) {
        match self {
            Note::Committed { place, .. } => (say!("pg-committed", lsn = place.lsn), String::new()),
            Note::Primary { timeline, lsn, opened, .. } => {
                let why = match opened {
                    Opened::Started { .. } => say!("pg-primary-started"),
                    Opened::Recovered { took, .. } => say!("pg-primary-recovered", took = took),
                    Opened::Promoted { from, switch } => {
                        say!("pg-primary-promoted", from = from, switch = switch)
                    }
                };
                (say!("pg-primary", timeline = timeline, lsn = lsn), why)
            }
            Note::Demoted { mode } => (say!("pg-demoted"), stop_word(*mode)),
            Note::Stopped { clean } => {
                (say!("pg-stopped"), say!(if *clean { "pg-stopped-clean" } else { "pg-stopped-unclean" }))
            }
            Note::StopWaits { standbys, timeout } => {
                (say!("pg-stop-waits", standbys = standbys), say!("pg-stop-waits-why", timeout = timeout))
            }
            Note::CannotStart { why } => (say!("pg-cannot-start"), say!(*why)),
            Note::Panic { why } => (say!("pg-panic"), say!(*why)),
            Note::Recovery { bytes, takes, standby } => {
                let why = if *standby { "pg-recovery-standby" } else { "pg-recovery-crash" };
                (say!("pg-recovery", bytes = mb(*bytes), takes = takes), say!(why))
            }
            Note::HotStandby { timeline, lsn } => {
                (say!("pg-standby", timeline = timeline, lsn = lsn), say!("pg-standby-why"))
            }
            Note::Promoting { backlog, takes } => {
                (say!("pg-promoting"), say!("pg-promoting-why", backlog = mb(*backlog), takes = takes))
            }
            Note::Streaming { from, timeline, lsn } => {
                (say!("pg-streaming", from = from), say!("pg-streaming-why", timeline = timeline, lsn = lsn))
            }
            Note::ReceiverLost { why } => (say!("pg-receiver-lost"), why.words()),
            Note::ReplayPaused { theirs, mine } => {
                (say!("pg-paused"), say!("pg-paused-why", theirs = theirs, mine = mine))
            }
            Note::SenderGone { name, why, silent } => {
                let why = match why {
                    SenderGone::Closed => say!("pg-sender-closed"),
                    SenderGone::Timeout => say!("pg-sender-timeout", silent = Span::ms(silent.as_ms())),
                };
                (say!("pg-sender-gone", name = name), why)
            }
            Note::SyncBlocked { have, need } => {
                (say!("pg-sync-blocked"), say!("pg-sync-blocked-why", have = have, need = need))
            }
            Note::SyncReleased => (say!("pg-sync-released"), say!("pg-sync-released-why")),
            Note::NamesChanged { names } => (say!("pg-names", names = names), say!("pg-names-why")),
            Note::WaitCut { place, why } => {
                let why = match why {
                    WaitCut::Cancelled => say!("pg-cut-cancelled"),
                    WaitCut::Terminated => say!("pg-cut-terminated"),
                };
                (say!("pg-cut", lsn = place.lsn), why)
            }
            Note::SlotInvalidated { slot } => (say!("pg-slot-lost", slot = slot), say!("pg-slot-lost-why")),
            Note::DiskFull => (say!("pg-writes-fail"), say!("pg-disk-full")),
            Note::TooManyConnections { used } => (say!("pg-too-many"), say!("pg-too-many-why", used = used)),
        }
    }
}
