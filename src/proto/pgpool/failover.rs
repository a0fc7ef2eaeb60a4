//! What the parent does with requests: nodes go, nodes come. It does one after the other, and nothing else meanwhile: who dies is forked
//! anew at the end.
//!
//! Source: `src/main/pgpool_main.c` (`failover`, `find_primary_node_repeatedly`, `sync_backend_from_watchdog`). A node goes: its sessions
//! are cut (of all children if it was the primary, if a health check's alarm ended it, or in any mode but streaming; else of those whose
//! reads go to it); `failover_command` runs, for a standby too; if the primary went, a new one is looked for once a second, up to
//! `search_primary_node_timeout`; with `follow_primary_command` **all** other nodes are detached, and a process of its own deals with them
//! ([`super::follow`]); the children are forked again.
//!
//! A node comes: `failback_command` runs, and then a primary is looked for, whether or not there is one; so an old primary that is attached
//! as it is may become the primary again ([`super::judge`]). The end of a quarantine has neither: a primary is what it was. In
//! streaming replication no session is cut (4.3: all are), unless all nodes were down or there was no primary.
//!
//! `failover_command` is what the usual scripts do: if the failed node was the primary, `pg_promote(wait)` on the new main node, which is
//! the attached node with the smallest number; otherwise nothing. `failback_command` writes to a log. **Not modelled:** other scripts.

use super::config::{Command, Mode};
use super::find::Found;
use super::msg::{Cause, Msg as Say, Request};
use super::note::Note;
use super::parent::{Parent, T_FIND};
use super::shared::{Order, Status};
use super::watchdog::msg::BackendState;
use super::{Role, names};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, Input, Tcp, TcpOptions, Timer};
use crate::proto::postgres::msg::{Answer, Sql, Statement};
use crate::proto::{Cx, Msg};

/// The process time of the command.
const T_COMMAND: Timer = Timer(2);
/// The process time of `failback_command`.
const T_FAILBACK: Timer = Timer(4);
/// `pg_promote(true)` looks whether recovery is over.
const T_PROMOTE: Timer = Timer(3);
/// `pg_promote`'s `WAIT_PROMOTE`: how often it looks, and for how long.
const PROMOTE_LOOK: Span = Span::ms(100);
const PROMOTE_WAIT: Span = Span::secs(30);

/// What is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Step {
    #[default]
    Idle,
    /// The command has been forked.
    Command,
    /// It promotes.
    Promote(ConnId, Time),
    /// The new primary is looked for, since then.
    Search(Time),
    /// `failback_command` runs for this node; whether all sessions are cut then.
    Failback(u8, bool),
}

/// A failover, or none.
#[derive(Clone, Debug, Default)]
pub(super) struct Failover {
    step: Step,
    since: Time,
    /// The new main node.
    main: Option<u8>,
    /// The primary was lost: a new one is promoted, and looked for.
    promotes: bool,
    /// A node came: the primary is looked for, whoever it was.
    came: bool,
    /// The primary that was lost (`%P`).
    old_primary: Option<u8>,
    /// Processes that died meanwhile, by their places.
    pub(super) died: Vec<usize>,
}
impl Failover {
    /// Whether the parent is busy with it.
    pub(super) fn busy(&self) -> bool {
        self.step != Step::Idle
    }
}

impl Parent {
    /// Works on what has been asked for, until something takes time.
    pub(super) fn work(&mut self, ctx: &mut Cx<'_>) {
        while !self.failover.busy() {
            let Some(request) = ctx.files.pgpool.requests.pop_front() else { return };
            match request {
                Request::Down { nodes, cause, .. } => self.down(&nodes, cause, None, ctx),
                Request::Quarantine { nodes, .. } => self.quarantine(&nodes, ctx),
                Request::Up(node, quarantine) => self.up(node, quarantine, ctx),
                Request::Promote(_, true) if self.setup.mode != Mode::StreamingReplication => {}
                Request::Promote(node, true) => {
                    let old: Vec<u8> = ctx.files.pgpool.primary.into_iter().filter(|p| *p != node).collect();
                    self.down(&old, Cause::Admin, Some(node), ctx);
                }
                Request::Promote(node, false) => self.believe(node, ctx),
                Request::Sync(states, primary) => self.sync(&states, primary, ctx),
                Request::CloseIdle => {}
            }
        }
    }
    fn indicate(&self, begins: bool, ctx: &mut Cx<'_>) {
        if let Some(pid) = self.setup.pid(Role::Watchdog) {
            ctx.act(Action::Tell(pid, Msg::Pgpool(Box::new(Say::Indicate(begins)))));
        }
    }
    fn begin_change(&mut self, ctx: &mut Cx<'_>) {
        ctx.files.pgpool.switching = true;
        self.failover.since = ctx.now;
        self.indicate(true, ctx);
    }

    // ---- a node goes --------------------------------------------------------------------------------------------------

    fn down(&mut self, nodes: &[u8], cause: Cause, main: Option<u8>, ctx: &mut Cx<'_>) {
        let s = &mut ctx.files.pgpool;
        let up = |n: &u8| s.backends.get(usize::from(*n)).is_some_and(|b| b.valid() || b.quarantine);
        let nodes: Vec<u8> = nodes.iter().copied().filter(|n| up(n)).collect();
        if nodes.is_empty() {
            return;
        }
        let primary = s.primary;
        let quarantined = nodes.iter().all(|n| s.backends[usize::from(*n)].quarantine);
        let was = |n: &u8| Some(*n) == primary || s.backends[usize::from(*n)].was_primary;
        let lost_primary = nodes.iter().any(was) || primary.is_none();
        self.failover.old_primary = nodes.iter().copied().find(was);
        self.begin_change(ctx);
        let s = &mut ctx.files.pgpool;
        for n in &nodes {
            let b = &mut s.backends[usize::from(*n)];
            (b.status, b.quarantine) = (Status::Down, false);
        }
        if lost_primary {
            s.primary = None;
        }
        let cut = if quarantined {
            0
        } else if self.setup.mode == Mode::StreamingReplication && !lost_primary && !cause.timed_out() {
            self.restart_children(Some(&nodes), ctx)
        } else {
            self.restart_children(None, ctx)
        };
        ctx.note(Note::Detached { nodes: names(&self.setup, &nodes), cause, cut }.into());
        self.failover.main = main.or_else(|| ctx.files.pgpool.main());
        self.failover.promotes = lost_primary;
        let to = self.failover.main.map_or_else(|| "-1".into(), |m| names(&self.setup, &[m]));
        ctx.note(Note::FailoverStarted { nodes: names(&self.setup, &nodes), main: to }.into());
        if self.setup.config.failover_command.is_some() {
            self.failover.step = Step::Command;
            let takes = Self::draw(self.setup.config.command_time, ctx);
            ctx.set_timer(T_COMMAND, takes);
            ctx.note(Note::Command { promotes: self.promoting() }.into());
        } else {
            self.after_command(ctx);
        }
    }
    /// Whether the command has something to do.
    fn promoting(&self) -> bool {
        self.failover.promotes
            && self.failover.main.is_some()
            && self.setup.config.failover_command == Some(Command::Promote)
    }
    fn command(&mut self, ctx: &mut Cx<'_>) {
        let main = self.failover.main.filter(|_| self.promoting());
        let Some(b) = main.and_then(|m| self.setup.backends.get(usize::from(m))) else {
            self.after_command(ctx);
            return;
        };
        let conn = ctx.connect(Endpoint::new(b.ip, b.port), Plane::client, TcpOptions::default());
        self.failover.step = Step::Promote(conn, ctx.now);
    }
    fn promote(&mut self, conn: ConnId, since: Time, news: &Tcp<Msg>, ctx: &mut Cx<'_>) {
        let ask = |what| Action::TcpSend(conn, Msg::Sql(Sql::Query(0, what)));
        match news {
            Tcp::Connected => ctx.act(Action::TcpSend(conn, Msg::Sql(Sql::Startup { superuser: true }))),
            Tcp::Data(Msg::Sql(Sql::Ready(..))) => ctx.act(ask(Statement::Promote)),
            Tcp::Data(Msg::Sql(Sql::Done(_, Answer::Done))) => ctx.set_timer(T_PROMOTE, PROMOTE_LOOK),
            Tcp::Data(Msg::Sql(Sql::Done(_, Answer::InRecovery(true))))
                if ctx.now.since(since) < PROMOTE_WAIT =>
            {
                ctx.set_timer(T_PROMOTE, PROMOTE_LOOK);
            }
            Tcp::Accepted { .. } => {}
            Tcp::Data(_) => {
                ctx.act(Action::Close(conn));
                self.after_command(ctx);
            }
            Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => self.after_command(ctx),
        }
    }
    fn after_command(&mut self, ctx: &mut Cx<'_>) {
        ctx.cancel_timer(T_PROMOTE);
        if self.failover.promotes && self.setup.mode.searches() {
            self.failover.step = Step::Search(ctx.now);
            let found = self.find.begin(ctx);
            self.searched(found, ctx);
        } else {
            self.finish(ctx);
        }
    }
    fn searched(&mut self, found: Found, ctx: &mut Cx<'_>) {
        let Step::Search(since) = self.failover.step else { return };
        match found {
            Found::Pending => {}
            Found::Primary(node) => {
                let same = self.failover.came && ctx.files.pgpool.primary == Some(node);
                ctx.files.pgpool.primary = Some(node);
                let took = ctx.now.since(self.failover.since);
                if !same {
                    ctx.note(Note::NewPrimary { node: names(&self.setup, &[node]), took }.into());
                }
                if self.failover.promotes {
                    self.follow(node, self.failover.old_primary, ctx);
                }
                self.finish(ctx);
            }
            Found::Nobody => {
                let limit = self.setup.config.search_primary_node_timeout;
                let nobody_left = ctx.files.pgpool.main().is_none();
                if nobody_left || !limit.is_zero() && ctx.now.since(since) >= limit {
                    ctx.files.pgpool.primary = None;
                    ctx.note(Note::NoPrimary { after: ctx.now.since(since) }.into());
                    self.finish(ctx);
                } else {
                    self.find.again(ctx);
                }
            }
        }
    }
    fn finish(&mut self, ctx: &mut Cx<'_>) {
        let s = &mut ctx.files.pgpool;
        if s.primary.is_some() {
            for b in &mut s.backends {
                b.was_primary = false;
            }
        }
        self.failover.promotes = false;
        self.end_change(ctx);
    }
    /// `exec_follow_primary_command`: all nodes but the new primary are detached, and a process is forked that deals with them.
    fn follow(&mut self, primary: u8, old_primary: Option<u8>, ctx: &mut Cx<'_>) {
        let Some(command) = self.setup.config.follow() else { return };
        if self.setup.mode != Mode::StreamingReplication {
            return;
        }
        let s = &mut ctx.files.pgpool;
        let others: Vec<u8> = (0..s.backends.len() as u8).filter(|n| *n != primary).collect();
        for n in &others {
            let b = &mut s.backends[usize::from(*n)];
            (b.status, b.quarantine) = (Status::Down, false);
        }
        if others.is_empty() {
            return;
        }
        s.follow.push_back(Order { primary, old_primary });
        let primary = names(&self.setup, &[primary]);
        ctx.note(Note::FollowDetached { nodes: names(&self.setup, &others), primary, command }.into());
        if let Some(pid) = self.setup.pid(Role::FollowPrimary) {
            ctx.act(Action::Spawn(pid));
        }
    }
    fn end_change(&mut self, ctx: &mut Cx<'_>) {
        let came = std::mem::take(&mut self.failover.came);
        let s = &mut ctx.files.pgpool;
        s.switching = false;
        s.save();
        self.failover.step = Step::Idle;
        self.indicate(false, ctx);
        if ctx.files.pgpool.recovering.is_some()
            && let Some(pid) = self.setup.pid(Role::Pcp)
        {
            ctx.act(Action::Tell(pid, Msg::Pgpool(Box::new(Say::ChangeOver))));
        }
        if !came {
            let took = ctx.now.since(self.failover.since);
            ctx.note(Note::FailoverDone { took }.into());
        }
        for i in std::mem::take(&mut self.failover.died) {
            self.fork_again(i, ctx);
        }
    }

    // ---- other changes ------------------------------------------------------------------------------------------------

    fn quarantine(&self, nodes: &[u8], ctx: &mut Cx<'_>) {
        let s = &mut ctx.files.pgpool;
        let nodes: Vec<u8> = nodes.iter().copied().filter(|n| s.valid(*n)).collect();
        if nodes.is_empty() {
            return;
        }
        let primary = s.primary;
        for n in &nodes {
            let b = &mut s.backends[usize::from(*n)];
            (b.status, b.quarantine) = (Status::Down, true);
            b.was_primary = primary == Some(*n);
        }
        let lost_primary = primary.is_some_and(|p| nodes.contains(&p));
        if lost_primary {
            s.primary = None;
        }
        let streams = self.setup.mode == Mode::StreamingReplication;
        let only = (!lost_primary && streams).then_some(nodes.as_slice());
        let cut = self.restart_children(only, ctx);
        ctx.note(Note::Quarantined { nodes: names(&self.setup, &nodes), primary: lost_primary, cut }.into());
    }
    fn up(&mut self, node: u8, quarantine: bool, ctx: &mut Cx<'_>) {
        let s = &mut ctx.files.pgpool;
        let all_down = s.main().is_none();
        let Some(b) = s.backends.get_mut(usize::from(node)) else { return };
        if b.valid() || quarantine && !b.quarantine {
            return;
        }
        let back = quarantine && b.was_primary;
        (b.status, b.quarantine) = (Status::Waiting, false);
        if back && s.primary.is_none() {
            s.primary = Some(node);
            for b in &mut s.backends {
                b.was_primary = false;
            }
        }
        let without = s.primary.is_none_or(|p| p == node);
        self.begin_change(ctx);
        let streams = self.setup.mode == Mode::StreamingReplication;
        let cuts = (self.setup.config.attach_cuts() && !quarantine) || !streams || all_down || without;
        if quarantine || self.setup.config.failback_command.is_none() {
            self.came(node, quarantine, cuts, ctx);
        } else {
            self.failover.step = Step::Failback(node, cuts);
            ctx.note(Note::Failback { node: names(&self.setup, &[node]) }.into());
            let takes = Self::draw(self.setup.config.command_time, ctx);
            ctx.set_timer(T_FAILBACK, takes);
        }
    }
    /// A node is attached; the primary is looked for.
    fn came(&mut self, node: u8, quarantine: bool, cuts: bool, ctx: &mut Cx<'_>) {
        let cut = if cuts { self.restart_children(None, ctx) } else { 0 };
        ctx.note(Note::Attached { node: names(&self.setup, &[node]), quarantine, cut }.into());
        self.failover.came = true;
        if self.setup.mode.searches() && !quarantine {
            self.failover.step = Step::Search(ctx.now);
            let found = self.find.begin(ctx);
            self.searched(found, ctx);
        } else {
            self.end_change(ctx);
        }
    }
    /// `pcp_promote_node` without `-s`: pgpool takes the administrator's word for it; nothing is promoted.
    fn believe(&mut self, node: u8, ctx: &mut Cx<'_>) {
        let streams = self.setup.mode == Mode::StreamingReplication;
        if !streams || !ctx.files.pgpool.valid(node) || ctx.files.pgpool.primary == Some(node) {
            return;
        }
        self.begin_change(ctx);
        let s = &mut ctx.files.pgpool;
        let old = s.primary;
        s.primary = Some(node);
        let others: Vec<u8> = s.attached().filter(|n| *n != node).collect();
        for n in &others {
            s.backends[usize::from(*n)].status = Status::Down;
        }
        let cut = self.restart_children(None, ctx);
        ctx.note(Note::Detached { nodes: names(&self.setup, &others), cause: Cause::Admin, cut }.into());
        let took = Span::ZERO;
        ctx.note(Note::NewPrimary { node: names(&self.setup, &[node]), took }.into());
        self.follow(node, old, ctx);
        self.end_change(ctx);
    }
    /// The leader's view is taken over. What it calls down goes, what it calls up comes.
    fn sync(&self, states: &[BackendState], primary: Option<u8>, ctx: &mut Cx<'_>) {
        let s = &mut ctx.files.pgpool;
        let (mut gone, mut back) = (Vec::new(), Vec::new());
        for (n, (b, theirs)) in s.backends.iter_mut().zip(states).enumerate() {
            match (theirs, b.status) {
                (BackendState::Down, Status::Down) => b.quarantine = false,
                (BackendState::Down, _) => {
                    b.status = Status::Down;
                    gone.push(n as u8);
                }
                (_, Status::Down) if !b.quarantine => {
                    b.status = Status::Waiting;
                    back.push(n as u8);
                }
                _ => {}
            }
        }
        let other = primary.is_some() && primary != s.primary;
        if other {
            s.primary = primary;
            for b in &mut s.backends {
                b.was_primary = false;
            }
        }
        s.save();
        if !other && gone.is_empty() && back.is_empty() {
            return;
        }
        let all = other || self.setup.mode != Mode::StreamingReplication;
        let cut = if all {
            self.restart_children(None, ctx)
        } else if gone.is_empty() {
            0
        } else {
            self.restart_children(Some(&gone), ctx)
        };
        if !gone.is_empty() || other {
            let note = Note::Synced {
                gone: names(&self.setup, &gone),
                primary: primary.map(|p| names(&self.setup, &[p])),
                cut,
            };
            ctx.note(note.into());
        }
        for n in back {
            ctx.note(Note::Attached { node: names(&self.setup, &[n]), quarantine: false, cut: 0 }.into());
        }
    }

    /// An input that belongs to a failover under way.
    pub(super) fn failover_input(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match (self.failover.step, &input) {
            (Step::Command, Input::Timer(T_COMMAND)) => self.command(ctx),
            (Step::Failback(node, cuts), Input::Timer(T_FAILBACK)) => self.came(node, false, cuts, ctx),
            (Step::Promote(conn, _), Input::Timer(T_PROMOTE)) => {
                ctx.act(Action::TcpSend(conn, Msg::Sql(Sql::Query(0, Statement::IsInRecovery))));
            }
            (Step::Promote(conn, since), Input::Tcp(c, news)) if *c == conn => {
                self.promote(conn, since, news, ctx);
            }
            (Step::Search(_), Input::Timer(T_FIND) | Input::Tcp(..)) => {
                let found = self.find.poll(&input, ctx);
                self.searched(found, ctx);
            }
            _ => {}
        }
        self.work(ctx);
    }
}
