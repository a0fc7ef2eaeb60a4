//! What an operator does: commands to Patroni, the DCS, a server, a DNS zone.

use super::{resolve, roles};
use crate::net::addr::Ip;
use crate::node::log::What;
use crate::node::process::{HostId, Pid, Signal};
use crate::proto::crm::agents::pgsql::Fact;
use crate::proto::http::{Http, Method};
use crate::proto::patroni::rest::{Body, Reinitialize, Switchover};
use crate::proto::pgpool::msg::Pcp;
use crate::proto::raft::Member;
use crate::proto::{Daemon, Msg, consul, dns, etcd, pgpool};
use crate::scenario::types::Fault;
use crate::sim::{Sched, World};
use std::sync::Arc;

pub(super) fn apply(world: &mut World, fault: &Fault, vips: &[Ip], s: &mut Sched) {
    match fault {
        Fault::Switchover { candidate } => {
            let to = candidate.as_ref().and_then(|t| resolve(world, t, vips).first().copied());
            let to = to.map(|h| world.host(h).name.as_str().into());
            let leader = roles::primary(world).map(|h| world.host(h).name.as_str().into());
            rest(
                world,
                Method::POST,
                "/switchover",
                Some(Body::Switchover(Switchover { leader, candidate: to, scheduled_at: None })),
                s,
            );
        }
        Fault::Failover { candidate } => {
            let to = resolve(world, candidate, vips).first().map(|h| world.host(*h).name.as_str().into());
            let body = Body::Switchover(Switchover { leader: None, candidate: to, scheduled_at: None });
            rest(world, Method::POST, "/failover", Some(body), s);
        }
        Fault::PatroniPause => {
            rest(world, Method::PATCH, "/config", Some(Body::Config("{\"pause\":true}".into())), s)
        }
        Fault::PatroniResume => {
            rest(world, Method::PATCH, "/config", Some(Body::Config("{\"pause\":null}".into())), s)
        }
        Fault::Reinit { target } => {
            for h in resolve(world, target, vips) {
                if let Some((pid, _)) = roles::patroni(world, h) {
                    let body = Body::Reinitialize(Reinitialize { force: true, from_leader: false });
                    let ask = Http::Request(Method::POST, "/reinitialize".into(), Some(Arc::new(body)));
                    world.call(pid, Msg::Http(ask), s);
                }
            }
        }
        Fault::Rebuild { target } => {
            for h in resolve(world, target, vips) {
                rebuild(world, h, s);
            }
        }
        Fault::MoveLeader { target } => move_leader(world, target, vips, s),
        Fault::DeleteLeaderKey => delete_key(world, s),
        Fault::Promote { target } => {
            for h in resolve(world, target, vips) {
                if let Some((pid, _)) = roles::postmaster(world, h) {
                    world.hosts[h.0 as usize].files.pg.promote_signal = true;
                    world.signal(pid, Signal::Usr1, s);
                }
            }
        }
        Fault::PgCtlStop { target, mode } => {
            for h in resolve(world, target, vips) {
                if let Some((pid, _)) = roles::postmaster(world, h) {
                    world.signal(pid, mode.signal(), s);
                }
            }
        }
        Fault::DnsRecord { name, to } => {
            let addresses: Vec<Ip> = resolve(world, to, vips)
                .into_iter()
                .filter_map(|h| world.host(h).nics.first().map(|n| n.primary.ip))
                .collect();
            let servers: Vec<Pid> = (0..world.procs.len() as u16).map(Pid).collect();
            for pid in servers {
                if matches!(world.proc(pid).logic, Daemon::Dns(_)) {
                    let update = dns::msg::Dns::Update(0, name.as_str().into(), addresses.clone().into());
                    world.call(pid, Msg::Dns(Box::new(update)), s);
                }
            }
        }
        Fault::PcpAttachNode { target, node } => pcp(world, target, Pcp::Attach(*node), vips, s),
        Fault::PcpDetachNode { target, node, graceful } => {
            pcp(world, target, Pcp::Detach(*node, *graceful), vips, s);
        }
        Fault::PcpPromoteNode { target, node, switchover } => {
            pcp(world, target, Pcp::Promote(*node, *switchover), vips, s);
        }
        Fault::PcpRecoveryNode { target, node } => pcp(world, target, Pcp::Recovery(*node), vips, s),
        Fault::Fence { target, by } => fence(world, target, by, vips, s),
        _ => {}
    }
}

/// An administrator's command to the pgpools of these hosts.
fn pcp(world: &mut World, target: &crate::scenario::types::Target, what: Pcp, vips: &[Ip], s: &mut Sched) {
    for h in resolve(world, target, vips) {
        if let Some((pid, ())) =
            roles::daemon(world, h, |d| matches!(d, Daemon::Pgpool(p) if p.is_pcp()).then_some(()))
        {
            world.call(pid, Msg::Pgpool(Box::new(pgpool::msg::Msg::Pcp(what.clone()))), s);
        }
    }
}
/// Somebody runs a fence agent by hand.
fn fence(
    world: &mut World,
    target: &crate::scenario::types::Target,
    by: &crate::scenario::types::Target,
    vips: &[Ip],
    s: &mut Sched,
) {
    use crate::proto::fence::msg::{Command, Fence};
    let victims = resolve(world, target, vips);
    for (n, victim) in (0u32..).zip(victims) {
        let port: Arc<str> = world.host(victim).name.as_str().into();
        for h in resolve(world, by, vips) {
            let tool =
                roles::daemon(world, h, |d| matches!(d, Daemon::Fence(_) | Daemon::Sbd(_)).then_some(()));
            if let Some((pid, ())) = tool.filter(|(pid, ())| super::runs(world, *pid)) {
                let ask = Fence::Request { id: n, command: Command::Reboot, port: port.clone() };
                world.call(pid, Msg::Fence(Box::new(ask)), s);
            }
        }
    }
}

/// A request to the REST interface of a member that runs: the leader's, or any.
fn rest(world: &mut World, method: Method, path: &str, body: Option<Body>, s: &mut Sched) {
    let runs = |h| roles::patroni(world, h).map(|(pid, _)| pid).filter(|pid| super::runs(world, *pid));
    let pid = roles::primary(world).and_then(runs).or_else(|| roles::hosts(world).find_map(runs));
    if let Some(pid) = pid {
        world.call(pid, Msg::Http(Http::Request(method, path.into(), body.map(Arc::new))), s);
    }
}

fn move_leader(world: &mut World, target: &crate::scenario::types::Target, vips: &[Ip], s: &mut Sched) {
    let stores: Vec<_> = roles::hosts(world).filter(|h| roles::is_store(world, *h)).collect();
    let Some(to) = resolve(world, target, vips).into_iter().find_map(|h| stores.iter().position(|x| *x == h))
    else {
        return;
    };
    let Some(pid) = roles::store_leader(world).and_then(|h| roles::store(world, h)) else { return };
    let to = Member(to as u8);
    let msg = match &world.proc(pid).logic {
        Daemon::Etcd(..) => {
            Msg::Etcd(Box::new(etcd::msg::Msg::Request(0, etcd::msg::Request::MoveLeader(to))))
        }
        Daemon::ConsulServer(..) => {
            let ask = consul::msg::Request::MoveLeader(to);
            Msg::Consul(Box::new(consul::msg::Msg::Request(0, Arc::new(ask))))
        }
        _ => return,
    };
    world.call(pid, msg, s);
}

fn delete_key(world: &mut World, s: &mut Sched) {
    let Some(pid) = roles::store_leader(world).and_then(|h| roles::store(world, h)) else { return };
    let msg = match &world.proc(pid).logic {
        Daemon::Etcd(e) => {
            let Some(key) =
                e.store().range("/").into_iter().map(|kv| kv.key).find(|k| k.ends_with("/leader"))
            else {
                return;
            };
            let txn = etcd::msg::Txn { then: vec![etcd::msg::Op::Delete(key)], ..Default::default() };
            Msg::Etcd(Box::new(etcd::msg::Msg::Request(0, etcd::msg::Request::Txn(Arc::new(txn)))))
        }
        Daemon::ConsulServer(c) => {
            let (keys, _) = c.state().keys("");
            let Some(key) = keys.into_iter().map(|e| e.key).find(|k| k.ends_with("/leader")) else { return };
            let ask = consul::msg::Request::Delete(key, None);
            Msg::Consul(Box::new(consul::msg::Msg::Request(0, Arc::new(ask))))
        }
        _ => return,
    };
    world.call(pid, msg, s);
}

/// The end of a `pg_basebackup` from the primary, and of `PGSQL.lock`. A server that runs is left alone: nobody copies under it.
fn rebuild(world: &mut World, host: HostId, s: &Sched) {
    let Some(primary) = roles::primary(world).filter(|p| *p != host) else { return };
    let Some(identity) =
        roles::postmaster(world, primary).map(|(_, p)| p.copied(&world.host(primary).files.pg))
    else {
        return;
    };
    let files = &mut world.hosts[host.0 as usize].files;
    if files.pg.postmaster.is_some() {
        return;
    }
    files.pg.base_backup(&identity);
    let mut told: Vec<(Arc<str>, bool)> = files
        .crm
        .pgsql
        .iter_mut()
        .map(|(rsc, dir)| (rsc.as_str().into(), std::mem::take(&mut dir.lock)))
        .collect();
    if told.is_empty() {
        told.push(("postgres".into(), false));
    }
    for (rsc, lock) in told {
        let note = crate::proto::crm::note::Note::Pgsql { rsc, fact: Fact::Rebuilt { lock } };
        world.tell(s, Some(host), None, What::Note(crate::proto::Note::Crm(Box::new(note))));
    }
}
