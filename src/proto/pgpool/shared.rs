//! The shared memory of a pgpool: what its processes know together. It begins with the parent and ends with it; the status file stays.
//!
//! Source: `src/include/pool.h` (`BackendInfo`, `ProcessInfo`, `POOL_REQUEST_INFO`), `src/main/pgpool_main.c`.

use super::config::Pgpool;
use super::msg::Request;
use crate::engine::{Span, Time};
use crate::node::process::Pid;
use std::collections::VecDeque;
use std::sync::Arc;

/// `BACKEND_STATUS`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Status {
    /// `CON_CONNECT_WAIT`: up, nobody has connected yet.
    #[default]
    Waiting,
    /// `CON_UP`: up.
    Up,
    /// `CON_DOWN`: detached.
    Down,
}
/// A backend, as this pgpool sees it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BackendState {
    /// Up or down.
    pub status: Status,
    /// It is down for this pgpool only: the health check brings it back.
    pub quarantine: bool,
    /// How far it is behind the primary, in bytes, and in time, as the worker saw it last.
    pub delay: (u64, Span),
    /// When the worker saw it.
    pub checked: Option<Time>,
    /// The worker saw it streaming from the primary.
    pub streaming: bool,
    /// It answered that it is in recovery.
    pub standby: bool,
    /// It was the primary when it went into quarantine.
    pub was_primary: bool,
    /// SELECTs that it was sent.
    pub selects: u64,
    /// Statements that it was sent.
    pub statements: u64,
}
impl BackendState {
    /// Whether sessions use it.
    pub fn valid(&self) -> bool {
        self.status != Status::Down
    }
}

/// `InRecovery`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Door {
    /// All is as always.
    #[default]
    Open,
    /// Online recovery, second stage: nobody comes in, and who is in must go.
    Closed,
    /// `pcp_detach_node -g` waits for the clients to go; others come in.
    Leaving,
}

/// What a follow-primary process is forked for: the command's parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// `%m`, `%H`: the new primary.
    pub primary: u8,
    /// `%P`: the old one.
    pub old_primary: Option<u8>,
}

/// A child, for whoever looks on: `SHOW pool_pools`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChildState {
    /// It runs.
    pub alive: bool,
    /// Its session, since when.
    pub session: Option<(Arc<Login>, Time)>,
    /// The node that the session's reads go to.
    pub balanced: Option<u8>,
    /// It is in a transaction.
    pub transaction: bool,
    /// A statement is under way.
    pub busy: bool,
    /// When it was last heard of its client (for `client_idle_limit_in_recovery`).
    pub heard: Time,
    /// What it keeps for later sessions.
    pub cached: Vec<Arc<Login>>,
    /// Sessions since the fork, hits and misses of the cache since the start of pgpool.
    pub served: (u32, u32, u32),
}
pub use crate::proto::postgres::msg::Login;

/// The shared memory, and the status file.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// Backends by their node numbers; none before the parent has started.
    pub backends: Vec<BackendState>,
    /// The parent, while it runs.
    pub parent: Option<Pid>,
    /// The watchdog, while it runs.
    pub watchdog: Option<Pid>,
    /// The primary, as `find_primary_node` found it.
    pub primary: Option<u8>,
    /// A failover runs (`Req_info->switching`).
    pub switching: bool,
    /// Whether clients are to go (`InRecovery`).
    pub door: Door,
    /// The node that online recovery is at work on.
    pub recovering: Option<u8>,
    /// Somebody holds the lock under which servers are asked who is primary (`follow_primary_count`): the worker, or a follow-primary
    /// process as long as its command runs, here or at the watchdog's leader. Who dies with it does not give it back.
    pub asking: bool,
    /// It is the leader's follow-primary process that holds it (`follow_primary_lock_held_remotely`).
    pub locked_remotely: bool,
    /// The leader has asked for it while somebody here had it (`follow_primary_lock_pending`).
    pub lock_pending: bool,
    /// `follow_primary_command` runs (`follow_primary_ongoing`), for this primary. Who is killed with it leaves it as it is.
    pub following: Option<u8>,
    /// What follow-primary processes are still to do.
    pub follow: VecDeque<Order>,
    /// What the parent has been asked for.
    pub requests: VecDeque<Request>,
    /// Clients that hold a place (`conn_counter`: `reserved_connections` counts them, online recovery waits for them).
    pub connected: u32,
    /// Children.
    pub children: Vec<ChildState>,
    /// `dml_adaptive_global`: tables that were written lately, and until when their reads stay with the primary.
    pub written: Vec<(Arc<str>, Time)>,
    /// `pgpool_status`: the nodes that were down when it was written last. It outlives pgpool.
    pub status_file: Vec<bool>,
    /// The watchdog's part.
    pub wd: super::watchdog::Shm,
    /// Snapshot isolation: sessions that take their snapshots, and sessions that commit.
    pub snapshots: u32,
    /// See `snapshots`.
    pub committing: u32,
}

impl Shared {
    /// The shared memory of a parent that starts: backends are up, as far as the status file does not say otherwise.
    pub fn begin(&mut self, backends: usize, children: usize, parent: Pid) {
        let status_file = std::mem::take(&mut self.status_file);
        let down = |i: usize| status_file.get(i).copied().unwrap_or(false);
        let all_down = backends > 0 && (0..backends).all(down);
        let state = |i: usize| BackendState {
            // A file that has no node left is not believed.
            status: if down(i) && !all_down { Status::Down } else { Status::Waiting },
            ..BackendState::default()
        };
        *self = Shared {
            backends: (0..backends).map(state).collect(),
            children: vec![ChildState::default(); children],
            parent: Some(parent),
            status_file,
            ..Shared::default()
        };
    }
    /// The parent is gone.
    pub fn end(&mut self) {
        *self = Shared { status_file: std::mem::take(&mut self.status_file), ..Shared::default() };
    }
    /// The main node: the attached one with the smallest number.
    pub fn main(&self) -> Option<u8> {
        self.backends.iter().position(BackendState::valid).map(|i| i as u8)
    }
    /// Whether sessions use a node.
    pub fn valid(&self, node: u8) -> bool {
        self.backends.get(usize::from(node)).is_some_and(BackendState::valid)
    }
    /// The attached nodes.
    pub fn attached(&self) -> impl Iterator<Item = u8> + '_ {
        self.backends.iter().enumerate().filter(|(_, b)| b.valid()).map(|(i, _)| i as u8)
    }
    /// Where writes go: the primary, or without one the main node (which may be a standby).
    pub fn writer(&self) -> Option<u8> {
        self.primary.filter(|p| self.valid(*p)).or_else(|| self.main())
    }
    /// Whether a standby is too late for reads, by what the worker saw last.
    pub fn too_late(&self, node: u8, config: &Pgpool) -> bool {
        let Some(b) = self.backends.get(usize::from(node)) else { return true };
        if !config.delay_threshold_by_time.is_zero() {
            b.delay.1 > config.delay_threshold_by_time
        } else {
            config.delay_threshold.0 > 0 && b.delay.0 > config.delay_threshold.0
        }
    }
    /// Takes the lock on asking, if nobody has it.
    pub fn lock(&mut self) -> bool {
        let free = !self.asking;
        self.asking = true;
        free
    }
    /// Gives it back; if the leader has asked for it meanwhile, it is the leader's now.
    pub fn unlock(&mut self) {
        self.asking = std::mem::take(&mut self.lock_pending);
        self.locked_remotely = self.asking;
    }
    /// The leader's follow-primary process takes it, or gives it back.
    pub fn lock_remotely(&mut self, takes: bool) {
        if !takes {
            if std::mem::take(&mut self.locked_remotely) {
                self.asking = false;
            }
            self.lock_pending = false;
        } else if self.lock() {
            self.locked_remotely = true;
        } else if !self.locked_remotely {
            self.lock_pending = true;
        }
    }
    /// Writes the status file.
    pub fn save(&mut self) {
        // A quarantine is nobody else's business.
        self.status_file = self.backends.iter().map(|b| b.status == Status::Down && !b.quarantine).collect();
    }
}
