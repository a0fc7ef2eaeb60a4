//! What the player knows: the run, its keyframes, the moment that is shown, and what keys do to them.

use crate::engine::history::History;
use crate::engine::{Chance, Span, SpanRange, Time};
use crate::fault::injection_time;
use crate::net::Plane;
use crate::node::log::{Level, What};
use crate::node::process::HostId;
use crate::report::why::why;
use crate::report::{semantic, story};
use crate::say;
use crate::scenario::build::build;
use crate::scenario::load::Loaded;
use crate::scenario::types::{At, Fault, Target};
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
    /// Select a host by number (a click).
    SelectHost(usize),
    /// Choose the other end of a link, host after host, and then none.
    OtherEnd,
    /// To the next or the previous entry of the selected host.
    OfHost(bool),
    /// Show only what concerns the selected host, or everything.
    Only,
    /// Remember this moment.
    Bookmark,
    /// To the next remembered moment.
    ToBookmark,
    /// Explain the last event in full.
    Why,
    /// Keep this branch and go on in a new one.
    Fork,
    /// Show the next branch.
    NextBranch,
    /// What is different in this branch.
    Diff,
    /// The command that plays this run again.
    Repro,
    /// Ask for a word to search or a moment to go to.
    Ask(Ask),
    /// A letter of the answer.
    Type(char),
    /// The last letter goes.
    Erase,
    /// The answer is complete.
    Submit,
    /// To the next or the previous entry that has the word.
    Found(bool),
    /// To a place of the scrubber, in thousandths of the run (a click).
    Permille(u64),
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
    /// The next panel: space-time, jobs, queues.
    Panel,
    /// Fold or unfold heartbeats.
    Fold,
    /// Back one level.
    Back,
}

/// The order in which `p` goes through the panels: what is special to a stack comes before what every stack has.
const PANELS: [Panel; 5] = [Panel::Time, Panel::Pool, Panel::Cluster, Panel::Jobs, Panel::Queues];

/// What the middle of the screen shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Panel {
    /// The space-time diagram.
    #[default]
    Time,
    /// The Gantt chart of a batch cluster.
    Jobs,
    /// Queues and loads.
    Queues,
    /// The processes of pgpools.
    Pool,
    /// Pacemaker's daemons, what they decide, and what runs where.
    Cluster,
}

/// What the last line asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// A word to look for.
    Search,
    /// A moment, `12.4s` or `50%`.
    Goto,
}

/// A run that is kept beside the others.
#[derive(Clone, Debug)]
struct Branch {
    faults: Vec<At>,
    injected: usize,
    at: Time,
}

/// The number of faults that can be injected on the selected link (`link-1` and so on). The second and the fifth concern what its first end sends.
pub const LINK_MENU: usize = 7;

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
    /// What has been chosen in it so far: places in the menus inside each other.
    pub chosen: Vec<usize>,
    /// The help is open.
    pub help: bool,
    /// Heartbeats are folded.
    pub fold: bool,
    /// What the middle of the screen shows.
    pub panel: Panel,
    /// Something to say in the last line.
    pub message: String,
    /// The other end of the selected link; none: the host itself is selected.
    pub other: Option<usize>,
    /// Only what concerns the selected host is shown.
    pub only: bool,
    /// What the last line asks for, and the answer so far.
    pub ask: Option<(Ask, String)>,
    /// A text over the screen: its title and its lines.
    pub text: Option<(String, Vec<String>)>,
    /// Remembered moments.
    pub bookmarks: Vec<Time>,
    word: String,
    branches: Vec<Branch>,
    branch: usize,
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
            chosen: Vec::new(),
            help: false,
            fold: true,
            panel: Panel::Time,
            message: String::new(),
            other: None,
            only: false,
            ask: None,
            text: None,
            bookmarks: Vec::new(),
            word: String::new(),
            branches: Vec::new(),
            branch: 0,
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
        // Of a batch cluster the chart says most.
        if world.procs.iter().any(|q| matches!(q.logic, crate::proto::Daemon::Slurmctld(_))) {
            p.panel = Panel::Jobs;
        }
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
                    | "job_started"
                    | "job_done"
                    | "job_failed"
                    | "job_timeout"
                    | "job_node_fail"
                    | "job_requeued"
                    | "ranks_lost"
                    | "node_lost"
                    | "leader_elected"
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
            None => self.message = say!("msg-no-mark"),
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
                self.other = None;
            }
            Action::SelectHost(i) => {
                if i < self.now.model.world.hosts.len() {
                    self.selected = i;
                    self.other = None;
                }
            }
            Action::OtherEnd => {
                let n = self.now.model.world.hosts.len();
                let from = self.other.map_or(0, |o| o + 1);
                self.other = (from..n).find(|i| *i != self.selected);
            }
            Action::OfHost(forward) => {
                let here = HostId(self.selected as u16);
                self.go_to_entry(forward, |e, _| e.host == Some(here), &say!("msg-no-more-host"));
            }
            Action::Only => self.only = !self.only,
            Action::Bookmark => {
                self.bookmarks.push(now);
                self.bookmarks.sort_unstable();
                self.bookmarks.dedup();
                self.message = say!("msg-remembered", at = now);
            }
            Action::ToBookmark => {
                match self.bookmarks.iter().find(|t| **t > now).or(self.bookmarks.first()).copied() {
                    Some(t) => self.seek(t),
                    None => self.message = say!("msg-remember-first"),
                }
            }
            Action::Why => self.explain(),
            Action::Fork => {
                self.keep();
                self.branches.push(self.branches[self.branch].clone());
                self.branch = self.branches.len() - 1;
                self.message = say!("msg-branch", n = self.branch + 1);
            }
            Action::NextBranch if self.branches.len() < 2 => {
                self.message = say!("msg-one-branch");
            }
            Action::NextBranch => {
                self.keep();
                self.branch = (self.branch + 1) % self.branches.len();
                let b = self.branches[self.branch].clone();
                self.loaded.drill.faults = b.faults;
                self.injected = b.injected;
                self.undone.clear();
                self.simulate();
                self.seek(b.at);
            }
            Action::Diff => self.difference(),
            Action::Repro => {
                self.message = if self.injected == 0 {
                    format!("firedrill play {} --seed {}", self.loaded.drill_name, self.seed)
                } else {
                    say!("msg-save-first")
                };
            }
            Action::Ask(what) => self.ask = Some((what, String::new())),
            Action::Type(c) => {
                if let Some((_, answer)) = &mut self.ask {
                    answer.push(c);
                }
            }
            Action::Erase => {
                if let Some((_, answer)) = &mut self.ask {
                    answer.pop();
                }
            }
            Action::Submit => match self.ask.take() {
                Some((Ask::Search, word)) => {
                    self.word = word.to_lowercase();
                    self.found(true);
                }
                Some((Ask::Goto, text)) => self.go_where(&text),
                None => {}
            },
            Action::Found(forward) => self.found(forward),
            Action::Permille(p) => self.seek(Time(self.end.0 / 1000 * p.min(1000))),
            Action::Inject => {
                self.menu = !self.menu;
                self.chosen.clear();
            }
            Action::Choose(n) => self.inject(n),
            Action::Undo => {
                if self.injected == 0 {
                    self.message = say!("msg-no-undo");
                } else if let Some(at) = self.loaded.drill.faults.pop() {
                    self.injected -= 1;
                    self.undone.push(at);
                    self.simulate();
                    self.message = say!("msg-undone");
                }
            }
            Action::Redo => match self.undone.pop() {
                Some(at) => {
                    self.loaded.drill.faults.push(at);
                    self.injected += 1;
                    self.simulate();
                }
                None => self.message = say!("msg-no-redo"),
            },
            Action::Save => self.save(),
            Action::Help => self.help = !self.help,
            Action::Panel => {
                let at = PANELS.iter().position(|x| *x == self.panel).unwrap_or(0);
                let mut next = PANELS.iter().cycle().skip(at + 1).take(PANELS.len());
                self.panel = next.find(|x| self.shows(**x)).copied().unwrap_or(Panel::Time);
            }
            Action::Fold => self.fold = !self.fold,
            // One menu back.
            Action::Back if self.menu && self.chosen.pop().is_some() => {}
            Action::Back => {
                (self.menu, self.help) = (false, false);
                (self.ask, self.text) = (None, None);
            }
        }
    }
    /// Whether the stack has a pgpool.
    fn pgpool(&self) -> bool {
        let world = &self.now.model.world;
        crate::fault::roles::hosts(world).any(|h| crate::fault::roles::pgpool(world, h).is_some())
    }
    /// Whether a panel has something to show of this stack.
    fn shows(&self, panel: Panel) -> bool {
        use crate::proto::Daemon;
        let any = |is: fn(&Daemon) -> bool| self.now.model.world.procs.iter().any(|q| is(&q.logic));
        match panel {
            Panel::Time | Panel::Queues => true,
            Panel::Pool => self.pgpool(),
            Panel::Cluster => any(|d| matches!(d, Daemon::Crm(_))),
            Panel::Jobs => any(|d| matches!(d, Daemon::Slurmctld(_))),
        }
    }
    fn inject(&mut self, n: usize) {
        use super::inject::Choice;
        let mut chosen = None;
        if self.other.is_none() {
            match super::inject::open(self).1.into_iter().nth(n) {
                Some((_, Choice::More(_))) => return self.chosen.push(n),
                Some((_, Choice::Do(fault))) => chosen = Some(fault),
                None => {}
            }
        }
        self.menu = false;
        self.chosen.clear();
        let target = Target::Host(self.now.model.world.hosts[self.selected].name.clone());
        let fault = match (n, self.other) {
            (_, Some(o)) => match self.on_link(n, target, o) {
                Some(fault) => fault,
                None => return,
            },
            (_, None) => match chosen {
                Some(fault) => fault,
                None => return,
            },
        };
        let at = injection_time(self.now.sched.now());
        self.message = say!("msg-injected", what = crate::fault::describe(&fault));
        self.loaded.drill.faults.push(At::At(SpanRange::exactly(Span(at.0)), fault));
        self.injected += 1;
        self.undone.clear();
        self.simulate();
        self.now.run_until(at);
    }
    /// A fault of the link between the selected host and another.
    fn on_link(&self, n: usize, target: Target, other: usize) -> Option<Fault> {
        let to = Target::Host(self.now.model.world.hosts[other].name.clone());
        let cut = |target, from, plane| Fault::Cut { target, from, plane };
        Some(match n {
            0 => cut(target, to, None),
            1 => Fault::CutOneWay { target, to, plane: None },
            2 => Fault::Loss { target, chance: Chance { ppb: 300_000_000 }, to: Some(to), plane: None },
            3 => {
                let by = SpanRange::new(Span::ms(100), Span::ms(300));
                Fault::Delay { target, by, to: Some(to), plane: None }
            }
            4 => cut(target, to, Some(Plane::heartbeat)),
            5 => cut(target, to, Some(Plane::client)),
            6 => Fault::Heal { target: Some(target) },
            _ => return None,
        })
    }
    /// The branch that is shown remembers what it is.
    fn keep(&mut self) {
        let at = self.now.sched.now();
        let here = Branch { faults: self.loaded.drill.faults.clone(), injected: self.injected, at };
        match self.branches.get_mut(self.branch) {
            Some(b) => *b = here,
            None => self.branches.push(here),
        }
    }
    /// Which branch is shown, of how many.
    pub fn branch(&self) -> Option<(usize, usize)> {
        (self.branches.len() > 1).then_some((self.branch + 1, self.branches.len()))
    }
    /// What happens in this branch and not in the one before it (the drill as written, if there is none).
    fn difference(&mut self) {
        let mut other = self.loaded.clone();
        let before = (self.branch + self.branches.len().max(1) - 1) % self.branches.len().max(1);
        let title = match self.branches.get(before).filter(|_| before != self.branch) {
            Some(b) => {
                other.drill.faults.clone_from(&b.faults);
                say!("msg-branches", a = self.branch + 1, b = before + 1)
            }
            None => {
                let own = other.drill.faults.len() - self.injected;
                other.drill.faults.truncate(own);
                say!("msg-as-written")
            }
        };
        let l = &self.loaded;
        let theirs = crate::trace::run::run(&other.stack, &other.drill, self.seed, Level::Full, true);
        let tell =
            |drill, run| story::story(&l.drill_name, &l.stack_name, drill, run, story::Style::default());
        let changes = semantic::changes(&tell(&other.drill, &theirs), &tell(&l.drill, &self.run));
        let same = format!(" {}", say!("msg-same"));
        let lines = if changes.is_empty() { &same } else { &changes };
        self.text = Some((title, lines.lines().map(str::to_owned).collect()));
    }
    fn explain(&mut self) {
        let now = self.now.sched.now();
        let mark = self
            .run
            .marks
            .iter()
            .rfind(|m| m.story && m.event.0 > 0 && m.at <= now && m.kind != "violation_over");
        let text = mark.map_or_else(|| format!(" {}", say!("msg-nothing-yet")), |m| why(&self.run, m));
        self.text = Some((say!("ui-why"), text.lines().map(str::to_owned).collect()));
    }
    fn go_where(&mut self, text: &str) {
        let text = text.trim().trim_start_matches("goto").trim();
        let share = text.strip_suffix('%').and_then(|n| n.trim().parse::<u64>().ok());
        match (share, text.parse::<Span>()) {
            (Some(p), _) => self.seek(Time(self.end.0 / 100 * p.min(100))),
            (_, Ok(at)) => self.seek((Time::ZERO + at).min(self.end)),
            (_, Err(e)) => self.message = say!("msg-moment", error = e),
        }
    }
    fn found(&mut self, forward: bool) {
        if self.word.is_empty() {
            self.message = say!("msg-word-first");
            return;
        }
        let word = self.word.clone();
        let has = |e: &LogEntry, p: &Player| {
            text_of(p, e).is_some_and(|(_, text, why)| {
                format!("{} {text} {why}", p.run.host(e.host)).to_lowercase().contains(&word)
            })
        };
        self.go_to_entry(forward, has, &say!("msg-not-found", word = word));
    }
    /// To the nearest entry that is shown and wanted.
    fn go_to_entry(&mut self, forward: bool, wanted: impl Fn(&LogEntry, &Player) -> bool, otherwise: &str) {
        let here = self.past().len();
        // What is shown last may belong to the event that is shown: going back begins before that event.
        let now = self.now.sched.handled();
        let step = self.steps.partition_point(|(n, _)| *n < now);
        let before = step.checked_sub(1).map_or(0, |i| self.steps[i].1).min(self.run.log.len());
        let ok = |i: &usize| {
            let e = &self.run.log[*i];
            self.shown(e) && text_of(self, e).is_some() && wanted(e, self)
        };
        let found =
            if forward { (here..self.run.log.len()).find(ok) } else { (0..before.min(here)).rev().find(ok) };
        match found {
            Some(i) => {
                let step = self.steps.partition_point(|(_, logged)| *logged <= i);
                self.playing = false;
                self.goto(self.steps[step.min(self.steps.len() - 1)].0);
            }
            None => otherwise.clone_into(&mut self.message),
        }
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
            Ok(()) => say!("msg-saved", file = name),
            Err(e) => say!("msg-cannot-save", file = name, error = e),
        };
    }
    /// Whether an entry is shown in the space-time diagram.
    pub fn shown(&self, e: &LogEntry) -> bool {
        if self.only && e.host.is_some_and(|h| h.0 as usize != self.selected) {
            return false;
        }
        match &e.what {
            What::Frame(_, _, label) | What::Lost(_, label, _) => {
                (!self.fold && matches!(label.plane, Plane::heartbeat | Plane::arp))
                    || label.word == "advert" && label.number == 0
            }
            What::Note(crate::proto::Note::Client(_)) | What::Event(_) => false,
            What::Note(crate::proto::Note::Batch(n)) => !self.fold || n.story(),
            What::Note(n) => n.mark().is_some_and(|k| k != "vip_up" && k != "vip_down"),
            _ => true,
        }
    }
}

/// An entry in words: its letter, what happened, why.
pub(super) fn text_of(p: &Player, e: &LogEntry) -> Option<(char, String, String)> {
    let m = crate::trace::marks::mark(e, &p.now.model.world, p.loaded.drill.faults.len());
    if let Some(m) = m {
        let c = match m.kind {
            "fault" => 'x',
            "healed" => 'h',
            "master" | "promoted" => '*',
            "violation" => '!',
            "job_started" => '>',
            "job_done" => '+',
            "job_failed" | "job_timeout" | "job_node_fail" | "ranks_lost" | "node_lost" => '-',
            _ => ' ',
        };
        return Some((c, m.text, m.why));
    }
    let host = |h: HostId| p.now.model.world.host(h).name.clone();
    match &e.what {
        What::Frame(from, _, l) => {
            Some((' ', format!("<- {} {} {}", host(*from), l.word, l.number), String::new()))
        }
        What::Lost(to, l, _) => {
            Some(('x', say!("ui-lost", word = l.word, number = l.number, to = host(*to)), String::new()))
        }
        What::Frozen => Some((' ', say!("ui-stands-still"), String::new())),
        What::AddressAdded(ip) => Some((' ', format!("+{ip}"), String::new())),
        What::AddressRemoved(ip) => Some((' ', format!("-{ip}"), String::new())),
        _ => None,
    }
}
