//! PCP: an administrator's commands. They need neither quorum nor votes.
//!
//! Source: `src/pcp_con/pcp_worker.c`, the manual's "PCP commands". `pcp_detach_node` of the primary is a switchover that leaves the old
//! primary running; `-g` waits until the clients have gone; `pcp_promote_node` without `-s` promotes nothing.

use super::Setup;
use super::msg::{Cause, Msg as Say, Pcp, Request};
use super::watchdog::msg::RequestKind;
use crate::engine::Span;
use crate::node::process::{Action, Input, Signal, Timer};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

const T_GRACEFUL: Timer = Timer(0);
/// How often `pcp_detach_node -g` looks whether the clients have gone.
const LOOK: Span = Span::secs(1);

/// The PCP process with its workers.
#[derive(Clone, Debug)]
pub struct PcpProcess {
    setup: Arc<Setup>,
    /// Nodes that are to go when the clients have gone.
    graceful: Vec<u8>,
}
impl PcpProcess {
    /// One that has not started.
    pub fn new(setup: Arc<Setup>) -> Self {
        PcpProcess { setup, graceful: Vec::new() }
    }
    /// It has ended.
    pub fn reset(&mut self) {
        *self = PcpProcess::new(self.setup.clone());
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Signal(Signal::Term | Signal::Int | Signal::Quit) => ctx.act(Action::Exit(0)),
            Input::Call(Msg::Pgpool(m)) => {
                if let Say::Pcp(command) = *m {
                    self.command(command, ctx);
                }
            }
            Input::Timer(T_GRACEFUL) => self.gone(ctx),
            _ => {}
        }
    }
    fn command(&mut self, command: Pcp, ctx: &mut Cx<'_>) {
        match command {
            Pcp::Attach(node) => super::attach(&self.setup, node, ctx),
            Pcp::Detach(node, false) => {
                super::degenerate(&self.setup.clone(), &[node], Cause::Admin, ctx);
            }
            Pcp::Detach(node, true) => {
                self.graceful.push(node);
                self.gone(ctx);
            }
            Pcp::Promote(node, switchover) => {
                let what = Request::Promote(node, switchover);
                super::ask(&self.setup, RequestKind::Promote, &[node], what, Cause::Admin, ctx);
            }
            Pcp::Recovery(_) => {}
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
        let clients = ctx.files.pgpool.children.iter().filter(|c| c.session.is_some()).count();
        if clients > 0 {
            ctx.set_timer(T_GRACEFUL, LOOK);
            return;
        }
        let nodes = std::mem::take(&mut self.graceful);
        super::degenerate(&self.setup.clone(), &nodes, Cause::Admin, ctx);
    }
}
