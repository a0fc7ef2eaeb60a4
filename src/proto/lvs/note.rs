//! What a director tells: typed facts, the marks that they are, and their words.

use crate::engine::Span;
use crate::net::addr::{Endpoint, Ip};
use crate::say;
use std::sync::Arc;

/// A host by name, or by address if it has none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Who {
    /// Its name.
    Name(Arc<str>),
    /// Its address.
    Ip(Ip),
}
impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Who::Name(name) => f.pad(name),
            Who::Ip(ip) => std::fmt::Display::fmt(ip, f),
        }
    }
}

/// The names of addresses.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<[(Ip, Arc<str>)]>);
impl Names {
    /// These names.
    pub fn new(names: Vec<(Ip, Arc<str>)>) -> Self {
        Names(names.into())
    }
    /// Who has an address.
    pub fn of(&self, ip: Ip) -> Who {
        self.0.iter().find(|n| n.0 == ip).map_or(Who::Ip(ip), |n| Who::Name(n.1.clone()))
    }
}

/// How an attempt to check a server failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The connection was refused or reset.
    Refused,
    /// No answer within `connect_timeout`.
    Timeout(Span),
    /// No host answers for the address.
    Unreachable,
    /// The page had another status.
    Status(u16),
    /// The script said so.
    Script,
    /// The script took too long.
    ScriptTimeout(Span),
}
impl Failure {
    /// In words.
    pub fn text(self) -> String {
        match self {
            Failure::Refused => say!("lvs-refused"),
            Failure::Timeout(d) => say!("lvs-timeout", time = d),
            Failure::Unreachable => say!("lvs-unreachable"),
            Failure::Status(n) => say!("lvs-status", status = n),
            Failure::Script => say!("lvs-script"),
            Failure::ScriptTimeout(d) => say!("lvs-script-timeout", time = d),
        }
    }
}

/// Why a client goes to another server than before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MovedWhy {
    /// Its bucket of the hash was dealt anew.
    Bucket(usize),
    /// Its template had expired.
    Expired,
    /// Weight 0 ended its template.
    Quiescent,
    /// Its server has left the table.
    Gone,
}

/// A fact.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The fields are explained by the words of each fact.
pub enum Note {
    /// The checkers have filled the table.
    Started { services: u32, servers: u32, alpha: bool },
    /// The checkers stop and take their services out of the table.
    Stopping,
    /// An attempt to check a live server failed, and it will be repeated.
    Failing { server: Who, check: &'static str, how: Failure, again: Span, left: u32 },
    /// A server is down.
    Down { server: Who, check: &'static str, how: Failure, tries: u32, inhibit: bool, pooled: bool },
    /// A server is up.
    Up { server: Who, check: &'static str, weight: u32, pooled: bool },
    /// The quorum is lost; the sorry server, if there is one, takes all.
    QuorumLost { vip: Endpoint, quorum: u32, hysteresis: u32, sum: u64, sorry: Option<Who> },
    /// The quorum is there again.
    QuorumGained { vip: Endpoint, quorum: u32, hysteresis: u32, sum: u64, sorry: Option<Who> },
    /// keepalived runs a script of the user.
    Script { script: String, why: &'static str },
    /// A packet of a connection that the table does not have: the host itself answers it, with RST.
    NoEntry { client: Who, to: Endpoint },
    /// The first packet of a flow to a server that has left.
    Gone { client: Who, server: Who, expires: bool },
    /// Packets of such a flow pass again.
    Back { client: Who, server: Who },
    /// There is no server for a new connection.
    NoServer { vip: Endpoint, hashed: Option<(Who, Who)> },
    /// Persistence sends a client to a server of weight 0.
    Sticks { client: Who, server: Who },
    /// The first packet on an entry that the other director had sent.
    GoesOn { client: Who, server: Who },
    /// A client that a hash or a template kept on a server goes to another one.
    Moved { client: Who, from: Who, to: Who, why: MovedWhy },
    /// An operator gave a server another weight.
    Weight { server: Who, from: u32, to: u32 },
}

impl Note {
    /// The stable kind of mark that the fact is, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        Some(match self {
            Note::Started { .. } => "lvs_started",
            Note::Stopping => "stopping",
            Note::Failing { .. } => "detected",
            Note::Down { .. } => "backend_down",
            Note::Up { .. } => "backend_up",
            Note::QuorumLost { .. } => "quorum_lost",
            Note::QuorumGained { .. } => "quorum_gained",
            Note::Script { .. } => "script",
            Note::NoEntry { .. } => "no_entry",
            Note::Gone { .. } => "flow_stalled",
            Note::Back { .. } => "flow_resumed",
            Note::NoServer { .. } => "no_server",
            Note::Sticks { .. } => "sticks",
            Note::GoesOn { .. } => "flow_taken_over",
            Note::Moved { .. } => "remapped",
            Note::Weight { .. } => "weight",
        })
    }
    /// What happened and why, in words.
    pub fn text(&self) -> (String, String) {
        match self {
            Note::Started { services, servers, alpha } => {
                let why = if *alpha { "lvs-started-alpha" } else { "lvs-started-why" };
                (say!("lvs-started", services = services, servers = servers), say!(why))
            }
            Note::Stopping => (say!("lvs-stops"), say!("lvs-stops-why")),
            Note::Failing { server, check, how, again, left } => (
                say!("lvs-failing", server = server, check = check),
                say!("lvs-failing-why", how = how.text(), time = again, left = left),
            ),
            Note::Down { server, check, how, tries, inhibit, pooled } => {
                let what = match (pooled, inhibit) {
                    (false, _) => "lvs-down-unpooled",
                    (true, true) => "lvs-down-inhibit",
                    (true, false) => "lvs-down",
                };
                let why = if *tries > 1 { "lvs-down-tries" } else { "lvs-down-why" };
                (say!(what, server = server), say!(why, check = check, how = how.text(), tries = tries))
            }
            Note::Up { server, check, weight, pooled } => {
                let what = if *pooled { "lvs-up" } else { "lvs-up-unpooled" };
                (say!(what, server = server, weight = weight), say!("lvs-up-why", check = check))
            }
            Note::QuorumLost { vip, quorum, hysteresis, sum, sorry } => {
                let what = sorry.as_ref().map_or_else(
                    || say!("lvs-quorum-lost", vip = vip),
                    |s| say!("lvs-quorum-lost-sorry", vip = vip, server = s),
                );
                (what, say!("lvs-quorum-lost-why", sum = sum, quorum = quorum, hysteresis = hysteresis))
            }
            Note::QuorumGained { vip, quorum, hysteresis, sum, sorry } => {
                let what = sorry.as_ref().map_or_else(
                    || say!("lvs-quorum-gained", vip = vip),
                    |s| say!("lvs-quorum-gained-sorry", vip = vip, server = s),
                );
                (what, say!("lvs-quorum-gained-why", sum = sum, quorum = quorum, hysteresis = hysteresis))
            }
            Note::Script { script, why } => (say!("lvs-runs", script = script), say!(*why)),
            Note::NoEntry { client, to } => {
                (say!("lvs-no-entry", client = client), say!("lvs-no-entry-why", to = to))
            }
            Note::Gone { client, server, expires } => {
                let (what, why) = if *expires {
                    ("lvs-gone-ends", "lvs-gone-ends-why")
                } else {
                    ("lvs-gone", "lvs-gone-why")
                };
                (say!(what, client = client, server = server), say!(why, server = server))
            }
            Note::Back { client, server } => {
                (say!("lvs-back", client = client, server = server), say!("lvs-back-why"))
            }
            Note::NoServer { vip, hashed } => {
                let why = hashed.as_ref().map_or_else(
                    || say!("lvs-no-server-why"),
                    |(c, s)| say!("lvs-no-server-hash", client = c, server = s),
                );
                (say!("lvs-no-server", vip = vip), why)
            }
            Note::Sticks { client, server } => {
                (say!("lvs-sticks", client = client, server = server), say!("lvs-sticks-why"))
            }
            Note::GoesOn { client, server } => {
                (say!("lvs-goes-on", client = client, server = server), say!("lvs-goes-on-why"))
            }
            Note::Moved { client, from, to, why } => {
                let why = match why {
                    MovedWhy::Bucket(n) => say!("lvs-moved-bucket", bucket = n),
                    MovedWhy::Expired => say!("lvs-moved-expired"),
                    MovedWhy::Quiescent => say!("lvs-moved-quiescent"),
                    MovedWhy::Gone => say!("lvs-moved-gone", server = from),
                };
                (say!("lvs-moved", client = client, from = from, to = to), why)
            }
            Note::Weight { server, from, to } => {
                let why = if *to == 0 { "lvs-weight-zero" } else { "lvs-weight-why" };
                (say!("lvs-weight", server = server, from = from, to = to), say!(why))
            }
        }
    }
}
