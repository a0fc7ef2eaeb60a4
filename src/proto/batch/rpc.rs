//! Calls: a question on a connection of its own, tried again while it has time, one host after the other.
//!
//! Source: what a real Slurm 22.05 was measured to do: a node that refuses, drops or hangs costs the caller the same `MessageTimeout`
//! and a second of connection retries; a client of a dead controller gives up after 9 s. **Not modelled:** the tree in which Slurm
//! spreads a message over more than `TreeWidth` (50) nodes, authentication by munge.

use super::msg::{Answer, Ask, Message};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, Input, Tcp, TcpOptions, Timer};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// `TCPTimeout`: a connection that is not open by then is given up.
const CONNECT: Span = Span::secs(2);
/// After all hosts failed, the first one is tried again so much later.
const AGAIN: Span = Span::secs(1);

#[derive(Clone, Copy, Debug)]
enum At {
    Connecting(ConnId),
    Asked(ConnId),
    Waiting,
}

#[derive(Clone, Debug)]
struct Call<T> {
    tag: T,
    to: Arc<[Endpoint]>,
    next: usize,
    ask: Ask,
    at: At,
    deadline: Time,
}

/// The calls of a process. Their timers have numbers that leave a remainder of 7 when divided by 8.
#[derive(Clone, Debug)]
pub(crate) struct Calls<T> {
    open: Vec<Option<Call<T>>>,
}

/// What became of an input.
#[derive(Debug)]
pub(crate) enum Heard<T> {
    /// It was not for a call.
    Other(Input<Msg>),
    /// A call goes on.
    Yes,
    /// A call is over; no answer: nobody gave one in time.
    Done(T, Option<Answer>),
}

impl<T: Clone> Calls<T> {
    pub(crate) const fn new() -> Self {
        Calls { open: Vec::new() }
    }
    /// Whether a call with such a tag is under way.
    pub(crate) fn any(&self, is: impl Fn(&T) -> bool) -> bool {
        self.open.iter().flatten().any(|c| is(&c.tag))
    }
    /// Asks the first of `to` that answers, for at most `limit`.
    pub(crate) fn ask(&mut self, to: Arc<[Endpoint]>, ask: Ask, limit: Span, tag: T, ctx: &mut Cx<'_>) {
        let slot = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
        if slot == self.open.len() {
            self.open.push(None);
        }
        let deadline = ctx.now + limit;
        let at = At::Waiting;
        self.open[slot] = Some(Call { tag, to, next: 0, ask, at, deadline });
        self.dial(slot, ctx);
    }
    fn timer(slot: usize) -> Timer {
        Timer(slot as u16 * 8 + 7)
    }
    fn dial(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(Some(c)) = self.open.get_mut(slot) else { return };
        let to =
            c.to.get(c.next % c.to.len().max(1))
                .copied()
                .unwrap_or(Endpoint::new(crate::net::addr::Ip::NONE, 0));
        c.next += 1;
        c.at = At::Connecting(ctx.connect(to, Plane::batch, TcpOptions::default()));
        ctx.set_timer(Self::timer(slot), CONNECT.min(c.deadline.since(ctx.now)));
    }
    /// An attempt failed: the next host, or a pause when all have failed.
    fn failed(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(Some(c)) = self.open.get_mut(slot) else { return };
        c.at = At::Waiting;
        if c.next % c.to.len().max(1) != 0 {
            self.dial(slot, ctx);
        } else {
            ctx.set_timer(Self::timer(slot), AGAIN.min(c.deadline.since(ctx.now)));
        }
    }
    fn over(&mut self, slot: usize, answer: Option<Answer>, ctx: &mut Cx<'_>) -> Heard<T> {
        ctx.cancel_timer(Self::timer(slot));
        match self.open.get_mut(slot).and_then(Option::take) {
            Some(c) => {
                if let At::Connecting(conn) | At::Asked(conn) = c.at {
                    ctx.act(Action::Close(conn));
                }
                Heard::Done(c.tag, answer)
            }
            None => Heard::Yes,
        }
    }
    /// Looks whether an input is for a call.
    pub(crate) fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) -> Heard<T> {
        match input {
            Input::Timer(Timer(n)) if n % 8 == 7 => {
                let slot = (n / 8) as usize;
                let Some(Some(c)) = self.open.get(slot) else { return Heard::Yes };
                if ctx.now >= c.deadline {
                    return self.over(slot, None, ctx);
                }
                match c.at {
                    At::Waiting => self.dial(slot, ctx),
                    At::Connecting(conn) => {
                        ctx.act(Action::Close(conn));
                        self.failed(slot, ctx);
                    }
                    At::Asked(_) => {}
                }
                Heard::Yes
            }
            Input::Tcp(conn, news) => {
                let mine = |c: &Option<Call<T>>| {
                    c.as_ref().is_some_and(|c| matches!(c.at, At::Connecting(x) | At::Asked(x) if x == conn))
                };
                let Some(slot) = self.open.iter().position(mine) else {
                    return Heard::Other(Input::Tcp(conn, news));
                };
                match news {
                    Tcp::Connected => {
                        if let Some(c) = &mut self.open[slot] {
                            c.at = At::Asked(conn);
                            let message = Message::Ask(c.ask.clone());
                            ctx.act(Action::TcpSend(conn, Msg::Batch(Box::new(message))));
                            ctx.set_timer(Self::timer(slot), c.deadline.since(ctx.now));
                        }
                        Heard::Yes
                    }
                    Tcp::Data(Msg::Batch(m)) => match *m {
                        Message::Answer(Answer::Standby) => {
                            ctx.act(Action::Close(conn));
                            self.failed(slot, ctx);
                            Heard::Yes
                        }
                        Message::Answer(answer) => self.over(slot, Some(answer), ctx),
                        _ => Heard::Yes,
                    },
                    Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => {
                        if news == Tcp::Closed {
                            ctx.act(Action::Close(conn));
                        }
                        self.failed(slot, ctx);
                        Heard::Yes
                    }
                    Tcp::Data(_) | Tcp::Accepted { .. } => Heard::Yes,
                }
            }
            other => Heard::Other(other),
        }
    }
}

/// Answers on a connection.
pub(crate) fn answer(conn: ConnId, answer: Answer, ctx: &mut Cx<'_>) {
    ctx.act(Action::TcpSend(conn, Msg::Batch(Box::new(Message::Answer(answer)))));
}
/// What a server does with news of connections that are not calls: the question, if it is one.
pub(crate) fn question(conn: ConnId, news: Tcp<Msg>, ctx: &mut Cx<'_>) -> Option<Ask> {
    match news {
        Tcp::Data(Msg::Batch(m)) => match *m {
            Message::Ask(a) => Some(a),
            _ => None,
        },
        Tcp::Closed => {
            ctx.act(Action::Close(conn));
            None
        }
        _ => None,
    }
}
