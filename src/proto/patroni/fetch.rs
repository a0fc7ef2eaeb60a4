//! Asking other members over REST, all at once: `GET /patroni` in the race, `POST /failsafe` when the DCS is gone.
//!
//! Every request has 2 s for its connection and 2 s for its answer; a failed one is tried again at once as often as its kind allows. As
//! many run at a time as the pool has threads, and the asker waits for all of them.

use super::rest::{Body, Failsafe};
use crate::engine::Span;
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, Input, Tcp, TcpOptions, Timer};
use crate::proto::http::{Http, Method};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// `timeout=2` of the requests to members: for the connection, and for the answer.
pub(super) const PEER_TIMEOUT: Span = Span::secs(2);

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ask {
    /// `GET /patroni`, not tried again.
    Status,
    /// `POST /failsafe`, tried again once.
    Failsafe(Arc<Failsafe>),
}

/// What a member said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Said {
    /// The member.
    pub(super) name: Arc<str>,
    /// Status and body; nothing: it is not reachable.
    pub(super) answer: Option<(u16, Option<Arc<Body>>)>,
}

#[derive(Clone, Debug)]
struct Request {
    name: Arc<str>,
    to: Endpoint,
    conn: Option<ConnId>,
    tries: u32,
    over: bool,
    answer: Option<(u16, Option<Arc<Body>>)>,
}

/// Requests on their way.
#[derive(Clone, Debug)]
pub(super) struct Fetches {
    ask: Ask,
    list: Vec<Request>,
    width: usize,
    /// The timer of the first request; the others follow.
    timer: u16,
}
impl Fetches {
    /// Asks these members, `width` at a time, with timers from `timer` on.
    pub(super) fn new(
        ask: Ask,
        members: &[(Arc<str>, Ip)],
        width: u32,
        timer: u16,
        ctx: &mut Cx<'_>,
    ) -> Self {
        let tries = if ask == Ask::Status { 1 } else { 2 };
        let request = |(name, ip): &(Arc<str>, Ip)| Request {
            name: name.clone(),
            to: Endpoint::new(*ip, super::REST_PORT),
            conn: None,
            tries,
            over: false,
            answer: None,
        };
        let list = members.iter().map(request).collect();
        let mut f = Fetches { ask, list, width: width as usize, timer };
        f.start(ctx);
        f
    }
    /// Begins as many as may run.
    fn start(&mut self, ctx: &mut Cx<'_>) {
        let mut running = self.list.iter().filter(|r| r.conn.is_some()).count();
        for (i, r) in self.list.iter_mut().enumerate() {
            if running >= self.width {
                break;
            }
            if r.conn.is_none() && !r.over {
                r.conn = Some(ctx.connect(r.to, Plane::rest, TcpOptions::default()));
                ctx.set_timer(Timer(self.timer + i as u16), PEER_TIMEOUT);
                running += 1;
            }
        }
    }
    /// What all said, once all are over.
    pub(super) fn on(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) -> Option<Vec<Said>> {
        let hit = match input {
            Input::Timer(t) => (0..self.list.len())
                .find(|i| Timer(self.timer + *i as u16) == *t && self.list[*i].conn.is_some()),
            Input::Tcp(c, _) => self.list.iter().position(|r| r.conn == Some(*c)),
            _ => None,
        };
        let i = hit?;
        let conn = self.list[i].conn?;
        let timer = Timer(self.timer + i as u16);
        let answer = match input {
            Input::Tcp(_, Tcp::Connected) => {
                let request = match &self.ask {
                    Ask::Status => Http::Request(Method::GET, "/patroni".into(), None),
                    Ask::Failsafe(f) => {
                        let body = Arc::new(Body::Failsafe((**f).clone()));
                        Http::Request(Method::POST, "/failsafe".into(), Some(body))
                    }
                };
                ctx.act(Action::TcpSend(conn, Msg::Http(request)));
                ctx.set_timer(timer, PEER_TIMEOUT);
                return None;
            }
            Input::Tcp(_, Tcp::Data(Msg::Http(Http::Response(status, body)))) => {
                Some((*status, body.clone()))
            }
            Input::Tcp(_, Tcp::Data(_)) => return None,
            _ => None,
        };
        ctx.act(Action::Close(conn));
        ctx.cancel_timer(timer);
        let r = &mut self.list[i];
        r.conn = None;
        r.tries -= 1;
        r.over = answer.is_some() || r.tries == 0;
        r.answer = answer;
        self.start(ctx);
        self.finished()
    }
    /// What all said, once all are over.
    pub(super) fn finished(&mut self) -> Option<Vec<Said>> {
        if self.list.iter().any(|r| !r.over) {
            return None;
        }
        Some(self.list.drain(..).map(|r| Said { name: r.name, answer: r.answer }).collect())
    }
    /// Gives them up.
    pub(super) fn drop(&self, ctx: &mut Cx<'_>) {
        for (i, r) in self.list.iter().enumerate() {
            if let Some(conn) = r.conn {
                ctx.act(Action::Close(conn));
                ctx.cancel_timer(Timer(self.timer + i as u16));
            }
        }
    }
}
