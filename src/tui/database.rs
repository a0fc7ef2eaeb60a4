//! What the player shows of a database stack: who is what, what each believes, and what is true.

use super::view::Look;
use crate::engine::Time;
use crate::fault::roles;
use crate::node::process::HostId;
use crate::node::world::Life;
use crate::proto::Daemon;
use crate::say;
use crate::sim::World;
use crate::tui::model::Player;

/// The letter of a database host: a primary, a replica, neither.
pub(super) fn letter(world: &World, host: HostId) -> &'static str {
    if roles::writable(world, host) {
        "P"
    } else if roles::is_replica(world, host) {
        "R"
    } else {
        "-"
    }
}

/// What stands behind a host's name: of a database its timeline, the leader key and whether it streams; of a proxy its servers.
pub(super) fn host_text(p: &Player, host: HostId) -> Option<String> {
    let world = &p.now.model.world;
    if roles::has_postgres(world, host) {
        let mut text = format!("T{}", roles::timeline(world, host));
        if roles::believes(world, host, p.now.sched.now()) {
            text.push_str(" key");
        }
        if roles::streams(world, host) {
            text.push_str(&format!(" {}", say!("ui-streams")));
        }
        if let Some(queue) = queue(world, host) {
            text.push_str(&format!(" {queue}"));
        }
        return Some(text);
    }
    let proxy = roles::daemon(world, host, |d| if let Daemon::HAProxy(h) = d { h.proxy() } else { None });
    if let Some((_, proxy)) = proxy {
        // The first section is that of the primary: who is up there is whom writes go to.
        let mut servers = proxy.servers().peekable();
        let section = servers.peek().map(|s| s.section.clone())?;
        let up = servers.filter(|s| s.section == section && s.up).map(|s| s.server.to_string());
        let up: Vec<String> = up.collect();
        return Some(format!("-> {}", if up.is_empty() { say!("ui-nobody") } else { up.join(" ") }));
    }
    if let Some(setup) = roles::pgpool(world, host) {
        let busy = world.host(host).files.pgpool.children.iter().filter(|c| c.session.is_some()).count();
        let text = format!("{busy}/{}", setup.config.num_init_children);
        return Some(queue(world, host).unwrap_or(text));
    }
    let app = roles::daemon(world, host, |d| if let Daemon::App(a) = d { Some(a) } else { None });
    app.map(|(_, a)| {
        let to = a.sessions().next().map_or("?".to_owned(), |(_, h)| world.host(h).name.clone());
        let wait = a.pending().1.map(|t| p.now.sched.now().since(t));
        let long = wait.filter(|w| *w >= crate::engine::Span::secs(1));
        format!("-> {to}{}", long.map_or(String::new(), |w| say!("ui-waits", time = w)))
    })
}

/// The clients that a pgpool has not accepted yet, if there are any.
fn queue(world: &World, host: HostId) -> Option<String> {
    let port = roles::pgpool(world, host)?.config.port;
    let n = world.host(host).tcp.shared.get(&port)?.queue.len();
    (n > 0).then(|| say!("ui-queue", n = n))
}

/// What the daemons of a host believe, one line each.
pub(super) fn beliefs(p: &Player, host: HostId) -> Vec<String> {
    let world = &p.now.model.world;
    let now = p.now.sched.now();
    let wall = world.wall_clock(host, now);
    let mut lines = Vec::new();
    for pid in &world.host(host).procs {
        let proc = world.proc(*pid);
        match proc.life {
            Life::Dead => continue,
            Life::Running => {}
            // What stands still goes on believing what it believed.
            Life::Stopped | Life::Hung => lines.push(format!("{} {:?}", proc.name, proc.life)),
        }
        match &proc.logic {
            Daemon::Patroni(a) => {
                lines.push(format!("Patroni: {}, {}", a.role().word(), a.state().word()));
                if let Some(leader) = a.cluster().and_then(|c| c.leader.as_ref()) {
                    lines.push(say!("ui-thinks-leader", who = leader.name));
                }
                if a.believes_leader(wall) {
                    let left = u64::try_from(a.leader_expiry() - wall).unwrap_or(0);
                    lines.push(say!("ui-lease", time = Time(left)));
                }
                if a.paused() {
                    lines.push(say!("ui-paused"));
                }
            }
            Daemon::Postgres(a) => lines.extend(a.beliefs(&world.host(host).files.pg)),
            Daemon::App(a) => {
                for (to, at) in a.sessions() {
                    lines.push(say!("ui-session", to = to, host = world.host(at).name));
                }
                if let (1.., Some(since)) = a.pending() {
                    lines.push(say!("ui-waits", time = now.since(since)));
                }
            }
            _ => {}
        }
    }
    lines
}

/// What is true about the cluster.
pub(super) fn truths(p: &Player, _: Look) -> Vec<String> {
    let world = &p.now.model.world;
    let name = |h: HostId| world.host(h).name.clone();
    let primaries: Vec<String> = roles::primaries(world).map(name).collect();
    let owner = roles::key_owner(world).unwrap_or_else(|| say!("ui-nobody"));
    let leader = roles::store_leader(world).map_or_else(|| say!("ui-nobody"), name);
    let writable = if primaries.is_empty() { say!("ui-nobody") } else { primaries.join(&say!("and")) };
    let mut lines = vec![
        say!("ui-writable", who = writable),
        say!("ui-key", who = owner),
        say!("ui-dcs-leader", who = leader),
    ];
    let b = &p.now.model.watch.ledger;
    if let Some((n, ..)) = b.lost() {
        lines.push(say!("ui-lost-writes", n = n));
    }
    lines
}

/// How long a host's watchdog still waits, if it counts down.
pub(super) fn watchdog(p: &Player, host: HostId) -> Option<String> {
    let h = p.now.model.world.host(host);
    let dog = &h.watchdog;
    dog.armed().then(|| {
        let left = (dog.fed + dog.timeout).since(p.now.sched.now());
        say!("ui-watchdog", time = Time(left.0))
    })
}
