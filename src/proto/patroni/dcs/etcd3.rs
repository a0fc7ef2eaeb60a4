//! The client of etcd v3: a lease for all keys, transactions, and a cache that a watch keeps up to date.
//!
//! Source: Patroni 4.1.5, `dcs/etcd3.py`.

use super::cluster::Cluster;
use super::retry::Retry;
use super::wire::{Fail, Outcome, Rpc, Wire, fired};
use super::{
    Cause, Failsafe, MemberData, Memory, Op, Reply, Session, Status, SyncState, Text, Timing, cluster,
};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, Input, Tcp, Timer};
use crate::proto::etcd::msg::{self, Compare, Kv, LeaseId, Reply as Answer, Request, Txn};
use crate::proto::{Cx, Msg};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;

/// Between two tries to connect at the start.
const CONNECT_AGAIN: Span = Span::secs(5);
/// After an error of the cache's thread.
const CACHE_AGAIN: Span = Span::secs(1);
/// Replicas give the leader so much more than their nap.
const NAP_MORE: Span = Span::ms(500);
/// A call that would have less than this left is not made.
const ENOUGH: Span = Span::secs(1);

/// The client.
#[derive(Clone, Debug)]
pub(super) struct Etcd3 {
    wire: Wire,
    lease: Option<LeaseId>,
    refreshed: Option<Time>,
    do_not_watch: bool,
    cache: Cache,
    task: Option<Task>,
    /// What the member tells of itself, and the text of it.
    told: Option<(Arc<MemberData>, Text)>,
    first_timer: u16,
}

/// `KVCache`: a thread that lists the keys and then watches them.
#[derive(Clone, Debug)]
struct Cache {
    keys: BTreeMap<Text, Kv>,
    /// The view behind `keys`, until one of them changes.
    built: Option<Arc<Cluster>>,
    term: u32,
    ready: bool,
    doing: Doing,
    timer: Timer,
}
#[derive(Clone, Debug)]
enum Doing {
    Nothing,
    List(Box<Rpc>),
    Watch { conn: ConnId, tag: u32, from: u64 },
    Pause,
}

/// A call of the HA loop.
#[derive(Clone, Debug)]
struct Task {
    op: Op,
    stage: Stage,
    rpc: Option<Box<Rpc>>,
    retry: Retry,
    /// It has got a new lease in its course.
    again: bool,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The list of members, at the start.
    Machines,
    /// The lease is renewed, or one is asked for.
    Refresh,
    /// What the call is about.
    Main,
    Status,
    Failsafe,
    /// Until the cache is filled.
    Cache,
    /// Until the event or a time.
    Wait,
}
/// What comes next.
enum Flow {
    Ask(Request, Option<Retry>, Stage),
    Refresh(Retry),
    Done(Result<Reply, Cause>),
}

impl Cache {
    /// `set` (without an overwrite): whether the value is newer than what is there, and what was there.
    fn set(&mut self, kv: &Kv) -> (bool, Option<Text>) {
        let old = self.keys.get(&kv.key).map(|o| (o.mod_revision, o.value.clone()));
        let newer = old.as_ref().is_none_or(|o| o.0 < kv.mod_revision);
        if newer || old.as_ref().is_some_and(|o| o.0 == kv.mod_revision) {
            self.keys.insert(kv.key.clone(), kv.clone());
            self.built = None;
        }
        (newer, old.map(|o| o.1))
    }
    fn delete(&mut self, key: &Text, revision: u64) -> (bool, Option<Text>) {
        let old = self.keys.get(key).map(|o| (o.mod_revision, o.value.clone()));
        let newer = old.as_ref().is_none_or(|o| o.0 < revision);
        if newer && self.keys.remove(key).is_some() {
            self.built = None;
        }
        (newer, old.map(|o| o.1))
    }
    /// An event of the watch: whether it wakes the loop.
    fn event(&mut self, key: &Text, kv: Option<&Kv>, revision: u64, memory: &Memory) -> bool {
        let (news, old) = match kv {
            Some(kv) => self.set(kv),
            None => self.delete(key, revision),
        };
        let new = kv.map(|kv| &kv.value);
        if !news || old.as_ref() == new {
            return false;
        }
        match key.strip_prefix(&*memory.prefix) {
            Some("leader") => true,
            Some("config") => old.is_some() && new.is_some(),
            // The leader wrote it: its own loop sleeps on.
            Some("status") => {
                let leader = format!("{}leader", memory.prefix);
                new.is_some() && self.keys.get(&*leader).is_none_or(|kv| kv.value != memory.name)
            }
            _ => false,
        }
    }
    /// The watch's connection is cut; it begins again with a list.
    fn kill_stream(&mut self, wire: &mut Wire, memory: &Memory, ctx: &mut Cx<'_>) {
        if let Doing::Watch { conn, .. } = self.doing {
            ctx.act(Action::Close(conn));
            self.list(wire, memory, ctx);
        }
    }
    fn list(&mut self, wire: &mut Wire, memory: &Memory, ctx: &mut Cx<'_>) {
        self.ready = false;
        let request = Request::Range { prefix: memory.prefix.clone(), serializable: true };
        let retry = Retry::new(memory.timing.retry_timeout, ctx.now);
        let (rpc, state) = Rpc::begin(Some(request), Some(retry), self.timer, wire, ctx);
        self.doing = Doing::List(Box::new(rpc));
        if let Poll::Ready(outcome) = state {
            self.listed(outcome, wire, memory, ctx);
        }
    }
    fn listed(&mut self, outcome: Outcome, wire: &mut Wire, memory: &Memory, ctx: &mut Cx<'_>) {
        let Ok(Answer::Range(keys, revision, term)) = outcome else {
            self.doing = Doing::Pause;
            ctx.set_timer(self.timer, CACHE_AGAIN);
            return;
        };
        self.keys = keys.iter().map(|kv| (kv.key.clone(), kv.clone())).collect();
        self.built = None;
        self.term = term;
        self.ready = true;
        let Some(base) = wire.base() else { return };
        let conn = ctx.connect(base, Plane::dcs, wire.options());
        ctx.set_timer(self.timer, memory.timing.retry_timeout);
        self.doing = Doing::Watch { conn, tag: wire.tag(), from: revision };
    }
    /// Handles an input: whether it wakes the loop.
    fn poll(&mut self, input: &Input<Msg>, wire: &mut Wire, memory: &Memory, ctx: &mut Cx<'_>) -> bool {
        match &mut self.doing {
            Doing::Nothing => false,
            Doing::List(rpc) => {
                if let Poll::Ready(outcome) = rpc.poll(input, wire, ctx) {
                    self.listed(outcome, wire, memory, ctx);
                }
                false
            }
            Doing::Pause => {
                if fired(input, self.timer) {
                    self.list(wire, memory, ctx);
                }
                false
            }
            Doing::Watch { conn, tag, from } => match input {
                Input::Tcp(c, news) if *c == *conn => match news {
                    Tcp::Connected => {
                        ctx.cancel_timer(self.timer);
                        let ask = Request::Watch(memory.prefix.clone(), Some(*from));
                        let msg = Msg::Etcd(Box::new(msg::Msg::Request(*tag, ask)));
                        ctx.act(Action::TcpSend(*conn, msg));
                        false
                    }
                    Tcp::Data(Msg::Etcd(m)) => match &**m {
                        msg::Msg::Reply(t, Answer::Changed(changes, revision, term)) if *t == *tag => {
                            self.changed(changes, *revision, *term, wire, memory, ctx)
                        }
                        msg::Msg::Reply(t, Answer::Failed(_)) if *t == *tag => {
                            self.kill_stream(wire, memory, ctx);
                            false
                        }
                        _ => false,
                    },
                    Tcp::Data(_) | Tcp::Accepted { .. } => false,
                    Tcp::Closed => {
                        self.kill_stream(wire, memory, ctx);
                        false
                    }
                    Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => {
                        self.list(wire, memory, ctx);
                        false
                    }
                },
                // The connection did not come.
                input if fired(input, self.timer) => {
                    self.kill_stream(wire, memory, ctx);
                    false
                }
                _ => false,
            },
        }
    }
    fn changed(
        &mut self,
        changes: &[(Text, Option<Kv>)],
        revision: u64,
        term: u32,
        wire: &mut Wire,
        memory: &Memory,
        ctx: &mut Cx<'_>,
    ) -> bool {
        if term < self.term {
            self.kill_stream(wire, memory, ctx);
            return false;
        }
        self.term = term;
        let mut wakes = false;
        for (key, kv) in changes {
            wakes |= self.event(key, kv.as_ref(), revision, memory);
        }
        wakes
    }
}

impl Etcd3 {
    pub(super) fn new(endpoints: &[Endpoint], first_timer: u16) -> Self {
        let cache = Cache {
            keys: BTreeMap::new(),
            built: None,
            term: 0,
            ready: false,
            doing: Doing::Nothing,
            timer: Timer(first_timer + 1),
        };
        Etcd3 {
            wire: Wire::new(endpoints),
            lease: None,
            refreshed: None,
            do_not_watch: false,
            cache,
            task: None,
            told: None,
            first_timer,
        }
    }
    pub(super) fn session(&self) -> Option<Session> {
        self.lease.map(|l| Session(l.0))
    }
    pub(super) fn configure(&mut self, new: Timing, old: &Timing) {
        self.wire.timing = new;
        if new.ttl != old.ttl {
            self.lease = None;
            self.do_not_watch = true;
        }
    }
    fn timer(&self) -> Timer {
        Timer(self.first_timer)
    }
    fn wait_timer(&self) -> Timer {
        Timer(self.first_timer + 2)
    }

    pub(super) fn begin(
        &mut self,
        op: Op,
        memory: &mut Memory,
        ctx: &mut Cx<'_>,
    ) -> Poll<Result<Reply, Cause>> {
        if let Some(Task { rpc: Some(rpc), .. }) = self.task.take() {
            rpc.abort(ctx);
        }
        let retry = Retry::new(memory.timing.retry_timeout, ctx.now);
        let path = |key: &str| -> Text { format!("{}{key}", memory.prefix).into() };
        let flow = match &op {
            Op::Connect => {
                self.wire.timing = memory.timing;
                self.wire.start(ctx);
                return self.load_machines(op, retry, memory, ctx);
            }
            Op::GetCluster => return self.get_cluster(op, retry, memory, ctx),
            Op::Watch(version, nap) => {
                let nap = *nap + version.map_or(Span::ZERO, |_| NAP_MORE);
                return self.watch(op, nap, retry, memory, ctx);
            }
            Op::Acquire => Flow::Refresh(retry),
            Op::UpdateLeader { .. } => {
                // Forced: however fresh the lease is.
                self.refreshed = None;
                Flow::Refresh(retry)
            }
            Op::TouchMember(_) => Flow::Refresh(retry),
            Op::TakeLeader => {
                let put = put(path("leader"), memory.name.clone(), self.lease, None);
                Flow::Ask(put, Some(retry), Stage::Main)
            }
            Op::DeleteLeader { leader, optime } => match optime.map(|o| status(memory, o)) {
                Some(Some(text)) => Flow::Ask(put(path("status"), text, None, None), None, Stage::Status),
                _ => delete_leader(leader.is_some(), memory),
            },
            Op::WriteOptime(optime) => match status(memory, *optime) {
                Some(text) => Flow::Ask(put(path("status"), text, None, None), None, Stage::Status),
                None => Flow::Done(Ok(Reply::Done(true))),
            },
            Op::Set(key, value, version) => {
                let is = version.map(|v| Compare::ModRevision(path(key.name()), v));
                Flow::Ask(put(path(key.name()), value.clone(), None, is), None, Stage::Main)
            }
            Op::WriteSync(sync, version) => {
                let is = version.map(|v| Compare::ModRevision(path("sync"), v));
                Flow::Ask(put(path("sync"), sync.text(), None, is), Some(retry), Stage::Main)
            }
            Op::DeleteSync(version) => {
                let is = version.map(|v| Compare::ModRevision(path("sync"), v));
                Flow::Ask(delete(path("sync"), is), Some(retry), Stage::Main)
            }
            Op::Initialize(create, id) => {
                let is = create.then(|| Compare::Absent(path("initialize")));
                Flow::Ask(put(path("initialize"), id.clone(), None, is), Some(retry), Stage::Main)
            }
            Op::CancelInitialization => Flow::Ask(delete(path("initialize"), None), Some(retry), Stage::Main),
        };
        self.task = Some(Task { op, stage: Stage::Main, rpc: None, retry, again: false });
        self.flow(flow, memory, ctx)
    }

    /// Carries out what comes next.
    fn flow(&mut self, flow: Flow, memory: &mut Memory, ctx: &mut Cx<'_>) -> Poll<Result<Reply, Cause>> {
        let (request, retry, stage) = match flow {
            Flow::Done(result) => {
                self.task = None;
                return self.settle(memory, ctx, Poll::Ready(result));
            }
            Flow::Ask(request, retry, stage) => (request, retry, stage),
            Flow::Refresh(retry) => {
                let fresh = self.refreshed.is_some_and(|at| at + memory.timing.loop_wait > ctx.now);
                if let Some(task) = &mut self.task {
                    task.retry = retry;
                }
                match self.lease {
                    Some(_) if fresh => {
                        let next = self.refreshed(memory, ctx);
                        return self.flow(next, memory, ctx);
                    }
                    Some(lease) => (Request::LeaseKeepAlive(lease), Some(retry), Stage::Refresh),
                    None => (grant(memory, ctx), Some(retry), Stage::Refresh),
                }
            }
        };
        let (rpc, state) = Rpc::begin(Some(request), retry, self.timer(), &mut self.wire, ctx);
        if let Some(task) = &mut self.task {
            (task.rpc, task.stage) = (Some(Box::new(rpc)), stage);
        }
        match state {
            Poll::Ready(outcome) => self.outcome(outcome, memory, ctx),
            Poll::Pending => self.settle(memory, ctx, Poll::Pending),
        }
    }
    /// `_restart_watcher`, if somebody asked for it.
    fn settle<T>(&mut self, memory: &Memory, ctx: &mut Cx<'_>, result: Poll<T>) -> Poll<T> {
        if std::mem::take(&mut self.wire.restart) {
            self.cache.kill_stream(&mut self.wire, memory, ctx);
        }
        result
    }

    pub(super) fn poll(
        &mut self,
        input: &Input<Msg>,
        memory: &mut Memory,
        ctx: &mut Cx<'_>,
    ) -> Poll<Result<Reply, Cause>> {
        self.wire.idle_ended(input, ctx);
        memory.event |= self.cache.poll(input, &mut self.wire, memory, ctx);
        let (timer, stage) = (self.wait_timer(), self.task.as_ref().map(|t| t.stage));
        let result = match stage {
            Some(Stage::Wait) if fired(input, timer) => self.waited(memory, ctx),
            Some(Stage::Wait) => self.woken(memory, ctx),
            Some(Stage::Cache) if fired(input, timer) => {
                self.task = None;
                memory.cluster = None;
                Poll::Ready(Err(Cause::NoCache))
            }
            Some(Stage::Cache) => self.cached(memory, ctx),
            Some(_) => match self.task.as_mut().and_then(|t| t.rpc.as_mut()) {
                Some(rpc) => match rpc.poll(input, &mut self.wire, ctx) {
                    Poll::Ready(outcome) => self.outcome(outcome, memory, ctx),
                    Poll::Pending => Poll::Pending,
                },
                None => Poll::Pending,
            },
            None => Poll::Pending,
        };
        self.settle(memory, ctx, result)
    }

    // ---- the start -------------------------------------------------------------------------------------------------

    fn load_machines(
        &mut self,
        op: Op,
        retry: Retry,
        memory: &mut Memory,
        ctx: &mut Cx<'_>,
    ) -> Poll<Result<Reply, Cause>> {
        let (rpc, state) = Rpc::begin(None, None, self.timer(), &mut self.wire, ctx);
        self.task = Some(Task { op, stage: Stage::Machines, rpc: Some(Box::new(rpc)), retry, again: false });
        match state {
            Poll::Ready(outcome) => self.outcome(outcome, memory, ctx),
            Poll::Pending => Poll::Pending,
        }
    }
    /// "waiting on etcd".
    fn connect_again(&mut self, ctx: &mut Cx<'_>) -> Poll<Result<Reply, Cause>> {
        if let Some(task) = &mut self.task {
            (task.stage, task.rpc) = (Stage::Wait, None);
        }
        ctx.set_timer(self.wait_timer(), CONNECT_AGAIN);
        Poll::Pending
    }

    // ---- reading and waiting ---------------------------------------------------------------------------------------

    fn get_cluster(
        &mut self,
        op: Op,
        retry: Retry,
        memory: &mut Memory,
        ctx: &mut Cx<'_>,
    ) -> Poll<Result<Reply, Cause>> {
        self.task = Some(Task { op, stage: Stage::Cache, rpc: None, retry, again: false });
        ctx.set_timer(self.wait_timer(), memory.timing.retry_timeout);
        self.cached(memory, ctx)
    }
    /// The view out of the cache, if it is filled and no older than what was seen elsewhere.
    fn cached(&mut self, memory: &mut Memory, ctx: &mut Cx<'_>) -> Poll<Result<Reply, Cause>> {
        if self.cache.ready && !self.wire.fresh(self.cache.term) {
            self.cache.ready = false;
            self.cache.kill_stream(&mut self.wire, memory, ctx);
        }
        if !self.cache.ready {
            return Poll::Pending;
        }
        let view = self.cache.built.get_or_insert_with(|| {
            let keys = self.cache.keys.values().filter_map(|kv| {
                let key = kv.key.strip_prefix(&*memory.prefix)?;
                Some((key, &kv.value, kv.mod_revision, kv.lease.map(|l| Session(l.0))))
            });
            Arc::new(Cluster::from_keys(memory.read.as_deref(), keys))
        });
        let view = view.clone();
        memory.loaded(view.clone(), memory.timing.ttl, ctx.now);
        self.task = None;
        ctx.cancel_timer(self.wait_timer());
        Poll::Ready(Ok(Reply::Cluster(view)))
    }
    fn watch(
        &mut self,
        op: Op,
        nap: Span,
        retry: Retry,
        memory: &mut Memory,
        ctx: &mut Cx<'_>,
    ) -> Poll<Result<Reply, Cause>> {
        self.refreshed = None;
        if std::mem::take(&mut self.do_not_watch) {
            return Poll::Ready(Ok(Reply::Woken(true)));
        }
        self.task = Some(Task { op, stage: Stage::Wait, rpc: None, retry, again: false });
        ctx.set_timer(self.wait_timer(), nap);
        self.woken(memory, ctx)
    }
    /// The event was set: a watch is over.
    pub(super) fn woken(&mut self, memory: &mut Memory, ctx: &mut Cx<'_>) -> Poll<Result<Reply, Cause>> {
        let watches = |t: &Task| t.stage == Stage::Wait && matches!(t.op, Op::Watch(..));
        if !memory.event || !self.task.as_ref().is_some_and(watches) {
            return Poll::Pending;
        }
        memory.event = false;
        self.task = None;
        ctx.cancel_timer(self.wait_timer());
        Poll::Ready(Ok(Reply::Woken(true)))
    }
    fn waited(&mut self, memory: &mut Memory, ctx: &mut Cx<'_>) -> Poll<Result<Reply, Cause>> {
        let Some(task) = self.task.take() else { return Poll::Pending };
        match task.op {
            Op::Connect => {
                let retry = Retry::new(memory.timing.retry_timeout, ctx.now);
                if matches!(self.cache.doing, Doing::Nothing) {
                    return self.load_machines(task.op, retry, memory, ctx);
                }
                self.task = Some(Task { rpc: None, retry, ..task });
                self.flow(Flow::Refresh(retry), memory, ctx)
            }
            _ => Poll::Ready(Ok(Reply::Woken(std::mem::take(&mut memory.event)))),
        }
    }

    // ---- what the answers mean -------------------------------------------------------------------------------------

    fn outcome(
        &mut self,
        outcome: Outcome,
        memory: &mut Memory,
        ctx: &mut Cx<'_>,
    ) -> Poll<Result<Reply, Cause>> {
        let Some(task) = &mut self.task else { return Poll::Pending };
        let rpc = task.rpc.take();
        if let Some(retry) = rpc.and_then(|r| r.retry) {
            task.retry = retry;
        }
        let (op, stage) = (task.op.clone(), task.stage);
        match (&op, stage) {
            (Op::Connect, Stage::Machines) => {
                if outcome.is_err() {
                    return self.connect_again(ctx);
                }
                self.cache.list(&mut self.wire, memory, ctx);
                let retry = Retry::new(memory.timing.retry_timeout, ctx.now);
                self.flow(Flow::Refresh(retry), memory, ctx)
            }
            (_, Stage::Refresh) => {
                let flow = self.refresh(outcome, memory, ctx);
                match flow {
                    Some(flow) => self.flow(flow, memory, ctx),
                    None => self.connect_again(ctx),
                }
            }
            _ => {
                let flow = self.main(&op, stage, outcome, memory, ctx);
                self.flow(flow, memory, ctx)
            }
        }
    }
    /// The answer to a keepalive or a grant. `None`: the start has to try again.
    fn refresh(&mut self, outcome: Outcome, memory: &Memory, ctx: &mut Cx<'_>) -> Option<Flow> {
        let Some(task) = &self.task else { return None };
        let (op, retry) = (task.op.clone(), task.retry);
        match outcome {
            Ok(Answer::KeptAlive(_)) => {}
            Ok(Answer::Granted(id, ..)) => self.lease = Some(id),
            // The lease is gone: a new one, within the same deadline.
            Err(Fail::LeaseNotFound) if self.lease.take().is_some() => {
                return Some(Flow::Ask(grant(memory, ctx), Some(retry), Stage::Refresh));
            }
            Err(_) if op == Op::Connect => return None,
            Err(Fail::Connection(cause)) if !matches!(op, Op::TouchMember(_)) => {
                return Some(Flow::Done(Err(cause)));
            }
            _ => return Some(Flow::Done(Ok(Reply::Done(false)))),
        }
        self.refreshed = Some(ctx.now);
        Some(self.refreshed(memory, ctx))
    }
    /// The lease is good: what the call is about.
    fn refreshed(&mut self, memory: &Memory, ctx: &Cx<'_>) -> Flow {
        let Some(task) = &mut self.task else { return Flow::Done(Ok(Reply::Done(false))) };
        let mut retry = task.retry;
        let enough = retry.has(ENOUGH, ctx.now);
        let leader: Text = format!("{}leader", memory.prefix).into();
        match &task.op {
            Op::Acquire if !enough => Flow::Done(Err(Cause::TimedOut)),
            Op::Acquire => {
                retry.restart(ctx.now);
                let is = Some(Compare::Absent(leader.clone()));
                Flow::Ask(put(leader, memory.name.clone(), self.lease, is), Some(retry), Stage::Main)
            }
            Op::UpdateLeader { leader: seen, .. } => {
                if seen.session == self.lease.map(|l| Session(l.0)) {
                    return self.publish_status(memory);
                }
                if !enough {
                    return Flow::Done(Err(Cause::TimedOut));
                }
                retry.restart(ctx.now);
                let write = msg::Op::Put(leader.clone(), memory.name.clone(), self.lease);
                let create = Txn {
                    compare: vec![Compare::Absent(leader.clone())],
                    then: vec![write.clone()],
                    otherwise: Vec::new(),
                };
                let txn = Txn {
                    compare: vec![Compare::Value(leader, memory.name.clone())],
                    then: vec![write],
                    otherwise: vec![msg::Op::Txn(Arc::new(create))],
                };
                Flow::Ask(Request::Txn(Arc::new(txn)), Some(retry), Stage::Main)
            }
            Op::TouchMember(data) => {
                let session = self.lease.map(|l| Session(l.0));
                if memory.member(ctx.now).is_some_and(|m| m.session == session && m.data == **data) {
                    return Flow::Done(Ok(Reply::Done(true)));
                }
                let (data, text) = (data.clone(), data.text());
                self.told = Some((data, text.clone()));
                let key = format!("{}members/{}", memory.prefix, memory.name).into();
                Flow::Ask(put(key, text, self.lease, None), None, Stage::Main)
            }
            _ => Flow::Done(Ok(Reply::Done(true))),
        }
    }
    fn publish_status(&self, memory: &Memory) -> Flow {
        let Some(Task { op: Op::UpdateLeader { status: Some(status), .. }, .. }) = &self.task else {
            return self.publish_failsafe(memory);
        };
        match memory.new_status(status.clone()).filter(|_| status.optime > 0) {
            Some(new) => {
                let put = put(format!("{}status", memory.prefix).into(), new.text(), None, None);
                Flow::Ask(put, None, Stage::Status)
            }
            None => self.publish_failsafe(memory),
        }
    }
    fn publish_failsafe(&self, memory: &Memory) -> Flow {
        match &self.task {
            Some(Task { op: Op::UpdateLeader { failsafe: Some(f), .. }, .. })
                if memory.failsafe.as_ref() != Some(f) =>
            {
                let text = cluster::failsafe_text(f);
                let put = put(format!("{}failsafe", memory.prefix).into(), text, None, None);
                Flow::Ask(put, None, Stage::Failsafe)
            }
            _ => Flow::Done(Ok(Reply::Done(true))),
        }
    }
    /// The answer to a write.
    fn main(&mut self, op: &Op, stage: Stage, outcome: Outcome, memory: &mut Memory, ctx: &Cx<'_>) -> Flow {
        let nested = matches!(op, Op::UpdateLeader { .. });
        let done = match &outcome {
            Ok(Answer::Txn(holds, revision, _)) => {
                if *holds {
                    self.write_through(op, stage, *revision, memory);
                } else if !nested {
                    // A condition failed: perhaps the cache is stale.
                    self.wire.restart = true;
                }
                Some((*holds, *revision))
            }
            _ => None,
        };
        let ok = done.is_some_and(|d| d.0);
        match (op, stage) {
            (Op::DeleteLeader { leader, optime }, Stage::Status) => {
                if ok && let Some(optime) = optime {
                    published(memory, Some(Status { optime: *optime, ..Status::default() }), None);
                }
                return delete_leader(leader.is_some(), memory);
            }
            (Op::WriteOptime(optime), _) if ok => {
                published(memory, Some(Status { optime: *optime, ..Status::default() }), None);
            }
            (Op::UpdateLeader { status, .. }, Stage::Status) => {
                if ok {
                    published(memory, status.clone(), None);
                }
                return self.publish_failsafe(memory);
            }
            (Op::UpdateLeader { failsafe, .. }, Stage::Failsafe) => {
                if ok {
                    published(memory, None, failsafe.clone());
                }
                return Flow::Done(Ok(Reply::Done(true)));
            }
            (Op::UpdateLeader { .. }, _) if ok => return self.publish_status(memory),
            (Op::WriteSync(sync, _), _) => {
                let version = done.filter(|d| d.0).map(|d| d.1);
                let new = version.map(|v| SyncState { version: Some(v), ..sync.clone() });
                return Flow::Done(Ok(Reply::Sync(new)));
            }
            _ => {}
        }
        match (op, outcome) {
            (_, Ok(_)) => Flow::Done(Ok(Reply::Done(ok))),
            (Op::Acquire, Err(Fail::LeaseNotFound)) => {
                self.lease = None;
                let Some(task) = &mut self.task else { return Flow::Done(Ok(Reply::Done(false))) };
                if std::mem::replace(&mut task.again, true) || !task.retry.has(Span::ZERO, ctx.now) {
                    return Flow::Done(Ok(Reply::Done(false)));
                }
                let mut retry = task.retry;
                retry.restart(ctx.now);
                Flow::Refresh(retry)
            }
            (Op::TouchMember(_), Err(Fail::LeaseNotFound)) => {
                self.lease = None;
                Flow::Done(Ok(Reply::Done(false)))
            }
            (Op::Acquire | Op::UpdateLeader { .. }, Err(Fail::Connection(cause))) => Flow::Done(Err(cause)),
            (_, Err(_)) => Flow::Done(Ok(Reply::Done(false))),
        }
    }
    /// The cache learns of an own write before the watch tells of it.
    fn write_through(&mut self, op: &Op, stage: Stage, revision: u64, memory: &Memory) {
        let lease = self.lease;
        let (key, value, lease): (String, Option<Text>, Option<LeaseId>) = match (op, stage) {
            (Op::UpdateLeader { status: Some(s), .. }, Stage::Status) => {
                ("status".to_owned(), memory.new_status(s.clone()).map(|s| s.text()), None)
            }
            (Op::UpdateLeader { failsafe: Some(f), .. }, Stage::Failsafe) => {
                ("failsafe".to_owned(), Some(cluster::failsafe_text(f)), None)
            }
            (Op::DeleteLeader { optime: Some(o), .. }, Stage::Status) | (Op::WriteOptime(o), _) => {
                ("status".to_owned(), status(memory, *o), None)
            }
            (Op::Acquire | Op::TakeLeader | Op::UpdateLeader { .. }, _) => {
                ("leader".to_owned(), Some(memory.name.clone()), lease)
            }
            (Op::TouchMember(data), _) => {
                let told = self.told.as_ref().filter(|t| Arc::ptr_eq(&t.0, data)).map(|t| t.1.clone());
                let text = told.unwrap_or_else(|| data.text());
                (format!("members/{}", memory.name), Some(text), lease)
            }
            (Op::DeleteLeader { .. }, _) => ("leader".to_owned(), None, None),
            (Op::Set(key, value, _), _) => (key.name().to_owned(), Some(value.clone()), None),
            (Op::WriteSync(sync, _), _) => ("sync".to_owned(), Some(sync.text()), None),
            (Op::DeleteSync(_), _) => ("sync".to_owned(), None, None),
            (Op::Initialize(_, id), _) => ("initialize".to_owned(), Some(id.clone()), None),
            (Op::CancelInitialization, _) => ("initialize".to_owned(), None, None),
            _ => return,
        };
        let key: Text = format!("{}{key}", memory.prefix).into();
        match value {
            Some(value) => {
                let kv = Kv { key, value, create_revision: revision, mod_revision: revision, lease };
                self.cache.set(&kv);
            }
            None => {
                self.cache.delete(&key, revision);
            }
        }
    }
}

/// What was written is known from now on.
fn published(memory: &mut Memory, status: Option<Status>, failsafe: Option<Failsafe>) {
    if let Some(new) = status.and_then(|s| memory.new_status(s)) {
        memory.status = new;
    }
    if failsafe.is_some() {
        memory.failsafe = failsafe;
    }
}
/// The text of `/status` with this position, if that is news.
fn status(memory: &Memory, optime: u64) -> Option<Text> {
    memory.new_status(Status { optime, ..Status::default() }).map(|s| s.text())
}
fn put(key: Text, value: Text, lease: Option<LeaseId>, only_if: Option<Compare>) -> Request {
    let then = vec![msg::Op::Put(key, value, lease)];
    Request::Txn(Arc::new(Txn { compare: only_if.into_iter().collect(), then, otherwise: Vec::new() }))
}
fn delete(key: Text, only_if: Option<Compare>) -> Request {
    let then = vec![msg::Op::Delete(key)];
    Request::Txn(Arc::new(Txn { compare: only_if.into_iter().collect(), then, otherwise: Vec::new() }))
}
fn delete_leader(known: bool, memory: &Memory) -> Flow {
    if !known {
        return Flow::Done(Ok(Reply::Done(false)));
    }
    let key: Text = format!("{}leader", memory.prefix).into();
    let mine = Compare::Value(key.clone(), memory.name.clone());
    Flow::Ask(delete(key, Some(mine)), None, Stage::Main)
}
fn grant(memory: &Memory, ctx: &mut Cx<'_>) -> Request {
    let id = LeaseId(1 + ctx.below(1 << 62));
    Request::LeaseGrant(id, memory.timing.ttl.0 / Span::secs(1).0)
}
