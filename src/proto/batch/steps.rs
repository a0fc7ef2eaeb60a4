//! The batch script and the processes of jobs on one host (what `slurmstepd` looks after).
//!
//! The script runs on the first node of a job, and with it the job's progress is kept: its processes work in step, so that the time of
//! one is the time of all. The processes of the other nodes send a sign of life; when one is gone the work stands still at once, and
//! who notices depends on the launcher. Work between checkpoints is lost when the processes are; a checkpoint is kept by the file server
//! if the cluster has one, else on the disk of the job's first node. The last checkpoint of a job is its result.
//!
//! Crashes of processes come after exponentially distributed times, whatever the job does meanwhile. **Not modelled:** uneven progress,
//! checkpoints of parts, `srun` in a script that runs while the controller is away (it fails after 9 s in a real cluster).

use super::config::{Launcher, OnFailure};
use super::msg::{Answer, Ask, How, JobId, Launch, Message, NODE, RANKS};
use super::nfs::{keep, kept};
use super::note::{About, Note};
use super::rpc::{Calls, Heard};
use super::state::name_of;
use super::{Cluster, Order};
use crate::engine::{Span, Time, exponential};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::disk::End;
use crate::node::process::{Action, Input, Signal, Timer};
use crate::proto::{Cx, Files, Msg};
use std::sync::Arc;

/// A report to the controller is tried so long at once, and again after [`AGAIN`].
const REPORT: Span = Span::secs(9);
/// A report that no controller took is tried again so much later.
const AGAIN: Span = Span::secs(15);
/// A file server that does not answer is waited for.
const HARD_MOUNT: Span = Span::secs(30 * 86_400);

/// What the job does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It looks for a checkpoint.
    Reading,
    /// The script starts the processes on the other nodes; so many have not answered.
    Launching(u16),
    /// It reads the checkpoint and starts (R).
    Restarting,
    /// It works.
    Working,
    /// It writes a checkpoint (C).
    Writing,
    /// The checkpoint is on its way to the file server.
    Storing,
    /// The script has ended; the controller is told.
    Ended(How),
    /// Everything has ended; the controller is told that the node is clean.
    Gone,
    /// These are the processes on another node than the script's.
    Ranks,
}

/// A job on this host.
#[derive(Clone, Debug)]
pub struct Step {
    launch: Arc<Launch>,
    rank: u16,
    phase: Phase,
    /// So much work is safe.
    safe: Span,
    /// Work that the present stretch is for.
    goal: Span,
    /// What is left of the present phase, as of `since`.
    left: Span,
    since: Time,
    /// The turn is another job's.
    suspended: bool,
    /// The processes on this node (its place in the list) are gone, and nobody ends the others.
    stuck: Option<u16>,
    /// Last signs of life of the other nodes.
    heard: Vec<Time>,
    /// That it works has been told.
    told: bool,
}
impl Step {
    fn about(&self) -> About {
        About {
            job: self.launch.job,
            name: name_of(self.launch.job, &self.launch.spec).into(),
            nodes: self.launch.spec.nodes,
        }
    }
    fn timed(&self) -> bool {
        matches!(self.phase, Phase::Restarting | Phase::Working | Phase::Writing)
    }
    fn paused(&self) -> bool {
        self.suspended || self.stuck.is_some()
    }
    /// Work done since the last checkpoint, at `now`.
    fn unsafe_work(&self, now: Time) -> Span {
        match self.phase {
            Phase::Working if self.paused() => self.goal.saturating_sub(self.left),
            Phase::Working => self.goal.saturating_sub(self.left.saturating_sub(now.since(self.since))),
            Phase::Writing | Phase::Storing => self.goal,
            _ => Span::ZERO,
        }
    }
    /// The job.
    pub fn job(&self) -> JobId {
        self.launch.job
    }
    /// What it does.
    pub fn phase(&self) -> Phase {
        self.phase
    }
    /// The share of its work that is done, in thousandths.
    pub fn permille(&self, now: Time) -> u64 {
        let done = self.safe + self.unsafe_work(now);
        done.ratio(1000, self.launch.spec.run.0.max(1)).0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tag {
    /// Start the processes on another node.
    Ranks(usize, u32, u16),
    /// The checkpoint.
    Read(usize, u32),
    Write(usize, u32),
    /// Reports.
    Ended(usize, u32),
    Clean(usize, u32),
    Crashed,
}

const PHASE: u16 = 0;
const BEAT: u16 = 1;
const CRASH: u16 = 2;
const KILL: u16 = 3;
const REPORT_AGAIN: u16 = 4;

/// The processes of jobs on a host.
#[derive(Clone, Debug)]
pub struct Steps {
    cluster: Cluster,
    me: u16,
    mtbf: Span,
    steps: Vec<Option<Step>>,
    calls: Calls<Tag>,
    /// Counts steps, so that an answer to an earlier one is known.
    serial: Vec<u32>,
}

impl Steps {
    /// Nothing runs yet. `mtbf` is the mean time between crashes of the processes on this node, 0 for never.
    pub fn new(cluster: Cluster, me: u16, mtbf: Span) -> Self {
        Steps { cluster, me, mtbf, steps: Vec::new(), calls: Calls::new(), serial: Vec::new() }
    }
    /// The processes have ended.
    pub fn reset(&mut self, end: End, files: &mut Files) {
        self.steps.clear();
        self.serial.clear();
        self.calls = Calls::new();
        files.batch.steps.clear();
        if end == End::PowerLost {
            files.batch.orders.clear();
            files.batch.boot = None;
        }
    }
    /// What runs.
    pub fn running(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().flatten()
    }
    fn timer(slot: usize, kind: u16) -> Timer {
        Timer(slot as u16 * 8 + kind)
    }
    fn find(&self, job: JobId, launch: u32) -> Option<usize> {
        self.steps
            .iter()
            .position(|s| s.as_ref().is_some_and(|s| s.launch.job == job && s.launch.number == launch))
    }
    fn is(&self, slot: usize, serial: u32) -> bool {
        self.serial.get(slot) == Some(&serial) && self.steps[slot].is_some()
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match self.calls.on(input, ctx) {
            Heard::Done(tag, answer) => self.answered(tag, answer, ctx),
            Heard::Other(Input::Start) => {
                ctx.act(Action::Bind(RANKS));
                self.orders(ctx);
            }
            Heard::Other(Input::Signal(Signal::Usr1)) => self.orders(ctx),
            Heard::Other(Input::Timer(Timer(t))) => self.timer_out((t / 8) as usize, t % 8, ctx),
            Heard::Other(Input::Packet { msg: Msg::Batch(m), .. }) => {
                if let Message::Beat { job, launch, rank } = *m
                    && let Some(slot) = self.find(job, launch)
                {
                    self.beat(slot, rank, ctx);
                }
            }
            _ => {}
        }
    }
    fn orders(&mut self, ctx: &mut Cx<'_>) {
        for order in std::mem::take(&mut ctx.files.batch.orders) {
            match order {
                Order::Batch(launch) => self.begin(launch, 0, ctx),
                Order::Ranks(launch, rank) => self.begin(launch, rank, ctx),
                Order::Terminate(job, launch, grace) => {
                    if let Some(slot) = self.find(job, launch) {
                        self.terminate(slot, grace, ctx);
                    }
                }
                Order::Suspend(job, launch, stop) => {
                    if let Some(slot) = self.find(job, launch) {
                        self.pause(slot, ctx, |s| s.suspended = stop);
                    }
                }
                Order::Crashed(job, launch, rank) => {
                    if let Some(slot) = self.find(job, launch) {
                        self.lost(slot, rank, None, ctx);
                    }
                }
            }
        }
    }
    fn begin(&mut self, launch: Arc<Launch>, rank: u16, ctx: &mut Cx<'_>) {
        if self.find(launch.job, launch.number).is_some() {
            return;
        }
        let slot = self.steps.iter().position(Option::is_none).unwrap_or(self.steps.len());
        if slot == self.steps.len() {
            self.steps.push(None);
            self.serial.push(0);
        }
        self.serial[slot] += 1;
        ctx.files.batch.steps.push((launch.job, launch.number, rank == 0));
        let several = launch.nodes.len() > 1;
        let every = Span(launch.spec.mpi_timeout.0 / 3);
        let looks = !launch.spec.checkpoint_interval.is_zero();
        let (job, number) = (launch.job, launch.number);
        self.steps[slot] = Some(Step {
            phase: if rank == 0 { Phase::Reading } else { Phase::Ranks },
            heard: vec![ctx.now; if rank == 0 { launch.nodes.len() } else { 0 }],
            launch,
            rank,
            safe: Span::ZERO,
            goal: Span::ZERO,
            left: Span::ZERO,
            since: ctx.now,
            suspended: false,
            stuck: None,
            told: false,
        });
        if !self.mtbf.is_zero() {
            let draw = ctx.below(exponential::BOUND);
            ctx.set_timer(Self::timer(slot, CRASH), exponential::span(self.mtbf, draw));
        }
        if rank > 0 {
            self.send_beat(slot, ctx);
            ctx.set_timer(Self::timer(slot, BEAT), every);
            return;
        }
        if several {
            ctx.set_timer(Self::timer(slot, BEAT), every);
        }
        match self.cluster.nfs.clone().filter(|_| looks && number > 1) {
            Some(nfs) => {
                self.calls.ask(nfs, Ask::Read(job), HARD_MOUNT, Tag::Read(slot, self.serial[slot]), ctx)
            }
            None => {
                let safe = if looks { kept(&ctx.files.batch.safe, job) } else { Span::ZERO };
                self.launch(slot, safe, ctx);
            }
        }
    }
    /// The script starts the processes.
    fn launch(&mut self, slot: usize, safe: Span, ctx: &mut Cx<'_>) {
        let serial = self.serial[slot];
        let Some(s) = self.steps[slot].as_mut() else { return };
        s.safe = safe;
        let others = s.launch.nodes.len() as u16 - 1;
        s.phase = Phase::Launching(others);
        let launch = s.launch.clone();
        for rank in 1..=others {
            let to = Arc::from([launch.nodes[rank as usize]]);
            let tag = Tag::Ranks(slot, serial, rank);
            self.calls.ask(to, Ask::Ranks(launch.clone(), rank), launch.patience, tag, ctx);
        }
        if others == 0 {
            self.launched(slot, ctx);
        }
    }
    fn launched(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(s) = self.steps[slot].as_mut() else { return };
        s.heard.fill(ctx.now);
        if s.launch.number > 1 {
            self.restart(slot, ctx);
        } else {
            self.work(slot, ctx);
        }
    }
    fn restart(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(s) = self.steps[slot].as_mut() else { return };
        s.phase = Phase::Restarting;
        s.left = s.launch.spec.restart_cost;
        self.go(slot, ctx);
    }
    fn work(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(s) = self.steps[slot].as_mut() else { return };
        let rest = s.launch.spec.run.saturating_sub(s.safe);
        let interval = s.launch.spec.checkpoint_interval;
        s.goal = if interval.is_zero() { rest } else { rest.min(interval) };
        s.left = s.goal;
        s.phase = Phase::Working;
        if !s.told {
            s.told = true;
            let note = Note::Works { job: s.about(), from: s.safe };
            ctx.note(crate::proto::Note::Batch(Box::new(note)));
        }
        self.go(slot, ctx);
    }
    /// A timed phase begins or goes on.
    fn go(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(s) = self.steps[slot].as_mut() else { return };
        s.since = ctx.now;
        if s.timed() && !s.paused() {
            ctx.set_timer(Self::timer(slot, PHASE), s.left);
        }
    }
    /// Something that holds the job up begins or ends.
    fn pause(&mut self, slot: usize, ctx: &mut Cx<'_>, change: impl FnOnce(&mut Step)) {
        let Some(s) = self.steps[slot].as_mut() else { return };
        let before = s.paused();
        change(s);
        if s.paused() && !before {
            s.left = s.left.saturating_sub(ctx.now.since(s.since));
            ctx.cancel_timer(Self::timer(slot, PHASE));
        } else if before && !s.paused() {
            self.go(slot, ctx);
        }
    }
    fn timer_out(&mut self, slot: usize, kind: u16, ctx: &mut Cx<'_>) {
        let Some(Some(s)) = self.steps.get(slot) else { return };
        match kind {
            PHASE => self.phase_over(slot, ctx),
            BEAT => self.beat_due(slot, ctx),
            CRASH => {
                let draw = ctx.below(exponential::BOUND);
                ctx.set_timer(Self::timer(slot, CRASH), exponential::span(self.mtbf, draw));
                if s.rank == 0 {
                    self.lost(slot, 0, None, ctx);
                } else if s.phase == Phase::Ranks {
                    let to = Arc::from([Endpoint::new(s.launch.nodes[0].ip, NODE)]);
                    let ask = Ask::Crashed { job: s.launch.job, launch: s.launch.number, rank: s.rank };
                    self.calls.ask(to, ask, s.launch.patience, Tag::Crashed, ctx);
                }
            }
            KILL => self.remove(slot, ctx),
            REPORT_AGAIN => self.report(slot, ctx),
            _ => {}
        }
    }
    fn phase_over(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(s) = self.steps[slot].as_mut() else { return };
        match s.phase {
            Phase::Restarting => self.work(slot, ctx),
            Phase::Working if s.launch.spec.checkpoint_interval.is_zero() => {
                s.safe = s.launch.spec.run;
                self.end(slot, How::Done, ctx);
            }
            Phase::Working => {
                s.phase = Phase::Writing;
                s.left = s.launch.spec.checkpoint_cost;
                self.go(slot, ctx);
            }
            Phase::Writing => {
                let (job, safe) = (s.launch.job, s.safe + s.goal);
                match self.cluster.nfs.clone() {
                    Some(nfs) => {
                        s.phase = Phase::Storing;
                        let tag = Tag::Write(slot, self.serial[slot]);
                        self.calls.ask(nfs, Ask::Write(job, safe), HARD_MOUNT, tag, ctx);
                    }
                    None => {
                        keep(&mut ctx.files.batch.safe, job, safe);
                        self.stored(slot, ctx);
                    }
                }
            }
            _ => {}
        }
    }
    fn stored(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(s) = self.steps[slot].as_mut() else { return };
        s.safe += s.goal;
        let note = Note::Checkpoint { job: s.about(), safe: s.safe, of: s.launch.spec.run };
        let over = s.safe >= s.launch.spec.run;
        ctx.note(crate::proto::Note::Batch(Box::new(note)));
        if over { self.end(slot, How::Done, ctx) } else { self.work(slot, ctx) }
    }

    // ---- signs of life ----------------------------------------------------------------------------------------------

    fn send_beat(&self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(s) = &self.steps[slot] else { return };
        let beat = Message::Beat { job: s.launch.job, launch: s.launch.number, rank: s.rank };
        let to = Endpoint::new(s.launch.nodes[0].ip, RANKS);
        let from = Endpoint::new(Ip::NONE, RANKS);
        let msg = Msg::Batch(Box::new(beat));
        ctx.act(Action::Send { from, to, net: None, plane: Plane::batch, msg });
    }
    fn beat(&mut self, slot: usize, rank: u16, ctx: &mut Cx<'_>) {
        let Some(s) = self.steps[slot].as_mut() else { return };
        if let Some(at) = s.heard.get_mut(rank as usize) {
            *at = ctx.now;
        }
        if s.stuck == Some(rank) {
            self.pause(slot, ctx, |s| s.stuck = None);
        }
    }
    fn beat_due(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(s) = self.steps[slot].as_mut() else { return };
        let (now, timeout) = (ctx.now, s.launch.spec.mpi_timeout);
        if matches!(s.phase, Phase::Ended(_) | Phase::Gone) {
            return;
        }
        ctx.set_timer(Self::timer(slot, BEAT), Span(timeout.0 / 3));
        if s.rank > 0 {
            self.send_beat(slot, ctx);
            return;
        }
        if matches!(s.phase, Phase::Reading | Phase::Launching(_)) {
            return;
        }
        let silent = (1..s.heard.len()).find(|r| now.since(s.heard[*r]) >= timeout);
        let Some(rank) = silent else { return };
        let last = s.heard[rank];
        match s.launch.spec.launcher {
            Launcher::Mpirun => self.lost(slot, rank as u16, Some(now.since(last)), ctx),
            Launcher::Srun if s.stuck.is_none() => {
                // The others have been waiting since it fell silent.
                let (job, node) = (s.about(), self.cluster.name_at(s.launch.nodes[rank]));
                let waited = now.since(last.max(s.since));
                if s.timed() && !s.paused() {
                    s.left += waited.min(now.since(s.since));
                }
                self.pause(slot, ctx, |s| s.stuck = Some(rank as u16));
                ctx.note(crate::proto::Note::Batch(Box::new(Note::Stuck { job, node })));
            }
            Launcher::Srun => {}
        }
    }
    /// Processes of the job are gone: crashed, or silent for so long.
    fn lost(&mut self, slot: usize, rank: u16, silent: Option<Span>, ctx: &mut Cx<'_>) {
        let Some(s) = self.steps[slot].as_mut() else { return };
        if matches!(s.phase, Phase::Ended(_) | Phase::Gone | Phase::Ranks) {
            return;
        }
        let spec = &s.launch.spec;
        let restart = spec.on_failure == OnFailure::Restart && silent.is_none();
        let note = Note::Lost {
            job: s.about(),
            node: self.cluster.name_at(s.launch.nodes[rank as usize]),
            crash: silent.is_none(),
            silent: silent.unwrap_or(Span::ZERO),
            work: s.unsafe_work(ctx.now),
            restart: restart.then_some(spec.restart_cost),
        };
        let how = if spec.on_failure == OnFailure::Fail { How::Failed } else { How::Requeue };
        ctx.note(crate::proto::Note::Batch(Box::new(note)));
        match s.phase {
            // While the processes are being started the script tries that again.
            Phase::Reading | Phase::Launching(_) if restart => {}
            _ if restart => {
                self.drop_write(slot);
                self.restart(slot, ctx);
            }
            _ => self.end(slot, how, ctx),
        }
    }
    /// An answer of the file server to a checkpoint that is lost means nothing any more.
    fn drop_write(&mut self, slot: usize) {
        self.serial[slot] += 1;
    }

    // ---- ends -------------------------------------------------------------------------------------------------------

    /// The script ends.
    fn end(&mut self, slot: usize, how: How, ctx: &mut Cx<'_>) {
        for kind in [PHASE, BEAT, CRASH] {
            ctx.cancel_timer(Self::timer(slot, kind));
        }
        if let Some(s) = self.steps[slot].as_mut() {
            s.phase = Phase::Ended(how);
        }
        self.report(slot, ctx);
    }
    fn report(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(s) = &self.steps[slot] else { return };
        let (job, launch, serial) = (s.launch.job, s.launch.number, self.serial[slot]);
        let (ask, tag) = match s.phase {
            Phase::Ended(how) => (Ask::Ended { job, launch, how }, Tag::Ended(slot, serial)),
            Phase::Gone => (Ask::Clean { job, launch, node: self.me }, Tag::Clean(slot, serial)),
            _ => return,
        };
        self.calls.ask(self.cluster.controllers.clone(), ask, REPORT, tag, ctx);
    }
    fn terminate(&mut self, slot: usize, grace: Span, ctx: &mut Cx<'_>) {
        let Some(s) = &self.steps[slot] else { return };
        let works = !matches!(s.phase, Phase::Ended(_) | Phase::Gone);
        if s.phase == Phase::Gone {
            return;
        }
        if works && s.launch.spec.ignores_term && !grace.is_zero() {
            ctx.set_timer(Self::timer(slot, KILL), grace);
        } else {
            self.remove(slot, ctx);
        }
    }
    /// Nothing of the job is left on this host.
    fn remove(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        for kind in [PHASE, BEAT, CRASH, KILL, REPORT_AGAIN] {
            ctx.cancel_timer(Self::timer(slot, kind));
        }
        let Some(s) = self.steps[slot].as_mut() else { return };
        s.phase = Phase::Gone;
        let (job, launch) = (s.launch.job, s.launch.number);
        ctx.files.batch.steps.retain(|x| (x.0, x.1) != (job, launch));
        self.serial[slot] += 1;
        self.report(slot, ctx);
    }
    fn answered(&mut self, tag: Tag, answer: Option<Answer>, ctx: &mut Cx<'_>) {
        match (tag, answer) {
            (Tag::Ranks(slot, serial, rank), answer) if self.is(slot, serial) => {
                let Some(s) = self.steps[slot].as_mut() else { return };
                let Phase::Launching(left) = &mut s.phase else { return };
                *left -= 1;
                if answer.is_none() {
                    let (job, node) = (s.about(), self.cluster.name_at(s.launch.nodes[rank as usize]));
                    let fail = s.launch.spec.on_failure == OnFailure::Fail;
                    ctx.note(crate::proto::Note::Batch(Box::new(Note::LaunchFailed { job, node })));
                    self.end(slot, if fail { How::Failed } else { How::Requeue }, ctx);
                } else if *left == 0 {
                    self.launched(slot, ctx);
                }
            }
            (Tag::Read(slot, serial), Some(Answer::Safe(safe))) if self.is(slot, serial) => {
                self.launch(slot, safe, ctx);
            }
            (Tag::Write(slot, serial), Some(_)) if self.is(slot, serial) => self.stored(slot, ctx),
            (Tag::Ended(slot, serial) | Tag::Clean(slot, serial), None) if self.is(slot, serial) => {
                ctx.set_timer(Self::timer(slot, REPORT_AGAIN), AGAIN);
            }
            (Tag::Clean(slot, serial), Some(_)) if self.is(slot, serial) => self.steps[slot] = None,
            _ => {}
        }
    }
}
