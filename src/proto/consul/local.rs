//! What every agent does for its own host, server or not: gossip, the services of the host and their checks, DNS.
//!
//! A service's check is an HTTP GET every interval; any 2xx passes. A change of its result goes to the servers at once, and again after a
//! while if they could not be reached (anti-entropy). A service that is registered again keeps the result of its check.
//!
//! Sources: `agent/agent.go` (`addServiceInternal`, `reapServicesInternal`), `agent/checks/check.go`, `agent/local/state.go`, `agent/dns.go`.
//! **Not modelled:** other kinds of checks, warnings, weights, prepared queries, SRV records.

use super::msg::{Msg, NodeId, Reply, Request, Service, Text};
use super::note::Note;
use super::serf::{self, Serf};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, Ctx, Input, Tcp, TcpOptions, Timer};
use crate::proto::dns::msg::Dns;
use crate::proto::http::{Http, Method};
use std::sync::Arc;

/// The port of the DNS interface.
pub const DNS_PORT: u16 = 8600;
/// The default time-out of an HTTP check.
const CHECK_TIMEOUT: Span = Span::secs(10);
/// `checkReapInterval`, and the least `deregister_critical_service_after`.
const REAP_INTERVAL: Span = Span::secs(30);
const REAP_LEAST: Span = Span::secs(60);
/// `retryFailIntv`: a change that did not get to the servers is brought to them again.
const SYNC_AGAIN: Span = Span::secs(15);

/// The first timer of these; servers and agents use lower ones.
pub(super) const FIRST_TIMER: u16 = 32;
const T_CHECK: Timer = Timer(FIRST_TIMER + serf::TIMERS);
/// The first timer after these.
pub(super) const END_TIMER: u16 = FIRST_TIMER + serf::TIMERS + 1;

/// An agent's place in the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Which of `nodes` it is.
    pub me: NodeId,
    /// All agents, servers or not: names and addresses. None: no gossip, no DNS.
    pub nodes: Arc<[(Arc<str>, Ip)]>,
    /// Those of them that are servers.
    pub servers: Vec<NodeId>,
    /// `session_ttl_min`. Default 10 s.
    pub session_ttl_min: Span,
}
impl Place {
    /// An agent that knows no other.
    pub fn alone() -> Self {
        let session_ttl_min = super::state::SESSION_TTL_MIN;
        Place { me: NodeId(0), nodes: Arc::new([]), servers: Vec::new(), session_ttl_min }
    }
}

/// A service and its check.
#[derive(Clone, Debug)]
struct Checked {
    service: Arc<Service>,
    passing: bool,
    /// Since when.
    since: Time,
    /// The next check, or the end of the one under way.
    next: Time,
    conn: Option<ConnId>,
    /// Its state is to be brought to the servers then, or under this number it is.
    sync: Sync,
    /// It is to be taken out.
    gone: bool,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sync {
    Done,
    At(Time),
    Asked(u32),
}

/// A question of DNS that a server is asked for.
#[derive(Clone, Debug)]
struct Lookup {
    tag: u32,
    asker: Endpoint,
    number: u16,
}

/// The part of an agent that is about its own host.
#[derive(Clone, Debug)]
pub struct Local {
    place: Place,
    serf: Serf,
    services: Vec<Checked>,
    lookups: Vec<Lookup>,
    next: u32,
    reap: Time,
}

/// What the servers are to be asked for, under the number for it.
pub(super) type Wants = Vec<(u32, Request)>;

impl Local {
    pub(super) fn new(place: Place) -> Self {
        let serf = Serf::new(place.me, place.nodes.clone(), place.servers.clone(), FIRST_TIMER);
        Local { place, serf, services: Vec::new(), lookups: Vec::new(), next: 0, reap: Time::ZERO }
    }
    /// What an end leaves of it: services are on disk, the results of their checks are not.
    pub(super) fn reset(&mut self) {
        self.serf.reset();
        self.lookups.clear();
        self.services.retain(|s| !s.gone);
        for s in &mut self.services {
            (s.passing, s.since, s.conn, s.sync) = (false, Time::ZERO, None, Sync::At(Time::ZERO));
        }
    }
    /// Its gossip.
    pub fn serf(&self) -> &Serf {
        &self.serf
    }
    pub(super) fn serf_mut(&mut self) -> &mut Serf {
        &mut self.serf
    }
    /// Its place.
    pub fn place(&self) -> &Place {
        &self.place
    }
    /// The node that sessions of its clients belong to.
    pub(super) fn node(&self) -> Option<NodeId> {
        (!self.place.nodes.is_empty()).then_some(self.place.me)
    }
    /// Its services, and whether their checks pass.
    pub fn services(&self) -> impl Iterator<Item = (&Service, bool)> {
        self.services.iter().map(|s| (&*s.service, s.passing))
    }

    pub(super) fn start<M: From<Msg>, N: From<Note>, F>(&mut self, ctx: &mut Ctx<'_, M, N, F>) {
        if self.place.nodes.is_empty() {
            return;
        }
        ctx.act(Action::Bind(DNS_PORT));
        self.serf.start(ctx);
        self.reap = ctx.now + REAP_INTERVAL;
        for s in &mut self.services {
            (s.since, s.sync) = (ctx.now, Sync::At(ctx.now));
            s.next = ctx.now + Span(ctx.below(s.service.interval.0.max(1)));
        }
        self.arm(ctx);
    }
    /// Handles an input: `None` if it is not for this part, otherwise what the servers are to be asked for.
    pub(super) fn on<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        input: &Input<Msg>,
        ctx: &mut Ctx<'_, M, N, F>,
    ) -> Option<Wants> {
        match input {
            Input::Timer(T_CHECK) => Some(self.due(ctx)),
            Input::Timer(t) if t.0 >= FIRST_TIMER && t.0 < END_TIMER => {
                self.serf.timed(*t, ctx);
                Some(Vec::new())
            }
            Input::Packet { msg: Msg::Gossip(from, gossip), .. } => {
                self.serf.heard(*from, gossip.clone(), ctx);
                Some(Vec::new())
            }
            Input::Packet { from, msg: Msg::Dns(Dns::Query(number, name)), .. } => {
                let tag = self.number();
                self.lookups.push(Lookup { tag, asker: *from, number: *number });
                Some(vec![(tag, Request::Lookup(name.clone()))])
            }
            Input::Tcp(conn, news) => {
                let i = self.services.iter().position(|s| s.conn == Some(*conn))?;
                self.checked(i, news, ctx);
                Some(self.due(ctx))
            }
            _ => None,
        }
    }
    fn number(&mut self) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// Something that the agent answers itself; `None`: it is for the servers.
    pub(super) fn asked<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        request: &Request,
        ctx: &mut Ctx<'_, M, N, F>,
    ) -> Option<(Reply, Wants)> {
        match request {
            Request::AgentSelf => {
                let session_ttl_min = self.place.session_ttl_min;
                Some((Reply::Agent { session_ttl_min }, Vec::new()))
            }
            Request::ServiceRegister(service) => {
                let next = ctx.now + Span(ctx.below(service.interval.0.max(1)));
                let sync = Sync::At(ctx.now);
                match self.services.iter_mut().find(|s| s.service.id == service.id) {
                    Some(s) => {
                        if let Some(conn) = s.conn.take() {
                            ctx.act(Action::Close(conn));
                        }
                        s.service = service.clone();
                        (s.next, s.sync, s.gone) = (next, sync, false);
                    }
                    None => {
                        let service = service.clone();
                        let (passing, since, conn, gone) = (false, ctx.now, None, false);
                        self.services.push(Checked { service, passing, since, next, conn, sync, gone });
                    }
                }
                Some((Reply::Done(true), self.due(ctx)))
            }
            Request::ServiceDeregister(id) => {
                let found = self.services.iter().position(|s| s.service.id == *id);
                if let Some(i) = found {
                    self.take_out(i, ctx);
                }
                Some((Reply::Done(found.is_some()), self.due(ctx)))
            }
            _ => None,
        }
    }
    fn take_out<M: From<Msg>, N: From<Note>, F>(&mut self, i: usize, ctx: &mut Ctx<'_, M, N, F>) {
        let s = &mut self.services[i];
        if let Some(conn) = s.conn.take() {
            ctx.act(Action::Close(conn));
        }
        (s.gone, s.sync) = (true, Sync::At(ctx.now));
    }

    /// Does what is due: checks, syncs, the reaping of what has been critical for long.
    fn due<M: From<Msg>, N: From<Note>, F>(&mut self, ctx: &mut Ctx<'_, M, N, F>) -> Wants {
        let now = ctx.now;
        if self.reap <= now {
            while self.reap <= now {
                self.reap += REAP_INTERVAL;
            }
            for i in 0..self.services.len() {
                let s = &self.services[i];
                let limit = s.service.deregister_after.max(REAP_LEAST);
                if !s.gone && !s.passing && now.since(s.since) > limit {
                    ctx.note(Note::Reaped { service: s.service.id.clone(), since: s.since, limit }.into());
                    self.take_out(i, ctx);
                }
            }
        }
        for s in self.services.iter_mut().filter(|s| !s.gone && s.next <= now) {
            match s.conn.take() {
                // No answer in time.
                Some(conn) => {
                    ctx.act(Action::Close(conn));
                    s.next = now + s.service.interval;
                    judged(s, None, ctx);
                }
                None => {
                    let options = TcpOptions::default();
                    s.conn = Some(ctx.connect(s.service.check.0, Plane::rest, options));
                    s.next = now + CHECK_TIMEOUT;
                }
            }
        }
        let mut wants = Vec::new();
        for i in 0..self.services.len() {
            if matches!(self.services[i].sync, Sync::At(at) if at <= now) {
                let tag = self.number();
                let s = &mut self.services[i];
                s.sync = Sync::Asked(tag);
                let state = (!s.gone).then(|| (s.service.clone(), s.passing));
                wants.push((tag, Request::Catalog(self.place.me, s.service.id.clone(), state)));
            }
        }
        self.arm(ctx);
        wants
    }
    fn arm<M: From<Msg>, N: From<Note>, F>(&self, ctx: &mut Ctx<'_, M, N, F>) {
        let live = self.services.iter().filter(|s| !s.gone);
        let checks = live.clone().map(|s| s.next);
        let syncs =
            self.services.iter().filter_map(|s| if let Sync::At(at) = s.sync { Some(at) } else { None });
        let reap = live.clone().any(|s| !s.passing).then_some(self.reap);
        if let Some(at) = checks.chain(syncs).chain(reap).min() {
            ctx.set_timer(T_CHECK, at.since(ctx.now));
        }
    }
    fn checked<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        i: usize,
        news: &Tcp<Msg>,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        let s = &mut self.services[i];
        let Some(conn) = s.conn else { return };
        let status = match news {
            Tcp::Connected => {
                let get = Http::Request(Method::GET, s.service.check.1.clone(), None);
                ctx.act(Action::TcpSend(conn, Msg::Http(get).into()));
                return;
            }
            Tcp::Data(Msg::Http(Http::Response(status, _))) => Some(*status),
            Tcp::Data(_) | Tcp::Accepted { .. } => return,
            Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => None,
        };
        if status.is_some() || *news == Tcp::Closed {
            ctx.act(Action::Close(conn));
        }
        s.conn = None;
        s.next = ctx.now + s.service.interval;
        judged(s, status, ctx);
    }

    /// The servers' answer to something wanted.
    pub(super) fn answered<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        tag: u32,
        reply: &Reply,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        if let Some(i) = self.lookups.iter().position(|l| l.tag == tag) {
            let l = self.lookups.swap_remove(i);
            let answer = match reply {
                Reply::Addresses(all) => {
                    // In an order that is drawn for every answer.
                    let mut all = all.to_vec();
                    for i in (1..all.len()).rev() {
                        all.swap(i, ctx.below(i as u64 + 1) as usize);
                    }
                    Dns::Answer(l.number, all.into(), Span::ZERO)
                }
                _ => Dns::Failure(l.number),
            };
            let from = Endpoint::new(Ip::NONE, DNS_PORT);
            let msg = Msg::Dns(answer);
            ctx.act(Action::Send { from, to: l.asker, net: None, plane: Plane::dns, msg: msg.into() });
            return;
        }
        if let Some(i) = self.services.iter().position(|s| s.sync == Sync::Asked(tag)) {
            let s = &mut self.services[i];
            if !matches!(reply, Reply::Done(_)) {
                s.sync = Sync::At(ctx.now + SYNC_AGAIN);
            } else if s.gone {
                self.services.remove(i);
            } else {
                s.sync = Sync::Done;
            }
            self.arm(ctx);
        }
    }
}

/// A check has ended.
fn judged<M: From<Msg>, N: From<Note>, F>(s: &mut Checked, status: Option<u16>, ctx: &mut Ctx<'_, M, N, F>) {
    let passing = status.is_some_and(|n| (200..300).contains(&n));
    if passing != s.passing {
        (s.passing, s.since, s.sync) = (passing, ctx.now, Sync::At(ctx.now));
        let (service, path) = (s.service.name.clone(), s.service.check.1.clone());
        ctx.note(Note::Check { service, path, passing, status }.into());
    }
}

/// The labels of a name below `.consul`: a tag (if any) and the service. `None`: not the name of a service.
pub(super) fn service_of(name: &str) -> Option<(Option<Text>, Text)> {
    let name = name.trim_end_matches('.').to_lowercase();
    let rest = name.strip_suffix(".consul")?;
    let (labels, _) = rest.split_once(".service").filter(|r| r.1.is_empty() || r.1.starts_with('.'))?;
    Some(match labels.rsplit_once('.') {
        Some((tag, service)) => (Some(tag.into()), service.into()),
        None => (None, labels.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services() {
        let of = |n| service_of(n).map(|(t, s)| (t.unwrap_or_default().to_string(), s.to_string()));
        assert_eq!(of("primary.demo.service.consul"), Some(("primary".into(), "demo".into())));
        assert_eq!(of("Demo.service.dc1.consul."), Some((String::new(), "demo".into())));
        assert_eq!(of("db1.node.consul"), None);
        assert_eq!(of("demo.example.org"), None);
    }
}
