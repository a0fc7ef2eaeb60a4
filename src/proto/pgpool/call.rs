//! A question on a connection of its own, with a deadline: what a script's `psql`, `pg_isready`, `ssh` or `pg_basebackup` is to the process that
//! runs it.

use super::msg::{Job, Msg as Say};
use crate::engine::Span;
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, Input, Tcp, TcpOptions, Timer};
use crate::proto::postgres::PORT;
use crate::proto::postgres::data::{Identity, Status};
use crate::proto::postgres::msg::{Answer, Sql, Statement, Wal};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// The port of ssh.
pub(super) const SSH: u16 = 22;

/// ssh and libpq have keepalives on, with the kernel's times: a script waits two hours for a host that vanished.
const KEEPALIVE: (Span, Span, u32) = (Span::secs(7_200), Span::secs(75), 9);

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ask {
    /// `pg_isready`: does a session begin?
    Ready,
    /// A statement of a superuser's.
    Sql(Statement),
    /// `IDENTIFY_SYSTEM`, and the control file: what `pg_rewind` and `pg_basebackup` begin with.
    Identify,
    /// A job on that host.
    Job(Job),
}
/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Got {
    /// The server lets sessions in.
    Ready,
    /// The statement was done.
    Done,
    /// How it stands.
    Status(Arc<Status>),
    /// Who the server is.
    Identity(Arc<Identity>),
    /// The job was done.
    Job,
    /// Nobody answered, or the answer was an error.
    Failed,
}

/// A question on its way.
#[derive(Clone, Debug)]
pub(super) struct Call {
    conn: ConnId,
    ask: Option<Ask>,
    timer: Timer,
}
impl Call {
    /// Asks; `timeout` covers the connection and, for a server, the beginning of the session.
    pub(super) fn new(ip: Ip, ask: Ask, timeout: Span, timer: Timer, ctx: &mut Cx<'_>) -> Call {
        let port = if matches!(ask, Ask::Job(_)) { SSH } else { PORT };
        let plane = if matches!(ask, Ask::Identify) { Plane::replication } else { Plane::client };
        let options = TcpOptions { keepalive: Some(KEEPALIVE), ..TcpOptions::default() };
        let conn = ctx.connect(Endpoint::new(ip, port), plane, options);
        ctx.set_timer(timer, timeout);
        Call { conn, ask: Some(ask), timer }
    }
    /// What comes of it with this input.
    pub(super) fn on(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) -> Option<Got> {
        let got = match input {
            Input::Timer(t) if *t == self.timer => Got::Failed,
            Input::Tcp(c, news) if *c == self.conn => self.news(news, ctx)?,
            _ => return None,
        };
        self.drop(ctx);
        Some(got)
    }
    fn news(&mut self, news: &Tcp<Msg>, ctx: &mut Cx<'_>) -> Option<Got> {
        Some(match news {
            Tcp::Connected => {
                let first = match &self.ask {
                    Some(Ask::Ready | Ask::Sql(_)) => Msg::Sql(Sql::Startup { superuser: true }),
                    Some(Ask::Identify) => Msg::Wal(Box::new(Wal::Identify)),
                    Some(Ask::Job(job)) => {
                        // From here on there is no limit but that of the script's own programs.
                        ctx.cancel_timer(self.timer);
                        Msg::Pgpool(Box::new(Say::Ssh(job.clone())))
                    }
                    None => return None,
                };
                ctx.act(Action::TcpSend(self.conn, first));
                return None;
            }
            Tcp::Data(Msg::Sql(Sql::Ready(..))) => {
                // From here on there is no timeout of the client's.
                ctx.cancel_timer(self.timer);
                match self.ask.take() {
                    Some(Ask::Sql(statement)) => {
                        ctx.act(Action::TcpSend(self.conn, Msg::Sql(Sql::Query(1, statement))));
                        return None;
                    }
                    _ => Got::Ready,
                }
            }
            Tcp::Data(Msg::Sql(Sql::Done(_, Answer::Status(s)))) => Got::Status(s.clone()),
            Tcp::Data(Msg::Sql(Sql::Done(..))) => Got::Done,
            Tcp::Data(Msg::Pgpool(m)) => match **m {
                Say::SshDone(true) => Got::Job,
                Say::SshDone(false) => Got::Failed,
                _ => return None,
            },
            Tcp::Data(Msg::Wal(w)) => match &**w {
                Wal::Identity(identity) => Got::Identity(identity.clone()),
                _ => Got::Failed,
            },
            Tcp::Accepted { .. } => return None,
            Tcp::Data(_) | Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => Got::Failed,
        })
    }
    /// Gives it up.
    pub(super) fn drop(&self, ctx: &mut Cx<'_>) {
        ctx.act(Action::Close(self.conn));
        ctx.cancel_timer(self.timer);
    }
}
