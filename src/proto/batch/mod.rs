//! A batch cluster, after Slurm 22.05: a controller (and a backup), node daemons, the jobs' processes, users, a file server.
//!
//! Sources: slurm.conf(5), the manual's pages on scheduling, gang scheduling and high availability, and measurements of a real 22.05.8.
//! A job is a gang on whole nodes: all of its nodes are given together, its processes run in step, and the loss of one node ends it.
//! [`plan`] decides which jobs start; [`controller`] is `slurmctld`; [`node`] is `slurmd`; [`steps`] is the script and the processes of
//! jobs, with checkpoints and restarts; [`sbatch`] submits; [`nfs`] keeps what several hosts share.
//!
//! **Not modelled:** parts of nodes, partitions, quality of service, fair share, arrays, dependencies, accounting, prolog and epilog,
//! `scancel`, power saving, the re-registration that a healthy node makes from time to time.

pub mod config;
pub mod controller;
mod ha;
pub mod msg;
pub mod nfs;
pub mod node;
mod nodes;
pub mod note;
pub mod plan;
mod rpc;
pub mod sbatch;
mod sched;
pub mod state;
pub mod steps;

pub use config::{Nfs, Sbatch, Slurmctld, Slurmd};
pub use controller::Controller;
pub use nfs::FileServer;
pub use node::NodeDaemon;
pub use sbatch::User;
pub use steps::Steps;

use crate::engine::{Span, Time};
use crate::net::addr::Endpoint;
use msg::{JobId, Launch};
use std::sync::Arc;

/// An order of a node's daemon to the jobs' processes on its host.
#[derive(Clone, Debug)]
pub enum Order {
    /// Start the script of a job.
    Batch(Arc<Launch>),
    /// Start the processes of a job; the place of the node in the job's list.
    Ranks(Arc<Launch>, u16),
    /// SIGTERM, and SIGKILL after so long.
    Terminate(JobId, u32, Span),
    /// SIGSTOP or SIGCONT.
    Suspend(JobId, u32, bool),
    /// The processes on another node have crashed; its place in the job's list.
    Crashed(JobId, u32, u16),
}

/// What a node's daemon and the processes of jobs share on a host.
#[derive(Clone, Debug, Default)]
pub struct NodeFiles {
    /// When the host booted, by its clock.
    pub boot: Option<Time>,
    /// Orders that wait.
    pub orders: Vec<Order>,
    /// What there is of which start of which jobs; `true`: the script too.
    pub steps: Vec<(JobId, u32, bool)>,
    /// Checkpoints on the local disk: so much of a job's work is safe.
    pub safe: Vec<(JobId, Span)>,
}

/// What all processes of a batch cluster know of it.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The controllers, the first one first.
    pub controllers: Arc<[Endpoint]>,
    /// The nodes: names and addresses of their daemons.
    pub nodes: Arc<[(Arc<str>, Endpoint)]>,
    /// The file server.
    pub nfs: Option<Arc<[Endpoint]>>,
}
impl Cluster {
    /// The name of the node at an address.
    pub(crate) fn name_at(&self, at: Endpoint) -> Arc<str> {
        self.nodes.iter().find(|n| n.1.ip == at.ip).map_or_else(|| "?".into(), |n| n.0.clone())
    }
}
