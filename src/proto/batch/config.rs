//! The knobs of a batch cluster: Slurm's own names in words (`SlurmdTimeout` is `slurmd_timeout`), with the defaults of Slurm 22.05.

use crate::engine::time::{Span, SpanRange};
use serde::{Deserialize, Serialize};

/// The controller of a batch cluster, `slurmctld`. Two hosts with one are a controller and its backup, in the order of
/// `backup`; they need a host with `Nfs` for `StateSaveLocation`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Slurmctld {
    /// `SchedulerType`: `Builtin`, `Backfill`, or the textbook's `Easy` and `Conservative`. Default Backfill.
    pub scheduler_type: SchedulerType,
    /// The second `SlurmctldHost`: it stands by until the first one has been silent for `slurmctld_timeout`. Default false.
    pub backup: bool,
    /// `SlurmctldTimeout`: the backup takes over after this silence; it asks three times in it. Whole seconds, 1s to 65533s. Default 120 s.
    pub slurmctld_timeout: Span,
    /// `SlurmdTimeout`: a node that has not answered for so long is DOWN; 0s: nodes are not asked. Whole seconds to 65533s. Default 300 s.
    pub slurmd_timeout: Span,
    /// `ReturnToService`: 0, a DOWN node stays DOWN; 1, it returns if it was only silent and did not reboot; 2, it returns. Default 0.
    pub return_to_service: u8,
    /// `KillWait`: from SIGTERM to SIGKILL for a job that does not end. Whole seconds, 0s to 65533s. Default 30 s.
    pub kill_wait: Span,
    /// `OverTimeLimit`: so much longer than its limit a job may run. Whole minutes. Default 0 s.
    pub over_time_limit: Span,
    /// `JobRequeue`: a job whose node fails goes back to the queue. Default true.
    pub job_requeue: bool,
    /// `MessageTimeout`: a node has this long to answer, and a second more for connections. Whole seconds, 1s to 100s. Default 10 s.
    pub message_timeout: Span,
    /// `batch_sched_delay`: after a scheduling pass the next one comes so much later at the earliest. Default 3 s.
    pub batch_sched_delay: Span,
    /// `sched_interval`: a scheduling pass at least so often. Default 60 s.
    pub sched_interval: Span,
    /// `bf_interval`: from one backfill pass to the next. Whole seconds, 1s to 10800s. Default 30 s.
    pub bf_interval: Span,
    /// `bf_window`: backfill plans so far ahead; a job that would start later gets no reservation. 1m to 43200m. Default 1440 m.
    pub bf_window: Span,
    /// `bf_max_job_test`: the jobs that a backfill pass looks at. 1 to 1000000. Default 500.
    pub bf_max_job_test: u32,
    /// `default_queue_depth`: the jobs that an ordinary pass looks at. 0 to 65535. Default 100.
    pub default_queue_depth: u32,
    /// `PreemptMode=GANG`: jobs take turns on the same nodes, whole jobs suspended. Default false.
    pub gang: bool,
    /// `SchedulerTimeSlice`: how long a turn lasts with `gang`. Whole seconds, 5s to 65533s. Default 30 s.
    pub scheduler_time_slice: Span,
    /// `OverSubscribe=FORCE:n`: with `gang`, so many jobs share a node. 1 to 100. Default 2.
    pub over_subscribe: u32,
    /// A change of the state is on disk so much later at the latest. Default 5 s.
    pub state_save_delay: Span,
    /// From a takeover by the backup to its first scheduling pass. Default 30 s.
    pub takeover_schedule_delay: Span,
    /// Process time: from the start to the first message taken. Default 0 s.
    pub startup_time: SpanRange,
}
impl Default for Slurmctld {
    fn default() -> Self {
        Slurmctld {
            scheduler_type: SchedulerType::Backfill,
            backup: false,
            slurmctld_timeout: Span::secs(120),
            slurmd_timeout: Span::secs(300),
            return_to_service: 0,
            kill_wait: Span::secs(30),
            over_time_limit: Span::ZERO,
            job_requeue: true,
            message_timeout: Span::secs(10),
            batch_sched_delay: Span::secs(3),
            sched_interval: Span::secs(60),
            bf_interval: Span::secs(30),
            bf_window: Span::secs(1440 * 60),
            bf_max_job_test: 500,
            default_queue_depth: 100,
            gang: false,
            scheduler_time_slice: Span::secs(30),
            over_subscribe: 2,
            state_save_delay: Span::secs(5),
            takeover_schedule_delay: Span::secs(30),
            startup_time: SpanRange::exactly(Span::ZERO),
        }
    }
}

/// Who decides which job starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SchedulerType {
    /// `sched/builtin`: first come, first served; if the first job does not fit, nothing behind it starts.
    Builtin,
    /// `sched/backfill`: as `Builtin`, and every `bf_interval` a pass that plans for all jobs and fills the holes.
    #[default]
    Backfill,
    /// EASY backfill of the textbook, at every event: only the first job in the queue has a reservation.
    Easy,
    /// Conservative backfill of the textbook, at every event: every job has a reservation, and none is ever put off.
    Conservative,
}

/// The daemon of a compute node, `slurmd`. Nodes are whole: a job has all of a node or nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Slurmd {
    /// Mean time between crashes of a job's processes on this node, exponentially distributed; 0s: they never crash. Default 0 s.
    pub mtbf: Span,
    /// Process time: from the start to the registration with the controller. Default 0 s.
    pub startup_time: SpanRange,
}
impl Default for Slurmd {
    fn default() -> Self {
        Slurmd { mtbf: Span::ZERO, startup_time: SpanRange::exactly(Span::ZERO) }
    }
}

/// A user who submits jobs with `sbatch`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sbatch {
    /// What is submitted, in the order of `submit`.
    pub jobs: Vec<Job>,
    /// A submission that no controller took is tried again so much later; 0s: never. Default 0 s.
    pub retry: Span,
}

/// A job: a gang of processes on whole nodes that start together, run in step, and end together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Job {
    /// `--job-name`. Default: `job` and its number.
    pub name: String,
    /// When it is submitted. Default 0 s.
    pub submit: Span,
    /// `--nodes`: all of them or none. Default 1.
    pub nodes: u32,
    /// `--time`: the limit, and what the scheduler believes; rounded up to whole minutes. Default: none (`UNLIMITED`).
    pub time: Option<Span>,
    /// How much work it truly is: the time that it would take without failures and checkpoints. Default 60 s.
    pub run: Span,
    /// `--priority`: higher first; equal ones in the order of submission. Default 0.
    pub priority: u32,
    /// `--requeue`, `--no-requeue`. Default: the cluster's `job_requeue`.
    pub requeue: Option<bool>,
    /// `--no-kill`: keeps its allocation when a node of it fails. Default false.
    pub no_kill: bool,
    /// How the processes are started, which decides who notices that one is gone. Default Mpirun.
    pub launcher: Launcher,
    /// What the script does when its processes are gone. Default Fail.
    pub on_failure: OnFailure,
    /// With `Mpirun`: so long after the last sign of a node its processes count as lost. 1s and more. Default 3 s.
    pub mpi_timeout: Span,
    /// Useful work between two checkpoints; 0s: none are written. Default 0 s.
    pub checkpoint_interval: Span,
    /// Time to write a checkpoint, C; the work stands still. Default 0 s.
    pub checkpoint_cost: Span,
    /// Time to read the checkpoint and start the processes again, R. Default 0 s.
    pub restart_cost: Span,
    /// It goes on after SIGTERM, to SIGKILL. Default false.
    pub ignores_term: bool,
}
impl Default for Job {
    fn default() -> Self {
        Job {
            name: String::new(),
            submit: Span::ZERO,
            nodes: 1,
            time: None,
            run: Span::secs(60),
            priority: 0,
            requeue: None,
            no_kill: false,
            launcher: Launcher::Mpirun,
            on_failure: OnFailure::Fail,
            mpi_timeout: Span::secs(3),
            checkpoint_interval: Span::ZERO,
            checkpoint_cost: Span::ZERO,
            restart_cost: Span::ZERO,
            ignores_term: false,
        }
    }
}

/// How the processes of a job are started on its nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Launcher {
    /// `mpirun`: the runtime notices after `mpi_timeout` that a node is silent, and ends all processes.
    #[default]
    Mpirun,
    /// Plain `srun`: nobody notices; the other processes wait for ever, until the controller gives the node up.
    Srun,
}

/// What the batch script does when the processes are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnFailure {
    /// It ends with an error: the job is FAILED and does not come back.
    #[default]
    Fail,
    /// It calls `scontrol requeue`: the job goes back to the queue.
    Requeue,
    /// It starts the processes again on the same nodes, if all of them answer; otherwise as `Requeue`.
    Restart,
}

/// The file server of the cluster: `StateSaveLocation` of the controllers and the jobs' checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nfs {}
