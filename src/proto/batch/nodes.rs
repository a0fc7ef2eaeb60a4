//! The controller's view of its nodes: who answers, who is DOWN, who comes back.
//!
//! Every `SlurmdTimeout`/3 there is a round; a node that answered within that time is left out, so that a healthy node is asked every other
//! round. Times are whole seconds, and the answers of a round count from its end, which one silent node puts off by `MessageTimeout` and a
//! second. A node is DOWN in the first round at which its last answer is as old as the round before minus `SlurmdTimeout`.

use super::controller::{Controller, PING, Tag};
use super::msg::{Answer, Ask, Node};
use super::note::{Back, Note};
use super::state::{DownWhy, State};
use crate::engine::{SEC, Span, Time};
use crate::proto::Cx;

impl Controller {
    /// From one round to the next: whole seconds.
    fn ping_interval(&self) -> Span {
        Span::secs((self.config.slurmd_timeout.0 / SEC / 3).max(1))
    }
    pub(super) fn ping_round(&mut self, ctx: &mut Cx<'_>) {
        if self.config.slurmd_timeout.is_zero() {
            return;
        }
        let every = self.ping_interval();
        ctx.set_timer(PING, every);
        let now = Self::second(ctx.now);
        let timeout = self.config.slurmd_timeout.0 / SEC;
        let dead = self.last_round.and_then(|r| r.checked_sub(timeout));
        self.last_round = Some(now);
        for n in 0..self.nodes.len() as u16 {
            let node = &self.nodes[n as usize];
            if node.down.is_none() && dead.is_some_and(|d| node.answered <= d) {
                self.down(n, DownWhy::NotResponding, ctx);
            }
        }
        self.round(now.checked_sub(every.0 / SEC), ctx);
    }
    /// Asks the nodes; who answered at `live` or later is left out.
    pub(super) fn round(&mut self, live: Option<u64>, ctx: &mut Cx<'_>) {
        if self.round.open > 0 {
            return;
        }
        let asked: Vec<(u16, bool)> = (0..self.nodes.len() as u16)
            .filter_map(|n| {
                let node = &self.nodes[n as usize];
                let well = node.down.is_none() && node.responding && node.known;
                let skip = well && live.is_some_and(|l| node.answered >= l);
                (!skip).then_some((n, !well))
            })
            .collect();
        self.round.open = asked.len() as u16;
        for (n, who) in asked {
            let to = self.to_node(n);
            self.calls.ask(to, Ask::Ping(who), self.patience(), Tag::Ping(n), ctx);
        }
    }
    pub(super) fn ping_answered(&mut self, n: u16, answer: Option<Answer>, ctx: &mut Cx<'_>) {
        match answer {
            Some(Answer::Node(node)) => self.round.answers.push((n, Some(node))),
            Some(_) => self.round.answers.push((n, None)),
            None => self.round.silent.push(n),
        }
        self.round.open = self.round.open.saturating_sub(1);
        if self.round.open > 0 {
            return;
        }
        let round = std::mem::take(&mut self.round);
        for (n, node) in round.answers {
            self.answered_now(n, ctx);
            if let Some(node) = node {
                self.registered(&node, ctx);
            }
        }
        for n in round.silent {
            self.silent(n, false, ctx);
        }
    }
    /// A node has answered.
    pub(super) fn answered_now(&mut self, n: u16, ctx: &mut Cx<'_>) {
        let node = &mut self.nodes[n as usize];
        node.answered = Self::second(ctx.now);
        if !node.responding {
            node.responding = true;
            if node.known && node.down.is_none() {
                let name = self.node_name(n);
                Self::tell(Note::Up { node: name }, ctx);
                self.schedule(ctx);
            }
        }
    }
    /// A node has not answered: it gets no new jobs.
    pub(super) fn silent(&mut self, n: u16, launch: bool, ctx: &mut Cx<'_>) {
        let node = &mut self.nodes[n as usize];
        if node.responding {
            node.responding = false;
            if node.down.is_none() && node.known {
                let last = Time::secs(node.answered);
                let name = self.node_name(n);
                Self::tell(Note::Silent { node: name, last, launch }, ctx);
            }
        }
    }
    /// A node is DOWN: its jobs are lost.
    fn down(&mut self, n: u16, why: DownWhy, ctx: &mut Cx<'_>) {
        let node = &mut self.nodes[n as usize];
        node.down = Some(why);
        let last = Time::secs(node.answered);
        let name = self.node_name(n);
        let rebooted = why == DownWhy::Rebooted;
        let limit = self.config.slurmd_timeout;
        Self::tell(Note::Down { node: name.clone(), rebooted, last, limit }, ctx);
        for i in 0..self.jobs.len() {
            let j = &mut self.jobs[i];
            j.dirty.retain(|d| *d != n);
            if !j.on_nodes() || !j.nodes.contains(&n) {
                continue;
            }
            if j.spec.no_kill && j.nodes[0] != n {
                j.nodes.retain(|x| *x != n);
            } else {
                self.back(i, Back::NodeDown(name.clone()), ctx);
            }
        }
        self.nodes[n as usize].jobs.clear();
        self.strays.retain(|s| s.2 != n);
        self.changed(ctx);
        self.schedule(ctx);
    }
    /// A node says who it is.
    pub(super) fn registered(&mut self, said: &Node, ctx: &mut Cx<'_>) {
        let n = said.node;
        let node = &mut self.nodes[n as usize];
        let rebooted = node.boot.is_some_and(|b| b != said.boot);
        node.boot = Some(said.boot);
        node.known = true;
        let always = self.config.return_to_service >= 2;
        match node.down {
            None if rebooted && !always => {
                self.down(n, DownWhy::Rebooted, ctx);
                return;
            }
            Some(why) => {
                let silent_only = why == DownWhy::NotResponding && !rebooted;
                if !(always || self.config.return_to_service == 1 && silent_only) {
                    if rebooted || why == DownWhy::NotResponding {
                        let note = Note::StaysDown {
                            node: self.node_name(n),
                            rebooted,
                            return_to_service: self.config.return_to_service,
                        };
                        if rebooted {
                            self.nodes[n as usize].down = Some(DownWhy::Rebooted);
                        }
                        if !self.told_down.contains(&n) {
                            self.told_down.push(n);
                            Self::tell(note, ctx);
                        }
                    }
                    self.end_strays(said, ctx);
                    return;
                }
                node.down = None;
                self.told_down.retain(|x| *x != n);
                let name = self.node_name(n);
                Self::tell(Note::Up { node: name }, ctx);
            }
            None => {}
        }
        self.end_strays(said, ctx);
        // A job whose script should run here and does not has lost it.
        for i in 0..self.jobs.len() {
            let j = &self.jobs[i];
            let here = j.on_nodes() && j.nodes.first() == Some(&n) && !j.launching;
            if here && !said.steps.iter().any(|s| s.0 == j.id && s.1 == j.launch) {
                let name = self.node_name(n);
                self.back(i, Back::Missing(name), ctx);
            }
        }
        self.changed(ctx);
        self.schedule(ctx);
    }
    /// Ends what a node has of jobs that should not be there.
    fn end_strays(&mut self, said: &Node, ctx: &mut Cx<'_>) {
        let n = said.node;
        for (job, launch, script) in said.steps.iter().copied() {
            let at = self.find(job);
            let known = at.is_some_and(|i| {
                let j = &self.jobs[i];
                j.launch == launch && (j.on_nodes() && j.nodes.contains(&n) || j.dirty.contains(&n))
            });
            if known || self.strays.contains(&(job, launch, n)) {
                continue;
            }
            if let Some(i) = at
                && !self.jobs[i].on_nodes()
            {
                // The next start must not be taken for this one.
                self.jobs[i].launch = self.jobs[i].launch.max(launch);
            }
            if self.nodes[n as usize].down.is_none() {
                self.nodes[n as usize].jobs.push(job);
            }
            self.strays.push((job, launch, n));
            if script && at.is_some_and(|i| self.jobs[i].state == State::Pending) {
                Self::tell(Note::Unknown { job, node: self.node_name(n) }, ctx);
            }
            self.terminate(job, launch, n, ctx);
        }
    }
}
