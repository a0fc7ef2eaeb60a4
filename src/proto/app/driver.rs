//! What the connections of a program share: where it may connect, what it remembers of names and of hosts.

use super::config::{Application, Attrs, Driver, LoadBalance};
use super::note::Note;
use crate::engine::{Span, Time};
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{TcpOptions, Timer};
use crate::proto::Cx;
use crate::proto::dns::name::words;
use crate::proto::dns::stub::{Lookup, LookupError, ResolvConf};
use crate::proto::postgres::msg::Login;
use std::sync::Arc;

/// Where a host is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// There, for good.
    At(Ip),
    /// Where DNS says.
    Named(Arc<str>),
}
/// One entry of `connect`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The host.
    pub place: Place,
    /// The port.
    pub port: u16,
}
/// What an application knows of the stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Where it connects to, in order.
    pub targets: Vec<Target>,
    /// Whom it asks for names.
    pub resolv: ResolvConf,
}

/// What a program knows of a name.
#[derive(Clone, Debug)]
struct Known {
    name: Arc<str>,
    /// The last addresses, for the comparison with the next.
    last: Arc<[Ip]>,
    since: Time,
    /// The answer holds until then.
    until: Time,
    answer: Result<Arc<[Ip]>, LookupError>,
}

/// What pgJDBC remembers of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Health {
    Failed,
    Primary,
    Standby,
}

/// What comes of the question for a host's addresses.
pub(super) enum Found {
    Addresses(Arc<[Ip]>),
    Asking(Lookup),
    Nothing,
}

#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) config: Application,
    pub(super) setup: Setup,
    names: Vec<Known>,
    health: Vec<Option<(Health, Time)>>,
    next_lookup: u16,
    /// A name that has just been seen with other addresses.
    pub(super) changed: Option<Arc<str>>,
    /// Sessions begun: whose turn it is to connect.
    turn: usize,
}
impl Shared {
    pub(super) fn new(config: Application, setup: Setup) -> Self {
        let health = vec![None; setup.targets.len()];
        Shared { config, setup, names: Vec::new(), health, next_lookup: 0, changed: None, turn: 0 }
    }
    pub(super) fn forget(&mut self) {
        self.names.clear();
        self.health.fill(None);
        self.changed = None;
    }

    /// Who begins the next session; none: nobody in particular.
    pub(super) fn login(&mut self) -> Option<Arc<Login>> {
        let c = &self.config;
        if c.users.is_empty() && c.database == "app" && c.application_name.is_empty() {
            return None;
        }
        let user = c.users.get(self.turn % c.users.len().max(1)).map_or("app", String::as_str);
        let login = Login {
            user: user.into(),
            database: c.database.as_str().into(),
            application: c.application_name.as_str().into(),
            ..Login::default()
        };
        self.turn += 1;
        Some(Arc::new(login))
    }
    pub(super) fn options(&self) -> TcpOptions {
        let c = &self.config;
        TcpOptions {
            user_timeout: c.tcp_user_timeout,
            keepalive: c.keepalives.then_some((c.keepalives_idle, c.keepalives_interval, c.keepalives_count)),
        }
    }
    /// The patience with one address.
    pub(super) fn connect_timeout(&self) -> Span {
        let c = &self.config;
        if c.driver == Driver::Libpq && !c.connect_timeout.is_zero() {
            c.connect_timeout.max(Span::secs(2))
        } else {
            c.connect_timeout
        }
    }
    pub(super) fn endpoint(&self, target: u8, ip: Ip) -> Endpoint {
        Endpoint::new(ip, self.setup.targets[target as usize].port)
    }
    pub(super) fn name(&self, target: u8) -> Option<&Arc<str>> {
        match &self.setup.targets.get(target as usize)?.place {
            Place::Named(name) => Some(name),
            Place::At(_) => None,
        }
    }

    // ---- hosts -----------------------------------------------------------------------------------------------------

    pub(super) fn report(&mut self, target: u8, health: Health, now: Time) {
        self.health[target as usize] = Some((health, now));
    }

    /// The order in which a new connection tries the hosts.
    pub(super) fn order(&self, order: &mut Vec<u8>, ctx: &mut Cx<'_>) {
        order.clear();
        let all = 0..self.setup.targets.len() as u8;
        match self.config.driver {
            Driver::Libpq => order.extend(all),
            Driver::PgJdbc => {
                order.extend(all.clone().filter(|t| self.candidate(*t, ctx.now)));
                if order.is_empty() {
                    order.extend(all);
                } else if self.config.target_session_attrs != Attrs::Any {
                    order.sort_by_key(|t| self.rank(*t));
                }
            }
        }
        if self.config.load_balance_hosts == LoadBalance::Random {
            shuffle(order, ctx);
        }
    }
    /// pgJDBC: hosts that it knows nothing of, or nothing fresh, or that will do.
    fn candidate(&self, target: u8, now: Time) -> bool {
        match self.health[target as usize] {
            None => true,
            Some((_, at)) if now.since(at) > self.config.host_recheck => true,
            Some((Health::Failed, _)) => false,
            Some((health, _)) => match self.config.target_session_attrs {
                Attrs::PreferStandby => true,
                attrs => attrs.allows(health == Health::Standby),
            },
        }
    }
    fn rank(&self, target: u8) -> u8 {
        match self.health[target as usize] {
            Some((Health::Failed, _)) => 2,
            Some((health, _)) => {
                u8::from(!self.config.target_session_attrs.allows(health == Health::Standby))
            }
            None => 0,
        }
    }

    // ---- names -----------------------------------------------------------------------------------------------------

    /// The addresses of a host: known, asked for, or not to be had.
    pub(super) fn find(&mut self, target: u8, timer: Timer, ctx: &mut Cx<'_>) -> Found {
        let name = match &self.setup.targets[target as usize].place {
            Place::At(ip) => return Found::Addresses(Arc::new([*ip])),
            Place::Named(name) => name.clone(),
        };
        if let Some(known) = self.names.iter().find(|k| k.name == name && k.until > ctx.now) {
            return match &known.answer {
                Ok(list) => Found::Addresses(list.clone()),
                Err(_) => Found::Nothing,
            };
        }
        self.next_lookup = self.next_lookup.wrapping_add(1);
        Found::Asking(Lookup::begin(&self.setup.resolv, name, self.next_lookup, timer, ctx))
    }

    /// A lookup is over.
    pub(super) fn learn(
        &mut self,
        name: &Arc<str>,
        answer: &Result<Arc<[Ip]>, LookupError>,
        ctx: &mut Cx<'_>,
    ) {
        let ttl = match answer {
            Ok(_) => self.config.name_cache.positive(),
            Err(_) => self.config.name_cache.positive().map(|_| self.config.negative_ttl),
        };
        let until = ttl.map_or(ctx.now, |ttl| Time(ctx.now.0.saturating_add(ttl.0)));
        let Some(known) = self.names.iter_mut().find(|k| k.name == *name) else {
            let last = answer.clone().unwrap_or_else(|_| Arc::new([]));
            let name = name.clone();
            self.names.push(Known { name, last, since: ctx.now, until, answer: answer.clone() });
            return;
        };
        (known.until, known.answer) = (until, answer.clone());
        let Ok(now) = answer else { return };
        if known.last != *now {
            if !known.last.is_empty() {
                let (name, kept) = (name.clone(), ctx.now.since(known.since));
                let (was, now) = (words(&known.last), words(now));
                ctx.note(crate::proto::Note::App(Note::Resolved { name, was, now, kept }));
                self.changed = Some(known.name.clone());
            }
            (known.last, known.since) = (now.clone(), ctx.now);
        }
    }
    /// The addresses that a name was seen with last.
    pub(super) fn last(&self, name: &str) -> &[Ip] {
        self.names.iter().find(|k| &*k.name == name).map_or(&[], |k| &k.last)
    }
}

/// A random order, all equally likely.
pub(super) fn shuffle<T>(list: &mut [T], ctx: &mut Cx<'_>) {
    for i in (1..list.len()).rev() {
        let j = ctx.below(i as u64 + 1) as usize;
        list.swap(i, j);
    }
}
