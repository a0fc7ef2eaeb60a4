//! What Pacemaker's daemons say to each other: on a host ([`Local`]), and between nodes ([`Wire`]).

use super::{NodeId, config::Operator};
use crate::engine::Span;
use crate::proto::pacemaker::cib::{Cib, History, HistoryOp};
use crate::proto::pacemaker::notify::Lists;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A daemon of a host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Daemon {
    /// `pacemakerd`.
    Pacemakerd,
    /// `pacemaker-based`.
    Based,
    /// `pacemaker-fenced`.
    Fenced,
    /// `pacemaker-execd`.
    Execd,
    /// `pacemaker-attrd`.
    Attrd,
    /// `pacemaker-schedulerd`.
    Schedulerd,
    /// `pacemaker-controld`.
    Controld,
}
impl Daemon {
    /// The children of `pacemakerd`, in the order in which it starts them.
    pub const CHILDREN: [Daemon; 6] =
        [Daemon::Based, Daemon::Fenced, Daemon::Execd, Daemon::Attrd, Daemon::Schedulerd, Daemon::Controld];
    /// The name of the process.
    pub const fn name(self) -> &'static str {
        match self {
            Daemon::Pacemakerd => "pacemakerd",
            Daemon::Based => "pacemaker-based",
            Daemon::Fenced => "pacemaker-fenced",
            Daemon::Execd => "pacemaker-execd",
            Daemon::Attrd => "pacemaker-attrd",
            Daemon::Schedulerd => "pacemaker-schedulerd",
            Daemon::Controld => "pacemaker-controld",
        }
    }
    /// The port that stands for its socket.
    pub const fn port(self) -> u16 {
        55_410 + self as u16
    }
}

/// A CIB and its version (`epoch` counts changes of the configuration, `num_updates` those of the status since).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Versioned {
    /// `epoch`.
    pub epoch: u64,
    /// `num_updates`.
    pub updates: u64,
    /// The content.
    pub cib: Arc<Cib>,
}

/// Who wants an operation: the name of the DC, its transition, the action in it.
pub type ActionKey = (Arc<str>, i64, usize);

/// A change of the CIB.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // Fields are those of `<node_state>` and `<lrm_rsc_op>`.
pub enum Update {
    /// Facts about a node; `None` leaves one as it is.
    Node {
        node: Arc<str>,
        in_ccm: Option<bool>,
        crmd: Option<bool>,
        join: Option<&'static str>,
        expected: Option<&'static str>,
    },
    /// The result (or the beginning) of an operation.
    Op { node: Arc<str>, of: Arc<History>, op: Arc<HistoryOp>, by: ActionKey },
    /// The history of a resource on a node is deleted.
    EraseHistory { node: Arc<str>, rsc: String },
    /// One entry of a history is deleted.
    EraseOp { node: Arc<str>, rsc: String, id: String },
    /// All that the executor of a node knows.
    Lrm { node: Arc<str>, histories: Arc<[History]> },
    /// A transient attribute.
    Attribute { node: Arc<str>, name: String, value: Option<String> },
    /// A permanent attribute (`crm_attribute -l forever`).
    NodeAttribute { node: Arc<str>, name: String, value: String },
    /// The transient attributes of a node are gone with it.
    EraseAttributes { node: Arc<str> },
    /// Nothing is known of a node any more: histories and transient attributes.
    EraseNode { node: Arc<str> },
    /// Whether the partition has quorum, and who coordinates.
    Cluster { quorate: bool, dc: String },
    /// The operator changes the configuration.
    Config(Operator),
    /// Changes nothing: by it a controller sees that its own changes up to this number have been made.
    Mark { node: Arc<str>, number: u64 },
    /// The whole CIB is replaced.
    Replace(Versioned),
}

/// An operation for an executor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Op {
    /// The resource, without the number of an anonymous instance.
    pub rsc: String,
    /// `ocf:heartbeat:IPaddr2`, cut at the colons.
    pub agent: (Option<String>, Option<String>, Option<String>),
    /// What is done.
    pub task: String,
    /// The interval; zero if it is done once.
    pub interval: Span,
    /// When it is given up.
    pub timeout: Span,
    /// Instance attributes.
    pub params: BTreeMap<String, String>,
    /// The exit code that the transition expects.
    pub expected: i32,
    /// Who wants it: the name of the DC, its transition, the action in it.
    pub key: ActionKey,
    /// The key of the action (a notification has one of its own).
    pub action: String,
    /// Where a migration comes from and goes to.
    pub migration: Option<(String, String)>,
    /// What it is told of its clone, with `notify=true`.
    pub notify: Option<Lists>,
}

/// The answer of an executor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Done {
    /// What was done.
    pub op: Arc<Op>,
    /// The exit code of the agent (OCF).
    pub rc: i32,
    /// The executor's status: 0 done, 2 timed out, 4 error.
    pub status: i32,
    /// How long it took.
    pub took: Span,
}

/// An action of a transition graph.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Its key.
    pub key: String,
    /// What is done.
    pub task: String,
    /// The resource, as the scheduler names it.
    pub rsc: Option<String>,
    /// The node.
    pub node: Option<String>,
    /// No agent is called.
    pub pseudo: bool,
    /// What a fencing waits before it begins (`priority-fencing-delay`), in seconds.
    pub delay: i64,
    /// How a node is fenced.
    pub fencing: Option<String>,
    /// The actions that it waits for.
    pub after: Vec<usize>,
    /// It waits for something that is never done.
    pub stuck: bool,
    /// It begins even when the transition has been given up (priority INFINITY: what follows an action that has been done).
    pub urgent: bool,
    /// For an executor.
    pub op: Option<Arc<Op>>,
    /// What is cancelled: task and interval.
    pub cancels: Option<(String, Span)>,
}

/// What the scheduler answers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Graph {
    /// The actions.
    pub steps: Vec<Step>,
    /// The lines of the summary, with reasons.
    pub summary: Vec<Line>,
    /// `batch-limit`; 0: none.
    pub batch_limit: u32,
    /// When the scheduler wants to be asked again, in seconds since 1970.
    pub recheck: Option<i64>,
    /// Resources (without the numbers of instances) and nodes where their score is -INFINITY.
    pub forbidden: Arc<[(String, String)]>,
}

/// What happens to a resource or a node, and why: a line of the transition summary.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// `Start`, `Move`, `Fence (reboot)`, ...
    pub change: String,
    /// The resource, or the node that is fenced.
    pub what: String,
    /// From where, to where, roles.
    pub details: String,
    /// The scheduler's reason.
    pub reason: String,
    /// The scores that made the place, in words.
    pub story: String,
}

/// A fencing that somebody wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fencing {
    /// The node.
    pub target: Arc<str>,
    /// `reboot`, `off`, `on`.
    pub action: String,
    /// The delay that is asked for.
    pub delay: Span,
    /// `stonith-timeout`.
    pub timeout: Span,
}

/// Between daemons of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The fields are explained by the words above each variant.
pub enum Local {
    /// To `based`: answer with the CIB.
    Query { from: Daemon, re: u32 },
    /// From `based`: here it is.
    Cib { re: u32, cib: Versioned },
    /// To `based`: tell these changes to all.
    Change(Vec<Update>),
    /// From `based`: these changes have been made.
    Changed(Arc<[Update]>),
    /// To `schedulerd`.
    Schedule { re: u32, cib: Arc<Cib>, now: i64 },
    /// From `schedulerd`.
    Graph { re: u32, graph: Arc<Graph> },
    /// To `execd`: do this.
    Execute(Arc<Op>),
    /// To `execd`: no more of these.
    Cancel { rsc: String, task: String, interval: Span },
    /// From `execd` to `fenced`: is the device there?
    Monitor { device: String },
    /// From `fenced`: so it is, or not.
    Monitored { device: String, ok: bool },
    /// To `execd`: forget the resource.
    Forget { rsc: String },
    /// From `execd`: an operation is over.
    Executed(Done),
    /// To `attrd`: this transient attribute (`None` deletes; `++` counts one up).
    Attribute { node: Arc<str>, name: String, value: Option<String> },
    /// To `attrd`: all of a node whose names begin with this.
    ClearAttributes { node: Arc<str>, prefix: String },
    /// To `fenced`: fence.
    Fence(Fencing),
    /// From `fenced`: a node was fenced, or could not be (`Err`: why). `mine` says that it is the answer to `Fence`.
    Fenced { target: Arc<str>, action: String, by: Arc<str>, result: Result<(), FenceError>, mine: bool },
    /// From `pacemakerd`: this daemon is gone; the connections to it have ended.
    Gone(Daemon),
    /// From `pacemakerd`: end.
    Quit,
    /// To `controld`: leave the cluster in order; and back: done.
    Shutdown,
    /// An operator's command.
    Operator(Operator),
}

/// Why a fencing failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FenceError {
    /// No device can fence the node.
    NoDevice,
    /// The agents said no.
    Failed,
    /// `stonith-timeout` ran out.
    TimedOut,
}

/// Between nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The fields are explained by the words above each variant.
pub enum Wire {
    /// `based`: changes, the same for all in one order.
    Change(Vec<Update>),
    /// `controld`: elect me.
    Vote { round: u32, feature_set: [u32; 3], cpu: Span },
    /// `controld`: I am no candidate against this one.
    NoVote { to: NodeId, round: u32 },
    /// `controld`: here I am; is there a DC?
    Announce,
    /// `controld` of the DC: join me.
    Offer { join: u32 },
    /// `controld`: I join, and this is my CIB.
    JoinRequest { to: NodeId, join: u32, cib: Versioned },
    /// `controld` of the DC: you are in.
    Ack { to: NodeId, join: u32 },
    /// `controld`: and this is what my executor knows.
    Confirm { to: NodeId, join: u32, histories: Vec<History> },
    /// `controld` of the DC: do this.
    Do { to: NodeId, op: Arc<Op> },
    /// `controld` of the DC: cancel this.
    Cancel { to: NodeId, rsc: String, task: String, interval: Span, key: ActionKey },
    /// `controld` of the DC: delete what you know of this resource.
    Delete { to: NodeId, rsc: String, key: ActionKey },
    /// `controld`: it is done (what has no result in the CIB).
    Acted { to: NodeId, key: ActionKey },
    /// `controld`: I want to leave.
    ShutdownRequest,
    /// `controld` of the DC: nothing of yours runs any more, go.
    ShutdownNow { to: NodeId },
    /// `attrd`: an attribute.
    Attribute { node: NodeId, name: String, value: Option<String> },
    /// `fenced`: who can fence this node?
    WhoCan { id: u32, target: Arc<str>, action: String },
    /// `fenced`: I, with these devices (level, device, verified).
    ICan { to: NodeId, id: u32, devices: Vec<Candidate> },
    /// `fenced`: run this device.
    RunDevice { to: NodeId, id: u32, device: String, target: Arc<str>, action: String, delay: Span },
    /// `fenced`: its result.
    DeviceResult { to: NodeId, id: u32, device: String, ok: bool },
    /// `fenced`: the end of it.
    FenceResult { target: Arc<str>, action: String, by: Arc<str>, result: Result<(), FenceError> },
}

/// A device that a fencer has for a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Its id.
    pub device: String,
    /// Its levels in the topology, 1 to 9; 0 without a topology.
    pub level: u8,
    /// The fencer runs the device's resource: it has been seen to work.
    pub verified: bool,
    /// `pcmk_delay_base` for this node.
    pub delay_base: Span,
    /// `pcmk_delay_max`.
    pub delay_max: Span,
}
