//! The jobs of a batch cluster over a run: when they waited, where they ran, what became of them.

use crate::engine::{Span, Time};
use crate::proto::batch::msg::JobId;
use crate::proto::batch::note::{Ended, Note};
use std::sync::Arc;

/// A stay of a job on its nodes.
#[derive(Clone, Debug)]
pub struct Stay {
    /// The nodes, by their number in the cluster.
    pub nodes: Arc<[u16]>,
    /// From when.
    pub from: Time,
    /// To when, if it is over.
    pub to: Option<Time>,
}

/// A job.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Its name.
    pub name: Arc<str>,
    /// How many nodes it asks for.
    pub nodes: u32,
    /// When it came.
    pub submitted: Time,
    /// Its stays on nodes.
    pub stays: Vec<Stay>,
    /// How it ended, if it has.
    pub ended: Option<(Time, Ended)>,
    /// Work that was lost, in node-time.
    pub lost: Span,
}

/// A node that did not answer, or was DOWN.
#[derive(Clone, Debug)]
pub struct Away {
    /// Its name.
    pub node: Arc<str>,
    /// From when.
    pub from: Time,
    /// To when, if it is over.
    pub to: Option<Time>,
    /// DOWN, not only silent.
    pub down: bool,
}

/// All jobs.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    /// In the order of their numbers.
    pub all: Vec<Job>,
    /// When nodes were away.
    pub away: Vec<Away>,
}
impl Jobs {
    fn get(&mut self, id: JobId) -> Option<&mut Job> {
        self.all.iter_mut().find(|j| j.id == id)
    }
    /// Takes in what a cluster told.
    pub fn add(&mut self, at: Time, note: &Note) {
        match note {
            Note::Submitted { job, .. } => self.all.push(Job {
                id: job.job,
                name: job.name.clone(),
                nodes: job.nodes,
                submitted: at,
                stays: Vec::new(),
                ended: None,
                lost: Span::ZERO,
            }),
            Note::Started { job, list, .. } => {
                if let Some(j) = self.get(job.job) {
                    close(j, at);
                    j.stays.push(Stay { nodes: list.clone(), from: at, to: None });
                }
            }
            Note::Ended { job, how, .. } => {
                if let Some(j) = self.get(job.job) {
                    close(j, at);
                    j.ended = Some((at, *how));
                }
            }
            Note::Requeued { job, .. } | Note::Held { job, .. } => {
                if let Some(j) = self.get(job.job) {
                    close(j, at);
                }
            }
            Note::Lost { job, work, .. } => {
                if let Some(j) = self.get(job.job) {
                    j.lost += work.times(u64::from(job.nodes));
                }
            }
            Note::Silent { node, .. } | Note::Down { node, .. } | Note::Up { node } => {
                if let Some(a) = self.away.iter_mut().rfind(|a| a.node == *node && a.to.is_none()) {
                    a.to = Some(at);
                }
                let down = matches!(note, Note::Down { .. });
                if !matches!(note, Note::Up { .. }) {
                    self.away.push(Away { node: node.clone(), from: at, to: None, down });
                }
            }
            _ => {}
        }
    }
    /// Jobs that ended well.
    pub fn done(&self) -> usize {
        self.all.iter().filter(|j| matches!(j.ended, Some((_, Ended::Completed)))).count()
    }
    /// From the first submission to the last end.
    pub fn makespan(&self) -> Option<Span> {
        let first = self.all.iter().map(|j| j.submitted).min()?;
        let last = self.all.iter().filter_map(|j| j.ended).map(|e| e.0).max()?;
        Some(last.since(first))
    }
    /// The mean time from submission to first start, of the jobs that started.
    pub fn mean_wait(&self) -> Option<Span> {
        let waits: Vec<u64> =
            self.all.iter().filter_map(|j| Some(j.stays.first()?.from.since(j.submitted).0)).collect();
        let n = waits.len() as u64;
        (n > 0).then(|| Span(waits.iter().sum::<u64>() / n))
    }
}

fn close(j: &mut Job, at: Time) {
    if let Some(s) = j.stays.last_mut()
        && s.to.is_none()
    {
        s.to = Some(at);
    }
}
