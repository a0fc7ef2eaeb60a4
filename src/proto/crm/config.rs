//! The knobs of Pacemaker: the host's, the cluster's CIB in RON, and the times that no manual states.

use crate::engine::{Span, SpanRange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Pacemaker on a host: with Corosync on the same host, under one cluster-wide configuration (`pacemaker:` of the stack).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pacemaker {
    /// CPU time that the controller has used at the start: the second criterion of the DC election (more wins). Default 0 s.
    pub cpu_time: Span,
    /// `crm_feature_set`, the first criterion (the oldest wins). Default: that of the version, 3.16.1 or 3.20.0.
    pub feature_set: Option<String>,
    /// Node attributes (`crm_attribute -l forever`). Default: none.
    pub attributes: BTreeMap<String, String>,
    /// Capacity of the node. Default: none.
    pub utilization: BTreeMap<String, String>,
}

/// The cluster's configuration, as `pcs cluster cib` would show it, and the times of its processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// The version of Pacemaker: `2.1.5` or `3.0`. Default 2.1.5.
    pub version: String,
    /// `crm_config`: cluster properties by their names, such as `"no-quorum-policy": "stop"`. Default: none.
    pub properties: BTreeMap<String, String>,
    /// `rsc_defaults`: meta attributes of all resources. Default: none.
    pub rsc_defaults: BTreeMap<String, String>,
    /// `op_defaults`: for all operations. Default: none.
    pub op_defaults: BTreeMap<String, String>,
    /// `resources`. Default: none.
    pub resources: Vec<Resource>,
    /// `constraints`. Default: none.
    pub constraints: Vec<Constraint>,
    /// `fencing-topology`: levels by node. Default: none.
    pub fencing_topology: Vec<FencingLevel>,
    /// A CIB in XML instead of all the above: the text itself, or the path of a file, relative to the stack's. Its status is left out. Default: none.
    pub cib: Option<String>,
    /// Process times.
    pub times: Times,
}
impl Default for Cluster {
    fn default() -> Self {
        Cluster {
            version: "2.1.5".to_owned(),
            properties: BTreeMap::new(),
            rsc_defaults: BTreeMap::new(),
            op_defaults: BTreeMap::new(),
            resources: Vec::new(),
            constraints: Vec::new(),
            fencing_topology: Vec::new(),
            cib: None,
            times: Times::default(),
        }
    }
}
impl Cluster {
    /// The version in numbers.
    pub fn version(&self) -> (u32, u32, u32) {
        let mut parts = self.version.split('.').map(|p| p.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        (next(), next(), next())
    }
    /// The feature set of the version.
    pub fn feature_set(&self) -> &'static str {
        if self.version().0 >= 3 { "3.20.0" } else { "3.16.1" }
    }
    /// All primitives, wherever they stand.
    pub fn primitives(&self) -> Vec<&Primitive> {
        let mut all = Vec::new();
        for r in &self.resources {
            match r {
                Resource::Primitive(p) => all.push(p),
                Resource::Group(g) => all.extend(&g.primitives),
                Resource::Clone(c) => match &c.of {
                    Cloned::Primitive(p) => all.push(p),
                    Cloned::Group(g) => all.extend(&g.primitives),
                },
            }
        }
        all
    }
    /// Ids of all resources, collections included.
    pub fn ids(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.primitives().iter().map(|p| p.id.as_str()).collect();
        for r in &self.resources {
            match r {
                Resource::Primitive(_) => {}
                Resource::Group(g) => all.push(&g.id),
                Resource::Clone(c) => {
                    all.push(&c.id);
                    if let Cloned::Group(g) = &c.of {
                        all.push(&g.id);
                    }
                }
            }
        }
        all
    }
}

/// How long things take that depend on the machine, and draws that were measured. On an idle host unless changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Times {
    /// `pacemakerd` to its daemons being ready. Default 200 ms to 600 ms.
    pub startup: SpanRange,
    /// Counting the votes of others (nobody else: at once). Default 200 ms to 230 ms (measured).
    pub election: SpanRange,
    /// From the election won to the end of the join. Default 130 ms to 300 ms (measured).
    pub join: SpanRange,
    /// The scheduler's run, with the CIB sent to it and back. Default 20 ms to 90 ms.
    pub scheduler: SpanRange,
    /// Weights of 0, 1, 2, ... seconds lost by asking again for the CIB, after a loss of nodes that the DC survived. Default [2, 6, 14, 1]
    /// (measured).
    pub re_ask: Vec<u32>,
    /// The same for a new DC. Default [3, 14] (measured).
    pub re_ask_new_dc: Vec<u32>,
    /// The same after nodes have joined. Default [6, 3] (measured).
    pub re_ask_join: Vec<u32>,
}
impl Default for Times {
    fn default() -> Self {
        Times {
            startup: SpanRange::new(Span::ms(200), Span::ms(600)),
            election: SpanRange::new(Span::ms(200), Span::ms(230)),
            join: SpanRange::new(Span::ms(130), Span::ms(300)),
            scheduler: SpanRange::new(Span::ms(20), Span::ms(90)),
            re_ask: vec![2, 6, 14, 1],
            re_ask_new_dc: vec![3, 14],
            re_ask_join: vec![6, 3],
        }
    }
}

/// A resource: a primitive, a group, a clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resource {
    /// `<primitive>`.
    Primitive(Primitive),
    /// `<group>`.
    Group(Group),
    /// `<clone>`; with `meta: {"promotable": "true"}` its instances have two roles.
    Clone(CloneOf),
}

/// `<primitive>`: something that an agent starts and stops, or a fence device (`stonith:...`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Primitive {
    /// `id`: its name.
    pub id: String,
    /// Class, provider and type: `ocf:heartbeat:IPaddr2`, `ocf:heartbeat:pgsql` (the host's `Postgres`), `ocf:pacemaker:Dummy`,
    /// `ocf:pacemaker:Stateful`, `systemd:NAME` (a process of the host), `stonith:fence_ipmilan`.
    pub agent: String,
    /// Instance attributes. Default: none.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// Meta attributes. Default: none.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
    /// Operations. Default: none, so nothing is monitored.
    #[serde(default)]
    pub op: Vec<Operation>,
    /// What it takes of a node's capacity. Default: nothing.
    #[serde(default)]
    pub utilization: BTreeMap<String, String>,
    /// How long the agent takes. Default: by the agent, on an idle host.
    #[serde(default)]
    pub times: AgentTimes,
}

/// How long an agent's actions take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentTimes {
    /// `start`. Default 20 ms to 60 ms.
    pub start: Option<SpanRange>,
    /// `stop`. Default 20 ms to 60 ms.
    pub stop: Option<SpanRange>,
    /// `monitor`. Default 15 ms to 40 ms.
    pub monitor: Option<SpanRange>,
    /// `promote`. Default 20 ms to 60 ms.
    pub promote: Option<SpanRange>,
    /// `demote`. Default 20 ms to 60 ms.
    pub demote: Option<SpanRange>,
    /// One program that a script calls (`crm_attribute`, `crm_mon`, `psql`), for `ocf:heartbeat:pgsql`: its operations take as many of
    /// these as it calls programs, besides the above. Default 10 ms to 30 ms (estimate).
    pub command: Option<SpanRange>,
}

/// `<op>`: an operation and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// `name`: `monitor`, `start`, `stop`, `promote`, `demote`.
    pub name: String,
    /// `interval`. Default 0 s: not repeated.
    #[serde(default)]
    pub interval: Span,
    /// `timeout`. Default 20 s.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// `on-fail`. Default: `restart`; for `stop` `fence`, or `block` without fencing.
    #[serde(default)]
    pub on_fail: Option<String>,
    /// `role`: of a monitor, `Promoted` or `Unpromoted`. Default: any.
    #[serde(default)]
    pub role: Option<String>,
}

/// `<group>`: primitives that start in order on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// `id`: its name.
    pub id: String,
    /// Its members, in order.
    pub primitives: Vec<Primitive>,
    /// Meta attributes. Default: none.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
}

/// `<clone>`: instances on several nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloneOf {
    /// `id`: its name.
    pub id: String,
    /// What is cloned.
    pub of: Cloned,
    /// Meta attributes: `clone-max`, `promotable`, `interleave`, ... Default: none.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
}

/// What a clone is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // A few of a stack, and read once.
pub enum Cloned {
    /// A primitive.
    Primitive(Primitive),
    /// `<group>`: several.
    Group(Group),
}

/// A constraint, in the CIB's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // The fields are the attributes of the elements.
pub enum Constraint {
    /// `<rsc_location>`.
    Location {
        rsc: String,
        node: String,
        score: String,
        #[serde(default)]
        role: Option<String>,
        #[serde(default)]
        id: Option<String>,
    },
    /// `<rsc_colocation>`: `rsc` goes where `with_rsc` is. `score` defaults to INFINITY.
    Colocation {
        rsc: String,
        with_rsc: String,
        #[serde(default = "infinity")]
        score: String,
        #[serde(default)]
        rsc_role: Option<String>,
        #[serde(default)]
        with_rsc_role: Option<String>,
        #[serde(default)]
        id: Option<String>,
    },
    /// `<rsc_order>`: `kind` is Mandatory, Optional or Serialize; default Mandatory.
    Order {
        first: String,
        then: String,
        #[serde(default)]
        first_action: Option<String>,
        #[serde(default)]
        then_action: Option<String>,
        #[serde(default)]
        kind: Option<String>,
        #[serde(default)]
        symmetrical: Option<bool>,
        #[serde(default)]
        id: Option<String>,
    },
}
fn infinity() -> String {
    "INFINITY".to_owned()
}

/// `<fencing-level>`: at this level all these devices must succeed; the next level is tried when one fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FencingLevel {
    /// `target`: the node.
    pub target: String,
    /// `index`, 1 to 9.
    pub index: u8,
    /// `devices`.
    pub devices: Vec<String>,
}

/// What an operator asks of the cluster (`crm_resource`, `crm_standby`, `stonith_admin`, `pcs`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // The fields are explained by the words above each variant.
pub enum Operator {
    /// `crm_standby -v on`: nothing runs on the node.
    Standby { node: String },
    /// `crm_standby -D`.
    Unstandby { node: String },
    /// `pcs node maintenance`, or `unmaintenance`: what runs on the node is left alone.
    NodeMaintenance { node: String, on: bool },
    /// `crm_resource --move`: INFINITY for the node, until `Clear`; a ban of that node goes.
    Move { resource: String, to: String },
    /// `crm_resource --ban`: -INFINITY for the node, until `Clear`.
    Ban { resource: String, node: String },
    /// `crm_resource --clear`.
    Clear { resource: String },
    /// `crm_resource --cleanup`: fail counts go; where an operation has failed the history goes too, and the state is probed again.
    Cleanup { resource: String },
    /// `maintenance-mode=true`, or `false`.
    Maintenance { on: bool },
    /// `stonith_admin --reboot`.
    Fence { node: String },
    /// `crm_attribute -n NAME -v VALUE`: a cluster property.
    Property { name: String, value: String },
}
