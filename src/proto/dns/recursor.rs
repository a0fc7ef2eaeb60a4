//! The resolver with a cache, under the names and with the defaults of BIND's options. It is the resolver of a network, or, on the host
//! of a program, that host's cache.
//!
//! A cached TTL counts down in whole seconds; a TTL of 0 is passed on and not kept. Questions for one name that come while it is being
//! asked for wait for the same answer.

use super::config;
use super::msg::Dns;
use super::name::{canonical, in_zone, words};
use super::note::Note;
use crate::engine::{SEC, Span, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, Input, Signal, Timer};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// Where a resolver asks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Upstream {
    /// Zones and their servers, the longest name first.
    pub zones: Vec<(Arc<str>, Vec<Endpoint>)>,
    /// Resolvers that get all other questions.
    pub forward: Vec<Endpoint>,
    /// Where names that end in `.consul` are asked for.
    pub consul: Vec<Endpoint>,
}
impl Upstream {
    /// The servers to ask for a name.
    pub fn servers(&self, name: &str) -> &[Endpoint] {
        if in_zone(name, "consul") && !self.consul.is_empty() {
            return &self.consul;
        }
        if !self.forward.is_empty() {
            return &self.forward;
        }
        self.zones.iter().find(|(zone, _)| in_zone(name, zone)).map_or(&[], |(_, servers)| servers)
    }
}

/// What is known of a name.
#[derive(Clone, Debug)]
struct Known {
    name: Arc<str>,
    addresses: Arc<[Ip]>,
    fetched: Time,
    until: Time,
    /// Nobody is asked again before this.
    failed_until: Time,
    /// There is an answer, however old.
    answered: bool,
}

/// Who waits for an answer: their number for it, from where, to which of the own addresses.
type Asker = (u16, Endpoint, Endpoint);

/// A question that is under way.
#[derive(Clone, Debug)]
struct Question {
    name: Arc<str>,
    id: u16,
    askers: Vec<Asker>,
    began: Time,
    server: usize,
    tries: u32,
    failures: usize,
}

/// A resolver.
#[derive(Clone, Debug)]
pub struct Recursor {
    config: config::Resolver,
    upstream: Upstream,
    cache: Vec<Known>,
    open: Vec<Option<Question>>,
    next_id: u16,
}
impl Recursor {
    /// A resolver with this configuration that asks these servers.
    pub fn new(config: config::Resolver, upstream: Upstream) -> Self {
        Recursor { config, upstream, cache: Vec::new(), open: Vec::new(), next_id: 0 }
    }
    /// What it was before it was started: its cache is in memory.
    pub fn reset(&mut self) {
        (self.cache, self.open) = (Vec::new(), Vec::new());
    }
    /// The addresses that it would answer from its cache, and for how long they hold.
    pub fn cached(&self, name: &str, now: Time) -> Option<(&[Ip], Span)> {
        let known = self.cache.iter().find(|k| &*k.name == name && k.until > now)?;
        Some((&known.addresses, known.until.since(now)))
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Start => {
                ctx.act(Action::Bind(super::PORT));
                ctx.act(Action::Bind(super::own_port(ctx.me)));
            }
            Input::Packet { from, to, msg: Msg::Dns(msg) } => match *msg {
                Dns::Query(id, name) => self.asked(&canonical(&name), (id, from, to), ctx),
                Dns::Answer(id, addresses, ttl) => self.answered(id, addresses, ttl, ctx),
                Dns::Failure(id) => self.refused(id, ctx),
                Dns::Update(id, ..) => say(Dns::Failure(id), (id, from, to), ctx),
                Dns::Updated(_) => {}
            },
            Input::Timer(Timer(slot)) => self.no_answer(slot as usize, ctx),
            Input::Signal(Signal::Term) => ctx.act(Action::Exit(0)),
            _ => {}
        }
    }

    fn asked(&mut self, name: &Arc<str>, asker: Asker, ctx: &mut Cx<'_>) {
        if let Some(known) = self.cache.iter().find(|k| k.name == *name) {
            if known.answered && known.until > ctx.now {
                let left = known.until.since(ctx.now);
                let ttl = Span(left.0 - left.0 % SEC);
                say(Dns::Answer(asker.0, known.addresses.clone(), ttl), asker, ctx);
                return;
            }
            if known.failed_until > ctx.now {
                let answer = self.fallback(name, asker.0, ctx.now);
                say(answer, asker, ctx);
                return;
            }
        }
        if let Some(q) = self.open.iter_mut().flatten().find(|q| q.name == *name) {
            q.askers.push(asker);
            return;
        }
        if self.upstream.servers(name).is_empty() {
            say(Dns::Failure(asker.0), asker, ctx);
            return;
        }
        let slot = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
        if slot == self.open.len() {
            self.open.push(None);
        }
        self.next_id = self.next_id.wrapping_add(1);
        self.open[slot] = Some(Question {
            name: name.clone(),
            id: self.next_id,
            askers: vec![asker],
            began: ctx.now,
            server: 0,
            tries: 0,
            failures: 0,
        });
        self.ask(slot, ctx);
    }

    /// Asks the server whose turn it is.
    fn ask(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(q) = self.open[slot].as_mut() else { return };
        let servers = self.upstream.servers(&q.name);
        let Some(to) = servers.get(q.server % servers.len().max(1)).copied() else { return };
        q.tries += 1;
        let over = q.tries.saturating_sub(self.config.resolver_nonbackoff_tries).min(16);
        let wait = self.config.resolver_retry_interval.times(1 << over);
        let left = (q.began + self.config.resolver_query_timeout).since(ctx.now);
        let from = Endpoint::new(Ip::NONE, super::own_port(ctx.me));
        let msg = Msg::Dns(Box::new(Dns::Query(q.id, q.name.clone())));
        ctx.act(Action::Send { from, to, net: None, plane: Plane::dns, msg });
        ctx.set_timer(Timer(slot as u16), wait.min(left));
    }

    fn no_answer(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(q) = self.open.get_mut(slot).and_then(Option::as_mut) else { return };
        if ctx.now.since(q.began) >= self.config.resolver_query_timeout {
            self.failed(slot, ctx);
            return;
        }
        q.server += 1;
        self.ask(slot, ctx);
    }

    fn slot(&self, id: u16) -> Option<usize> {
        self.open.iter().position(|q| q.as_ref().is_some_and(|q| q.id == id))
    }

    fn refused(&mut self, id: u16, ctx: &mut Cx<'_>) {
        let Some(slot) = self.slot(id) else { return };
        let Some(q) = self.open[slot].as_mut() else { return };
        q.failures += 1;
        q.server += 1;
        if q.failures >= self.upstream.servers(&q.name).len() {
            self.failed(slot, ctx);
        } else {
            self.ask(slot, ctx);
        }
    }

    fn answered(&mut self, id: u16, addresses: Arc<[Ip]>, ttl: Span, ctx: &mut Cx<'_>) {
        let Some(q) = self.slot(id).and_then(|slot| self.close(slot, ctx)) else { return };
        let c = &self.config;
        let (low, high) = if addresses.is_empty() {
            (c.min_ncache_ttl, c.max_ncache_ttl)
        } else {
            (c.min_cache_ttl, c.max_cache_ttl)
        };
        let ttl = ttl.max(low).min(high);
        let known = self.known(&q.name);
        if known.answered && known.addresses != addresses {
            let kept = ctx.now.since(known.fetched);
            let (was, now) = (words(&known.addresses), words(&addresses));
            ctx.note(crate::proto::Note::Dns(Note::Refreshed { name: q.name.clone(), was, now, ttl, kept }));
        }
        (known.addresses, known.answered) = (addresses.clone(), true);
        (known.fetched, known.until) = (ctx.now, ctx.now + ttl);
        for asker in q.askers {
            say(Dns::Answer(asker.0, addresses.clone(), ttl), asker, ctx);
        }
    }

    fn failed(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(q) = self.close(slot, ctx) else { return };
        self.known(&q.name).failed_until = ctx.now + self.config.servfail_ttl;
        let stale = matches!(self.fallback(&q.name, 0, ctx.now), Dns::Answer(..));
        ctx.note(crate::proto::Note::Dns(Note::Failed { name: q.name.clone(), tries: q.tries, stale }));
        for asker in q.askers {
            let answer = self.fallback(&q.name, asker.0, ctx.now);
            say(answer, asker, ctx);
        }
    }

    /// What is answered when nobody could be asked.
    fn fallback(&self, name: &str, id: u16, now: Time) -> Dns {
        let c = &self.config;
        let old =
            self.cache.iter().find(|k| &*k.name == name && k.answered && now <= k.until + c.max_stale_ttl);
        match old.filter(|_| c.stale_answer_enable) {
            Some(k) => Dns::Answer(id, k.addresses.clone(), c.stale_answer_ttl),
            None => Dns::Failure(id),
        }
    }

    fn close(&mut self, slot: usize, ctx: &mut Cx<'_>) -> Option<Question> {
        ctx.cancel_timer(Timer(slot as u16));
        self.open[slot].take()
    }
    fn known(&mut self, name: &Arc<str>) -> &mut Known {
        let i = self.cache.iter().position(|k| k.name == *name).unwrap_or_else(|| {
            self.cache.push(Known {
                name: name.clone(),
                addresses: Arc::new([]),
                fetched: Time::ZERO,
                until: Time::ZERO,
                failed_until: Time::ZERO,
                answered: false,
            });
            self.cache.len() - 1
        });
        &mut self.cache[i]
    }
}

fn say(answer: Dns, (_, to, from): Asker, ctx: &mut Cx<'_>) {
    let msg = Msg::Dns(Box::new(answer));
    ctx.act(Action::Send { from, to, net: None, plane: Plane::dns, msg });
}
