//! Invariants over virtual addresses. They are looked at whenever an address, a host, a link or a cache has changed.

use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::Ip;
use crate::node::log::What;
use crate::node::process::HostId;
use crate::node::world::Ev;
use crate::say;
use crate::scenario::types::Invariant;
use crate::sim::{LOOK, Sched, Stage, World};

/// How long two hosts that hear each other may both hold an address: a hand-over passes through that state.
pub const GRACE: Span = Span::ms(50);

/// How long a client's cache may point to the wrong host: between the new holder's address and the arrival of its gratuitous ARPs
/// every takeover passes through that state.
pub const STALE: Span = Span::ms(50);

/// What the invariants remember.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    broken: Vec<(Invariant, Time)>,
    /// A cache points to the wrong host since then, not yet for [`STALE`].
    stale: Option<Time>,
    /// Writes and reads of databases.
    pub ledger: super::ledger::Ledger,
    /// What happened in a cluster under Pacemaker.
    pub(crate) crm: super::crm::Book,
}
impl Watch {
    /// Since when an invariant is broken.
    pub fn broken(&self, i: Invariant) -> Option<Time> {
        self.broken.iter().find(|b| b.0 == i).map(|b| b.1)
    }
}

/// The stable name of an invariant.
pub const fn name(i: Invariant) -> &'static str {
    match i {
        Invariant::DualVip => "DualVip",
        Invariant::DualVipAnywhere => "DualVipAnywhere",
        Invariant::TwoMasters => "TwoMasters",
        Invariant::StaleArp => "StaleArp",
        Invariant::SplitBrain => "SplitBrain",
        Invariant::SplitBrainAnywhere => "SplitBrainAnywhere",
        Invariant::LostCommit => "LostCommit",
        Invariant::PhantomRead => "PhantomRead",
        Invariant::DuplicateWrite => "DuplicateWrite",
        Invariant::TwoLeaseHolders => "TwoLeaseHolders",
        Invariant::TwoPgpoolLeaders => "TwoPgpoolLeaders",
        Invariant::PromotionWithoutKey => "PromotionWithoutKey",
        Invariant::TwoQuoratePartitions => "TwoQuoratePartitions",
        Invariant::ActiveTwice => "ActiveTwice",
        Invariant::StartedBeforeFence => "StartedBeforeFence",
        Invariant::ForbiddenNode => "ForbiddenNode",
        Invariant::ServiceWithoutQuorum => "ServiceWithoutQuorum",
        Invariant::BothFenced => "BothFenced",
        Invariant::SecondFence => "SecondFence",
        Invariant::FenceAfterHeal => "FenceAfterHeal",
        Invariant::FewerCopies => "FewerCopies",
        Invariant::LateRead => "LateRead",
        Invariant::Divergence => "Divergence",
        Invariant::RefusedWithRoom => "RefusedWithRoom",
        Invariant::OwnWriteUnseen => "OwnWriteUnseen",
    }
}

/// Looks at every invariant, and writes down which begin and cease to be broken.
pub fn look(stage: &mut Stage, s: &mut Sched) {
    for i in [Invariant::DualVipAnywhere, Invariant::DualVip, Invariant::TwoMasters, Invariant::StaleArp] {
        let mut seen = check(&stage.world, i, &stage.vips);
        let was = stage.watch.broken(i);
        if i == Invariant::StaleArp && was.is_none() {
            match (&seen, stage.watch.stale) {
                (Some(_), None) => {
                    stage.watch.stale = Some(s.now());
                    s.after(STALE, Ev::Outer(LOOK));
                    continue;
                }
                (Some(_), Some(since)) if s.now().since(since) < STALE => continue,
                (Some(_), Some(since)) => {
                    seen = seen.map(|detail| say!("check-since", detail = detail, since = since))
                }
                (None, _) => stage.watch.stale = None,
            }
        }
        record(stage, i, seen, s);
    }
    if stage.clusters {
        let seen = super::cluster::two_partitions(&stage.world);
        record(stage, Invariant::TwoQuoratePartitions, seen, s);
    }
    if !stage.watch.crm.is_empty() {
        cluster(stage, s);
    }
    if stage.databases {
        for i in super::database::ALL {
            let seen = super::database::check(&stage.world, &stage.watch.ledger, i, s.now());
            record(stage, i, seen, s);
        }
        for i in super::pool::ALL {
            if i == Invariant::Divergence && super::pool::busy(&stage.world) {
                continue;
            }
            let seen = super::pool::check(&stage.world, &stage.watch.ledger.pool, i);
            record(stage, i, seen, s);
        }
        if stage.watch.broken(Invariant::TwoLeaseHolders).is_some() {
            // A belief ends by the clock alone.
            s.after(BELIEF, Ev::Outer(LOOK));
        }
    }
}

/// How long a service may be without quorum before it counts that nobody does anything about it: Corosync tells its clients one after the other.
pub const TOLD: Span = Span::secs(1);

/// The invariants of a cluster under Pacemaker.
fn cluster(stage: &mut Stage, s: &mut Sched) {
    stage.watch.crm.look(&stage.world);
    for i in super::crm::ALL {
        let mut seen = super::crm::check(&stage.world, &stage.watch.crm, i);
        if i == Invariant::ServiceWithoutQuorum {
            let since = stage.watch.crm.without;
            stage.watch.crm.without = seen.as_ref().map(|_| since.unwrap_or(s.now()));
            match since {
                None if seen.is_some() => {
                    s.after(TOLD, Ev::Outer(LOOK));
                    seen = None;
                }
                Some(since) if s.now().since(since) < TOLD => seen = None,
                _ => {}
            }
        }
        record(stage, i, seen, s);
    }
}

/// How often a belief that ends by the clock is looked at.
const BELIEF: Span = Span::ms(500);

/// Writes down that an invariant begins or ceases to be broken.
fn record(stage: &mut Stage, i: Invariant, seen: Option<String>, s: &Sched) {
    match (seen, stage.watch.broken(i)) {
        (Some(detail), None) => {
            stage.watch.broken.push((i, s.now()));
            stage.world.tell(s, None, None, What::Violation(name(i), detail));
        }
        (None, Some(_)) => {
            stage.watch.broken.retain(|b| b.0 != i);
            stage.world.tell(s, None, None, What::ViolationOver(name(i)));
        }
        _ => {}
    }
}

fn check(world: &World, i: Invariant, vips: &[Ip]) -> Option<String> {
    vips.iter().find_map(|vip| {
        let holders: Vec<HostId> = world.holders(*vip).collect();
        let names = |hosts: &[HostId]| {
            hosts.iter().map(|h| world.host(*h).name.as_str()).collect::<Vec<_>>().join(&say!("and"))
        };
        match i {
            Invariant::DualVipAnywhere => {
                (holders.len() > 1).then(|| say!("check-both-hold", names = names(&holders), vip = vip))
            }
            Invariant::DualVip => {
                let hears = |a: HostId, b: HostId| world.hears(a, b, Plane::heartbeat);
                holders.iter().enumerate().find_map(|(n, a)| {
                    let b = holders[n + 1..].iter().find(|b| hears(*a, **b) && hears(**b, *a))?;
                    Some(say!("check-both-hear", names = names(&[*a, *b]), vip = vip))
                })
            }
            Invariant::TwoMasters => {
                let masters = masters(world);
                (masters.len() > 1).then(|| say!("check-masters", names = names(&masters)))
            }
            Invariant::StaleArp => {
                let alive: Vec<HostId> =
                    holders.iter().copied().filter(|h| crate::fault::awake(world, *h)).collect();
                if alive.is_empty() {
                    return None;
                }
                world.hosts.iter().enumerate().find_map(|(c, host)| {
                    let (_, e) = host.neigh.iter().find(|(_, e)| e.ip == *vip)?;
                    let at = world.mac_host(e.mac)?;
                    let usable =
                        !matches!(e.state, crate::net::arp::Nud::Failed | crate::net::arp::Nud::Incomplete);
                    let reachable = alive.iter().any(|h| world.hears(HostId(c as u16), *h, Plane::client));
                    (usable && reachable && !alive.contains(&at)).then(|| {
                        let (to, holder) = (&world.host(at).name, names(&alive));
                        say!("check-stale", client = host.name, vip = vip, to = to, holder = holder)
                    })
                })
            }
            _ => None,
        }
    })
}

/// The hosts whose first VRRP instance is master, as far as they are awake.
pub fn masters(world: &World) -> Vec<HostId> {
    (0..world.hosts.len())
        .map(|i| HostId(i as u16))
        .filter(|h| {
            crate::fault::awake(world, *h)
                && role(world, *h) == Some(crate::proto::vrrp::machine::Role::Master)
        })
        .collect()
}
/// The role of a host's first VRRP instance, if keepalived runs there.
pub fn role(world: &World, host: HostId) -> Option<crate::proto::vrrp::machine::Role> {
    world.host(host).procs.iter().find_map(|p| match &world.proc(*p).logic {
        crate::proto::Daemon::Vrrp(v, ..) if world.proc(*p).life != crate::node::world::Life::Dead => {
            v.instances().first().map(|i| i.role())
        }
        _ => None,
    })
}
