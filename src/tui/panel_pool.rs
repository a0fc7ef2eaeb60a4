//! The processes of pgpools: the parent with its accept queue, children with their sessions and what they keep, the others; and the
//! backends as each pgpool sees them.

use super::model::Player;
use super::view::{Look, paint};
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
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use unicode_width::UnicodeWidthStr;

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
    let name = &world.host(host).name;
    let mut out = vec![bold(say!("panel-pool-title", host = name, mode = setup.mode.name()))];
    queue(world, host, setup, now, area, look, &mut out);
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
    tree(world, setup, area, look, &mut out);
    children(world, setup, shared, now, area, look, &mut out);
    out
}
/// The kernel's queue of clients: a bar of its places, and how long the first has waited.
fn queue(
    world: &World,
    host: HostId,
    setup: &Setup,
    now: Time,
    area: Rect,
    look: Look,
    out: &mut Vec<Line<'static>>,
) {
    let listener = world.host(host).tcp.shared.get(&setup.config.port);
    let (n, dropped) = listener.map_or((0, 0), |l| (l.queue.len(), l.dropped));
    let of = (setup.config.backlog() + u32::from(setup.config.accept_queue_plus_one)) as usize;
    out.push(Line::raw(say!("panel-pool-queue", n = n, of = of)));
    if n > 0 {
        let room = usize::from(area.width).saturating_sub(30).clamp(10, 60);
        let full = (n * room).div_ceil(of.max(1)).min(room);
        let (taken, free) = if look.ascii { ("#", ".") } else { ("\u{2588}", "\u{2591}") };
        let bar = format!("[{}{}]", taken.repeat(full), free.repeat(room - full));
        let ms = listener.and_then(|l| l.queue.front()).map_or(0, |q| now.since(q.since).as_ms());
        out.push(Line::styled(say!("panel-pool-bar", bar = bar, n = n, ms = ms), paint(look, Color::Yellow)));
    }
    if dropped > 0 {
        out.push(Line::raw(say!("panel-pool-dropped", dropped = dropped)));
    }
}
/// The parent and what it has forked, but for the children: as many in a line as there is room for.
fn tree(world: &World, setup: &Setup, area: Rect, look: Look, out: &mut Vec<Line<'static>>) {
    let dead = |pid: Pid| match world.proc(pid).life {
        Life::Running => "",
        Life::Dead => "!",
        Life::Stopped | Life::Hung => "?",
    };
    let words: Vec<(Role, String)> = setup
        .processes
        .iter()
        .filter(|(role, _)| !matches!(role, Role::Child(_)))
        .map(|(role, pid)| (*role, format!("{}{}", short(*role), dead(*pid))))
        .collect();
    let parent = words.iter().find(|w| w.0 == Role::Parent).map_or("", |w| w.1.as_str());
    out.push(Line::raw(format!("{parent}  ({})", say!("panel-pool-processes"))));
    let room = usize::from(area.width).saturating_sub(2);
    let mut line = String::new();
    for (_, word) in words.iter().filter(|w| w.0 != Role::Parent) {
        if !line.is_empty() && line.width() + 2 + word.width() > room {
            out.push(Line::raw(std::mem::take(&mut line)));
        }
        line.push_str(&if line.is_empty() {
            format!(" {} {word}", branch(look))
        } else {
            format!("  {word}")
        });
    }
    if !line.is_empty() {
        out.push(Line::raw(line));
    }
}
const fn branch(look: Look) -> &'static str {
    if look.ascii { "+-" } else { "\u{251c}\u{2500}" }
}
/// The name of a process without that of its pgpool; health checks go by their node.
fn short(role: Role) -> String {
    let name = role.name("pgpool");
    let name = name.strip_prefix("pgpool/").unwrap_or(&name);
    name.replace("heartbeat_sender", "beats_to").replace("heartbeat_receiver", "hears")
}

/// Children: those with a session one in a line, the others counted.
fn children(
    world: &World,
    setup: &Setup,
    shared: &Shared,
    now: Time,
    area: Rect,
    look: Look,
    out: &mut Vec<Line<'static>>,
) {
    // The frame, the line of those that have no room, and the line of the idle ones.
    let room = usize::from(area.height).saturating_sub(out.len() + 4).max(1);
    let mut shown = 0;
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
        if shown < room {
            shown += 1;
            let text = format!("{}@{}", login.user, login.database);
            let word = match world.proc(*pid).life {
                Life::Stopped | Life::Hung => "?".to_owned(),
                _ => state(c),
            };
            let reads = c.balanced.map_or(String::new(), |n| say!("panel-pool-reads", n = n));
            let ms = now.since(*since).as_ms();
            out.push(Line::raw(format!(
                " {} child {n:<3}{} {} {ms:>7} ms  {reads}",
                branch(look),
                pad(&text, 13),
                pad(&word, 6)
            )));
        }
    }
    let cut = shared.children.iter().filter(|c| c.session.is_some()).count().saturating_sub(shown);
    if cut > 0 {
        out.push(Line::raw(say!("panel-pool-more", n = cut)));
    }
    out.push(Line::raw(say!("panel-pool-idle", idle = idle, kept = kept, gone = gone)));
}
fn state(c: &ChildState) -> String {
    say!(match (c.busy, c.transaction) {
        (true, _) => "panel-pool-busy",
        (false, true) => "panel-pool-in-transaction",
        _ => "panel-pool-silent",
    })
}
