//! Faults of links: cuts, loss, delay, carriers, and their end.

use super::resolve;
use crate::net::addr::Ip;
use crate::net::rules::{Effect, HostSet, Rule};
use crate::node::process::HostId;
use crate::scenario::types::{Fault, Target};
use crate::sim::{Sched, World};

pub(super) fn apply(world: &mut World, fault: &Fault, vips: &[Ip], s: &mut Sched) {
    let set = |world: &World, t: &Target| HostSet::new(resolve(world, t, vips).iter().map(|h| h.0).collect());
    let everyone = |world: &World| HostSet::new((0..world.hosts.len() as u16).collect());
    let to_set =
        |world: &World, t: &Option<Target>| t.as_ref().map_or_else(|| everyone(world), |t| set(world, t));
    let by = s.current();
    let add = |world: &mut World, from: HostSet, to: HostSet, plane, effect| {
        world.rules.push(Rule { from, to, plane, effect, by });
    };
    match fault {
        Fault::Cut { target, from, plane } => {
            let (a, b) = (set(world, target), set(world, from));
            add(world, a.clone(), b.clone(), *plane, Effect::Drop);
            add(world, b, a, *plane, Effect::Drop);
        }
        Fault::CutOneWay { target, to, plane } => {
            let (a, b) = (set(world, target), set(world, to));
            add(world, a, b, *plane, Effect::Drop);
        }
        Fault::Loss { target, chance, to, plane } => {
            let (a, b) = (set(world, target), to_set(world, to));
            add(world, a, b, *plane, Effect::Loss(*chance));
        }
        Fault::DropNext { target, count, plane } => {
            // One count for all receivers together would end in the middle of a multicast: one rule a receiver.
            let a = set(world, target);
            for i in 0..world.hosts.len() as u16 {
                add(world, a.clone(), HostSet::new(vec![i]), Some(*plane), Effect::DropNext(*count));
            }
        }
        Fault::Delay { target, by: d, to, plane } => {
            let (a, b) = (set(world, target), to_set(world, to));
            add(world, a, b, *plane, Effect::Delay(*d));
        }
        Fault::Duplicate { target, chance } => {
            let (a, b) = (set(world, target), everyone(world));
            add(world, a, b, None, Effect::Duplicate(*chance));
        }
        Fault::Reorder { target, chance, by: d } => {
            let (a, b) = (set(world, target), everyone(world));
            add(world, a, b, None, Effect::Reorder(*chance, *d));
        }
        Fault::LoseGarps { target } => {
            let (a, b) = (set(world, target), everyone(world));
            add(world, a, b, None, Effect::LoseGarps);
        }
        Fault::Heal { target: None } => world.rules.clear(),
        Fault::Heal { target: Some(t) } => {
            let hosts = resolve(world, t, vips);
            let touches = |r: &Rule| hosts.iter().any(|h| r.from.has(h.0) || r.to.has(h.0));
            world.rules.retain(|r| !touches(r));
        }
        Fault::LinkDown { target, network } => carriers(world, target, network, false, vips, s),
        Fault::LinkUp { target, network } => carriers(world, target, network, true, vips, s),
        _ => {}
    }
}

fn carriers(
    world: &mut World,
    target: &Target,
    network: &Option<String>,
    up: bool,
    vips: &[Ip],
    s: &mut Sched,
) {
    let hosts: Vec<HostId> = resolve(world, target, vips);
    for h in hosts {
        let net = match network {
            Some(name) => {
                world.host(h).nics.iter().map(|n| n.net).find(|n| world.nets[n.0 as usize].name == *name)
            }
            None => world.host(h).nics.first().map(|n| n.net),
        };
        if let Some(net) = net {
            world.carrier(h, net, up, s);
        }
    }
}
