//! Pacemaker's daemons on each host, every one a process of its own with its own name.
//!
//! | process | what it does | seed's name |
//! |---|---|---|
//! | `pacemakerd` ([`pacemakerd`]) | starts the others and starts them again | |
//! | `pacemaker-based` ([`based`]) | the CIB, the same on every node | |
//! | `pacemaker-fenced` ([`fenced`]) | fence devices, topology, delays | stonithd |
//! | `pacemaker-execd` ([`execd`]) | runs resource agents ([`agents`]) | LRM |
//! | `pacemaker-attrd` ([`attrd`]) | transient node attributes: fail counts, promotion scores | |
//! | `pacemaker-schedulerd` ([`schedulerd`]) | CIB in, transition graph out: [`super::pacemaker::schedule`] | policy engine |
//! | `pacemaker-controld` ([`controld`]) | membership, DC election, joins, transitions | CRM |
//!
//! Between nodes they speak over Corosync's process groups ([`super::corosync::api`], [`msg::Wire`]), on a host by datagrams over the loopback
//! interface ([`msg::Local`]), which stand for libqb's sockets: to a daemon that is dead they are lost, with one that stands still they wait.
//! That a daemon is gone is told to the others by `pacemakerd`, which stands for the end of their connections.
//!
//! Sources: Pacemaker 2.1.5, `lib/cluster/election.c`, `daemons/controld/` (`controld_join_dc.c`, `controld_schedulerd.c`, `controld_fencing.c`,
//! `controld_te_*.c`), `daemons/fenced/fenced_remote.c`, `daemons/execd/execd_commands.c`; the manual *Pacemaker Explained*. Measured figures:
//! `scenarios/validation/pacemaker`. Times without a source are parameters of the stack ([`config::Times`]).
//!
//! A daemon that is killed is started again by `pacemakerd` ([`config::Times::startup`]); what its death means for the others is told on the page of
//! each. Without its controller a node is unclean to its peers: it is fenced if their DC decides before it is back.
//!
//! **Not modelled:** remote and guest nodes, bundles, alerts, ACLs, `crm_shadow`; throttling by load (only `batch-limit`); the size of messages; an
//! operator's SIGTERM to a single daemon (they take theirs from `pacemakerd`, as after its death they go on); `attrd`'s own election of a writer (the
//! first of the group by id writes); dampening of attributes; the limit of 100 respawns and the killing of daemons that do not answer; the end of a
//! daemon while `pacemakerd` is dead is told to nobody; the immediate panic of `no-quorum-policy=suicide` beside SBD; Pacemaker's return after the end of
//! Corosync (an operator starts both).

pub mod agents;
pub mod attrd;
pub mod based;
pub mod cib;
pub mod config;
pub mod controld;
pub mod execd;
pub mod fenced;
pub mod msg;
pub mod note;
pub mod pacemakerd;
pub mod schedulerd;

pub use config::{Cluster, Pacemaker};

use super::Cx;
use crate::engine::{Span, SpanRange};
use crate::net::Plane;
use crate::net::addr::{Cidr, Endpoint, Ip};
use crate::node::disk::End;
use crate::node::process::{Action, Input, NetId, Pid};
use msg::{Daemon, Local};
use std::collections::BTreeMap;
use std::sync::Arc;

pub use super::corosync::api::NodeId;

/// What the files of a host hold for Pacemaker.
#[derive(Clone, Debug, Default)]
pub struct CrmFiles {
    /// `/var/lib/pacemaker/cib/cib.xml`: the configuration as it was saved last, and its version.
    pub cib: Option<msg::Versioned>,
    /// What agents leave under `/run`, and the kernel with them: by resource, gone with the power.
    pub run: BTreeMap<String, agents::RunFile>,
    /// What the agent `pgsql` keeps in its `tmpdir`, by resource: on the disk.
    pub pgsql: BTreeMap<String, agents::pgsql::TmpDir>,
    /// What is wrong with agents on this host: the operator's doing, or a fault's. Outlives everything until it is put right.
    pub broken: Vec<agents::Broken>,
}

/// What the daemons of a host know of their place.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// The name of the own node.
    pub name: Arc<str>,
    /// All nodes, by id.
    pub nodes: BTreeMap<NodeId, Arc<str>>,
    /// The own id.
    pub me: NodeId,
    /// The host's address, for the loopback datagrams.
    pub ip: Ip,
    /// The host's networks and its address on each.
    pub nets: Vec<(NetId, Cidr)>,
    /// Processes of the host that a resource may be: by name.
    pub services: BTreeMap<String, Pid>,
    /// The addresses of fence devices, by the names of their hosts.
    pub devices: BTreeMap<String, Ip>,
    /// Process times.
    pub times: config::Times,
    /// The draw of fencing delays and other differences: `(2, 1, 5)`.
    pub version: (u32, u32, u32),
    /// `SBD_WATCHDOG_TIMEOUT`, where `sbd` runs.
    pub watchdog: Option<Span>,
}
impl Place {
    /// The name of a node.
    pub fn name_of(&self, node: NodeId) -> Arc<str> {
        self.nodes.get(&node).cloned().unwrap_or_else(|| "?".into())
    }
    /// The id of a node.
    pub fn id_of(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().find(|(_, n)| ***n == *name).map(|(id, _)| *id)
    }
}

/// One of the daemons.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // One of each kind on a host, and all of them boxed.
pub enum Process {
    /// `pacemakerd`.
    Pacemakerd(pacemakerd::Pacemakerd),
    /// `pacemaker-based`.
    Based(based::Based),
    /// `pacemaker-fenced`.
    Fenced(fenced::Fenced),
    /// `pacemaker-execd`.
    Execd(execd::Execd),
    /// `pacemaker-attrd`.
    Attrd(attrd::Attrd),
    /// `pacemaker-schedulerd`.
    Schedulerd(schedulerd::Schedulerd),
    /// `pacemaker-controld`.
    Controld(controld::Controld),
}
impl Process {
    /// Handles one input.
    pub fn on(&mut self, input: Input<super::Msg>, cx: &mut Cx<'_>) {
        match self {
            Process::Pacemakerd(p) => p.on(input, cx),
            Process::Based(p) => p.on(input, cx),
            Process::Fenced(p) => p.on(input, cx),
            Process::Execd(p) => p.on(input, cx),
            Process::Attrd(p) => p.on(input, cx),
            Process::Schedulerd(p) => p.on(input, cx),
            Process::Controld(p) => p.on(input, cx),
        }
    }
    /// As it was before its start.
    pub fn reset(&mut self, end: End, files: &mut super::Files) {
        match self {
            Process::Pacemakerd(p) => p.reset(end, files),
            Process::Based(p) => p.reset(),
            Process::Fenced(p) => p.reset(),
            Process::Execd(p) => p.reset(),
            Process::Attrd(p) => p.reset(),
            Process::Schedulerd(p) => p.reset(),
            Process::Controld(p) => p.reset(),
        }
    }
}

/// Seconds from 1970 to the start of a run: 2026-01-01.
pub const EPOCH: i64 = 1_767_225_600;

/// The host's wall clock in seconds since 1970.
fn seconds(cx: &Cx<'_>) -> i64 {
    EPOCH + cx.wall_clock.div_euclid(1_000_000_000)
}

/// A time out of a range, from the process's own stream.
fn draw(cx: &mut Cx<'_>, range: SpanRange) -> Span {
    let width = range.max.0.saturating_sub(range.min.0);
    if width == 0 { range.min } else { Span(range.min.0 + cx.below(width + 1)) }
}

/// A number with these weights: `[2, 6, 14, 1]` draws 2 mostly.
fn weighted(cx: &mut Cx<'_>, weights: &[u32]) -> u64 {
    let sum: u64 = weights.iter().map(|w| u64::from(*w)).sum();
    if sum == 0 {
        return 0;
    }
    let mut left = cx.below(sum);
    for (n, w) in (0..).zip(weights) {
        if left < u64::from(*w) {
            return n;
        }
        left -= u64::from(*w);
    }
    0
}

/// Sends to a daemon of the own host.
fn tell(place: &Place, to: Daemon, what: Local, cx: &mut Cx<'_>) {
    let to = Endpoint::new(place.ip, to.port());
    let msg = super::Msg::Crm(Box::new(what));
    cx.act(Action::Send { from: Endpoint::new(place.ip, 0), to, net: None, plane: Plane::heartbeat, msg });
}
