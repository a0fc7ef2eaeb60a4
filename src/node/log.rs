//! What happened: the entries that a run leaves behind, each with the event that it belongs to and that event's cause.

use super::process::{HostId, Pid};
use crate::engine::{EventId, Span, Time};
use crate::net::Plane;
use crate::net::addr::{Ip, Mac};

/// How much a run writes down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Nothing.
    Off,
    /// What is worth telling.
    Story,
    /// Every event and every frame as well: what `why` and the player walk through.
    Full,
}

/// Why a frame did not arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LostBy {
    /// A rule that the fault of this event installed.
    Rule(EventId),
    /// The network's own random loss.
    Chance,
    /// The receiver is off, booting, or stunned.
    HostDown,
    /// The sender's or the receiver's carrier is gone.
    NoCarrier,
    /// The receiver does not have the address (the sender's ARP cache is stale, or it has moved away).
    NotHere(Ip),
}

/// What a frame carries, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label {
    /// The plane.
    pub plane: Plane,
    /// The word.
    pub word: &'static str,
    /// A number that goes with it (the priority of an advert).
    pub number: u32,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What<N> {
    /// A process told something.
    Note(N),
    /// A fault fired: its number, counted from 1.
    Fault(u16, String),
    /// Something that a fault had done is over.
    Healed(u16, String),
    /// The host is up: its daemons start.
    Booted,
    /// A process started.
    Started,
    /// A process ended; killed, or by itself.
    Ended(bool),
    /// The watchdog was not fed in time: the host is reset. Since when it had not been fed.
    WatchdogReset(Span),
    /// The host stands still.
    Frozen,
    /// The host goes on after so long.
    Thawed(Span),
    /// An address was configured.
    AddressAdded(Ip),
    /// An address was taken away.
    AddressRemoved(Ip),
    /// The ARP entry for an address changed: from, to, and whether a gratuitous ARP did it.
    ArpMoved(Ip, Mac, Mac, bool),
    /// The ARP entry for an address failed: nobody answered.
    ArpFailed(Ip),
    /// For the first time a client waits in the accept queue of this port: every process that accepts there is busy.
    ClientsWait(u16),
    /// A SYN was dropped: the accept queue of this port is full, with so many in it.
    QueueFull(u16, u32),
    /// A frame arrived: from whom, when it had been sent.
    Frame(HostId, Time, Label),
    /// A frame was lost on the way to a host.
    Lost(HostId, Label, LostBy),
    /// A check began to fail, or holds again: an invariant's name, and what it saw.
    Violation(&'static str, String),
    /// The violation is over.
    ViolationOver(&'static str),
    /// An event without anything to tell (only on [`Level::Full`]).
    Event(&'static str),
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry<N> {
    /// The event during which it happened.
    pub event: EventId,
    /// The event during which that one was scheduled.
    pub cause: EventId,
    /// When.
    pub at: Time,
    /// Where.
    pub host: Option<HostId>,
    /// Which process.
    pub pid: Option<Pid>,
    /// What.
    pub what: What<N>,
}

/// The log of a run.
#[derive(Clone, Debug)]
pub struct Log<N> {
    /// How much is written down.
    pub level: Level,
    /// What was written down, oldest first.
    pub entries: Vec<Entry<N>>,
}
impl<N> Log<N> {
    /// An empty log.
    pub fn new(level: Level) -> Self {
        Log { level, entries: Vec::new() }
    }
}
