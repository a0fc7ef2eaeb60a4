//! PCP: an administrator's commands. They need neither quorum nor votes.
//!
//! Source: `src/pcp_con/pcp_worker.c`, the manual's "PCP commands". `pcp_detach_node` of the primary is a switchover that leaves the old
//! primary running; `-g` waits until the clients have gone, as online recovery does ([`super::recovery`]), and gives up after
//! `recovery_timeout`: `client_idle_limit_in_recovery` counts meanwhile, but the door stays open (only online recovery closes it,
//! whatever the manual says); `pcp_promote_node` without `-s` promotes nothing.

use super::Setup;
use super::msg::{Cause, Msg as Say, Pcp, Request};
use super::note::Note;
use super::recovery::{LOOK, Recovery};
use super::shared::Door;
use super::watchdog::msg::RequestKind;
use crate::node::process::{Action, Input, Signal, Timer};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

const T_GRACEFUL: Timer = Timer(0);
/// Looks of an online recovery.
pub(super) const T_RECOVERY: Timer = Timer(1);
/// Its questions.
pub(super) const T_CALL: Timer = Timer(2);

/// The PCP process with its workers.
#[derive(Clone, Debug)]
pub struct PcpProcess {
    pub(super) setup: Arc<Setup>,
    /// Nodes that are to go when the clients have gone, and how often that was looked at.
    graceful: Vec<u8>,
    looks: u32,
    pub(super) recovery: Option<Recovery>,
}
impl PcpProcess {
    /// One that has not started.
    pub fn new(setup: Arc<Setup>) -> Self {
        PcpProcess { setup, graceful: Vec::new(), looks: 0, recovery: None }
    }
    /// It has ended.
    pub fn reset(&mut self) {
        *self = PcpProcess::new(self.setup.clone());
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Signal(Signal::Term | Signal::Int | Signal::Quit) => ctx.act(Action::Exit(0)),
            Input::Call(Msg::Pgpool(m)) => match *m {
                Say::Pcp(command) => self.command(command, ctx),
                Say::ClientsGone(gone) => self.others_gone(gone, ctx),
                Say::ChangeOver => self.change_over(ctx),
                _ => {}
            },
            Input::Timer(T_GRACEFUL) => self.gone(ctx),
            input => self.recovery_input(&input, ctx),
        }
    }
    fn command(&mut self, command: Pcp, ctx: &mut Cx<'_>) {
        match command {
            Pcp::Attach(node) => super::attach(&self.setup, node, ctx),
            Pcp::Detach(node, false) => {
                super::degenerate(&self.setup.clone(), &[node], Cause::Admin, ctx);
            }
            Pcp::Detach(node, true) => {
                if self.graceful.is_empty() {
                    self.looks = 0;
                    super::door(&self.setup.clone(), Door::Leaving, ctx);
                }
                self.graceful.push(node);
                self.gone(ctx);
            }
            Pcp::Promote(node, switchover) => {
                let what = Request::Promote(node, switchover);
                super::ask(&self.setup, RequestKind::Promote, &[node], what, Cause::Admin, ctx);
            }
            Pcp::Recovery(node) => self.recover(node, ctx),
            Pcp::Stop => {
                if let Some(parent) = ctx.files.pgpool.parent {
                    ctx.act(Action::Signal(parent, Signal::Int));
                }
            }
        }
    }
    fn gone(&mut self, ctx: &mut Cx<'_>) {
        if self.graceful.is_empty() {
            return;
        }
        let Some(gone) = super::clients_gone(&self.setup, self.looks, ctx) else {
            self.looks += 1;
            return ctx.set_timer(T_GRACEFUL, LOOK);
        };
        let nodes = std::mem::take(&mut self.graceful);
        let setup = self.setup.clone();
        super::door(&setup, Door::Open, ctx);
        if gone {
            super::degenerate(&setup, &nodes, Cause::Admin, ctx);
        } else {
            let clients = ctx.files.pgpool.connected;
            ctx.note(Note::NotDetached { nodes: super::names(&setup, &nodes), clients }.into());
        }
    }
}
