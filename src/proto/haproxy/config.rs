//! The knobs of HAProxy, under its own names with `_` for `-` and for the blanks of a keyword.

use crate::engine::time::{Span, SpanRange, text_serde};
use crate::proto::http::Method;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// HAProxy 2.6. Without a `listen` or `frontend` section and without `patroni` it is a plain service: it answers every request on its
/// port with its host's name, which is all that a keepalived drill needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HAProxy {
    /// Of the plain service: the port, TCP and UDP. Default 80.
    pub bind: u16,
    /// Of the plain service: how long a request takes. Default 200 us.
    pub service_time: SpanRange,
    /// Of the plain service: length of the accept queue (`backlog`). Default 4096.
    pub backlog: u32,
    /// Process time: from the start to the first accepted connection. Default 0 s.
    pub startup_time: SpanRange,
    /// Sessions of the whole process; further clients wait in the kernel's accept queues. Default: no limit (HAProxy derives one from the
    /// number of files that it may open), with `patroni` 100.
    pub maxconn: Option<u32>,
    /// Every interval between checks is multiplied by a random factor between 1 - x and 1 + x, x in percent, 0 to 50. Default 0.
    pub spread_checks: u32,
    /// The longest time over which the first checks are spread. Default: the smallest interval of the checks.
    pub max_spread_checks: Option<Span>,
    /// Shorthand: the configuration that comes with Patroni, over all hosts of the stack that run Patroni. `listen` sections `primary` on
    /// port 5000 and `replicas` on port 5001 and their `defaults`; what is written beside it goes before. Default false.
    pub patroni: bool,
    /// What sections use that do not say otherwise.
    pub defaults: Section,
    /// Sections that accept clients and have servers, by name.
    pub listen: BTreeMap<String, Section>,
    /// Sections that accept clients, by name.
    pub frontend: BTreeMap<String, Section>,
    /// Sections that have servers, by name.
    pub backend: BTreeMap<String, Section>,
}
impl Default for HAProxy {
    fn default() -> Self {
        HAProxy {
            bind: 80,
            service_time: SpanRange::exactly(Span::us(200)),
            backlog: 4096,
            startup_time: SpanRange::exactly(Span::ZERO),
            maxconn: None,
            spread_checks: 0,
            max_spread_checks: None,
            patroni: false,
            defaults: Section::default(),
            listen: BTreeMap::new(),
            frontend: BTreeMap::new(),
            backend: BTreeMap::new(),
        }
    }
}

/// A `defaults`, `listen`, `frontend` or `backend` section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    /// The port on which clients are accepted, 1 to 65535 (`listen`, `frontend`).
    pub bind: Option<u16>,
    /// Where clients of a `frontend` go. Default: nowhere.
    pub default_backend: Option<String>,
    /// `Tcp` passes everything on; `Http` waits for the first request and answers 503 where `Tcp` only closes. Default `Tcp`.
    pub mode: Option<Mode>,
    /// Sessions of the frontend; further clients wait in the kernel's accept queue. Default 0: that of the whole process.
    pub maxconn: Option<u32>,
    /// Length of the accept queue. Default: `maxconn`; the kernel allows 4096 (`net.core.somaxconn`).
    pub backlog: Option<u32>,
    /// How a server is chosen. Default `Roundrobin`.
    pub balance: Option<Balance>,
    /// How long one try to connect to a server may take. Default: no limit (HAProxy warns).
    pub timeout_connect: Option<Span>,
    /// A session ends when nothing has come from or gone to the client for so long. Default: never (HAProxy warns).
    pub timeout_client: Option<Span>,
    /// A session ends when nothing has come from or gone to the server for so long. Default: never (HAProxy warns).
    pub timeout_server: Option<Span>,
    /// How long a check waits for the answer once it is connected; connecting is then bounded by the smaller one of `timeout_connect` and
    /// `inter`. Default: `inter` bounds the whole check.
    pub timeout_check: Option<Span>,
    /// How long a client waits for a free place on a server. Default: `timeout_connect`.
    pub timeout_queue: Option<Span>,
    /// How often a connection to a server is tried again. Default 3.
    pub retries: Option<u32>,
    /// `option redispatch`: a retry may go to another server; every n-th retry, or with a negative n the n-th before the last (-1: the last).
    /// Default 0: never.
    pub option_redispatch: Option<i32>,
    /// `option allbackups`: without active servers all backup servers are used, not only the first. Default false.
    pub option_allbackups: Option<bool>,
    /// `option abortonclose`: a client that closes while it waits for a server is dropped even if it has sent something. Default false.
    pub option_abortonclose: Option<bool>,
    /// `option httpchk`: checks send this HTTP request, a method and a path; a path alone is asked with OPTIONS. Default: checks only connect.
    pub option_httpchk: Option<Httpchk>,
    /// `http-check expect status`: the status codes that are good, such as "200" or "200-299,401". Default 200-399.
    pub http_check_expect_status: Option<Codes>,
    /// What servers use that do not say otherwise (`default-server`).
    pub default_server: Server,
    /// The servers, in order.
    pub server: Vec<Server>,
}

/// A server, or what servers have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Its name. Default: the host of `address`.
    pub name: Option<String>,
    /// A host, a DNS name or an address, and a port: "db1:5432". A name is looked up once, at the start.
    pub address: Option<Address>,
    /// Share of the sessions, 0 to 256; 0: no new ones. Default 1.
    pub weight: Option<u32>,
    /// Used only when no server that is not backup can be used. Default false.
    pub backup: Option<bool>,
    /// Whether it is checked; a server that is not counts as up. Default false.
    pub check: Option<bool>,
    /// The port of the checks, 1 to 65535. Default: that of `address`.
    pub port: Option<u16>,
    /// From the end of a check to the start of the next. Default 2 s.
    pub inter: Option<Span>,
    /// The same while the server is neither wholly up nor wholly down, and before its first check. Default: `inter`.
    pub fastinter: Option<Span>,
    /// The same while the server is down. Default: `inter`.
    pub downinter: Option<Span>,
    /// Failed checks in a row until the server is down. Default 3.
    pub fall: Option<u32>,
    /// Good checks in a row until the server is up. Default 2.
    pub rise: Option<u32>,
    /// Sessions of the server; further ones wait in its queue. Default 0: no limit.
    pub maxconn: Option<u32>,
    /// Length of that queue; further sessions wait for any server. Default 0: no limit.
    pub maxqueue: Option<u32>,
    /// What happens to the sessions of a server that goes down. Default `Nothing`: they live on.
    pub on_marked_down: Option<OnMarkedDown>,
    /// What happens when the server comes up: the sessions of backup servers may be cut. Default `Nothing`.
    pub on_marked_up: Option<OnMarkedUp>,
    /// Learn from the sessions of clients too: `Layer4` counts connections that fail. Default `Nothing`.
    pub observe: Option<Observe>,
    /// So many errors in a row that `observe` has seen lead to `on_error`. Default 10.
    pub error_limit: Option<u32>,
    /// What `error_limit` errors do. Default `FailCheck`.
    pub on_error: Option<OnError>,
    /// The weight of a server that comes up grows from nothing to its full value over this time. Default 0 s: at once.
    pub slowstart: Option<Span>,
    /// Ask an agent on the server what it should do: a connection on which it says "up", "down", "drain", "maint", "ready" or a weight such
    /// as "50%". Default false.
    pub agent_check: Option<bool>,
    /// The port of the agent, 1 to 65535.
    pub agent_port: Option<u16>,
    /// From the end of a question to the agent to the next. Default 2 s.
    pub agent_inter: Option<Span>,
}

/// What a section understands of what it passes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Bytes of any protocol.
    #[default]
    Tcp,
    /// Requests and answers of HTTP.
    Http,
}

/// How a server is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Balance {
    /// In turn, by weight, smoothly.
    #[default]
    Roundrobin,
    /// In turn, by a fixed table.
    StaticRr,
    /// The one with the fewest sessions.
    Leastconn,
    /// By the client's address.
    Source,
    /// The first that has room.
    First,
}

/// What happens to the sessions of a server that goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnMarkedDown {
    /// They live on.
    #[default]
    Nothing,
    /// They are cut.
    ShutdownSessions,
}

/// What happens to sessions of backup servers when a server comes up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnMarkedUp {
    /// They live on.
    #[default]
    Nothing,
    /// They are cut.
    ShutdownBackupSessions,
}

/// What is learned from the sessions of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Observe {
    /// Sessions teach nothing.
    #[default]
    Nothing,
    /// Whether connections to the server succeed.
    Layer4,
}

/// What too many observed errors do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnError {
    /// The next check comes after `fastinter`.
    Fastinter,
    /// They count as one failed check.
    #[default]
    FailCheck,
    /// They count as all but one of the failed checks that it takes.
    SuddenDeath,
    /// The server is down.
    MarkDown,
}

/// A host (or a name, or an address) and a port: `db1:5432`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The host, name or address.
    pub host: String,
    /// The port.
    pub port: u16,
}
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
impl FromStr for Address {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let (host, port) = s.rsplit_once(':').ok_or("expected a host with a port such as `db1:5432`")?;
        let port = port.parse().map_err(|_| format!("`{port}` is not a port (1 to 65535)"))?;
        if host.is_empty() {
            return Err("expected a host with a port such as `db1:5432`".to_owned());
        }
        Ok(Address { host: host.to_owned(), port })
    }
}
text_serde!(Address, "a host with a port in quotes, such as \"db1:5432\"");

/// The request of an HTTP check.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Httpchk {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: String,
}
impl Default for Httpchk {
    fn default() -> Self {
        Httpchk { method: Method::OPTIONS, path: "/".to_owned() }
    }
}
impl fmt::Display for Httpchk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.method, self.path)
    }
}
impl FromStr for Httpchk {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let mut words = s.split_whitespace();
        let Some(first) = words.next() else { return Ok(Httpchk::default()) };
        if first.starts_with('/') {
            return Ok(Httpchk { path: first.to_owned(), ..Httpchk::default() });
        }
        let method = match first {
            "GET" => Method::GET,
            "HEAD" => Method::HEAD,
            "OPTIONS" => Method::OPTIONS,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            other => return Err(format!("`{other}` is not a method; expected such as `OPTIONS /primary`")),
        };
        let path = words.next().unwrap_or("/");
        if !path.starts_with('/') {
            return Err(format!("`{path}` is not a path: it begins with `/`"));
        }
        Ok(Httpchk { method, path: path.to_owned() })
    }
}
text_serde!(Httpchk, "a method and a path in quotes, such as \"OPTIONS /primary\"");

/// Status codes: single ones and ranges.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Codes(Vec<(u16, u16)>);
impl Codes {
    /// Whether a code is one of them.
    pub fn contains(&self, code: u16) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&code))
    }
}
impl Default for Codes {
    fn default() -> Self {
        Codes(vec![(200, 399)])
    }
}
impl fmt::Display for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (from, to)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            if from == to { write!(f, "{comma}{from}")? } else { write!(f, "{comma}{from}-{to}")? }
        }
        Ok(())
    }
}
impl FromStr for Codes {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let code = |t: &str| {
            let n = t.trim().parse::<u16>().ok().filter(|n| (100..=599).contains(n));
            n.ok_or_else(|| format!("`{t}` is not a status code (100 to 599)"))
        };
        let part = |t: &str| {
            let (from, to) = t.split_once('-').unwrap_or((t, t));
            Ok((code(from)?, code(to)?))
        };
        Ok(Codes(s.split(',').map(part).collect::<Result<_, String>>()?))
    }
}
text_serde!(Codes, "status codes in quotes, such as \"200\" or \"200-299,401\"");
