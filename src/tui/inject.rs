//! What can be injected on the selected host: faults that every host knows, and those of the daemons that run there.

use super::model::Player;
use crate::engine::{Span, SpanRange};
use crate::node::world::Life;
use crate::proto::postgres::config::StopMode;
use crate::say;
use crate::scenario::types::{Fault, FreezeClock, FreezeMode, Target};

/// The keys of a menu, in order.
pub const KEYS: &str = "123456789abcdefgh";

/// The entries of the menu of the selected host: words and fault.
pub fn menu(p: &Player) -> Vec<(String, Fault)> {
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
            if process == "postgres" {
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
fn pcp(p: &Player, name: &str) -> Option<[(String, Fault); 3]> {
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
    ])
}
