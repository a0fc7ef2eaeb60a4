//! What can be injected on the selected host: faults that every host knows, and those of the daemons that run there. A command with parameters
//! opens menus to pick them from.

use super::cluster;
use super::model::Player;
use crate::engine::{Span, SpanRange};
use crate::node::world::Life;
use crate::proto::crm::config::Operator;
use crate::proto::postgres::config::StopMode;
use crate::say;
use crate::scenario::types::{Fault, FreezeClock, FreezeMode, Target};

/// The keys of a menu, in order.
pub const KEYS: &str = "123456789abcdefgh";

/// What an entry of a menu does.
#[derive(Clone, Debug)]
pub enum Choice {
    /// It is injected.
    Do(Fault),
    /// It opens a menu of its own.
    More(Vec<(String, Choice)>),
}

/// The menu that is open on the selected host: the main one, or what has been chosen in it so far; with the words of the choices.
pub fn open(p: &Player) -> (Vec<String>, Vec<(String, Choice)>) {
    let mut list: Vec<(String, Choice)> = menu(p).into_iter().map(|(w, f)| (w, Choice::Do(f))).collect();
    // The commands of Pacemaker have a menu of their own, which must not push the others out.
    let more = pacemaker(p);
    list.truncate(KEYS.len() - more.len());
    list.extend(more);
    let mut path = Vec::new();
    for n in &p.chosen {
        match list.into_iter().nth(*n) {
            Some((words, Choice::More(inner))) => {
                path.push(words);
                list = inner;
            }
            _ => return (path, Vec::new()),
        }
    }
    (path, list)
}

/// A list in pages, as many entries to a page as there are keys.
fn paged(mut list: Vec<(String, Choice)>) -> Vec<(String, Choice)> {
    if list.len() > KEYS.len() {
        let rest = list.split_off(KEYS.len() - 1);
        list.push((say!("menu-crm-next-page", n = rest.len()), Choice::More(paged(rest))));
    }
    list
}

/// The daemons of a node of Pacemaker, and the operator's commands: none on other hosts.
fn pacemaker(p: &Player) -> Vec<(String, Choice)> {
    let world = &p.now.model.world;
    let Some(h) = world.hosts.get(p.selected) else { return Vec::new() };
    let daemons: Vec<&str> = h
        .procs
        .iter()
        .map(|q| world.proc(*q))
        .filter(|q| matches!(q.logic, crate::proto::Daemon::Crm(_)))
        .map(|q| q.name.as_str())
        .collect();
    if daemons.is_empty() {
        return Vec::new();
    }
    let target = || Target::Host(h.name.clone());
    let kill = |d: &&str| {
        let fault = Fault::Kill { target: target(), process: (*d).to_owned(), all: false };
        (say!("menu-kill", process = d), Choice::Do(fault))
    };
    vec![
        (say!("menu-crm"), Choice::More(commands(p, &h.name))),
        (say!("menu-crm-daemons"), Choice::More(daemons.iter().map(kill).collect())),
    ]
}

/// What an operator can tell the cluster, with the selected host as the node where one is needed.
fn commands(p: &Player, node: &str) -> Vec<(String, Choice)> {
    use Operator as O;
    let world = &p.now.model.world;
    let known = cluster::resources(world);
    let n = || node.to_owned();
    let order = |key: &str, command: Operator| (say!(key, node = node), Choice::Do(Fault::Crm { command }));
    let one = |r: &String, command: Operator| (r.clone(), Choice::Do(Fault::Crm { command }));
    let each = |list: &[String], make: &dyn Fn(&String) -> Operator| {
        Choice::More(paged(list.iter().map(|r| one(r, make(r))).collect()))
    };
    let all = &known.all;
    let target = || Target::Host(n());
    let process = || "pacemakerd".to_owned();
    let moves = all.iter().map(|r| {
        let to = each(&known.nodes, &|to| O::Move { resource: r.clone(), to: to.clone() });
        (r.clone(), to)
    });
    let bans = all.iter().map(|r| {
        let from = each(&known.nodes, &|node| O::Ban { resource: r.clone(), node: node.clone() });
        (r.clone(), from)
    });
    let breaks = known.primitives.iter().map(|r| {
        let task = |t: &str| {
            let fault = Fault::AgentFails {
                target: target(),
                resource: r.clone(),
                operation: t.to_owned(),
                hangs: false,
            };
            (t.to_owned(), Choice::Do(fault))
        };
        let mut list: Vec<(String, Choice)> =
            ["start", "stop", "monitor", "promote", "demote"].map(task).into();
        let works = Fault::AgentWorks { target: target(), resource: r.clone() };
        list.push((say!("menu-crm-agent-works"), Choice::Do(works)));
        (r.clone(), Choice::More(list))
    });
    let dies = known.primitives.iter().map(|r| {
        let fault = Fault::ResourceDies { target: target(), resource: r.clone() };
        (r.clone(), Choice::Do(fault))
    });
    vec![
        order("menu-crm-standby", O::Standby { node: n() }),
        order("menu-crm-unstandby", O::Unstandby { node: n() }),
        order("menu-crm-node-maintenance", O::NodeMaintenance { node: n(), on: true }),
        order("menu-crm-node-maintenance-off", O::NodeMaintenance { node: n(), on: false }),
        order("menu-crm-maintenance", O::Maintenance { on: true }),
        order("menu-crm-maintenance-off", O::Maintenance { on: false }),
        (say!("menu-crm-move"), Choice::More(paged(moves.collect()))),
        (say!("menu-crm-ban"), Choice::More(paged(bans.collect()))),
        (say!("menu-crm-clear"), each(all, &|r| O::Clear { resource: r.clone() })),
        (say!("menu-crm-cleanup"), each(all, &|r| O::Cleanup { resource: r.clone() })),
        order("menu-crm-fence", O::Fence { node: n() }),
        (
            say!("menu-crm-stop", node = node),
            Choice::Do(Fault::Stop { target: target(), process: process() }),
        ),
        (
            say!("menu-crm-start", node = node),
            Choice::Do(Fault::Start { target: target(), process: process() }),
        ),
        (say!("menu-crm-dies", node = node), Choice::More(paged(dies.collect()))),
        (say!("menu-crm-agent", node = node), Choice::More(paged(breaks.collect()))),
    ]
}

/// The faults of the selected host: words and fault.
fn menu(p: &Player) -> Vec<(String, Fault)> {
    let world = &p.now.model.world;
    let Some(h) = world.hosts.get(p.selected) else { return Vec::new() };
    let target = || Target::Host(h.name.clone());
    let said = |n: u8| say!(&format!("menu-{n}"));
    let frozen = Fault::Freeze {
        target: target(),
        mode: FreezeMode::Lost,
        clock: FreezeClock::Runs,
        lasts: Some(SpanRange::exactly(Span::secs(5))),
    };
    let cut = Fault::Cut { target: target(), from: Target::Others(vec![h.name.clone()]), plane: None };
    let mut list = vec![
        (said(1), Fault::PowerOff { target: target() }),
        (said(2), Fault::PowerOn { target: target() }),
        (said(3), frozen),
        (said(4), cut),
        (said(5), Fault::Heal { target: None }),
    ];
    let managed = h.procs.iter().any(|p| matches!(&*world.proc(*p).name, "patroni" | "pacemaker"));
    let vrrp = h.procs.iter().any(|p| world.proc(*p).name == "keepalived");
    for proc in h.procs.iter().map(|p| world.proc(*p)).filter(|q| q.parent.is_none()) {
        let (process, dead) = (proc.name.clone(), proc.life == Life::Dead);
        let all = process == "keepalived";
        // A server that something manages is started by that.
        if dead && (process != "postgres" || !managed) {
            let words = say!("menu-start", process = process);
            list.push((words, Fault::Start { target: target(), process }));
        } else if !dead && !matches!(&*process, "client" | "resolver") {
            let words = say!(if all { "menu-kill-all" } else { "menu-kill" }, process = process);
            list.push((words, Fault::Kill { target: target(), process: process.clone(), all }));
            if process == "postgres" && !managed {
                list.push((
                    say!("menu-pg-stop"),
                    Fault::PgCtlStop { target: target(), mode: StopMode::Fast },
                ));
            }
            if process == "patroni" {
                let stopped = proc.life == Life::Stopped;
                let words = say!(if stopped { "menu-resume" } else { "menu-stop" }, process = process);
                let fault = if stopped {
                    Fault::Resume { target: target(), process }
                } else {
                    Fault::Pause { target: target(), process }
                };
                list.push((words, fault));
            }
        }
    }
    if !vrrp && h.procs.iter().any(|p| world.proc(*p).name == "patroni") {
        list.push((say!("menu-switchover"), Fault::Switchover { candidate: None }));
    }
    // A host with a database behind pgpools: the administrator's commands, to a pgpool that runs.
    if let Some(entries) = pcp(p, &h.name) {
        list.extend(entries);
    }
    list.push((said(8), Fault::LinkDown { target: target(), network: None }));
    list.truncate(KEYS.len());
    list
}

/// `pcp_*` for the database of a host.
fn pcp(p: &Player, name: &str) -> Option<[(String, Fault); 4]> {
    let world = &p.now.model.world;
    let parents = world.procs.iter().filter_map(|q| match &q.logic {
        crate::proto::Daemon::Pgpool(pool) if q.life == Life::Running => pool.parent().map(|s| (q.host, s)),
        _ => None,
    });
    let of = |setup: &crate::proto::pgpool::Setup| setup.backends.iter().position(|b| *b.host == *name);
    let (host, node) = parents.into_iter().find_map(|(host, s)| of(s).map(|n| (host, n as u8)))?;
    let target = || Target::Host(world.host(host).name.clone());
    Some([
        (say!("menu-pcp-detach"), Fault::PcpDetachNode { target: target(), node, graceful: false }),
        (say!("menu-pcp-attach"), Fault::PcpAttachNode { target: target(), node }),
        (say!("menu-pcp-promote"), Fault::PcpPromoteNode { target: target(), node, switchover: true }),
        (say!("menu-pcp-recovery"), Fault::PcpRecoveryNode { target: target(), node }),
    ])
}
