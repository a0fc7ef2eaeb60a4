//! What the parent does with requests: nodes go, nodes come.
//!
//! Source: `src/main/pgpool_main.c` (`failover`).

use super::msg::Request;
use super::note::Note;
use super::parent::Parent;
use super::shared::Status;
use crate::node::process::Input;
use crate::proto::{Cx, Msg};

impl Parent {
    /// Works on what has been asked for.
    pub(super) fn work(&mut self, ctx: &mut Cx<'_>) {
        while let Some(request) = ctx.files.pgpool.requests.pop_front() {
            if let Request::Down { nodes, cause, .. } = request {
                for n in &nodes {
                    if let Some(b) = ctx.files.pgpool.backends.get_mut(usize::from(*n)) {
                        b.status = Status::Down;
                    }
                }
                ctx.files.pgpool.save();
                let cut = self.restart_children(None, ctx);
                ctx.note(Note::Detached { nodes: super::names(&self.setup, &nodes), cause, cut }.into());
            }
        }
    }
    /// An input that belongs to a failover under way.
    pub(super) fn failover_input(&mut self, _input: Input<Msg>, _ctx: &mut Cx<'_>) {}
}
