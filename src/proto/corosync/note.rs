//! What Corosync and its quorum device tell.

use super::api::RingId;
use super::quorum::Because;
use crate::engine::{Span, Time};
use crate::say;
use std::sync::Arc;

/// Names of hosts, with commas.
type Names = Arc<str>;

/// Why a membership began to change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// The daemon has just been started.
    Start,
    /// The token did not come.
    TokenLost,
    /// A node said that it leaves.
    Leave(Names),
    /// A node that is not in the ring, or makes a new one, asked who is there.
    Join(Names),
    /// Another ring was heard.
    Merge(Names),
    /// This node could not receive what the others sent.
    FailedToReceive,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// A link to a node answers.
    LinkUp {
        /// The node.
        node: Names,
        /// Which link.
        link: u8,
        /// After so many answers.
        pongs: u32,
    },
    /// A link to a node does not answer.
    LinkDown {
        /// The node.
        node: Names,
        /// Which link.
        link: u8,
        /// For so long.
        silent: Span,
        /// Its timeout.
        patience: Span,
        /// The link that data goes over now.
        others: Option<u8>,
    },
    /// Most of the token timeout has passed.
    TokenWarning {
        /// Since the token was seen.
        silent: Span,
    },
    /// The token timeout has passed.
    TokenLost {
        /// The timeout.
        token: Span,
        /// What follows.
        consensus: Span,
        /// When the token was seen last.
        last: Time,
    },
    /// Not all have agreed in time.
    ConsensusTimeout {
        /// The timeout.
        waited: Span,
        /// Who has said nothing that fits.
        silent: Names,
    },
    /// A new ring stands.
    Membership {
        /// Its name.
        ring: RingId,
        /// Its members.
        members: Names,
        /// Who is new.
        joined: Names,
        /// Who is gone.
        left: Names,
        /// Who of them had not said so.
        failed: Names,
        /// How many they are.
        count: u32,
        /// How it began.
        why: Why,
    },
    /// The new ring is synchronised: it is of use.
    Synchronised {
        /// Its name.
        ring: RingId,
    },
    /// A node is not in the membership any more.
    NodeLost {
        /// The node.
        node: Names,
        /// It had said so.
        left: bool,
    },
    /// Quorum was gained or lost.
    Quorum {
        /// Which.
        has: bool,
        /// Votes.
        votes: u32,
        /// Votes needed.
        quorum: u32,
        /// By which rule.
        because: Because,
    },
    /// It waits for all nodes.
    WaitsForAll {
        /// Votes.
        votes: u32,
        /// Votes expected.
        expected: u32,
    },
    /// A new membership waits for the quorum device.
    DeviceWait {
        /// `sync_timeout`.
        at_most: Span,
    },
    /// The quorum device votes, or does not any more.
    DeviceVote {
        /// Which.
        votes: bool,
    },
    /// The quorum device has not polled in time.
    DeviceLost {
        /// `timeout`; else `sync_timeout`.
        waited: bool,
    },
    /// The process stood still.
    Paused {
        /// For so long.
        silent: Span,
    },
    /// `FAILED TO RECEIVE`.
    FailedToReceive,
    /// The device has a connection to its server.
    Connected,
    /// It has none.
    Disconnected {
        /// The server did not answer in time; else it closed.
        silent: bool,
    },
    /// The server gives the vote to these nodes.
    Vote {
        /// The nodes; empty: nobody.
        nodes: Names,
        /// By which rule.
        rule: Rule,
    },
    /// The server has not heard a node.
    ClientSilent {
        /// The node.
        node: Names,
        /// For so long.
        silent: Span,
    },
}

/// By which rule a server of quorum devices decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// More than half of the nodes.
    Majority,
    /// Nobody has half of the nodes.
    Nobody,
    /// More of the half's nodes are connected.
    Clients,
    /// They had the vote.
    Active,
    /// The tie breaker is one of them.
    TieBreaker,
    /// There is only one partition.
    OnlyOne,
    /// The largest partition.
    Largest,
    /// Others have the vote already.
    Newcomer,
}

/// The name of a ring, as the daemon's log writes it.
fn name(ring: RingId) -> String {
    format!("{:x}.{:x}", ring.rep.0, ring.seq)
}

impl Note {
    /// The stable kind of mark, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        match self {
            Note::TokenLost { .. } => Some("detected"),
            Note::Membership { .. } => Some("membership"),
            Note::NodeLost { .. } => Some("node_lost"),
            Note::Quorum { has: true, .. } => Some("quorum_gained"),
            Note::Quorum { has: false, .. } => Some("quorum_lost"),
            Note::LinkUp { .. } => Some("link_up"),
            Note::LinkDown { .. } => Some("link_down"),
            Note::Paused { .. } => Some("process_pause"),
            Note::WaitsForAll { .. } => Some("waits_for_all"),
            Note::DeviceWait { .. } => Some("waits_for_device"),
            Note::DeviceVote { votes: true } => Some("qdevice_vote"),
            Note::DeviceVote { votes: false } => Some("qdevice_no_vote"),
            _ => None,
        }
    }
    /// What, and why, in words.
    pub fn text(&self) -> (String, String) {
        let ms = |s: &Span| Span::ms(s.as_ms());
        match self {
            Note::LinkUp { node, link, pongs } => {
                (say!("coro-link-up", node = node, link = link), say!("coro-link-up-why", pongs = pongs))
            }
            Note::LinkDown { node, link, silent, patience, others } => {
                let (silent, patience) = (ms(silent), ms(patience));
                let why = match others {
                    Some(to) => say!("coro-link-down-other", silent = silent, patience = patience, to = to),
                    None => say!("coro-link-down-last", silent = silent, patience = patience),
                };
                (say!("coro-link-down", node = node, link = link), why)
            }
            Note::TokenWarning { silent } => {
                (say!("coro-token-warning", silent = ms(silent)), say!("coro-token-warning-why"))
            }
            Note::TokenLost { token, consensus, last } => {
                let why = say!("coro-token-lost-why", token = token, last = last, consensus = consensus);
                (say!("coro-token-lost"), why)
            }
            Note::ConsensusTimeout { waited, silent } => (
                say!("coro-consensus", silent = silent),
                say!("coro-consensus-why", silent = silent, waited = waited),
            ),
            Note::Membership { .. } => self.membership(),
            Note::Synchronised { ring } => {
                (say!("coro-synchronised", ring = name(*ring)), say!("coro-synchronised-why"))
            }
            Note::NodeLost { node, left } => {
                let why = if *left { say!("coro-node-left-why") } else { say!("coro-node-lost-why") };
                (say!("coro-node-lost", node = node), why)
            }
            Note::Quorum { has, votes, quorum, because } => {
                let what = if *has { say!("coro-quorum-gained") } else { say!("coro-quorum-lost") };
                let why = match because {
                    Because::TieBreaker => say!("coro-quorum-tie", votes = votes, quorum = quorum),
                    Because::TwoNode => say!("coro-quorum-two", votes = votes),
                    Because::Votes | Because::WaitForAll => {
                        say!("coro-quorum-votes", votes = votes, quorum = quorum)
                    }
                };
                (what, why)
            }
            Note::WaitsForAll { votes, expected } => {
                (say!("coro-wait-for-all"), say!("coro-wait-for-all-why", votes = votes, expected = expected))
            }
            Note::DeviceWait { at_most } => {
                (say!("coro-device-wait"), say!("coro-device-wait-why", most = at_most))
            }
            Note::DeviceVote { votes: true } => (say!("coro-device-votes"), say!("coro-device-votes-why")),
            Note::DeviceVote { .. } => (say!("coro-device-no-vote"), say!("coro-device-no-vote-why")),
            Note::DeviceLost { waited } => {
                let why = if *waited { say!("coro-device-lost-why") } else { say!("coro-device-lost-sync") };
                (say!("coro-device-lost"), why)
            }
            Note::Paused { silent } => (say!("coro-paused", silent = ms(silent)), say!("coro-paused-why")),
            Note::FailedToReceive => (say!("coro-failed-to-receive"), say!("coro-failed-to-receive-why")),
            Note::Connected => (say!("coro-qdevice-connected"), String::new()),
            Note::Disconnected { silent } => {
                let why = if *silent { say!("coro-qdevice-silent") } else { say!("coro-qdevice-closed") };
                (say!("coro-qdevice-disconnected"), why)
            }
            Note::Vote { nodes, rule } => {
                let why = rule.text();
                match nodes.is_empty() {
                    true => (say!("coro-qnetd-nobody"), why),
                    false => (say!("coro-qnetd-vote", nodes = nodes), why),
                }
            }
            Note::ClientSilent { node, silent } => {
                (say!("coro-qnetd-silent", node = node), say!("coro-qnetd-silent-why", silent = ms(silent)))
            }
        }
    }
    fn membership(&self) -> (String, String) {
        let Note::Membership { ring, members, joined, left, failed, count, why } = self else {
            return Default::default();
        };
        let mut text = say!("coro-membership", ring = name(*ring), count = count, members = members);
        if !joined.is_empty() {
            text = format!("{text}; {}", say!("coro-joined", nodes = joined));
        }
        if !left.is_empty() {
            text = format!("{text}; {}", say!("coro-left", nodes = left));
        }
        let mut because = match why {
            Why::Start => say!("coro-why-start"),
            Why::TokenLost => say!("coro-why-token"),
            Why::Leave(node) => say!("coro-why-leave", node = node),
            Why::Join(node) => say!("coro-why-join", node = node),
            Why::Merge(node) => say!("coro-why-merge", node = node),
            Why::FailedToReceive => say!("coro-why-receive"),
        };
        if !failed.is_empty() {
            because = format!("{because}; {}", say!("coro-why-failed", nodes = failed));
        }
        (text, because)
    }
}
impl Rule {
    fn text(self) -> String {
        match self {
            Rule::Majority => say!("coro-rule-majority"),
            Rule::Nobody => say!("coro-rule-nobody"),
            Rule::Clients => say!("coro-rule-clients"),
            Rule::Active => say!("coro-rule-active"),
            Rule::TieBreaker => say!("coro-rule-tie"),
            Rule::OnlyOne => say!("coro-rule-one"),
            Rule::Largest => say!("coro-rule-largest"),
            Rule::Newcomer => say!("coro-rule-newcomer"),
        }
    }
}
