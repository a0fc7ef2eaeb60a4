//! What a batch cluster has to tell.

use super::msg::JobId;
use super::plan::Why;
use crate::engine::{SEC, Span, Time};
use crate::say;
use std::sync::Arc;

/// A job in a note: its number, its name, and its nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct About {
    /// Its number.
    pub job: JobId,
    /// Its name.
    pub name: Arc<str>,
    /// How many nodes it asks for.
    pub nodes: u32,
}

/// A fact.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Note {
    /// A job came into the queue.
    Submitted { job: About, limit: Option<Span> },
    /// A user could not submit a job: no controller answered.
    NotSubmitted { name: Arc<str>, after: Span },
    /// A job was given nodes.
    Started {
        job: About,
        on: Arc<str>,
        list: Arc<[u16]>,
        why: Why,
        head: Arc<str>,
        launch: u32,
        waited: Span,
    },
    /// A job waits although it is the first that could start.
    Waits { job: About, free: u32, planned: Option<Time> },
    /// A job asks for more nodes than there are.
    TooLarge { job: About, all: u32 },
    /// A job ended.
    Ended { job: About, how: Ended, ran: Span },
    /// A job came back to the queue.
    Requeued { job: About, why: Back, restarts: u32, wait: Span },
    /// A job came back too often and is held.
    Held { job: About, times: u32 },
    /// A job ran into its limit.
    Limit { job: About, limit: Span, over: Span, grace: Span },
    /// A node does not answer.
    Silent { node: Arc<str>, last: Time, launch: bool },
    /// A node is DOWN.
    Down { node: Arc<str>, rebooted: bool, last: Time, limit: Span },
    /// A node is up again.
    Up { node: Arc<str> },
    /// A node answers again, but stays DOWN.
    StaysDown { node: Arc<str>, rebooted: bool, return_to_service: u8 },
    /// A node gave the start of a job no answer.
    LaunchFailed { job: About, node: Arc<str> },
    /// A node has something of a job that the controller does not know.
    Unknown { job: JobId, node: Arc<str> },
    /// The processes of a job began to work; `from`: so much was safe.
    Works { job: About, from: Span },
    /// A checkpoint was written.
    Checkpoint { job: About, safe: Span, of: Span },
    /// Processes of a job are gone.
    Lost { job: About, node: Arc<str>, crash: bool, silent: Span, work: Span, restart: Option<Span> },
    /// The other processes of a job wait for ever for one that is gone.
    Stuck { job: About, node: Arc<str> },
    /// A controller is in charge.
    Active { backup: bool, jobs: u32, silent: Option<Span> },
    /// A controller stands by.
    Standby { asked: bool },
    /// A job was suspended, or goes on: it is another's turn.
    Turn { job: About, goes_on: bool },
}

/// How a job ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ended {
    /// Well.
    Completed,
    /// Its script ended with an error.
    Failed,
    /// At its limit.
    Timeout,
    /// With its node.
    NodeFail,
}

/// Why a job came back to the queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Back {
    /// A node of it is DOWN.
    NodeDown(Arc<str>),
    /// A node did not take it.
    Launch(Arc<str>),
    /// A node registered without its script.
    Missing(Arc<str>),
    /// Its script asked for it.
    Script,
}

impl Note {
    /// The stable kind of mark, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        Some(match self {
            Note::Submitted { .. } => "job_submitted",
            Note::NotSubmitted { .. } => "job_refused",
            Note::Started { .. } => "job_started",
            Note::Waits { .. } | Note::TooLarge { .. } => "job_waits",
            Note::Ended { how: Ended::Completed, .. } => "job_done",
            Note::Ended { how: Ended::Failed, .. } => "job_failed",
            Note::Ended { how: Ended::Timeout, .. } => "job_timeout",
            Note::Ended { how: Ended::NodeFail, .. } => "job_node_fail",
            Note::Requeued { .. } => "job_requeued",
            Note::Held { .. } => "job_held",
            Note::Limit { .. } => "job_limit",
            Note::Silent { .. } => "detected",
            Note::Down { .. } => "node_lost",
            Note::Up { .. } => "rejoined",
            Note::StaysDown { .. } => "node_stays_down",
            Note::LaunchFailed { .. } => "launch_failed",
            Note::Unknown { .. } => "job_unknown",
            Note::Works { .. } => "job_works",
            Note::Checkpoint { .. } => "checkpoint",
            Note::Lost { .. } => "ranks_lost",
            Note::Stuck { .. } => "job_stuck",
            Note::Active { .. } => "leader_elected",
            Note::Standby { asked: true } => "leader_lost",
            Note::Standby { asked: false } => "controller_standby",
            Note::Turn { .. } => "job_turn",
        })
    }
    /// Whether it belongs into the story: checkpoints and turns come too often.
    pub fn story(&self) -> bool {
        !matches!(self, Note::Checkpoint { .. } | Note::Turn { .. } | Note::Works { from: Span::ZERO, .. })
    }
    /// What, and why, in words.
    pub fn text(&self) -> (String, String) {
        let none = String::new;
        match self {
            Note::Submitted { job, limit } => (
                say!("batch-submitted", job = job.name, nodes = job.nodes),
                limit.map_or_else(|| say!("batch-no-limit"), |l| say!("batch-limit", time = l)),
            ),
            Note::NotSubmitted { name, after } => {
                (say!("batch-not-submitted", job = name), say!("batch-not-submitted-why", time = after))
            }
            Note::Started { job, on, why, head, launch, waited, .. } => {
                let why = match why {
                    Why::First => say!("batch-start-first"),
                    Why::Before(_, at) => say!("batch-start-before", job = head, at = at),
                    Why::Extra(_, n) => say!("batch-start-extra", job = head, n = n),
                    Why::Hole => say!("batch-start-hole"),
                };
                let again = if *launch > 1 { say!("batch-start-again", n = launch) } else { none() };
                let waited = say!("batch-waited", time = Time(waited.0));
                (say!("batch-started", job = job.name, on = on), format!("{why}{again}; {waited}"))
            }
            Note::Waits { job, free, planned } => (
                say!("batch-waits", job = job.name),
                match planned {
                    Some(at) => say!("batch-waits-planned", nodes = job.nodes, free = free, at = at),
                    None => say!("batch-waits-free", nodes = job.nodes, free = free),
                },
            ),
            Note::TooLarge { job, all } => {
                (say!("batch-waits", job = job.name), say!("batch-too-large", nodes = job.nodes, all = all))
            }
            Note::Ended { job, how, ran } => {
                let word = match how {
                    Ended::Completed => "batch-completed",
                    Ended::Failed => "batch-failed",
                    Ended::Timeout => "batch-timeout",
                    Ended::NodeFail => "batch-node-fail",
                };
                (say!(word, job = job.name), say!("batch-ran", time = Time(ran.0)))
            }
            Note::Requeued { job, why, restarts, wait } => {
                let why = match why {
                    Back::NodeDown(n) => say!("batch-back-down", node = n),
                    Back::Launch(n) => say!("batch-back-launch", node = n),
                    Back::Missing(n) => say!("batch-back-missing", node = n),
                    Back::Script => say!("batch-back-script"),
                };
                let wait = say!("batch-back-wait", n = restarts, time = Time(wait.0));
                (say!("batch-requeued", job = job.name), format!("{why}; {wait}"))
            }
            Note::Held { job, times } => {
                (say!("batch-held", job = job.name), say!("batch-held-why", n = times))
            }
            Note::Limit { job, limit, over, grace } => (
                say!("batch-sigterm", job = job.name),
                say!("batch-sigterm-why", limit = limit, over = Time(over.0), grace = grace),
            ),
            Note::Silent { node, last, launch } => (
                say!("batch-silent", node = node),
                say!(if *launch { "batch-silent-launch" } else { "batch-silent-why" }, last = last.0 / SEC),
            ),
            Note::Down { node, rebooted: true, .. } => {
                (say!("batch-down", node = node), say!("batch-down-rebooted"))
            }
            Note::Down { node, last, limit, .. } => {
                (say!("batch-down", node = node), say!("batch-down-why", last = last.0 / SEC, limit = limit))
            }
            Note::Up { node } => (say!("batch-up", node = node), none()),
            Note::StaysDown { node, rebooted, return_to_service } => (
                say!("batch-stays-down", node = node),
                say!(
                    if *rebooted { "batch-stays-down-rebooted" } else { "batch-stays-down-why" },
                    n = return_to_service
                ),
            ),
            Note::LaunchFailed { job, node } => {
                (say!("batch-launch-failed", job = job.name), say!("batch-launch-failed-why", node = node))
            }
            Note::Unknown { job, node } => {
                (say!("batch-unknown", job = job, node = node), say!("batch-unknown-why"))
            }
            Note::Works { job, from } => {
                (say!("batch-works", job = job.name), say!("batch-works-why", time = Time(from.0)))
            }
            Note::Checkpoint { job, safe, of } => (
                say!("batch-checkpoint", job = job.name),
                say!("batch-checkpoint-why", safe = Time(safe.0), of = Time(of.0)),
            ),
            Note::Lost { job, node, crash, silent, work, restart } => {
                let why = if *crash {
                    say!("batch-lost-crash", node = node)
                } else {
                    say!("batch-lost-silent", node = node, time = Time(silent.0))
                };
                let work = say!("batch-lost-work", time = Time(work.0));
                let then = restart.map_or_else(none, |r| say!("batch-lost-restart", time = Time(r.0)));
                (say!("batch-lost", job = job.name), format!("{why}; {work}{then}"))
            }
            Note::Stuck { job, node } => {
                (say!("batch-stuck", job = job.name), say!("batch-stuck-why", node = node))
            }
            Note::Active { backup, jobs, silent } => (
                say!(if *backup { "batch-active-backup" } else { "batch-active" }),
                match silent {
                    Some(d) => say!("batch-active-silent", time = Time(d.0), n = jobs),
                    None => say!("batch-active-why", n = jobs),
                },
            ),
            Note::Standby { asked } => (
                say!("batch-standby"),
                say!(if *asked { "batch-standby-asked" } else { "batch-standby-why" }),
            ),
            Note::Turn { job, goes_on } => {
                (say!(if *goes_on { "batch-goes-on" } else { "batch-suspended" }, job = job.name), none())
            }
        }
    }
}

/// Names with their numbers folded: n1, n2, n3, n7 are `n[1-3,7]`.
pub fn folded<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let split = |n: &'a str| {
        let digits = n.len() - n.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (stem, number) = n.split_at(n.len() - digits);
        number
            .parse::<u64>()
            .ok()
            .filter(|_| !(number.len() > 1 && number.starts_with('0')))
            .map(|x| (stem, x))
    };
    let mut groups: Vec<(&str, Vec<u64>)> = Vec::new();
    let mut plain: Vec<&str> = Vec::new();
    for n in names {
        match split(n) {
            Some((stem, x)) => match groups.iter_mut().find(|g| g.0 == stem) {
                Some(g) => g.1.push(x),
                None => groups.push((stem, vec![x])),
            },
            None => plain.push(n),
        }
    }
    let mut parts: Vec<String> = plain.iter().map(|s| (*s).to_owned()).collect();
    for (stem, mut numbers) in groups {
        numbers.sort_unstable();
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for x in numbers {
            match runs.last_mut() {
                Some(r) if r.1 + 1 == x => r.1 = x,
                _ => runs.push((x, x)),
            }
        }
        let inside: Vec<String> =
            runs.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") }).collect();
        parts.push(match &runs[..] {
            [(a, b)] if a == b => format!("{stem}{a}"),
            _ => format!("{stem}[{}]", inside.join(",")),
        });
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn node_lists_are_folded() {
        let f = |l: &[&str]| super::folded(l.iter().copied());
        assert_eq!(f(&["n1", "n2", "n3", "n7"]), "n[1-3,7]");
        assert_eq!(f(&["n9", "n10", "n11"]), "n[9-11]");
        assert_eq!(f(&["n4"]), "n4");
        assert_eq!(f(&["gpu", "n2"]), "gpu,n2");
    }
}
