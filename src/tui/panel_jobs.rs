//! The Gantt chart of a batch cluster: a row for each node, time from left to right, a character for each job; below it the queue.
//!
//! Letters carry the meaning, colours repeat it: a job has the last character of its name, or a letter by its number when two would be
//! alike.

use super::model::Player;
use super::view::Look;
use crate::engine::Time;
use crate::node::process::HostId;
use crate::proto::Daemon;
use crate::proto::batch::controller::{Controller, Role};
use crate::proto::batch::state::{DownWhy, State};
use crate::report::story::pad;
use crate::say;
use crate::sim::World;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// The controller in charge, or the first one.
pub(super) fn controller(world: &World) -> Option<&Controller> {
    let all = || {
        world.procs.iter().filter_map(|p| match &p.logic {
            Daemon::Slurmctld(c) => Some(&**c),
            _ => None,
        })
    };
    all().find(|c| c.role() == Role::Active).or_else(|| all().next())
}

/// The characters of jobs, by their place in the run's list.
fn letters(p: &Player) -> Vec<char> {
    let last: Vec<Option<char>> = p.run.jobs.all.iter().map(|j| j.name.chars().last()).collect();
    let alike = (1..last.len()).any(|i| last[..i].contains(&last[i])) || last.contains(&None);
    let table: Vec<char> = ('A'..='Z').chain('a'..='w').chain('0'..='9').collect();
    let own = |i: usize| table[i % table.len()];
    (0..last.len())
        .map(|i| last[i].filter(|c| !alike && c.is_ascii_alphanumeric()).unwrap_or_else(|| own(i)))
        .collect()
}

const COLOURS: [Color; 6] =
    [Color::Green, Color::Cyan, Color::Yellow, Color::Magenta, Color::Blue, Color::LightRed];

fn style(look: Look, job: usize) -> Style {
    if look.colour { Style::new().fg(COLOURS[job % COLOURS.len()]) } else { Style::new() }
}

/// Minutes and seconds, or hours.
fn clock(t: Time) -> String {
    let s = t.0 / 1_000_000_000;
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, m, 0) => format!("{m}m"),
        (0, m, s) => format!("{m}m{s:02}"),
        (h, m, _) => format!("{h}h{m:02}"),
    }
}

/// The chart.
pub(super) fn lines(p: &Player, area: Rect, look: Look) -> Vec<Line<'static>> {
    let world = &p.now.model.world;
    let Some(ctl) = controller(world) else { return vec![Line::raw(say!("panel-no-cluster"))] };
    let now = p.now.sched.now();
    let (width, height) = (area.width.saturating_sub(2) as usize, area.height.saturating_sub(2) as usize);
    let nodes: Vec<std::sync::Arc<str>> = (0..ctl.nodes().len() as u16).map(|n| ctl.node_name(n)).collect();
    let name_width = nodes.iter().map(|n| n.chars().count()).max().unwrap_or(2).clamp(2, 10) + 1;
    let columns = width.saturating_sub(name_width).max(10);
    // As much of the run as there was, a third more to come, and never more than all of it.
    let end = Time((now.0 / 3 * 4).clamp(60_000_000_000, p.end().0.max(60_000_000_000)));
    let moment = |c: usize| Time((u128::from(end.0) * c as u128 / columns as u128) as u64);
    let here = ((u128::from(now.0) * columns as u128 / u128::from(end.0)) as usize).min(columns - 1);
    let letter = letters(p);

    let mut out = vec![axis(name_width, columns, here, end)];
    let below = queue(ctl, &letter, p, now);
    // What runs is in the chart: that line goes first when there is no room.
    let below = &below[usize::from(height < nodes.len() + 4)..];
    let room = height.saturating_sub(1 + below.len()).max(1);
    let selected = world.hosts.get(p.selected).map_or("", |h| h.name.as_str());
    let chosen = nodes.iter().position(|n| &**n == selected).unwrap_or(0);
    let first = chosen.saturating_sub(room / 2).min(nodes.len().saturating_sub(room));
    for (n, name) in nodes.iter().enumerate().skip(first).take(room) {
        let mut spans = vec![Span::raw(pad(name, name_width))];
        if &**name == selected {
            spans = vec![Span::styled(pad(name, name_width), Style::new().add_modifier(Modifier::REVERSED))];
        }
        for c in 0..columns {
            let (from, to) = (moment(c), moment(c + 1));
            spans.push(cell(p, ctl, look, &letter, (n as u16, name), (from, to, now)));
        }
        out.push(Line::from(spans));
    }
    out.extend(below.iter().cloned());
    out
}

/// Round times above the columns, and where now is.
fn axis(name_width: usize, columns: usize, here: usize, end: Time) -> Line<'static> {
    let mut text = vec![' '; columns];
    let minutes = (end.0 / 60_000_000_000).max(1);
    // A label every ten columns or more.
    let every = [1, 2, 5, 10, 15, 20, 30, 60, 120, 240, 480, 1440, 2880, 10_080];
    let step = every.into_iter().find(|s| s * columns as u64 >= 10 * minutes).unwrap_or(43_200);
    for label in 0..=minutes / step {
        let at = Time::secs(label * step * 60);
        let c = (u128::from(at.0) * columns as u128 / u128::from(end.0.max(1))) as usize;
        let word: Vec<char> = clock(at).chars().collect();
        if c + word.len() < columns {
            text[c..c + word.len()].copy_from_slice(&word);
        }
    }
    text[here] = 'v';
    let text: String = text.into_iter().collect();
    Line::styled(format!("{}{text}", " ".repeat(name_width)), Style::new().add_modifier(Modifier::BOLD))
}

/// What a node did in a stretch of time; what is to come is what the controller believes.
fn cell(
    p: &Player,
    ctl: &Controller,
    look: Look,
    letter: &[char],
    (n, name): (u16, &str),
    (from, to, now): (Time, Time, Time),
) -> Span<'static> {
    if from > now {
        let believed = ctl.jobs().iter().position(|j| {
            j.on_nodes() && j.nodes.contains(&n) && j.spec.time.is_some() && from < j.believed_end()
        });
        return match believed {
            Some(i) => Span::styled("-", style(look, i)),
            None => Span::raw(" "),
        };
    }
    let to = to.min(now);
    let away =
        p.run.jobs.away.iter().rfind(|a| &*a.node == name && a.from <= to && a.to.is_none_or(|t| t > from));
    if let Some(a) = away {
        let red = if look.colour { Style::new().fg(Color::Red) } else { Style::new() };
        return Span::styled(if a.down { "x" } else { "?" }, red);
    }
    let job = p.run.jobs.all.iter().rposition(|j| {
        j.stays
            .iter()
            .any(|s| s.nodes.contains(&n) && s.from <= to && s.to.is_none_or(|t| t > from || t == s.from))
    });
    match job {
        Some(i) => Span::styled(letter.get(i).copied().unwrap_or('*').to_string(), style(look, i)),
        None => Span::raw("."),
    }
}

/// The queue, and what became of the jobs so far.
fn queue(ctl: &Controller, letter: &[char], p: &Player, now: Time) -> Vec<Line<'static>> {
    let named = |id: u32| {
        let i = p.run.jobs.all.iter().position(|j| j.id == id);
        i.map_or_else(String::new, |i| {
            let j = &p.run.jobs.all[i];
            if j.name.ends_with(letter[i]) { j.name.to_string() } else { format!("{}={}", letter[i], j.name) }
        })
    };
    let waiting: Vec<String> = ctl
        .jobs()
        .iter()
        .filter(|j| matches!(j.state, State::Pending | State::Held))
        .map(|j| {
            let planned = j.planned.filter(|t| *t > now).map_or(String::new(), |t| format!(" @{}", clock(t)));
            format!("{}({}){planned}", named(j.id), j.spec.nodes)
        })
        .collect();
    let running: Vec<String> = ctl
        .jobs()
        .iter()
        .filter(|j| j.on_nodes())
        .map(|j| format!("{}({})", named(j.id), j.spec.nodes))
        .collect();
    let done = ctl.jobs().iter().filter(|j| j.state == State::Completed).count();
    let join = |l: &[String]| if l.is_empty() { "-".to_owned() } else { l.join(" ") };
    vec![
        Line::raw(say!("panel-running", jobs = join(&running))),
        Line::raw(say!("panel-queue", n = waiting.len(), jobs = join(&waiting))),
        Line::raw(say!("panel-legend", done = done)),
    ]
}

/// What a host of a batch cluster does, in a few words for the list of hosts.
pub(super) fn word(world: &World, host: HostId, now: Time) -> Option<String> {
    world.host(host).procs.iter().find_map(|pid| {
        let proc = world.proc(*pid);
        if proc.life == crate::node::world::Life::Dead {
            return None;
        }
        match &proc.logic {
            Daemon::Slurmctld(c) => Some(match c.role() {
                Role::Active => say!("panel-in-charge"),
                Role::Standby => say!("panel-standby"),
                Role::Starting | Role::Taking => say!("panel-starting"),
            }),
            Daemon::Steps(s) => {
                let mut words: Vec<String> = s
                    .running()
                    .map(|s| {
                        let name = controller(world)
                            .and_then(|c| c.jobs().iter().find(|j| j.id == s.job()).map(|j| j.name()))
                            .unwrap_or_default();
                        use crate::proto::batch::steps::Phase;
                        match s.phase() {
                            Phase::Ranks | Phase::Ended(_) | Phase::Gone => name,
                            Phase::Writing | Phase::Storing => format!("{name} {}", say!("panel-writes")),
                            Phase::Restarting | Phase::Reading => {
                                format!("{name} {}", say!("panel-restarts"))
                            }
                            Phase::Launching(_) | Phase::Working => {
                                format!("{name} {}%", s.permille(now) / 10)
                            }
                        }
                    })
                    .collect();
                words.sort();
                Some(words.join(" "))
            }
            _ => None,
        }
    })
}

/// What a controller, or the cluster of a node, thinks: lines for the inspector.
pub(super) fn thinks(world: &World, host: HostId, now: Time) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    for pid in &world.host(host).procs {
        match &world.proc(*pid).logic {
            Daemon::Slurmctld(c) if world.proc(*pid).life != crate::node::world::Life::Dead => {
                out.push(Line::raw(word(world, host, now).unwrap_or_default()));
                let down: Vec<String> = (0..c.nodes().len() as u16)
                    .filter_map(|n| {
                        let node = &c.nodes()[n as usize];
                        let name = c.node_name(n);
                        match node.down {
                            Some(DownWhy::NotResponding) => Some(format!("{name} DOWN")),
                            Some(DownWhy::Rebooted) => {
                                Some(format!("{name} DOWN ({})", say!("panel-rebooted")))
                            }
                            None if !node.responding && node.boot.is_some() => Some(format!("{name} ?")),
                            None => None,
                        }
                    })
                    .collect();
                if !down.is_empty() {
                    out.push(Line::raw(down.join(", ")));
                }
                for j in c.jobs().iter().filter(|j| matches!(j.state, State::Pending | State::Held)) {
                    out.push(Line::raw(format!("{} {:?}", j.name(), j.reason)));
                }
            }
            Daemon::Steps(_) | Daemon::Slurmd(_) => out.extend(word(world, host, now).map(Line::raw)),
            Daemon::Sbatch(u) => out.push(Line::raw(say!("panel-to-come", n = u.to_come()))),
            _ => {}
        }
    }
    out
}
