//! The player's screen: hosts, space-time diagram, inspector, why, scrubber.

use super::database;
use super::inject;
use super::model::{Ask, LINK_MENU, Panel, Player, text_of};
use super::{cluster, panel_cluster, panel_jobs, panel_pool, panel_queues};
use crate::check::invariants::role;
use crate::engine::Time;
use crate::node::process::HostId;
use crate::node::world::{Life, Power};
use crate::proto::Daemon;
use crate::proto::vrrp::machine::Role;
use crate::report::story::pad;
use crate::say;
use crate::sim::LogEntry;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};
use unicode_width::UnicodeWidthStr;

/// How the screen is drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// Colours.
    pub colour: bool,
    /// Plain ASCII, no box drawing.
    pub ascii: bool,
}

pub(super) fn block(title: &str, look: Look) -> Block<'static> {
    let set = if look.ascii {
        ratatui::symbols::border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        }
    } else {
        ratatui::symbols::border::PLAIN
    };
    Block::bordered().border_set(set).title(format!(" {title} "))
}
pub(super) fn paint(look: Look, colour: Color) -> Style {
    if look.colour { Style::new().fg(colour) } else { Style::new() }
}

/// Draws the player.
pub fn draw(f: &mut Frame<'_>, p: &Player, look: Look) {
    let area = f.area();
    if area.width < 40 || area.height < 12 {
        f.render_widget(Paragraph::new(say!("ui-too-small")), area);
        return;
    }
    let why_height = if area.height >= 36 { 9 } else { 6 };
    let [status, middle, why, scrub, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(5),
        Constraint::Length(why_height),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    let side = if area.width >= 120 { 34 } else { 24 };
    let [hosts, time, inspector] =
        Layout::horizontal([Constraint::Length(side), Constraint::Min(20), Constraint::Length(side)])
            .areas(middle);
    f.render_widget(Paragraph::new(status_line(p, look)), status);
    f.render_widget(Paragraph::new(host_lines(p, look)).block(block(&say!("ui-hosts"), look)), hosts);
    let name = p.now.model.world.hosts.get(p.selected).map_or("", |h| h.name.as_str());
    // A chart needs the width more than the inspector does, where there is little.
    let wide = Rect { width: time.width + if area.width >= 120 { 0 } else { inspector.width }, ..time };
    let (title, lines, place) = match p.panel {
        Panel::Time => (say!("ui-time"), time_lines(p, time, look), time),
        Panel::Jobs => (say!("panel-jobs"), panel_jobs::lines(p, wide, look), wide),
        Panel::Queues => (say!("panel-queues"), panel_queues::lines(p, wide, look), wide),
        Panel::Pool => (say!("panel-pool"), panel_pool::lines(p, wide, look), wide),
        Panel::Cluster => (say!("panel-crm"), panel_cluster::lines(p, wide, look), wide),
    };
    f.render_widget(Paragraph::new(lines).block(block(&title, look)), place);
    if place == time {
        f.render_widget(
            Paragraph::new(inspect(p, look)).wrap(Wrap { trim: false }).block(block(name, look)),
            inspector,
        );
    }
    f.render_widget(
        Paragraph::new(why_lines(p)).wrap(Wrap { trim: false }).block(block(&say!("ui-why"), look)),
        why,
    );
    f.render_widget(Paragraph::new(scrubber(p, area.width as usize)), scrub);
    let asked = p.ask.as_ref().map(|(what, answer)| {
        let word = match what {
            Ask::Search => say!("ui-search"),
            Ask::Goto => say!("ui-goto"),
        };
        format!(" {}", say!("ui-asked", what = word, answer = answer))
    });
    let usual = format!(" {}", say!("ui-hint"));
    let hint = if let Some(asked) = &asked {
        asked
    } else if p.message.is_empty() {
        &usual
    } else {
        &p.message
    };
    f.render_widget(Paragraph::new(hint.to_owned()), keys);
    if p.menu {
        let other = p.other.and_then(|o| p.now.model.world.hosts.get(o));
        let words: Vec<String> = if other.is_some() {
            (1..=LINK_MENU).map(|i| say!(&format!("link-{i}"))).collect()
        } else {
            inject::open(p).1.into_iter().map(|m| m.0).collect()
        };
        let lines: Vec<Line<'_>> =
            inject::KEYS.chars().zip(words).map(|(key, w)| Line::raw(format!(" {key}  {w}"))).collect();
        let path = if other.is_some() { Vec::new() } else { inject::open(p).0 };
        let here: Vec<&str> = std::iter::once(name).chain(path.iter().map(String::as_str)).collect();
        let what = other.map_or_else(|| here.join(" > "), |o| say!("ui-link", from = name, to = o.name));
        popup(f, &say!("ui-inject", what = what), lines, look);
    } else if let Some((title, text)) = &p.text {
        let lines: Vec<Line<'_>> = text.iter().map(|l| Line::raw(format!(" {l}"))).collect();
        popup(f, &say!("ui-closes", title = title), lines, look);
    } else if p.help {
        let line = |i: usize| {
            let key = format!("help-{i}");
            // The fifteenth is empty: keys above, what the screen means below.
            if i == 15 { Line::raw("") } else { Line::raw(format!(" {}", say!(&key))) }
        };
        popup(f, &say!("ui-keys"), (1..=HELP).map(line).collect(), look);
    }
}

/// The number of lines of the help (`help-1` and so on).
const HELP: usize = 20;

/// A text at the right end of a column.
fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}

fn popup(f: &mut Frame<'_>, title: &str, lines: Vec<Line<'_>>, look: Look) {
    let a = f.area();
    let widest = lines.iter().map(Line::width).chain([title.width() + 2]).max().unwrap_or(0);
    let w = (widest as u16 + 3).min(a.width);
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    let inside = usize::from(w.saturating_sub(2).max(1));
    // A line that is too long goes on in the next.
    let rows = text.line_count(inside as u16);
    let h = (rows as u16 + 2).min(a.height);
    let rect = Rect { x: (a.width - w) / 2, y: (a.height - h) / 2, width: w, height: h };
    f.render_widget(Clear, rect);
    f.render_widget(text.block(block(title, look)), rect);
}

fn status_line(p: &Player, look: Look) -> Line<'static> {
    let lamp = |name: &str, broken: bool| {
        let text = format!("{name} {} ", if broken { "XX" } else { "ok" });
        Span::styled(
            text,
            if broken { paint(look, Color::Red).add_modifier(Modifier::BOLD) } else { Style::new() },
        )
    };
    use crate::scenario::types::Invariant as I;
    let w = &p.now.model.watch;
    let mut spans = vec![Span::raw(format!(
        "{}{}  t={}s  {}{}x  ",
        p.loaded.drill_name,
        p.branch().map_or(String::new(), |(n, of)| format!("  FORK {n}/{of}")),
        p.now.sched.now(),
        if p.playing { "PLAY " } else { "" },
        if p.speed >= 1000 { format!("{}", p.speed / 1000) } else { format!("1/{}", 1000 / p.speed.max(1)) },
    ))];
    // The lamps of what the stack can break.
    let lamps: &[(&str, &[I])] = if p.now.model.databases {
        &[
            ("SPLIT", &[I::SplitBrain, I::SplitBrainAnywhere]),
            ("LOST", &[I::LostCommit, I::PhantomRead, I::DuplicateWrite]),
            ("LEASE", &[I::TwoLeaseHolders, I::PromotionWithoutKey]),
        ]
    } else if !w.crm.is_empty() {
        &[
            ("TWICE", &[I::ActiveTwice, I::StartedBeforeFence]),
            ("QUORUM", &[I::TwoQuoratePartitions, I::ServiceWithoutQuorum, I::ForbiddenNode]),
            ("FENCE", &[I::BothFenced, I::SecondFence, I::FenceAfterHeal]),
        ]
    } else if p.now.model.clusters && p.now.model.vips.is_empty() {
        &[("QUORUM", &[I::TwoQuoratePartitions])]
    } else {
        &[("VIP", &[I::DualVip]), ("MASTER", &[I::TwoMasters]), ("ARP", &[I::StaleArp])]
    };
    spans.extend(lamps.iter().map(|(name, of)| lamp(name, of.iter().any(|i| w.broken(*i).is_some()))));
    spans.push(Span::raw(format!(" event {}/{}", p.now.sched.handled(), p.total())));
    Line::from(spans)
}

fn host_lines(p: &Player, look: Look) -> Vec<Line<'static>> {
    let world = &p.now.model.world;
    let mut lines = Vec::new();
    for (i, h) in world.hosts.iter().enumerate() {
        let id = HostId(i as u16);
        let letter = match role(world, id) {
            Some(Role::Master) => "M",
            Some(Role::Backup) => "B",
            Some(Role::Fault) => "F",
            None if p.now.model.databases => database::letter(world, id),
            None if p.now.model.clusters => cluster::letter(world, id),
            None => works(world, id),
            _ => "-",
        };
        let holds = p.now.model.vips.iter().any(|v| world.holders(*v).any(|x| x == id));
        let state = match (h.power, h.freeze) {
            (Power::Off, _) => "ui-off",
            (Power::Booting, _) => "ui-booting",
            (_, Some(_)) => "ui-frozen",
            _ if world
                .rules
                .iter()
                .any(|r| r.from.has(id.0) && matches!(r.effect, crate::net::rules::Effect::Drop)) =>
            {
                "ui-cut"
            }
            _ => "",
        };
        let client = h.procs.iter().find_map(|q| match &world.proc(*q).logic {
            Daemon::Client(c) => Some(c),
            _ => None,
        });
        let rest = match client {
            Some(c) => {
                let to = h.neigh.iter().find(|(_, e)| e.ip == c.target().ip);
                let to = to
                    .and_then(|(_, e)| world.mac_host(e.mac))
                    .map_or("?".to_owned(), |x| world.host(x).name.clone());
                let wait = c.waiting().1.map(|t| p.now.sched.now().since(t));
                let long = wait.filter(|w| *w >= crate::engine::Span::secs(1));
                format!("-> {to}{}", long.map_or(String::new(), |w| say!("ui-waits", time = w)))
            }
            None => format!(
                "{}{}",
                if holds { "V " } else { "  " },
                if state.is_empty() {
                    panel_jobs::word(world, id, p.now.sched.now()).unwrap_or_default()
                } else {
                    say!(state)
                }
            ),
        };
        let rest = match database::host_text(p, id).filter(|_| p.now.model.databases) {
            Some(text) if client.is_none() => {
                let state = if state.is_empty() { String::new() } else { format!(" {}", say!(state)) };
                format!("{text}{}{state}", if holds { " V" } else { "" })
            }
            _ => rest,
        };
        let rest = match cluster::host_text(world, id).filter(|_| p.now.model.clusters) {
            Some(text) if state.is_empty() => format!("{text}{}", if holds { " V" } else { "" }),
            _ => rest,
        };
        let here = if i == p.selected {
            ">"
        } else if p.other == Some(i) {
            "="
        } else {
            " "
        };
        let style = match (state, letter) {
            ("ui-off" | "ui-frozen" | "ui-cut", _) => paint(look, Color::Red),
            (_, "M" | "P" | "Q") => paint(look, Color::Green),
            _ => Style::new(),
        };
        lines.push(Line::styled(format!("{here}{} {letter} {rest}", pad(&h.name, 6)), style));
    }
    lines
}

/// The letter of a heartbeat node: it works, or it watches.
fn works(world: &crate::sim::World, host: HostId) -> &'static str {
    use crate::proto::heartbeat::node::Role as Beats;
    let role = world.host(host).procs.iter().find_map(|p| match &world.proc(*p).logic {
        Daemon::Heartbeat(n) if world.proc(*p).life != Life::Dead => Some(n.role()),
        _ => None,
    });
    match role {
        Some(Beats::Worker) => "W",
        Some(Beats::Init | Beats::Idle) => "I",
        Some(Beats::Racing | Beats::Claiming) => "R",
        None => "-",
    }
}

fn time_lines(p: &Player, area: Rect, look: Look) -> Vec<Line<'static>> {
    let rows = area.height.saturating_sub(3) as usize;
    let hosts = &p.run.hosts;
    let widest = hosts.iter().map(|h| h.width()).max().unwrap_or(0);
    let room = (area.width as usize).saturating_sub(12) / hosts.len().max(1);
    // Where names do not fit over columns, each line begins with its host's.
    let columns = room >= widest;
    let column = if columns { room.clamp(3, 24) } else { widest + 1 };
    let bar = if look.ascii { "|" } else { "│" };
    let mut head = format!("{} ", right(&say!("story-time"), 8));
    if columns {
        hosts.iter().for_each(|h| head.push_str(&pad(h, column)));
    } else {
        head.push_str(&say!("story-host"));
    }
    let mut lines = vec![Line::styled(head, Style::new().add_modifier(Modifier::BOLD))];
    let past: Vec<&LogEntry> =
        p.past().iter().rev().filter(|e| p.shown(e)).take(rows.saturating_sub(1)).collect();
    for e in past.into_iter().rev() {
        let Some((c, text, _)) = text_of(p, e) else { continue };
        let at = e.host.map_or(0, |h| h.0 as usize);
        let mut line = format!("{:>8}{c}", e.at.to_string());
        if columns {
            // A text that its column leaves no room for begins further left, and says whose it is.
            let width = (area.width as usize).saturating_sub(2 + 9);
            let (start, text) = if at * column + text.width() <= width {
                (at * column, text)
            } else {
                let named = format!("{}{text}", place(p, e));
                (width.saturating_sub(named.width()).clamp(1.min(at * column), at * column), named)
            };
            for _ in 0..start / column {
                line.push_str(&format!("{bar:<column$}"));
            }
            line.push_str(&" ".repeat(start % column));
            line.push_str(&text);
        } else {
            let name = e.host.and_then(|h| hosts.get(h.0 as usize));
            line.push_str(&name.map_or(String::new(), |h| pad(h, column)));
            line.push_str(&text);
        }
        let style = match c {
            'x' | '!' => paint(look, Color::Red),
            '*' => paint(look, Color::Green),
            _ => Style::new(),
        };
        lines.push(Line::styled(line, style));
    }
    lines
}

fn inspect(p: &Player, look: Look) -> Vec<Line<'static>> {
    let world = &p.now.model.world;
    let Some(h) = world.hosts.get(p.selected) else { return Vec::new() };
    let now = p.now.sched.now();
    let mut lines = vec![Line::styled(say!("ui-thinks"), Style::new().add_modifier(Modifier::BOLD))];
    for pid in &h.procs {
        let proc = world.proc(*pid);
        match &proc.logic {
            Daemon::Vrrp(v, ..) if proc.life != Life::Dead => {
                for i in v.instances() {
                    lines.push(Line::raw(say!(
                        "ui-prio",
                        role = format!("{:?}", i.role()),
                        priority = i.effective_priority()
                    )));
                    lines.push(Line::raw(i.belief()));
                    if let Some(at) = i.down_at() {
                        lines.push(Line::raw(say!("ui-gives-up", time = Time(at.since(now).0))));
                    }
                }
            }
            Daemon::Heartbeat(n) if proc.life != Life::Dead => {
                lines.push(Line::raw(format!("{:?}", n.role())));
                lines.push(Line::raw(n.belief()));
            }
            Daemon::Client(c) => {
                let n = c.waiting().0;
                lines.push(Line::raw(say!("ui-asks", to = c.target())));
                lines.push(Line::raw(say!("ui-unanswered", n = n)));
            }
            _ => {}
        }
    }
    lines.extend(database::beliefs(p, HostId(p.selected as u16)).into_iter().map(Line::raw));
    lines.extend(panel_jobs::thinks(world, HostId(p.selected as u16), now));
    if lines.len() == 1 {
        lines.push(Line::raw(say!("ui-nothing")));
    }
    lines.push(Line::styled(say!("ui-truth"), Style::new().add_modifier(Modifier::BOLD)));
    for vip in &p.now.model.vips {
        let names: Vec<&str> = world.holders(*vip).map(|x| world.host(x).name.as_str()).collect();
        let text = if names.is_empty() { say!("ui-nobody") } else { names.join(&say!("and")) };
        let style = if names.len() > 1 { paint(look, Color::Red) } else { Style::new() };
        lines.push(Line::styled(say!("ui-on", vip = vip, who = text), style));
    }
    if p.now.model.databases {
        lines.extend(database::truths(p, look).into_iter().map(Line::raw));
        lines.extend(database::watchdog(p, HostId(p.selected as u16)).map(Line::raw));
    }
    lines.push(Line::raw(format!("{:?}{}", h.power, if h.freeze.is_some() { ", frozen" } else { "" })));
    for pid in &h.procs {
        let q = world.proc(*pid);
        if q.life != Life::Running {
            lines.push(Line::raw(format!("{} {:?}", q.name, q.life)));
        }
    }
    for (_, e) in &h.neigh {
        if p.now.model.vips.contains(&e.ip) {
            let to = world.mac_host(e.mac).map_or("?", |x| world.host(x).name.as_str());
            lines.push(Line::raw(format!("arp {:?} {to}", e.state)));
        }
    }
    lines
}

/// The host of an entry with a colon; what concerns the whole cluster has none.
fn place(p: &Player, e: &LogEntry) -> String {
    e.host.map_or(String::new(), |_| format!("{}: ", p.run.host(e.host)))
}

fn why_lines(p: &Player) -> Vec<Line<'static>> {
    let last = p.past().iter().rev().filter(|e| p.shown(e)).find_map(|e| Some((e, text_of(p, e)?)));
    let mut lines = Vec::new();
    if let Some((e, (_, text, why))) = last {
        lines.push(Line::raw(format!("{} {}{text}", e.at, place(p, e))));
        if !why.is_empty() {
            lines.push(Line::raw(say!("ui-because", why = why)));
        }
    }
    let from = p.past().len();
    let next = p.run.log[from.min(p.run.log.len())..]
        .iter()
        .filter(|e| p.shown(e))
        .find_map(|e| Some((e, text_of(p, e)?)));
    lines.push(match next {
        Some((e, (_, text, _))) => {
            Line::raw(say!("ui-next", what = format!("{} {}{text}", e.at, place(p, e))))
        }
        None => Line::raw(say!("ui-no-more")),
    });
    lines
}

fn scrubber(p: &Player, width: usize) -> String {
    let end = p.end().0.max(1);
    let width = width.saturating_sub(2).max(10);
    let place = |t: Time| ((u128::from(t.0) * (width as u128 - 1)) / u128::from(end)) as usize;
    let mut bar: Vec<char> = vec!['-'; width];
    // Of marks that fall into one place the weightiest is shown.
    let weight = |c: char| " -m*!hf".find(c).unwrap_or(0);
    let marks = p.run.marks.iter().filter_map(|m| match m.kind {
        "fault" => Some((m.at, 'f')),
        "healed" => Some((m.at, 'h')),
        "master" | "promoted" => Some((m.at, '*')),
        "violation" => Some((m.at, '!')),
        "job_requeued" | "ranks_lost" | "node_lost" => Some((m.at, '-')),
        _ => None,
    });
    for (at, c) in marks.chain(p.bookmarks.iter().map(|at| (*at, 'm'))) {
        let i = place(at).min(width - 1);
        if weight(c) > weight(bar[i]) {
            bar[i] = c;
        }
    }
    bar[place(p.now.sched.now()).min(width - 1)] = '#';
    format!("[{}]", bar.into_iter().collect::<String>())
}
