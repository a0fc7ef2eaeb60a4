//! A member as a process: Raft over its disk, the store, the leases that a leader counts down, and the requests of its clients.

use super::msg::{Act, Command, Error, Kv, LeaseId, Msg, Reply, Request, Text};
use super::note::{Basis, Note};
use super::store::{Changes, Store};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::disk::End;
use crate::node::process::{Action, ConnId, Ctx, Input, Signal, Tcp, Timer};
use crate::proto::raft::{self, Durable, Io, Member, Out, Raft, Role, Rules};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The port for clients.
pub const CLIENT_PORT: u16 = 2379;
/// The port for members.
pub const PEER_PORT: u16 = 2380;

/// The settings of a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Which member it is.
    pub me: Member,
    /// The members' addresses, in their order.
    pub members: Vec<Ip>,
    /// Election timers; [`Rules::etcd`] without pre-vote is 3.4.
    pub rules: Rules,
}

/// Whom an answer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum For {
    Client(ConnId, u32),
    Member(Member, u32),
    /// An operator's command of the host: nobody waits.
    Nobody,
}
#[derive(Clone, PartialEq, Eq, Debug)]
enum Wait {
    /// A command waits for a leader that takes it.
    Propose(Act, Option<Text>),
    /// A command of this number is to be applied.
    Apply(u32, Option<Text>),
    /// The leader is to renew the lease; it was asked, if there was one.
    Renew(u32, LeaseId, Option<Member>),
}
#[derive(Clone, PartialEq, Eq, Debug)]
struct Pending {
    client: For,
    wait: Wait,
    deadline: Time,
}

/// A member.
#[derive(Clone, Debug)]
pub struct Etcd {
    config: Config,
    member: Durable<Command>,
    store: Store,
    applied: u32,
    /// The leader's clock of the leases; members that do not lead let them stand.
    expires: Option<BTreeMap<LeaseId, (Time, Basis)>>,
    /// Renewals of leases whose time is over: answered when they are gone.
    late: Vec<(For, LeaseId)>,
    pending: Vec<Pending>,
    watchers: Vec<(ConnId, u32, Text)>,
    next: u32,
}

/// The lessor looks for leases whose time is over.
const T_SCAN: Timer = Timer(Raft::<Command>::TIMERS);
/// Requests without an answer.
const T_PENDING: Timer = Timer(Raft::<Command>::TIMERS + 1);
/// The ticks of the first election are advanced (`adjustTicks`).
const T_ADVANCE: Timer = Timer(Raft::<Command>::TIMERS + 2);
/// From the start until the connections to the peers are up (`server.go` looks every 50 ms).
const PEERS_ACTIVE: Span = Span::ms(50);
/// `lessor.runLoop`.
const SCAN: Span = Span::ms(500);
/// A renewal that the leader did not take is brought to it again.
const RETRY: Span = Span::ms(50);

impl Etcd {
    /// A member with an empty disk.
    pub fn new(config: Config) -> Self {
        let member = Durable::new(config.rules, config.me, config.members.len());
        Etcd {
            config,
            member,
            store: Store::default(),
            applied: 0,
            expires: None,
            late: Vec::new(),
            pending: Vec::new(),
            watchers: Vec::new(),
            next: 0,
        }
    }
    /// What an end of this kind leaves of it.
    pub fn reset(&mut self, end: End) {
        let config = self.config.clone();
        let (rules, me, members) = (config.rules, config.me, config.members.len());
        let member = self.member.clone().reset(end, rules, me, members);
        *self = Etcd { member, ..Etcd::new(config) };
    }
    /// Its Raft.
    pub fn raft(&self) -> &Raft<Command> {
        self.member.raft()
    }
    /// What it has applied.
    pub fn store(&self) -> &Store {
        &self.store
    }
    /// Up to which index of the log: what is applied is what a majority holds.
    pub fn applied(&self) -> u32 {
        self.applied
    }
    /// Whether it believes to lead.
    pub fn leads(&self) -> bool {
        self.raft().role() == Role::Leader
    }
    /// The shortest lease: one and a half election timeouts, in whole seconds.
    pub fn min_ttl(&self) -> u64 {
        (self.config.rules.election().0 * 3).div_ceil(2).div_ceil(Span::secs(1).0)
    }
    /// `ReqTimeout`: 5 s for the disk and two elections.
    pub fn request_timeout(&self) -> Span {
        Span(Span::secs(5).0 + 2 * self.config.rules.election().0)
    }

    /// A timer ran out, and if all that comes of it is that it is set again, for how long it is.
    #[inline]
    pub fn quiet(&mut self, timer: Timer) -> Option<Span> {
        // Only a leader's lessor looks for anything.
        if timer == T_SCAN && self.expires.is_none() {
            return Some(SCAN);
        }
        self.member.quiet_tick(timer.0)
    }
    /// A message of another member, if it is one of the many that change nothing.
    #[inline]
    pub fn heard<M: From<Msg>, N, F>(
        &mut self,
        from: Ip,
        message: &raft::Message<Command>,
        ctx: &mut Ctx<'_, M, N, F>,
    ) -> bool {
        let heard = self.member.heard(&self.config.members, from, message, ctx.now);
        if let Some((from, Some(m))) = heard {
            self.tell(from, Msg::Raft(m), ctx);
            return true;
        }
        heard.is_some()
    }
    /// Handles one input.
    pub fn on<M: From<Msg>, N: From<Note>, F>(&mut self, input: Input<Msg>, ctx: &mut Ctx<'_, M, N, F>) {
        match input {
            Input::Start => {
                ctx.act(Action::Bind(PEER_PORT));
                ctx.act(Action::Listen(CLIENT_PORT, 4096));
                let phase = Span(ctx.below(SCAN.0));
                ctx.set_timer(T_SCAN, phase);
                self.drive(ctx, |r, io| r.start(io));
                ctx.set_timer(T_ADVANCE, PEERS_ACTIVE);
            }
            Input::Timer(T_ADVANCE) => self.drive(ctx, |r, _| r.advance_ticks()),
            Input::Timer(T_SCAN) => {
                ctx.set_timer(T_SCAN, SCAN);
                self.expire(ctx);
            }
            Input::Timer(T_PENDING) => self.overdue(ctx),
            Input::Timer(Timer(t)) => {
                let Some((next, heartbeat)) = self.member.quiet_beat(t) else {
                    return self.drive(ctx, |r, io| r.timer(t, io));
                };
                ctx.set_timer(Timer(t), next);
                for to in self.raft().members().filter(|m| *m != self.config.me) {
                    self.tell(to, Msg::Raft(heartbeat.clone()), ctx);
                }
            }
            Input::Synced { tag, ok } => self.synced(tag, ok, ctx),
            Input::Call(Msg::Request(_, ask)) => self.request(For::Nobody, ask, ctx),
            Input::Packet { from, msg, .. } => {
                if let Some(from) = self.config.members.iter().position(|ip| *ip == from.ip) {
                    self.peer(Member(from as u8), msg, ctx);
                }
            }
            Input::Tcp(conn, Tcp::Data(Msg::Request(tag, ask))) => {
                self.request(For::Client(conn, tag), ask, ctx)
            }
            Input::Tcp(conn, news @ (Tcp::Closed | Tcp::Reset | Tcp::TimedOut)) => {
                if news == Tcp::Closed {
                    ctx.act(Action::Close(conn));
                }
                self.watchers.retain(|w| w.0 != conn);
                self.pending.retain(|p| !matches!(p.client, For::Client(c, _) if c == conn));
            }
            Input::Signal(Signal::Term) => ctx.act(Action::Exit(0)),
            _ => {}
        }
    }

    fn drive<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        ctx: &mut Ctx<'_, M, N, F>,
        step: impl FnOnce(&mut Raft<Command>, &mut Io<'_, Command>),
    ) {
        let before = (self.raft().leader(), self.raft().has_quorum());
        let mut out = self.member.drive(ctx, step);
        for o in out.drain(..) {
            self.carry_out(o, ctx);
        }
        self.member.recycle(out);
        let after = (self.raft().leader(), self.raft().has_quorum());
        if before != after {
            self.turned(before, after, ctx);
        }
    }
    /// Whom it follows, or whether a quorum answers, has changed.
    fn turned<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        before: (Option<Member>, bool),
        after: (Option<Member>, bool),
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        let members = self.config.members.len();
        if before.1 != after.1 {
            ctx.note(Note::Quorum { has: after.1, members, leader: after.0.map(|m| self.host(m)) }.into());
        }
        if let (Some(gone), None) = (before.0, after.0)
            && gone != self.config.me
            && self.raft().role() != Role::Follower
        {
            let heard = self.raft().last_contact();
            ctx.note(Note::LeaderSilent { leader: self.host(gone), heard, now: ctx.now }.into());
        }
        if after.0.is_some() && before.0 != after.0 {
            self.brought(ctx);
        }
    }
    /// The address of a member: what notes call it by.
    fn host(&self, m: Member) -> Ip {
        self.config.members.get(m.0 as usize).copied().unwrap_or(Ip::NONE)
    }
    /// There is a leader again: it gets what has waited for one.
    fn brought<M: From<Msg>, N: From<Note>, F>(&mut self, ctx: &mut Ctx<'_, M, N, F>) {
        let waits = |p: &Pending| matches!(p.wait, Wait::Propose(..));
        while let Some(i) = self.pending.iter().position(waits) {
            let p = self.pending.remove(i);
            if let Wait::Propose(act, read) = p.wait {
                self.propose(p.client, act, read, p.deadline, ctx);
            }
        }
    }
    fn synced<M: From<Msg>, N: From<Note>, F>(&mut self, tag: u16, ok: bool, ctx: &mut Ctx<'_, M, N, F>) {
        // A write-ahead log that cannot be written ends etcd.
        let Some(mut ready) = self.member.synced(tag, ok) else { return ctx.act(Action::Exit(1)) };
        for o in ready.drain(..) {
            self.carry_out(o, ctx);
        }
        self.member.recycle(ready);
    }
    fn carry_out<M: From<Msg>, N: From<Note>, F>(&mut self, out: Out<Command>, ctx: &mut Ctx<'_, M, N, F>) {
        match out {
            Out::Send(to, m) => self.tell(to, Msg::Raft(m), ctx),
            Out::Timer(..) | Out::Cancel(_) => {}
            Out::Committed(index) => self.apply(index, ctx),
            Out::Elected => {
                // The time that was left is not known here: all of it again, and an election on top.
                let more = self.config.rules.election();
                let now = ctx.now;
                let end = |ttl| (now + Span::secs(ttl) + more, Basis::Election(now, more));
                self.expires = Some(self.store.leases().map(|(id, ttl)| (id, end(ttl))).collect());
                let leases = self.expires.as_ref().map_or(0, BTreeMap::len);
                ctx.note(Note::Elected { term: self.raft().term(), leases }.into());
            }
            Out::SteppedDown => {
                let has_quorum = self.raft().has_quorum();
                ctx.note(Note::SteppedDown { term: self.raft().term(), has_quorum }.into());
                self.expires = None;
                self.late.clear();
            }
        }
    }
    fn tell<M: From<Msg>, N, F>(&self, to: Member, msg: Msg, ctx: &mut Ctx<'_, M, N, F>) {
        let Some(ip) = self.config.members.get(to.0 as usize) else { return };
        let from = Endpoint::new(Ip::NONE, PEER_PORT);
        let to = Endpoint::new(*ip, PEER_PORT);
        ctx.act(Action::Send { from, to, net: None, plane: Plane::dcs, msg: msg.into() });
    }
    fn answer<M: From<Msg>, N: From<Note>, F>(&self, to: For, reply: Reply, ctx: &mut Ctx<'_, M, N, F>) {
        match to {
            For::Client(conn, tag) => ctx.act(Action::TcpSend(conn, Msg::Reply(tag, reply).into())),
            For::Member(m, n) => {
                let ttl = if let Reply::KeptAlive(ttl) = reply { Some(ttl) } else { None };
                self.tell(m, Msg::Renewed(n, ttl), ctx);
            }
            For::Nobody => {}
        }
    }

    fn request<M: From<Msg>, N: From<Note>, F>(&mut self, me: For, ask: Request, ctx: &mut Ctx<'_, M, N, F>) {
        let deadline = ctx.now + self.request_timeout();
        let act = match ask {
            Request::Range { prefix, serializable: true } => {
                let keys = Arc::new(self.store.range(&prefix));
                let reply = Reply::Range(keys, self.store.revision(), self.raft().term());
                return self.answer(me, reply, ctx);
            }
            Request::Range { prefix, .. } => return self.propose(me, Act::Read, Some(prefix), deadline, ctx),
            Request::Txn(txn) => Act::Txn(txn),
            Request::LeaseGrant(id, ttl) => Act::Grant(id, ttl.max(self.min_ttl())),
            Request::LeaseRevoke(id) => Act::Revoke(id),
            Request::LeaseKeepAlive(id) => {
                self.next = self.next.wrapping_add(1);
                let wait = Wait::Renew(self.next, id, None);
                self.wait(me, wait, deadline, ctx);
                return self.seek_renewals(ctx);
            }
            Request::Watch(prefix, from) => {
                let For::Client(conn, tag) = me else { return };
                self.answer(me, Reply::Done, ctx);
                for (revision, changes) in from.into_iter().flat_map(|r| self.store.since(r)) {
                    self.publish_to((conn, tag, &prefix), changes, *revision, ctx);
                }
                self.watchers.push((conn, tag, prefix));
                return;
            }
            Request::MemberList => {
                let reply = Reply::Members(self.config.members.len() as u8, self.raft().term());
                return self.answer(me, reply, ctx);
            }
            Request::MoveLeader(to) => {
                let leads = self.raft().role() == Role::Leader;
                match self.raft().leader() {
                    // The operator's tool looks for the leader itself.
                    Some(leader) if !leads && me == For::Nobody => {
                        self.tell(leader, Msg::MoveLeader(to), ctx);
                    }
                    _ => self.move_leader(to, ctx),
                }
                let reply = if leads { Reply::Done } else { Reply::Failed(Error::NotLeader) };
                return self.answer(me, reply, ctx);
            }
        };
        self.propose(me, act, None, deadline, ctx);
    }
    fn move_leader<M: From<Msg>, N: From<Note>, F>(&mut self, to: Member, ctx: &mut Ctx<'_, M, N, F>) {
        if self.raft().role() == Role::Leader && to != self.config.me {
            ctx.note(Note::Moves(self.host(to)).into());
        }
        self.drive(ctx, |r, io| r.transfer(to, io));
    }
    fn wait<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        client: For,
        wait: Wait,
        deadline: Time,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        self.pending.push(Pending { client, wait, deadline });
        self.arm(ctx);
    }
    /// A proposal waits for a leader as long as its deadline allows.
    fn propose<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        client: For,
        act: Act,
        read: Option<Text>,
        deadline: Time,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        let Some(leader) = self.raft().leader() else {
            return self.wait(client, Wait::Propose(act, read), deadline, ctx);
        };
        self.next = self.next.wrapping_add(1);
        let command = Command { origin: (self.config.me, self.next), act };
        self.wait(client, Wait::Apply(self.next, read), deadline, ctx);
        if leader == self.config.me {
            self.drive(ctx, |r, io| {
                r.propose(command, io);
            });
        } else {
            self.tell(leader, Msg::Propose(Arc::new(command)), ctx);
        }
    }

    fn peer<M: From<Msg>, N: From<Note>, F>(&mut self, from: Member, msg: Msg, ctx: &mut Ctx<'_, M, N, F>) {
        match msg {
            Msg::Raft(m) => self.drive(ctx, |r, io| r.message(from, m, io)),
            Msg::Propose(command) => self.drive(ctx, |r, io| {
                r.propose((*command).clone(), io);
            }),
            Msg::Renew(n, id) => {
                if self.raft().role() == Role::Leader {
                    self.renew(For::Member(from, n), id, ctx);
                }
            }
            Msg::Renewed(n, ttl) => {
                let asked = |p: &Pending| matches!(p.wait, Wait::Renew(k, ..) if k == n);
                if let Some(i) = self.pending.iter().position(asked) {
                    let client = self.pending.remove(i).client;
                    let reply = ttl.map_or(Reply::Failed(Error::LeaseNotFound), Reply::KeptAlive);
                    self.answer(client, reply, ctx);
                }
            }
            Msg::MoveLeader(to) => self.move_leader(to, ctx),
            Msg::Request(..) | Msg::Reply(..) => {}
        }
    }

    /// The leader renews a lease.
    fn renew<M: From<Msg>, N: From<Note>, F>(&mut self, to: For, id: LeaseId, ctx: &mut Ctx<'_, M, N, F>) {
        let Some(ttl) = self.store.lease(id).map(Span::secs) else {
            return self.answer(to, Reply::Failed(Error::LeaseNotFound), ctx);
        };
        let Some(expires) = &mut self.expires else { return };
        match expires.get_mut(&id) {
            Some((at, basis)) if *at > ctx.now => {
                (*at, *basis) = (ctx.now + ttl, Basis::Renewal(ctx.now));
                self.answer(to, Reply::KeptAlive(ttl), ctx);
            }
            // Its time is over, but it has not been revoked yet.
            _ => self.late.push((to, id)),
        }
    }
    /// Brings renewals to the leader that have not been brought to it yet.
    fn seek_renewals<M: From<Msg>, N: From<Note>, F>(&mut self, ctx: &mut Ctx<'_, M, N, F>) {
        let leader = self.raft().leader();
        for i in 0..self.pending.len() {
            let Wait::Renew(n, id, asked) = &mut self.pending[i].wait else { continue };
            if leader.is_none() || *asked == leader {
                continue;
            }
            *asked = leader;
            let (n, id) = (*n, *id);
            match leader {
                Some(l) if l == self.config.me => {
                    let client = self.pending[i].client;
                    self.renew(client, id, ctx);
                }
                Some(l) => self.tell(l, Msg::Renew(n, id), ctx),
                None => {}
            }
        }
        let me = Some(self.config.me);
        self.pending.retain(|p| !matches!(p.wait, Wait::Renew(_, _, asked) if asked == me));
        self.arm(ctx);
    }
    /// The leader's lessor: revokes what is over.
    fn expire<M: From<Msg>, N: From<Note>, F>(&mut self, ctx: &mut Ctx<'_, M, N, F>) {
        let Some(expires) = &self.expires else { return };
        let over: Vec<LeaseId> =
            expires.iter().filter(|(_, (at, _))| *at <= ctx.now).map(|(id, _)| *id).collect();
        let origin = (self.config.me, 0);
        for id in over {
            self.drive(ctx, |r, io| {
                r.propose(Command { origin, act: Act::Revoke(id) }, io);
            });
        }
    }

    /// The next look at what waits: a renewal that the leader did not take soon, one without a leader after an election timeout
    /// (`waitLeader`).
    fn arm<M: From<Msg>, N: From<Note>, F>(&self, ctx: &mut Ctx<'_, M, N, F>) {
        let leader = self.raft().leader();
        let seeking = self
            .pending
            .iter()
            .any(|p| matches!(p.wait, Wait::Renew(_, _, asked) if asked.is_none() || asked != leader));
        match self.pending.iter().map(|p| p.deadline).min() {
            Some(at) if seeking => {
                let again = if leader.is_some() { RETRY } else { self.config.rules.election() };
                ctx.set_timer(T_PENDING, again.min(at.since(ctx.now)));
            }
            Some(at) => ctx.set_timer(T_PENDING, at.since(ctx.now)),
            None => ctx.cancel_timer(T_PENDING),
        }
    }
    fn overdue<M: From<Msg>, N: From<Note>, F>(&mut self, ctx: &mut Ctx<'_, M, N, F>) {
        while let Some(i) = self.pending.iter().position(|p| p.deadline <= ctx.now) {
            let p = self.pending.remove(i);
            let error = match p.wait {
                Wait::Propose(..) => Error::DeadlineExceeded,
                _ => Error::TimedOut,
            };
            self.answer(p.client, Reply::Failed(error), ctx);
        }
        self.seek_renewals(ctx);
    }

    fn apply<M: From<Msg>, N: From<Note>, F>(&mut self, index: u32, ctx: &mut Ctx<'_, M, N, F>) {
        let mut changes: Changes = Vec::new();
        while self.applied < index {
            self.applied += 1;
            let Some(command) = self.raft().command(self.applied).cloned() else { continue };
            let result = self.store.apply(&command.act, &mut changes);
            if command.origin.1 == 0 {
                self.expired(&command.act, &changes, ctx);
            }
            self.lessor(&command.act, result, ctx);
            if command.origin.0 == self.config.me {
                self.applied_own(command.origin.1, &command.act, result, ctx);
            }
            if !changes.is_empty() {
                let changes = Arc::new(std::mem::take(&mut changes));
                self.store.remember(&changes);
                self.publish(&changes, ctx);
            }
        }
    }
    /// A lease that the leader revoked because its time was over.
    fn expired<M: From<Msg>, N: From<Note>, F>(
        &self,
        act: &Act,
        changes: &Changes,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        let (Act::Revoke(id), Some(expires)) = (act, &self.expires) else { return };
        if let Some((at, basis)) = expires.get(id)
            && !changes.is_empty()
        {
            let keys = changes.iter().map(|c| c.0.clone()).collect();
            let ttl = Span(at.since(basis.at()).0.saturating_sub(basis.more().0));
            ctx.note(Note::Expired { keys, basis: *basis, ttl }.into());
        }
    }
    fn lessor<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        act: &Act,
        result: Result<bool, Error>,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        let Some(expires) = &mut self.expires else { return };
        match act {
            Act::Grant(id, ttl) if result.is_ok() => {
                expires.insert(*id, (ctx.now + Span::secs(*ttl), Basis::Grant(ctx.now)));
            }
            Act::Revoke(id) => {
                expires.remove(id);
                let (gone, late) = std::mem::take(&mut self.late).into_iter().partition(|(_, l)| l == id);
                self.late = late;
                for (to, _) in gone {
                    self.answer(to, Reply::Failed(Error::LeaseNotFound), ctx);
                }
            }
            _ => {}
        }
    }
    fn publish<M: From<Msg>, N: From<Note>, F>(&self, changes: &Arc<Changes>, ctx: &mut Ctx<'_, M, N, F>) {
        for (conn, tag, prefix) in &self.watchers {
            self.publish_to((*conn, *tag, prefix), changes, self.store.revision(), ctx);
        }
    }
    /// Tells a watcher of a revision, as far as it watches what was changed.
    fn publish_to<M: From<Msg>, N: From<Note>, F>(
        &self,
        (conn, tag, prefix): (ConnId, u32, &Text),
        changes: &Arc<Changes>,
        revision: u64,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        let watched = |c: &(Text, Option<Kv>)| c.0.starts_with(&**prefix);
        let seen = if changes.iter().all(watched) {
            changes.clone()
        } else {
            Arc::new(changes.iter().filter(|c| watched(c)).cloned().collect())
        };
        if !seen.is_empty() {
            self.answer(For::Client(conn, tag), Reply::Changed(seen, revision, self.raft().term()), ctx);
        }
    }
    fn applied_own<M: From<Msg>, N: From<Note>, F>(
        &mut self,
        number: u32,
        act: &Act,
        result: Result<bool, Error>,
        ctx: &mut Ctx<'_, M, N, F>,
    ) {
        let mine = |p: &Pending| matches!(&p.wait, Wait::Apply(n, _) if *n == number);
        let Some(i) = self.pending.iter().position(mine) else { return };
        let p = self.pending.remove(i);
        let (revision, term) = (self.store.revision(), self.raft().term());
        let reply = match (act, result, &p.wait) {
            (_, Err(e), _) => Reply::Failed(e),
            (Act::Read, _, Wait::Apply(_, Some(prefix))) => {
                Reply::Range(Arc::new(self.store.range(prefix)), revision, term)
            }
            (Act::Txn(_), Ok(holds), _) => Reply::Txn(holds, revision, term),
            (Act::Grant(id, ttl), ..) => Reply::Granted(*id, *ttl, term),
            _ => Reply::Done,
        };
        if p.client == For::Nobody
            && let Act::Txn(txn) = act
        {
            ctx.note(Note::Operator(txn.clone()).into());
        }
        self.answer(p.client, reply, ctx);
        self.arm(ctx);
    }
}
