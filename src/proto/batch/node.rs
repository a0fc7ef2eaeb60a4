//! `slurmd`: it registers, answers the controller, and passes orders on to the processes of jobs, which outlive it.

use super::Cluster;
use super::Order;
use super::config::Slurmd;
use super::msg::{Answer, Ask, NODE, Node};
use super::rpc::{Calls, Heard, answer, question};
use crate::engine::Span;
use crate::node::disk::End;
use crate::node::process::{Action, ConnId, Input, Pid, Signal, Timer};
use crate::proto::{Cx, Files, Msg};

/// A registration is tried so long (it is tried again every second).
const PATIENCE: Span = Span::secs(3600);
const START: Timer = Timer(0);

/// The node's daemon.
#[derive(Clone, Debug)]
pub struct NodeDaemon {
    config: Slurmd,
    cluster: Cluster,
    me: u16,
    steps: Pid,
    calls: Calls<()>,
}
impl NodeDaemon {
    /// The daemon of node `me`; `steps` is the process that stands for the processes of jobs on its host.
    pub fn new(config: Slurmd, cluster: Cluster, me: u16, steps: Pid) -> Self {
        NodeDaemon { config, cluster, me, steps, calls: Calls::new() }
    }
    /// What an end leaves of it.
    pub fn reset(&mut self, end: End, files: &mut Files) {
        self.calls = Calls::new();
        if end == End::PowerLost {
            files.batch.boot = None;
            files.batch.orders.clear();
            files.batch.steps.clear();
        }
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match self.calls.on(input, ctx) {
            Heard::Other(Input::Start) => {
                let startup = self.config.startup_time;
                let width = startup.max.0 - startup.min.0.min(startup.max.0);
                let draw = if width == 0 { 0 } else { ctx.below(width + 1) };
                let took = startup.min + Span(draw);
                if took.is_zero() { self.begin(ctx) } else { ctx.set_timer(START, took) }
            }
            Heard::Other(Input::Timer(START)) => self.begin(ctx),
            Heard::Other(Input::Tcp(conn, news)) => {
                if let Some(ask) = question(conn, news, ctx) {
                    self.asked(conn, ask, ctx);
                }
            }
            Heard::Other(Input::Signal(Signal::Term)) => ctx.act(Action::Exit(0)),
            // It registers until it is heard.
            Heard::Done((), None) => self.register(ctx),
            _ => {}
        }
    }
    fn begin(&mut self, ctx: &mut Cx<'_>) {
        let now = ctx.now;
        ctx.files.batch.boot.get_or_insert(now);
        ctx.act(Action::Listen(NODE, 4096));
        self.register(ctx);
    }
    fn register(&mut self, ctx: &mut Cx<'_>) {
        let who = self.who(ctx);
        self.calls.ask(self.cluster.controllers.clone(), Ask::Register(who), PATIENCE, (), ctx);
    }
    fn who(&self, ctx: &Cx<'_>) -> Node {
        Node {
            node: self.me,
            boot: ctx.files.batch.boot.unwrap_or(ctx.now),
            steps: ctx.files.batch.steps.clone(),
        }
    }
    fn asked(&self, conn: ConnId, ask: Ask, ctx: &mut Cx<'_>) {
        let has =
            |ctx: &Cx<'_>, job, launch| ctx.files.batch.steps.iter().any(|s| s.0 == job && s.1 == launch);
        let (order, reply) = match ask {
            Ask::Ping(false) => (None, Answer::Here),
            Ask::Ping(true) => (None, Answer::Node(self.who(ctx))),
            Ask::Batch(launch) => (Some(Order::Batch(launch)), Answer::Done),
            Ask::Ranks(launch, rank) => (Some(Order::Ranks(launch, rank)), Answer::Done),
            Ask::Terminate(job, launch, grace) if has(ctx, job, launch) => {
                (Some(Order::Terminate(job, launch, grace)), Answer::Done)
            }
            Ask::Terminate(..) => (None, Answer::Nothing),
            Ask::Suspend(job, launch, stop) => (Some(Order::Suspend(job, launch, stop)), Answer::Done),
            Ask::Crashed { job, launch, rank } => (Some(Order::Crashed(job, launch, rank)), Answer::Done),
            _ => (None, Answer::Done),
        };
        answer(conn, reply, ctx);
        if let Some(order) = order {
            ctx.files.batch.orders.push(order);
            ctx.act(Action::Spawn(self.steps));
            ctx.act(Action::Signal(self.steps, Signal::Usr1));
        }
    }
}
