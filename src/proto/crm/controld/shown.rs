//! What a screen shows of a controller: its election, and its transition action by action.

use super::transition::Progress;
use super::{Controld, State};
use crate::engine::{Span, Time};
use crate::proto::crm::msg::{Line, Step};

/// How far an action of a transition is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It waits for this action, the first of those that are not done; none: for its turn.
    Waits(Option<usize>),
    /// It waits for something that is never done.
    Stuck,
    /// It is under way; with its time, if it has one.
    Runs(Option<Time>),
    /// Done.
    Done,
    /// Failed.
    Failed,
}

/// A transition under way.
#[derive(Clone, Debug)]
pub struct Shown<'a> {
    /// Its number.
    pub id: i64,
    /// Nothing new begins: something has happened since it was made.
    pub aborted: bool,
    /// Its actions.
    pub steps: Vec<(&'a Step, Phase)>,
}

impl Controld {
    /// The transition under way.
    pub fn transition(&self) -> Option<Shown<'_>> {
        let t = self.engine.running.as_ref()?;
        let phase = |(at, s): (usize, &Step)| match t.progress[at] {
            Progress::Waits if s.stuck => Phase::Stuck,
            Progress::Waits => {
                Phase::Waits(s.after.iter().copied().find(|a| t.progress.get(*a) != Some(&Progress::Done)))
            }
            Progress::Runs(at) => Phase::Runs(at),
            Progress::Done => Phase::Done,
            Progress::Failed => Phase::Failed,
        };
        let steps = t.graph.steps.iter().enumerate().map(|(at, s)| (s, phase((at, s)))).collect();
        Some(Shown { id: t.id, aborted: t.aborted, steps })
    }
    /// The number of its last transition; 0 before the first.
    pub fn last_transition(&self) -> i64 {
        self.engine.last
    }
    /// What the scheduler decided last.
    pub fn decided(&self) -> &[Line] {
        &self.engine.told
    }
    /// In an election: who has answered, and how many are asked.
    pub fn votes(&self) -> Option<(usize, usize)> {
        (self.state == State::Election).then(|| (self.election.answers(), self.peers.len()))
    }
    /// CPU time, the second criterion of an election.
    pub fn cpu(&self) -> Span {
        self.cpu
    }
}
