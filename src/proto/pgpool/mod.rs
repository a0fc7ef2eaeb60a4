//! pgpool-II: a proxy of many processes between clients and PostgreSQL servers. It pools connections, routes statements, replicates
//! them in some modes, notices servers that are gone, and has a watchdog of its own.
//!
//! Sources: pgpool-II's manual (4.7) and sources, as the files name them; what 4.3.5 did on a real cluster (`scenarios/validation/pgpool`).
//! Units are those of the knobs ([`config`]). Where versions differ, `version` says which is meant.
//!
//! **Every process of a pgpool is a process of the world**, so that each can be killed, frozen and hung by itself; [`Role`] lists them.
//! What they know together is shared memory, [`shared`] (a file of the host that begins and ends with the parent); what they want of the
//! parent is a [`msg::Request`] there and a SIGUSR1 ([`degenerate`]). What they say to each other over pipes and local sockets is
//! [`crate::node::process::Action::Tell`]. All children accept on one listening socket, which is the parent's: the kernel keeps the
//! queue (`node/stream.rs`), a child that is idle waits in `accept`. What a death does:
//!
//! | dies | then |
//! |---|---|
//! | parent | everything is gone: the listening socket with it, children end when they notice |
//! | child | forked anew; its client loses the session |
//! | PCP, worker, health check | forked anew, and begins its round at once |
//! | lifecheck | forked anew; it has heard nobody yet, so that it watches again only ten `wd_interval` later |
//! | heartbeat sender, receiver | forked anew, sleeps a second, begins |
//! | watchdog, by a signal | forked anew; gives the virtual address up if its predecessor had it, and joins as any that starts |
//! | watchdog, by itself (lost, no network) | the whole pgpool shuts down |
//!
//! Files: [`parent`] forks and reaps; [`child`] is the path of a client, with [`cache`] (what a child keeps for later sessions),
//! `session` (statements on their way), `replicate` (native replication), [`route`] (which node a statement goes to);
//! [`worker`] looks at replication delays; [`find`] asks who is primary ([`judge`] decides between several); [`failover`] is what the
//! parent does with requests, [`follow`] the process that runs `follow_primary_command` after a failover, [`recovery`] online recovery,
//! [`remote`] what their scripts do on the database hosts.
//!
//! **Not modelled:** `process_management_mode = dynamic`, TLS, authentication methods, the query cache, `ssl_*`, the logger, the
//! catalog look-ups of the relation cache (their answers are known at once), Slony-I's and logical replication's own replication.

pub mod cache;
mod call;
pub mod child;
pub mod config;
pub mod failover;
pub mod find;
pub mod follow;
pub mod health;
pub mod judge;
pub mod msg;
pub mod note;
pub mod parent;
pub mod pcp;
pub mod recovery;
pub mod remote;
mod replicate;
pub mod route;
mod session;
pub mod shared;
pub mod watchdog;
pub mod worker;

pub use config::Pgpool;
pub use shared::Shared;

use crate::net::addr::Ip;
use crate::node::disk::End;
use crate::node::process::{Action, Input, NetId, Pid, Signal};
use crate::proto::postgres::sql::{Catalog, Command};
use crate::proto::{Cx, Msg};
use msg::{Cause, Request};
use std::sync::Arc;
use watchdog::msg::RequestKind;

/// What a process of a pgpool is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// The parent ("pgpool main").
    Parent,
    /// A child, from 0.
    Child(u16),
    /// The PCP process.
    Pcp,
    /// The worker: replication delays.
    Worker,
    /// The health check of a node.
    HealthCheck(u8),
    /// The watchdog.
    Watchdog,
    /// Decides which pgpools are alive.
    Lifecheck,
    /// Sends heartbeats to a peer, from 0.
    HeartbeatSender(u8),
    /// Hears a peer's.
    HeartbeatReceiver(u8),
    /// Runs `follow_primary_command`.
    FollowPrimary,
}
impl Role {
    /// The name of the process, for faults.
    pub fn name(self, pgpool: &str) -> String {
        match self {
            Role::Parent => pgpool.to_owned(),
            Role::Child(n) => format!("{pgpool}/child-{n}"),
            Role::Pcp => format!("{pgpool}/pcp"),
            Role::Worker => format!("{pgpool}/worker"),
            Role::HealthCheck(n) => format!("{pgpool}/health_check-{n}"),
            Role::Watchdog => format!("{pgpool}/watchdog"),
            Role::Lifecheck => format!("{pgpool}/lifecheck"),
            Role::HeartbeatSender(n) => format!("{pgpool}/heartbeat_sender-{n}"),
            Role::HeartbeatReceiver(n) => format!("{pgpool}/heartbeat_receiver-{n}"),
            Role::FollowPrimary => format!("{pgpool}/follow_primary"),
        }
    }
    /// Whether the parent forks it anew when it dies.
    pub const fn respawned(self) -> bool {
        !matches!(self, Role::Parent | Role::Watchdog | Role::FollowPrimary)
    }
    /// Whether the parent forks it when it starts.
    pub const fn from_the_start(self) -> bool {
        // The lifecheck forks those for heartbeats.
        !matches!(
            self,
            Role::Parent | Role::FollowPrimary | Role::HeartbeatSender(_) | Role::HeartbeatReceiver(_)
        )
    }
}

/// The processes of a pgpool with so many backends and peers, in the order of their numbers.
pub fn roles(config: &Pgpool, backends: usize, peers: usize) -> Vec<Role> {
    let mut all = vec![Role::Parent];
    if config.use_watchdog {
        all.push(Role::Watchdog);
        all.push(Role::Lifecheck);
        let beats = config.wd_lifecheck_method == config::Lifecheck::Heartbeat;
        for n in (0..peers as u8).filter(|_| beats) {
            all.extend([Role::HeartbeatSender(n), Role::HeartbeatReceiver(n)]);
        }
    }
    all.extend((0..config.num_init_children).map(Role::Child));
    all.extend([Role::Pcp, Role::Worker]);
    all.extend((0..backends as u8).map(Role::HealthCheck));
    if config.follow().is_some() {
        all.push(Role::FollowPrimary);
    }
    all
}

/// A backend with its address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backend {
    /// Its host.
    pub host: Arc<str>,
    /// Its address.
    pub ip: Ip,
    /// Its port.
    pub port: u16,
    /// Its share of the reads.
    pub weight: u32,
    /// Whether it may be failed over.
    pub flag: config::Flag,
}

/// What every process of a pgpool is told once.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The configuration.
    pub config: Pgpool,
    /// Who replicates.
    pub mode: config::Mode,
    /// The host's name.
    pub host: Arc<str>,
    /// Its own address.
    pub ip: Ip,
    /// Backends by node number.
    pub backends: Vec<Backend>,
    /// Its processes.
    pub processes: Vec<(Role, Pid)>,
    /// The other pgpools with a watchdog: host, address.
    pub peers: Vec<(Arc<str>, Ip)>,
    /// The networks of its host, by name.
    pub nets: Vec<(String, NetId)>,
    /// The addresses of `trusted_servers`.
    pub trusted: Vec<Ip>,
    /// What is known of tables and functions.
    pub catalog: Arc<Catalog>,
    /// The lists of the configuration, read.
    pub lists: route::Lists,
    /// `reset_query_list`, read.
    pub reset: Vec<Arc<Command>>,
    /// BEGIN.
    pub begin: Arc<Command>,
    /// COMMIT.
    pub commit: Arc<Command>,
    /// ROLLBACK.
    pub rollback: Arc<Command>,
    /// What a plain write of the model is, in SQL.
    pub insert: Arc<Command>,
    /// What a plain read is.
    pub select: Arc<Command>,
    /// What a program asks to learn whom it speaks to.
    pub who: Arc<Command>,
}
impl Setup {
    /// A setup with what follows from the configuration filled in; backends, processes and places come from the stack.
    pub fn new(config: Pgpool, host: &str, ip: Ip, catalog: Catalog) -> Setup {
        let read = |text: &str| Arc::new(Command::parse(text));
        Setup {
            mode: config.mode(),
            host: host.into(),
            ip,
            backends: Vec::new(),
            processes: Vec::new(),
            peers: Vec::new(),
            nets: Vec::new(),
            trusted: Vec::new(),
            catalog: Arc::new(catalog),
            lists: route::Lists::new(&config),
            reset: config.reset_query_list.iter().map(|t| read(t)).collect(),
            begin: read("BEGIN"),
            commit: read("COMMIT"),
            rollback: read("ROLLBACK"),
            insert: read("INSERT INTO t VALUES (1)"),
            select: read("SELECT * FROM t"),
            who: read("SELECT pg_is_in_recovery()"),
            config,
        }
    }
    /// The process of a role.
    pub fn pid(&self, role: Role) -> Option<Pid> {
        self.processes.iter().find(|p| p.0 == role).map(|p| p.1)
    }
    /// The role of a process.
    pub fn role(&self, pid: Pid) -> Option<Role> {
        self.processes.iter().find(|p| p.1 == pid).map(|p| p.0)
    }
}

/// A process asks the parent for something.
pub fn request(what: Request, ctx: &mut Cx<'_>) {
    ctx.files.pgpool.requests.push_back(what);
    if let Some(parent) = ctx.files.pgpool.parent {
        ctx.act(Action::Signal(parent, Signal::Usr1));
    }
}
/// A process asks for nodes to be degenerated (`degenerate_backend_set_ex`): nodes that are down already, and those whose `flag` forbids
/// it, are left out. The one entry for all causes: with a watchdog, it is the watchdog that decides. Whether there was anything to ask.
pub fn degenerate(setup: &Setup, nodes: &[u8], cause: Cause, ctx: &mut Cx<'_>) -> bool {
    let may = |n: &u8| {
        let allowed =
            setup.backends.get(usize::from(*n)).map(|b| b.flag != config::Flag::DISALLOW_TO_FAILOVER);
        let b = ctx.files.pgpool.backends.get(usize::from(*n));
        b.is_some_and(|b| b.valid() || b.quarantine) && (allowed == Some(true) || cause == Cause::Admin)
    };
    let nodes: Vec<u8> = nodes.iter().copied().filter(|n| may(n)).collect();
    if nodes.is_empty() {
        return false;
    }
    ctx.note(note::Note::Degenerate { nodes: names(setup, &nodes), cause }.into());
    let by = ctx.me;
    let what = Request::Down { nodes: nodes.clone(), cause, by };
    ask(setup, RequestKind::Degenerate, &nodes, what, cause, ctx);
    true
}
/// A process asks for a node to be attached (`send_failback_request`).
pub fn attach(setup: &Setup, node: u8, ctx: &mut Cx<'_>) {
    ask(setup, RequestKind::Failback, &[node], Request::Up(node, false), Cause::Admin, ctx);
}
/// The watchdog is asked first, if there is one.
pub(crate) fn ask(
    setup: &Setup,
    kind: RequestKind,
    nodes: &[u8],
    what: Request,
    cause: Cause,
    ctx: &mut Cx<'_>,
) {
    let by = ctx.me;
    match setup.pid(Role::Watchdog) {
        Some(watchdog) => {
            let switchover = matches!(what, Request::Promote(_, true));
            let ask = msg::Msg::Ask { kind, nodes: nodes.into(), cause, switchover, by };
            ctx.act(Action::Tell(watchdog, Msg::Pgpool(Box::new(ask))));
        }
        None => request(what, ctx),
    }
}
/// Clients are to go, or come as always: the children are told.
pub(crate) fn door(setup: &Setup, door: shared::Door, ctx: &mut Cx<'_>) {
    ctx.files.pgpool.door = door;
    let begins = door != shared::Door::Open;
    for (_, pid) in setup.processes.iter().filter(|p| matches!(p.0, Role::Child(_))) {
        ctx.act(Action::Tell(*pid, Msg::Pgpool(Box::new(msg::Msg::Recovery(begins)))));
    }
}
/// `wait_connection_closed`: whether the clients have gone, after so many looks; nothing: it is to be looked at again.
pub(crate) fn clients_gone(setup: &Setup, looks: u32, ctx: &mut Cx<'_>) -> Option<bool> {
    if looks < setup.config.recovery_looks() {
        return (ctx.files.pgpool.connected == 0).then_some(true);
    }
    // The last sleep is followed by no look.
    let c = &setup.config;
    let wrong = recovery::counter_is_wrong(c.client_idle_limit_in_recovery, c.recovery_timeout);
    if wrong {
        ctx.note(note::Note::CounterReset { clients: ctx.files.pgpool.connected }.into());
        ctx.files.pgpool.connected = 0;
    }
    Some(wrong)
}
/// Nodes in words: number and host.
pub fn names(setup: &Setup, nodes: &[u8]) -> Arc<str> {
    let name = |n: &u8| {
        setup.backends.get(usize::from(*n)).map_or_else(String::new, |b| format!("{n} ({})", b.host))
    };
    nodes.iter().map(name).collect::<Vec<_>>().join(", ").into()
}

/// A process of a pgpool.
#[derive(Clone, Debug)]
pub enum Proc {
    /// The parent.
    Parent(parent::Parent),
    /// PCP.
    Pcp(pcp::PcpProcess),
    /// A health check.
    HealthCheck(health::HealthCheck),
    /// The watchdog.
    Watchdog(Box<watchdog::Watchdog>),
    /// The lifecheck.
    Lifecheck(watchdog::heart::LifecheckProcess),
    /// A sender of heartbeats.
    HeartbeatSender(watchdog::heart::Sender),
    /// A receiver of heartbeats.
    HeartbeatReceiver(watchdog::heart::Receiver),
    /// A child.
    Child(Box<child::Child>),
    /// The worker.
    Worker(worker::Worker),
    /// Runs `follow_primary_command`.
    FollowPrimary(follow::FollowPrimary),
    /// A database host's sshd, for its scripts.
    Remote(remote::Remote),
}
impl Proc {
    /// The process of a role.
    pub fn new(role: Role, setup: &Arc<Setup>) -> Proc {
        match role {
            Role::Parent => Proc::Parent(parent::Parent::new(setup.clone())),
            Role::Pcp => Proc::Pcp(pcp::PcpProcess::new(setup.clone())),
            Role::HealthCheck(n) => Proc::HealthCheck(health::HealthCheck::new(setup.clone(), n)),
            Role::Watchdog => Proc::Watchdog(Box::new(watchdog::Watchdog::new(setup.clone()))),
            Role::Lifecheck => Proc::Lifecheck(watchdog::heart::LifecheckProcess::new(setup.clone())),
            Role::HeartbeatSender(n) => {
                Proc::HeartbeatSender(watchdog::heart::Sender::new(setup.clone(), usize::from(n)))
            }
            Role::HeartbeatReceiver(_) => {
                Proc::HeartbeatReceiver(watchdog::heart::Receiver::new(setup.clone()))
            }
            Role::Child(n) => Proc::Child(Box::new(child::Child::new(n, setup.clone()))),
            Role::Worker => Proc::Worker(worker::Worker::new(setup.clone())),
            Role::FollowPrimary => Proc::FollowPrimary(follow::FollowPrimary::new(setup.clone())),
        }
    }
    /// What it was told, if it is the parent.
    pub fn parent(&self) -> Option<&Setup> {
        if let Proc::Parent(p) = self { Some(p.setup()) } else { None }
    }
    /// Whether it takes an administrator's commands.
    pub const fn is_pcp(&self) -> bool {
        matches!(self, Proc::Pcp(_))
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match self {
            Proc::Parent(p) => p.on(input, ctx),
            Proc::Pcp(p) => p.on(input, ctx),
            Proc::HealthCheck(p) => p.on(input, ctx),
            Proc::Watchdog(p) => p.on(input, ctx),
            Proc::Lifecheck(p) => p.on(input, ctx),
            Proc::HeartbeatSender(p) => p.on(input, ctx),
            Proc::HeartbeatReceiver(p) => p.on(input, ctx),
            Proc::Child(p) => p.on(input, ctx),
            Proc::Worker(p) => p.on(input, ctx),
            Proc::FollowPrimary(p) => p.on(input, ctx),
            Proc::Remote(p) => p.on(input, ctx),
        }
    }
    /// What an end of this kind leaves of it.
    pub fn reset(&mut self, _end: End, shared: &mut Shared) {
        match self {
            Proc::Parent(p) => p.reset(shared),
            Proc::Pcp(p) => p.reset(),
            Proc::HealthCheck(p) => p.reset(),
            Proc::Watchdog(p) => p.reset(),
            Proc::Lifecheck(p) => p.reset(),
            Proc::HeartbeatSender(p) => p.reset(),
            Proc::HeartbeatReceiver(p) => p.reset(),
            Proc::Child(p) => p.reset(shared),
            Proc::Worker(p) => p.reset(shared),
            Proc::FollowPrimary(p) => p.reset(),
            Proc::Remote(p) => p.reset(),
        }
    }
}
