//! Which jobs start now: first come first served, EASY backfill, conservative backfill, and a pass of Slurm's backfill.
//!
//! Pure functions over counts of whole, identical nodes. Sources: Feitelson and Weil on EASY and conservative backfill;
//! slurm.conf(5) and sched_config for `sched/backfill`, which plans for all jobs that it looks at, in order, and therefore is nearer to
//! the conservative kind. **Not modelled:** parts of nodes, several partitions, `bf_resolution` (plans are exact), job arrays.

use super::msg::JobId;
use crate::engine::{Span, Time};

/// A job on its nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Running {
    /// How many.
    pub nodes: u32,
    /// When it is believed to end.
    pub end: Time,
}

/// A job in the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// Its number.
    pub id: JobId,
    /// How many nodes it needs.
    pub nodes: u32,
    /// How long it is believed to run.
    pub limit: Span,
    /// The start that it was promised (conservative backfill).
    pub planned: Option<Time>,
}

/// Why a job was started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Why {
    /// No job before it waits.
    First,
    /// It is believed to end before the reserved start of a job before it.
    Before(JobId, Time),
    /// It takes only nodes that the job before it leaves over at its reserved start.
    Extra(JobId, u32),
    /// It fits between the reservations of all.
    Hole,
}

/// The reservation of the first job in the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shadow {
    /// When it can start at the latest.
    pub at: Time,
    /// Nodes that it leaves over then.
    pub extra: u32,
}

/// What a pass decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Places in the queue of the jobs that start, in order, and why.
    pub start: Vec<(usize, Why)>,
    /// Places in the queue with the starts that were planned for them.
    pub planned: Vec<(usize, Time)>,
}

/// Starts the head of the queue as long as it fits; then the first that does not, and the nodes that are left.
fn heads(mut free: u32, queue: &[Waiting], plan: &mut Plan) -> (Option<usize>, u32) {
    for (i, job) in queue.iter().enumerate() {
        if job.nodes > free {
            return (Some(i), free);
        }
        free -= job.nodes;
        plan.start.push((i, Why::First));
    }
    (None, free)
}

/// First come, first served: if the head does not fit, nothing behind it starts.
pub fn fcfs(free: u32, queue: &[Waiting]) -> Plan {
    let mut plan = Plan::default();
    heads(free, queue, &mut plan);
    plan
}

/// When so many nodes are free at the latest, and how many more; nothing if that never comes.
pub fn shadow(now: Time, free: u32, running: &[Running], nodes: u32) -> Option<Shadow> {
    let mut ends: Vec<Running> = running.to_vec();
    ends.sort_by_key(|r| r.end);
    let mut have = free;
    let mut at = now;
    for (i, r) in ends.iter().enumerate() {
        have += r.nodes;
        at = at.max(r.end);
        let more = ends.get(i + 1).is_some_and(|next| next.end <= at);
        if have >= nodes && !more {
            return Some(Shadow { at, extra: have - nodes });
        }
    }
    None
}

/// EASY backfill: the head has a reservation, and a later job starts if it does not put that off.
pub fn easy(now: Time, free: u32, running: &[Running], queue: &[Waiting]) -> Plan {
    let mut plan = Plan::default();
    let (blocked, mut free) = heads(free, queue, &mut plan);
    let Some(head) = blocked else { return plan };
    let mut all = running.to_vec();
    all.extend(
        plan.start.iter().map(|(i, _)| Running { nodes: queue[*i].nodes, end: now + queue[*i].limit }),
    );
    // A head that needs more nodes than are up has no reservation that could be kept.
    let mut reserved = shadow(now, free, &all, queue[head].nodes);
    if let Some(s) = reserved {
        plan.planned.push((head, s.at));
    }
    for (i, job) in queue.iter().enumerate().skip(head + 1) {
        if job.nodes > free {
            continue;
        }
        let ends = now + job.limit;
        let why = match &mut reserved {
            None => Why::Hole,
            Some(s) if ends <= s.at => Why::Before(queue[head].id, s.at),
            Some(s) if job.nodes <= s.extra => {
                let extra = s.extra;
                s.extra -= job.nodes;
                Why::Extra(queue[head].id, extra)
            }
            Some(_) => continue,
        };
        free -= job.nodes;
        plan.start.push((i, why));
    }
    plan
}

/// How many nodes are free from each moment on.
#[derive(Clone, Debug)]
pub struct Profile {
    /// From when, how many; in order, the last one for ever.
    steps: Vec<(Time, i64)>,
}
impl Profile {
    /// The free nodes from now on, if only what runs would run.
    pub fn new(now: Time, free: u32, running: &[Running]) -> Self {
        let mut p = Profile { steps: vec![(now, i64::from(free))] };
        for r in running {
            // One that is overdue may end at any moment.
            let end = r.end.max(now + Span::ns(1));
            let i = p.cut(end);
            for step in &mut p.steps[i..] {
                step.1 += i64::from(r.nodes);
            }
        }
        p
    }
    /// The place of the step that begins at `at`, which is before no step; it is made if there is none.
    fn cut(&mut self, at: Time) -> usize {
        match self.steps.binary_search_by_key(&at, |s| s.0) {
            Ok(i) => i,
            Err(0) => 0,
            Err(i) => {
                let level = self.steps[i - 1].1;
                self.steps.insert(i, (at, level));
                i
            }
        }
    }
    /// Takes `nodes` (gives them, if negative) from `from` for so long.
    fn change(&mut self, from: Time, limit: Span, nodes: i64) {
        let a = self.cut(from);
        let b = self.cut(from + limit);
        for step in &mut self.steps[a..b] {
            step.1 -= nodes;
        }
    }
    /// Reserves `nodes` from `from` for so long.
    pub fn reserve(&mut self, from: Time, limit: Span, nodes: u32) {
        self.change(from, limit, i64::from(nodes));
    }
    /// Whether `nodes` are free from `from` for so long.
    fn fits(&self, from: Time, limit: Span, nodes: u32) -> bool {
        let end = from + limit;
        let first = self.steps.partition_point(|s| s.0 <= from).saturating_sub(1);
        self.steps[first..].iter().take_while(|s| s.0 < end).all(|s| s.1 >= i64::from(nodes))
    }
    /// The first moment at which `nodes` are free for so long.
    pub fn earliest(&self, limit: Span, nodes: u32) -> Option<Time> {
        self.steps.iter().map(|s| s.0).find(|at| self.fits(*at, limit, nodes))
    }
}

/// A pass of Slurm's backfill: for each job, in order, the first hole; it starts if that is now, and else keeps it for the rest of the
/// pass, unless it lies beyond the window.
pub fn slurm(
    now: Time,
    free: u32,
    running: &[Running],
    queue: &[Waiting],
    window: Span,
    most: usize,
) -> Plan {
    let mut plan = Plan::default();
    let mut profile = Profile::new(now, free, running);
    // The first job that waits and the moment that is kept for it: what the others are told.
    let mut head: Option<(JobId, Time)> = None;
    for (i, job) in queue.iter().enumerate().take(most) {
        match profile.earliest(job.limit, job.nodes) {
            Some(at) if at == now => {
                profile.reserve(now, job.limit, job.nodes);
                let why = match head {
                    None if plan.start.len() == i => Why::First,
                    Some((id, at)) if now + job.limit <= at => Why::Before(id, at),
                    _ => Why::Hole,
                };
                plan.start.push((i, why));
            }
            Some(at) if at < now + window => {
                head.get_or_insert((job.id, at));
                profile.reserve(at, job.limit, job.nodes);
                plan.planned.push((i, at));
            }
            _ => {}
        }
    }
    plan
}

/// Conservative backfill: every job keeps the start that it was promised, and moves forward when a hole before it is large enough.
/// When nodes have gone, or jobs run longer than was believed, promises cannot be kept and all are made anew.
pub fn conservative(now: Time, free: u32, running: &[Running], queue: &[Waiting]) -> Plan {
    let empty = Profile::new(now, free, running);
    let mut profile = empty.clone();
    let mut kept = true;
    for job in queue {
        if let Some(at) = job.planned {
            let at = at.max(now);
            kept &= profile.fits(at, job.limit, job.nodes);
            profile.reserve(at, job.limit, job.nodes);
        }
    }
    if !kept {
        profile = empty;
    }
    let mut plan = Plan::default();
    let mut waits: Option<(JobId, Time)> = None;
    for (i, job) in queue.iter().enumerate() {
        if let Some(at) = job.planned.filter(|_| kept) {
            profile.change(at.max(now), job.limit, -i64::from(job.nodes));
        }
        let Some(at) = profile.earliest(job.limit, job.nodes) else { continue };
        profile.reserve(at, job.limit, job.nodes);
        if at == now {
            let why = match waits {
                None => Why::First,
                Some((id, at)) if now + job.limit <= at => Why::Before(id, at),
                Some(_) => Why::Hole,
            };
            plan.start.push((i, why));
        } else {
            waits.get_or_insert((job.id, at));
            plan.planned.push((i, at));
        }
    }
    plan
}
