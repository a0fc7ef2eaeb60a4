//! The processes around the watchdog: the lifecheck, and those that send and hear heartbeats.

use super::super::Setup;
use super::super::config::Lifecheck as Method;
use super::super::msg::Msg as Say;
use super::super::note::Note as PoolNote;
use super::lifecheck::{Found, Lifecheck};
use super::msg::NodeId;
use super::note::Note;
use super::process::{node_of, peer_ip};
use super::query::{Lives, Questions};
use crate::engine::Span;
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, Input, Signal, Tcp, TcpOptions, Timer};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

const T_LOOK: Timer = Timer(0);
const T_BEAT: Timer = Timer(1);
const T_PING: Timer = Timer(2);
/// `query`: a session had to be open by then.
const T_OPEN: Timer = Timer(3);
/// The port that pings go to: nothing listens there, and a refusal is an answer.
const ECHO: u16 = 7;
/// How long a sender or receiver sleeps before it begins. (The first ones do too, before there is anybody to hear them.)
const FORK_WAIT: Span = Span::secs(1);
/// `ping -c3`: three packets a second apart.
const PING_OK: Span = Span::secs(2);
/// `ping` waits ten seconds for an answer to the last one.
const PING_LOST: Span = Span::secs(12);

fn tell(node: NodeId, alive: bool, ctx: &mut Cx<'_>, setup: &Setup) {
    if let Some(pid) = setup.pid(super::super::Role::Watchdog) {
        ctx.act(Action::Tell(pid, Msg::Pgpool(Box::new(Say::NodeStatus(node, alive)))));
    }
}
fn ends(input: &Input<Msg>) -> bool {
    matches!(input, Input::Signal(Signal::Term | Signal::Int | Signal::Quit))
}

/// The lifecheck.
#[derive(Clone, Debug)]
pub struct LifecheckProcess {
    setup: Arc<Setup>,
    check: Lifecheck,
    /// It waits for the first heartbeats.
    waiting: bool,
    /// Pings of trusted servers: the connection, and whether it was answered.
    pings: Vec<(ConnId, Option<bool>)>,
    answered: bool,
    /// No trusted server answered: told once.
    isolated: bool,
    /// `query`: who is asked, who is to be asked, whether all have answered so far, and the lives.
    questions: Questions,
    next: Vec<NodeId>,
    good: bool,
    lives: Lives,
}
impl LifecheckProcess {
    /// One that has not started.
    pub fn new(setup: Arc<Setup>) -> Self {
        let nodes = setup.peers.len() + 1;
        LifecheckProcess {
            lives: Lives::new(nodes, setup.config.wd_life_point),
            setup,
            check: Lifecheck::default(),
            waiting: false,
            pings: Vec::new(),
            answered: false,
            isolated: false,
            questions: Questions::default(),
            next: Vec::new(),
            good: true,
        }
    }
    /// It has ended.
    pub fn reset(&mut self) {
        *self = LifecheckProcess::new(self.setup.clone());
    }
    /// Whether it watches by now.
    pub fn started(&self) -> bool {
        self.check.started
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        if ends(&input) {
            ctx.act(Action::Exit(0));
            return;
        }
        if matches!(input, Input::Start) {
            // A lifecheck has heard nobody yet, whatever the one before it had heard.
            ctx.files.pgpool.wd.heard.clear();
        }
        match input {
            Input::Start if ctx.files.pgpool.wd.joined() => self.ready(ctx),
            Input::Call(Msg::Pgpool(m)) if *m == Say::Joined => self.ready(ctx),
            Input::Timer(T_LOOK) if self.check.started => self.round(ctx),
            Input::Timer(T_LOOK) => self.test(ctx),
            Input::Timer(T_PING) => self.pinged(ctx),
            Input::Timer(T_OPEN) => {
                self.questions.give_up(ctx);
                self.asked(ctx);
            }
            Input::Tcp(conn, news) => {
                self.echo(conn, &news, ctx);
                self.questions.news(&self.setup, conn, &news, ctx);
                self.asked(ctx);
            }
            _ => {}
        }
    }
    /// The watchdog has joined: heartbeats are waited for.
    fn ready(&mut self, ctx: &mut Cx<'_>) {
        if !self.waiting {
            self.waiting = true;
            // (With `query` there are none.)
            for (role, pid) in &self.setup.processes {
                use super::super::Role;
                if matches!(role, Role::HeartbeatSender(_) | Role::HeartbeatReceiver(_)) {
                    ctx.act(Action::Spawn(*pid));
                }
            }
            self.test(ctx);
        }
    }
    fn heard(&self, ctx: &Cx<'_>) -> Vec<(NodeId, super::lifecheck::Heard)> {
        let heard = &ctx.files.pgpool.wd.heard;
        let of = |n: NodeId| heard.iter().find(|h| h.0 == n).map(|h| h.1).unwrap_or_default();
        let peers = 0..self.setup.peers.len();
        peers.map(|i| node_of(&self.setup, i)).map(|n| (n, of(n))).collect()
    }
    fn test(&mut self, ctx: &mut Cx<'_>) {
        if self.queries() {
            // One after the other.
            self.next = (0..=self.setup.peers.len() as NodeId).rev().collect();
            self.good = true;
            self.ask_next(ctx);
            return;
        }
        self.tested(Lifecheck::ready(&self.heard(ctx)), ctx);
    }
    fn tested(&mut self, ready: bool, ctx: &mut Cx<'_>) {
        if ready {
            self.check.started = true;
            ctx.note(PoolNote::Watchdog(Note::LifecheckStarted).into());
            self.round(ctx);
        } else {
            ctx.set_timer(T_LOOK, self.setup.config.wd_interval.times(10));
        }
    }

    // ---- by queries ---------------------------------------------------------------------------------------------------

    fn queries(&self) -> bool {
        self.setup.config.wd_lifecheck_method == Method::Query
    }
    fn ask_next(&mut self, ctx: &mut Cx<'_>) {
        // Without a user there is no session: nobody answers, and it never begins.
        let user = !self.setup.config.wd_lifecheck_user.is_empty();
        match self.next.pop().filter(|_| user) {
            Some(node) => self.ask(&[node], ctx),
            None => self.tested(self.good && user, ctx),
        }
    }
    fn ask(&mut self, nodes: &[NodeId], ctx: &mut Cx<'_>) {
        let setup = self.setup.clone();
        for node in nodes {
            self.questions.ask(&setup, *node, ctx);
        }
        ctx.set_timer(T_OPEN, Questions::patience(&setup));
    }
    /// Whether all who were asked have answered, or will not.
    fn asked(&mut self, ctx: &mut Cx<'_>) {
        let Some(all) = self.questions.over() else { return };
        ctx.cancel_timer(T_OPEN);
        if !self.check.started {
            self.good &= all.iter().all(|a| a.1);
            return self.ask_next(ctx);
        }
        let points = self.setup.config.wd_life_point;
        for (node, answered) in all {
            if self.lives.asked(node, answered, points) {
                let name = super::process::name(&self.setup, node);
                ctx.note(PoolNote::Watchdog(Note::Unanswered { node: name, points }).into());
                tell(node, false, ctx, &self.setup.clone());
            }
        }
        ctx.set_timer(T_LOOK, self.setup.config.wd_interval);
    }
    fn round(&mut self, ctx: &mut Cx<'_>) {
        if self.setup.trusted.is_empty() {
            self.look(ctx);
            return;
        }
        self.pings.clear();
        self.answered = false;
        let servers: Vec<Ip> = self.setup.trusted.clone();
        for ip in servers {
            let conn = ctx.connect(Endpoint::new(ip, ECHO), Plane::rest, TcpOptions::default());
            self.pings.push((conn, None));
        }
        ctx.set_timer(T_PING, PING_LOST);
    }
    fn echo(&mut self, conn: ConnId, news: &Tcp<Msg>, ctx: &mut Cx<'_>) {
        let Some(p) = self.pings.iter_mut().find(|p| p.0 == conn && p.1.is_none()) else { return };
        let answered = matches!(news, Tcp::Connected | Tcp::Reset);
        p.1 = Some(answered);
        if matches!(news, Tcp::Connected) {
            ctx.act(Action::Close(conn));
        }
        if answered && !self.answered {
            self.answered = true;
            ctx.set_timer(T_PING, PING_OK);
        } else if !self.answered && self.pings.iter().all(|p| p.1 == Some(false)) {
            ctx.set_timer(T_PING, PING_OK);
        }
    }
    fn pinged(&mut self, ctx: &mut Cx<'_>) {
        for (conn, answered) in std::mem::take(&mut self.pings) {
            if answered.is_none() {
                ctx.act(Action::Close(conn));
            }
        }
        if self.answered {
            self.look(ctx);
            return;
        }
        if !self.isolated {
            self.isolated = true;
            ctx.note(PoolNote::Watchdog(Note::Untrusted).into());
            tell(super::process::me(&self.setup), false, ctx, &self.setup.clone());
        }
        ctx.set_timer(T_LOOK, self.setup.config.wd_interval);
    }
    fn look(&mut self, ctx: &mut Cx<'_>) {
        let c = &self.setup.config;
        let deadtime = (c.wd_heartbeat_deadtime.0 / 1_000_000_000) as i64;
        ctx.set_timer(T_LOOK, c.wd_interval);
        if ctx.files.pgpool.door != super::super::shared::Door::Open {
            return;
        }
        if self.queries() {
            ctx.cancel_timer(T_LOOK);
            let all: Vec<NodeId> = (0..=self.setup.peers.len() as NodeId).collect();
            return self.ask(&all, ctx);
        }
        for found in self.check.look(&self.heard(ctx), deadtime, ctx.wall_clock) {
            let (node, alive) = match found {
                Found::Dead(n) => (n, false),
                Found::Alive(n) => (n, true),
            };
            let name = super::process::name(&self.setup, node);
            let note = if alive {
                Note::Heard { node: name }
            } else {
                Note::Silent { node: name, deadtime: deadtime as u64 }
            };
            ctx.note(PoolNote::Watchdog(note).into());
            tell(node, alive, ctx, &self.setup.clone());
        }
    }
}

/// A process that sends heartbeats to one peer.
#[derive(Clone, Debug)]
pub struct Sender {
    setup: Arc<Setup>,
    peer: usize,
    /// It takes the place of one that has ended: it sleeps before it begins.
    again: bool,
}
impl Sender {
    /// One for a peer.
    pub fn new(setup: Arc<Setup>, peer: usize) -> Self {
        Sender { setup, peer, again: false }
    }
    /// It has ended.
    pub fn reset(&mut self) {
        self.again = true;
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        if ends(&input) {
            ctx.act(Action::Exit(0));
            return;
        }
        if self.again && matches!(input, Input::Start) {
            self.again = false;
            ctx.set_timer(T_BEAT, FORK_WAIT);
            return;
        }
        if matches!(input, Input::Start | Input::Timer(T_BEAT)) {
            let c = &self.setup.config;
            let to = Endpoint::new(peer_ip(&self.setup, self.peer), c.wd_heartbeat_port);
            let beat = Say::Beat(super::process::me(&self.setup));
            ctx.act(Action::Send {
                from: Endpoint::new(Ip::NONE, c.wd_heartbeat_port),
                to,
                net: None,
                plane: Plane::heartbeat,
                msg: Msg::Pgpool(Box::new(beat)),
            });
            ctx.set_timer(T_BEAT, c.wd_heartbeat_keepalive);
        }
    }
}

/// A process that hears heartbeats. All bind the same port; the first gets the packets.
#[derive(Clone, Debug)]
pub struct Receiver {
    setup: Arc<Setup>,
    /// See [`Sender`].
    again: bool,
}
impl Receiver {
    /// One that has not started.
    pub fn new(setup: Arc<Setup>) -> Self {
        Receiver { setup, again: false }
    }
    /// It has ended.
    pub fn reset(&mut self) {
        self.again = true;
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        if ends(&input) {
            ctx.act(Action::Exit(0));
            return;
        }
        match input {
            Input::Start if self.again => {
                self.again = false;
                ctx.set_timer(T_BEAT, FORK_WAIT);
            }
            Input::Start | Input::Timer(T_BEAT) => {
                ctx.act(Action::Bind(self.setup.config.wd_heartbeat_port));
            }
            Input::Packet { msg: Msg::Pgpool(m), .. } => {
                if let Say::Beat(node) = *m {
                    let now = ctx.wall_clock;
                    ctx.files.pgpool.wd.hear(node, now);
                }
            }
            _ => {}
        }
    }
}
