//! What a controller keeps of jobs and nodes, and saves.

use super::config::Job;
use super::msg::JobId;
use super::plan::Why;
use crate::engine::{SEC, Span, Time};
use std::sync::Arc;

/// Where a job stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// In the queue.
    Pending,
    /// On its nodes.
    Running,
    /// On its nodes, but another job has its turn.
    Suspended,
    /// Ended well.
    Completed,
    /// Its script ended with an error.
    Failed,
    /// It was longer than its limit.
    Timeout,
    /// A node of it failed, and it does not come back.
    NodeFail,
    /// It came back to the queue too often and is held there.
    Held,
}

/// Why a job waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Reason {
    /// Not looked at yet.
    #[default]
    None,
    /// A job before it waits.
    Priority,
    /// Too few nodes are free.
    Resources,
    /// More nodes than there are.
    PartitionConfig,
    /// It may not start yet.
    BeginTime,
    /// It came back too often.
    JobHeldAdmin,
}

/// A job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobRecord {
    /// Its number.
    pub id: JobId,
    /// What the user wrote.
    pub spec: Arc<Job>,
    /// When it came.
    pub submitted: Time,
    /// Where it stands.
    pub state: State,
    /// Why it waits.
    pub reason: Reason,
    /// It may not start before.
    pub eligible: Time,
    /// When it started last.
    pub started: Time,
    /// When it ended.
    pub ended: Time,
    /// Its nodes, the script's first.
    pub nodes: Vec<u16>,
    /// Nodes that still have something of it after its end.
    pub dirty: Vec<u16>,
    /// How often it came back to the queue.
    pub restarts: u32,
    /// How many of these count against the limit of five.
    pub counted: u32,
    /// How often it was started.
    pub launch: u32,
    /// How often it was suspended and for how long, which does not count against its limit.
    pub stood: Span,
    /// Since when it is suspended.
    pub suspended: Time,
    /// The row of jobs that take a turn together.
    pub row: u8,
    /// It starts then at the latest, if everybody's estimates are right.
    pub planned: Option<Time>,
    /// SIGTERM was sent.
    pub signalled: bool,
    /// The order to start is on its way.
    pub launching: bool,
    /// Why it was started when it was.
    pub why: Why,
}

/// The limit that stands for none, a year.
pub const UNLIMITED: Span = Span::secs(365 * 86_400);

impl JobRecord {
    /// A job that has just come.
    pub fn new(id: JobId, spec: Arc<Job>, now: Time) -> Self {
        JobRecord {
            id,
            spec,
            submitted: now,
            state: State::Pending,
            reason: Reason::None,
            eligible: now,
            started: Time::ZERO,
            ended: Time::ZERO,
            nodes: Vec::new(),
            dirty: Vec::new(),
            restarts: 0,
            counted: 0,
            launch: 0,
            stood: Span::ZERO,
            suspended: Time::ZERO,
            row: 0,
            planned: None,
            signalled: false,
            launching: false,
            why: Why::First,
        }
    }
    /// The limit in whole minutes, rounded up; a year if there is none.
    pub fn limit(&self) -> Span {
        self.spec.time.map_or(UNLIMITED, |t| Span(t.0.div_ceil(60 * SEC).max(1) * 60 * SEC))
    }
    /// When it ends at the latest, as the scheduler believes.
    pub fn believed_end(&self) -> Time {
        self.started + self.stood + self.limit()
    }
    /// Its name.
    pub fn name(&self) -> String {
        name_of(self.id, &self.spec)
    }
    /// It has its nodes.
    pub fn on_nodes(&self) -> bool {
        matches!(self.state, State::Running | State::Suspended)
    }
}

/// The name of a job.
pub fn name_of(id: JobId, spec: &Job) -> String {
    if spec.name.is_empty() { format!("job{id}") } else { spec.name.clone() }
}

/// Why a node is DOWN.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DownWhy {
    /// It did not answer.
    NotResponding,
    /// It came back with another boot time.
    Rebooted,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// It is DOWN.
    pub down: Option<DownWhy>,
    /// It has answered lately.
    pub responding: bool,
    /// It has registered since the controller began.
    pub known: bool,
    /// When it booted, as it said.
    pub boot: Option<Time>,
    /// The second of its last answer.
    pub answered: u64,
    /// What is on it: jobs that run, and what is left of jobs that ended.
    pub jobs: Vec<JobId>,
}
impl NodeRecord {
    /// A node of which nothing is known.
    pub fn new() -> Self {
        NodeRecord { down: None, responding: false, known: false, boot: None, answered: 0, jobs: Vec::new() }
    }
    /// It can take a job.
    pub fn up(&self) -> bool {
        self.down.is_none() && self.responding && self.known
    }
}
impl Default for NodeRecord {
    fn default() -> Self {
        NodeRecord::new()
    }
}

/// What a controller saves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Saved {
    /// The jobs.
    pub jobs: Vec<JobRecord>,
    /// The nodes.
    pub nodes: Vec<NodeRecord>,
    /// The next number of a job.
    pub next: JobId,
}
