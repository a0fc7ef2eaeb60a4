//! The file server: what it is given it keeps through everything but the loss of its host, which is down then, not empty.

use super::config::Nfs;
use super::msg::{Answer, Ask, JobId, NFS};
use super::rpc::{answer, question};
use super::state::Saved;
use crate::engine::{Span, Time};
use crate::node::process::{Action, Input, Signal};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// The file server.
#[derive(Clone, Debug)]
pub struct FileServer {
    config: Nfs,
    saved: Option<Arc<Saved>>,
    heartbeat: Option<Time>,
    safe: Vec<(JobId, Span)>,
}
impl FileServer {
    /// An empty one.
    pub fn new(config: Nfs) -> Self {
        FileServer { config, saved: None, heartbeat: None, safe: Vec::new() }
    }
    /// Its end leaves everything on its disks.
    pub fn reset(&mut self) {}
    /// Its knobs.
    pub fn config(&self) -> &Nfs {
        &self.config
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Start => ctx.act(Action::Listen(NFS, 4096)),
            Input::Tcp(conn, news) => {
                if let Some(ask) = question(conn, news, ctx) {
                    let reply = self.asked(ask);
                    answer(conn, reply, ctx);
                }
            }
            Input::Signal(Signal::Term) => ctx.act(Action::Exit(0)),
            _ => {}
        }
    }
    fn asked(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Save(state) => self.saved = Some(state),
            Ask::Heartbeat(at) => self.heartbeat = Some(at),
            Ask::ReadHeartbeat => return Answer::Heartbeat(self.heartbeat),
            Ask::Load => return Answer::Saved(self.saved.clone()),
            Ask::Write(job, safe) => keep(&mut self.safe, job, safe),
            Ask::Read(job) => return Answer::Safe(kept(&self.safe, job)),
            _ => {}
        }
        Answer::Done
    }
}

/// Keeps a checkpoint.
pub(crate) fn keep(all: &mut Vec<(JobId, Span)>, job: JobId, safe: Span) {
    match all.iter_mut().find(|c| c.0 == job) {
        Some(c) => c.1 = safe,
        None => all.push((job, safe)),
    }
}
/// How much of a job's work is safe.
pub(crate) fn kept(all: &[(JobId, Span)], job: JobId) -> Span {
    all.iter().find(|c| c.0 == job).map_or(Span::ZERO, |c| c.1)
}
