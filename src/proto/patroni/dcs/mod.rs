//! How Patroni talks to its DCS: etcd v3 or Consul behind one interface.
//!
//! Patroni's HA loop makes one blocking call at a time. Here a call is an [`Op`]: [`Client::begin`] starts it, [`Client::poll`] is handed
//! every input of the process and tells when it is done. Some calls are done at once (`GetCluster` out of etcd's cache), so that both return
//! a [`Poll`]. What goes on beside the loop (etcd's watch) happens in `poll` too: hand it every input, whether a call is under way or not.
//!
//! Sources: Patroni 4.1.5, `dcs/__init__.py`, `dcs/consul.py`, `dcs/etcd.py`, `dcs/etcd3.py`, `utils.py` (class `Retry`).
//! **Not modelled:** authentication, TLS, SRV discovery, proxies, Citus groups, patronictl.

pub mod cluster;
mod consul;
mod etcd3;
pub mod retry;
mod service;
mod text;
mod wire;

pub use service::service_name;

pub use cluster::{Cluster, Failsafe, Leader, MemberData, Session, Status, SyncState, Text, Version};

use super::process::Dcs;
use crate::engine::{Span, Time};
use crate::node::process::Input;
use crate::proto::{Cx, Msg};
use std::sync::Arc;
use std::task::Poll;

/// What does not change while Patroni runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Where the DCS is.
    pub dcs: Dcs,
    /// `namespace`, without slashes. Default `service`.
    pub namespace: Text,
    /// `scope`: the name of the cluster.
    pub scope: Text,
    /// `name`: the name of the member.
    pub name: Text,
    /// What goes into `consul:`.
    pub consul: ConsulOptions,
    /// The client uses the process's timers from this number on, [`Client::TIMERS`] of them.
    pub first_timer: u16,
}

/// The part `consul:` of Patroni's configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsulOptions {
    /// `consistency`. Default `default`.
    pub consistency: crate::proto::consul::msg::Consistency,
    /// `checks`: names of health checks that the session hangs on (`serfHealth`). Default none.
    pub checks: Vec<Text>,
    /// `register_service`. Default false.
    pub register_service: bool,
    /// `service_tags`, besides the role.
    pub service_tags: Vec<Text>,
    /// `service_check_interval`. Default 5 s.
    pub service_check_interval: Span,
}
impl Default for ConsulOptions {
    fn default() -> Self {
        ConsulOptions {
            consistency: crate::proto::consul::msg::Consistency::Default,
            checks: Vec::new(),
            register_service: false,
            service_tags: Vec::new(),
            service_check_interval: Span::secs(5),
        }
    }
}

/// The dynamic settings that the client follows: `ttl`, `loop_wait`, `retry_timeout`, as corrected.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timing {
    /// `ttl`.
    pub ttl: Span,
    /// `loop_wait`.
    pub loop_wait: Span,
    /// `retry_timeout`.
    pub retry_timeout: Span,
}
impl Default for Timing {
    fn default() -> Self {
        Timing { ttl: Span::secs(30), loop_wait: Span::secs(10), retry_timeout: Span::secs(10) }
    }
}

/// A key that is set or deleted as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Key {
    /// `/config`.
    Config,
    /// `/failover`.
    Failover,
    /// `/history`.
    History,
}
impl Key {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Key::Config => "config",
            Key::Failover => "failover",
            Key::History => "history",
        }
    }
}

/// A blocking call of the HA loop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// What the constructor does: find the servers, get a session or lease; again every 5 s until it works. Never fails.
    Connect,
    /// `get_cluster`: [`Reply::Cluster`].
    GetCluster,
    /// `attempt_to_acquire_leader`.
    Acquire,
    /// `take_leader`, after a bootstrap.
    TakeLeader,
    /// `update_leader`: renews the lease (and takes the key over if it hangs on another one), then writes `/status` and `/failsafe` if
    /// they changed. `false`: the lock is lost.
    UpdateLeader {
        /// The leader of the view at hand.
        leader: Leader,
        /// What to publish; without `optime` nothing.
        status: Option<Status>,
        /// What to publish, in failsafe mode.
        failsafe: Option<Failsafe>,
    },
    /// `delete_leader`: publishes the position, if given, and deletes the key, if it is the own one.
    DeleteLeader {
        /// The leader of the view at hand; without one nothing is deleted.
        leader: Option<Leader>,
        /// `optime`.
        optime: Option<u64>,
    },
    /// `write_leader_optime`.
    WriteOptime(u64),
    /// `touch_member`: renews the lease if `loop_wait` has gone by since, and writes `/members/NAME` if it changed. Never an error.
    TouchMember(Arc<MemberData>),
    /// `set_config_value`, `set_failover_value`, `set_history_value`; with a version only if the key still has it. Never an error.
    Set(Key, Text, Option<Version>),
    /// `write_sync_state`, if `/sync` still has this version (`None`: whatever it has): [`Reply::Sync`]. Never an error.
    WriteSync(SyncState, Option<Version>),
    /// `delete_sync_state`.
    DeleteSync(Option<Version>),
    /// `initialize`: writes the system identifier; with `true` only if there is no key.
    Initialize(bool, Text),
    /// `cancel_initialization`.
    CancelInitialization,
    /// `watch`: the wait between two cycles; [`Reply::Woken`] tells whether something woke it. The version of the leader key is given by a
    /// replica whose leader is known.
    Watch(Option<Version>, Span),
}

/// What a call returns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// The view.
    Cluster(Arc<Cluster>),
    /// Whether it worked.
    Done(bool),
    /// The new `/sync`, or `None` if it was not written.
    Sync(Option<SyncState>),
    /// Whether the wait was cut short.
    Woken(bool),
}

/// Why an attempt failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// No answer in time.
    TimedOut,
    /// The connection was refused or broke.
    Refused,
    /// No route to the host.
    Unreachable,
    /// The server answered that it cannot (500, no leader).
    Server,
    /// etcd's cache was not filled in time.
    NoCache,
}
impl Cause {
    /// The word for it.
    pub fn text(self) -> String {
        match self {
            Cause::TimedOut => crate::say!("dcs-cause-timed-out"),
            Cause::Refused => crate::say!("dcs-cause-refused"),
            Cause::Unreachable => crate::say!("dcs-cause-unreachable"),
            Cause::Server => crate::say!("dcs-cause-server"),
            Cause::NoCache => crate::say!("dcs-cause-no-cache"),
        }
    }
}
/// Patroni's `DCSError`: the call failed until its deadline.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DcsError {
    /// How the last attempt failed.
    pub cause: Cause,
    /// How long the call took.
    pub took: Span,
}

/// The result of a call.
pub type Result = std::result::Result<Reply, DcsError>;

/// What both kinds of clients remember.
#[derive(Clone, Debug)]
struct Memory {
    /// `/NAMESPACE/SCOPE/`, as etcd has it; Consul's keys begin without the slash.
    prefix: Text,
    name: Text,
    timing: Timing,
    /// The last view, and until when `dcs.cluster` returns it.
    cluster: Option<(Arc<Cluster>, Time)>,
    /// The view that was read last, forgotten or not: texts that have not changed since are not read again.
    read: Option<Arc<Cluster>>,
    /// What `/status` and `/failsafe` are believed to say.
    status: Status,
    failsafe: Option<Failsafe>,
    /// `dcs.event`: the loop is to be woken.
    event: bool,
}
impl Memory {
    /// `dcs.cluster`.
    fn cluster(&self, now: Time) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref().filter(|c| c.1 > now).map(|c| &c.0)
    }
    /// The own member key of the view, while it is fresh.
    fn member(&self, now: Time) -> Option<&cluster::Member> {
        self.cluster(now).and_then(|c| c.member(&self.name))
    }
    fn loaded(&mut self, cluster: Arc<Cluster>, ttl: Span, now: Time) {
        self.status.clone_from(&cluster.status);
        self.failsafe.clone_from(&cluster.failsafe);
        self.read = Some(cluster.clone());
        self.cluster = Some((cluster, now + ttl));
    }
    /// What is to be written to `/status`, if it differs: what is not given stays as it is known.
    fn new_status(&self, mut status: Status) -> Option<Status> {
        if status.slots.is_empty() {
            status.slots.clone_from(&self.status.slots);
        }
        if status.retain_slots.is_empty() {
            status.retain_slots.clone_from(&self.status.retain_slots);
        }
        (status != self.status).then_some(status)
    }
}

#[derive(Clone, Debug)]
enum Store {
    Etcd(Box<etcd3::Etcd3>),
    Consul(Box<consul::Consul>),
}

/// Patroni's client of its DCS.
#[derive(Clone, Debug)]
pub struct Client {
    memory: Memory,
    store: Store,
    /// The thread of the HA loop waits for this call since then.
    busy: Option<Time>,
}
impl Client {
    /// So many timers of the process are the client's.
    pub const TIMERS: u16 = 4;

    /// A client that has not talked to anybody.
    pub fn new(setup: &Setup, timing: Timing) -> Self {
        let memory = Memory {
            prefix: format!("/{}/{}/", setup.namespace, setup.scope).into(),
            name: setup.name.clone(),
            timing,
            cluster: None,
            read: None,
            status: Status::default(),
            failsafe: Some(Failsafe::new()),
            event: false,
        };
        let store = match &setup.dcs {
            Dcs::Etcd(endpoints) => Store::Etcd(Box::new(etcd3::Etcd3::new(endpoints, setup.first_timer))),
            Dcs::Consul(agent) => Store::Consul(Box::new(consul::Consul::new(*agent, setup, timing))),
        };
        Client { memory, store, busy: None }
    }
    /// Begins a call. Another one that is still under way is forgotten.
    pub fn begin(&mut self, op: Op, ctx: &mut Cx<'_>) -> Poll<Result> {
        self.busy = Some(ctx.now);
        let result = match &mut self.store {
            Store::Etcd(e) => e.begin(op, &mut self.memory, ctx),
            Store::Consul(c) => c.begin(op, &mut self.memory, ctx),
        };
        self.finished(result, ctx.now)
    }
    /// Handles an input of the process, whoever it is for: tells when the call that is under way is done.
    pub fn poll(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) -> Poll<Result> {
        let result = match &mut self.store {
            Store::Etcd(e) => e.poll(input, &mut self.memory, ctx),
            Store::Consul(c) => c.poll(input, &mut self.memory, ctx),
        };
        self.finished(result, ctx.now)
    }
    /// `dcs.event.set()`: ends a watch, at once or as soon as one begins. (Consul's blocking query does not hear it.)
    pub fn wake(&mut self, ctx: &mut Cx<'_>) -> Poll<Result> {
        self.memory.event = true;
        let result = match &mut self.store {
            Store::Etcd(e) => e.woken(&mut self.memory, ctx),
            Store::Consul(c) => c.woken(&mut self.memory, ctx),
        };
        self.finished(result, ctx.now)
    }
    fn finished(&mut self, result: Poll<std::result::Result<Reply, Cause>>, now: Time) -> Poll<Result> {
        result.map(|r| {
            let begun = self.busy.take().unwrap_or(now);
            r.map_err(|cause| DcsError { cause, took: now.since(begun) })
        })
    }
    /// Whether a call is under way.
    pub fn busy(&self) -> bool {
        self.busy.is_some()
    }
    /// `reload_config`: a new `ttl` ends the session or lease, and the next watch returns at once.
    pub fn configure(&mut self, timing: Timing) {
        match &mut self.store {
            Store::Etcd(e) => e.configure(timing, &self.memory.timing),
            Store::Consul(c) => c.configure(timing, &self.memory.timing),
        }
        self.memory.timing = timing;
    }
    /// `dcs.ttl`: for how long an acquired or renewed lock counts. Consul may have raised it.
    pub fn ttl(&self) -> Span {
        match &self.store {
            Store::Etcd(_) => self.memory.timing.ttl,
            Store::Consul(c) => c.ttl(),
        }
    }
    /// `dcs.cluster`: the last view, for the length of the ttl.
    pub fn cluster(&self, now: Time) -> Option<&Arc<Cluster>> {
        self.memory.cluster(now)
    }
    /// `dcs.reset_cluster()`.
    pub fn reset_cluster(&mut self) {
        self.memory.cluster = None;
    }
    /// `dcs.failsafe`: what `/failsafe` is known to say, also while the DCS is away.
    pub fn failsafe(&self) -> Option<&Failsafe> {
        self.memory.failsafe.as_ref()
    }
    /// The session or lease that it has.
    pub fn session(&self) -> Option<Session> {
        match &self.store {
            Store::Etcd(e) => e.session(),
            Store::Consul(c) => c.session(),
        }
    }
}
