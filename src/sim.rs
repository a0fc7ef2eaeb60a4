//! The simulation as the rest of the program uses it: the engine over a stage, which is a world of all protocols, the faults of a
//! drill, and the invariants that watch it.

use crate::check::invariants::Watch;
use crate::engine::{Engine, Model, Scheduler, Time};
use crate::net::addr::Ip;
use crate::node::log::What;
use crate::node::process::HostId;
use crate::node::world::Ev;
use crate::proto::{Daemon, Msg, Note};
use crate::scenario::types::{Fault, When};

/// A world of all protocols.
pub type World = crate::node::world::World<Daemon>;
/// Its scheduler.
pub type Sched = Scheduler<Ev<Msg>>;
/// A run in progress.
pub type Sim = Engine<Stage>;
/// An entry of its log.
pub type LogEntry = crate::node::log::Entry<Note>;

/// A fault and its occasion, as it is played in one run.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What happens.
    pub fault: Fault,
    /// When, if that is known from the start.
    pub at: Option<Time>,
    /// What it waits for otherwise, and how long after that it fires.
    pub after: Option<(When, crate::engine::Span)>,
    /// It has been scheduled.
    pub set: bool,
}

/// A world under a drill.
#[derive(Clone)]
pub struct Stage {
    /// The world.
    pub world: World,
    /// The faults, in order.
    pub faults: Vec<Planned>,
    /// Virtual addresses, in the order of the configuration.
    pub vips: Vec<Ip>,
    /// Invariants.
    pub watch: Watch,
    /// There are databases to watch.
    pub databases: bool,
    /// There are Corosync clusters to watch.
    pub clusters: bool,
    /// The faults before this one have fired.
    fired: usize,
}

impl Stage {
    /// A world under these faults.
    pub fn new(world: World, faults: Vec<Planned>, vips: Vec<Ip>) -> Self {
        let databases = world.procs.iter().any(|p| matches!(p.logic, Daemon::Postgres(_)));
        let clusters = world.procs.iter().any(|p| matches!(p.logic, Daemon::Corosync(_)));
        let mut watch = Watch::default();
        watch.ledger.pool.independent = crate::fault::roles::independent(&world);
        watch.crm = crate::check::crm::Book::new(&world);
        Stage { world, faults, vips, watch, databases, clusters, fired: 0 }
    }
    /// A run of the stage from its start: hosts up, daemons starting, timed faults scheduled.
    pub fn start(mut self) -> Sim {
        let mut sched = Sched::new();
        for h in 0..self.world.hosts.len() {
            sched.at(Time::ZERO, Ev::Outer(BOOT + h as u32));
        }
        for (i, f) in self.faults.iter_mut().enumerate() {
            if let Some(at) = f.at {
                f.set = true;
                sched.at_reserved(at, i as u64 + 1, Ev::Outer(i as u32));
            }
        }
        Engine { model: self, sched }
    }
    fn outer(&mut self, n: u32, s: &mut Sched) {
        if n == LOOK {
            self.world.changed = true;
            return;
        }
        if n >= BOOT {
            self.world.boot_now(HostId((n - BOOT) as u16), s);
            return;
        }
        let Some(f) = self.faults.get(n as usize).map(|f| f.fault.clone()) else { return };
        crate::fault::apply(&mut self.world, &f, n as u16 + 1, &self.vips, s);
        self.fired = self.fired.max(n as usize + 1);
    }
    /// Schedules the next fault that waits for an occasion, if the present event is it.
    fn occasions(&mut self, s: &mut Sched) {
        let Some(f) = self.faults.get(self.fired).filter(|f| !f.set) else { return };
        let Some((when, delay)) = &f.after else { return };
        let world = &self.world;
        let here =
            |h: Option<HostId>, name: &str| name.is_empty() || h.is_some_and(|h| world.host(h).name == name);
        let now = world.log.entries.iter().any(|e| match (when, &e.what) {
            (When::Mark(kind, host), what) => mark_of(what).is_some_and(|k| k == kind) && here(e.host, host),
            (
                When::Advert(host),
                What::Note(Note::Vrrp(crate::proto::vrrp::note::Note::AdvertSent { .. })),
            ) => here(e.host, host),
            _ => false,
        });
        if now {
            let at = s.now() + *delay;
            let i = self.fired;
            self.faults[i].set = true;
            s.at_reserved(at, i as u64 + 1, Ev::Outer(i as u32));
        }
    }
}
const BOOT: u32 = 1 << 30;
/// The number of the event at which invariants look again.
pub const LOOK: u32 = u32::MAX;

impl Model for Stage {
    type Event = Ev<Msg>;
    #[inline]
    fn handle(&mut self, event: Ev<Msg>, s: &mut Sched) {
        self.world.log.entries.clear();
        if let Ev::Outer(n) = event {
            self.world.changed = false;
            self.outer(n, s);
        } else {
            self.world.handle(event, s);
        }
        if self.world.log.entries.is_empty() && !self.world.changed && self.watch.crm.is_empty() {
            return;
        }
        if self.databases {
            let (world, ledger) = (&self.world, &mut self.watch.ledger);
            let changed = world.log.entries.iter().fold(false, |c, e| ledger.take(e, world) | c);
            self.world.changed |= changed;
        }
        if !self.watch.crm.is_empty() {
            let (world, book) = (&self.world, &mut self.watch.crm);
            let told = world.log.entries.iter().fold(false, |c, e| book.take(e, world) | c);
            let moved = book.states_changed(world);
            self.world.changed |= told | moved;
        }
        if self.clusters {
            let told = |e: &LogEntry| matches!(e.what, What::Note(Note::Corosync(_)));
            self.world.changed |= self.world.log.entries.iter().any(told);
        }
        if self.world.changed {
            crate::check::invariants::look(self, s);
        }
        if self.fired < self.faults.len() && !self.world.log.entries.is_empty() {
            self.occasions(s);
        }
        if !self.world.log.entries.is_empty() {
            s.mix(self.world.log.entries.len() as u64);
        }
    }
}

/// The stable kind of mark that an entry is, if it is one.
pub fn mark_of(what: &What<Note>) -> Option<&'static str> {
    Some(match what {
        What::Note(n) => return n.mark(),
        What::Fault(..) => "fault",
        What::Healed(..) => "healed",
        What::Booted => "booted",
        What::ArpMoved(..) => "arp_moved",
        What::ArpFailed(_) => "arp_failed",
        What::QueueFull(..) => "queue_full",
        What::ClientsWait(_) => "clients_wait",
        What::WatchdogReset(_) => "watchdog_reset",
        What::Thawed(_) => "thawed",
        What::Violation(..) => "violation",
        What::ViolationOver(_) => "violation_over",
        _ => return None,
    })
}
