//! A Pacemaker cluster: its controllers and the election, the transition action by action, resources as Pacemaker believes them and as they are,
//! fence devices and `sbd` with what they did last.

use super::model::Player;
use super::view::Look;
use crate::engine::Time;
use crate::fault::roles;
use crate::node::process::HostId;
use crate::node::world::{Life, Power};
use crate::proto::Daemon;
use crate::proto::crm::config::Primitive;
use crate::proto::crm::controld::shown::{Phase, Shown};
use crate::proto::crm::msg::Step;
use crate::proto::crm::{self, Process};
use crate::proto::pacemaker::cib::Cib;
use crate::proto::pacemaker::history::base_name;
use crate::proto::pacemaker::model::Role;
use crate::proto::pacemaker::score;
use crate::report::story::pad;
use crate::say;
use crate::sim::World;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use std::collections::BTreeMap;
use unicode_width::UnicodeWidthStr;

fn bold(text: String) -> Line<'static> {
    Line::styled(text, Style::new().add_modifier(Modifier::BOLD))
}
/// Words in as many lines as they need.
fn pack(words: &[String], width: usize) -> Vec<Line<'static>> {
    let mut lines: Vec<String> = Vec::new();
    for w in words {
        match lines.last_mut() {
            Some(l) if l.width() + w.width() + 2 <= width => {
                l.push_str("  ");
                l.push_str(w);
            }
            _ => lines.push(format!(" {w}")),
        }
    }
    lines.into_iter().map(Line::raw).collect()
}

/// The panel.
pub(super) fn lines(p: &Player, area: Rect, _look: Look) -> Vec<Line<'static>> {
    let world = &p.now.model.world;
    let (width, rows) =
        (usize::from(area.width.saturating_sub(2)), usize::from(area.height.saturating_sub(2)));
    let nodes: Vec<HostId> = roles::hosts(world).filter(|h| has_crm(world, *h)).collect();
    if nodes.is_empty() {
        return vec![Line::raw(say!("panel-crm-none"))];
    }
    let mut out = controllers(p, &nodes, width);
    let devices = devices(p, width);
    // The transition has four lines at least; resources have what is left, fence devices last.
    let mut table = resources(p, width);
    let least = 4;
    table.truncate(rows.saturating_sub(out.len() + devices.len() + least).max(2));
    let room = rows.saturating_sub(out.len() + table.len() + devices.len()).max(least);
    out.extend(transition(p, &nodes, room));
    out.extend(table);
    out.extend(devices);
    out
}
fn has_crm(world: &World, h: HostId) -> bool {
    world.host(h).procs.iter().any(|q| matches!(world.proc(*q).logic, Daemon::Crm(_)))
}

/// Who is the DC, and what state each controller is in.
fn controllers(p: &Player, nodes: &[HostId], width: usize) -> Vec<Line<'static>> {
    let world = &p.now.model.world;
    let dcs: Vec<&str> = nodes
        .iter()
        .filter(|h| crate::fault::is_dc(world, **h))
        .map(|h| world.host(*h).name.as_str())
        .collect();
    let head = match dcs.as_slice() {
        [] => say!("panel-crm-no-dc"),
        all => say!("panel-crm-dc", dc = all.join(", ")),
    };
    let one = |h: &HostId| {
        let host = world.host(*h);
        let dead: Vec<&str> = host
            .procs
            .iter()
            .map(|q| world.proc(*q))
            .filter(|q| matches!(q.logic, Daemon::Crm(_)) && q.life != Life::Running)
            .map(|q| q.name.strip_prefix("pacemaker-").unwrap_or(&q.name))
            .collect();
        let gone =
            if dead.len() >= 7 { "!".to_owned() } else { dead.iter().map(|d| format!(" !{d}")).collect() };
        let Some(c) = crate::fault::controller(world, *h) else { return format!("{} -{gone}", host.name) };
        let star = if c.is_dc() { "*" } else { "" };
        let votes = c.votes().map_or(String::new(), |(n, of)| format!(" {n}/{of}"));
        let quorum = if c.quorate() { "" } else { " -Q" };
        format!("{}{star} {}{votes}{quorum}{gone}", host.name, c.state().name())
    };
    let mut out = vec![bold(head)];
    out.extend(pack(&nodes.iter().map(one).collect::<Vec<_>>(), width));
    out
}

/// An action in few words: `start vip h3`, `reboot h1`.
fn name(s: &Step) -> String {
    let task = match (s.task.as_str(), &s.fencing, &s.op) {
        ("stonith", Some(how), _) => how.clone(),
        (t, _, Some(op)) if !op.interval.is_zero() => format!("{t}={}s", op.interval.as_ms() / 1000),
        (t, ..) => t.to_owned(),
    };
    let words = [Some(task.as_str()), s.rsc.as_deref(), s.node.as_deref()];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
/// The transition of the DC.
fn transition(p: &Player, nodes: &[HostId], room: usize) -> Vec<Line<'static>> {
    let world = &p.now.model.world;
    let now = p.now.sched.now();
    let dc = nodes.iter().filter_map(|h| crate::fault::controller(world, *h)).find(|c| c.is_dc());
    let mut out: Vec<Line<'static>> = asked(world, nodes);
    let Some(c) = dc else { return out };
    let Some(t) = c.transition() else {
        out.push(bold(say!("panel-crm-over", n = c.last_transition())));
        let told = c.decided().iter().map(|l| Line::raw(format!(" {} {} ({})", l.change, l.what, l.details)));
        let free = room.saturating_sub(out.len());
        out.extend(told.take(free));
        return out;
    };
    let done = t.steps.iter().filter(|s| s.1 == Phase::Done).count();
    let key = if t.aborted { "panel-crm-aborted" } else { "panel-crm-transition" };
    out.push(bold(say!(key, n = t.id, done = done, of = t.steps.len())));
    let mut open: Vec<String> = Vec::new();
    for (s, phase) in &t.steps {
        // What is only for the order says nothing.
        if s.pseudo || *phase == Phase::Done {
            continue;
        }
        open.push(step(&t, s, *phase, now));
    }
    // What runs stands first.
    open.sort_by_key(|l| "!>.x".find(l.chars().next().unwrap_or('x')));
    let free = room.saturating_sub(out.len()).max(1);
    let cut = open.len().saturating_sub(free);
    let keep = if cut > 0 { free - 1 } else { free };
    let more = open.len().saturating_sub(keep);
    out.extend(open.into_iter().take(keep).map(|l| Line::raw(format!(" {l}"))));
    if more > 0 {
        out.push(Line::raw(say!("panel-crm-more", n = more)));
    }
    out
}
fn step(t: &Shown<'_>, s: &Step, phase: Phase, now: Time) -> String {
    match phase {
        Phase::Runs(Some(by)) => say!("panel-crm-runs", what = name(s), left = Time(by.since(now).0)),
        Phase::Runs(None) => format!("> {}", name(s)),
        Phase::Failed => format!("! {}", name(s)),
        Phase::Stuck => say!("panel-crm-stuck", what = name(s)),
        Phase::Waits(Some(of)) => {
            // What stands for a group or a fencing waits itself: what it waits for in the end is meant.
            let mut at = of;
            for _ in 0..t.steps.len() {
                match t.steps[at] {
                    (x, Phase::Waits(Some(next))) if x.pseudo => at = next,
                    _ => break,
                }
            }
            say!("panel-crm-waits", what = name(s), of = name(t.steps[at].0))
        }
        Phase::Waits(None) | Phase::Done => format!(". {}", name(s)),
    }
}
/// Fencings that fencers are about, an operator's too.
fn asked(world: &World, nodes: &[HostId]) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    for h in nodes {
        let fenced = roles::daemon(world, *h, |d| match d {
            Daemon::Crm(c) => {
                if let Process::Fenced(f) = &**c {
                    Some(f)
                } else {
                    None
                }
            }
            _ => None,
        });
        let known = |t: &&str| {
            let c = crate::fault::controller(world, *h);
            !c.is_some_and(|c| c.fencing().iter().any(|f| f == t))
        };
        for target in fenced.iter().flat_map(|(_, f)| f.pending()).filter(known) {
            out.push(bold(say!("panel-crm-fencing", target = target, by = world.host(*h).name)));
        }
    }
    out
}

/// Resources: where Pacemaker believes they run, where they do, and fail counts.
fn resources(p: &Player, width: usize) -> Vec<Line<'static>> {
    let world = &p.now.model.world;
    let Some(v) = crate::fault::cib(world) else { return Vec::new() };
    let now = crm::EPOCH + i64::try_from(p.now.sched.now().as_ms() / 1000).unwrap_or(0);
    let Ok(plan) = crate::proto::pacemaker::schedule(&v.cib, now) else { return Vec::new() };
    let mut believed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (rsc, nodes) in &plan.before {
        let all = believed.entry(base_name(rsc)).or_default();
        for (node, roles) in nodes {
            let letter = match roles.first() {
                Some(Role::Promoted) => "(P)",
                Some(Role::Unpromoted) => "(U)",
                _ => "",
            };
            all.push(format!("{node}{letter}"));
        }
    }
    let wide =
        [14, (width.saturating_sub(14) / 2).saturating_sub(3).max(8), (width.saturating_sub(14) / 4).max(13)];
    let row = |a: &str, b: &str, c: &str, d: &str| {
        Line::raw(format!(" {}{}{}{d}", pad(a, wide[0] - 1), pad(b, wide[1]), pad(c, wide[2])))
    };
    let mut out = vec![bold(format!(
        " {}{}{}{}",
        pad(&say!("panel-crm-resource"), wide[0] - 1),
        pad(&say!("panel-crm-believed"), wide[1]),
        pad(&say!("panel-crm-true"), wide[2]),
        say!("panel-crm-failed")
    ))];
    let mut all: Vec<Primitive> = crm::cib::primitives(&v.cib.root).into_iter().map(|r| r.0).collect();
    all.sort_by_key(|r| r.agent.starts_with("stonith:"));
    for rsc in all {
        let mut on = believed.remove(rsc.id.as_str()).unwrap_or_default();
        on.sort();
        let on = if on.is_empty() { "-".to_owned() } else { on.join(" ") };
        out.push(row(&rsc.id, &on, &really(world, &rsc), &failures(&v.cib, &rsc.id)));
    }
    out
}
/// Where a resource runs, whoever believes what.
fn really(world: &World, rsc: &Primitive) -> String {
    let runs = |h: &HostId| {
        let host = world.host(*h);
        if host.power != Power::On {
            return false;
        }
        if rsc.agent.contains("IPaddr") {
            let ip = rsc.params.get("ip").and_then(|ip| ip.parse().ok());
            return host.addresses.iter().any(|(_, a)| Some(a.ip) == ip);
        }
        if let Some(name) = rsc.agent.strip_prefix("systemd:") {
            return world.find_proc(*h, name).is_some_and(|q| world.proc(q).life != Life::Dead);
        }
        if rsc.agent.ends_with(":pgsql") {
            return roles::postmaster(world, *h).is_some_and(|(pid, _)| world.proc(pid).life != Life::Dead);
        }
        host.files.crm.run.get(&rsc.id).is_some_and(|f| f.running)
    };
    let names: Vec<&str> = roles::hosts(world).filter(runs).map(|h| world.host(h).name.as_str()).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(" ") }
}
/// Fail counts by node, all operations together.
fn failures(cib: &Cib, rsc: &str) -> String {
    let prefix = format!("fail-count-{rsc}#");
    let mut out = Vec::new();
    for s in &cib.nodes {
        let pairs = s.attributes.iter().flat_map(|a| &a.children).flat_map(|set| &set.children);
        let counts = pairs.filter(|p| p.get("name").is_some_and(|n| n.starts_with(&prefix)));
        let sum = counts.fold(0, |sum, p| score::add(sum, score::parse(p.get("value").unwrap_or("0"))));
        if sum > 0 {
            out.push(format!(
                "{} {}",
                s.name,
                if sum >= 1_000_000 { "INF".to_owned() } else { sum.to_string() }
            ));
        }
    }
    out.join(" ")
}

/// Fence devices that have had an order, and `sbd`: how they are, and what they did last.
fn devices(p: &Player, width: usize) -> Vec<Line<'static>> {
    let world = &p.now.model.world;
    let now = p.now.sched.now();
    let last = |h: HostId, kinds: &[&str]| {
        let mark =
            p.run.marks.iter().rev().find(|m| m.at <= now && m.host == Some(h) && kinds.contains(&m.kind));
        mark.map(|m| format!("{} {}", m.at, m.text))
    };
    let mut out: Vec<String> = Vec::new();
    let mut idle = 0;
    for h in roles::hosts(world) {
        let name = &world.host(h).name;
        for q in &world.host(h).procs {
            match &world.proc(*q).logic {
                Daemon::Fence(d) => match last(h, &DEVICE) {
                    Some(text) => out.push(format!("{name} {:?}: {text}", d.mode())),
                    None => idle += 1,
                },
                Daemon::Sbd(d) => {
                    let dog = &world.host(h).watchdog;
                    let left = (dog.fed + dog.timeout).since(now);
                    let state = match (dog.armed(), d.feeds()) {
                        (true, true) => say!("panel-crm-sbd-feeds"),
                        (true, false) => say!("panel-crm-sbd-silent", left = Time(left.0)),
                        (false, _) => say!("panel-crm-sbd-off"),
                    };
                    let text = last(h, &SBD).map_or(String::new(), |t| format!("; {t}"));
                    out.push(format!("sbd {name} {state}{text}"));
                }
                _ => {}
            }
        }
    }
    let mut lines: Vec<Line<'static>> = Vec::new();
    if !out.is_empty() || idle > 0 {
        lines.push(bold(say!("panel-crm-devices", n = idle)));
    }
    let fits = |t: String| {
        let mut t = t;
        while t.width() + 1 > width {
            t.pop();
        }
        Line::raw(format!(" {t}"))
    };
    lines.extend(out.into_iter().map(fits));
    lines
}
/// Marks of fence devices.
const DEVICE: [&str; 7] = [
    "device_asked",
    "power_cut",
    "outlet_off",
    "power_restored",
    "device_failed",
    "device_lied",
    "device_hangs",
];
/// Marks of `sbd`.
const SBD: [&str; 10] = [
    "disk_lost",
    "disk_back",
    "survives_on_pacemaker",
    "stops_feeding",
    "feeds_again",
    "poison_pill",
    "pill_written",
    "pill_failed",
    "msgwait_over",
    "stopping",
];
