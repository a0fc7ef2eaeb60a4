//! Queues and loads: how long the queue of a batch cluster was, what each server has answered, and what clients wait for.

use super::model::Player;
use super::panel_jobs::controller;
use super::view::Look;
use crate::engine::{Span, Time};
use crate::node::log::What;
use crate::proto::client::process::Outcome;
use crate::proto::{Daemon, Note};
use crate::report::story::pad;
use crate::say;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

/// The time that "lately" means.
const LATELY: Span = Span::secs(10);

fn bold(text: String) -> Line<'static> {
    Line::styled(text, Style::new().add_modifier(Modifier::BOLD))
}
/// A bar of so many of so many.
fn bar(n: usize, of: usize, width: usize, look: Look) -> String {
    let full = (n * width).div_ceil(of.max(1)).min(width);
    let (on, off) = if look.ascii { ('#', '.') } else { ('\u{2588}', '\u{2591}') };
    std::iter::repeat_n(on, full).chain(std::iter::repeat_n(off, width - full)).collect()
}
/// A curve in one line.
fn curve(values: &[usize], look: Look) -> String {
    let top = values.iter().copied().max().unwrap_or(0).max(1);
    let levels: Vec<char> = if look.ascii {
        "_.-=+*#%@".chars().collect()
    } else {
        " \u{2581}\u{2582}\u{2583}\u{2584}\u{2585}\u{2586}\u{2587}\u{2588}".chars().collect()
    };
    values.iter().map(|v| levels[(v * (levels.len() - 1)).div_ceil(top)]).collect()
}

/// The panel.
pub(super) fn lines(p: &Player, area: Rect, look: Look) -> Vec<Line<'static>> {
    let width = area.width.saturating_sub(2) as usize;
    let mut out = jobs(p, width, look);
    out.extend(servers(p, width, look));
    if out.is_empty() {
        out.push(Line::raw(say!("panel-no-queues")));
    }
    out
}

/// The queue of a batch cluster over the run so far, and how busy its nodes were.
fn jobs(p: &Player, width: usize, look: Look) -> Vec<Line<'static>> {
    let now = p.now.sched.now();
    let Some(ctl) = controller(&p.now.model.world) else { return Vec::new() };
    let n = width.saturating_sub(2).max(10);
    let at = |i: usize| Time((u128::from(now.0) * i as u128 / n as u128) as u64);
    let all = &p.run.jobs.all;
    let on = |j: &crate::trace::jobs::Job, t: Time| {
        j.stays.iter().any(|s| s.from <= t && s.to.is_none_or(|e| e > t))
    };
    let waits = |t: Time| {
        all.iter().filter(|j| j.submitted <= t && !on(j, t) && j.ended.is_none_or(|e| e.0 > t)).count()
    };
    let busy = |t: Time| all.iter().filter(|j| on(j, t)).map(|j| j.nodes as usize).sum::<usize>();
    let queue: Vec<usize> = (1..=n).map(|i| waits(at(i))).collect();
    let used: Vec<usize> = (1..=n).map(|i| busy(at(i)).min(ctl.nodes().len())).collect();
    let share = used.iter().sum::<usize>() * 100 / (n * ctl.nodes().len().max(1));
    vec![
        bold(say!("panel-waiting", n = waits(now), most = queue.iter().max().copied().unwrap_or(0))),
        Line::raw(format!(" {}", curve(&queue, look))),
        bold(say!("panel-busy", n = busy(now).min(ctl.nodes().len()), of = ctl.nodes().len(), share = share)),
        Line::raw(format!(" {}", curve(&used, look))),
    ]
}

/// What each host answered, lately and in all, and who waits for an answer.
fn servers(p: &Player, width: usize, look: Look) -> Vec<Line<'static>> {
    let world = &p.now.model.world;
    let now = p.now.sched.now();
    let hosts = world.hosts.len();
    let (mut all, mut late) = (vec![0usize; hosts], vec![0usize; hosts]);
    let (mut failed, mut failed_lately) = (0, 0);
    for e in p.past() {
        let What::Note(Note::Client(n)) = &e.what else { continue };
        let lately = now.since(e.at) <= LATELY;
        match n.outcome {
            Outcome::Ok(h) => {
                all[h.0 as usize] += 1;
                late[h.0 as usize] += usize::from(lately);
            }
            _ => {
                failed += 1;
                failed_lately += usize::from(lately);
            }
        }
    }
    let waiting: usize = world
        .procs
        .iter()
        .map(|q| match &q.logic {
            Daemon::Client(c) => c.waiting().0,
            _ => 0,
        })
        .sum();
    let clients = world.procs.iter().any(|q| matches!(q.logic, Daemon::Client(_)));
    if !clients {
        return Vec::new();
    }
    let most = late.iter().copied().max().unwrap_or(0).max(1);
    let mut out = vec![bold(say!("panel-answered", time = LATELY))];
    for (i, h) in world.hosts.iter().enumerate() {
        let serves = h.procs.iter().any(|q| matches!(world.proc(*q).logic, Daemon::HAProxy(_)));
        if serves || all[i] > 0 {
            let bar = bar(late[i], most, width.saturating_sub(28).clamp(6, 40), look);
            out.push(Line::raw(format!(" {} {bar} {:>6} {:>8}", pad(&h.name, 8), late[i], all[i])));
        }
    }
    out.push(Line::raw(say!("panel-failed", lately = failed_lately, all = failed)));
    out.push(Line::raw(say!("panel-unanswered", n = waiting)));
    out
}
