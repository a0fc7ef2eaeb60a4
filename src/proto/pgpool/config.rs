//! The knobs of pgpool-II, under their own names and with their own defaults, and the process times of the model.
//!
//! Source: the manual of 4.7, chapter "Server Configuration". Where a compiled default differs from the manual's, the compiled one is
//! taken for the version that has it (`failover_on_backend_shutdown`).

use crate::engine::time::{Span, SpanRange};
use crate::net::addr::Cidr;
use crate::proto::postgres::config::Size;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// pgpool-II: a pool of connections, a router of statements, and a watcher of databases.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pgpool {
    /// Which pgpool-II it is, `"4.3"` to `"4.7"`: what differs is said with the knobs. Default "4.7".
    pub version: Version,
    /// The port for clients. Default 9999.
    pub port: u16,
    /// Who replicates. Default `streaming_replication`. The names of 3.x stand beside it: `replication_mode`, `master_slave_mode`,
    /// `parallel_mode`; without any of them, 3.x is `raw`.
    pub backend_clustering_mode: Option<Mode>,
    /// 3.x: pgpool sends each write to all (today `native_replication`).
    pub replication_mode: Option<bool>,
    /// 3.x: somebody else replicates (today `streaming_replication`, `logical_replication`, `slony`).
    pub master_slave_mode: Option<bool>,
    /// 3.x: who that is. Default `slony` (3.x), with `master_slave_mode`.
    pub master_slave_sub_mode: Option<SubMode>,
    /// 3.0 to 3.4: data is partitioned; removed in 3.5.0 (2016-01-29).
    pub parallel_mode: Option<bool>,
    /// The partitions of `parallel_mode`: table and key. Rows of key k lie on node k modulo the number of nodes.
    pub dist_def: BTreeMap<String, String>,
    /// `backend_hostname0`, ... Default: every host that runs PostgreSQL, in the order of their names, with weight 1.
    pub backends: Vec<Backend>,

    /// Children, which is sessions at a time: 1 to 2000. Default 32.
    pub num_init_children: u16,
    /// The accept queue holds `num_init_children` times this, capped by `net.core.somaxconn` (4096). 1 and more. Default 2.
    pub listen_backlog_multiplier: u32,
    /// Linux lets one more complete its handshake than the queue is long. Default true.
    pub accept_queue_plus_one: bool,
    /// Which idle child accepts: unspecified, so drawn; or the one that waits shortest or longest. Default `Uniform`.
    pub child_choice: Choice,
    /// Clients that would take one of the last r places are refused (53300); 0: they queue. Default 0.
    pub reserved_connections: u16,
    /// `static` (default); `dynamic` is not modelled.
    pub process_management_mode: Management,
    /// Cached sessions of each child: 1 to 1000. Default 4.
    pub max_pool: u16,
    /// Whether connections to servers are kept for the next session. Default true.
    pub connection_cache: bool,
    /// An idle child that has served is forked anew after this; 0 s: never. Default 300 s.
    pub child_life_time: Span,
    /// A child is forked anew after so many sessions; 0: never. Default 0.
    pub child_max_connections: u32,
    /// A cached session is closed so long after its release; 0 s: never. Default 0 s.
    pub connection_life_time: Span,
    /// A client that is silent for so long is cut off; 0 s: never. Default 0 s.
    pub client_idle_limit: Span,
    /// A client that does not begin its session by then is cut off; 0 s: never. Default 60 s.
    pub authentication_timeout: Span,
    /// What is sent to the servers when a session ends. Default ["ABORT", "DISCARD ALL"].
    pub reset_query_list: Vec<String>,

    /// Default true.
    pub load_balance_mode: bool,
    /// Each statement draws its node, not each session. Default false.
    pub statement_level_load_balance: bool,
    /// What a write does to the reads after it. Default `transaction`.
    pub disable_load_balance_on_write: OnWrite,
    /// `dml_adaptive`: tables that are written along with a table (by triggers), or by a function: `"t1": ["t2"]`. Default: none.
    pub dml_adaptive_object_relationship_list: BTreeMap<String, Vec<String>>,
    /// Functions that write; patterns, matched whole. Replaces the test for volatility. Default: empty.
    pub write_function_list: Vec<String>,
    /// Functions that do not write; patterns, matched whole. All others do. Default: empty.
    pub read_only_function_list: Vec<String>,
    /// Statements that go to the primary; patterns, matched whole. Default: empty.
    pub primary_routing_query_pattern_list: Vec<String>,
    /// `"app:node(ratio)"`, node a number, `primary` or `standby`. Before `database_` and `user_redirect_preference_list`. Default: empty.
    pub app_name_redirect_preference_list: Vec<String>,
    /// `"database:node(ratio)"`. Default: empty.
    pub database_redirect_preference_list: Vec<String>,
    /// `"user:node(ratio)"`. Default: empty.
    pub user_redirect_preference_list: Vec<String>,
    /// Comments before a SELECT are no reason not to balance it. Default false.
    pub allow_sql_comments: bool,
    /// Whether temporary tables are looked for. Default true (`catalog`).
    pub check_temp_table: bool,
    /// Whether unlogged tables are looked for. Default true.
    pub check_unlogged_table: bool,

    /// Native replication: SELECTs go to all nodes too. Default false.
    pub replicate_select: bool,
    /// Native replication: a table with a SERIAL column is locked before an INSERT. Default true.
    pub insert_lock: bool,
    /// Nodes whose kind of answer differs from that of the most are degenerated. Default false.
    pub replication_stop_on_mismatch: bool,
    /// Nodes whose number of affected rows differs from that of the most are degenerated. Default false.
    pub failover_if_affected_tuples_mismatch: bool,

    /// How often the replication delay is looked at; 0 s: never. Default 10 s.
    pub sr_check_period: Span,
    /// A standby that is further behind gets no reads; 0B: any will do. Default 0B.
    pub delay_threshold: Size,
    /// The same in time; in its place if it is set. Default 0 s.
    pub delay_threshold_by_time: Span,
    /// A standby that is too late is replaced by the one least behind, and not by the primary. Default false.
    pub prefer_lower_delay_standby: bool,
    /// The leader's worker detaches a primary that the others do not follow. Default false.
    pub detach_false_primary: bool,

    /// The gap after a health check; 0 s: none. Default 0 s.
    pub health_check_period: Span,
    /// Default 20 s.
    pub health_check_timeout: Span,
    /// Default 0.
    pub health_check_max_retries: u32,
    /// Default 1 s.
    pub health_check_retry_delay: Span,
    /// The longest wait for a TCP connection to a server. Default 10 s (`connect_timeout = 10000`).
    pub connect_timeout: Span,
    /// An error on a connection to a server is a reason for a failover, at once. Default true.
    pub failover_on_backend_error: bool,
    /// So is a server's 57P01 or 57P02. Default: false; true in 4.3 (compiled so up to 4.3.8, whatever the manual says).
    pub failover_on_backend_shutdown: Option<bool>,
    /// What the failover command does. Default: there is none.
    pub failover_command: Option<Command>,
    /// What the failback command does when a node is attached: `Nothing`, which takes `command_time`. Default: there is none.
    pub failback_command: Option<Command>,
    /// What is done with the other nodes after a failover of the primary: they are all detached, and a process of its own runs the command
    /// for one after the other. Streaming replication only. Default: nothing.
    pub follow_primary_command: Option<Follow>,
    /// The older name of `follow_primary_command` (to 4.1).
    pub follow_master_command: Option<Follow>,
    /// So long a new primary is looked for; 0 s: for ever. Default 300 s.
    pub search_primary_node_timeout: Span,
    /// Whether a standby that streams again is attached. Default false.
    pub auto_failback: bool,
    /// Not more often than this. Default 60 s.
    pub auto_failback_interval: Span,
    /// Whether an attach cuts the clients' sessions. Default: false; true in 4.3 (measured).
    pub failback_cuts_sessions: Option<bool>,

    /// How long online recovery waits for the clients to go, and for the new server to come: in looks 3 s apart, this many seconds by 3, and
    /// one more. Default 90 s (93 s of waiting).
    pub recovery_timeout: Span,
    /// `Off` (0), `Now` (-1), or so long a silence after which online recovery cuts a client off; smaller than `recovery_timeout`. Default
    /// `Off`.
    pub client_idle_limit_in_recovery: IdleLimit,
    /// What the first stage of online recovery does: `BaseBackup` of the main node (streaming: the primary). Default: there is none.
    pub recovery_1st_stage_command: Option<Command>,
    /// What the second stage does (native replication, snapshot isolation): `CopyWal`, what has been written since. Default: there is none.
    pub recovery_2nd_stage_command: Option<Command>,
    /// The port of PCP. Default 9898.
    pub pcp_port: u16,

    /// Default false.
    pub use_watchdog: bool,
    /// Default 9000.
    pub wd_port: u16,
    /// Default 1.
    pub wd_priority: u32,
    /// Default 10 s.
    pub wd_interval: Span,
    /// How a dead pgpool is noticed. Default `heartbeat`.
    pub wd_lifecheck_method: Lifecheck,
    /// Default 9694.
    pub wd_heartbeat_port: u16,
    /// Default 2 s.
    pub wd_heartbeat_keepalive: Span,
    /// Default 30 s.
    pub wd_heartbeat_deadtime: Span,
    /// Rounds in a row without an answer before a pgpool is dead (`query`). Default 3.
    pub wd_life_point: u32,
    /// What is asked (`query`). Default "SELECT 1".
    pub wd_lifecheck_query: String,
    /// The database of that session. Default "template1".
    pub wd_lifecheck_dbname: String,
    /// Its user. Without one the lifecheck by queries never begins. Default: empty.
    pub wd_lifecheck_user: String,
    /// Its password; every server takes it. Default: empty.
    pub wd_lifecheck_password: String,
    /// Hosts that are pinged: if none answers, this pgpool ends. Default: none.
    pub trusted_servers: Vec<String>,
    /// The virtual address. Default: none.
    pub delegate_ip: Option<Cidr>,
    /// Default true: "pinging the address" is part of taking it.
    pub wd_ping_vip: bool,
    /// Default true.
    pub failover_when_quorum_exists: bool,
    /// Default true.
    pub failover_require_consensus: bool,
    /// Default false.
    pub allow_multiple_failover_requests_from_node: bool,
    /// Default false (since 4.1).
    pub enable_consensus_with_half_votes: bool,
    /// Default false.
    pub wd_remove_shutdown_nodes: bool,
    /// 0 s: never. Default 0 s.
    pub wd_lost_node_removal_timeout: Span,
    /// 0 s: never. Default 0 s.
    pub wd_no_show_node_removal_timeout: Span,

    /// Process time from the start of the parent to its open port. Default 20ms to 60ms (estimate).
    pub startup_time: SpanRange,
    /// Process time of a fork. Default 500us to 2ms (estimate).
    pub fork_time: SpanRange,
    /// CPU time that a child needs for a statement on its way to a server and back. Default 60us (measured: 60us to 120us of latency).
    pub cpu_per_statement: Span,
    /// More of it for a statement of the extended protocol (`-M prepared`). Default 180us (measured: 0.21 of direct throughput).
    pub cpu_per_prepared: Span,
    /// More of it for a statement whose node is drawn anew. Default 40us (measured: 0.41 against 0.66 of direct throughput).
    pub cpu_per_choice: Span,
    /// CPU time that a child needs to take a client in. Default 300us (measured: 0.6ms for a cached session).
    pub cpu_per_session: Span,
    /// Process time of a command that failover runs, apart from what it waits for. Default 20ms to 100ms (estimate).
    pub command_time: SpanRange,
    /// Process time of an ssh login of a script's. Default 50ms to 200ms (estimate).
    pub ssh_time: SpanRange,
}

impl Default for Pgpool {
    fn default() -> Self {
        let ms = |a, b| SpanRange::new(Span::ms(a), Span::ms(b));
        Pgpool {
            version: Version::default(),
            port: 9999,
            backend_clustering_mode: None,
            replication_mode: None,
            master_slave_mode: None,
            master_slave_sub_mode: None,
            parallel_mode: None,
            dist_def: BTreeMap::new(),
            backends: Vec::new(),
            num_init_children: 32,
            listen_backlog_multiplier: 2,
            accept_queue_plus_one: true,
            child_choice: Choice::default(),
            reserved_connections: 0,
            process_management_mode: Management::default(),
            max_pool: 4,
            connection_cache: true,
            child_life_time: Span::secs(300),
            child_max_connections: 0,
            connection_life_time: Span::ZERO,
            client_idle_limit: Span::ZERO,
            authentication_timeout: Span::secs(60),
            reset_query_list: vec!["ABORT".to_owned(), "DISCARD ALL".to_owned()],
            load_balance_mode: true,
            statement_level_load_balance: false,
            disable_load_balance_on_write: OnWrite::default(),
            dml_adaptive_object_relationship_list: BTreeMap::new(),
            write_function_list: Vec::new(),
            read_only_function_list: Vec::new(),
            primary_routing_query_pattern_list: Vec::new(),
            app_name_redirect_preference_list: Vec::new(),
            database_redirect_preference_list: Vec::new(),
            user_redirect_preference_list: Vec::new(),
            allow_sql_comments: false,
            check_temp_table: true,
            check_unlogged_table: true,
            replicate_select: false,
            insert_lock: true,
            replication_stop_on_mismatch: false,
            failover_if_affected_tuples_mismatch: false,
            sr_check_period: Span::secs(10),
            delay_threshold: Size(0),
            delay_threshold_by_time: Span::ZERO,
            prefer_lower_delay_standby: false,
            detach_false_primary: false,
            health_check_period: Span::ZERO,
            health_check_timeout: Span::secs(20),
            health_check_max_retries: 0,
            health_check_retry_delay: Span::secs(1),
            connect_timeout: Span::secs(10),
            failover_on_backend_error: true,
            failover_on_backend_shutdown: None,
            failover_command: None,
            failback_command: None,
            follow_primary_command: None,
            follow_master_command: None,
            search_primary_node_timeout: Span::secs(300),
            auto_failback: false,
            auto_failback_interval: Span::secs(60),
            failback_cuts_sessions: None,
            recovery_timeout: Span::secs(90),
            client_idle_limit_in_recovery: IdleLimit::default(),
            recovery_1st_stage_command: None,
            recovery_2nd_stage_command: None,
            pcp_port: 9898,
            use_watchdog: false,
            wd_port: 9000,
            wd_priority: 1,
            wd_interval: Span::secs(10),
            wd_lifecheck_method: Lifecheck::default(),
            wd_heartbeat_port: 9694,
            wd_heartbeat_keepalive: Span::secs(2),
            wd_heartbeat_deadtime: Span::secs(30),
            wd_life_point: 3,
            wd_lifecheck_query: "SELECT 1".to_owned(),
            wd_lifecheck_dbname: "template1".to_owned(),
            wd_lifecheck_user: String::new(),
            wd_lifecheck_password: String::new(),
            trusted_servers: Vec::new(),
            delegate_ip: None,
            wd_ping_vip: true,
            failover_when_quorum_exists: true,
            failover_require_consensus: true,
            allow_multiple_failover_requests_from_node: false,
            enable_consensus_with_half_votes: false,
            wd_remove_shutdown_nodes: false,
            wd_lost_node_removal_timeout: Span::ZERO,
            wd_no_show_node_removal_timeout: Span::ZERO,
            startup_time: ms(20, 60),
            fork_time: SpanRange::new(Span::us(500), Span::ms(2)),
            cpu_per_statement: Span::us(60),
            cpu_per_prepared: Span::us(180),
            cpu_per_choice: Span::us(40),
            cpu_per_session: Span::us(300),
            command_time: ms(20, 100),
            ssh_time: ms(50, 200),
        }
    }
}

impl Pgpool {
    /// Who replicates, by today's name or by the old switches.
    pub fn mode(&self) -> Mode {
        if let Some(mode) = self.backend_clustering_mode {
            return mode;
        }
        let on = |s: Option<bool>| s == Some(true);
        if on(self.parallel_mode) {
            Mode::ParallelQuery
        } else if on(self.replication_mode) {
            Mode::NativeReplication
        } else if on(self.master_slave_mode) {
            match self.master_slave_sub_mode.unwrap_or(SubMode::Slony) {
                SubMode::Stream => Mode::StreamingReplication,
                SubMode::Logical => Mode::LogicalReplication,
                SubMode::Slony => Mode::Slony,
            }
        } else if [self.parallel_mode, self.replication_mode, self.master_slave_mode].contains(&Some(false)) {
            Mode::Raw
        } else {
            Mode::StreamingReplication
        }
    }
    /// Whether 57P01 is a reason for a failover.
    pub fn shutdown_fails_over(&self) -> bool {
        self.failover_on_backend_shutdown.unwrap_or(self.version == Version::V43)
    }
    /// `follow_primary_command`, by today's name or by the older one.
    pub fn follow(&self) -> Option<Follow> {
        self.follow_primary_command.or(self.follow_master_command)
    }
    /// Whether its scripts do anything on the database hosts.
    pub fn has_scripts(&self) -> bool {
        let set = |c: Option<Command>| c.is_some();
        self.follow().is_some()
            || set(self.recovery_1st_stage_command)
            || set(self.recovery_2nd_stage_command)
    }
    /// How often online recovery looks whether the clients have gone (`WAIT_RETRY_COUNT` and one more).
    pub fn recovery_looks(&self) -> u32 {
        (self.recovery_timeout.0 / crate::engine::SEC / 3) as u32 + 1
    }
    /// Whether an attach cuts sessions.
    pub fn attach_cuts(&self) -> bool {
        self.failback_cuts_sessions.unwrap_or(self.version == Version::V43)
    }
    /// The length of the accept queue as the kernel counts it: it takes one more than this.
    pub fn backlog(&self) -> u32 {
        /// `net.core.somaxconn` since Linux 5.4, and pgpool's own bound.
        const MOST: u32 = 4096;
        let wanted = u32::from(self.num_init_children).saturating_mul(self.listen_backlog_multiplier);
        wanted.min(MOST).saturating_sub(u32::from(!self.accept_queue_plus_one))
    }
}

/// Which pgpool-II.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 4.3: what was measured (4.3.5).
    V43,
    /// pgpool-II 4.4.
    V44,
    /// pgpool-II 4.5.
    V45,
    /// pgpool-II 4.6.
    V46,
    /// pgpool-II 4.7, what was read.
    #[default]
    V47,
}
const VERSIONS: [(&str, Version); 5] = [
    ("4.3", Version::V43),
    ("4.4", Version::V44),
    ("4.5", Version::V45),
    ("4.6", Version::V46),
    ("4.7", Version::V47),
];
impl std::str::FromStr for Version {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = VERSIONS.iter().find(|v| v.0 == text.trim());
        found
            .map(|v| v.1)
            .ok_or_else(|| format!("`{text}` is not a version that is known: 4.3, 4.4, 4.5, 4.6, 4.7"))
    }
}
impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(VERSIONS.iter().find(|v| v.1 == *self).map_or("4.7", |v| v.0))
    }
}
crate::engine::time::text_serde!(Version, "a version in quotes, such as \"4.7\"");

/// `backend_clustering_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nobody replicates; node 0 serves, node 1 if node 0 is lost, and so on. With `connection_cache` it is what 3.x called
    /// connection pool mode.
    Raw,
    /// pgpool sends each write to all nodes. 3.x: `replication_mode`.
    NativeReplication,
    /// The same with snapshots that agree (needs REPEATABLE READ); since 4.2.
    SnapshotIsolation,
    /// PostgreSQL streams. 3.x: `master_slave_mode` with `stream`.
    #[default]
    StreamingReplication,
    /// PostgreSQL replicates logically.
    LogicalReplication,
    /// Slony-I; until 4.6.
    Slony,
    /// Parallel query: tables are partitioned over the nodes. A museum piece: removed in 3.5.0.
    ParallelQuery,
}
impl Mode {
    /// Whether pgpool itself sends writes to all nodes.
    pub const fn replicates(self) -> bool {
        matches!(self, Mode::NativeReplication | Mode::SnapshotIsolation)
    }
    /// Whether there is a primary, apart from the main node.
    pub const fn has_primary(self) -> bool {
        matches!(self, Mode::StreamingReplication | Mode::LogicalReplication | Mode::Slony)
    }
    /// Whether pgpool looks for the primary (`SL_MODE`). Under Slony-I it takes the main node for it.
    pub const fn searches(self) -> bool {
        matches!(self, Mode::StreamingReplication | Mode::LogicalReplication)
    }
    /// The product's own name.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Raw => "raw",
            Mode::NativeReplication => "native_replication",
            Mode::SnapshotIsolation => "snapshot_isolation",
            Mode::StreamingReplication => "streaming_replication",
            Mode::LogicalReplication => "logical_replication",
            Mode::Slony => "slony",
            Mode::ParallelQuery => "parallel_query",
        }
    }
}

/// `master_slave_sub_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubMode {
    /// PostgreSQL streams.
    Stream,
    /// PostgreSQL replicates logically.
    Logical,
    /// Slony-I replicates.
    Slony,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Its host, by the stack's name.
    pub host: String,
    /// Its port. Default 5432.
    #[serde(default = "postgres_port")]
    pub port: u16,
    /// Its share of the reads, relative to the others; 0: none. Default 1.
    #[serde(default = "one")]
    pub weight: u32,
    /// Whether it may be failed over. Default `ALLOW_TO_FAILOVER`.
    #[serde(default)]
    pub flag: Flag,
}
const fn postgres_port() -> u16 {
    crate::proto::postgres::PORT
}
const fn one() -> u32 {
    1
}

/// `backend_flag`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(non_camel_case_types)] // The product's own names.
pub enum Flag {
    /// It may be degenerated.
    #[default]
    ALLOW_TO_FAILOVER,
    /// A failure is written to the log, and that is all.
    DISALLOW_TO_FAILOVER,
    /// It is the primary, whatever it says.
    ALWAYS_PRIMARY,
}

/// Which idle child accepts.
pub type Choice = crate::node::tcp::Pick;

/// `process_management_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Management {
    /// All children from the start.
    #[default]
    Static,
    /// As many as there is work for (4.4+).
    Dynamic,
}

/// `disable_load_balance_on_write`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnWrite {
    /// Reads are balanced as before.
    Off,
    /// Reads of the same explicit transaction go to the primary.
    #[default]
    Transaction,
    /// So do those of later explicit transactions of the session.
    TransTransaction,
    /// So do all later ones of the session.
    Always,
    /// So do those of tables that were written in the transaction.
    DmlAdaptive,
    /// So do those of tables that any session has written lately (after 4.7.2).
    DmlAdaptiveGlobal,
}

/// What a command of the operator's does, as the usual scripts do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// `failover_command`: `pg_promote` on the new main node (the manual's example).
    Promote,
    /// Nothing but an entry in a log.
    Nothing,
    /// `recovery_1st_stage_command`: a base backup of the main node to the target. In native replication the target is then started as a
    /// standby and catches up, as the script does that 4.7 ships.
    BaseBackup,
    /// `recovery_2nd_stage_command`: the WAL that has been written since, and the end of the target's recovery.
    CopyWal,
}

/// What `follow_primary_command` does with a standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Follow {
    /// Stop, CHECKPOINT on the new primary, `pg_rewind` (or a base backup), start, `pcp_attach_node`.
    Rewind,
    /// The same without the CHECKPOINT: `pg_rewind` then finds nothing to do.
    RewindWithoutCheckpoint,
    /// Stop, a base backup of the new primary, start, `pcp_attach_node`.
    BaseBackup,
}

/// `client_idle_limit_in_recovery`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IdleLimit {
    /// 0: nobody is cut.
    #[default]
    Off,
    /// -1: all clients are cut at once.
    Now,
    /// A client that has been silent for so long.
    After(Span),
}

/// `wd_lifecheck_method`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecheck {
    /// Heartbeats over UDP.
    #[default]
    Heartbeat,
    /// A query through the other pgpool (deprecated).
    Query,
}
