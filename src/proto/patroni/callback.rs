//! Callbacks: scripts that Patroni runs when its PostgreSQL starts, stops or changes its role. Here they move a virtual address or a name.
//!
//! Source: `postgresql/callback_executor.py`. One runs at a time; a new one kills the one before. The scripts do what such scripts do: a
//! primary takes the address (or the name), everybody else gives it back.

use super::note::Note;
use super::process::{Agent, T_CALLBACK};
use super::state::Role;
use crate::engine::{Span, SpanRange};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, Input};
use crate::proto::dns::msg::Dns;
use crate::proto::{Cx, Msg};

/// How long a script takes to its effect, unless the configuration says otherwise.
const RUN_TIME: SpanRange = SpanRange::new(Span::ms(50), Span::ms(200));
/// How many gratuitous ARPs, unless the configuration says otherwise; one a second.
const GARPS: u32 = 3;
const GARP_INTERVAL: Span = Span::secs(1);
/// `nsupdate`: how long it waits for an answer (`-u`), and how often it tries again (`-r`).
const UPDATE: (Span, u32) = (Span::secs(3), 3);
/// The port that its answers come to.
const UPDATE_PORT: u16 = 40_053;

/// What happened to the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    Start,
    Stop,
    Restart,
    RoleChange,
    Noop,
}

/// The script that runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Caller {
    #[default]
    Idle,
    /// It has its effect soon: to take, or to give back.
    Running(bool),
    /// It announces the address so many times more.
    Announcing(u32),
    /// It has sent a DNS update under this number and waits for the answer, so many tries being left.
    Updating(u16, u32),
}

impl Agent {
    /// `call_nowait`.
    pub(super) fn call(&mut self, event: Event, ctx: &mut Cx<'_>) {
        if self.bootstrapping {
            return;
        }
        if event == Event::Noop {
            return;
        }
        self.cb_called = true;
        let c = &self.config.callbacks;
        if c.vip.is_none() && (c.dns_name.is_none() || self.setup.dns_server.is_none()) {
            return;
        }
        let primary = matches!(self.role, Role::Primary | Role::Promoted) && event != Event::Stop;
        if c.dns_name.is_some() && !std::mem::replace(&mut self.bound, true) {
            ctx.act(Action::Bind(UPDATE_PORT));
        }
        let run = Self::draw(ctx, self.config.callbacks.run_time.unwrap_or(RUN_TIME));
        ctx.set_timer(T_CALLBACK, run);
        self.caller = Caller::Running(primary);
    }
    /// The script's time has come.
    pub(super) fn caller_input(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) -> bool {
        if let Input::Packet { msg: Msg::Dns(dns), .. } = input {
            if let (Dns::Updated(id), Caller::Updating(mine, _)) = (&**dns, self.caller)
                && *id == mine
            {
                self.caller = Caller::Idle;
                ctx.cancel_timer(T_CALLBACK);
            }
            return true;
        }
        if !matches!(input, Input::Timer(T_CALLBACK)) {
            return false;
        }
        let c = self.config.callbacks.clone();
        match self.caller {
            Caller::Idle => {}
            Caller::Running(primary) => {
                self.caller = Caller::Idle;
                if let (Some(vip), Some(net)) = (c.vip, self.setup.vip_net) {
                    let has = ctx.addresses().iter().any(|(_, a)| a.ip == vip.ip);
                    if primary {
                        if !has {
                            ctx.act(Action::AddAddress(net, vip));
                            self.note(Note::VipUp { vip: vip.ip }, ctx);
                        }
                        self.announce(c.garps.unwrap_or(GARPS), ctx);
                    } else if has {
                        ctx.act(Action::RemoveAddress(net, vip.ip));
                        self.note(Note::VipDown { vip: vip.ip }, ctx);
                    }
                } else if primary {
                    self.begin_update(ctx);
                }
            }
            Caller::Announcing(left) => self.announce(left, ctx),
            Caller::Updating(_, 0) => self.caller = Caller::Idle,
            Caller::Updating(id, left) => self.update(id, left - 1, ctx),
        }
        true
    }
    /// The name is to point here, if there is one.
    fn begin_update(&mut self, ctx: &mut Cx<'_>) {
        if let Some(name) = &self.config.callbacks.dns_name {
            self.note(Note::DnsUpdate { name: name.as_str().into() }, ctx);
            let id = ctx.below(1 << 16) as u16;
            self.update(id, UPDATE.1, ctx);
        }
    }
    fn update(&mut self, id: u16, left: u32, ctx: &mut Cx<'_>) {
        let (Some(name), Some(to)) = (&self.config.callbacks.dns_name, self.setup.dns_server) else { return };
        let update = Dns::Update(id, name.as_str().into(), [self.setup.ip].into());
        let from = Endpoint::new(Ip::NONE, UPDATE_PORT);
        let msg = Msg::Dns(Box::new(update));
        ctx.act(Action::Send { from, to, net: None, plane: Plane::dns, msg });
        self.caller = Caller::Updating(id, left);
        ctx.set_timer(T_CALLBACK, UPDATE.0);
    }
    fn announce(&mut self, left: u32, ctx: &mut Cx<'_>) {
        self.caller = Caller::Idle;
        if let (Some(vip), Some(net), true) = (self.config.callbacks.vip, self.setup.vip_net, left > 0) {
            ctx.act(Action::GratuitousArp(net, vip.ip));
            if left > 1 {
                self.caller = Caller::Announcing(left - 1);
                ctx.set_timer(T_CALLBACK, GARP_INTERVAL);
                return;
            }
        }
        self.begin_update(ctx);
    }
}
