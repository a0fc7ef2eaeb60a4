//! What controllers, nodes, scripts and users say to each other.

use super::config::Job;
use super::state::Saved;
use crate::engine::{Span, Time};
use crate::net::addr::Endpoint;
use std::sync::Arc;

/// A job's number.
pub type JobId = u32;

/// A message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// A question or an order; the connection brings the answer.
    Ask(Ask),
    /// The answer.
    Answer(Answer),
    /// The processes of a job on this node of its list are alive (a datagram to the job's first node).
    Beat {
        /// The job.
        job: JobId,
        /// Which start of it.
        launch: u32,
        /// The place of the node in the job's list.
        rank: u16,
    },
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// A user submits a job.
    Submit(Arc<Job>),
    /// A node tells who it is.
    Register(Node),
    /// The script of a job has ended.
    Ended {
        /// The job.
        job: JobId,
        /// Which start of it.
        launch: u32,
        /// How.
        how: How,
    },
    /// The node has nothing of the job any more.
    Clean {
        /// The job.
        job: JobId,
        /// Which start of it.
        launch: u32,
        /// The node's number.
        node: u16,
    },
    /// The backup asks whether the controller lives.
    Probe,
    /// A controller that has come back wants the control that it lost.
    GiveBack,
    /// Are you there? With `true`: and who are you?
    Ping(bool),
    /// Start the script of a job.
    Batch(Arc<Launch>),
    /// Start the processes of a job on this node; the place of the node in the job's list.
    Ranks(Arc<Launch>, u16),
    /// End the job: SIGTERM, and SIGKILL when it is still there after so long.
    Terminate(JobId, u32, Span),
    /// SIGSTOP (`true`) or SIGCONT to the job.
    Suspend(JobId, u32, bool),
    /// The processes of a job on a node have crashed; the place of the node in the job's list.
    Crashed {
        /// The job.
        job: JobId,
        /// Which start of it.
        launch: u32,
        /// The place of the node in the job's list.
        rank: u16,
    },
    /// Keep the controller's state.
    Save(Arc<Saved>),
    /// Keep a sign of life of the controller: the time on its clock.
    Heartbeat(Time),
    /// The last sign of life.
    ReadHeartbeat,
    /// The controller's state.
    Load,
    /// Keep a checkpoint: so much of the job's work is safe.
    Write(JobId, Span),
    /// How much of the job's work is safe.
    Read(JobId),
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Done, or begun.
    Done,
    /// There is nothing of the job on this node.
    Nothing,
    /// The controller stands by.
    Standby,
    /// The number of the job.
    Number(JobId),
    /// Here I am.
    Here,
    /// Who I am.
    Node(Node),
    /// The controller's state.
    Saved(Option<Arc<Saved>>),
    /// The last sign of life.
    Heartbeat(Option<Time>),
    /// So much of the job's work is safe.
    Safe(Span),
}

/// What a node says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its number.
    pub node: u16,
    /// When it booted, by its own clock: another value is another boot.
    pub boot: Time,
    /// What of which start of which jobs it has; `true`: the script too.
    pub steps: Vec<(JobId, u32, bool)>,
}

/// A job on its way to its nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Launch {
    /// The job.
    pub job: JobId,
    /// Which start of it, from 1.
    pub number: u32,
    /// What the user wrote.
    pub spec: Arc<Job>,
    /// A node that does not answer for so long does not take it.
    pub patience: Span,
    /// The nodes' daemons, the script's first.
    pub nodes: Vec<Endpoint>,
}

/// How a script ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum How {
    /// Exit status 0.
    Done,
    /// With an error: its processes were gone.
    Failed,
    /// By a signal of the controller.
    Signal,
    /// It asked to be queued again.
    Requeue,
}

/// The port of `slurmctld`.
pub const CONTROLLER: u16 = 6817;
/// The port of `slurmd`.
pub const NODE: u16 = 6818;
/// The port of a job's processes.
pub const RANKS: u16 = 60_001;
/// The port of the file server.
pub const NFS: u16 = 2049;

/// The word for a message.
pub fn label(m: &Message) -> (&'static str, u32) {
    match m {
        Message::Beat { job, .. } => ("ranks of job", *job),
        Message::Answer(Answer::Number(n)) => ("job number", *n),
        Message::Answer(Answer::Node(_)) => ("who I am", 0),
        Message::Answer(Answer::Standby) => ("I stand by", 0),
        Message::Answer(_) => ("answer", 0),
        Message::Ask(a) => match a {
            Ask::Submit(_) => ("submit", 0),
            Ask::Register(_) => ("register", 0),
            Ask::Ended { job, .. } => ("end of job", *job),
            Ask::Clean { job, .. } => ("clean of job", *job),
            Ask::Probe => ("probe", 0),
            Ask::GiveBack => ("give back", 0),
            Ask::Ping(false) => ("ping", 0),
            Ask::Ping(true) => ("who are you", 0),
            Ask::Batch(l) => ("script of job", l.job),
            Ask::Ranks(l, _) => ("start ranks of job", l.job),
            Ask::Terminate(j, ..) => ("end job", *j),
            Ask::Suspend(j, _, true) => ("suspend job", *j),
            Ask::Suspend(j, _, false) => ("resume job", *j),
            Ask::Crashed { job, .. } => ("crash of job", *job),
            Ask::Save(_) => ("save state", 0),
            Ask::Heartbeat(_) | Ask::ReadHeartbeat => ("heartbeat file", 0),
            Ask::Load => ("load state", 0),
            Ask::Write(j, _) => ("checkpoint of job", *j),
            Ask::Read(j) => ("read checkpoint of job", *j),
        },
    }
}
