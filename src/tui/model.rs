//! What the player knows: the run, its keyframes, the moment that is shown, and what keys do to them.

use crate::engine::history::History;
use crate::engine::{Span, Time};
use crate::fault::injection_time;
use crate::node::log::{Level, What};
use crate::scenario::build::build;
use crate::scenario::load::Loaded;
use crate::scenario::types::{At, Fault, FreezeClock, FreezeMode, Target};
use crate::sim::{LogEntry, Sim, Stage};
use crate::trace::run::{Collector, Run};

/// Events between two keyframes.
pub const SPACING: u64 = 8192;

/// What a key asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Some events forward or back.
    Events(i64),
    /// Some milliseconds forward or back.
    Millis(i64),
    /// To the next or the previous mark.
    Mark(bool),
    /// To the next or the first violation.
    Violation(bool),
    /// To the start or the end.
    End(bool),
    /// Play or pause.
    Toggle,
    /// Faster or slower.
    Speed(bool),
    /// Select the next or the previous host.
    Select(bool),
    /// Open or close the fault menu.
    Inject,
    /// Choose from the fault menu.
    Choose(usize),
    /// Take the last injection back.
    Undo,
    /// Do it again.
    Redo,
    /// Write the run as a drill.
    Save,
    /// Open or close the help.
    Help,
    /// Fold or unfold heartbeats.
    Fold,
    /// Back one level.
    Back,
}

/// The faults that can be injected on the selected host.
pub const MENU: [&str; 8] = [
    "power off",
    "power on",
    "freeze 5 s (packets lost)",
    "cut off from everyone",
    "heal all links",
    "kill -9 keepalived (all)",
    "kill -9 haproxy",
    "carrier lost",
];

/// The player.
pub struct Player {
    /// The drill, with what was injected.
    pub loaded: Loaded,
    /// The seed.
    pub seed: u64,
    /// The run.
    pub run: Run,
    /// Every event: its number (how many were handled when it was), and what was logged.
    pub steps: Vec<(u64, usize)>,
    history: History<Stage>,
    /// The moment that is shown.
    pub now: Sim,
    /// Which host is selected.
    pub selected: usize,
    /// Playing.
    pub playing: bool,
    /// Simulated milliseconds in a real second.
    pub speed: u64,
    /// The fault menu is open.
    pub menu: bool,
    /// The help is open.
    pub help: bool,
    /// Heartbeats are folded.
    pub fold: bool,
    /// Something to say in the last line.
    pub message: String,
    injected: usize,
    undone: Vec<At>,
    total: u64,
    end: Time,
}

impl Player {
    /// A player of this drill.
    pub fn new(loaded: Loaded, seed: u64) -> Self {
        let end = Time::ZERO + loaded.drill.until;
        let sim = build(&loaded.stack, &loaded.drill, seed, Level::Full);
        let mut p = Player {
            history: History::new(sim.clone(), SPACING, 1024),
            run: Collector::new(&sim, &loaded.drill, true).finish(&sim),
            steps: Vec::new(),
            now: sim,
            loaded,
            seed,
            selected: 0,
            playing: false,
            speed: 1000,
            menu: false,
            help: false,
            fold: true,
            message: String::new(),
            injected: 0,
            undone: Vec::new(),
            total: 0,
            end,
        };
        // Faults go to the selected host, so it is a host that serves, not one that asks.
        let world = &p.now.model.world;
        let asks = |pid: &crate::node::process::Pid| {
            matches!(world.proc(*pid).logic, crate::proto::Daemon::Client(_))
        };
        p.selected = world.hosts.iter().position(|h| !h.procs.iter().all(asks)).unwrap_or(0);
        p.simulate();
        p
    }
    /// Plays the drill from its start to its end, and stays at the moment that is shown.
    fn simulate(&mut self) {
        let shown = self.now.sched.now();
        let mut sim = build(&self.loaded.stack, &self.loaded.drill, self.seed, Level::Full);
        self.history = History::new(sim.clone(), SPACING, 1024);
        let mut collector = Collector::new(&sim, &self.loaded.drill, true);
        self.steps.clear();
        let mut logged = 0;
        while sim.step(self.end) {
            collector.observe(&sim);
            let n = sim.model.world.log.entries.len();
            if n > 0 {
                logged += n;
                self.steps.push((sim.sched.handled(), logged));
            }
            self.history.observe(&sim);
        }
        self.total = sim.sched.handled();
        self.run = collector.finish(&sim);
        self.seek(shown);
    }
    /// The end of the run.
    pub fn end(&self) -> Time {
        self.end
    }
    /// All events of the run.
    pub fn total(&self) -> u64 {
        self.total
    }
    /// The moment after `n` events.
    pub fn goto(&mut self, n: u64) {
        self.now = self.history.at_event(n.min(self.total), self.end);
    }
    /// The last moment at or before `at`.
    pub fn seek(&mut self, at: Time) {
        let logged = self.run.log.partition_point(|e| e.at <= at);
        let step = self.steps.partition_point(|(_, l)| *l <= logged);
        let n = step.checked_sub(1).map_or(0, |i| self.steps[i].0);
        self.goto(n);
        self.now.run_until(at.min(self.end));
    }
    /// What was logged up to the moment that is shown.
    pub fn past(&self) -> &[LogEntry] {
        let handled = self.now.sched.handled();
        let step = self.steps.partition_point(|(n, _)| *n <= handled);
        let logged = step.checked_sub(1).map_or(0, |i| self.steps[i].1);
        &self.run.log[..logged.min(self.run.log.len())]
    }
    /// What comes next.
    pub fn next(&self) -> Option<&LogEntry> {
        self.run.log.get(self.past().len())
    }
    /// Real time has passed.
    pub fn tick(&mut self, real_ms: u64) {
        if self.playing {
            let to = self.now.sched.now() + Span::ms(real_ms * self.speed / 1000);
            if to >= self.end {
                self.playing = false;
            }
            let end = self.end;
            self.now.run_until(to.min(end));
        }
    }
    fn at_mark(&mut self, forward: bool, kind: Option<&str>) {
        let now = self.now.sched.now();
        let interesting = |k: &str| match kind {
            Some(wanted) => k == wanted,
            None => matches!(
                k,
                "fault"
                    | "healed"
                    | "master"
                    | "backup"
                    | "fault_state"
                    | "violation"
                    | "client_first_error"
                    | "client_resumed"
                    | "arp_moved"
            ),
        };
        let marks: Vec<Time> = self.run.marks.iter().filter(|m| interesting(m.kind)).map(|m| m.at).collect();
        let to =
            if forward { marks.iter().find(|t| **t > now) } else { marks.iter().rev().find(|t| **t < now) };
        match to {
            Some(t) => {
                let t = *t;
                self.seek(t);
            }
            None => "no such mark in that direction".clone_into(&mut self.message),
        }
    }
    /// Does what a key asks for.
    pub fn update(&mut self, a: Action) {
        self.message.clear();
        let now = self.now.sched.now();
        match a {
            Action::Events(d) => {
                self.playing = false;
                let handled = self.now.sched.handled();
                // From something that was logged to the next: most events have nothing to show.
                let i = self.steps.partition_point(|(n, _)| *n <= handled) as i64 + d;
                let n = if i <= 0 { 0 } else { self.steps[(i as usize).min(self.steps.len()) - 1].0 };
                self.goto(n);
            }
            Action::Millis(d) => {
                let to =
                    if d < 0 { now - Span::ms(d.unsigned_abs()) } else { now + Span::ms(d.unsigned_abs()) };
                self.seek(to.min(self.end));
            }
            Action::Mark(forward) => self.at_mark(forward, None),
            Action::Violation(true) => self.at_mark(true, Some("violation")),
            Action::Violation(false) => {
                self.seek(Time::ZERO);
                self.at_mark(true, Some("violation"));
            }
            Action::End(true) => self.seek(self.end),
            Action::End(false) => self.goto(0),
            Action::Toggle => self.playing = !self.playing,
            Action::Speed(up) => {
                self.speed = if up { (self.speed * 2).min(64_000) } else { (self.speed / 2).max(1) }
            }
            Action::Select(next) => {
                let n = self.now.model.world.hosts.len().max(1);
                self.selected = (self.selected + if next { 1 } else { n - 1 }) % n;
            }
            Action::Inject => self.menu = !self.menu,
            Action::Choose(n) => self.inject(n),
            Action::Undo => {
                if self.injected == 0 {
                    "nothing to undo".clone_into(&mut self.message);
                } else if let Some(at) = self.loaded.drill.faults.pop() {
                    self.injected -= 1;
                    self.undone.push(at);
                    self.simulate();
                    "injection taken back".clone_into(&mut self.message);
                }
            }
            Action::Redo => match self.undone.pop() {
                Some(at) => {
                    self.loaded.drill.faults.push(at);
                    self.injected += 1;
                    self.simulate();
                }
                None => "nothing to do again".clone_into(&mut self.message),
            },
            Action::Save => self.save(),
            Action::Help => self.help = !self.help,
            Action::Fold => self.fold = !self.fold,
            Action::Back => (self.menu, self.help) = (false, false),
        }
    }
    fn inject(&mut self, n: usize) {
        self.menu = false;
        let host = self.now.model.world.hosts[self.selected].name.clone();
        let target = Target::Host(host.clone());
        let process = |p: &str| p.to_owned();
        let fault = match n {
            0 => Fault::PowerOff { target },
            1 => Fault::PowerOn { target },
            2 => Fault::Freeze {
                target,
                mode: FreezeMode::Lost,
                clock: FreezeClock::Runs,
                lasts: Some(crate::engine::SpanRange::exactly(Span::secs(5))),
            },
            3 => Fault::Cut { target, from: Target::Others(vec![host]), plane: None },
            4 => Fault::Heal { target: None },
            5 => Fault::Kill { target, process: process("keepalived"), all: true },
            6 => Fault::Kill { target, process: process("haproxy"), all: false },
            7 => Fault::LinkDown { target, network: None },
            _ => return,
        };
        let at = injection_time(self.now.sched.now());
        self.message = format!("injected: {}", crate::fault::describe(&fault));
        self.loaded.drill.faults.push(At::At(crate::engine::SpanRange::exactly(Span(at.0)), fault));
        self.injected += 1;
        self.undone.clear();
        self.simulate();
        self.now.run_until(at);
    }
    fn save(&mut self) {
        let name = format!("{}-live.ron", self.loaded.drill_name.replace('/', "-"));
        let pretty = ron::ser::PrettyConfig::new().struct_names(true);
        let mut drill = self.loaded.drill.clone();
        drill.seed = self.seed;
        drill.stack.clone_from(&self.loaded.stack_name);
        let result = ron::ser::to_string_pretty(&drill, pretty).map_err(|e| e.to_string()).and_then(|text| {
            let temporary = format!("{name}.tmp");
            std::fs::write(&temporary, text + "\n")
                .and_then(|()| std::fs::rename(&temporary, &name))
                .map_err(|e| e.to_string())
        });
        self.message = match result {
            Ok(()) => format!("saved as {name}: firedrill play {name}"),
            Err(e) => format!("cannot save {name}: {e}"),
        };
    }
    /// Whether an entry is shown in the space-time diagram.
    pub fn shown(&self, e: &LogEntry) -> bool {
        match &e.what {
            What::Frame(_, _, label) | What::Lost(_, label, _) => {
                use crate::net::Plane;
                (!self.fold && matches!(label.plane, Plane::heartbeat | Plane::arp))
                    || label.word == "advert" && label.number == 0
            }
            What::Note(crate::proto::Note::Client(_)) | What::Event(_) => false,
            What::Note(crate::proto::Note::Vrrp(n)) => {
                n.mark().is_some_and(|k| k != "vip_up" && k != "vip_down")
            }
            _ => true,
        }
    }
}
