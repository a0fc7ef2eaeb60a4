//! Invariants over clusters under Pacemaker.
//!
//! Whether a resource is active is asked of the host (an address of the kernel, a process, what an agent has left under `/run`), never of Pacemaker: a
//! cluster that is wrong about itself is what these invariants are for. A host that stands still is active: it goes on where it was.
//!
//! An **incident** lasts until the cluster is whole again: all nodes are awake, hear each other and stand in one membership, one of them is the DC and
//! idle, and no fencer has anything left to do. A **fencing** is a loss of power or links by a device that an agent had asked, a poison pill that was read,
//! a watchdog that `sbd` had ceased to feed, or one that a fencer has confirmed without any of these; a node that is taken down again by the same one
//! before it has booted counts once (two outlets, two levels).
//!
//! **Not looked at:** bundles, remote nodes, resources that come into the CIB during the run; which of its networks a node is cut off on: it is reachable
//! as long as some network that it shares with another carries frames.

use crate::engine::Time;
use crate::fault::{awake, roles};
use crate::net::Plane;
use crate::net::addr::Ip;
use crate::node::log::What;
use crate::node::process::{HostId, Pid};
use crate::node::world::{Life, Power};
use crate::proto::corosync::nodes::Nodes;
use crate::proto::crm::controld::{Controld, State};
use crate::proto::crm::note::Note as Told;
use crate::proto::crm::{NodeId, Process};
use crate::proto::pacemaker::xml::Element;
use crate::proto::{Daemon, Note, fence, sbd};
use crate::say;
use crate::scenario::types::Invariant;
use crate::sim::{LogEntry, World};
use std::sync::Arc;

/// All of them.
pub(super) const ALL: [Invariant; 7] = [
    Invariant::ActiveTwice,
    Invariant::StartedBeforeFence,
    Invariant::ForbiddenNode,
    Invariant::ServiceWithoutQuorum,
    Invariant::BothFenced,
    Invariant::SecondFence,
    Invariant::FenceAfterHeal,
];

/// What a host shows of a resource.
#[derive(Clone, Debug)]
enum Trace {
    /// An address.
    Address(Ip),
    /// A process.
    Service(Arc<str>),
    /// A database server: active while it runs, promoted while it accepts writes.
    Database,
    /// What the agent has left under `/run`.
    File,
}
/// A resource that is no fence device.
#[derive(Clone, Debug)]
struct Resource {
    id: Arc<str>,
    trace: Trace,
    /// It may be active on several nodes.
    cloned: bool,
    /// `promoted-max` of a promotable one.
    promoted_max: Option<usize>,
}
impl Resource {
    fn active(&self, world: &World, host: HostId) -> bool {
        let h = world.host(host);
        h.power == Power::On
            && match &self.trace {
                Trace::Address(ip) => h.addresses.iter().any(|(_, a)| a.ip == *ip),
                Trace::Service(name) => {
                    world.find_proc(host, name).is_some_and(|p| world.proc(p).life != Life::Dead)
                }
                Trace::Database => {
                    roles::postmaster(world, host).is_some_and(|(p, _)| world.proc(p).life != Life::Dead)
                }
                Trace::File => h.files.crm.run.get(&*self.id).is_some_and(|f| f.running),
            }
    }
    fn promoted(&self, world: &World, host: HostId) -> bool {
        let h = world.host(host);
        h.power == Power::On
            && match &self.trace {
                Trace::Database => roles::postmaster(world, host)
                    .is_some_and(|(pid, p)| world.proc(pid).life != Life::Dead && p.writable()),
                _ => h.files.crm.run.get(&*self.id).is_some_and(|f| f.promoted),
            }
    }
}

/// A node of the cluster.
#[derive(Clone, Debug)]
struct Node {
    host: HostId,
    id: NodeId,
    controld: Pid,
    /// Its controller when it was looked at last.
    was: Option<State>,
    /// It is awake, and it and all others that are awake hear each other.
    reachable: bool,
    /// It was not, at some time of this incident and since it has booted.
    cut_off: bool,
    /// The nodes (by place in the book) with which it heard each other at the last look.
    hears: u32,
}

/// Where a resource that may run once only was started.
#[derive(Clone, Debug)]
struct Placed {
    rsc: usize,
    host: HostId,
    /// The nodes that were in its membership when it stopped there, and so know it.
    stopped: Nodes,
}
/// An order to fence a node.
#[derive(Clone, Debug)]
struct Order {
    target: HostId,
    /// The DC that wants it; the node whose fencer calls an agent where no DC does.
    by: HostId,
    /// It has neither succeeded nor failed yet.
    open: bool,
    /// The node went down.
    done: bool,
}
/// A fencing.
#[derive(Clone, Debug)]
struct Shot {
    target: HostId,
    by: Option<HostId>,
    /// The target has booted since.
    over: bool,
}

/// What is remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    nodes: Vec<Node>,
    resources: Vec<Resource>,
    placed: Vec<Placed>,
    /// A resource, where it was started, and where it may still run.
    early: Option<(usize, HostId, HostId)>,
    orders: Vec<Order>,
    shots: Vec<Shot>,
    /// A node that was fenced although it was back, and by whom.
    late: Option<(HostId, Option<HostId>)>,
    /// A service has been without quorum since then, and nobody does anything.
    pub(super) without: Option<Time>,
}

fn pair<'a>(e: &'a Element, set: &'a str, name: &str) -> Option<&'a str> {
    e.all(set).flat_map(|s| s.all("nvpair")).find(|p| p.get("name") == Some(name))?.get("value")
}
/// The resources below an element of the CIB; `clone` is the clone that they are in.
fn walk(e: &Element, clone: Option<&Element>, into: &mut Vec<Resource>) {
    let clone = if e.name == "clone" { Some(e) } else { clone };
    if e.name == "primitive" && e.get("class") != Some("stonith") {
        let meta = |name: &str| clone.and_then(|c| pair(c, "meta_attributes", name));
        let kind = e.get("type").unwrap_or_default();
        let ip = pair(e, "instance_attributes", "ip").and_then(|ip| ip.parse().ok());
        let trace = match (e.get("class"), ip) {
            (Some("systemd" | "service" | "lsb"), _) => Trace::Service(kind.into()),
            (_, Some(ip)) if kind.starts_with("IPaddr") => Trace::Address(ip),
            _ if kind == "pgsql" => Trace::Database,
            _ => Trace::File,
        };
        let max = meta("promoted-max").or(meta("master-max")).and_then(|n| n.parse().ok()).unwrap_or(1);
        into.push(Resource {
            id: e.id().into(),
            trace,
            cloned: clone.is_some(),
            promoted_max: (meta("promotable") == Some("true")).then_some(max),
        });
    }
    e.children.iter().for_each(|c| walk(c, clone, into));
}

impl Book {
    /// The book of a world; empty if nobody runs Pacemaker.
    pub(crate) fn new(world: &World) -> Book {
        let mut book = Book::default();
        for host in roles::hosts(world) {
            let crm = |p: &Pid| if let Daemon::Crm(c) = &world.proc(*p).logic { Some(&**c) } else { None };
            let procs = &world.host(host).procs;
            let controld = procs.iter().find(|p| matches!(crm(p), Some(Process::Controld(_))));
            let id =
                roles::daemon(
                    world,
                    host,
                    |d| {
                        if let Daemon::Corosync(c) = d { Some(c.node()) } else { None }
                    },
                );
            if let (Some(controld), Some((_, id))) = (controld.copied(), id) {
                let node = Node { host, id, controld, was: None, reachable: true, cut_off: false, hears: 0 };
                book.nodes.push(node);
            }
            let based = procs.iter().find_map(crm).is_some() && book.resources.is_empty();
            let cib = procs.iter().find_map(|p| match crm(p) {
                Some(Process::Based(b)) if based => Some(b.cib()),
                _ => None,
            });
            if let Some(resources) = cib.and_then(|c| c.cib.root.find("resources")) {
                walk(resources, None, &mut book.resources);
            }
        }
        book
    }
    /// Whether there is a cluster to look at.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
    fn node(&self, host: HostId) -> Option<&Node> {
        self.nodes.iter().find(|n| n.host == host)
    }

    /// Whether a controller is in another state than at the last look.
    pub(crate) fn states_changed(&mut self, world: &World) -> bool {
        let mut changed = false;
        for n in &mut self.nodes {
            let now = controller(world, n).map(Controld::state);
            changed |= now != n.was;
            n.was = now;
        }
        changed
    }
    /// Takes in what an event told; whether anything that invariants look at has changed.
    pub(crate) fn take(&mut self, e: &LogEntry, world: &World) -> bool {
        let Some(host) = e.host else { return false };
        match &e.what {
            What::Note(Note::Crm(n)) => {
                self.told(n, host, world);
                true
            }
            What::Note(Note::Fence(fence::note::Note::Off { port, .. }))
            | What::Note(Note::Fence(fence::note::Note::OneOutlet { port })) => {
                let device = e.pid.map(|p| &world.proc(p).logic);
                let Some(Daemon::Fence(d)) = device else { return false };
                let Some(target) = d.behind(port).filter(|t| self.node(*t).is_some()) else { return false };
                let cut =
                    d.kind() == fence::config::DeviceKind::Switch || world.host(target).power != Power::On;
                if cut {
                    self.shot(target, None);
                }
                cut
            }
            What::Note(Note::Sbd(n)) if matches!(**n, sbd::note::Note::Pill { .. }) => {
                self.shot(host, None);
                true
            }
            What::WatchdogReset(_) => {
                let watched = roles::daemon(world, host, |d| matches!(d, Daemon::Sbd(_)).then_some(()));
                if watched.is_some() && self.node(host).is_some() {
                    self.shot(host, Some(host));
                }
                true
            }
            What::Booted => {
                self.shots.iter_mut().filter(|s| s.target == host).for_each(|s| s.over = true);
                self.nodes.iter_mut().filter(|n| n.host == host).for_each(|n| n.cut_off = false);
                false
            }
            _ => false,
        }
    }
    fn told(&mut self, note: &Told, host: HostId, world: &World) {
        let of = |book: &Book, rsc: &Arc<str>| book.resources.iter().position(|r| r.id == *rsc);
        match note {
            Told::Started { rsc, fence_device: false, .. } => {
                if let Some(r) = of(self, rsc).filter(|r| !self.resources[*r].cloned) {
                    self.started(r, host, world);
                }
            }
            Told::Promoted { rsc, .. } => {
                if let Some(r) = of(self, rsc) {
                    self.started(r, host, world);
                }
            }
            Told::Stopped { rsc, .. } | Told::Demoted { rsc, .. } => {
                let know = roles::corosync(world, host).map_or(Nodes::NONE, |c| c.members());
                let Some(r) = of(self, rsc) else { return };
                for p in self.placed.iter_mut().filter(|p| p.rsc == r && p.host == host) {
                    p.stopped = know;
                }
                let all: Nodes = self.nodes.iter().map(|n| n.id).collect();
                self.placed.retain(|p| !all.within(p.stopped));
            }
            Told::FenceRequested { target, .. } => {
                let Some(target) = world.find_host(target) else { return };
                self.orders.push(Order { target, by: host, open: true, done: false });
            }
            Told::AgentCalled { target, .. } => {
                let Some(target) = world.find_host(target) else { return };
                if !self.orders.iter().any(|o| o.target == target && o.open) {
                    self.orders.push(Order { target, by: host, open: true, done: false });
                }
            }
            Told::FenceFailed { target, .. } => self.close(world.find_host(target)),
            Told::Fenced { target, .. } => {
                let Some(t) = world.find_host(target) else { return };
                self.placed.retain(|p| p.host != t);
                self.early = self.early.filter(|e| e.2 != t);
                let down = |s: &Shot| s.target == t;
                let done = self.orders.iter().any(|o| o.target == t && o.open && o.done);
                if !done && !self.shots.iter().any(down) {
                    self.shot(t, Some(host));
                }
                self.close(Some(t));
            }
            Told::NodeJoined { node } => {
                let Some(h) = world.find_host(node) else { return };
                let there = |p: &Placed| self.resources[p.rsc].active(world, h);
                self.placed.retain(|p| p.host != h || there(p));
            }
            _ => {}
        }
    }
    /// A resource that may run once only (or be promoted once only) was started (or promoted).
    fn started(&mut self, r: usize, on: HostId, world: &World) {
        let members = roles::corosync(world, on).map_or(Nodes::NONE, |c| c.members());
        let me = self.node(on).map(|n| n.id);
        let unsure = self.placed.iter().find(|p| {
            let away = self.node(p.host).is_some_and(|n| !members.has(n.id));
            p.rsc == r && p.host != on && away && me.is_some_and(|me| !p.stopped.has(me))
        });
        if let Some(p) = unsure {
            self.early.get_or_insert((r, on, p.host));
        }
        self.placed.retain(|p| p.rsc != r || p.host != on);
        self.placed.push(Placed { rsc: r, host: on, stopped: Nodes::NONE });
    }
    /// What was ordered for a node has an end.
    fn close(&mut self, target: Option<HostId>) {
        self.orders.iter_mut().filter(|o| Some(o.target) == target).for_each(|o| o.open = false);
    }
    /// A node was fenced: by itself, or else by who has ordered it, or else by this one.
    fn shot(&mut self, target: HostId, by: Option<HostId>) {
        let open = self.orders.iter().rposition(|o| o.target == target && o.open);
        let last = open.or_else(|| self.orders.iter().rposition(|o| o.target == target));
        if let Some(o) = open {
            self.orders[o].done = true;
        }
        let by = if by == Some(target) { by } else { last.map_or(by, |o| Some(self.orders[o].by)) };
        if self.shots.iter().any(|s| s.target == target && s.by == by && !s.over) {
            return;
        }
        let heard =
            by.and_then(|by| self.nodes.iter().position(|n| n.host == by)).map_or(u32::MAX, |i| 1 << i);
        let back = self.node(target).is_some_and(|n| n.cut_off && n.reachable && n.hears & heard != 0);
        if back && by != Some(target) {
            self.late.get_or_insert((target, by));
        }
        self.shots.push(Shot { target, by, over: false });
    }

    /// Looks who is reachable, and whether the incident is over.
    pub(super) fn look(&mut self, world: &World) {
        for i in 0..self.nodes.len() {
            let me = self.nodes[i].host;
            let hear = |o: &Node| {
                world.hears(me, o.host, Plane::heartbeat) && world.hears(o.host, me, Plane::heartbeat)
            };
            let hears = (0..).zip(&self.nodes).filter(|(_, o)| o.host != me && hear(o));
            let hears = hears.fold(0, |all, (n, _): (u32, _)| all | 1 << n);
            let others = (0..).zip(&self.nodes).filter(|(_, o)| o.host != me && awake(world, o.host));
            let others = others.fold(0, |all, (n, _): (u32, _)| all | 1 << n);
            let reachable = awake(world, me) && others & !hears == 0;
            (self.nodes[i].reachable, self.nodes[i].hears) = (reachable, hears);
            self.nodes[i].cut_off |= !reachable;
        }
        if let Some((r, on, lost)) = self.early {
            let back = self.node(lost).is_some_and(|n| {
                roles::corosync(world, on).is_some_and(|c| c.settled() && c.members().has(n.id))
            });
            let rsc = &self.resources[r];
            let runs = if rsc.cloned { rsc.promoted(world, on) } else { rsc.active(world, on) };
            if back || !runs {
                self.early = None;
            }
        }
        let incident = !self.shots.is_empty() || self.nodes.iter().any(|n| n.cut_off);
        if incident && self.whole(world) {
            self.shots.clear();
            self.orders.clear();
            self.late = None;
            self.nodes.iter_mut().for_each(|n| n.cut_off = false);
        }
    }
    /// Whether the cluster is whole, and has nothing left to do.
    fn whole(&self, world: &World) -> bool {
        let all: Nodes = self.nodes.iter().map(|n| n.id).collect();
        let in_one =
            |n: &Node| roles::corosync(world, n.host).is_some_and(|c| c.settled() && c.members() == all);
        let count = |is: fn(&Controld) -> bool| {
            self.nodes.iter().filter(|n| controller(world, n).is_some_and(is)).count()
        };
        self.nodes.iter().all(|n| n.reachable && in_one(n))
            && count(|c| c.is_dc() && c.state() == State::Idle) == 1
            && count(|c| !c.is_dc() && c.state() == State::NotDc) + 1 == self.nodes.len()
            && !self.nodes.iter().any(|n| fences(world, n.host))
    }
}

/// Whether the fencer of a host has something to do.
fn fences(world: &World, host: HostId) -> bool {
    roles::daemon(world, host, |d| match d {
        Daemon::Crm(c) => match &**c {
            Process::Fenced(f) => Some(f.pending().next().is_some()),
            _ => None,
        },
        _ => None,
    })
    .is_some_and(|(_, busy)| busy)
}

/// The controller of a node, as far as it runs.
fn controller<'a>(world: &'a World, n: &Node) -> Option<&'a Controld> {
    match &world.proc(n.controld).logic {
        Daemon::Crm(c) if crate::fault::runs(world, n.controld) => match &**c {
            Process::Controld(c) => Some(c),
            _ => None,
        },
        _ => None,
    }
}

/// What is wrong, if the invariant does not hold just now.
pub(super) fn check(world: &World, book: &Book, i: Invariant) -> Option<String> {
    let name = |h: HostId| world.host(h).name.as_str();
    match i {
        Invariant::ActiveTwice => active_twice(world, book),
        Invariant::StartedBeforeFence => {
            let (r, on, lost) = book.early?;
            Some(say!("check-early-start", rsc = book.resources[r].id, on = name(on), lost = name(lost)))
        }
        Invariant::ForbiddenNode => forbidden(world, book),
        Invariant::ServiceWithoutQuorum => without_quorum(world, book),
        Invariant::BothFenced => {
            let back = |s: &&Shot, o: &Shot| s.by == Some(o.target) && o.by == Some(s.target);
            let both = |s: &&Shot| s.by != Some(s.target) && book.shots.iter().any(|o| back(s, o));
            let s = book.shots.iter().find(both)?;
            let by = s.by?;
            Some(say!("check-both-fenced", a = name(by), b = name(s.target)))
        }
        Invariant::SecondFence => (book.shots.len() > 1).then(|| {
            let list = book.shots.iter().map(|s| match s.by {
                Some(by) if by == s.target => say!("check-fenced-itself", target = name(s.target)),
                Some(by) => say!("check-fenced-by", target = name(s.target), by = name(by)),
                None => name(s.target).to_owned(),
            });
            let list: Vec<String> = list.collect();
            say!("check-second-fence", n = list.len(), list = list.join("; "))
        }),
        Invariant::FenceAfterHeal => {
            let (target, by) = book.late?;
            let by = by.map_or_else(|| say!("check-nobody"), |b| name(b).to_owned());
            Some(say!("check-fence-after-heal", target = name(target), by = by))
        }
        _ => None,
    }
}

fn active_twice(world: &World, book: &Book) -> Option<String> {
    book.resources.iter().find_map(|r| {
        let active = |h: &HostId| r.active(world, *h);
        let promoted = |h: &HostId| r.promoted(world, *h);
        let hosts = || book.nodes.iter().map(|n| n.host);
        let names = |hosts: &mut dyn Iterator<Item = HostId>| {
            hosts.map(|h| world.host(h).name.as_str()).collect::<Vec<_>>().join(&say!("and"))
        };
        if !r.cloned && hosts().filter(active).count() > 1 {
            return Some(say!("check-active-twice", rsc = r.id, names = names(&mut hosts().filter(active))));
        }
        let many = r.promoted_max.is_some_and(|max| hosts().filter(promoted).count() > max);
        many.then(|| say!("check-promoted-twice", rsc = r.id, names = names(&mut hosts().filter(promoted))))
    })
}

/// The DC of a partition is idle although a resource is where its last plan says -INFINITY.
fn forbidden(world: &World, book: &Book) -> Option<String> {
    let dcs = book.nodes.iter().filter_map(|n| Some((n, controller(world, n)?)));
    let mut idle = dcs.filter(|(_, c)| c.is_dc() && c.state() == State::Idle);
    idle.find_map(|(dc, c)| {
        let members = roles::corosync(world, dc.host)?.members();
        c.forbidden().iter().find_map(|(rsc, node)| {
            let n = book.nodes.iter().find(|n| world.host(n.host).name == *node)?;
            let r = book.resources.iter().find(|r| *r.id == **rsc)?;
            (members.has(n.id) && awake(world, n.host) && r.active(world, n.host))
                .then(|| say!("check-forbidden-node", rsc = rsc, host = node))
        })
    })
}

/// A resource is active on a node without quorum, and no controller does anything about it.
fn without_quorum(world: &World, book: &Book) -> Option<String> {
    let dc_acts = |dc: &str| {
        let n = book.nodes.iter().find(|n| world.host(n.host).name == dc);
        n.and_then(|n| controller(world, n)).is_none_or(|c| c.state() != State::Idle)
    };
    let acts = |n: &Node| {
        controller(world, n).is_some_and(|c| match c.state() {
            State::Idle => false,
            State::NotDc => c.dc().is_none_or(|dc| dc_acts(&dc)),
            _ => true,
        })
    };
    book.nodes.iter().filter(|n| awake(world, n.host) && !roles::quorate(world, n.host)).find_map(|n| {
        let r = book.resources.iter().find(|r| r.active(world, n.host))?;
        (!acts(n)).then(|| say!("check-no-quorum", rsc = r.id, host = world.host(n.host).name))
    })
}
