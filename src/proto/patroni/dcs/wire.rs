//! How the etcd3 client reaches the members: several endpoints, each with its time, the list of members refreshed when all have failed.
//!
//! Source: Patroni 4.1.5, `dcs/etcd.py` (class `AbstractEtcdClientWithFailover`, `StaleEtcdNodeGuard`), urllib3 (a POST whose answer does not
//! come is not repeated, a connection that does not come is). The pool of connections is modelled as one idle connection an endpoint.

use super::Cause;
use super::retry::Retry;
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, Input, Tcp, TcpOptions, Timer};
use crate::proto::etcd::msg::{self, Error, Reply, Request};
use crate::proto::{Cx, Msg};
use std::task::Poll;

/// No endpoint gets less.
const LEAST: Span = Span::secs(1);
/// The list of members is asked for again after so many times the ttl.
const MACHINES_TTL: u64 = 10;

/// What the threads of a client share.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    endpoints: Vec<Endpoint>,
    /// The order of Python's set of them, which a process keeps.
    order: Vec<u8>,
    /// `_machines_cache`, in an order that is drawn whenever it is loaded.
    machines: Vec<u8>,
    base: u8,
    /// `_update_machines_cache`: all members failed, the list is to be loaded before anything else.
    update: bool,
    updated: Time,
    /// `_raft_term`: the highest term that was seen.
    term: u32,
    idle: Vec<Option<ConnId>>,
    tag: u32,
    /// `retry_timeout`, `ttl` and `loop_wait`.
    pub(super) timing: super::Timing,
    /// `_restart_watcher` was called.
    pub(super) restart: bool,
}

/// What each endpoint gets: for the connection, for everything, and how many connections are tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Share {
    connect: Span,
    total: Span,
    tries: u32,
}
/// `_calculate_timeouts`: how many nodes to try, and what each gets. `None`: not even one.
fn shares(nodes: usize, time: Span) -> Option<(usize, Share)> {
    let mut most = 4 - nodes.min(3) as u64;
    for n in (1..=nodes as u64).rev() {
        let each = Span(time.0 / n);
        if each >= LEAST {
            let mut tries = 1;
            while tries < most && each.0 / (tries + 1) >= LEAST.0 {
                tries += 1;
            }
            let total = Span(each.0 / tries);
            let connect = Span(total.0 / 2).max(LEAST);
            return Some((n as usize, Share { connect, total, tries: tries as u32 }));
        }
        most = 1;
    }
    None
}

impl Wire {
    pub(super) fn new(endpoints: &[Endpoint]) -> Self {
        Wire {
            endpoints: endpoints.to_vec(),
            order: (0..endpoints.len() as u8).collect(),
            machines: Vec::new(),
            base: 0,
            update: true,
            updated: Time::ZERO,
            term: 0,
            idle: vec![None; endpoints.len()],
            tag: 0,
            timing: super::Timing::default(),
            restart: false,
        }
    }
    /// The process starts: the hash of its strings decides the order of sets.
    pub(super) fn start(&mut self, ctx: &mut Cx<'_>) {
        shuffle(&mut self.order, ctx);
        self.base = self.order.first().copied().unwrap_or(0);
    }
    /// The member that the watch is asked of.
    pub(super) fn base(&self) -> Option<Endpoint> {
        self.endpoints.get(self.base as usize).copied()
    }
    fn set_base(&mut self, base: u8) {
        self.base = base;
        self.restart = true;
    }
    /// `machines_cache`: the base first.
    fn list(&self) -> Vec<u8> {
        let has = self.machines.contains(&self.base);
        let rest = self.machines.iter().copied().filter(|m| !has || *m != self.base);
        has.then_some(self.base).into_iter().chain(rest).collect()
    }
    /// `_check_cluster_raft_term`: whether an answer of this term may be believed.
    pub(super) fn fresh(&mut self, term: u32) -> bool {
        let fresh = term >= self.term;
        self.term = self.term.max(term);
        fresh
    }
    /// Options of every connection: `enable_keepalive(ttl, loop_wait + retry_timeout)`.
    pub(super) fn options(&self) -> TcpOptions {
        let t = &self.timing;
        let idle = t.loop_wait + t.retry_timeout;
        let interval = Span(t.ttl.0.saturating_sub(idle.0) / 3 / LEAST.0 * LEAST.0).max(LEAST);
        TcpOptions { user_timeout: t.ttl, keepalive: Some((idle, interval, 3)) }
    }
    pub(super) fn tag(&mut self) -> u32 {
        self.tag = self.tag.wrapping_add(1);
        self.tag
    }
    /// `http.clear()`.
    fn clear(&mut self, ctx: &mut Cx<'_>) {
        for conn in self.idle.iter_mut().filter_map(Option::take) {
            ctx.act(Action::Close(conn));
        }
    }
    /// An idle connection came to its end.
    pub(super) fn idle_ended(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) {
        let Input::Tcp(conn, news) = input else { return };
        if let Some(slot) = self.idle.iter_mut().find(|s| **s == Some(*conn))
            && !matches!(news, Tcp::Data(_))
        {
            *slot = None;
            if *news == Tcp::Closed {
                ctx.act(Action::Close(*conn));
            }
        }
    }
}

/// Whether this timer ran out.
pub(super) fn fired(input: &Input<Msg>, timer: Timer) -> bool {
    matches!(input, Input::Timer(t) if *t == timer)
}
fn shuffle(list: &mut [u8], ctx: &mut Cx<'_>) {
    for i in (1..list.len()).rev() {
        list.swap(i, ctx.below(i as u64 + 1) as usize);
    }
}

/// The term in the header of an answer, where it has one.
pub(super) fn term(reply: &Reply) -> Option<u32> {
    match reply {
        Reply::Range(_, _, term)
        | Reply::Txn(_, _, term)
        | Reply::Granted(_, _, term)
        | Reply::Members(_, term)
        | Reply::Changed(_, _, term) => Some(*term),
        Reply::KeptAlive(_) | Reply::Done | Reply::Failed(_) => None,
    }
}

/// One request on its way to one endpoint.
#[derive(Clone, Debug)]
struct Exchange {
    to: u8,
    conn: ConnId,
    tag: u32,
    connected: bool,
    share: Share,
    begun: Time,
    tries: u32,
}
impl Exchange {
    fn new(to: u8, share: Share, request: &Request, timer: Timer, wire: &mut Wire, ctx: &mut Cx<'_>) -> Self {
        let tag = wire.tag();
        let idle = wire.idle.get_mut(to as usize).and_then(Option::take);
        let mut x =
            Exchange { to, conn: ConnId(0), tag, connected: idle.is_some(), share, begun: ctx.now, tries: 1 };
        match idle {
            Some(conn) => {
                x.conn = conn;
                x.send(request, ctx);
                ctx.set_timer(timer, share.total);
            }
            None => x.dial(timer, wire, ctx),
        }
        x
    }
    fn dial(&mut self, timer: Timer, wire: &Wire, ctx: &mut Cx<'_>) {
        let to = wire.endpoints.get(self.to as usize).copied().unwrap_or_default();
        self.begun = ctx.now;
        self.conn = ctx.connect(to, Plane::dcs, wire.options());
        ctx.set_timer(timer, self.share.connect.min(self.share.total));
    }
    fn send(&self, request: &Request, ctx: &mut Cx<'_>) {
        let msg = Msg::Etcd(Box::new(msg::Msg::Request(self.tag, request.clone())));
        ctx.act(Action::TcpSend(self.conn, msg));
    }
    fn poll(
        &mut self,
        input: &Input<Msg>,
        request: &Request,
        timer: Timer,
        wire: &mut Wire,
        ctx: &mut Cx<'_>,
    ) -> Poll<Result<Reply, Cause>> {
        match input {
            Input::Timer(t) if *t == timer => {
                ctx.act(Action::Close(self.conn));
                self.failed(Cause::TimedOut, timer, wire, ctx)
            }
            Input::Tcp(conn, news) if *conn == self.conn => match news {
                Tcp::Connected => {
                    self.connected = true;
                    self.send(request, ctx);
                    let left = self.share.total.saturating_sub(ctx.now.since(self.begun));
                    ctx.set_timer(timer, left);
                    Poll::Pending
                }
                Tcp::Data(Msg::Etcd(m)) => match &**m {
                    msg::Msg::Reply(tag, reply) if *tag == self.tag => {
                        ctx.cancel_timer(timer);
                        if let Some(slot) = wire.idle.get_mut(self.to as usize) {
                            *slot = Some(self.conn);
                        }
                        Poll::Ready(Ok(reply.clone()))
                    }
                    _ => Poll::Pending,
                },
                Tcp::Data(_) | Tcp::Accepted { .. } => Poll::Pending,
                Tcp::Closed => {
                    ctx.act(Action::Close(self.conn));
                    self.failed(Cause::Refused, timer, wire, ctx)
                }
                Tcp::Reset => self.failed(Cause::Refused, timer, wire, ctx),
                Tcp::TimedOut => self.failed(Cause::TimedOut, timer, wire, ctx),
                Tcp::Unreachable => self.failed(Cause::Unreachable, timer, wire, ctx),
            },
            _ => Poll::Pending,
        }
    }
    fn failed(
        &mut self,
        cause: Cause,
        timer: Timer,
        wire: &Wire,
        ctx: &mut Cx<'_>,
    ) -> Poll<Result<Reply, Cause>> {
        if !self.connected && self.tries < self.share.tries {
            self.tries += 1;
            self.dial(timer, wire, ctx);
            return Poll::Pending;
        }
        ctx.cancel_timer(timer);
        Poll::Ready(Err(cause))
    }
    fn abort(&self, timer: Timer, ctx: &mut Cx<'_>) {
        ctx.act(Action::Close(self.conn));
        ctx.cancel_timer(timer);
    }
}

/// How a request ended that has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fail {
    /// `EtcdConnectionFailed`, or the deadline of the retries.
    Connection(Cause),
    /// Another error: the call returns false.
    Other(Cause),
    /// "requested lease not found".
    LeaseNotFound,
}

/// Asking for the list of members.
#[derive(Clone, Debug)]
struct Listing {
    list: Vec<u8>,
    at: usize,
    share: Share,
    exchange: Exchange,
    /// What comes after it.
    then: Then,
}
#[derive(Clone, Debug)]
enum Then {
    /// `_load_machines_cache` before the request.
    First,
    /// `_refresh_machines_cache`: the list is old.
    Old,
    /// All members failed.
    Failed(Cause),
    /// Another member than the base answered.
    Answered(Box<Reply>),
    /// Nothing: the list alone was wanted.
    Nothing,
}
#[derive(Clone, Debug)]
enum Stage {
    List(Box<Listing>),
    Try(Exchange),
    /// Between two rounds over the members.
    Sleep,
    /// `Retry` sleeps before the whole call is made again.
    Again,
}

/// `api_execute`: one call over all members.
#[derive(Clone, Debug)]
pub(super) struct Rpc {
    request: Option<Request>,
    pub(super) retry: Option<Retry>,
    list: Vec<u8>,
    at: usize,
    share: Share,
    some_failed: bool,
    stage: Stage,
    timer: Timer,
}
pub(super) type Outcome = Result<Reply, Fail>;

impl Rpc {
    /// Begins a call; without a request only the list of members is loaded.
    pub(super) fn begin(
        request: Option<Request>,
        retry: Option<Retry>,
        timer: Timer,
        wire: &mut Wire,
        ctx: &mut Cx<'_>,
    ) -> (Rpc, Poll<Outcome>) {
        let share = Share { connect: LEAST, total: LEAST, tries: 1 };
        let mut rpc = Rpc {
            request,
            retry,
            list: Vec::new(),
            at: 0,
            share,
            some_failed: false,
            stage: Stage::Sleep,
            timer,
        };
        let state = rpc.start(wire, ctx);
        (rpc, state)
    }
    fn start(&mut self, wire: &mut Wire, ctx: &mut Cx<'_>) -> Poll<Outcome> {
        if self.request.is_none() {
            return self.look_up(Then::Nothing, wire, ctx);
        }
        if wire.update {
            return self.look_up(Then::First, wire, ctx);
        }
        if ctx.now.since(wire.updated) > wire.timing.ttl.times(MACHINES_TTL) {
            return self.look_up(Then::Old, wire, ctx);
        }
        self.first_round(wire, ctx)
    }
    /// The timers and connections of a call that nobody waits for any more.
    pub(super) fn abort(&self, ctx: &mut Cx<'_>) {
        match &self.stage {
            Stage::List(l) => l.exchange.abort(self.timer, ctx),
            Stage::Try(x) => x.abort(self.timer, ctx),
            Stage::Sleep | Stage::Again => ctx.cancel_timer(self.timer),
        }
    }

    fn look_up(&mut self, then: Then, wire: &mut Wire, ctx: &mut Cx<'_>) -> Poll<Outcome> {
        if matches!(then, Then::First | Then::Failed(_) | Then::Nothing) {
            wire.update = true;
        }
        let list = wire.order.clone();
        let Some((_, share)) = shares(list.len(), wire.timing.retry_timeout) else {
            return Poll::Ready(Err(Fail::Connection(Cause::Unreachable)));
        };
        let exchange = Exchange::new(list[0], share, &Request::MemberList, self.timer, wire, ctx);
        self.stage = Stage::List(Box::new(Listing { list, at: 0, share, exchange, then }));
        Poll::Pending
    }
    fn listed(
        &mut self,
        mut l: Box<Listing>,
        reply: Result<Reply, Cause>,
        wire: &mut Wire,
        ctx: &mut Cx<'_>,
    ) -> Poll<Outcome> {
        let ok = match &reply {
            Ok(Reply::Members(_, term)) => wire.fresh(*term),
            _ => false,
        };
        if !ok {
            wire.clear(ctx);
            l.at += 1;
            if let Some(to) = l.list.get(l.at) {
                l.exchange = Exchange::new(*to, l.share, &Request::MemberList, self.timer, wire, ctx);
                self.stage = Stage::List(l);
                return Poll::Pending;
            }
        } else {
            let mut machines: Vec<u8> = wire.order.clone();
            shuffle(&mut machines, ctx);
            wire.machines = machines;
            if !wire.machines.contains(&wire.base) {
                wire.set_base(wire.machines[0]);
            }
            wire.updated = ctx.now;
            wire.update &= !matches!(l.then, Then::First | Then::Failed(_) | Then::Nothing);
        }
        let cause = reply.err().unwrap_or(Cause::Server);
        match l.then {
            Then::First if !ok => Poll::Ready(Err(Fail::Connection(cause))),
            Then::First | Then::Old => self.first_round(wire, ctx),
            Then::Failed(cause) => self.again(cause, wire, ctx),
            Then::Answered(reply) => self.answered(*reply, wire, ctx),
            Then::Nothing if ok => Poll::Ready(Ok(Reply::Done)),
            Then::Nothing => Poll::Ready(Err(Fail::Connection(cause))),
        }
    }

    fn first_round(&mut self, wire: &mut Wire, ctx: &mut Cx<'_>) -> Poll<Outcome> {
        self.list = wire.list();
        match shares(self.list.len(), wire.timing.retry_timeout) {
            Some((_, share)) => {
                self.share = share;
                self.round(wire, ctx)
            }
            None => Poll::Ready(Err(Fail::Connection(Cause::Unreachable))),
        }
    }
    fn round(&mut self, wire: &mut Wire, ctx: &mut Cx<'_>) -> Poll<Outcome> {
        (self.at, self.some_failed) = (0, false);
        self.attempt(wire, ctx);
        Poll::Pending
    }
    fn attempt(&mut self, wire: &mut Wire, ctx: &mut Cx<'_>) {
        if let (Some(request), Some(to)) = (&self.request, self.list.get(self.at)) {
            self.stage = Stage::Try(Exchange::new(*to, self.share, request, self.timer, wire, ctx));
        }
    }
    /// A member did not answer as it should.
    fn next(&mut self, cause: Cause, wire: &mut Wire, ctx: &mut Cx<'_>) -> Poll<Outcome> {
        wire.clear(ctx);
        let next = self.list.get(self.at + 1).copied();
        if self.retry.is_none() {
            match next {
                _ if self.list.len() == 1 => wire.set_base(wire.base),
                Some(next) => wire.set_base(next),
                None => {}
            }
            return Poll::Ready(Err(Fail::Other(cause)));
        }
        self.some_failed = true;
        self.at += 1;
        if next.is_some() {
            self.attempt(wire, ctx);
            return Poll::Pending;
        }
        self.look_up(Then::Failed(cause), wire, ctx)
    }
    /// All members failed: another round, as far as time is left.
    fn again(&mut self, cause: Cause, wire: &mut Wire, ctx: &mut Cx<'_>) -> Poll<Outcome> {
        let Some(retry) = &mut self.retry else { return Poll::Ready(Err(Fail::Other(cause))) };
        let sleep = retry.sleep_time(|n| ctx.below(n));
        let left = retry.stop().since(ctx.now + sleep);
        let Some((nodes, share)) = shares(self.list.len(), left) else {
            wire.update = true;
            wire.set_base(wire.base);
            return Poll::Ready(Err(Fail::Connection(cause)));
        };
        retry.back_off();
        self.list.truncate(nodes);
        self.share = share;
        self.stage = Stage::Sleep;
        ctx.set_timer(self.timer, sleep);
        Poll::Pending
    }
    fn answered(&mut self, reply: Reply, wire: &mut Wire, ctx: &mut Cx<'_>) -> Poll<Outcome> {
        if term(&reply).is_some_and(|t| !wire.fresh(t)) {
            return self.next(Cause::Server, wire, ctx);
        }
        match reply {
            // "etcdserver: request timed out" counts as no answer.
            Reply::Failed(Error::TimedOut) => self.next(Cause::Server, wire, ctx),
            Reply::Failed(Error::DeadlineExceeded) => {
                let sleep = self.retry.as_mut().map(|r| r.failed(ctx.now, |n| ctx.below(n)));
                match sleep {
                    Some(Some(sleep)) => {
                        self.stage = Stage::Again;
                        ctx.set_timer(self.timer, sleep);
                        Poll::Pending
                    }
                    Some(None) => Poll::Ready(Err(Fail::Connection(Cause::Server))),
                    None => Poll::Ready(Err(Fail::Other(Cause::Server))),
                }
            }
            Reply::Failed(Error::LeaseNotFound) => Poll::Ready(Err(Fail::LeaseNotFound)),
            Reply::Failed(_) => Poll::Ready(Err(Fail::Other(Cause::Server))),
            reply => Poll::Ready(Ok(reply)),
        }
    }

    /// Handles an input.
    pub(super) fn poll(&mut self, input: &Input<Msg>, wire: &mut Wire, ctx: &mut Cx<'_>) -> Poll<Outcome> {
        match std::mem::replace(&mut self.stage, Stage::Sleep) {
            Stage::List(mut l) => match l.exchange.poll(input, &Request::MemberList, self.timer, wire, ctx) {
                Poll::Ready(reply) => self.listed(l, reply, wire, ctx),
                Poll::Pending => {
                    self.stage = Stage::List(l);
                    Poll::Pending
                }
            },
            Stage::Try(mut x) => {
                let Some(request) = &self.request else { return Poll::Pending };
                match x.poll(input, request, self.timer, wire, ctx) {
                    Poll::Ready(Ok(reply)) if self.some_failed => {
                        wire.set_base(x.to);
                        self.look_up(Then::Answered(Box::new(reply)), wire, ctx)
                    }
                    Poll::Ready(Ok(reply)) => self.answered(reply, wire, ctx),
                    Poll::Ready(Err(cause)) => self.next(cause, wire, ctx),
                    Poll::Pending => {
                        self.stage = Stage::Try(x);
                        Poll::Pending
                    }
                }
            }
            Stage::Sleep if fired(input, self.timer) => self.round(wire, ctx),
            Stage::Again if fired(input, self.timer) => self.start(wire, ctx),
            stage => {
                self.stage = stage;
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_share_the_time() {
        let all =
            |n| shares(n, Span::secs(10)).map(|(k, s)| (k, s.connect.as_ms(), s.total.as_ms(), s.tries));
        assert_eq!(all(3), Some((3, 1666, 3333, 1)));
        assert_eq!(all(1), Some((1, 1666, 3333, 3)));
        assert_eq!(all(2), Some((2, 1250, 2500, 2)));
        let left = |ms| shares(3, Span::ms(ms)).map(|(k, s)| (k, s.connect.as_ms(), s.total.as_ms()));
        assert_eq!(left(3_000), Some((3, 1000, 1000)));
        assert_eq!(left(2_999), Some((2, 1000, 1499)));
        assert_eq!(left(1_999), Some((1, 1000, 1999)));
        assert_eq!(left(999), None);
    }
}
