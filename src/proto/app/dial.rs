//! Connecting as libpq and pgJDBC do it: host by host, address by address, until a server will do.
//!
//! A dial is a blocking call: [`Dial::begin`], then [`Dial::poll`] with every input until it is ready.

use super::config::{Attrs, Driver, LoadBalance};
use super::driver::{Found, Health, Shared, shuffle};
use crate::engine::Span;
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, HostId, Input, Tcp, Timer};
use crate::proto::client::process::Outcome;
use crate::proto::dns::stub::Lookup;
use crate::proto::postgres::msg::{Sql, SqlState};
use crate::proto::{Cx, Msg};
use std::task::Poll;

/// A session with a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Session {
    pub(super) conn: ConnId,
    pub(super) to: Endpoint,
    pub(super) target: u8,
    pub(super) server: HostId,
}

#[derive(Clone, Debug, Default)]
enum Phase {
    #[default]
    Idle,
    Resolving(Lookup),
    Connecting(ConnId),
    Starting(ConnId),
}

/// A connection on its way.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    timer: Timer,
    phase: Phase,
    order: Vec<u8>,
    at: usize,
    addresses: Vec<Ip>,
    address: usize,
    /// The second way through the list, for which any server will do.
    second: bool,
    last: Outcome,
}
type Done = Poll<Result<Session, Outcome>>;

impl Dial {
    /// A dial that uses this timer.
    pub(super) fn new(timer: Timer) -> Self {
        Dial {
            timer,
            phase: Phase::Idle,
            order: Vec::new(),
            at: 0,
            addresses: Vec::new(),
            address: 0,
            second: false,
            last: Outcome::NoAddress,
        }
    }
    pub(super) fn begin(&mut self, shared: &mut Shared, ctx: &mut Cx<'_>) -> Done {
        shared.order(&mut self.order, ctx);
        self.addresses.clear();
        (self.at, self.address, self.second, self.last) = (0, 0, false, Outcome::NoAddress);
        self.next_host(shared, ctx)
    }
    /// The connection that it is about.
    pub(super) fn conn(&self) -> Option<ConnId> {
        match self.phase {
            Phase::Connecting(c) | Phase::Starting(c) => Some(c),
            Phase::Idle | Phase::Resolving(_) => None,
        }
    }
    fn target(&self) -> u8 {
        self.order[self.at - 1]
    }
    fn to(&self, shared: &Shared) -> Endpoint {
        shared.endpoint(self.target(), self.addresses[self.address - 1])
    }

    fn next_host(&mut self, shared: &mut Shared, ctx: &mut Cx<'_>) -> Done {
        loop {
            if self.at >= self.order.len() {
                if shared.config.target_session_attrs == Attrs::PreferStandby && !self.second {
                    (self.second, self.at) = (true, 0);
                    continue;
                }
                self.phase = Phase::Idle;
                return Poll::Ready(Err(self.last));
            }
            self.at += 1;
            match shared.find(self.target(), self.timer, ctx) {
                Found::Addresses(list) => {
                    self.take(&list, shared, ctx);
                    return self.next_address(shared, ctx);
                }
                Found::Asking(lookup) => {
                    self.phase = Phase::Resolving(lookup);
                    return Poll::Pending;
                }
                Found::Nothing => self.no_address(shared, ctx),
            }
        }
    }
    fn no_address(&mut self, shared: &mut Shared, ctx: &Cx<'_>) {
        self.last = Outcome::NoAddress;
        shared.report(self.target(), Health::Failed, ctx.now);
    }
    fn take(&mut self, list: &[Ip], shared: &Shared, ctx: &mut Cx<'_>) {
        self.addresses.clear();
        let all = shared.config.driver == Driver::Libpq;
        self.addresses.extend(list.iter().take(if all { usize::MAX } else { 1 }));
        if shared.config.load_balance_hosts == LoadBalance::Random {
            shuffle(&mut self.addresses, ctx);
        }
        self.address = 0;
    }
    fn next_address(&mut self, shared: &mut Shared, ctx: &mut Cx<'_>) -> Done {
        if self.address >= self.addresses.len() {
            return self.next_host(shared, ctx);
        }
        self.address += 1;
        let conn = ctx.connect(self.to(shared), Plane::client, shared.options());
        self.phase = Phase::Connecting(conn);
        self.wait(shared.connect_timeout(), ctx);
        Poll::Pending
    }
    fn wait(&self, span: Span, ctx: &mut Cx<'_>) {
        if span.is_zero() {
            ctx.cancel_timer(self.timer);
        } else {
            ctx.set_timer(self.timer, span);
        }
    }

    /// Takes in an input of the process; `Ready` when there is a session, or none to be had.
    pub(super) fn poll(&mut self, shared: &mut Shared, input: &Input<Msg>, ctx: &mut Cx<'_>) -> Done {
        if let Phase::Resolving(lookup) = &mut self.phase {
            let Poll::Ready(answer) = lookup.poll(&shared.setup.resolv, input, ctx) else {
                return Poll::Pending;
            };
            let name = lookup.name().clone();
            shared.learn(&name, &answer, ctx);
            return match answer {
                Ok(list) => {
                    self.take(&list, shared, ctx);
                    self.next_address(shared, ctx)
                }
                Err(_) => {
                    self.no_address(shared, ctx);
                    self.next_host(shared, ctx)
                }
            };
        }
        let Some(conn) = self.conn() else { return Poll::Pending };
        match input {
            Input::Timer(t) if *t == self.timer => {
                ctx.act(Action::Close(conn));
                self.unreached(Outcome::Timeout, shared, ctx)
            }
            Input::Tcp(c, news) if *c == conn => self.news(conn, news, shared, ctx),
            _ => Poll::Pending,
        }
    }

    fn news(&mut self, conn: ConnId, news: &Tcp<Msg>, shared: &mut Shared, ctx: &mut Cx<'_>) -> Done {
        let starting = matches!(self.phase, Phase::Starting(_));
        match news {
            Tcp::Connected => {
                self.phase = Phase::Starting(conn);
                if shared.config.driver == Driver::PgJdbc {
                    // Its connect time-out is about TCP alone.
                    self.wait(shared.config.statement_timeout, ctx);
                }
                let hello = shared.login().map_or(Sql::Startup { superuser: false }, Sql::Login);
                ctx.act(Action::TcpSend(conn, Msg::Sql(hello)));
                Poll::Pending
            }
            Tcp::Data(Msg::Sql(Sql::Ready(server, in_recovery))) => {
                self.ready(conn, *server, *in_recovery, shared, ctx)
            }
            Tcp::Data(Msg::Sql(Sql::Fatal(state))) => {
                ctx.act(Action::Close(conn));
                self.rejected(Outcome::Error(*state), shared, ctx)
            }
            Tcp::Data(_) | Tcp::Accepted { .. } => Poll::Pending,
            Tcp::Closed => {
                ctx.act(Action::Close(conn));
                self.rejected(Outcome::Closed, shared, ctx)
            }
            Tcp::Reset if starting => self.rejected(Outcome::Reset, shared, ctx),
            Tcp::TimedOut if starting => self.rejected(Outcome::Timeout, shared, ctx),
            Tcp::Reset => self.unreached(Outcome::Reset, shared, ctx),
            Tcp::TimedOut => self.unreached(Outcome::Timeout, shared, ctx),
            Tcp::Unreachable => self.unreached(Outcome::Unreachable, shared, ctx),
        }
    }

    fn ready(
        &mut self,
        conn: ConnId,
        server: HostId,
        in_recovery: bool,
        shared: &mut Shared,
        ctx: &mut Cx<'_>,
    ) -> Done {
        let health = if in_recovery { Health::Standby } else { Health::Primary };
        shared.report(self.target(), health, ctx.now);
        if !self.second && !shared.config.target_session_attrs.allows(in_recovery) {
            ctx.act(Action::Close(conn));
            self.last = Outcome::NoServer;
            return self.next_host(shared, ctx);
        }
        ctx.cancel_timer(self.timer);
        self.phase = Phase::Idle;
        Poll::Ready(Ok(Session { conn, to: self.to(shared), target: self.target(), server }))
    }
    /// An address could not be connected to.
    fn unreached(&mut self, outcome: Outcome, shared: &mut Shared, ctx: &mut Cx<'_>) -> Done {
        self.last = outcome;
        shared.report(self.target(), Health::Failed, ctx.now);
        self.next_address(shared, ctx)
    }
    /// A server was connected to and did not give a session.
    fn rejected(&mut self, outcome: Outcome, shared: &mut Shared, ctx: &mut Cx<'_>) -> Done {
        self.last = outcome;
        shared.report(self.target(), Health::Failed, ctx.now);
        let now = Outcome::Error(SqlState::CannotConnectNow);
        if shared.config.driver == Driver::PgJdbc || outcome == now {
            return self.next_host(shared, ctx);
        }
        // libpq takes any other error for the last word.
        ctx.cancel_timer(self.timer);
        self.phase = Phase::Idle;
        Poll::Ready(Err(outcome))
    }
}
