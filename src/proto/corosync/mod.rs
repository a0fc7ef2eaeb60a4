//! Corosync: membership, messages in one order, quorum; and its quorum device.
//!
//! It follows corosync 3.1 (`totemsrp.c`, `votequorum.c`, `cpg.c`, `sync.c`; corosync.conf(5), votequorum(5)), libknet, and corosync-qdevice 3.0
//! (corosync-qdevice(8), corosync-qnetd(8)). There is no heartbeat for each node: the token is the failure detector, and a crash costs the
//! token timeout and the consensus timeout.
//!
//! | file | what |
//! |---|---|
//! | [`srp`] | the ring: membership, messages |
//! | [`knet`] | links between hosts |
//! | [`quorum`] | votes |
//! | [`api`] | what daemons of the host say and hear: groups, quorum |
//! | `service` | the synchronisation of a new ring, groups, clients |
//! | [`qdevice`], [`qnetd`] | the quorum device and its server |
//!
//! A new ring is synchronised before it is of use: every node says who is in which group and how it votes, then waits for its quorum device,
//! then says that it is ready. The number of the last ring is on disk and outlives everything; groups, votes and links die with the process,
//! and the clients' connections break. systemd does not start it again by itself.
//!
//! **Not modelled:** changes of the configuration at run time, cmap, the watchdog of corosync, multicast UDP; see the files for the rest.

pub mod api;
pub mod config;
pub mod knet;
pub mod msg;
pub mod nodes;
pub mod note;
pub mod qdevice;
pub mod qnetd;
pub mod quorum;
mod service;
pub mod srp;

pub use config::{Corosync as Config, Qnetd as QnetdConfig};

use crate::engine::{Span, Time};
use crate::node::disk::End;
use crate::node::process::{Action, Input, Signal, Timer};
use crate::proto::Cx;
use api::NodeId;
use knet::Net;
use nodes::Nodes;
use note::Note;
use quorum::Votequorum;
use service::Service;
use srp::Srp;

const T_WINDOW: Timer = Timer(10);
const T_DEVICE: Timer = Timer(11);
/// knet's heartbeat thread.
pub const T_KNET: Timer = Timer(12);
const T_LEAVE: Timer = Timer(13);
/// How long a node that leaves waits for its last message to come round.
const LEAVE: Span = Span::ms(100);

/// What a node is set to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The ring.
    pub srp: srp::Settings,
    /// The votes.
    pub quorum: quorum::Settings,
    /// `last_man_standing_window`.
    pub window: Span,
    /// `timeout` and `sync_timeout` of the quorum device.
    pub device: (Span, Span),
}

/// The daemon.
#[derive(Clone, Debug)]
pub struct Corosync {
    me: NodeId,
    window: Span,
    device: (Span, Span),
    pause: Span,
    downscale: bool,
    net: Net,
    srp: Srp,
    quorum: Votequorum,
    service: Service,
    leaving: bool,
    alive: Time,
    /// What had arrived by now while it stood still is thrown away.
    flush: Option<Time>,
}

impl Corosync {
    /// A daemon before its start.
    pub fn new(me: NodeId, set: Settings, net: Net) -> Corosync {
        Corosync {
            me,
            window: set.window,
            device: set.device,
            pause: set.srp.timers.token.ratio(1, 2),
            downscale: set.quorum.allow_downscale,
            net,
            srp: Srp::new(me, set.srp),
            quorum: Votequorum::new(me, set.quorum),
            service: Service::new(me),
            leaving: false,
            alive: Time::ZERO,
            flush: None,
        }
    }
    /// Its id.
    pub fn node(&self) -> NodeId {
        self.me
    }
    /// Where the membership stands.
    pub fn state(&self) -> srp::State {
        self.srp.state
    }
    /// The nodes of its ring.
    pub fn members(&self) -> Nodes {
        self.srp.members
    }
    /// The name of its ring.
    pub fn ring(&self) -> api::RingId {
        self.srp.ring
    }
    /// Whether its ring stands and is synchronised.
    pub fn settled(&self) -> bool {
        self.srp.state == srp::State::Operational && !self.srp.syncing
    }
    /// The number that its late tails come from, if it has any.
    pub fn late_tail(&self) -> Option<u64> {
        self.srp.late_tail()
    }
    /// What it tells its clients: whether its partition is quorate.
    pub fn quorate(&self) -> bool {
        self.service.told
    }
    /// Its votes.
    pub fn votes(&self) -> &Votequorum {
        &self.quorum
    }
    /// Its links.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<crate::proto::Msg>, ctx: &mut Cx<'_>) {
        self.notice_pause(&input, ctx);
        match input {
            Input::Start => self.start(ctx),
            Input::Packet { from, to, msg: crate::proto::Msg::Totem(msg) } => {
                let thrown = self.flush == Some(ctx.now);
                if let Some((node, msg)) = self.net.arrived(from, to, msg, ctx)
                    && !thrown
                    && !self.leaving
                {
                    self.srp.on(node, msg, &self.net, ctx);
                }
            }
            Input::Tcp(conn, news) => self.client(conn, news, ctx),
            Input::Timer(T_KNET) => self.net.look(ctx),
            Input::Timer(T_WINDOW) => {
                self.quorum.last_man_standing();
                self.tell_votes(ctx);
            }
            Input::Timer(T_DEVICE) => self.device_silent(ctx),
            Input::Timer(T_LEAVE) => self.leave(ctx),
            Input::Timer(t) if !self.leaving => self.srp.timer(t, &self.net, ctx),
            Input::Signal(Signal::Term | Signal::Int | Signal::Quit) => self.stop(ctx),
            _ => {}
        }
        self.pump(ctx);
    }
    fn start(&mut self, ctx: &mut Cx<'_>) {
        ctx.act(Action::Listen(api::PORT, 128));
        self.net.start(ctx);
        self.srp.start(&self.net, ctx);
    }
    /// A process that has stood still for more than half of the token timeout throws away what had arrived by then.
    fn notice_pause(&mut self, input: &Input<crate::proto::Msg>, ctx: &mut Cx<'_>) {
        let silent = ctx.now.since(self.alive);
        if silent > self.pause && !matches!(input, Input::Start) {
            self.flush = Some(ctx.now);
            ctx.note(crate::proto::Note::Corosync(Box::new(Note::Paused { silent })));
        }
        self.alive = ctx.now;
    }
    /// SIGTERM: the others are told, so that they need not wait for timeouts.
    fn stop(&mut self, ctx: &mut Cx<'_>) {
        if self.downscale {
            let info = self.quorum.info(true);
            self.srp.mcast(msg::Body::Info(info), self.srp.syncing, &self.net, ctx);
            ctx.set_timer(T_LEAVE, LEAVE);
        } else {
            self.leave(ctx);
        }
    }
    fn leave(&mut self, ctx: &mut Cx<'_>) {
        self.leaving = true;
        self.srp.send_leave(&self.net, ctx);
        ctx.act(Action::Exit(0));
    }
    /// What an end leaves: the number of the ring.
    pub fn reset(&mut self, _end: End) {
        self.net.reset();
        self.srp.reset();
        self.quorum.reset();
        self.service = Service::new(self.me);
        self.leaving = false;
        self.flush = None;
    }
}
