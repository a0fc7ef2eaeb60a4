//! The player's screen: hosts, space-time diagram, inspector, why, scrubber.

use super::model::{Ask, LINK_MENU, MENU, Player, text_of};
use crate::check::invariants::role;
use crate::engine::Time;
use crate::node::process::HostId;
use crate::node::world::{Life, Power};
use crate::proto::Daemon;
use crate::proto::vrrp::machine::Role;
use crate::sim::LogEntry;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

/// How the screen is drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// Colours.
    pub colour: bool,
    /// Plain ASCII, no box drawing.
    pub ascii: bool,
}

pub(super) fn block(title: &str, look: Look) -> Block<'_> {
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
fn paint(look: Look, colour: Color) -> Style {
    if look.colour { Style::new().fg(colour) } else { Style::new() }
}

/// Draws the player.
pub fn draw(f: &mut Frame<'_>, p: &Player, look: Look) {
    let area = f.area();
    if area.width < 40 || area.height < 12 {
        f.render_widget(Paragraph::new("the terminal is too small: 80x24 is enough; q quits"), area);
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
    f.render_widget(Paragraph::new(host_lines(p, look)).block(block("hosts", look)), hosts);
    f.render_widget(Paragraph::new(time_lines(p, time, look)).block(block("space-time", look)), time);
    let name = p.now.model.world.hosts.get(p.selected).map_or("", |h| h.name.as_str());
    f.render_widget(
        Paragraph::new(inspect(p, look)).wrap(Wrap { trim: false }).block(block(name, look)),
        inspector,
    );
    f.render_widget(Paragraph::new(why_lines(p)).wrap(Wrap { trim: false }).block(block("why", look)), why);
    f.render_widget(Paragraph::new(scrubber(p, area.width as usize)), scrub);
    let asked = p.ask.as_ref().map(|(what, answer)| {
        let word = match what {
            Ask::Search => "search for",
            Ask::Goto => "go to (12.4s or 50%)",
        };
        format!(" {word}: {answer}_   Enter goes, Esc leaves")
    });
    let hint = if let Some(asked) = &asked {
        asked
    } else if p.message.is_empty() {
        " , . step  H L second  [ ] mark  space play  v broken  i inject  ? keys  q quit"
    } else {
        &p.message
    };
    f.render_widget(Paragraph::new(hint.to_owned()), keys);
    if p.menu {
        let other = p.other.and_then(|o| p.now.model.world.hosts.get(o));
        let menu: &[&str] = if other.is_some() { &LINK_MENU } else { &MENU };
        let lines: Vec<Line<'_>> =
            menu.iter().enumerate().map(|(i, m)| Line::raw(format!(" {}  {m}", i + 1))).collect();
        let what = other.map_or(name.to_owned(), |o| format!("the link {name} -> {}", o.name));
        popup(f, &format!("inject on {what} (Esc closes)"), lines, look);
    } else if let Some((title, text)) = &p.text {
        let lines: Vec<Line<'_>> = text.iter().map(|l| Line::raw(format!(" {l}"))).collect();
        popup(f, &format!("{title} (Esc closes)"), lines, look);
    } else if p.help {
        popup(f, "keys (? or Esc closes)", HELP.iter().map(|l| Line::raw(*l)).collect(), look);
    }
}

const HELP: [&str; 20] = [
    " . l Right  next event               , h Left    previous event",
    " L H        a second on, back        c C         next, previous of this host",
    " ] [        next, previous mark      v V         next, first violation",
    " g G        start, end               :           go to a moment, 12.4s or 50%",
    " space      play, pause              < >         slower, faster",
    " / n N      search, next, previous   &           only the selected host",
    " m '        remember, go to it       e           unfold heartbeats and ARP",
    " Tab        next host                o           other end of a link",
    " i          inject a fault on the selected host or link",
    " u z        undo injection           Ctrl-r Z    redo",
    " !          why, the whole chain     y           command for this run",
    " F B d      fork, next branch, compare it with the one before",
    " s          save the run, injections included, as a drill",
    " q          quit          mouse: click a host or the bar; wheel steps",
    "",
    " roles: M master  B backup  F fault  - none;  V holds the address",
    " marks: f fault  h healed  * master  ! violation  m remembered  # now",
    " lamps: VIP one holder  MASTER one master  ARP clients know the holder;",
    "        XX is broken now",
    " the next event is always announced before it happens",
];

fn popup(f: &mut Frame<'_>, title: &str, lines: Vec<Line<'_>>, look: Look) {
    let a = f.area();
    let widest = lines.iter().map(Line::width).chain([title.len() + 2]).max().unwrap_or(0);
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
    Line::from(vec![
        Span::raw(format!(
            "{}{}  t={}s  {}{}x  ",
            p.loaded.drill_name,
            p.branch().map_or(String::new(), |(n, of)| format!("  FORK {n}/{of}")),
            p.now.sched.now(),
            if p.playing { "PLAY " } else { "" },
            if p.speed >= 1000 {
                format!("{}", p.speed / 1000)
            } else {
                format!("1/{}", 1000 / p.speed.max(1))
            },
        )),
        lamp("VIP", w.broken(I::DualVip).is_some()),
        lamp("MASTER", w.broken(I::TwoMasters).is_some()),
        lamp("ARP", w.broken(I::StaleArp).is_some()),
        Span::raw(format!(" event {}/{}", p.now.sched.handled(), p.total())),
    ])
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
            _ => "-",
        };
        let holds = p.now.model.vips.iter().any(|v| world.holders(*v).any(|x| x == id));
        let state = match (h.power, h.freeze) {
            (Power::Off, _) => "off",
            (Power::Booting, _) => "booting",
            (_, Some(_)) => "frozen",
            _ if world
                .rules
                .iter()
                .any(|r| r.from.has(id.0) && matches!(r.effect, crate::net::rules::Effect::Drop)) =>
            {
                "cut"
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
                let wait =
                    c.waiting().1.map_or(String::new(), |t| format!(" waits {}", p.now.sched.now().since(t)));
                format!(
                    "-> {to}{}",
                    if wait.contains("ms") || wait.contains("us") { String::new() } else { wait }
                )
            }
            None => format!("{}{}", if holds { "V " } else { "  " }, state),
        };
        let here = if i == p.selected {
            ">"
        } else if p.other == Some(i) {
            "="
        } else {
            " "
        };
        let style = match (state, letter) {
            ("off" | "frozen" | "cut", _) => paint(look, Color::Red),
            (_, "M") => paint(look, Color::Green),
            _ => Style::new(),
        };
        lines.push(Line::styled(format!("{here}{:<6} {letter} {rest}", h.name), style));
    }
    lines
}

fn time_lines(p: &Player, area: Rect, look: Look) -> Vec<Line<'static>> {
    let rows = area.height.saturating_sub(3) as usize;
    let hosts = &p.run.hosts;
    let column = ((area.width as usize).saturating_sub(12) / hosts.len().max(1)).clamp(3, 24);
    let bar = if look.ascii { "|" } else { "│" };
    let mut head = format!("{:>8} ", "time");
    for h in hosts {
        head.push_str(&format!("{h:<column$}"));
    }
    let mut lines = vec![Line::styled(head, Style::new().add_modifier(Modifier::BOLD))];
    let past: Vec<&LogEntry> =
        p.past().iter().rev().filter(|e| p.shown(e)).take(rows.saturating_sub(1)).collect();
    for e in past.into_iter().rev() {
        let Some((c, text, _)) = text_of(p, e) else { continue };
        let at = e.host.map_or(0, |h| h.0 as usize);
        let mut line = format!("{:>8}{c}", e.at.to_string());
        for _ in 0..at {
            line.push_str(&format!("{bar:<column$}"));
        }
        line.push_str(&text);
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
    let mut lines = vec![Line::styled("thinks", Style::new().add_modifier(Modifier::BOLD))];
    for pid in &h.procs {
        let proc = world.proc(*pid);
        match &proc.logic {
            Daemon::Vrrp(v, _) if proc.life != Life::Dead => {
                for i in v.instances() {
                    lines.push(Line::raw(format!("{:?} prio {}", i.role(), i.effective_priority())));
                    lines.push(Line::raw(i.belief()));
                    if let Some(at) = i.down_at() {
                        lines.push(Line::raw(format!("gives up on it in {}s", Time(at.since(now).0))));
                    }
                }
            }
            Daemon::Client(c) => {
                let n = c.waiting().0;
                lines.push(Line::raw(format!("asks {}", c.target())));
                lines.push(Line::raw(format!("{n} unanswered")));
            }
            _ => {}
        }
    }
    if lines.len() == 1 {
        lines.push(Line::raw("nothing: no daemon runs"));
    }
    lines.push(Line::styled("truth", Style::new().add_modifier(Modifier::BOLD)));
    for vip in &p.now.model.vips {
        let names: Vec<&str> = world.holders(*vip).map(|x| world.host(x).name.as_str()).collect();
        let text = if names.is_empty() { "nobody".to_owned() } else { names.join(" and ") };
        let style = if names.len() > 1 { paint(look, Color::Red) } else { Style::new() };
        lines.push(Line::styled(format!("{vip} on {text}"), style));
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
            lines.push(Line::raw(format!("because {why}")));
        }
    }
    let from = p.past().len();
    let next = p.run.log[from.min(p.run.log.len())..]
        .iter()
        .filter(|e| p.shown(e))
        .find_map(|e| Some((e, text_of(p, e)?)));
    lines.push(match next {
        Some((e, (_, text, _))) => Line::raw(format!("next: {} {}{text}", e.at, place(p, e))),
        None => Line::raw("next: nothing more until the end"),
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
        "master" => Some((m.at, '*')),
        "violation" => Some((m.at, '!')),
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
