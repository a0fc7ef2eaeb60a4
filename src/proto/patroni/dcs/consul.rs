//! The client of Consul: a session for all keys, HTTP requests to the host's own agent, blocking queries.
//!
//! Source: Patroni 4.1.5, `dcs/consul.py`.

use super::cluster::{Cluster, failsafe_text};
use super::retry::Retry;
use super::service::Services;
use super::wire::fired;
use super::{
    Cause, Failsafe, Leader, MemberData, Memory, Op, Reply, Session, Setup, Status, SyncState, Text, Timing,
};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, Input, Tcp, TcpOptions, Timer};
use crate::proto::consul::msg::{
    self, Behavior, Check, Consistency, Error, Reply as Answer, Request, Session as Terms, SessionId,
};
use crate::proto::{Cx, Msg};
use std::sync::Arc;
use std::task::Poll;

/// Between two tries to get a session at the start.
const CONNECT_AGAIN: Span = Span::secs(5);
/// `lock_delay=0.001`.
const LOCK_DELAY: Span = Span::ms(1);
/// A blocking query that failed at once is repeated at once; the log of it takes so long.
const LOGGED: Span = Span::ms(10);
/// A read of `/sync` after it was written needs so much of the deadline; other calls a second.
const HALF: Span = Span::ms(500);
const ENOUGH: Span = Span::secs(1);

/// The client.
#[derive(Clone, Debug)]
pub(super) struct Consul {
    agent: Endpoint,
    consistency: Consistency,
    checks: Arc<[Check]>,
    services: Option<Services>,
    /// Half the ttl, since Consul doubles it; or the least that the servers take.
    session_ttl: Span,
    session: Option<SessionId>,
    /// The session that was asked for.
    asked: SessionId,
    refreshed: Option<Time>,
    do_not_watch: bool,
    task: Option<Task>,
    tag: u32,
    first_timer: u16,
}

/// A request under way.
#[derive(Clone, Debug)]
struct Exchange {
    conn: ConnId,
    tag: u32,
    request: Arc<Request>,
    timeout: Span,
}
/// A call of the HA loop.
#[derive(Clone, Debug)]
struct Task {
    op: Op,
    stage: Stage,
    exchange: Option<Exchange>,
    /// The last request.
    request: Option<Arc<Request>>,
    /// The request at hand is repeated by it.
    retry: Option<Retry>,
    /// The deadline of the operation, which `ensure_deadline` looks at.
    last: Retry,
    /// It has got a new session in its course.
    again: bool,
    /// The session was created by this call.
    created: bool,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Renew,
    Create,
    /// The agent is asked for the least session time.
    Adjust,
    Main,
    /// The leader key hangs on another session: it is deleted, and made again.
    DeleteKey,
    Status,
    Failsafe,
    Service,
    /// `/sync` is read after it was written.
    ReadSync,
    /// Until the event or a time.
    Wait,
    /// A blocking query, until then.
    Blocking(Time),
}
/// Why a request has no good answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fail {
    /// The deadline of the retries.
    Deadline(Cause),
    /// HTTP did not work, and it was not repeated.
    Http(Cause),
    /// 500.
    Internal,
    InvalidSession,
    InvalidTtl,
    NotFound,
}
type Outcome = Result<Answer, Fail>;
/// What comes next.
enum Flow {
    Ask(Request, Option<Retry>, Stage),
    Refresh(Retry, bool),
    /// The start has to try again.
    Later,
    Done(Result<Reply, Cause>),
}
const NO: Flow = Flow::Done(Ok(Reply::Done(false)));
const YES: Flow = Flow::Done(Ok(Reply::Done(true)));

impl Consul {
    pub(super) fn new(agent: Endpoint, setup: &Setup, timing: Timing) -> Self {
        let o = &setup.consul;
        let check = |name: &Text| match &**name {
            "serfHealth" => Check::Serf,
            _ => Check::Service(name.clone()),
        };
        Consul {
            agent,
            consistency: o.consistency,
            checks: o.checks.iter().map(check).collect(),
            services: o.register_service.then(|| Services::new(setup)),
            session_ttl: Span(timing.ttl.0 / 2),
            session: None,
            asked: SessionId(0),
            refreshed: None,
            do_not_watch: false,
            task: None,
            tag: 0,
            first_timer: setup.first_timer,
        }
    }
    pub(super) fn session(&self) -> Option<Session> {
        self.session.map(|s| Session(s.0))
    }
    pub(super) fn ttl(&self) -> Span {
        self.session_ttl.times(2)
    }
    pub(super) fn configure(&mut self, new: Timing, _: &Timing) {
        if self.session_ttl != Span(new.ttl.0 / 2) {
            self.session_ttl = Span(new.ttl.0 / 2);
            self.session = None;
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
        if let Some(Task { exchange: Some(x), .. }) = self.task.take() {
            ctx.act(Action::Close(x.conn));
            ctx.cancel_timer(self.timer());
        }
        let retry = Retry::new(memory.timing.retry_timeout, ctx.now);
        let flow = match &op {
            Op::Connect => Flow::Refresh(retry, false),
            Op::GetCluster => {
                let get =
                    Request::Get { prefix: path(memory, ""), consistency: self.consistency, blocking: None };
                Flow::Ask(get, Some(retry), Stage::Main)
            }
            Op::Acquire | Op::TakeLeader => Flow::Refresh(retry, false),
            Op::UpdateLeader { .. } => Flow::Refresh(retry, true),
            Op::TouchMember(_) => Flow::Refresh(retry, false),
            Op::DeleteLeader { leader, optime } => match optime.map(|o| status(memory, o)) {
                Some(Some(text)) => Flow::Ask(put(memory, "status", text, None), None, Stage::Status),
                _ => delete_leader(leader.as_ref(), memory),
            },
            Op::WriteOptime(optime) => match status(memory, *optime) {
                Some(text) => Flow::Ask(put(memory, "status", text, None), None, Stage::Status),
                None => YES,
            },
            Op::Set(key, value, version) => {
                Flow::Ask(put(memory, key.name(), value.clone(), *version), None, Stage::Main)
            }
            Op::WriteSync(sync, version) => {
                Flow::Ask(put(memory, "sync", sync.text(), *version), Some(retry), Stage::Main)
            }
            Op::DeleteSync(version) => {
                Flow::Ask(Request::Delete(path(memory, "sync"), *version), Some(retry), Stage::Main)
            }
            Op::Initialize(create, id) => {
                let cas = create.then_some(0);
                Flow::Ask(put(memory, "initialize", id.clone(), cas), Some(retry), Stage::Main)
            }
            Op::CancelInitialization => {
                Flow::Ask(Request::Delete(path(memory, "initialize"), None), Some(retry), Stage::Main)
            }
            Op::Watch(version, nap) => {
                self.refreshed = None;
                if std::mem::take(&mut self.do_not_watch) {
                    return Poll::Ready(Ok(Reply::Woken(true)));
                }
                let (version, until) = (*version, ctx.now + *nap);
                self.task = Some(task(op, retry));
                return self.watch(version, until, memory, ctx);
            }
        };
        self.task = Some(task(op, retry));
        self.flow(flow, memory, ctx)
    }

    fn flow(&mut self, flow: Flow, memory: &mut Memory, ctx: &mut Cx<'_>) -> Poll<Result<Reply, Cause>> {
        match flow {
            Flow::Done(result) => {
                self.task = None;
                Poll::Ready(result)
            }
            Flow::Later => {
                if let Some(task) = &mut self.task {
                    task.stage = Stage::Wait;
                }
                ctx.set_timer(self.wait_timer(), CONNECT_AGAIN);
                Poll::Pending
            }
            Flow::Refresh(retry, force) => {
                let fresh = self.refreshed.is_some_and(|at| at + memory.timing.loop_wait > ctx.now);
                if let Some(task) = &mut self.task {
                    task.last = retry;
                }
                match self.session {
                    Some(_) if fresh && !force => {
                        let next = self.refreshed(memory, ctx);
                        self.flow(next, memory, ctx)
                    }
                    Some(id) => self.ask(Request::SessionRenew(id), Some(retry), Stage::Renew, memory, ctx),
                    None => {
                        let create = self.create(ctx);
                        self.ask(create, Some(retry), Stage::Create, memory, ctx)
                    }
                }
            }
            Flow::Ask(request, retry, stage) => self.ask(request, retry, stage, memory, ctx),
        }
    }
    fn create(&mut self, ctx: &mut Cx<'_>) -> Request {
        self.asked = SessionId(1 + ctx.below(1 << 62));
        let terms = Terms {
            node: None,
            checks: self.checks.clone(),
            ttl: self.session_ttl,
            behavior: Behavior::Delete,
            lock_delay: LOCK_DELAY,
        };
        Request::SessionCreate(self.asked, Arc::new(terms))
    }
    fn ask(
        &mut self,
        request: Request,
        retry: Option<Retry>,
        stage: Stage,
        memory: &Memory,
        ctx: &mut Cx<'_>,
    ) -> Poll<Result<Reply, Cause>> {
        let timeout = match &request {
            // `wait + max(wait / 15, 1)`.
            Request::Get { blocking: Some((_, wait)), .. } => {
                Span(wait.0 + (wait.0 / 15).max(Span::secs(1).0))
            }
            _ => Span(memory.timing.retry_timeout.0 / 3),
        };
        if let Some(task) = &mut self.task {
            (task.stage, task.retry) = (stage, retry);
            if let Some(retry) = retry {
                task.last = retry;
            }
        }
        self.send(Arc::new(request), timeout, ctx);
        Poll::Pending
    }
    fn send(&mut self, request: Arc<Request>, timeout: Span, ctx: &mut Cx<'_>) {
        self.tag = self.tag.wrapping_add(1);
        let conn = ctx.connect(self.agent, Plane::dcs, TcpOptions::default());
        ctx.set_timer(self.timer(), timeout);
        if let Some(task) = &mut self.task {
            task.request = Some(request.clone());
            task.exchange = Some(Exchange { conn, tag: self.tag, request, timeout });
        }
    }

    pub(super) fn poll(
        &mut self,
        input: &Input<Msg>,
        memory: &mut Memory,
        ctx: &mut Cx<'_>,
    ) -> Poll<Result<Reply, Cause>> {
        let (timer, wait) = (self.timer(), self.wait_timer());
        let Some(task) = &mut self.task else { return Poll::Pending };
        match task.stage {
            Stage::Wait if fired(input, wait) => return self.waited(memory, ctx),
            Stage::Wait => return self.woken(memory, ctx),
            // A blocking query that failed is made again.
            Stage::Blocking(until) if task.exchange.is_none() => {
                let version = if let Op::Watch(version, _) = task.op { version } else { None };
                return match fired(input, wait) {
                    true => self.watch(version, until, memory, ctx),
                    false => Poll::Pending,
                };
            }
            _ => {}
        }
        let Some(x) = &task.exchange else {
            // `Retry` sleeps.
            if fired(input, timer)
                && let Some(again) = self.repeated(ctx)
            {
                self.send(again, Span(memory.timing.retry_timeout.0 / 3), ctx);
            }
            return Poll::Pending;
        };
        let conn = x.conn;
        let outcome: Outcome = match input {
            Input::Timer(t) if *t == timer => {
                ctx.act(Action::Close(conn));
                Err(Fail::Http(Cause::TimedOut))
            }
            Input::Tcp(c, news) if *c == conn => match news {
                Tcp::Connected => {
                    let msg = Msg::Consul(Box::new(msg::Msg::Request(x.tag, x.request.clone())));
                    ctx.act(Action::TcpSend(conn, msg));
                    ctx.set_timer(timer, x.timeout);
                    return Poll::Pending;
                }
                Tcp::Data(Msg::Consul(m)) => match &**m {
                    msg::Msg::Reply(tag, answer) if *tag == x.tag => {
                        ctx.act(Action::Close(conn));
                        match answer {
                            Answer::Failed(Error::InvalidSession) => Err(Fail::InvalidSession),
                            Answer::Failed(Error::InvalidTtl) => Err(Fail::InvalidTtl),
                            Answer::Failed(Error::NotFound) => Err(Fail::NotFound),
                            Answer::Failed(_) => Err(Fail::Internal),
                            answer => Ok(answer.clone()),
                        }
                    }
                    _ => return Poll::Pending,
                },
                Tcp::Data(_) | Tcp::Accepted { .. } => return Poll::Pending,
                Tcp::Closed => {
                    ctx.act(Action::Close(conn));
                    Err(Fail::Http(Cause::Refused))
                }
                Tcp::Reset => Err(Fail::Http(Cause::Refused)),
                Tcp::TimedOut => Err(Fail::Http(Cause::TimedOut)),
                Tcp::Unreachable => Err(Fail::Http(Cause::Unreachable)),
            },
            _ => return Poll::Pending,
        };
        ctx.cancel_timer(timer);
        task.exchange = None;
        self.attempted(outcome, memory, ctx)
    }
    /// An attempt is over: its failure may be worth another one.
    fn attempted(
        &mut self,
        outcome: Outcome,
        memory: &mut Memory,
        ctx: &mut Cx<'_>,
    ) -> Poll<Result<Reply, Cause>> {
        let timer = self.timer();
        let Some(task) = &mut self.task else { return Poll::Pending };
        let cause = match outcome {
            Err(Fail::Http(cause)) => Some(cause),
            Err(Fail::Internal) => Some(Cause::Server),
            _ => None,
        };
        let outcome = match (cause, &mut task.retry) {
            (Some(cause), Some(retry)) => match retry.failed(ctx.now, |n| ctx.below(n)) {
                Some(sleep) => {
                    task.last = *retry;
                    ctx.set_timer(timer, sleep);
                    return Poll::Pending;
                }
                None => Err(Fail::Deadline(cause)),
            },
            _ => outcome,
        };
        let flow = match task.stage {
            Stage::Renew | Stage::Create | Stage::Adjust => self.refresh(outcome, memory, ctx),
            Stage::Blocking(until) => return self.queried(outcome, until, ctx),
            _ => self.main(outcome, memory, ctx),
        };
        self.flow(flow, memory, ctx)
    }
    /// What a retry sends.
    fn repeated(&mut self, ctx: &mut Cx<'_>) -> Option<Arc<Request>> {
        let task = self.task.as_ref()?;
        match task.stage {
            Stage::Create => Some(Arc::new(self.create(ctx))),
            _ => task.request.clone(),
        }
    }

    // ---- the session -----------------------------------------------------------------------------------------------

    fn refresh(&mut self, outcome: Outcome, memory: &Memory, ctx: &mut Cx<'_>) -> Flow {
        let Some(task) = &mut self.task else { return NO };
        let retry = task.retry;
        match (task.stage, outcome) {
            (Stage::Renew, Err(Fail::NotFound)) => {
                self.session = None;
                let create = self.create(ctx);
                return Flow::Ask(create, retry, Stage::Create);
            }
            (Stage::Renew, Ok(_)) => {}
            (Stage::Create, Ok(_)) => {
                self.session = Some(self.asked);
                task.created = true;
            }
            (Stage::Create, Err(Fail::InvalidTtl)) => {
                return Flow::Ask(Request::AgentSelf, None, Stage::Adjust);
            }
            // `adjust_ttl`, and then the error of before goes its way.
            (Stage::Adjust, outcome) => {
                if let Ok(Answer::Agent { session_ttl_min }) = outcome {
                    self.session_ttl = session_ttl_min;
                }
                return match task.op {
                    Op::Connect => Flow::Later,
                    _ => NO,
                };
            }
            (_, Err(fail)) => {
                return match (&task.op, fail) {
                    (Op::Connect, _) => Flow::Later,
                    (Op::TouchMember(_), _) => NO,
                    (_, Fail::Deadline(cause) | Fail::Http(cause)) => Flow::Done(Err(cause)),
                    (_, Fail::InvalidSession) => Flow::Done(Err(Cause::Server)),
                    _ => NO,
                };
            }
            _ => return NO,
        }
        self.refreshed = Some(ctx.now);
        self.refreshed(memory, ctx)
    }
    /// The session is good: what the call is about.
    fn refreshed(&mut self, memory: &Memory, ctx: &Cx<'_>) -> Flow {
        let Some(task) = &mut self.task else { return NO };
        let mut retry = task.last;
        let enough = retry.has(ENOUGH, ctx.now);
        match &task.op {
            Op::Acquire | Op::TakeLeader if !enough => Flow::Done(Err(Cause::TimedOut)),
            Op::Acquire | Op::TakeLeader => {
                retry.restart(ctx.now);
                Flow::Ask(acquire(memory, self.session), Some(retry), Stage::Main)
            }
            Op::UpdateLeader { leader, .. } => {
                if leader.session == self.session.map(|s| Session(s.0)) {
                    return self.publish_status(memory);
                }
                if !enough {
                    return Flow::Done(Err(Cause::TimedOut));
                }
                let delete = Request::Delete(path(memory, "leader"), Some(leader.version));
                Flow::Ask(delete, None, Stage::DeleteKey)
            }
            Op::TouchMember(data) => {
                let data = data.clone();
                let session = self.session.map(|s| Session(s.0));
                match memory.member(ctx.now) {
                    Some(m) if task.created || m.session != session => {
                        task.created = true;
                        let key = path(memory, &format!("members/{}", memory.name));
                        Flow::Ask(Request::Delete(key, None), None, Stage::DeleteKey)
                    }
                    _ => self.register(&data, memory, ctx),
                }
            }
            _ => YES,
        }
    }
    /// `update_service`, if the member's service is to be registered.
    fn register(&mut self, data: &MemberData, memory: &Memory, ctx: &Cx<'_>) -> Flow {
        let Some(task) = &self.task else { return NO };
        let known = memory.member(ctx.now).map(|m| &m.data).filter(|_| !task.created);
        let ttl = self.session_ttl;
        match self.services.as_mut().and_then(|s| s.update(known, data, ttl)) {
            Some(request) => Flow::Ask(request, None, Stage::Service),
            None => self.write_member(data, memory, ctx),
        }
    }
    fn write_member(&self, data: &MemberData, memory: &Memory, ctx: &Cx<'_>) -> Flow {
        let created = self.task.as_ref().is_some_and(|t| t.created);
        if !created && memory.member(ctx.now).is_some_and(|m| m.data == *data) {
            return YES;
        }
        let key = path(memory, &format!("members/{}", memory.name));
        let put = Request::Put { key, value: data.text(), acquire: self.session, cas: None };
        Flow::Ask(put, None, Stage::Main)
    }

    // ---- what the answers mean -------------------------------------------------------------------------------------

    fn publish_status(&self, memory: &Memory) -> Flow {
        if let Some(Task { op: Op::UpdateLeader { status: Some(status), .. }, .. }) = &self.task
            && status.optime > 0
            && let Some(new) = memory.new_status(status.clone())
        {
            return Flow::Ask(put(memory, "status", new.text(), None), None, Stage::Status);
        }
        self.publish_failsafe(memory)
    }
    fn publish_failsafe(&self, memory: &Memory) -> Flow {
        if let Some(Task { op: Op::UpdateLeader { failsafe: Some(f), .. }, .. }) = &self.task
            && memory.failsafe.as_ref() != Some(f)
        {
            return Flow::Ask(put(memory, "failsafe", failsafe_text(f), None), None, Stage::Failsafe);
        }
        YES
    }
    fn main(&mut self, outcome: Outcome, memory: &mut Memory, ctx: &Cx<'_>) -> Flow {
        let Some(task) = &mut self.task else { return NO };
        let (op, stage) = (task.op.clone(), task.stage);
        let ok = matches!(outcome, Ok(Answer::Done(true)));
        match (&op, stage, outcome) {
            (Op::GetCluster, _, Ok(Answer::Keys(keys, _))) => {
                let prefix = path(memory, "");
                let keys = keys.iter().filter_map(|e| {
                    let key = e.key.strip_prefix(&*prefix)?;
                    Some((key, &e.value, e.modify_index, e.session.map(|s| Session(s.0))))
                });
                let view = Arc::new(Cluster::from_keys(memory.read.as_deref(), keys));
                memory.loaded(view.clone(), self.session_ttl.times(2), ctx.now);
                Flow::Done(Ok(Reply::Cluster(view)))
            }
            (Op::GetCluster, _, outcome) => {
                memory.cluster = None;
                Flow::Done(Err(cause_of(outcome)))
            }
            (Op::Acquire | Op::TakeLeader, _, Err(Fail::InvalidSession)) => {
                self.session = None;
                if std::mem::replace(&mut task.again, true) {
                    return Flow::Done(Err(Cause::Server));
                }
                let mut retry = task.last;
                if !retry.has(Span::ZERO, ctx.now) {
                    return NO;
                }
                retry.restart(ctx.now);
                Flow::Refresh(retry, false)
            }
            (Op::Acquire | Op::TakeLeader, _, Err(Fail::Deadline(cause) | Fail::Http(cause))) => {
                Flow::Done(Err(cause))
            }
            (Op::UpdateLeader { .. }, Stage::Status, _) => {
                if let (true, Op::UpdateLeader { status, .. }) = (ok, &op) {
                    published(memory, status.clone(), None);
                }
                self.publish_failsafe(memory)
            }
            (Op::UpdateLeader { failsafe, .. }, Stage::Failsafe, _) => {
                if ok {
                    published(memory, None, failsafe.clone());
                }
                YES
            }
            // An unfit answer is the one to `delete`: it goes on; an error does not.
            (Op::UpdateLeader { .. }, Stage::DeleteKey, Ok(_)) => {
                if !task.last.has(HALF, ctx.now) {
                    return Flow::Done(Err(Cause::TimedOut));
                }
                Flow::Ask(acquire(memory, self.session), None, Stage::Main)
            }
            (Op::UpdateLeader { .. }, _, Ok(_)) => self.publish_status(memory),
            (Op::UpdateLeader { .. }, _, Err(Fail::Deadline(cause) | Fail::Http(cause))) => {
                Flow::Done(Err(cause))
            }
            (Op::UpdateLeader { .. }, _, Err(Fail::InvalidSession)) => Flow::Done(Err(Cause::Server)),
            (Op::DeleteLeader { leader, optime }, Stage::Status, _) => {
                if let (true, Some(optime)) = (ok, optime) {
                    published(memory, Some(Status { optime: *optime, ..Status::default() }), None);
                }
                delete_leader(leader.as_ref(), memory)
            }
            (Op::WriteOptime(optime), ..) => {
                if ok {
                    published(memory, Some(Status { optime: *optime, ..Status::default() }), None);
                }
                Flow::Done(Ok(Reply::Done(ok)))
            }
            (Op::TouchMember(data), Stage::DeleteKey, Ok(_)) => self.register(data, memory, ctx),
            (Op::TouchMember(data), Stage::Service, outcome) => {
                if let Some(services) = &mut self.services {
                    services.answered(outcome.is_ok());
                }
                self.write_member(data, memory, ctx)
            }
            (Op::TouchMember(_), _, Ok(_)) => YES,
            (Op::TouchMember(_), _, Err(fail)) => {
                if fail == Fail::InvalidSession {
                    self.session = None;
                }
                NO
            }
            (Op::WriteSync(..), Stage::Main, Ok(_)) if ok && task.last.has(HALF, ctx.now) => {
                let get = Request::Get {
                    prefix: path(memory, "sync"),
                    consistency: Consistency::Consistent,
                    blocking: None,
                };
                let retry = Retry::new(memory.timing.retry_timeout, ctx.now);
                Flow::Ask(get, Some(retry), Stage::ReadSync)
            }
            (Op::WriteSync(sync, _), Stage::ReadSync, Ok(Answer::Keys(keys, _))) => {
                let text = sync.text();
                let mine = keys.iter().find(|e| e.key == path(memory, "sync") && e.value == text);
                let new = mine.map(|e| SyncState { version: Some(e.modify_index), ..sync.clone() });
                Flow::Done(Ok(Reply::Sync(new)))
            }
            (Op::WriteSync(..), ..) => Flow::Done(Ok(Reply::Sync(None))),
            _ => Flow::Done(Ok(Reply::Done(ok))),
        }
    }

    // ---- waiting ---------------------------------------------------------------------------------------------------

    /// A blocking query on the leader key for as long as whole seconds are left; what remains is slept.
    fn watch(
        &mut self,
        version: Option<u64>,
        until: Time,
        memory: &mut Memory,
        ctx: &mut Cx<'_>,
    ) -> Poll<Result<Reply, Cause>> {
        let left = until.since(ctx.now);
        if let Some(version) = version
            && left >= ENOUGH
        {
            let get = Request::Get {
                prefix: path(memory, "leader"),
                consistency: self.consistency,
                blocking: Some((version, left)),
            };
            return self.ask(get, None, Stage::Blocking(until), memory, ctx);
        }
        if let Some(task) = &mut self.task {
            task.stage = Stage::Wait;
        }
        ctx.set_timer(self.wait_timer(), left);
        self.woken(memory, ctx)
    }
    fn queried(&mut self, outcome: Outcome, until: Time, ctx: &mut Cx<'_>) -> Poll<Result<Reply, Cause>> {
        let Some(Task { op: Op::Watch(version, _), .. }) = &self.task else { return Poll::Pending };
        match outcome {
            Ok(Answer::Keys(_, index)) => {
                let changed = *version != Some(index);
                self.task = None;
                Poll::Ready(Ok(Reply::Woken(changed)))
            }
            _ => {
                let pause = LOGGED.min(until.since(ctx.now));
                ctx.set_timer(self.wait_timer(), pause);
                Poll::Pending
            }
        }
    }
    /// The event was set: a sleep is over.
    pub(super) fn woken(&mut self, memory: &mut Memory, ctx: &mut Cx<'_>) -> Poll<Result<Reply, Cause>> {
        let sleeps = |t: &Task| t.stage == Stage::Wait && matches!(t.op, Op::Watch(..));
        if !memory.event || !self.task.as_ref().is_some_and(sleeps) {
            return Poll::Pending;
        }
        memory.event = false;
        self.task = None;
        ctx.cancel_timer(self.wait_timer());
        Poll::Ready(Ok(Reply::Woken(true)))
    }
    fn waited(&mut self, memory: &mut Memory, ctx: &mut Cx<'_>) -> Poll<Result<Reply, Cause>> {
        if self.task.as_ref().is_some_and(|t| t.op == Op::Connect) {
            let retry = Retry::new(memory.timing.retry_timeout, ctx.now);
            return self.flow(Flow::Refresh(retry, false), memory, ctx);
        }
        self.task = None;
        Poll::Ready(Ok(Reply::Woken(std::mem::take(&mut memory.event))))
    }
}

fn task(op: Op, last: Retry) -> Task {
    Task {
        op,
        stage: Stage::Main,
        exchange: None,
        request: None,
        retry: None,
        last,
        again: false,
        created: false,
    }
}
fn cause_of(outcome: Outcome) -> Cause {
    match outcome {
        Err(Fail::Deadline(cause) | Fail::Http(cause)) => cause,
        _ => Cause::Server,
    }
}
/// A key of the cluster; Consul's have no slash at the beginning.
fn path(memory: &Memory, key: &str) -> Text {
    format!("{}{key}", memory.prefix.trim_start_matches('/')).into()
}
fn put(memory: &Memory, key: &str, value: Text, cas: Option<u64>) -> Request {
    Request::Put { key: path(memory, key), value, acquire: None, cas }
}
fn acquire(memory: &Memory, session: Option<SessionId>) -> Request {
    let (key, value) = (path(memory, "leader"), memory.name.clone());
    Request::Put { key, value, acquire: session, cas: None }
}
fn delete_leader(leader: Option<&Leader>, memory: &Memory) -> Flow {
    match leader {
        Some(l) => Flow::Ask(Request::Delete(path(memory, "leader"), Some(l.version)), None, Stage::Main),
        None => NO,
    }
}
fn published(memory: &mut Memory, status: Option<Status>, failsafe: Option<Failsafe>) {
    if let Some(new) = status.and_then(|s| memory.new_status(s)) {
        memory.status = new;
    }
    if failsafe.is_some() {
        memory.failsafe = failsafe;
    }
}
fn status(memory: &Memory, optime: u64) -> Option<Text> {
    memory.new_status(Status { optime, ..Status::default() }).map(|s| s.text())
}
