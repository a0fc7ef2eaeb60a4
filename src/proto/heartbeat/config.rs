//! The knobs of a heartbeat node.

use crate::engine::time::{Span, SpanRange};
use crate::net::addr::{Cidr, Ip};
use serde::{Deserialize, Serialize};

/// A node of a generic heartbeat cluster: it works, or it watches the worker and races for the resource when it falls silent. The knobs
/// are those of `ha.cf`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Heartbeat {
    /// The resource: an address, which the worker has.
    pub vip: Option<Cidr>,
    /// The network of heartbeats and address. Default: the one that the address belongs to, or the first.
    pub interface: Option<String>,
    /// The worker sends a heartbeat this often. Default 2 s.
    pub keepalive: Span,
    /// After so long without a heartbeat the worker is taken for dead. Default 30 s.
    pub deadtime: Span,
    /// The same after the own start, when networks and the other nodes may still be on their way up. Default 120 s.
    pub initdead: Span,
    /// The port. Default 694.
    pub udpport: u16,
    /// How heartbeats travel. Default `Bcast`.
    pub transport: Transport,
    /// Who wins the race. Default `FirstToAnnounce`.
    pub race: Race,
    /// The place in the order, 1 is the best (`race: Priority`). Default 1.
    pub priority: u32,
    /// How much later each place in the order starts (`race: Priority`). Default 1 s.
    pub stagger: Span,
    /// The longest of the random waits (`race: RandomBackoff`). Default 1 s.
    pub backoff: Span,
    /// Between announcing and taking a racer listens for so long whether another one announces too. Default 0 s: the first wins at once.
    pub claim_wait: Span,
    /// Two workers hear each other: who yields? With `race: Priority` always the worse one. Default `LowerAddress`.
    pub conflict: Conflict,
    /// A node that comes back with a better priority gets the resource back (`race: Priority`). Default true.
    pub auto_failback: bool,
    /// What starting the resource takes, before the address is there. Default 0 s.
    pub start_time: SpanRange,
    /// What stopping it takes. Default 0 s.
    pub stop_time: SpanRange,
}
impl Default for Heartbeat {
    fn default() -> Self {
        Heartbeat {
            vip: None,
            interface: None,
            keepalive: Span::secs(2),
            deadtime: Span::secs(30),
            initdead: Span::secs(120),
            udpport: 694,
            transport: Transport::Bcast,
            race: Race::FirstToAnnounce,
            priority: 1,
            stagger: Span::secs(1),
            backoff: Span::secs(1),
            claim_wait: Span::ZERO,
            conflict: Conflict::LowerAddress,
            auto_failback: true,
            start_time: SpanRange::exactly(Span::ZERO),
            stop_time: SpanRange::exactly(Span::ZERO),
        }
    }
}

/// How heartbeats travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transport {
    /// Broadcast, 255.255.255.255.
    Bcast,
    /// To a multicast group, such as `Mcast("225.0.0.1")`.
    Mcast(Ip),
}
impl Transport {
    /// The address that heartbeats are sent to.
    pub const fn group(self) -> Ip {
        match self {
            Transport::Bcast => Ip::BROADCAST,
            Transport::Mcast(ip) => ip,
        }
    }
}

/// Who wins a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Race {
    /// Whoever announces first. All watchers counted from the same heartbeat, so that several announce together.
    FirstToAnnounce,
    /// The order of the priorities: each place waits one `stagger` longer.
    Priority,
    /// Everybody waits a random time up to `backoff`.
    RandomBackoff,
}

/// Who yields when two workers hear each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Conflict {
    /// The one with the lower address.
    LowerAddress,
    /// Nobody: both go on.
    Nobody,
}
