//! The knobs of an application.

use crate::engine::time::Span;
use crate::proto::dns::name::HostPort;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A program that reads from and writes to a PostgreSQL service: how it finds a server, how long it waits, what it does after an error.
///
/// Every operation is one statement and one transaction. Without a `pool`, each of `sessions` programs keeps its own connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Application {
    /// Where to connect to, tried in this order: `"10.0.0.100:5000"`, or a list, `"db1:5432,db2:5432"`. An address, `localhost`, a host of
    /// the stack (which /etc/hosts knows), or a name that DNS knows. The port is 5432 if none is written.
    pub connect: Connect,
    /// Which library connects: it decides the order of hosts, and how many addresses of a name are tried. Default `Libpq`.
    pub driver: Driver,
    /// Which servers will do. Default `Any`.
    pub target_session_attrs: Attrs,
    /// The order in which hosts are tried. Default `Disable`.
    pub load_balance_hosts: LoadBalance,
    /// An address that has not answered by then is left for the next one; 0 s: the kernel decides (about 127 s). libpq up to 16 makes 2 s
    /// of less, and counts the start of the session too. Default 0 s (pgJDBC's own: 10 s).
    pub connect_timeout: Span,
    /// The program's own patience with a statement (pgJDBC: `socketTimeout`); 0 s: for ever. Default 0 s.
    pub statement_timeout: Span,
    /// What it does then. Default `Disconnect`.
    pub on_statement_timeout: OnTimeout,
    /// `TCP_USER_TIMEOUT`; 0 s: the kernel's `tcp_retries2` decides (about 924.6 s). Default 0 s.
    pub tcp_user_timeout: Span,
    /// `SO_KEEPALIVE`: libpq switches it on, pgJDBC (`tcpKeepAlive`) leaves it off. Default true.
    pub keepalives: bool,
    /// `TCP_KEEPIDLE`. Default 7200 s.
    pub keepalives_idle: Span,
    /// `TCP_KEEPINTVL`. Default 75 s.
    pub keepalives_interval: Span,
    /// `TCP_KEEPCNT`. Default 9.
    pub keepalives_count: u32,
    /// pgJDBC's `hostRecheckSeconds`: so long it remembers which hosts failed or had the wrong role. Default 10 s.
    pub host_recheck: Span,
    /// Whether a name's addresses are remembered inside the program, whatever their TTL. Default `None`.
    pub name_cache: NameCache,
    /// The JVM's `networkaddress.cache.negative.ttl`: so long a failed lookup is remembered (with a `name_cache`). Default 10 s.
    pub negative_ttl: Span,
    /// The DNS servers of resolv.conf, by host or address. Default: the resolver of its own host, or all resolvers of the stack.
    pub nameservers: Vec<HostPort>,
    /// resolv.conf's `options timeout`, whole seconds. Default 5 s.
    pub resolv_timeout: Span,
    /// resolv.conf's `options attempts`. Default 2.
    pub resolv_attempts: u32,
    /// When writes happen: `Every("100ms")` whatever became of those before, or `Pause("60ms")` after the end of the one before.
    /// Default: no writes.
    pub writes: Option<Pace>,
    /// When reads happen, likewise. Default: no reads.
    pub reads: Option<Pace>,
    /// What one operation of `scripts` is: statements of SQL, one after the other in one session, as in `["BEGIN", "SELECT * FROM t",
    /// "COMMIT"]`; the first error ends it. Default: none.
    pub script: Vec<String>,
    /// When scripts are run, likewise. Not together with `writes` and `reads`. Default: never.
    pub scripts: Option<Pace>,
    /// Whether the script is sent by the extended protocol (prepared statements). Default false.
    pub prepared: bool,
    /// Who connects; each new connection takes the next one. Default: one user, `app`.
    pub users: Vec<String>,
    /// The database. Default `app`.
    pub database: String,
    /// `application_name`. Default: empty.
    pub application_name: String,
    /// Bytes of WAL that a write makes. Default 200.
    pub wal_per_write: u32,
    /// The first operation happens so long after the program's start. Default 5 s.
    pub start_after: Span,
    /// Whether the program starts with its host; if not, the fault `Start` starts it. Default true.
    pub autostart: bool,
    /// With `Pause`: so many programs, for writes and for reads each. With `Every`: so many connections stay open between operations.
    /// 1 to 1000. Default 1.
    pub sessions: u16,
    /// With `Every` and without a pool: an operation that finds so many connections busy fails at once. 1 to 1000. Default 100.
    pub max_sessions: u16,
    /// Whether connections are kept for the next operation. Default `Keep`.
    pub connections: Connections,
    /// What becomes of a connection (of a program without a pool) after a statement that failed with an error of the database.
    /// Default `Reconnect`.
    pub after_error: AfterError,
    /// How often an operation that certainly had no effect is tried again. 0 to 1000. Default 0.
    pub retries: u16,
    /// How often an operation is tried again that may have had an effect; a write can so be done twice. 0 to 1000. Default 0.
    pub retries_unknown: u16,
    /// The wait before the first retry; it doubles with each further one. Default 100 ms.
    pub backoff: Span,
    /// The longest wait before a retry. Default 10 s.
    pub backoff_max: Span,
    /// The wait is drawn between 0 s and its value, so that programs do not retry in step. Default false.
    pub backoff_jitter: bool,
    /// A connection pool. Default: none.
    pub pool: Option<Pool>,
}
impl Default for Application {
    fn default() -> Self {
        Application {
            connect: Connect::default(),
            driver: Driver::default(),
            target_session_attrs: Attrs::default(),
            load_balance_hosts: LoadBalance::default(),
            connect_timeout: Span::ZERO,
            statement_timeout: Span::ZERO,
            on_statement_timeout: OnTimeout::default(),
            tcp_user_timeout: Span::ZERO,
            keepalives: true,
            keepalives_idle: Span::secs(7_200),
            keepalives_interval: Span::secs(75),
            keepalives_count: 9,
            host_recheck: Span::secs(10),
            name_cache: NameCache::default(),
            negative_ttl: Span::secs(10),
            nameservers: Vec::new(),
            resolv_timeout: Span::secs(5),
            resolv_attempts: 2,
            writes: None,
            reads: None,
            script: Vec::new(),
            scripts: None,
            prepared: false,
            users: Vec::new(),
            database: "app".to_owned(),
            application_name: String::new(),
            wal_per_write: 200,
            start_after: Span::secs(5),
            autostart: true,
            sessions: 1,
            max_sessions: 100,
            connections: Connections::default(),
            after_error: AfterError::default(),
            retries: 0,
            retries_unknown: 0,
            backoff: Span::ms(100),
            backoff_max: Span::secs(10),
            backoff_jitter: false,
            pool: None,
        }
    }
}

/// A connection pool as HikariCP is: connections are opened one after the other, live for a time, and are tested before use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pool {
    /// `maximumPoolSize`: 1 to 1000. Default 10.
    pub maximum_pool_size: u16,
    /// `minimumIdle`. Default: as `maximum_pool_size`.
    pub minimum_idle: Option<u16>,
    /// `connectionTimeout`: an operation that has no connection by then fails. At least 250 ms. Default 30 s.
    pub connection_timeout: Span,
    /// `maxLifetime`: a connection is replaced at this age, or up to 2.5% earlier; 0 s: never. Default 30 m.
    pub max_lifetime: Span,
    /// `idleTimeout`: a connection above `minimum_idle` is closed when idle for so long; looked at every 30 s. Default 10 m.
    pub idle_timeout: Span,
    /// Whether a connection that was idle for longer than `alive_bypass_window` is tested before use. Default true.
    pub test_on_borrow: bool,
    /// `com.zaxxer.hikari.aliveBypassWindowMs`. Default 500 ms.
    pub alive_bypass_window: Span,
    /// `validationTimeout`: a test that has no answer by then has failed. At least 250 ms. Default 5 s.
    pub validation_timeout: Span,
    /// Which errors end a connection. Default `Hikari`.
    pub evict: Evict,
}
impl Default for Pool {
    fn default() -> Self {
        Pool {
            maximum_pool_size: 10,
            minimum_idle: None,
            connection_timeout: Span::secs(30),
            max_lifetime: Span::secs(1_800),
            idle_timeout: Span::secs(600),
            test_on_borrow: true,
            alive_bypass_window: Span::ms(500),
            validation_timeout: Span::secs(5),
            evict: Evict::default(),
        }
    }
}
impl Pool {
    /// How many idle connections it keeps.
    pub fn idle(&self) -> usize {
        usize::from(self.minimum_idle.unwrap_or(self.maximum_pool_size).min(self.maximum_pool_size))
    }
}

/// When operations happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Pace {
    /// One operation each interval, whatever became of those before.
    Every(Span),
    /// The next operation so long after the end of the one before, however that ended.
    Pause(Span),
}

/// Which library connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Driver {
    /// All addresses of all hosts in order; only "cannot connect now" of a server leads on to the next host.
    #[default]
    Libpq,
    /// One address of each host; it remembers for `host_recheck` which hosts failed or had the wrong role.
    PgJdbc,
}

/// `target_session_attrs`: which servers will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Attrs {
    /// Any server.
    #[default]
    Any,
    /// One that takes writes.
    ReadWrite,
    /// One that does not take writes.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is in recovery.
    Standby,
    /// A standby if there is one, any server otherwise.
    PreferStandby,
}
impl Attrs {
    /// Whether a server will do that is in recovery, or not.
    pub const fn allows(self, in_recovery: bool) -> bool {
        match self {
            Attrs::Any => true,
            Attrs::ReadWrite | Attrs::Primary => !in_recovery,
            Attrs::ReadOnly | Attrs::Standby | Attrs::PreferStandby => in_recovery,
        }
    }
}

/// `load_balance_hosts`: the order in which hosts are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LoadBalance {
    /// As they are written.
    #[default]
    Disable,
    /// A new random order for each connection, of hosts and of the addresses of each host.
    Random,
}

/// Whether connections are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Connections {
    /// For the next operation.
    #[default]
    Keep,
    /// Each operation opens and closes its own.
    PerOperation,
}

/// What a program does with a statement that has run out of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnTimeout {
    /// It shuts the socket; what becomes of the statement it does not know.
    #[default]
    Disconnect,
    /// It asks the server to cancel, and shuts the socket if that has no answer in the same time again.
    Cancel,
}

/// What becomes of a connection after an error of the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AfterError {
    /// It is closed; the next operation connects anew.
    #[default]
    Reconnect,
    /// The next operation uses it again: a session stays with a server that has become read-only.
    Keep,
}

/// Which errors end a connection of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Evict {
    /// Broken connections and the SQLSTATEs 08xxx and 57P01 to 57P03; a read-only server (25006) keeps its connections.
    #[default]
    Hikari,
    /// Every error.
    AnyError,
}

/// What a program remembers of DNS, whatever the TTL says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NameCache {
    /// Nothing: each connection asks (libpq, Go, Python, Node.js).
    #[default]
    None,
    /// 30 s: a JVM without a security manager (`networkaddress.cache.ttl` not set).
    Jvm,
    /// For ever: a JVM with a security manager, or `networkaddress.cache.ttl=-1`.
    JvmForever,
    /// For so long.
    For(Span),
}
impl NameCache {
    /// For how long addresses are kept; `None`: they are not.
    pub const fn positive(self) -> Option<Span> {
        match self {
            NameCache::None => None,
            NameCache::Jvm => Some(Span::secs(30)),
            NameCache::JvmForever => Some(Span::MAX),
            NameCache::For(span) => Some(span),
        }
    }
}

/// A list of places, in one string with commas or as a list of strings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Connect(pub Vec<HostPort>);
impl Serialize for Connect {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let list: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        s.serialize_str(&list.join(","))
    }
}
impl<'de> Deserialize<'de> for Connect {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Places;
        impl<'de> serde::de::Visitor<'de> for Places {
            type Value = Connect;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("places such as \"10.0.0.100:5000\" or \"db1:5432,db2:5432\"")
            }
            fn visit_str<E: serde::de::Error>(self, s: &str) -> Result<Connect, E> {
                let parts = s.split(',').filter(|p| !p.trim().is_empty());
                let list: Result<_, String> = parts.map(str::parse).collect();
                list.map(Connect).map_err(|why| E::custom(format!("`{s}`: {why}")))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Connect, A::Error> {
                let mut list = Vec::new();
                while let Some(place) = seq.next_element()? {
                    list.push(place);
                }
                Ok(Connect(list))
            }
        }
        d.deserialize_any(Places)
    }
}
