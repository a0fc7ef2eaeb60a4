//! The processes of pgpools: the parent with its accept queue, children with their sessions and what they keep, the others; and the
//! backends as each pgpool sees them.

use super::model::Player;
use super::view::Look;
use crate::engine::Time;
use crate::fault::roles;
use crate::node::process::{HostId, Pid};
use crate::node::world::Life;
use crate::proto::pgpool::shared::{ChildState, Shared, Status};
use crate::proto::pgpool::{Role, Setup};
use crate::report::story::pad;
use crate::say;
use crate::sim::World;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

fn bold(text: String) -> Line<'static> {
    Line::styled(text, Style::new().add_modifier(Modifier::BOLD))
}

/// The panel: the selected host's pgpool first.
pub(super) fn lines(p: &Player, area: Rect, look: Look) -> Vec<Line<'static>> {
    let world = &p.now.model.world;
    let selected = HostId(p.selected as u16);
    let mut hosts: Vec<HostId> = roles::hosts(world).filter(|h| roles::pgpool(world, *h).is_some()).collect();
    hosts.sort_by_key(|h| (*h != selected, *h));
    let mut out = Vec::new();
    for h in hosts {
        if let Some(setup) = roles::pgpool(world, h) {
            out.extend(one(world, h, setup, p.now.sched.now(), area, look));
        }
    }
    if out.is_empty() {
        out.push(Line::raw(say!("panel-no-pool")));
    }
    out
}

fn one(world: &World, host: HostId, setup: &Setup, now: Time, area: Rect, look: Look) -> Vec<Line<'static>> {
    let shared = &world.host(host).files.pgpool;
    let listener = world.host(host).tcp.shared.get(&setup.config.port);
    let (queued, dropped) = listener.map_or((0, 0), |l| (l.queue.len(), l.dropped));
    let longest = listener.and_then(|l| l.queue.front()).map_or(0, |q| now.since(q.since).as_ms());
    let name = &world.host(host).name;
    let mut out = vec![bold(say!("panel-pool-title", host = name, mode = setup.mode.name()))];
    out.push(Line::raw(say!(
        "panel-pool-queue",
        n = queued,
        of = setup.config.backlog() + u32::from(setup.config.accept_queue_plus_one),
        ms = longest,
        dropped = dropped
    )));
    for (n, b) in shared.backends.iter().enumerate() {
        let role = match (shared.primary == Some(n as u8), shared.main() == Some(n as u8)) {
            (true, _) => say!("panel-pool-primary"),
            (false, true) => say!("panel-pool-main"),
            _ => String::new(),
        };
        let status = match (b.status, b.quarantine) {
            (_, true) => say!("panel-pool-quarantine"),
            (Status::Down, _) => say!("panel-pool-down"),
            _ => say!("panel-pool-up"),
        };
        let host = setup.backends.get(n).map_or("", |b| &b.host);
        let text = say!(
            "panel-pool-node",
            n = n,
            host = host,
            status = status,
            role = role,
            selects = b.selects,
            delay = b.delay.0
        );
        out.push(Line::raw(format!(" {text}")));
    }
    out.push(Line::raw(say!("panel-pool-processes")));
    let dead = |pid: Pid| match world.proc(pid).life {
        Life::Running => "",
        Life::Dead => "!",
        Life::Stopped | Life::Hung => "?",
    };
    // Those that are not children stand in one line.
    let others: Vec<String> = setup
        .processes
        .iter()
        .filter(|(role, _)| !matches!(role, Role::Child(_)))
        .map(|(role, pid)| format!("{}{}", short(*role), dead(*pid)))
        .collect();
    out.push(Line::raw(format!(" {}", others.join("  "))));
    out.extend(children(world, setup, shared, now, area, look));
    out
}
/// The name of a process without that of its pgpool.
fn short(role: Role) -> String {
    let name = role.name("pgpool");
    name.strip_prefix("pgpool/").unwrap_or(&name).to_owned()
}

/// Children: those with a session one in a line, the others counted.
fn children(
    world: &World,
    setup: &Setup,
    shared: &Shared,
    now: Time,
    area: Rect,
    look: Look,
) -> Vec<Line<'static>> {
    let branch = if look.ascii { "+-" } else { "\u{251c}\u{2500}" };
    let room = usize::from(area.height).saturating_sub(8).max(3);
    let mut out = Vec::new();
    let (mut idle, mut kept, mut gone) = (0, 0, 0);
    for (role, pid) in &setup.processes {
        let Role::Child(n) = role else { continue };
        let Some(c) = shared.children.get(usize::from(*n)) else { continue };
        if world.proc(*pid).life == Life::Dead {
            gone += 1;
            continue;
        }
        kept += c.cached.len();
        let Some((login, since)) = &c.session else {
            idle += 1;
            continue;
        };
        if out.len() < room {
            let text = format!("{}@{}", login.user, login.database);
            let word = state(c);
            let reads = c.balanced.map_or(String::new(), |n| say!("panel-pool-reads", n = n));
            let ms = now.since(*since).as_ms();
            out.push(Line::raw(format!(
                " {branch} child {n:<4}{} {word:<12} {ms:>7} ms  {reads}",
                pad(&text, 18)
            )));
        }
    }
    let cut = shared.children.iter().filter(|c| c.session.is_some()).count().saturating_sub(out.len());
    if cut > 0 {
        out.push(Line::raw(say!("panel-pool-more", n = cut)));
    }
    out.push(Line::raw(say!("panel-pool-idle", idle = idle, kept = kept, gone = gone)));
    out
}
fn state(c: &ChildState) -> String {
    say!(match (c.busy, c.transaction) {
        (true, _) => "panel-pool-busy",
        (false, true) => "panel-pool-in-transaction",
        _ => "panel-pool-silent",
    })
}
