//! The controller's scheduling passes, and the turns of gang scheduling.
//!
//! A pass is asked for by events (a submission, an end, a node that comes or goes) and made at most every `batch_sched_delay`, after
//! everything else of that moment; another comes every `sched_interval`. `sched/backfill` makes its own pass every `bf_interval` besides.
//! That a job becomes eligible is no event: the next pass finds it.

use super::config::SchedulerType;
use super::controller::{Controller, SCHED, SLICE, Tag};
use super::msg::Ask;
use super::note::Note;
use super::plan::{self, Plan, Running, Waiting, Why};
use super::state::{Reason, State};
use crate::engine::Time;
use crate::proto::Cx;

impl Controller {
    /// A pass is due.
    pub(super) fn schedule(&mut self, ctx: &mut Cx<'_>) {
        if self.wanted {
            return;
        }
        self.wanted = true;
        let last = self.last_pass.map_or(Time::ZERO, |t| t + self.config.batch_sched_delay);
        let at = ctx.now.max(last).max(self.not_before);
        ctx.set_timer(SCHED, at.since(ctx.now));
    }
    /// The jobs that could start if they had nodes, in order.
    fn queue(&mut self, now: Time, ctx: &mut Cx<'_>) -> Vec<usize> {
        let all = self.nodes.len() as u32;
        for i in 0..self.jobs.len() {
            let j = &mut self.jobs[i];
            if j.state == State::Pending && j.spec.nodes > all && j.reason != Reason::PartitionConfig {
                j.reason = Reason::PartitionConfig;
                Self::tell(Note::TooLarge { job: Self::about(&self.jobs[i]), all }, ctx);
            }
        }
        let ready = |i: &usize| {
            let j = &self.jobs[*i];
            j.state == State::Pending && j.eligible <= now && j.dirty.is_empty() && j.spec.nodes <= all
        };
        let mut queue: Vec<usize> = (0..self.jobs.len()).filter(ready).collect();
        queue.sort_by_key(|i| (std::cmp::Reverse(self.jobs[*i].spec.priority), self.jobs[*i].id));
        queue
    }
    /// Nodes that can take a job now.
    fn free(&self) -> Vec<u16> {
        (0..self.nodes.len() as u16)
            .filter(|n| self.nodes[*n as usize].up() && self.nodes[*n as usize].jobs.is_empty())
            .collect()
    }
    /// A pass: the ordinary one, or that of `sched/backfill`.
    pub(super) fn pass(&mut self, backfill: bool, ctx: &mut Cx<'_>) {
        let now = ctx.now;
        if !backfill {
            self.wanted = false;
            self.last_pass = Some(now);
        }
        let queue = self.queue(now, ctx);
        if queue.is_empty() {
            return;
        }
        if self.config.gang {
            if !backfill {
                self.gang_pass(&queue, ctx);
            }
            return;
        }
        let free = self.free();
        let n = free.len() as u32;
        // Nodes that are still being cleaned come free at any moment.
        let running: Vec<Running> = self
            .jobs
            .iter()
            .filter(|j| j.on_nodes() || !j.dirty.is_empty())
            .map(|j| match j.on_nodes() {
                true => Running { nodes: j.nodes.len() as u32, end: j.believed_end() },
                false => Running { nodes: j.dirty.len() as u32, end: now },
            })
            .collect();
        let waiting: Vec<Waiting> = queue
            .iter()
            .map(|i| &self.jobs[*i])
            .map(|j| Waiting { id: j.id, nodes: j.spec.nodes, limit: j.limit(), planned: j.planned })
            .collect();
        let depth = self.config.default_queue_depth as usize;
        let plan = match self.config.scheduler_type {
            SchedulerType::Easy => plan::easy(now, n, &running, &waiting),
            SchedulerType::Conservative => plan::conservative(now, n, &running, &waiting),
            SchedulerType::Backfill if backfill => {
                let most = self.config.bf_max_job_test as usize;
                plan::slurm(now, n, &running, &waiting, self.config.bf_window, most)
            }
            SchedulerType::Builtin | SchedulerType::Backfill => {
                let mut plan = plan::fcfs(n, &waiting[..waiting.len().min(depth)]);
                // What the head is told; the backfill pass plans for itself.
                if self.config.scheduler_type == SchedulerType::Backfill {
                    self.promise_head(now, n, &running, &waiting, &mut plan);
                }
                plan
            }
        };
        self.carry_out(&queue, free, &plan, ctx);
    }
    /// The reserved start of the first job that does not fit.
    fn promise_head(&self, now: Time, free: u32, running: &[Running], waiting: &[Waiting], plan: &mut Plan) {
        let started: Vec<usize> = plan.start.iter().map(|s| s.0).collect();
        let Some(head) = (0..waiting.len()).find(|i| !started.contains(i)) else { return };
        let mut all = running.to_vec();
        all.extend(
            started.iter().map(|i| Running { nodes: waiting[*i].nodes, end: now + waiting[*i].limit }),
        );
        let left = free - started.iter().map(|i| waiting[*i].nodes).sum::<u32>();
        let shadow = plan::shadow(now, left, &all, waiting[head].nodes);
        if let Some(s) = shadow.filter(|s| s.at < now + self.config.bf_window) {
            plan.planned.push((head, s.at));
        }
    }
    fn carry_out(&mut self, queue: &[usize], mut free: Vec<u16>, plan: &Plan, ctx: &mut Cx<'_>) {
        for (place, why) in &plan.start {
            let i = queue[*place];
            let rest = free.split_off(self.jobs[i].spec.nodes as usize);
            let nodes = std::mem::replace(&mut free, rest);
            self.start(i, nodes, *why, ctx);
        }
        for (place, at) in &plan.planned {
            self.jobs[queue[*place]].planned = Some(*at);
        }
        let mut head = true;
        for i in queue {
            if self.jobs[*i].state != State::Pending {
                continue;
            }
            let reason = if head { Reason::Resources } else { Reason::Priority };
            if head && self.jobs[*i].reason != Reason::Resources {
                let j = &self.jobs[*i];
                let note = Note::Waits { job: Self::about(j), free: free.len() as u32, planned: j.planned };
                Self::tell(note, ctx);
            }
            self.jobs[*i].reason = reason;
            head = false;
        }
    }

    // ---- gang scheduling --------------------------------------------------------------------------------------------

    /// First come, first served, into the first row that has room: jobs of a row run together, rows take turns.
    fn gang_pass(&mut self, queue: &[usize], ctx: &mut Cx<'_>) {
        for i in queue {
            let need = self.jobs[*i].spec.nodes as usize;
            let room = (0..self.config.over_subscribe as u8).find_map(|row| {
                let free: Vec<u16> = (0..self.nodes.len() as u16)
                    .filter(|n| {
                        let node = &self.nodes[*n as usize];
                        let taken = |j: &u32| {
                            self.find(*j).is_some_and(|j| self.jobs[j].row == row || !self.jobs[j].on_nodes())
                        };
                        node.up() && !node.jobs.iter().any(taken)
                    })
                    .collect();
                (free.len() >= need).then(|| (row, free[..need].to_vec()))
            });
            let Some((row, nodes)) = room else {
                if self.jobs[*i].reason != Reason::Resources {
                    self.jobs[*i].reason = Reason::Resources;
                    let note = Note::Waits { job: Self::about(&self.jobs[*i]), free: 0, planned: None };
                    Self::tell(note, ctx);
                }
                break;
            };
            self.jobs[*i].row = row;
            self.start(*i, nodes, Why::First, ctx);
            if self.rows().len() > 1 {
                if row != self.turn {
                    self.jobs[*i].state = State::Suspended;
                    self.jobs[*i].suspended = ctx.now;
                }
                if !self.slicing {
                    self.slicing = true;
                    ctx.set_timer(SLICE, self.config.scheduler_time_slice);
                }
            } else {
                self.turn = row;
            }
        }
    }
    /// The rows that have jobs.
    fn rows(&self) -> Vec<u8> {
        let mut rows: Vec<u8> = self.jobs.iter().filter(|j| j.on_nodes()).map(|j| j.row).collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }
    /// The next row has its turn.
    pub(super) fn slice(&mut self, ctx: &mut Cx<'_>) {
        let rows = self.rows();
        let next = rows.iter().copied().find(|r| *r > self.turn).or(rows.first().copied());
        self.slicing = rows.len() > 1;
        if self.slicing {
            ctx.set_timer(SLICE, self.config.scheduler_time_slice);
        }
        let Some(next) = next else { return };
        self.turn = next;
        for i in 0..self.jobs.len() {
            let j = &mut self.jobs[i];
            if j.state == State::Running && j.row != next {
                j.state = State::Suspended;
                j.suspended = ctx.now;
                self.tell_turn(i, true, ctx);
            } else if j.state == State::Suspended && j.row == next {
                j.state = State::Running;
                j.stood += ctx.now.since(j.suspended);
                self.tell_turn(i, false, ctx);
            }
        }
    }
    /// Tells the nodes of a job that it is suspended, or goes on.
    pub(super) fn tell_turn(&mut self, i: usize, stop: bool, ctx: &mut Cx<'_>) {
        if self.jobs[i].launching {
            return;
        }
        let (id, launch) = (self.jobs[i].id, self.jobs[i].launch);
        Self::tell(Note::Turn { job: Self::about(&self.jobs[i]), goes_on: !stop }, ctx);
        for n in self.jobs[i].nodes.clone() {
            let to = self.to_node(n);
            self.calls.ask(to, Ask::Suspend(id, launch, stop), self.patience(), Tag::Suspend, ctx);
        }
    }
}
