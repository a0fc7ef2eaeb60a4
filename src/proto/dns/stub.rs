//! The stub resolver of a program (`getaddrinfo`): it asks the servers of resolv.conf in turn.
//!
//! Source: resolv.conf(5), glibc `res_send`. The first server has `timeout` to answer; of n servers the one at place i (from 0) has
//! `timeout` x 2^i / n, in whole seconds; the list is gone through `attempts` times. NXDOMAIN ends the search; SERVFAIL goes on with the
//! next server at once. A lookup is a blocking call: a value with a `poll`, owned by the state that waits for it.

use super::msg::Dns;
use crate::engine::{SEC, Span};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, Input, Timer};
use crate::proto::{Cx, Msg};
use std::sync::Arc;
use std::task::Poll;

/// What resolv.conf says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolvConf {
    /// The servers, at most three are used.
    pub nameservers: Vec<Endpoint>,
    /// `options timeout`.
    pub timeout: Span,
    /// `options attempts`.
    pub attempts: u32,
}
impl ResolvConf {
    fn servers(&self) -> usize {
        self.nameservers.len().min(3)
    }
    /// How long the n-th question of a lookup waits for its answer.
    fn wait(&self, n: usize) -> Span {
        let place = n % self.servers().max(1);
        if place == 0 {
            return self.timeout;
        }
        let shared = Span((self.timeout.0 << place) / self.servers() as u64);
        Span(shared.0 - shared.0 % SEC).max(Span::secs(1))
    }
}

/// Why there is no address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LookupError {
    /// NXDOMAIN: the name does not exist.
    NoName,
    /// No server gave an answer.
    NoAnswer,
}

/// A lookup under way.
#[derive(Clone, Debug)]
pub struct Lookup {
    name: Arc<str>,
    id: u16,
    timer: Timer,
    asked: usize,
}
impl Lookup {
    /// Begins a lookup under a number that the process uses for no other at the time, and a timer of its own. The process has bound
    /// [`super::own_port`].
    pub fn begin(conf: &ResolvConf, name: Arc<str>, id: u16, timer: Timer, ctx: &mut Cx<'_>) -> Lookup {
        let lookup = Lookup { name, id, timer, asked: 0 };
        lookup.ask(conf, ctx);
        lookup
    }
    /// The name that is looked up.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn ask(&self, conf: &ResolvConf, ctx: &mut Cx<'_>) {
        // Nobody to ask: the end comes at once, through the timer.
        let wait = if conf.servers() == 0 { Span::ZERO } else { conf.wait(self.asked) };
        if let Some(to) = conf.nameservers.get(self.asked % conf.servers().max(1)).copied() {
            let from = Endpoint::new(Ip::NONE, super::own_port(ctx.me));
            let msg = Msg::Dns(Box::new(Dns::Query(self.id, self.name.clone())));
            ctx.act(Action::Send { from, to, net: None, plane: Plane::dns, msg });
        }
        ctx.set_timer(self.timer, wait);
    }

    fn next(&mut self, conf: &ResolvConf, ctx: &mut Cx<'_>) -> Poll<Result<Arc<[Ip]>, LookupError>> {
        self.asked += 1;
        if self.asked >= conf.servers() * conf.attempts as usize {
            ctx.cancel_timer(self.timer);
            return Poll::Ready(Err(LookupError::NoAnswer));
        }
        self.ask(conf, ctx);
        Poll::Pending
    }

    /// Takes in an input; `Ready` when the lookup is over.
    pub fn poll(
        &mut self,
        conf: &ResolvConf,
        input: &Input<Msg>,
        ctx: &mut Cx<'_>,
    ) -> Poll<Result<Arc<[Ip]>, LookupError>> {
        match input {
            Input::Timer(t) if *t == self.timer => self.next(conf, ctx),
            Input::Packet { msg: Msg::Dns(msg), .. } => match &**msg {
                Dns::Answer(id, addresses, _) if *id == self.id => {
                    ctx.cancel_timer(self.timer);
                    if addresses.is_empty() {
                        Poll::Ready(Err(LookupError::NoName))
                    } else {
                        Poll::Ready(Ok(addresses.clone()))
                    }
                }
                Dns::Failure(id) if *id == self.id => self.next(conf, ctx),
                _ => Poll::Pending,
            },
            _ => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_share_the_time_as_glibc_shares_it() {
        let conf = |n: usize| ResolvConf {
            nameservers: vec![Endpoint::default(); n],
            timeout: Span::secs(5),
            attempts: 2,
        };
        let waits = |n: usize| (0..n * 2).map(|i| conf(n).wait(i).as_ms() / 1000).collect::<Vec<_>>();
        assert_eq!(waits(1), [5, 5]);
        assert_eq!(waits(2), [5, 5, 5, 5]);
        assert_eq!(waits(3), [5, 3, 6, 5, 3, 6]);
    }
}
