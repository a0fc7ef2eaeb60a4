//! What Pacemaker's daemons tell.

use super::agents::pgsql::Fact;
use super::msg::{Daemon, FenceError, Line};
use crate::engine::Span;
use crate::net::addr::Ip;
use crate::say;
use std::sync::Arc;

/// Why somebody wants a new transition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cause {
    /// Something in the CIB: a failure, an attribute, the configuration.
    Event,
    /// The recheck timer.
    Recheck,
    /// Nodes have joined.
    Joined,
    /// A new DC takes over.
    NewDc,
    /// Nodes are gone.
    Lost,
}

/// Why a node is not there any more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Gone {
    /// Not in Corosync's membership.
    Membership,
    /// Its controller is not in the group: it was killed, or ended in error.
    Process,
    /// It left in order.
    Left,
}

/// A fact.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The fields are explained by the words of each fact.
pub enum Note {
    CorosyncLost,
    Respawned(Daemon),
    LostDaemon(Daemon),
    NodeLost { node: Arc<str>, how: Gone },
    NodeJoined { node: Arc<str> },
    ElectionBegins { why: ElectionWhy },
    Elected { others: usize, cpu: Span },
    NoLongerDc { winner: Arc<str> },
    AskedAgain { times: u64, cause: Cause },
    Decided { line: Arc<Line>, quorate: bool },
    FenceRequested { target: Arc<str>, action: Arc<str>, delay: Span, reason: Arc<str> },
    FenceDelayed { target: Arc<str>, delay: Span, requested: Span, base: Span },
    AgentCalled { target: Arc<str>, device: Arc<str>, command: &'static str },
    WatchdogAwaited { target: Arc<str>, span: Span },
    Fenced { target: Arc<str>, action: Arc<str>, watchdog: bool },
    FenceFailed { target: Arc<str>, why: FenceError },
    FenceGivenUp { target: Arc<str>, times: u32 },
    ToldFenced { by: Arc<str> },
    Started { rsc: Arc<str>, took: Span, fence_device: bool },
    Stopped { rsc: Arc<str>, took: Span },
    Promoted { rsc: Arc<str>, took: Span },
    Demoted { rsc: Arc<str>, took: Span },
    OperationFailed { rsc: Arc<str>, task: Arc<str>, interval: Span, rc: i32, timed_out: bool },
    VipUp { ip: Ip, rsc: Arc<str> },
    VipDown { ip: Ip, rsc: Arc<str> },
    Pgsql { rsc: Arc<str>, fact: Fact },
    ShutsDown,
}

/// Why there is an election.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ElectionWhy {
    /// The DC is gone.
    DcGone(Arc<str>),
    /// `dc-deadtime` without a DC.
    NoDc(Span),
    /// Another DC.
    TwoDcs(Arc<str>),
    /// A worse one wants to be elected.
    Vote(Arc<str>),
}

impl Note {
    /// The stable kind of mark that the fact is, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        Some(match self {
            Note::CorosyncLost => "corosync_lost",
            Note::Respawned(_) => "respawned",
            Note::LostDaemon(_) => "daemon_lost",
            Note::NodeLost { .. } => "node_lost",
            Note::NodeJoined { .. } => "node_joined",
            Note::ElectionBegins { why: ElectionWhy::Vote(_) } => return None,
            Note::ElectionBegins { .. } => "election",
            Note::Elected { .. } => "leader_elected",
            Note::NoLongerDc { .. } => "leader_lost",
            Note::AskedAgain { .. } => "cib_asked_again",
            Note::Decided { .. } => "decided",
            Note::FenceRequested { .. } => "fence_requested",
            Note::FenceDelayed { .. } => "fence_delayed",
            Note::AgentCalled { .. } => "fence_agent",
            Note::WatchdogAwaited { .. } => "watchdog_awaited",
            Note::Fenced { .. } => "fenced",
            Note::FenceFailed { .. } => "fence_failed",
            Note::FenceGivenUp { .. } => "fence_given_up",
            Note::ToldFenced { .. } => "told_fenced",
            Note::Started { fence_device: true, .. } => return None,
            Note::Started { .. } => "resource_started",
            Note::Stopped { .. } => "resource_stopped",
            Note::Promoted { .. } => "promoted",
            Note::Demoted { .. } => "demoted",
            Note::OperationFailed { .. } => "resource_failed",
            Note::VipUp { .. } => "vip_up",
            Note::VipDown { .. } => "vip_down",
            Note::Pgsql { fact, .. } => return fact.mark(),
            Note::ShutsDown => "shuts_down",
        })
    }
    /// What happened and why, in words.
    pub fn text(&self) -> (String, String) {
        let plain = |s: String| (s, String::new());
        match self {
            Note::CorosyncLost => (say!("crm-corosync-lost"), say!("crm-corosync-lost-why")),
            Note::Respawned(d) => (say!("crm-respawned", daemon = d.name()), say!("crm-respawned-why")),
            Note::LostDaemon(d) => (say!("crm-lost-daemon", daemon = d.name()), say!("crm-lost-daemon-why")),
            Note::NodeLost { node, how } => {
                let why = match how {
                    Gone::Membership => say!("crm-node-lost-membership"),
                    Gone::Process => say!("crm-node-lost-process"),
                    Gone::Left => say!("crm-node-lost-left"),
                };
                (say!("crm-node-lost", node = node), why)
            }
            Note::NodeJoined { node } => (say!("crm-node-joined", node = node), say!("crm-node-joined-why")),
            Note::ElectionBegins { why } => {
                let why = match why {
                    ElectionWhy::DcGone(dc) => say!("crm-election-dc-gone", dc = dc),
                    ElectionWhy::NoDc(span) => say!("crm-election-no-dc", span = span),
                    ElectionWhy::TwoDcs(other) => say!("crm-election-two", other = other),
                    ElectionWhy::Vote(other) => say!("crm-election-vote", other = other),
                };
                (say!("crm-election"), why)
            }
            Note::Elected { others, .. } => {
                let why = if *others == 0 {
                    say!("crm-elected-alone")
                } else {
                    say!("crm-elected-why", others = others)
                };
                (say!("crm-elected"), why)
            }
            Note::NoLongerDc { winner } => {
                (say!("crm-no-longer-dc"), say!("crm-no-longer-dc-why", winner = winner))
            }
            Note::AskedAgain { times, .. } => {
                (say!("crm-asked-again", times = times), say!("crm-asked-again-why"))
            }
            Note::Decided { line, .. } => {
                let why = match (line.reason.is_empty(), line.story.is_empty()) {
                    (true, true) => String::new(),
                    (true, false) => say!("crm-decided-score", story = line.story),
                    (false, true) => say!("crm-decided-why", reason = line.reason),
                    (false, false) => say!("crm-decided-both", reason = line.reason, story = line.story),
                };
                (say!("crm-decided", change = line.change, what = line.what, details = line.details), why)
            }
            Note::FenceRequested { target, action, delay, reason } => {
                let why = if delay.is_zero() {
                    say!("crm-fence-requested-why", reason = reason)
                } else {
                    say!("crm-fence-requested-delay", reason = reason, delay = delay)
                };
                (say!("crm-fence-requested", target = target, action = action), why)
            }
            Note::FenceDelayed { target, delay, requested, base } => (
                say!("crm-fence-delayed", target = target, delay = delay),
                say!("crm-fence-delayed-why", requested = requested, base = base),
            ),
            Note::AgentCalled { target, device, command } => {
                plain(say!("crm-agent-called", target = target, device = device, command = command))
            }
            Note::WatchdogAwaited { target, span } => {
                (say!("crm-watchdog-awaited", target = target, span = span), say!("crm-watchdog-awaited-why"))
            }
            Note::Fenced { target, watchdog: false, action } => {
                (say!("crm-fenced", target = target, action = action), say!("crm-fenced-why"))
            }
            Note::Fenced { target, .. } => {
                (say!("crm-fenced-watchdog", target = target), say!("crm-fenced-watchdog-why"))
            }
            Note::FenceFailed { target, why } => {
                let why = match why {
                    FenceError::NoDevice => say!("crm-fence-no-device"),
                    FenceError::Failed => say!("crm-fence-agents-failed"),
                    FenceError::TimedOut => say!("crm-fence-timed-out"),
                };
                (say!("crm-fence-failed", target = target), why)
            }
            Note::FenceGivenUp { target, times } => {
                (say!("crm-fence-given-up", target = target), say!("crm-fence-given-up-why", times = times))
            }
            Note::ToldFenced { by } => (say!("crm-told-fenced", by = by), say!("crm-told-fenced-why")),
            Note::Started { rsc, took, .. } => {
                (say!("crm-started", rsc = rsc), say!("crm-took", took = took))
            }
            Note::Stopped { rsc, took } => (say!("crm-stopped", rsc = rsc), say!("crm-took", took = took)),
            Note::Promoted { rsc, took } => (say!("crm-promoted", rsc = rsc), say!("crm-took", took = took)),
            Note::Demoted { rsc, took } => (say!("crm-demoted", rsc = rsc), say!("crm-took", took = took)),
            Note::OperationFailed { rsc, task, timed_out: true, .. } => {
                (say!("crm-failed", rsc = rsc, task = task), say!("crm-failed-timeout"))
            }
            Note::OperationFailed { rsc, task, rc, interval, .. } => {
                let why = if interval.is_zero() {
                    say!("crm-failed-rc", rc = rc)
                } else {
                    say!("crm-failed-monitor", rc = rc, interval = interval)
                };
                (say!("crm-failed", rsc = rsc, task = task), why)
            }
            Note::VipUp { ip, rsc } => (say!("crm-vip-up", ip = ip), say!("crm-vip-why", rsc = rsc)),
            Note::VipDown { ip, rsc } => (say!("crm-vip-down", ip = ip), say!("crm-vip-why", rsc = rsc)),
            Note::Pgsql { rsc, fact } => fact.text(rsc),
            Note::ShutsDown => (say!("crm-shuts-down"), say!("crm-shuts-down-why")),
        }
    }
}
