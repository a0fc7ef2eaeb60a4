//! What a scheduling run works on: nodes, resources, constraints, actions, each in a list and named by its place there.

use super::cib::Cib;
use super::story::Tale;
use super::xml::Element;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A node's place in the list of nodes, which is sorted by name.
pub type NodeIx = usize;
/// A resource's place.
pub type RscIx = usize;
/// An action's place: the order in which actions were made.
pub type ActIx = usize;

/// The role of a resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Role {
    /// Not known, or not decided.
    #[default]
    Unknown,
    /// Not running.
    Stopped,
    /// Running.
    Started,
    /// Running, not promoted.
    Unpromoted,
    /// Promoted.
    Promoted,
}
impl Role {
    /// The role of a word, in today's and yesterday's terms.
    pub fn of(word: &str) -> Option<Role> {
        Some(match word.to_ascii_lowercase().as_str() {
            "unknown" => Role::Unknown,
            "stopped" => Role::Stopped,
            "started" => Role::Started,
            "unpromoted" | "slave" => Role::Unpromoted,
            "promoted" | "master" => Role::Promoted,
            _ => return None,
        })
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Role::Unknown => "Unknown",
            Role::Stopped => "Stopped",
            Role::Started => "Started",
            Role::Unpromoted => "Unpromoted",
            Role::Promoted => "Promoted",
        }
    }
}

/// Whether and where the state of a resource is looked up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Discovery {
    /// Everywhere.
    #[default]
    Always,
    /// Not here.
    Never,
    /// Only here.
    Exclusive,
}

/// What a table says of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slot {
    /// The score.
    pub score: i32,
    /// Instances of a clone that the passes of its placement have put here.
    pub count: i32,
    /// Discovery.
    pub discovery: Discovery,
}

/// The scores of a resource, by node. No entry: the node is not allowed at all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Table(pub Vec<Option<Slot>>);
impl Table {
    /// An empty table for so many nodes.
    pub fn new(nodes: usize) -> Table {
        Table(vec![None; nodes])
    }

    /// A copy. Counts are not copied.
    #[must_use]
    pub fn copy(&self) -> Table {
        Table(self.0.iter().map(|s| s.map(|s| Slot { count: 0, ..s })).collect())
    }

    /// The entry of a node.
    pub fn get(&self, node: NodeIx) -> Option<Slot> {
        self.0.get(node).copied().flatten()
    }

    /// The entry of a node, to change.
    pub fn slot(&mut self, node: NodeIx) -> Option<&mut Slot> {
        self.0.get_mut(node).and_then(Option::as_mut)
    }

    /// The nodes in it.
    pub fn nodes(&self) -> impl Iterator<Item = NodeIx> + '_ {
        self.0.iter().enumerate().filter(|(_, s)| s.is_some()).map(|(n, _)| n)
    }

    /// The entries.
    pub fn slots(&self) -> impl Iterator<Item = (NodeIx, Slot)> + '_ {
        self.0.iter().enumerate().filter_map(|(n, s)| s.map(|s| (n, s)))
    }
}

/// A node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // Independent facts, as the status reports them.
pub struct Node {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The score that a table entry made for it starts with.
    pub base: i32,
    /// Online.
    pub online: bool,
    /// Not known to be harmless.
    pub unclean: bool,
    /// May run nothing.
    pub standby: bool,
    /// What runs there is left alone.
    pub maintenance: bool,
    /// Not joined yet.
    pub pending: bool,
    /// Shutting down.
    pub shutdown: bool,
    /// It should be up.
    pub expected_up: bool,
    /// The coordinator.
    pub is_dc: bool,
    /// Its history has been read.
    pub unpacked: bool,
    /// Node attributes, permanent and transient.
    pub attributes: BTreeMap<String, String>,
    /// What is left of its capacity.
    pub utilization: BTreeMap<String, i32>,
    /// Resources placed on it so far.
    pub placed: i32,
    /// The sum of the priorities of what runs there.
    pub priority: i32,
    /// Reached by Pacemaker Remote: no member of the membership, online while its connection is.
    pub remote: bool,
    /// The resource that is the connection to it.
    pub connection: Option<RscIx>,
    /// Its attributes have been read, so that its name and id are among them.
    pub named: bool,
    /// It belongs to no cluster and runs nothing (`type="ping"`).
    pub ping: bool,
    /// Nothing has been seen of it.
    pub unseen: bool,
    /// What it runs counts as lost until it, or the guest that it is, has been reset.
    pub reset: bool,
    /// Its last fencing is on record.
    pub was_fenced: bool,
    /// Resources are not probed there (`resource-discovery-enabled=false`).
    pub undiscovered: bool,
    /// Its resource has not been read yet.
    pub absent: bool,
    /// The discovery that a table entry made for it starts with.
    pub discovery: Discovery,
}

/// The kind of a resource, in the order in which colocations prefer them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A primitive.
    Primitive,
    /// A group.
    Group,
    /// A clone.
    Clone,
    /// A bundle.
    Bundle,
}

/// An operation in the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OpConfig {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The interval, in milliseconds.
    pub interval: u64,
    /// The role it is for.
    pub role: Option<String>,
    /// Not switched off.
    pub enabled: bool,
    /// Everything said of it: its meta-attributes, then its XML attributes.
    pub meta: BTreeMap<String, String>,
    /// Instance attributes of its own.
    pub parameters: BTreeMap<String, String>,
}

/// What happens when a resource is found running twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MultipleActive {
    /// Stop everywhere, start once.
    #[default]
    StopStart,
    /// Stop everywhere.
    StopOnly,
    /// Leave it to the operator.
    Block,
    /// Stop all but the one that is where it should be.
    StopUnexpected,
}

/// What is special about a clone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // Settings and steps done, each its own.
pub struct CloneData {
    /// Instances.
    pub max: i32,
    /// Instances on one node.
    pub node_max: i32,
    /// Promoted instances.
    pub promoted_max: i32,
    /// Promoted instances on one node.
    pub promoted_node_max: i32,
    /// Instances start one after the other.
    pub ordered: bool,
    /// Instances made so far.
    pub total: i32,
    /// What is cloned.
    pub child: Option<Arc<Element>>,
    /// Promotion scores have been added.
    pub promotion_added: bool,
    /// Instances have been sorted for promotion.
    pub promotion_sorted: bool,
    /// The notifications around start, stop, promote, demote.
    pub notices: [Option<super::notify::Notice>; 4],
}

/// A resource.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::struct_excessive_bools)] // The scheduler's flags, each with its own life.
pub struct Rsc {
    /// Its id; instances have their number after a colon.
    pub id: String,
    /// The id in the configuration.
    pub xml_id: String,
    /// The name under which its history was found.
    pub history_name: Option<String>,
    /// The configuration.
    pub xml: Arc<Element>,
    /// The kind.
    pub kind: Kind,
    /// What it is in.
    pub parent: Option<RscIx>,
    /// What is in it.
    pub children: Vec<RscIx>,
    /// Meta-attributes.
    pub meta: BTreeMap<String, String>,
    /// The operations of the configuration.
    pub ops: Vec<OpConfig>,
    /// Its role now.
    pub role: Role,
    /// Its role next.
    pub next_role: Role,
    /// Priority.
    pub priority: i32,
    /// Stickiness.
    pub stickiness: i32,
    /// Failures after which a node is banned.
    pub migration_threshold: i32,
    /// Seconds after which failures are forgotten; 0: never.
    pub failure_timeout: i64,
    /// What happens when it runs twice.
    pub multiple: MultipleActive,
    /// Where it runs.
    pub running_on: Vec<NodeIx>,
    /// Where its state is known.
    pub known_on: Vec<bool>,
    /// Its scores.
    pub allowed: Table,
    /// Where it goes, and the score that this node had.
    pub assigned: Option<(NodeIx, i32)>,
    /// Its actions, oldest first.
    pub actions: Vec<ActIx>,
    /// Colocations in which it is the dependent one.
    pub with_others: Vec<usize>,
    /// Colocations in which others depend on it.
    pub others_with: Vec<usize>,
    /// Location constraints, newest first.
    pub locations: Vec<usize>,
    /// Tickets it needs.
    pub tickets: Vec<super::tickets::NeedsTicket>,
    /// What it takes from a node's capacity.
    pub utilization: BTreeMap<String, i32>,
    /// Sort index of promotion.
    pub sort_index: i32,
    /// What is special about a clone.
    pub clone: CloneData,
    /// Not placed yet.
    pub provisional: bool,
    /// Being placed.
    pub placing: bool,
    /// Its wishes are being merged.
    pub merging: bool,
    /// The cluster may start and stop it.
    pub managed: bool,
    /// Nothing may be done to it until the operator has looked.
    pub blocked: bool,
    /// In maintenance.
    pub maintenance: bool,
    /// Failed.
    pub failed: bool,
    /// Failed so that a stop is needed.
    pub needs_stop: bool,
    /// A failure was ignored.
    pub failure_ignored: bool,
    /// Not in the configuration.
    pub orphan: bool,
    /// Instances are told apart (also true outside clones).
    pub unique: bool,
    /// It can be promoted.
    pub promotable: bool,
    /// It wants notifications.
    pub notify: bool,
    /// Its wishes count for what it depends on.
    pub critical: bool,
    /// It can move live.
    pub allow_migrate: bool,
    /// It is a fence device.
    pub fence_device: bool,
    /// Starting it needs fencing to be done.
    pub needs_fencing: bool,
    /// Starting it needs quorum.
    pub needs_quorum: bool,
    /// A start is under way.
    pub start_pending: bool,
    /// It reloads.
    pub reload: bool,
    /// Actions of a restart are being made.
    pub restarting: bool,
    /// Stop all but the expected one.
    pub stop_unexpected: bool,
    /// Members start in order.
    pub ordered: bool,
    /// Members stay together.
    pub colocated: bool,
    /// Deprecated `restart-type=restart`.
    pub restart_type: bool,
    /// It may be probed only where a constraint says so.
    pub exclusive_discovery: bool,
    /// What is under way.
    pub pending: Option<(String, NodeIx)>,
    /// Nodes on which a migration left something behind.
    pub dangling: Vec<NodeIx>,
    /// A migration under way: from, to.
    pub migrating_from: Option<NodeIx>,
    /// A migration under way: to.
    pub migrating_to: Option<NodeIx>,
    /// The node that a shutdown lock ties it to, and since when.
    pub locked_to: Option<(NodeIx, i64)>,
    /// What it runs in.
    pub container: Option<RscIx>,
    /// What runs in it.
    pub fillers: Vec<RscIx>,
    /// It is the connection to a node of Pacemaker Remote.
    pub connection: bool,
    /// Milliseconds after which a lost connection is tried again; 0: at once.
    pub reconnect: u64,
    /// Its history names a container, and it is not in the configuration.
    pub orphan_filler: bool,
    /// It may run on another node than its container.
    pub nested: bool,
    /// What is special about a bundle.
    pub bundle: Option<Box<super::bundle::Bundle>>,
}

/// What an action needs before it may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Needs {
    /// Nothing.
    #[default]
    Nothing,
    /// Quorum.
    Quorum,
    /// All fencing done, and quorum.
    Fencing,
}

/// Facts about an action, as bits.
pub mod act {
    /// No agent is called.
    pub const PSEUDO: u32 = 1;
    /// Can run.
    pub const RUNNABLE: u32 = 1 << 1;
    /// Need not run.
    pub const OPTIONAL: u32 = 1 << 2;
    /// Belongs to the graph even if it need not run.
    pub const SHOWN: u32 = 1 << 3;
    /// Can run as part of a live migration.
    pub const MIGRATES: u32 = 1 << 4;
    /// Cleans up after a migration.
    pub const DANGLING: u32 = 1 << 5;
    /// Can run as soon as one of what is before it can.
    pub const ANY: u32 = 1 << 6;
    /// Is set up anew.
    pub const RESCHEDULE: u32 = 1 << 7;
    /// A walk over the graph is inside it.
    pub const TRACKING: u32 = 1 << 8;
    /// Is in the graph.
    pub const DUMPED: u32 = 1 << 9;
    /// The links before it are sorted.
    pub const SORTED: u32 = 1 << 10;
    /// Can be done by the coordinator.
    pub const BY_DC: u32 = 1 << 11;
}

/// Facts about an ordering, as bits.
pub mod ord {
    /// Deleted.
    pub const NONE: u32 = 0;
    /// Order only.
    pub const OPTIONAL: u32 = 1;
    /// Counts only if the first one does not migrate.
    pub const FIRST_NON_MIGRATABLE: u32 = 1 << 1;
    /// If the second must run, so must the first.
    pub const IMPLIES_FIRST: u32 = 1 << 2;
    /// If the first must run, so must the second.
    pub const IMPLIES_THEN: u32 = 1 << 3;
    /// If the second must run and is promoted, so must the first.
    pub const PROMOTED_IMPLIES_FIRST: u32 = 1 << 4;
    /// The first needs the second to be runnable and migrating.
    pub const IMPLIES_FIRST_MIGRATABLE: u32 = 1 << 5;
    /// The second can run only if the first can.
    pub const RUNNABLE_LEFT: u32 = 1 << 6;
    /// The second can be pseudo only if the first can run.
    pub const PSEUDO_LEFT: u32 = 1 << 7;
    /// If the first is stopped, the second restarts.
    pub const RESTART: u32 = 1 << 8;
    /// Not at the same time.
    pub const SERIALIZE: u32 = 1 << 9;
    /// Only on one node.
    pub const SAME_NODE: u32 = 1 << 10;
    /// If the second must run, the first is shown.
    pub const IMPLIES_FIRST_SHOWN: u32 = 1 << 11;
    /// If the first must run, the second is shown.
    pub const IMPLIES_THEN_SHOWN: u32 = 1 << 12;
    /// Only forwards.
    pub const ASYMMETRICAL: u32 = 1 << 13;
    /// Capacity is freed first.
    pub const LOAD: u32 = 1 << 14;
    /// One of many is enough.
    pub const ONE_OR_MORE: u32 = 1 << 15;
    /// Made by a colocation of -INFINITY.
    pub const ANTI_COLOCATION: u32 = 1 << 16;
    /// Kept in any case.
    pub const PRESERVE: u32 = 1 << 17;
    /// If the second must run, the first need not.
    pub const THEN_CANCELS_FIRST: u32 = 1 << 18;
    /// The second can run only if the first can; nothing if the first one's resource runs and will not be started.
    pub const PROBE: u32 = 1 << 19;
}

/// One end of an ordering between two actions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// The other action.
    pub other: ActIx,
    /// The kind.
    pub kind: u32,
    /// It is in the graph.
    pub dumped: bool,
}

/// An action.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Action {
    /// The resource.
    pub rsc: Option<RscIx>,
    /// What is done.
    pub task: String,
    /// `resource_task_interval`, or a name of its own.
    pub key: String,
    /// Where.
    pub node: Option<NodeIx>,
    /// Facts.
    pub flags: u32,
    /// The interval in milliseconds.
    pub interval: u64,
    /// What it needs.
    pub needs: Needs,
    /// Why.
    pub reason: Option<String>,
    /// The expected exit code.
    pub expected: Option<i32>,
    /// How a node is fenced.
    pub fencing: Option<String>,
    /// Fencing waits if the target is the more important side.
    pub delayed: bool,
    /// What is cancelled.
    pub cancels: Option<String>,
    /// Part of a notification: (type, operation).
    pub notice: Option<(String, String)>,
    /// A migration: from, to.
    pub migration: Option<(NodeIx, NodeIx)>,
    /// Its own priority.
    pub priority: i32,
    /// How many before it must be runnable.
    pub needed_before: i32,
    /// How many before it are.
    pub runnable_before: i32,
    /// What is ordered before it, oldest link first.
    pub before: Vec<Link>,
    /// What is ordered after it, oldest link first.
    pub after: Vec<Link>,
}
impl Action {
    /// Whether all of these facts hold.
    pub fn is(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }
}

/// A location constraint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    /// Its id, or that of its rule.
    pub id: String,
    /// The resource.
    pub rsc: RscIx,
    /// The nodes and their scores.
    pub nodes: Vec<(NodeIx, i32)>,
    /// Only for this role.
    pub role: Role,
    /// Discovery.
    pub discovery: Discovery,
}

/// A colocation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Colocation {
    /// Its id.
    pub id: String,
    /// What is placed with the other.
    pub dependent: RscIx,
    /// The other.
    pub primary: RscIx,
    /// Only this role of the dependent one.
    pub dependent_role: Role,
    /// Only this role of the other.
    pub primary_role: Role,
    /// The score.
    pub score: i32,
    /// The node attribute that must agree, instead of the node.
    pub attribute: Option<String>,
    /// The dependent's wishes count for the other.
    pub influence: bool,
}

/// One side of an ordering.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Side {
    /// The resource.
    pub rsc: Option<RscIx>,
    /// The key of its actions.
    pub key: Option<String>,
    /// Or one action.
    pub action: Option<ActIx>,
}

/// An ordering between actions that are to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// First.
    pub first: Side,
    /// Then.
    pub then: Side,
    /// The kind.
    pub kind: u32,
}

/// `no-quorum-policy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum QuorumPolicy {
    /// Stop everything.
    #[default]
    Stop,
    /// Keep what runs.
    Freeze,
    /// As if there were quorum.
    Ignore,
    /// Demote, and stop the rest.
    Demote,
    /// Fence everything.
    Suicide,
}

/// `placement-strategy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Strategy {
    /// Capacity does not count.
    #[default]
    Default,
    /// Capacity limits.
    Utilization,
    /// Capacity limits, few nodes.
    Minimal,
    /// Capacity limits, the freest node.
    Balanced,
}

/// The cluster's options.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // Options are switches.
pub struct Options {
    /// All that was set.
    pub set: BTreeMap<String, String>,
    /// The partition has quorum.
    pub quorum: bool,
    /// Without it.
    pub no_quorum: QuorumPolicy,
    /// Resources may run everywhere unless forbidden.
    pub symmetric: bool,
    /// Fencing is on.
    pub fencing: bool,
    /// There is something to fence with.
    pub fence_device: bool,
    /// How nodes are fenced.
    pub fence_action: String,
    /// Several at a time.
    pub concurrent_fencing: bool,
    /// `priority-fencing-delay`, in seconds.
    pub fencing_delay: i64,
    /// Nodes never seen are fenced.
    pub startup_fencing: bool,
    /// Unknown states are probed.
    pub probes: bool,
    /// Nothing may run.
    pub stop_all: bool,
    /// Nothing is touched.
    pub maintenance: bool,
    /// What is not configured is stopped.
    pub stop_orphans: bool,
    /// Monitors that are not configured are cancelled.
    pub stop_orphan_actions: bool,
    /// Histories are deleted after a stop.
    pub remove_after_stop: bool,
    /// Resources wait for their node after a clean shutdown.
    pub shutdown_lock: bool,
    /// For so many seconds.
    pub shutdown_lock_limit: i64,
    /// The strategy.
    pub strategy: Strategy,
    /// Scores of the health words red, yellow, green.
    pub health: [i32; 3],
    /// The batch limit of the graph; 0: none.
    pub batch_limit: i32,
}

/// One printed score.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Printed {
    /// By what: `assign`, `group`, `clone`, `promotion`.
    pub by: &'static str,
    /// The resource.
    pub rsc: String,
    /// The node; none for an instance that runs nowhere.
    pub node: Option<String>,
    /// The score.
    pub score: i32,
}

/// A remark on the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warning {
    /// The line, or 0.
    pub line: u32,
    /// The element.
    pub element: String,
    /// What is to be said.
    pub text: String,
}
impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: <{}>: {}", self.line, self.element, self.text)
    }
}

/// An operation that is compared with the configuration later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deferred {
    /// The resource.
    pub rsc: RscIx,
    /// The node.
    pub node: NodeIx,
    /// Its place in the status: node state, history, operation.
    pub op: (usize, usize, usize),
    /// It is the last failure.
    pub last_failure: bool,
}

/// A scheduling run.
#[derive(Clone, Debug)]
pub struct Sched {
    /// The CIB.
    pub cib: Arc<Cib>,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// Options.
    pub options: Options,
    /// `rsc_defaults`, `op_defaults`.
    pub rsc_defaults: Option<Arc<Element>>,
    /// `op_defaults`.
    pub op_defaults: Option<Arc<Element>>,
    /// Nodes, by name.
    pub nodes: Vec<Node>,
    /// Resources.
    pub rscs: Vec<Rsc>,
    /// The outermost ones, in the order in which they are placed.
    pub top: Vec<RscIx>,
    /// Resources of templates and tags.
    pub tags: BTreeMap<String, Vec<String>>,
    /// Tickets.
    pub tickets: BTreeMap<String, super::tickets::Ticket>,
    /// Location constraints, oldest first.
    pub locations: Vec<Location>,
    /// Colocations.
    pub colocations: Vec<Colocation>,
    /// Orderings.
    pub orders: Vec<Order>,
    /// Actions.
    pub acts: Vec<Action>,
    /// Actions without a resource, by key.
    pub singles: BTreeMap<String, ActIx>,
    /// Scores as printed.
    pub printed: Vec<Printed>,
    /// Stories of scores.
    pub tales: Vec<Tale>,
    /// Remarks.
    pub warnings: Vec<Warning>,
    /// When something will change by itself.
    pub recheck: Option<i64>,
    /// Expired recurring failures: (node, resource history, op id), which are scheduled anew.
    pub expired: Vec<(usize, usize, usize)>,
    /// Containers of bundles that a failure inside of them stops.
    pub to_stop: Vec<RscIx>,
    /// Histories that are compared with the configuration when addresses are known.
    pub deferred: Vec<Deferred>,
}
