//! The REST interface: health checks for load balancers, the status for other members, an operator's commands.
//!
//! Source: `api.py` of Patroni 4.1.5. It runs in threads of its own: it answers while the HA loop blocks, and with what the loop knew last.
//! `/primary` looks at the lock, not at PostgreSQL. A request that needs PostgreSQL waits for it.

use super::config::Dynamic;
use super::dcs::cluster::Failover;
use super::dcs::{self, Cluster, Key};
use super::fetch::Ask;
use super::flow::{EXEC, Flow, Frame, Op, Raised, Value};
use super::note::Note;
use super::process::{Agent, T_REST, T_REST_SQL, Task, ns};
use super::race::Peer;
use super::rest::{Body, Status, Switchover};
use super::server;
use super::sql::{Failed, Session};
use super::state::{Role, State};
use crate::engine::{Span, Time};
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, Input, Tcp};
use crate::proto::http::{Http, Method};
use crate::proto::postgres::data;
use crate::proto::postgres::msg::{Answer, Statement};
use crate::proto::{Cx, Msg};
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// The API looks whether a switchover is over once a second.
const POLL: Span = Span::secs(1);

/// A request on its way through the interface.
#[derive(Clone, Debug)]
pub(super) struct Job {
    id: u16,
    /// Nothing: an operator's call on the host itself.
    conn: Option<ConnId>,
    method: Method,
    path: Arc<str>,
    body: Option<Arc<Body>>,
    /// Python gets to it then.
    at: Time,
    /// PostgreSQL was asked.
    asked: bool,
    again: bool,
}

/// The interface.
#[derive(Clone, Debug)]
pub(super) struct Server {
    session: Session,
    conns: Vec<ConnId>,
    jobs: Vec<Job>,
    next: u16,
}
impl Server {
    pub(super) fn new(local: Endpoint) -> Self {
        Server { session: Session::new(local, T_REST_SQL), conns: Vec::new(), jobs: Vec::new(), next: 0 }
    }
    pub(super) fn close_session(&mut self, ctx: &mut Cx<'_>) {
        self.session.close(ctx);
    }
}

/// Pieces of requests that take their time.
#[derive(Clone, Debug)]
pub(super) enum At {
    Switchover(Box<Job>),
    SwitchoverView(Box<Job>),
    SwitchoverSaid(Box<Job>),
    SwitchoverWritten(Box<Job>),
    SwitchoverPoll(Box<Job>, u32),
    SwitchoverPolled(Box<Job>, u32),
    Unschedule(Box<Job>),
    Unscheduled(Box<Job>),
    Restart(Box<Job>),
    RestartWait(Box<Job>),
    Reinitialize(Box<Job>),
    Patch(Box<Job>),
    Patched(Box<Job>),
}
impl At {
    /// Whether the piece has an `except` for it.
    pub(super) fn catches(&self, raised: Raised) -> bool {
        match self {
            At::SwitchoverView(_)
            | At::SwitchoverPolled(..)
            | At::Unschedule(_)
            | At::Reinitialize(_)
            | At::Patch(_) => raised == Raised::Dcs,
            _ => false,
        }
    }
}
fn go(at: At) -> Frame {
    Frame::Serve(at)
}

impl Agent {
    // ---- connections -----------------------------------------------------------------------------------------------------

    pub(super) fn rest_input(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) -> bool {
        match input {
            Input::Tcp(conn, Tcp::Accepted { to, .. }) if to.port == super::REST_PORT => {
                if self.rest_closed {
                    ctx.act(Action::Close(*conn));
                } else {
                    self.rest.conns.push(*conn);
                }
                return true;
            }
            Input::Tcp(conn, news) if self.rest.conns.contains(conn) => {
                match news {
                    Tcp::Data(Msg::Http(Http::Request(method, path, body))) => {
                        self.request(Some(*conn), *method, path.clone(), body.clone(), ctx);
                    }
                    Tcp::Data(_) => {}
                    _ => {
                        ctx.act(Action::Close(*conn));
                        self.rest.conns.retain(|c| c != conn);
                        self.rest.jobs.retain(|j| j.conn != Some(*conn));
                    }
                }
                return true;
            }
            Input::Timer(T_REST) => {
                self.due(ctx);
                return true;
            }
            _ => {}
        }
        if !self.rest.session.on(input, ctx) {
            return false;
        }
        self.rest_answers(ctx);
        true
    }
    /// An operator's call on this host.
    pub(super) fn rest_call(&mut self, msg: &Msg, ctx: &mut Cx<'_>) {
        if let Msg::Http(Http::Request(method, path, body)) = msg {
            self.request(None, *method, path.clone(), body.clone(), ctx);
        }
    }
    fn request(
        &mut self,
        conn: Option<ConnId>,
        method: Method,
        path: Arc<str>,
        body: Option<Arc<Body>>,
        ctx: &mut Cx<'_>,
    ) {
        let at = ctx.now + Self::draw(ctx, self.config.rest_time);
        self.rest.next = self.rest.next.wrapping_add(1);
        let id = self.rest.next;
        self.rest.jobs.push(Job { id, conn, method, path, body, at, asked: false, again: false });
        self.set_rest_timer(ctx);
    }
    fn set_rest_timer(&self, ctx: &mut Cx<'_>) {
        if let Some(at) = self.rest.jobs.iter().filter(|j| !j.asked).map(|j| j.at).min() {
            ctx.set_timer(T_REST, at.since(ctx.now));
        }
    }
    /// Requests that Python gets to now.
    fn due(&mut self, ctx: &mut Cx<'_>) {
        while let Some(i) = self.rest.jobs.iter().position(|j| !j.asked && j.at <= ctx.now) {
            let job = self.rest.jobs[i].clone();
            if self.needs_postgres(&job) {
                self.rest.jobs[i].asked = true;
                self.rest.session.ask(job.id, Statement::Status, ctx);
                self.rest_answers(ctx);
            } else {
                self.rest.jobs.remove(i);
                self.handle(job, None, ctx);
            }
        }
        self.set_rest_timer(ctx);
    }
    pub(super) fn rest_answers(&mut self, ctx: &mut Cx<'_>) {
        while let Some((id, answer)) = self.rest.session.answer() {
            let Some(i) = self.rest.jobs.iter().position(|j| j.id == id) else { continue };
            let retries = matches!(path_of(&self.rest.jobs[i].path), "/patroni" | "/readiness");
            if answer == Err(Failed::NoSession) && retries && !self.rest.jobs[i].again {
                self.rest.jobs[i].again = true;
                self.rest.session.ask(id, Statement::Status, ctx);
                continue;
            }
            let job = self.rest.jobs.remove(i);
            let info = match answer {
                Ok(Answer::Status(info)) => Some(info),
                _ => None,
            };
            self.handle(job, info.as_deref(), ctx);
        }
    }
    fn needs_postgres(&self, job: &Job) -> bool {
        if !matches!(job.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return false;
        }
        let path = path_of(&job.path);
        let other =
            matches!(path, "/liveness" | "/config" | "/cluster" | "/history" | "/metrics" | "/failsafe");
        !other && matches!(self.state, State::Running | State::Restarting | State::Starting)
    }
    fn respond(&mut self, conn: Option<ConnId>, status: u16, body: Option<Body>, ctx: &mut Cx<'_>) {
        match conn {
            Some(conn) if self.rest.conns.contains(&conn) => {
                let body = body.map(Arc::new);
                ctx.act(Action::TcpSend(conn, Msg::Http(Http::Response(status, body))));
                ctx.act(Action::Close(conn));
                self.rest.conns.retain(|c| *c != conn);
            }
            Some(_) => {}
            None => {
                let text = match body {
                    Some(Body::Text(text)) => text.into(),
                    _ => "".into(),
                };
                self.note(Note::Answered { status, text }, ctx);
            }
        }
    }
    fn say(&mut self, job: &Job, status: u16, text: &str, ctx: &mut Cx<'_>) -> Flow {
        self.respond(job.conn, status, Some(Body::text(text)), ctx);
        Flow::done()
    }
    /// The interface ends.
    pub(super) fn close_rest(&mut self, ctx: &mut Cx<'_>) {
        for conn in std::mem::take(&mut self.rest.conns) {
            ctx.act(Action::Close(conn));
        }
        self.rest.jobs.clear();
    }

    // ---- requests --------------------------------------------------------------------------------------------------------

    fn handle(&mut self, job: Job, info: Option<&data::Status>, ctx: &mut Cx<'_>) {
        let path = path_of(&job.path).to_owned();
        let get = matches!(job.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if get {
            let (status, latest_end) = self.rest_status(info, ctx);
            let code = match path.as_str() {
                "/patroni" | "/config" | "/cluster" | "/history" | "/metrics" => 200,
                "/failsafe" => {
                    if self.dynamic.failsafe_mode {
                        200
                    } else {
                        502
                    }
                }
                "/liveness" => self.liveness(ctx),
                "/readiness" => self.readiness(&job, &status, latest_end, ctx),
                _ => self.health(&path, &job.path, &status, latest_end, ctx),
            };
            let body = (job.method == Method::GET).then_some(Body::Status(status));
            return self.respond(job.conn, code, body, ctx);
        }
        if (job.method, path.as_str()) == (Method::POST, "/failsafe") {
            return self.failsafe_call(&job, ctx);
        }
        let Some(t) = self.rest_thread() else {
            return self.respond(job.conn, 503, None, ctx);
        };
        let conn = job.conn;
        let job = Box::new(job);
        let at = match (job.method, path.as_str()) {
            (Method::POST, "/switchover" | "/failover") => At::Switchover(job),
            (Method::DELETE, "/switchover") => At::Unschedule(job),
            (Method::POST, "/restart") => At::Restart(job),
            (Method::POST, "/reinitialize") => At::Reinitialize(job),
            (Method::PATCH, "/config") => At::Patch(job),
            (Method::DELETE, "/restart") => {
                let code = if self.scheduled_restart.take().is_some() { 200 } else { 404 };
                return self.respond(conn, code, None, ctx);
            }
            _ => return self.respond(conn, 501, None, ctx),
        };
        self.spawn(t, go(at));
    }

    /// `get_postgresql_status`; and the upstream's flushed position, as the walreceiver heard it.
    fn rest_status(&self, info: Option<&data::Status>, ctx: &Cx<'_>) -> (Status, u64) {
        let cluster = self.dcs.cluster(ctx.now);
        let state = match (info, self.state) {
            (None, State::Running) => None,
            (_, state) => Some(state),
        };
        let mut s = Status {
            state,
            role: self.role,
            xlog: false,
            location: None,
            received: 0,
            replayed: 0,
            timeline: 0,
            streaming: false,
            nofailover: self.nofailover(),
            failover_priority: self.config.tags.priority(),
            watchdog_failed: !self.watchdog_healthy(ctx),
            pause: self.is_paused(),
            cluster_unlocked: cluster.is_none_or(|c| c.is_unlocked()),
            failsafe_mode_is_active: self.failsafe_active(ctx.wall_clock),
            sync_standby: false,
            quorum_standby: false,
        };
        let Some(info) = info else { return (s, 0) };
        s.xlog = true;
        s.timeline = info.timeline;
        if !info.in_recovery {
            s.role = Role::Primary;
            s.location = Some(info.flush.0);
            return (s, 0);
        }
        s.role = Role::Replica;
        s.replayed = info.replayed.0;
        s.received = if info.received.0 > 0 { info.received.0 } else { info.replayed.0 };
        s.streaming = info.streaming;
        if self.dynamic.is_synchronous_mode() && cluster.is_some_and(|c| c.sync.matches(self.me(), false)) {
            if self.dynamic.is_quorum_commit_mode() {
                s.quorum_standby = true;
            } else {
                s.sync_standby = true;
            }
        }
        (s, info.latest_end.0)
    }

    /// The table of §14.
    fn health(&self, path: &str, full: &str, s: &Status, latest_end: u64, ctx: &Cx<'_>) -> u16 {
        let cluster = self.dcs.cluster(ctx.now);
        let optime = cluster.map_or(0, |c| c.status.optime).max(latest_end);
        let lagging = query(full, "lag")
            .and_then(bytes_of)
            .is_some_and(|lag| optime > 0 && optime > s.replayed.saturating_add(lag));
        let replica = !self.config.tags.noloadbalance
            && !lagging
            && s.role == Role::Replica
            && s.state == Some(State::Running);
        let leader = if cluster.is_none() && s.pause { s.role == Role::Primary } else { self.is_leader(ctx) };
        // A standby cluster is not modelled: the leader is the primary.
        let primary = leader;
        let (yes, by_tags) = match path {
            "/standby_leader" | "/standby-leader" => (false, false),
            "/leader" => (leader, false),
            "/" | "/primary" | "/master" | "/read-write" => (primary, false),
            "/replica" => (replica, true),
            "/read-only" => (primary || replica, true),
            "/health" => (s.state == Some(State::Running), true),
            _ if cluster.is_none() => (false, true),
            "/sync" | "/synchronous" => (s.sync_standby && replica, true),
            "/quorum" => (s.quorum_standby && replica, true),
            "/async" | "/asynchronous" => (!s.sync_standby && !s.quorum_standby && replica, true),
            "/read-only-quorum" => (primary || (s.quorum_standby && replica), true),
            "/read-only-sync" | "/read-only-synchronous" => (primary || (s.sync_standby && replica), true),
            _ => (false, true),
        };
        if yes && (!by_tags || self.tags_match(full)) { 200 } else { 503 }
    }
    /// `tag_x=y` in the query.
    fn tags_match(&self, full: &str) -> bool {
        let t = &self.config.tags;
        let Some((_, q)) = full.split_once('?') else { return true };
        q.split('&').filter_map(|p| p.split_once('=')).all(|(k, v)| {
            let Some(tag) = k.strip_prefix("tag_") else { return true };
            let set = match tag {
                "nofailover" => t.nofailover.to_string(),
                "nosync" => t.nosync.to_string(),
                "noloadbalance" => t.noloadbalance.to_string(),
                "clonefrom" => t.clonefrom.to_string(),
                "nostream" => t.nostream.to_string(),
                "failover_priority" => t.failover_priority.map_or_else(String::new, |p| p.to_string()),
                "sync_priority" => t.sync_priority.map_or_else(String::new, |p| p.to_string()),
                "replicatefrom" => t.replicatefrom.clone().unwrap_or_default(),
                _ => return false,
            };
            set == v
        })
    }
    fn liveness(&self, ctx: &Cx<'_>) -> u16 {
        let primary = self.role == Role::Primary && self.running(ctx);
        let most = self.ttl() * if primary { 1 } else { 2 };
        if self.is_paused() || self.next_run + most > ctx.wall_clock { 200 } else { 503 }
    }
    fn readiness(&self, job: &Job, s: &Status, latest_end: u64, ctx: &Cx<'_>) -> u16 {
        if self.is_leader(ctx) {
            return 200;
        }
        if self.state != State::Running || !s.streaming {
            return 503;
        }
        let cluster = self.dcs.cluster(ctx.now);
        if cluster.is_none() && latest_end == 0 {
            return if s.failsafe_mode_is_active { 200 } else { 503 };
        }
        let optime = cluster.map_or(0, |c| c.status.optime).max(latest_end);
        let mine = if query(&job.path, "mode") == Some("write") { s.received } else { s.replayed };
        let most = query(&job.path, "lag").and_then(bytes_of);
        let most = most.unwrap_or(self.dynamic.maximum_lag_on_failover);
        if optime.saturating_sub(mine) > most { 503 } else { 200 }
    }
    /// `POST /failsafe`: a leader that lost the DCS asks whether it may go on.
    fn failsafe_call(&mut self, job: &Job, ctx: &mut Cx<'_>) {
        if !self.dynamic.failsafe_mode {
            return self.respond(job.conn, 502, None, ctx);
        }
        let Some(Body::Failsafe(call)) = job.body.as_deref() else {
            return self.respond(job.conn, 400, None, ctx);
        };
        if self.state == State::Running && self.role == Role::Primary {
            return self.respond(job.conn, 500, Some(Body::text("Running as a leader")), ctx);
        }
        self.failsafe.last_update = ctx.wall_clock;
        self.failsafe.name = Some(call.name.clone());
        self.failsafe.ip = Some(call.ip);
        let lsn = self.last_wal_lsn;
        self.respond(job.conn, 200, Some(Body::Accepted(lsn)), ctx);
    }

    // ---- an operator's commands ------------------------------------------------------------------------------------------

    pub(super) fn serve(&mut self, at: At, value: Value, ctx: &mut Cx<'_>) -> Flow {
        match at {
            At::Switchover(job) => Flow::Do(Op::Dcs(dcs::Op::GetCluster), go(At::SwitchoverView(job))),
            At::SwitchoverView(job) => {
                let Value::Cluster(cluster) = value else {
                    return self.say(&job, 503, "the DCS is not accessible", ctx);
                };
                let wish = wish(&job);
                match self.judge(&job, &wish, &cluster, ctx) {
                    Err((status, text)) => self.say(&job, status, text, ctx),
                    Ok(None) => self.write_failover(job, &wish),
                    Ok(Some(asked)) => Flow::Do(Op::Fetch(Ask::Status, asked), go(At::SwitchoverSaid(job))),
                }
            }
            At::SwitchoverSaid(job) => {
                let Value::Said(said) = value else { return Flow::done() };
                if !said.iter().filter_map(Peer::of).any(|p| p.may_lead()) {
                    let text = "not possible: no good candidates have been found";
                    return self.say(&job, 412, text, ctx);
                }
                let wish = wish(&job);
                self.write_failover(job, &wish)
            }
            At::SwitchoverWritten(job) => {
                if !value.yes() {
                    return self.say(&job, 503, "failed to write failover key into DCS", ctx);
                }
                self.wakeup(ctx);
                if wish(&job).scheduled_at.is_some() {
                    return self.say(&job, 202, "switchover scheduled", ctx);
                }
                let loop_wait = ns(self.dynamic.timing.loop_wait) / ns(POLL);
                let polls = 2 * loop_wait.max(10) as u32;
                Flow::Do(Op::Sleep(POLL), go(At::SwitchoverPoll(job, polls)))
            }
            At::SwitchoverPoll(job, 0) => self.say(&job, 503, "switchover status unknown", ctx),
            At::SwitchoverPoll(job, left) => {
                Flow::Do(Op::Dcs(dcs::Op::GetCluster), go(At::SwitchoverPolled(job, left)))
            }
            At::SwitchoverPolled(job, left) => {
                let wish = wish(&job);
                if let Value::Cluster(c) = value {
                    let old = wish.leader.as_deref();
                    if let Some(now) = c.leader_name().filter(|n| Some(*n) != old) {
                        let wanted = wish.candidate.as_deref().is_none_or(|w| w == now);
                        let text = if wanted { "switched over" } else { "switched over to another one" };
                        return self.say(&job, 200, text, ctx);
                    }
                    if c.failover.as_ref().is_none_or(Failover::is_empty) {
                        return self.say(&job, 503, "switchover failed", ctx);
                    }
                }
                Flow::Do(Op::Sleep(POLL), go(At::SwitchoverPoll(job, left - 1)))
            }
            At::Unschedule(job) => match value {
                Value::Nothing => Flow::Do(Op::Dcs(dcs::Op::GetCluster), go(At::Unschedule(job))),
                Value::Cluster(c) => match c.failover.as_ref().filter(|f| f.scheduled_at.is_some()) {
                    Some(f) => {
                        let text = Failover::text(None, None, None);
                        let op = dcs::Op::Set(Key::Failover, text, Some(f.version));
                        Flow::Do(Op::Dcs(op), go(At::Unscheduled(job)))
                    }
                    None => self.say(&job, 404, "no switchover is scheduled", ctx),
                },
                _ => self.say(&job, 503, "the DCS is not accessible", ctx),
            },
            At::Unscheduled(job) => {
                let status = if value.yes() { 200 } else { 409 };
                self.say(&job, status, "scheduled switchover deleted", ctx)
            }
            At::Restart(job) => {
                let r = match job.body.as_deref() {
                    Some(Body::Restart(r)) => r.clone(),
                    _ => super::rest::Restart::default(),
                };
                if r.schedule.is_some() {
                    if self.is_paused() {
                        return self.say(&job, 500, "can't schedule restart in the paused state", ctx);
                    }
                    if self.scheduled_restart.is_some() {
                        return self.say(&job, 409, "another restart is already scheduled", ctx);
                    }
                    self.scheduled_restart = Some(r);
                    return self.say(&job, 202, "restart scheduled", ctx);
                }
                if !self.begin_restart(&r, ctx) {
                    return self.say(&job, 503, "restart conditions are not satisfied", ctx);
                }
                Flow::Do(Op::Sleep(POLL), go(At::RestartWait(job)))
            }
            At::RestartWait(job) if self.task == Some(Task::Restart) => {
                Flow::Do(Op::Sleep(POLL), go(At::RestartWait(job)))
            }
            At::RestartWait(job) => {
                let ok = self.state == State::Running;
                let text = if ok { "restarted successfully" } else { "restart failed" };
                self.say(&job, if ok { 200 } else { 503 }, text, ctx)
            }
            At::Reinitialize(job) => match value {
                Value::Nothing => Flow::Do(Op::Dcs(dcs::Op::GetCluster), go(At::Reinitialize(job))),
                Value::Cluster(c) => {
                    let r = match job.body.as_deref() {
                        Some(Body::Reinitialize(r)) => *r,
                        _ => super::rest::Reinitialize::default(),
                    };
                    if c.is_unlocked() {
                        return self.say(&job, 503, "Cluster has no leader, can not reinitialize", ctx);
                    }
                    if c.leader_name() == Some(self.me()) {
                        return self.say(&job, 503, "I am the leader, can not reinitialize", ctx);
                    }
                    if r.force && self.task.is_some() {
                        self.cancel_task(ctx);
                        self.abandon(EXEC, ctx);
                        self.task = None;
                    }
                    let frame = Frame::Server(server::At::Reinitialize(r.from_leader));
                    if !self.background(Task::Reinitialize, frame) {
                        return self.say(&job, 503, "another action is already in progress", ctx);
                    }
                    self.say(&job, 200, "reinitialize started", ctx)
                }
                _ => self.say(&job, 503, "the DCS is not accessible", ctx),
            },
            At::Patch(job) => match value {
                Value::Nothing => Flow::Do(Op::Dcs(dcs::Op::GetCluster), go(At::Patch(job))),
                Value::Cluster(c) => {
                    let Some(Body::Config(text)) = job.body.as_deref() else {
                        return self.say(&job, 400, "no configuration", ctx);
                    };
                    let Some(config) = &c.config else { return self.say(&job, 409, "no configuration", ctx) };
                    let Ok(Json::Object(patch)) = serde_json::from_str::<Json>(text) else {
                        return self.say(&job, 400, "no JSON object", ctx);
                    };
                    let mut data = (*config.data).clone();
                    merge(&mut data, &patch);
                    let op = dcs::Op::Set(
                        Key::Config,
                        Json::Object(data).to_string().into(),
                        Some(config.version),
                    );
                    Flow::Do(Op::Dcs(op), go(At::Patched(job)))
                }
                _ => self.say(&job, 503, "the DCS is not accessible", ctx),
            },
            At::Patched(job) => {
                if !value.yes() {
                    return self.say(&job, 409, "conflict", ctx);
                }
                self.wakeup(ctx);
                self.say(&job, 200, "changed", ctx)
            }
        }
    }

    /// Whether a switchover or failover may begin, and who is to be asked first.
    #[allow(clippy::type_complexity)]
    fn judge(
        &self,
        job: &Job,
        wish: &Switchover,
        cluster: &Cluster,
        ctx: &Cx<'_>,
    ) -> Result<Option<Vec<(Arc<str>, Ip)>>, (u16, &'static str)> {
        let failover = path_of(&job.path) == "/failover" && wish.leader.is_none();
        let config =
            cluster.config.as_ref().map_or_else(|| self.dynamic.clone(), |c| Dynamic::from_json(&c.data));
        if !failover && wish.leader.is_none() {
            return Err((400, "a switchover needs a leader"));
        }
        if failover && wish.candidate.is_none() {
            return Err((400, "a failover needs a candidate"));
        }
        if let Some(at) = wish.scheduled_at {
            if failover {
                return Err((400, "a failover can't be scheduled"));
            }
            if config.pause {
                return Err((400, "can't schedule switchover in the paused state"));
            }
            if at < ctx.wall_clock {
                return Err((422, "cannot schedule switchover in the past"));
            }
        }
        if config.pause && wish.candidate.is_none() {
            return Err((400, "switchover is possible only to a specific candidate in a paused state"));
        }
        if wish.leader.is_some() && wish.leader == wish.candidate {
            return Err((400, "switchover target and source are the same"));
        }
        if wish.scheduled_at.is_some() {
            return Ok(None);
        }
        if let Some(leader) = &wish.leader
            && cluster.leader_name() != Some(&**leader)
        {
            return Err((412, "leader name does not match"));
        }
        let sync = config.is_synchronous_mode() && !config.is_quorum_commit_mode();
        let asked: Vec<&dcs::cluster::Member> = match &wish.candidate {
            Some(c) => {
                if !failover && sync && !cluster.sync.matches(c, false) {
                    return Err((412, "candidate name does not match with sync_standby"));
                }
                cluster.members.iter().filter(|m| m.name == *c).collect()
            }
            None if sync => cluster.members.iter().filter(|m| cluster.sync.matches(&m.name, false)).collect(),
            None => cluster.members.iter().filter(|m| Some(&*m.name) != cluster.leader_name()).collect(),
        };
        if asked.is_empty() {
            return Err((412, "there is no such candidate"));
        }
        Ok(Some(asked.iter().filter_map(|m| Some((m.name.clone(), m.data.api_ip()?))).collect()))
    }
    fn write_failover(&self, job: Box<Job>, w: &Switchover) -> Flow {
        let text = Failover::text(w.leader.as_deref(), w.candidate.as_deref(), w.scheduled_at);
        Flow::Do(Op::Dcs(dcs::Op::Set(Key::Failover, text, None)), go(At::SwitchoverWritten(job)))
    }
}

fn wish(job: &Job) -> Switchover {
    match job.body.as_deref() {
        Some(Body::Switchover(w)) => w.clone(),
        _ => Switchover::default(),
    }
}
fn path_of(full: &str) -> &str {
    full.split('?').next().unwrap_or(full)
}
/// The value of a parameter of the query.
fn query<'a>(full: &'a str, key: &str) -> Option<&'a str> {
    let (_, q) = full.split_once('?')?;
    q.split('&').filter_map(|p| p.split_once('=')).find(|(k, _)| *k == key).map(|(_, v)| v)
}
/// A number of bytes: `1048576`, `16kB`, `1MB`, `1GB`.
fn bytes_of(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "kB" => 10,
        "MB" => 20,
        "GB" => 30,
        "TB" => 40,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}
/// A patch: `null` removes, objects are merged, everything else replaces.
fn merge(data: &mut Map<String, Json>, patch: &Map<String, Json>) {
    for (k, v) in patch {
        match v {
            Json::Null => {
                data.remove(k);
            }
            Json::Object(p) => {
                let old = data.entry(k.clone()).or_insert_with(|| Json::Object(Map::new()));
                if let Json::Object(o) = old {
                    merge(o, p);
                } else {
                    *old = v.clone();
                }
            }
            v => {
                data.insert(k.clone(), v.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_queries_are_read() {
        assert_eq!(bytes_of("1MB"), Some(1 << 20));
        assert_eq!(bytes_of("100"), Some(100));
        assert_eq!(bytes_of("1 parsec"), None);
        assert_eq!(query("/replica?lag=16kB&tag_x=y", "lag"), Some("16kB"));
        assert_eq!(path_of("/replica?lag=1"), "/replica");
    }
}
