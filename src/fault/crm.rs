//! What an operator, or bad luck, does to a Pacemaker cluster.

use super::{resolve, roles};
use crate::net::addr::Ip;
use crate::node::log::What;
use crate::proto::crm::agents::Broken;
use crate::proto::crm::config::Operator;
use crate::proto::crm::msg::Local;
use crate::proto::crm::note::Note;
use crate::proto::{Daemon, Msg};
use crate::scenario::types::Fault;
use crate::sim::{Sched, World};

/// A command as an operator types it.
pub(super) fn command(o: &Operator) -> String {
    match o {
        Operator::Standby { node } => format!("pcs node standby {node}"),
        Operator::Unstandby { node } => format!("pcs node unstandby {node}"),
        Operator::NodeMaintenance { node, on: true } => format!("pcs node maintenance {node}"),
        Operator::NodeMaintenance { node, on: false } => format!("pcs node unmaintenance {node}"),
        Operator::Move { resource, to } => format!("crm_resource --move --resource {resource} --node {to}"),
        Operator::Ban { resource, node } => format!("crm_resource --ban --resource {resource} --node {node}"),
        Operator::Clear { resource } => format!("crm_resource --clear --resource {resource}"),
        Operator::Cleanup { resource } => format!("crm_resource --cleanup --resource {resource}"),
        Operator::Maintenance { on } => format!("pcs property set maintenance-mode={on}"),
        Operator::Fence { node } => format!("stonith_admin --reboot {node}"),
        Operator::Property { name, value } => format!("pcs property set {name}={value}"),
    }
}

pub(super) fn apply(world: &mut World, fault: &Fault, vips: &[Ip], s: &mut Sched) {
    match fault {
        Fault::Crm { command } => {
            let part = match command {
                Operator::Fence { .. } => "pacemaker-fenced",
                _ => "pacemaker-based",
            };
            // Where the DC is, or on any node whose daemon runs, but not on the one that is to be fenced.
            let avoid = if let Operator::Fence { node } = command { Some(node.as_str()) } else { None };
            let runs = |h| world.find_proc(h, part).filter(|p| super::runs(world, *p));
            let mut hosts: Vec<_> =
                roles::hosts(world).filter(|h| Some(world.host(*h).name.as_str()) != avoid).collect();
            hosts.sort_by_key(|h| !is_dc(world, *h));
            if let Some(pid) = hosts.into_iter().find_map(runs) {
                world.call(pid, Msg::Crm(Box::new(Local::Operator(command.clone()))), s);
            }
        }
        Fault::AgentFails { target, resource, operation, hangs } => {
            for h in resolve(world, target, vips) {
                let broken = Broken { resource: resource.clone(), task: operation.clone(), hangs: *hangs };
                world.hosts[h.0 as usize].files.crm.broken.push(broken);
            }
        }
        Fault::AgentWorks { target, resource } => {
            for h in resolve(world, target, vips) {
                world.hosts[h.0 as usize].files.crm.broken.retain(|b| b.resource != *resource);
            }
        }
        Fault::ResourceDies { target, resource } => {
            for h in resolve(world, target, vips) {
                world.hosts[h.0 as usize].files.crm.run.remove(resource);
                if let Some(ip) = address(world, resource) {
                    let held = world.host(h).addresses.iter().find(|(_, a)| a.ip == ip).map(|a| a.0);
                    if let Some(net) = held {
                        world.remove_address(h, net, ip, s);
                        let note = Note::VipDown { ip, rsc: resource.as_str().into() };
                        world.tell(s, Some(h), None, What::Note(crate::proto::Note::Crm(Box::new(note))));
                    }
                }
            }
        }
        _ => {}
    }
}

/// Some node's CIB.
fn based(world: &World) -> Option<&crate::proto::crm::based::Based> {
    world.procs.iter().find_map(|p| match &p.logic {
        Daemon::Crm(c) => match &**c {
            crate::proto::crm::Process::Based(b) => Some(b),
            _ => None,
        },
        _ => None,
    })
}
/// The primitives that can be promoted.
pub(super) fn promotable(world: &World) -> Vec<String> {
    let resources = based(world).and_then(|b| b.cib().cib.root.find("resources"));
    let clones = resources.iter().flat_map(|r| r.all("clone")).filter(|c| {
        let mut pairs = c.all("meta_attributes").flat_map(|m| m.all("nvpair"));
        pairs.any(|p| p.get("name") == Some("promotable") && p.get("value") == Some("true"))
    });
    clones.flat_map(|c| c.all("primitive").map(|p| p.id().to_owned())).collect()
}

/// The address that a resource stands for, as some node's CIB says.
fn address(world: &World, resource: &str) -> Option<Ip> {
    let based = based(world)?;
    fn find<'a>(
        e: &'a crate::proto::pacemaker::xml::Element,
        id: &str,
    ) -> Option<&'a crate::proto::pacemaker::xml::Element> {
        if e.name == "primitive" && e.id() == id {
            Some(e)
        } else {
            e.children.iter().find_map(|c| find(c, id))
        }
    }
    let e = find(&based.cib().cib.root, resource)?;
    let pairs = e.all("instance_attributes").flat_map(|s| s.all("nvpair"));
    pairs.into_iter().find(|p| p.get("name") == Some("ip"))?.get("value")?.parse().ok()
}

/// Whether the controller of a host takes itself for the DC.
pub(crate) fn is_dc(world: &World, host: crate::node::process::HostId) -> bool {
    controller(world, host).is_some_and(|c| c.is_dc())
}
/// The controller of a host, as far as it runs.
pub(crate) fn controller(
    world: &World,
    host: crate::node::process::HostId,
) -> Option<&crate::proto::crm::controld::Controld> {
    let (pid, c) = roles::daemon(world, host, |d| match d {
        Daemon::Crm(c) => match &**c {
            crate::proto::crm::Process::Controld(c) => Some(c),
            _ => None,
        },
        _ => None,
    })?;
    super::runs(world, pid).then_some(c)
}
/// The CIB that the cluster goes by: the DC's, or that of any node where it runs.
pub(crate) fn cib(world: &World) -> Option<&crate::proto::crm::msg::Versioned> {
    let mut hosts: Vec<_> = roles::hosts(world).collect();
    hosts.sort_by_key(|h| !is_dc(world, *h));
    let based = |h: &crate::node::process::HostId| {
        roles::daemon(world, *h, |d| match d {
            Daemon::Crm(c) => match &**c {
                crate::proto::crm::Process::Based(b) => Some(b),
                _ => None,
            },
            _ => None,
        })
    };
    let (_, b) = hosts.iter().filter_map(based).find(|(pid, _)| super::runs(world, *pid))?;
    Some(b.cib())
}
