//! What can be wrong with a batch cluster.

use super::Lint;
use crate::engine::{SEC, Span};
use crate::proto::batch::config::{Job, Launcher, OnFailure};
use crate::proto::batch::{Sbatch, Slurmctld, Slurmd};
use crate::scenario::types::{Runs, Stack};

/// The most jobs of a user.
const JOBS: usize = 10_000;

fn hosts(stack: &Stack, is: impl Fn(&Runs) -> bool) -> usize {
    stack.hosts.values().filter(|h| h.runs.iter().any(&is)).count()
}

pub(super) fn slurmctld(l: &mut Lint<'_>, stack: &Stack, (path, _): (&str, &str), c: &Slurmctld) {
    let at = |f: &str| format!("{path}.{f}");
    let whole = |d: Span| d.0.is_multiple_of(SEC);
    for (field, d, min, max) in [
        ("slurmctld_timeout", c.slurmctld_timeout, 1, 65_533),
        ("slurmd_timeout", c.slurmd_timeout, 0, 65_533),
        ("kill_wait", c.kill_wait, 0, 65_533),
        ("message_timeout", c.message_timeout, 1, 100),
        ("bf_interval", c.bf_interval, 1, 10_800),
        ("scheduler_time_slice", c.scheduler_time_slice, 5, 65_533),
        ("sched_interval", c.sched_interval, 1, 65_533),
        ("over_time_limit", c.over_time_limit, 0, 65_533 * 60),
        ("bf_window", c.bf_window, 60, 43_200 * 60),
    ] {
        if !whole(d) || d < Span::secs(min) || d > Span::secs(max) {
            let source = Some("slurm.conf(5)".to_owned());
            l.error(&at(field), format!("{field} is whole seconds from {min}s to {max}s, not {d}"), source);
        }
    }
    for (field, d) in [("over_time_limit", c.over_time_limit), ("bf_window", c.bf_window)] {
        if !d.0.is_multiple_of(60 * SEC) {
            l.error(
                &at(field),
                format!("{field} is whole minutes, not {d}"),
                Some("slurm.conf(5)".to_owned()),
            );
        }
    }
    if c.return_to_service > 2 {
        l.error(&at("return_to_service"), "return_to_service is 0, 1 or 2", Some("slurm.conf(5)".to_owned()));
    }
    if !(1..=100).contains(&c.over_subscribe) {
        l.error(&at("over_subscribe"), "over_subscribe goes from 1 to 100", None);
    }
    if c.batch_sched_delay > Span::secs(3600) {
        l.error(&at("batch_sched_delay"), "batch_sched_delay goes from 0s to 1h", None);
    }
    if c.state_save_delay > Span::secs(3600) {
        l.error(&at("state_save_delay"), "state_save_delay goes from 0s to 1h", None);
    }
    let (first, all) = (
        hosts(stack, |r| matches!(r, Runs::Slurmctld(c) if !c.backup)),
        hosts(stack, |r| matches!(r, Runs::Slurmctld(_))),
    );
    if first != 1 {
        l.error(path, format!("{first} controllers without `backup: true`: a cluster has one"), None);
    }
    if all > 2 {
        l.error(path, "one controller and one backup are the most", None);
    }
    let nfs = hosts(stack, |r| matches!(r, Runs::Nfs(_)));
    if all > 1 && nfs == 0 {
        let help = Some("a host that runs Nfs() keeps StateSaveLocation".to_owned());
        l.error(path, "two controllers without a file server: the backup would know of no job", help);
    }
    if nfs > 1 {
        l.error(path, "one file server is the most", None);
    }
    if hosts(stack, |r| matches!(r, Runs::Slurmd(_))) == 0 {
        l.warn(path, "this cluster has no nodes: let hosts run Slurmd()");
    }
}

pub(super) fn slurmd(l: &mut Lint<'_>, stack: &Stack, (path, _): (&str, &str), d: &Slurmd) {
    if hosts(stack, |r| matches!(r, Runs::Slurmctld(_))) == 0 {
        l.error(path, "a node without a controller", Some("let a host run Slurmctld()".to_owned()));
    }
    if !d.mtbf.is_zero() && d.mtbf < Span::secs(1) {
        l.error(&format!("{path}.mtbf"), "mtbf is 0s (never) or 1s and more", None);
    }
}

pub(super) fn sbatch(l: &mut Lint<'_>, stack: &Stack, (path, _): (&str, &str), u: &Sbatch) {
    if hosts(stack, |r| matches!(r, Runs::Slurmctld(_))) == 0 {
        l.error(path, "a user of a cluster without a controller", None);
    }
    if u.jobs.len() > JOBS {
        l.error(&format!("{path}.jobs"), format!("more than {JOBS} jobs"), None);
        return;
    }
    if u.jobs.is_empty() {
        l.warn(path, "this user submits nothing: give it `jobs`");
    }
    for (i, j) in u.jobs.iter().enumerate() {
        job(l, &format!("{path}.jobs[{i}]"), j);
        let mtbf = mtbf(stack).map(|m| Span(m.0 / u64::from(j.nodes.max(1))));
        if !j.checkpoint_interval.is_zero() && mtbf.is_some_and(|m| j.checkpoint_cost > m.times(2)) {
            let at = format!("{path}.jobs[{i}].checkpoint_cost");
            l.warn(&at, "a checkpoint takes longer than twice the job's mean time between failures: it hardly ever ends");
        }
    }
}

/// The shortest mean time between failures of a node, if nodes fail.
fn mtbf(stack: &Stack) -> Option<Span> {
    let runs = stack.hosts.values().flat_map(|h| &h.runs);
    runs.filter_map(|r| match r {
        Runs::Slurmd(d) if !d.mtbf.is_zero() => Some(d.mtbf),
        _ => None,
    })
    .min()
}

fn job(l: &mut Lint<'_>, path: &str, j: &Job) {
    let at = |f: &str| format!("{path}.{f}");
    if j.nodes == 0 {
        l.error(&at("nodes"), "a job needs one node or more", None);
    }
    if j.mpi_timeout < Span::secs(1) {
        l.error(&at("mpi_timeout"), "mpi_timeout is 1s and more", None);
    }
    if !j.checkpoint_interval.is_zero() && j.checkpoint_interval < Span::secs(1) {
        l.error(&at("checkpoint_interval"), "checkpoint_interval is 0s (none) or 1s and more", None);
    }
    if j.checkpoint_interval.is_zero() && !j.checkpoint_cost.is_zero() {
        l.warn(&at("checkpoint_cost"), "without `checkpoint_interval` no checkpoint is written");
    }
    if j.launcher == Launcher::Srun && j.on_failure != OnFailure::Fail && j.nodes > 1 {
        l.warn(&at("on_failure"), "with Srun the script notices crashes only, not a node that is gone");
    }
    if let Some(t) = j.time
        && t > Span::secs(365 * 86_400)
    {
        l.error(&at("time"), "a limit is a year at most", None);
    }
}
