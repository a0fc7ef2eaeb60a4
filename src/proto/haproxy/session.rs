//! The data path: from an accepted client to a server and back.
//!
//! Source: HAProxy 2.6, `backend.c`, `queue.c`, `stream.c`; configuration manual ("retries", "option redispatch", "timeout queue"). A failed
//! connection is tried again on the same server after a turn-around of the smaller one of 1 s and `timeout connect`, a
//! connection that timed out at once. A FIN of one side is passed on and the other direction stays open; a RST is passed on as a RST.
//!
//! **Not modelled:** in `mode http`, the choice of a server for every request of a kept connection (a session keeps the server of its
//! first), cookies, and the reuse of server connections; buffers and back pressure; `timeout client-fin`, `timeout server-fin`; soft
//! stop and reload.

use super::balance::Pick;
use super::note::{Gone, Note};
use super::proxy::{End, Held, Proxy, Session, Stage};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, Tcp, TcpOptions, Timer};
use crate::proto::http::Http;
use crate::proto::{Cx, Msg};

/// The longest wait before a failed connection is tried again.
const TURN_AROUND: Span = Span::secs(1);

impl Proxy {
    fn timer_of(&self, n: u16) -> Timer {
        Timer(self.first_session_timer() + n)
    }
    /// The most sessions that there can be: each needs a timer of its own.
    fn most(&self) -> u32 {
        let room = u32::from(u16::MAX - self.first_session_timer());
        if self.setup.maxconn == 0 { room } else { self.setup.maxconn.min(room) }
    }
    fn room(&self, front: usize) -> bool {
        let own = self.setup.fronts[front].maxconn;
        self.open < self.most() && (own == 0 || self.fronts[front].sessions < own)
    }

    // ---- clients come ----------------------------------------------------------------------------------------------

    pub(super) fn accepted(&mut self, conn: ConnId, from: Ip, port: u16, ctx: &mut Cx<'_>) {
        let Some(front) = self.setup.fronts.iter().position(|f| f.port == port) else { return };
        self.arrivals += 1;
        let held = Held { conn, from, arrived: self.arrivals, sent: Vec::new(), ended: false, reset: false };
        if self.room(front) && self.fronts[front].held.is_empty() {
            self.begin(front, held, ctx);
            return;
        }
        self.know(conn, End::Held(front as u16));
        self.fronts[front].held.push_back(held);
        let waiting = self.fronts[front].held.len() as u32;
        ctx.act(Action::Unaccepted(port, waiting));
        if waiting == 1 {
            let section = self.setup.fronts[front].name.clone();
            self.note(Note::Full { section, sessions: self.open }, ctx);
        }
    }
    /// News of a client in the accept queue: the kernel keeps them.
    pub(super) fn held(&mut self, front: usize, conn: ConnId, news: Tcp<Msg>) {
        let Some(h) = self.fronts[front].held.iter_mut().find(|h| h.conn == conn) else { return };
        match news {
            Tcp::Data(m) => h.sent.push(m),
            Tcp::Closed => h.ended = true,
            _ => h.reset = true,
        }
    }
    /// A session has ended: the next clients are accepted.
    fn resume(&mut self, ctx: &mut Cx<'_>) {
        if self.resuming {
            return;
        }
        self.resuming = true;
        while let Some(front) = (0..self.fronts.len())
            .filter(|f| self.room(*f) && !self.fronts[*f].held.is_empty())
            .min_by_key(|f| self.fronts[*f].held.front().map(|h| h.arrived))
        {
            let Some(h) = self.fronts[front].held.pop_front() else { break };
            let waiting = self.fronts[front].held.len() as u32;
            ctx.act(Action::Unaccepted(self.setup.fronts[front].port, waiting));
            self.forget(h.conn);
            if !h.reset {
                self.begin(front, h, ctx);
            }
        }
        self.resuming = false;
    }
    fn begin(&mut self, front: usize, held: Held, ctx: &mut Cx<'_>) {
        let n = self.free.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            (self.sessions.len() - 1) as u16
        });
        let back = self.setup.fronts[front].back;
        let waits = self.http(front) && held.sent.is_empty();
        self.know(held.conn, End::Client(n));
        self.sessions[usize::from(n)] = Some(Session {
            front,
            back,
            client: held.conn,
            from: held.from,
            client_ended: held.ended,
            server_ended: false,
            stage: if waits { Stage::Request } else { Stage::Queued },
            server: None,
            placed: false,
            sent: held.sent,
            tries: 0,
            active: ctx.now,
        });
        self.open += 1;
        self.fronts[front].sessions += 1;
        if let Some(b) = back {
            self.backs[b].sessions += 1;
        }
        if self.gives_up(n) {
            self.hang_up(n, ctx);
        } else if waits {
            if let Some(limit) = self.setup.fronts[front].timeout_client {
                ctx.set_timer(self.timer_of(n), limit);
            }
        } else {
            self.assign(n, None, ctx);
        }
    }

    // ---- a server is chosen ----------------------------------------------------------------------------------------

    fn get(&self, n: u16) -> Option<&Session> {
        self.sessions.get(usize::from(n))?.as_ref()
    }
    fn get_mut(&mut self, n: u16) -> Option<&mut Session> {
        self.sessions.get_mut(usize::from(n))?.as_mut()
    }
    /// Whether the client has gone before there was a connection to a server. One that has sent something is served all the same.
    fn gives_up(&self, n: u16) -> bool {
        let Some(s) = self.get(n) else { return false };
        let abort = s.back.is_some_and(|b| self.setup.backs[b].abortonclose);
        s.client_ended && (s.sent.is_empty() || abort)
    }
    /// Chooses a server.
    pub(super) fn assign(&mut self, n: u16, avoid: Option<usize>, ctx: &mut Cx<'_>) {
        let Some(s) = self.get(n) else { return };
        let from = s.from;
        let Some(b) = s.back else { return self.away(n, Gone::Nobody, ctx) };
        self.warm(b, ctx);
        let first = self.setup.backs[b].servers.start;
        let back = &mut self.backs[b];
        let queue = back.queue.len() as u32;
        let pick = if queue > 0 && queue < back.sessions && back.balancer.queue_goes_first() {
            let nobody = !back.loads.iter().any(super::balance::Load::usable);
            if nobody { Pick::Nobody } else { Pick::Full }
        } else {
            back.balancer.pick(&back.loads, from, avoid.map(|a| a - first))
        };
        match pick {
            Pick::Nobody => self.away(n, Gone::Nobody, ctx),
            Pick::Full => self.wait(n, None, ctx),
            Pick::Server(i) => {
                let load = self.backs[b].loads[i];
                if load.room() {
                    self.place(n, first + i, ctx);
                } else if load.maxqueue > 0 && load.queued >= load.maxqueue {
                    self.wait(n, None, ctx);
                } else {
                    self.wait(n, Some(first + i), ctx);
                }
            }
        }
    }
    /// Waits for a place, on this server or on any.
    fn wait(&mut self, n: u16, server: Option<usize>, ctx: &mut Cx<'_>) {
        self.arrivals += 1;
        let entry = (self.arrivals, n);
        let Some(s) = self.get_mut(n) else { return };
        s.stage = Stage::Queued;
        s.server = server;
        let Some(b) = s.back else { return };
        match server {
            Some(i) => {
                self.servers[i].queue.push_back(entry);
                self.set_load(i, |l| l.queued += 1);
            }
            None => self.backs[b].queue.push_back(entry),
        }
        match self.setup.backs[b].timeout_queue {
            Some(limit) => ctx.set_timer(self.timer_of(n), limit),
            None => ctx.cancel_timer(self.timer_of(n)),
        }
    }
    fn place(&mut self, n: u16, server: usize, ctx: &mut Cx<'_>) {
        if let Some(s) = self.get_mut(n) {
            s.server = Some(server);
            s.placed = true;
        }
        self.set_load(server, |l| l.served += 1);
        self.connect(n, ctx);
    }
    fn connect(&mut self, n: u16, ctx: &mut Cx<'_>) {
        if self.gives_up(n) {
            return self.hang_up(n, ctx);
        }
        let Some((server, b)) = self.get(n).and_then(|s| Some((s.server?, s.back?))) else { return };
        let t = &self.setup.servers[server];
        let Some(ip) = self.servers[server].ip else { return };
        let to = Endpoint::new(ip, t.port);
        // The timer goes first: an address without a route is told of at once.
        match self.setup.backs[b].timeout_connect {
            Some(limit) => ctx.set_timer(self.timer_of(n), limit),
            None => ctx.cancel_timer(self.timer_of(n)),
        }
        let conn = ctx.connect(to, Plane::client, TcpOptions::default());
        self.know(conn, End::Server(n));
        self.servers[server].sessions += 1;
        if let Some(s) = self.get_mut(n) {
            s.stage = Stage::Connecting(conn);
        }
    }
    /// A try to connect failed: by an error, or (`slow`) by its timeout.
    fn failed(&mut self, n: u16, conn: ConnId, slow: bool, ctx: &mut Cx<'_>) {
        self.forget(conn);
        let Some((server, b)) = self.get(n).and_then(|s| Some((s.server?, s.back?))) else { return };
        self.servers[server].failed += 1;
        if let Some(s) = self.get_mut(n) {
            s.stage = Stage::TurnAround;
        }
        self.observe(server, false, ctx);
        let setup = self.setup.clone();
        let back = &setup.backs[b];
        // What was observed may have cut the session.
        let Some(s) = self.get_mut(n) else { return };
        if s.tries >= back.retries {
            return self.away(n, Gone::Connect, ctx);
        }
        s.tries += 1;
        let tries = i64::from(s.tries);
        let active = self.backs[b].loads.iter().filter(|l| l.usable() && !l.backup).count();
        let redispatch = i64::from(back.redispatch);
        let turn = match redispatch {
            0 => false,
            r if r > 0 => tries % r == 0,
            r => (i64::from(back.retries) + 1 + r) > 0 && tries % (i64::from(back.retries) + 1 + r) == 0,
        };
        let state = &self.servers[server];
        let running = state.up && state.warming.is_none();
        let free = self.backs[b].balancer.any_server_will_do();
        let elsewhere = redispatch != 0 && (!running || turn || (free && active > 1));
        if elsewhere {
            self.leave(n, ctx);
        }
        let pause = !slow && (!elsewhere || !free || active <= 1);
        if pause {
            let limit = back.timeout_connect.unwrap_or(TURN_AROUND).min(TURN_AROUND);
            ctx.set_timer(self.timer_of(n), limit);
        } else if elsewhere {
            self.assign(n, Some(server), ctx);
        } else {
            self.connect(n, ctx);
        }
    }
    /// Gives the place on a server back.
    fn leave(&mut self, n: u16, ctx: &mut Cx<'_>) {
        let Some(s) = self.get_mut(n) else { return };
        let Some(server) = s.server else { return };
        if std::mem::take(&mut s.placed) {
            self.set_load(server, |l| l.served -= 1);
            self.dequeue(server, ctx);
        }
    }
    /// A server may have room: those that wait for it, or for any, go there, the oldest first.
    pub(super) fn dequeue(&mut self, server: usize, ctx: &mut Cx<'_>) {
        let b = self.setup.servers[server].back;
        loop {
            let load = *self.load(server);
            if load.maxconn > 0 && load.served >= load.maxconn {
                return;
            }
            let own = self.servers[server].queue.front().copied();
            let any = self.backs[b].queue.front().copied().filter(|_| self.takes_any(server));
            let next = match (own, any) {
                (Some(o), Some(a)) => Some(o.min(a)),
                (o, a) => o.or(a),
            };
            let Some((_, n)) = next else { return };
            if next == own {
                self.servers[server].queue.pop_front();
                self.set_load(server, |l| l.queued -= 1);
            } else {
                self.backs[b].queue.pop_front();
            }
            self.place(n, server, ctx);
        }
    }
    /// The sessions that have a place on a server.
    pub(super) fn placed_on(&self, server: usize) -> Vec<u16> {
        let mine = |s: &Session| s.placed && s.server == Some(server);
        let all = self.sessions.iter().enumerate();
        all.filter(|(_, s)| s.as_ref().is_some_and(mine)).map(|(n, _)| n as u16).collect()
    }

    // ---- what comes in ---------------------------------------------------------------------------------------------

    pub(super) fn client(&mut self, n: u16, news: Tcp<Msg>, ctx: &mut Cx<'_>) {
        let Some(s) = self.get_mut(n) else { return };
        match news {
            Tcp::Data(m) => {
                s.active = ctx.now;
                match s.stage {
                    Stage::Open(conn) => ctx.act(Action::TcpSend(conn, m)),
                    Stage::Request => {
                        s.sent.push(m);
                        s.stage = Stage::Queued;
                        self.assign(n, None, ctx);
                    }
                    _ => s.sent.push(m),
                }
            }
            Tcp::Closed => {
                s.client_ended = true;
                let (stage, server_ended) = (s.stage, s.server_ended);
                match stage {
                    Stage::Open(conn) if server_ended => {
                        ctx.act(Action::Close(conn));
                        self.over(n, ctx);
                    }
                    Stage::Open(conn) => ctx.act(Action::Shutdown(conn)),
                    _ if self.gives_up(n) => self.hang_up(n, ctx),
                    _ => {}
                }
            }
            Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => {
                if let Stage::Open(conn) | Stage::Connecting(conn) = s.stage {
                    ctx.act(Action::Abort(conn));
                }
                self.over(n, ctx);
            }
            Tcp::Connected | Tcp::Accepted { .. } => {}
        }
    }
    pub(super) fn server(&mut self, n: u16, news: Tcp<Msg>, ctx: &mut Cx<'_>) {
        let Some(s) = self.get_mut(n) else { return };
        match (s.stage, news) {
            (Stage::Connecting(conn), Tcp::Connected) => {
                s.stage = Stage::Open(conn);
                s.active = ctx.now;
                let server = s.server;
                for m in s.sent.drain(..) {
                    ctx.act(Action::TcpSend(conn, m));
                }
                if s.client_ended {
                    ctx.act(Action::Shutdown(conn));
                }
                self.set_idle_timer(n, ctx);
                if let Some(server) = server {
                    self.observe(server, true, ctx);
                }
            }
            (Stage::Connecting(conn), Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable | Tcp::Closed) => {
                self.failed(n, conn, false, ctx);
            }
            (Stage::Open(_), Tcp::Data(m)) => {
                s.active = ctx.now;
                ctx.act(Action::TcpSend(s.client, m));
            }
            (Stage::Open(_), Tcp::Closed) => {
                s.server_ended = true;
                if s.client_ended {
                    ctx.act(Action::Close(s.client));
                    self.over(n, ctx);
                } else {
                    ctx.act(Action::Shutdown(s.client));
                }
            }
            (Stage::Open(_), Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable) => {
                ctx.act(Action::Abort(s.client));
                self.over(n, ctx);
            }
            _ => {}
        }
    }
    /// When an open session would end because nothing passes.
    fn idle_deadline(&self, s: &Session) -> Option<Time> {
        // A side that has closed is not waited for.
        let client = self.setup.fronts[s.front].timeout_client.filter(|_| !s.client_ended);
        let server = s.back.and_then(|b| self.setup.backs[b].timeout_server).filter(|_| !s.server_ended);
        let limits = [client, server];
        limits.into_iter().flatten().min().map(|d| s.active + d)
    }
    fn set_idle_timer(&self, n: u16, ctx: &mut Cx<'_>) {
        let Some(s) = self.get(n) else { return };
        match self.idle_deadline(s) {
            Some(at) => ctx.set_timer(self.timer_of(n), at.since(ctx.now)),
            None => ctx.cancel_timer(self.timer_of(n)),
        }
    }
    pub(super) fn session_timer(&mut self, n: u16, ctx: &mut Cx<'_>) {
        let Some(s) = self.get(n) else { return };
        match s.stage {
            Stage::Request => self.away(n, Gone::Idle, ctx),
            Stage::Queued => self.away(n, Gone::QueueTimeout, ctx),
            Stage::Connecting(conn) => {
                ctx.act(Action::Abort(conn));
                self.failed(n, conn, true, ctx);
            }
            Stage::TurnAround if s.placed => self.connect(n, ctx),
            Stage::TurnAround if self.gives_up(n) => self.hang_up(n, ctx),
            Stage::TurnAround => self.assign(n, s.server, ctx),
            Stage::Open(_) if self.idle_deadline(s).is_some_and(|at| at <= ctx.now) => {
                self.away(n, Gone::Idle, ctx);
            }
            Stage::Open(_) => self.set_idle_timer(n, ctx),
        }
    }

    // ---- ends ------------------------------------------------------------------------------------------------------

    /// Sends a client away.
    fn away(&mut self, n: u16, why: Gone, ctx: &mut Cx<'_>) {
        let Some(s) = self.get(n) else { return };
        let note = Note::Away {
            section: self.setup.fronts[s.front].name.clone(),
            client: s.from,
            why,
            tries: s.tries + u32::from(why == Gone::Connect),
        };
        self.note(note, ctx);
        self.cut(n, ctx);
    }
    /// Ends a session: the client is closed in order (in `mode http` with a 503 if nothing came from a server), the server hard.
    pub(super) fn cut(&mut self, n: u16, ctx: &mut Cx<'_>) {
        let Some(s) = self.get(n) else { return };
        match s.stage {
            Stage::Open(conn) | Stage::Connecting(conn) => ctx.act(Action::Abort(conn)),
            Stage::Request | Stage::Queued | Stage::TurnAround => {}
        }
        let answer = match s.stage {
            Stage::Open(_) => None,
            Stage::Request => Some(408),
            _ => Some(503),
        };
        if let Some(status) = answer.filter(|_| self.http(s.front)) {
            ctx.act(Action::TcpSend(s.client, Msg::Http(Http::Response(status, None))));
        }
        ctx.act(Action::Close(s.client));
        self.over(n, ctx);
    }
    /// The client went away before there was a connection to a server.
    fn hang_up(&mut self, n: u16, ctx: &mut Cx<'_>) {
        let Some(s) = self.get(n) else { return };
        if let Stage::Connecting(conn) = s.stage {
            ctx.act(Action::Abort(conn));
        }
        ctx.act(Action::Close(s.client));
        self.over(n, ctx);
    }
    /// Nothing is left of a session.
    fn over(&mut self, n: u16, ctx: &mut Cx<'_>) {
        let Some(s) = self.sessions[usize::from(n)].take() else { return };
        self.forget(s.client);
        if let Stage::Open(conn) | Stage::Connecting(conn) = s.stage {
            self.forget(conn);
        }
        ctx.cancel_timer(self.timer_of(n));
        self.open -= 1;
        self.fronts[s.front].sessions -= 1;
        if let Some(b) = s.back {
            self.backs[b].sessions -= 1;
        }
        let mut freed = None;
        match (s.server, s.stage) {
            (Some(server), _) if s.placed => {
                self.set_load(server, |l| l.served -= 1);
                freed = Some(server);
            }
            (Some(server), Stage::Queued) => {
                let before = self.servers[server].queue.len();
                self.servers[server].queue.retain(|q| q.1 != n);
                let gone = (before - self.servers[server].queue.len()) as u32;
                self.set_load(server, |l| l.queued -= gone);
            }
            (None, Stage::Queued) => {
                if let Some(b) = s.back {
                    self.backs[b].queue.retain(|q| q.1 != n);
                }
            }
            _ => {}
        }
        self.free.push(n);
        if let Some(server) = freed {
            self.dequeue(server, ctx);
        }
        self.resume(ctx);
    }
}
