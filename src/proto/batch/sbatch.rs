//! A user who submits jobs.
//!
//! A client of a controller that does not answer gives up after 9 s (measured).

use super::Cluster;
use super::config::Sbatch;
use super::msg::Ask;
use super::note;
use super::rpc::{Calls, Heard};
use crate::engine::{Span, Time};
use crate::node::process::{Action, Input, Signal, Timer};
use crate::proto::{Cx, Msg, Note};
use std::sync::Arc;

/// A client gives up then.
pub const PATIENCE: Span = Span::secs(9);

const NEXT: Timer = Timer(0);
const RETRY: Timer = Timer(1);

/// The user.
#[derive(Clone, Debug)]
pub struct User {
    config: Sbatch,
    cluster: Cluster,
    /// Jobs by the time of their submission.
    order: Vec<usize>,
    next: usize,
    /// Jobs that nobody took yet.
    again: Vec<usize>,
    began: Time,
    calls: Calls<usize>,
}
impl User {
    /// A user with these jobs.
    pub fn new(config: Sbatch, cluster: Cluster) -> Self {
        let mut order: Vec<usize> = (0..config.jobs.len()).collect();
        order.sort_by_key(|i| config.jobs[*i].submit);
        User { config, cluster, order, next: 0, again: Vec::new(), began: Time::ZERO, calls: Calls::new() }
    }
    /// What it was before it was started; what was submitted before is not submitted again.
    pub fn reset(&mut self) {
        self.calls = Calls::new();
        self.again.clear();
    }
    /// Jobs that are still to be submitted.
    pub fn to_come(&self) -> usize {
        self.order.len() - self.next
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match self.calls.on(input, ctx) {
            Heard::Done(i, None) => {
                let name = self.config.jobs[i].name.as_str();
                ctx.note(Note::Batch(Box::new(note::Note::NotSubmitted {
                    name: name.into(),
                    after: PATIENCE,
                })));
                if !self.config.retry.is_zero() {
                    self.again.push(i);
                    ctx.set_timer(RETRY, self.config.retry);
                }
            }
            Heard::Other(Input::Start) => {
                if self.next == 0 {
                    self.began = ctx.now;
                }
                self.submit(ctx);
            }
            Heard::Other(Input::Timer(NEXT)) => self.submit(ctx),
            Heard::Other(Input::Timer(RETRY)) => {
                for i in std::mem::take(&mut self.again) {
                    self.send(i, ctx);
                }
            }
            Heard::Other(Input::Signal(Signal::Term)) => ctx.act(Action::Exit(0)),
            _ => {}
        }
    }
    fn submit(&mut self, ctx: &mut Cx<'_>) {
        while let Some(i) = self.order.get(self.next).copied() {
            let at = self.began + self.config.jobs[i].submit;
            if at > ctx.now {
                ctx.set_timer(NEXT, at.since(ctx.now));
                return;
            }
            self.next += 1;
            self.send(i, ctx);
        }
    }
    fn send(&mut self, i: usize, ctx: &mut Cx<'_>) {
        let job = Arc::new(self.config.jobs[i].clone());
        self.calls.ask(self.cluster.controllers.clone(), Ask::Submit(job), PATIENCE, i, ctx);
    }
}
