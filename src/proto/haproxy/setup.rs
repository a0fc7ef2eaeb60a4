//! From the sections of a configuration to what HAProxy works with: every value filled in, every name looked up that can be.

use super::config::{
    Address, Balance, Codes, HAProxy, Httpchk, Mode, Observe, OnError, OnMarkedDown, OnMarkedUp, Section,
    Server,
};
use crate::engine::{Span, SpanRange};
use crate::net::addr::{Endpoint, Ip};
use std::ops::Range;
use std::sync::Arc;

/// The most that a kernel's accept queue holds (`net.core.somaxconn` since Linux 5.4).
const SOMAXCONN: u32 = 4096;

/// What clients connect to.
#[derive(Clone, Debug)]
pub struct Front {
    /// The section's name.
    pub name: Arc<str>,
    /// The port.
    pub port: u16,
    /// Where clients go.
    pub back: Option<usize>,
    /// What it understands.
    pub mode: Mode,
    /// Sessions; 0: no limit of its own.
    pub maxconn: u32,
    /// Length of the accept queue.
    pub backlog: u32,
    /// `timeout client`.
    pub timeout_client: Option<Span>,
}

/// A group of servers.
#[derive(Clone, Debug)]
pub struct Back {
    /// The section's name.
    pub name: Arc<str>,
    /// How a server is chosen.
    pub balance: Balance,
    /// `timeout connect`.
    pub timeout_connect: Option<Span>,
    /// `timeout server`.
    pub timeout_server: Option<Span>,
    /// `timeout check`.
    pub timeout_check: Option<Span>,
    /// `timeout queue`.
    pub timeout_queue: Option<Span>,
    /// `retries`.
    pub retries: u32,
    /// `option redispatch`; 0: off.
    pub redispatch: i32,
    /// `option allbackups`.
    pub allbackups: bool,
    /// `option abortonclose`.
    pub abortonclose: bool,
    /// `option httpchk`, and the codes that are good.
    pub httpchk: Option<(Httpchk, Arc<str>, Codes)>,
    /// Its servers among all.
    pub servers: Range<usize>,
}

/// A server.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // They are the knobs of `config::Server`.
pub struct Target {
    pub name: Arc<str>,
    pub back: usize,
    pub host: Arc<str>,
    /// Its address, if that is known before the start.
    pub ip: Option<Ip>,
    pub port: u16,
    pub weight: u32,
    pub backup: bool,
    pub check: bool,
    pub check_port: u16,
    pub inter: Span,
    pub fastinter: Option<Span>,
    pub downinter: Option<Span>,
    pub fall: u32,
    pub rise: u32,
    pub maxconn: u32,
    pub maxqueue: u32,
    pub on_marked_down: OnMarkedDown,
    pub on_marked_up: OnMarkedUp,
    pub observe: Observe,
    pub error_limit: u32,
    pub on_error: OnError,
    pub slowstart: Span,
    pub agent: Option<(u16, Span)>,
}

/// A configuration with everything filled in.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Sessions of the process; 0: no limit.
    pub maxconn: u32,
    /// `spread-checks`, percent.
    pub spread: u32,
    /// `max-spread-checks`.
    pub max_spread: Option<Span>,
    /// What clients connect to.
    pub fronts: Vec<Front>,
    /// Groups of servers.
    pub backs: Vec<Back>,
    /// All servers, group by group.
    pub servers: Vec<Target>,
    /// Process time of the start.
    pub startup_time: SpanRange,
    /// Who is asked for the addresses of names, in turn (`resolv.conf`).
    pub nameservers: Vec<Endpoint>,
}

/// The configuration with the sections that `patroni` stands for, over these hosts.
pub fn expand(config: &HAProxy, patroni: &[&str]) -> HAProxy {
    let mut c = config.clone();
    if !c.patroni {
        return c;
    }
    c.maxconn = c.maxconn.or(Some(100));
    let d = &mut c.defaults;
    d.retries = d.retries.or(Some(2));
    d.timeout_client = d.timeout_client.or(Some(Span::secs(30 * 60)));
    d.timeout_connect = d.timeout_connect.or(Some(Span::secs(4)));
    d.timeout_server = d.timeout_server.or(Some(Span::secs(30 * 60)));
    d.timeout_check = d.timeout_check.or(Some(Span::secs(5)));
    let ours = Server {
        inter: Some(Span::secs(3)),
        fall: Some(3),
        rise: Some(2),
        on_marked_down: Some(OnMarkedDown::ShutdownSessions),
        maxconn: Some(100),
        check: Some(true),
        port: Some(8008),
        ..Server::default()
    };
    let server = |host: &&str| Server {
        address: Some(Address { host: (*host).to_owned(), port: 5432 }),
        ..Server::default()
    };
    for (name, bind, path) in [("primary", 5000, "/primary"), ("replicas", 5001, "/replica")] {
        let section = Section {
            bind: Some(bind),
            option_httpchk: Some(Httpchk { path: path.to_owned(), ..Httpchk::default() }),
            http_check_expect_status: Some("200".parse().unwrap_or_default()),
            default_server: over(&c.defaults.default_server, &ours),
            server: patroni.iter().map(server).collect(),
            ..Section::default()
        };
        c.listen.entry(name.to_owned()).or_insert(section);
    }
    c
}

macro_rules! first {
    ($a:ident, $b:ident, $($field:ident),*) => { Server { $($field: $a.$field.clone().or_else(|| $b.$field.clone())),* } };
}
/// What the first says, or else the second.
fn over(a: &Server, b: &Server) -> Server {
    first!(
        a,
        b,
        name,
        address,
        weight,
        backup,
        check,
        port,
        inter,
        fastinter,
        downinter,
        fall,
        rise,
        maxconn,
        maxqueue,
        on_marked_down,
        on_marked_up,
        observe,
        error_limit,
        on_error,
        slowstart,
        agent_check,
        agent_port,
        agent_inter
    )
}

/// A limit that is set; 0 s is none.
fn limit(own: Option<Span>, default: Option<Span>) -> Option<Span> {
    own.or(default).filter(|t| !t.is_zero())
}

impl Setup {
    /// What a configuration that has been expanded means; `nameservers` are asked for names, `known` gives the address of a host.
    pub fn new(
        c: &HAProxy,
        nameservers: impl IntoIterator<Item = Endpoint>,
        known: &dyn Fn(&str) -> Option<Ip>,
    ) -> Setup {
        let mut s = Setup {
            maxconn: c.maxconn.unwrap_or(0),
            spread: c.spread_checks,
            max_spread: c.max_spread_checks,
            fronts: Vec::new(),
            backs: Vec::new(),
            servers: Vec::new(),
            startup_time: c.startup_time,
            nameservers: nameservers.into_iter().collect(),
        };
        for (name, section) in c.listen.iter().chain(&c.backend) {
            s.back(name, section, &c.defaults, known);
        }
        let listens = c.listen.iter().map(|(name, section)| (name, section, Some(name)));
        let frontends = c
            .frontend
            .iter()
            .map(|(n, f)| (n, f, f.default_backend.as_ref().or(c.defaults.default_backend.as_ref())));
        for (name, f, goes) in listens.chain(frontends) {
            let d = &c.defaults;
            let maxconn = f.maxconn.or(d.maxconn).unwrap_or(0);
            let most = if maxconn == 0 { s.maxconn } else { maxconn };
            let backlog = f.backlog.or(d.backlog).unwrap_or(most);
            s.fronts.push(Front {
                name: name.as_str().into(),
                port: f.bind.unwrap_or(0),
                back: goes.and_then(|g| s.backs.iter().position(|b| *b.name == **g)),
                mode: f.mode.or(d.mode).unwrap_or_default(),
                maxconn,
                backlog: if backlog == 0 { SOMAXCONN } else { backlog.min(SOMAXCONN) },
                timeout_client: limit(f.timeout_client, d.timeout_client),
            });
        }
        s
    }
    fn back(&mut self, name: &str, b: &Section, d: &Section, known: &dyn Fn(&str) -> Option<Ip>) {
        let first = self.servers.len();
        let common = over(&b.default_server, &d.default_server);
        let agreed = |s: &Server| over(s, &common);
        for s in b.server.iter().map(agreed) {
            let Some(address) = s.address else { continue };
            let inter = s.inter.unwrap_or(Span::secs(2));
            self.servers.push(Target {
                name: s.name.as_deref().unwrap_or(&address.host).into(),
                back: self.backs.len(),
                ip: address.host.parse().ok().or_else(|| known(&address.host)),
                host: address.host.into(),
                port: address.port,
                weight: s.weight.unwrap_or(1),
                backup: s.backup.unwrap_or(false),
                check: s.check.unwrap_or(false),
                check_port: s.port.unwrap_or(address.port),
                inter,
                fastinter: s.fastinter,
                downinter: s.downinter,
                fall: s.fall.unwrap_or(3),
                rise: s.rise.unwrap_or(2),
                maxconn: s.maxconn.unwrap_or(0),
                maxqueue: s.maxqueue.unwrap_or(0),
                on_marked_down: s.on_marked_down.unwrap_or_default(),
                on_marked_up: s.on_marked_up.unwrap_or_default(),
                observe: s.observe.unwrap_or_default(),
                error_limit: s.error_limit.unwrap_or(10),
                on_error: s.on_error.unwrap_or_default(),
                slowstart: s.slowstart.unwrap_or(Span::ZERO),
                agent: s
                    .agent_port
                    .filter(|_| s.agent_check == Some(true))
                    .map(|port| (port, s.agent_inter.unwrap_or(Span::secs(2)))),
            });
        }
        let timeout_connect = limit(b.timeout_connect, d.timeout_connect);
        let httpchk = b.option_httpchk.as_ref().or(d.option_httpchk.as_ref());
        let codes = b.http_check_expect_status.as_ref().or(d.http_check_expect_status.as_ref());
        self.backs.push(Back {
            name: name.into(),
            balance: b.balance.or(d.balance).unwrap_or_default(),
            timeout_connect,
            timeout_server: limit(b.timeout_server, d.timeout_server),
            timeout_check: limit(b.timeout_check, d.timeout_check),
            timeout_queue: limit(b.timeout_queue, d.timeout_queue).or(timeout_connect),
            retries: b.retries.or(d.retries).unwrap_or(3),
            redispatch: b.option_redispatch.or(d.option_redispatch).unwrap_or(0),
            allbackups: b.option_allbackups.or(d.option_allbackups).unwrap_or(false),
            abortonclose: b.option_abortonclose.or(d.option_abortonclose).unwrap_or(false),
            httpchk: httpchk.map(|h| (h.clone(), h.path.as_str().into(), codes.cloned().unwrap_or_default())),
            servers: first..self.servers.len(),
        });
    }
}
