//! Patroni's own sessions on PostgreSQL: one for the HA loop, one for the REST interface, and short ones for single questions.
//!
//! `connect_timeout` is 3 s and covers the whole beginning of a session. A session that stands has no timeout that a client enforces: the
//! `statement_timeout` of 2 s is the server's, and a server that does not run does not look at it.

use crate::engine::Span;
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, Input, Tcp, TcpOptions, Timer};
use crate::proto::postgres::msg::{Answer, Sql, SqlState, Statement};
use crate::proto::{Cx, Msg};

/// `connect_timeout` of Patroni's sessions.
pub(super) const CONNECT_TIMEOUT: Span = Span::secs(3);

/// Why a question has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failed {
    /// There is no session: nobody listens, nobody answers in time, or it broke.
    NoSession,
    /// The server rejects sessions just now, or ended this one, with this code.
    Fatal(SqlState),
    /// The statement failed.
    Error(SqlState),
}

/// How far a session is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    None,
    Connecting(ConnId),
    Starting(ConnId),
    Ready(ConnId),
    /// It ended by itself; the next question will notice.
    Stale,
}

/// A session with what was asked on it. Questions carry a number of the asker's.
#[derive(Clone, Debug)]
pub(super) struct Session {
    to: Endpoint,
    timer: Timer,
    stage: Stage,
    next: u32,
    /// Sent, not answered: number on the wire, number of the asker.
    sent: Vec<(u32, u16)>,
    /// Not sent yet.
    queue: Vec<(u16, Statement)>,
    /// Answers that have not been fetched.
    done: Vec<(u16, Result<Answer, Failed>)>,
}
impl Session {
    /// No session yet; `timer` watches over its beginning.
    pub(super) fn new(to: Endpoint, timer: Timer) -> Self {
        Session {
            to,
            timer,
            stage: Stage::None,
            next: 0,
            sent: Vec::new(),
            queue: Vec::new(),
            done: Vec::new(),
        }
    }
    /// Whether it stands.
    pub(super) fn ready(&self) -> bool {
        matches!(self.stage, Stage::Ready(_))
    }
    /// Asks something, opening the session if there is none.
    pub(super) fn ask(&mut self, tag: u16, statement: Statement, ctx: &mut Cx<'_>) {
        match self.stage {
            Stage::Ready(conn) => self.send(conn, tag, statement, ctx),
            Stage::Stale => {
                self.stage = Stage::None;
                self.done.push((tag, Err(Failed::NoSession)));
            }
            Stage::None => {
                let conn = ctx.connect(self.to, Plane::client, TcpOptions::default());
                ctx.set_timer(self.timer, CONNECT_TIMEOUT);
                self.stage = Stage::Connecting(conn);
                self.queue.push((tag, statement));
            }
            Stage::Connecting(_) | Stage::Starting(_) => self.queue.push((tag, statement)),
        }
    }
    fn send(&mut self, conn: ConnId, tag: u16, statement: Statement, ctx: &mut Cx<'_>) {
        self.next = self.next.wrapping_add(1);
        self.sent.push((self.next, tag));
        ctx.act(Action::TcpSend(conn, Msg::Sql(Sql::Query(self.next, statement))));
    }
    /// Closes it; what was asked is not answered any more.
    pub(super) fn close(&mut self, ctx: &mut Cx<'_>) {
        if let Stage::Connecting(c) | Stage::Starting(c) | Stage::Ready(c) = self.stage {
            ctx.act(Action::Close(c));
            ctx.cancel_timer(self.timer);
        }
        self.stage = Stage::None;
        self.fail(Failed::NoSession);
    }
    fn fail(&mut self, why: Failed) {
        let tags = self.sent.drain(..).map(|s| s.1).chain(self.queue.drain(..).map(|q| q.0));
        self.done.extend(tags.map(|t| (t, Err(why))));
    }
    /// The next answer that has come.
    pub(super) fn answer(&mut self) -> Option<(u16, Result<Answer, Failed>)> {
        if self.done.is_empty() { None } else { Some(self.done.remove(0)) }
    }
    /// Takes an input if it is for this session.
    pub(super) fn on(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) -> bool {
        let conn = match self.stage {
            Stage::Connecting(c) | Stage::Starting(c) | Stage::Ready(c) => c,
            Stage::None | Stage::Stale => return false,
        };
        match input {
            Input::Timer(t) if *t == self.timer => {
                ctx.act(Action::Close(conn));
                self.stage = Stage::None;
                self.fail(Failed::NoSession);
                return true;
            }
            Input::Tcp(c, _) if *c == conn => {}
            _ => return false,
        }
        let Input::Tcp(_, news) = input else { return false };
        match news {
            Tcp::Connected => {
                self.stage = Stage::Starting(conn);
                ctx.act(Action::TcpSend(conn, Msg::Sql(Sql::Startup { superuser: true })));
            }
            Tcp::Data(Msg::Sql(Sql::Ready(..))) => {
                ctx.cancel_timer(self.timer);
                self.stage = Stage::Ready(conn);
                for (tag, statement) in std::mem::take(&mut self.queue) {
                    self.send(conn, tag, statement, ctx);
                }
            }
            Tcp::Data(Msg::Sql(Sql::Done(n, answer))) => {
                if let Some(i) = self.sent.iter().position(|s| s.0 == *n) {
                    let (_, tag) = self.sent.remove(i);
                    self.done.push((tag, Ok(answer.clone())));
                }
            }
            Tcp::Data(Msg::Sql(Sql::Error(n, code))) => {
                if let Some(i) = self.sent.iter().position(|s| s.0 == *n) {
                    let (_, tag) = self.sent.remove(i);
                    self.done.push((tag, Err(Failed::Error(*code))));
                }
            }
            Tcp::Data(Msg::Sql(Sql::Fatal(code))) => {
                ctx.act(Action::Close(conn));
                self.over(Failed::Fatal(*code), ctx);
            }
            Tcp::Data(_) | Tcp::Accepted { .. } => {}
            Tcp::Closed => {
                ctx.act(Action::Close(conn));
                self.over(Failed::NoSession, ctx);
            }
            Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => self.over(Failed::NoSession, ctx),
        }
        true
    }
    /// The other side ended it.
    fn over(&mut self, why: Failed, ctx: &mut Cx<'_>) {
        // A program learns of the end of an idle session when it uses it.
        let idle = self.ready() && self.sent.is_empty();
        self.stage = if idle { Stage::Stale } else { Stage::None };
        ctx.cancel_timer(self.timer);
        self.fail(why);
    }
}

/// A single question on a session of its own, or just the beginning of one (`pg_isready`).
#[derive(Clone, Debug)]
pub(super) struct Once {
    conn: ConnId,
    statement: Option<Statement>,
    timer: Timer,
}
impl Once {
    /// Begins it.
    pub(super) fn new(
        to: Endpoint,
        statement: Option<Statement>,
        timeout: Span,
        timer: Timer,
        ctx: &mut Cx<'_>,
    ) -> Self {
        let conn = ctx.connect(to, Plane::client, TcpOptions::default());
        ctx.set_timer(timer, timeout);
        Once { conn, statement, timer }
    }
    /// What comes of it with this input. For a mere beginning the answer says whether the server is in recovery.
    pub(super) fn on(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) -> Option<Result<Answer, Failed>> {
        let result = match input {
            Input::Timer(t) if *t == self.timer => Err(Failed::NoSession),
            Input::Tcp(c, news) if *c == self.conn => match news {
                Tcp::Connected => {
                    ctx.act(Action::TcpSend(self.conn, Msg::Sql(Sql::Startup { superuser: true })));
                    return None;
                }
                Tcp::Data(Msg::Sql(Sql::Ready(_, in_recovery))) => match self.statement.take() {
                    None => Ok(Answer::InRecovery(*in_recovery)),
                    Some(statement) => {
                        // From here on there is no timeout of the client's.
                        ctx.cancel_timer(self.timer);
                        ctx.act(Action::TcpSend(self.conn, Msg::Sql(Sql::Query(1, statement))));
                        return None;
                    }
                },
                Tcp::Data(Msg::Sql(Sql::Done(_, answer))) => Ok(answer.clone()),
                Tcp::Data(Msg::Sql(Sql::Error(_, code))) => Err(Failed::Error(*code)),
                Tcp::Data(Msg::Sql(Sql::Fatal(code))) => Err(Failed::Fatal(*code)),
                Tcp::Data(_) | Tcp::Accepted { .. } => return None,
                Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => Err(Failed::NoSession),
            },
            _ => return None,
        };
        self.drop(ctx);
        Some(result)
    }
    /// Gives it up.
    pub(super) fn drop(&self, ctx: &mut Cx<'_>) {
        ctx.act(Action::Close(self.conn));
        ctx.cancel_timer(self.timer);
    }
}
