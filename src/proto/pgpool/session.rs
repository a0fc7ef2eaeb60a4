//! A session at work: a statement is read, routed, sent, and its answers come back.
//!
//! Source: `src/protocol/pool_proto_modules.c` (`SimpleQuery`), `src/protocol/pool_process_query.c`. What a statement costs a child is processor
//! time of its host ([`crate::proto::cpu`]), which a database on the same host competes for.
//!
//! **Not modelled:** the exchange of Parse, Bind, Describe and Execute one by one (the extended protocol costs more processor time, and no more
//! messages), partial results, COPY data, notifications.

use super::child::{Child, State, T_CLIENT, T_CPU};
use super::config::{Mode, OnWrite};
use super::msg::Cause;
use super::note::{EndWhy, Note};
use super::replicate::{Gate, Kind, Mismatch, Wave, compare, error, wave};
use super::route::{Decision, Look, Rule, To};
use super::shared::Shared;
use crate::engine::{MS, SEC, Span};
use crate::node::process::Action;
use crate::proto::postgres::msg::{Answer, Sql, SqlState, Statement, WriteId};
use crate::proto::postgres::sql::{Command, Verb};
use crate::proto::{Cx, Msg};
use std::collections::VecDeque;
use std::sync::Arc;

/// A gate that is closed is tried again after this (in truth a semaphore wakes the waiting child).
const GATE: Span = Span::us(200);

/// A statement that is with servers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Work {
    /// The client's number for it.
    id: u32,
    command: Arc<Command>,
    /// What is sent for it.
    statement: Statement,
    write: WriteId,
    waves: VecDeque<Wave>,
    now: Kind,
    /// Who has not answered, and with which number.
    waiting: Vec<(u8, u32)>,
    answers: Vec<(u8, Sql)>,
    /// The answer for the client.
    reply: Option<Sql>,
    /// The node whose answer counts.
    main: u8,
    /// After it, the session ends.
    fatal: bool,
    gate: Gate,
    through: bool,
}
impl Work {
    /// The nodes that have not answered.
    pub(super) fn waits_for(&self) -> impl Iterator<Item = u8> + '_ {
        self.waiting.iter().map(|w| w.0)
    }
    /// The session is broken off: it holds no gate.
    pub(super) fn leave_gates(&self, shared: &mut Shared) {
        if self.through {
            self.gate.leave(shared);
        }
    }
}

impl Child {
    /// A statement has come from the client.
    pub(super) fn parse(&mut self, id: u32, statement: Statement, ctx: &mut Cx<'_>) {
        ctx.cancel_timer(T_CLIENT);
        let config = &self.setup.config;
        let mut need = config.cpu_per_statement;
        if let Statement::Sql(c, _) = &statement
            && c.extended
        {
            need += config.cpu_per_prepared;
        }
        if config.statement_level_load_balance {
            need += config.cpu_per_choice;
        }
        self.state = State::Parsing(id, statement);
        if let Some(c) = self.shown(ctx) {
            c.busy = true;
        }
        self.spend(need, ctx);
    }
    /// What a statement of the model's own says in SQL.
    fn spelled(&self, statement: &Statement, ctx: &Cx<'_>) -> (Arc<Command>, WriteId) {
        let own = WriteId { client: ctx.me, operation: 0, attempt: 0 };
        match statement {
            Statement::Sql(c, write) => (c.clone(), *write),
            Statement::Write(write, bytes) if *bytes == self.setup.insert.bytes => {
                (self.setup.insert.clone(), *write)
            }
            Statement::Write(write, bytes) => {
                (Arc::new((*self.setup.insert).clone().with(*bytes, false)), *write)
            }
            Statement::Read => (self.setup.select.clone(), own),
            _ => (self.setup.who.clone(), own),
        }
    }
    /// A statement has been read: it is routed and sent.
    pub(super) fn dispatch(&mut self, id: u32, statement: Statement, ctx: &mut Cx<'_>) {
        let (command, write) = self.spelled(&statement, ctx);
        let login = self.login();
        let decision = {
            let (streams, stream) = (&mut *ctx.luck.0, ctx.luck.1);
            let look = Look { setup: &self.setup, shared: &ctx.files.pgpool, login: &login, now: ctx.now };
            look.route(&command, &self.session, &mut |n| streams.below(stream, n))
        };
        if let Some(node) = decision.rebalance {
            self.session.balanced = Some(node);
            if let Some(c) = self.shown(ctx) {
                c.balanced = Some(node);
            }
        }
        let Some(writer) = ctx.files.pgpool.writer() else {
            return self.fail(SqlState::InternalError, EndWhy::NoNode, ctx);
        };
        let in_transaction = self.session.in_transaction;
        let failed = self.session.failed;
        self.session.sent(&command, &self.setup.catalog, &self.setup.config);
        let linked =
            |n: &u8| self.cache.slots[self.slot].as_ref().and_then(|s| s.link(*n)).is_some_and(|l| !l.broken);
        let all: Vec<u8> = (0..self.setup.backends.len() as u8).filter(linked).collect();
        let main = if self.setup.mode.replicates() { all.first().copied().unwrap_or(writer) } else { writer };
        let mut statement = statement;
        let (waves, main) = match decision.to {
            To::All if self.setup.mode == Mode::ParallelQuery => {
                match self.partitioned(&command, write, &all) {
                    Some(plan) => plan,
                    None => return self.lost_partition(id, ctx),
                }
            }
            To::All => {
                // Every node does it for itself; the time becomes a constant.
                let c = if command.tells_time() {
                    Arc::new(command.with_constant_time())
                } else {
                    command.clone()
                };
                statement = Statement::Sql(c, write);
                let rollback = failed && command.verb == Verb::Commit;
                (self.replicated(&command, &all, main, in_transaction, rollback), main)
            }
            To::Writer => (VecDeque::from([wave(Kind::Statement, [main])]), main),
            To::Node(n) => (VecDeque::from([wave(Kind::Statement, [n])]), n),
            To::Both => {
                let others: Vec<u8> = if self.setup.config.statement_level_load_balance {
                    all
                } else {
                    self.session.balanced.into_iter().collect()
                };
                let mut nodes = vec![writer];
                nodes.extend(others.into_iter().filter(|n| *n != writer && linked(n)));
                (VecDeque::from([wave(Kind::Statement, nodes)]), writer)
            }
        };
        let missing = waves.iter().flat_map(|w: &Wave| &w.nodes).any(|n| !linked(n));
        if missing || waves.iter().all(|w| w.nodes.is_empty()) {
            return self.fail(SqlState::InternalError, EndWhy::NoBackend(main), ctx);
        }
        self.count(&command, &waves, ctx);
        self.told(&command, decision, main, ctx);
        let gate = self.gate(&command, in_transaction);
        let work = Work {
            id,
            command,
            statement,
            write,
            now: Kind::Statement,
            waves,
            waiting: Vec::new(),
            answers: Vec::new(),
            reply: None,
            main,
            fatal: false,
            gate,
            through: false,
        };
        self.state = State::Working(Box::new(work));
        self.advance(ctx);
    }
    fn told(&self, command: &Command, decision: Decision, node: u8, ctx: &mut Cx<'_>) {
        let text = command.text.clone();
        let node = (!matches!(decision.to, To::Both | To::All)).then_some(node);
        let select = matches!(command.verb, Verb::Select | Verb::Show | Verb::CopyQuery);
        Self::tell(
            Note::Routed {
                child: self.n,
                text,
                node,
                all: decision.to == To::All,
                rule: decision.rule,
                select,
            },
            ctx,
        );
    }
    fn count(&self, command: &Command, waves: &VecDeque<Wave>, ctx: &mut Cx<'_>) {
        let select = matches!(command.verb, Verb::Select);
        for n in
            waves.iter().filter(|w| matches!(w.kind, Kind::Statement | Kind::Compared)).flat_map(|w| &w.nodes)
        {
            let b = &mut ctx.files.pgpool.backends[usize::from(*n)];
            b.selects += u64::from(select);
            b.statements += 1;
        }
    }
    /// The waves of a statement that goes to all nodes.
    fn replicated(
        &self,
        c: &Command,
        all: &[u8],
        main: u8,
        in_transaction: bool,
        rollback: bool,
    ) -> VecDeque<Wave> {
        let others = || all.iter().copied().filter(|n| *n != main);
        let everybody = || all.iter().copied();
        match c.verb {
            Verb::Begin(_) => return [wave(Kind::Statement, everybody())].into(),
            Verb::Commit | Verb::Rollback if !in_transaction || rollback => {
                return [wave(if rollback { Kind::Rollback } else { Kind::Statement }, everybody())].into();
            }
            Verb::Commit => {
                return [wave(Kind::CommitOthers, others()), wave(Kind::CommitMain, [main])].into();
            }
            Verb::Rollback => return [wave(Kind::Statement, others()), wave(Kind::Statement, [main])].into(),
            Verb::Set | Verb::Discard | Verb::Deallocate | Verb::Savepoint | Verb::SetTransaction(_) => {
                return [wave(Kind::Statement, everybody())].into();
            }
            _ => {}
        }
        let mut waves = VecDeque::new();
        let wraps =
            !in_transaction && (c.verb.writes() || matches!(c.verb, Verb::Select | Verb::SelectForUpdate));
        if wraps {
            waves.push_back(wave(Kind::Begin, everybody()));
        }
        let serial = c.verb == Verb::Insert
            && self.setup.config.insert_lock
            && c.target.as_ref().is_some_and(|t| self.setup.catalog.table(t).serial);
        if serial {
            waves.extend([wave(Kind::Lock, [main]), wave(Kind::Lock, others())]);
        }
        waves.extend([wave(Kind::Statement, [main]), wave(Kind::Compared, others())]);
        if wraps {
            waves.extend([wave(Kind::CommitOthers, others()), wave(Kind::CommitMain, [main])]);
        }
        waves
    }
    /// Parallel query: a SELECT of a partitioned table needs every node, a write the node of its key; other tables are on node 0.
    fn partitioned(&self, c: &Command, write: WriteId, all: &[u8]) -> Option<(VecDeque<Wave>, u8)> {
        let table = c.target.iter().chain(&c.tables).find(|t| self.setup.config.dist_def.contains_key(&***t));
        let nodes = self.setup.backends.len() as u32;
        let needed: Vec<u8> = match (table, c.verb.writes()) {
            (None, _) => vec![0],
            (Some(_), true) => vec![(write.operation % nodes.max(1)) as u8],
            (Some(_), false) => (0..nodes as u8).collect(),
        };
        let here = needed.iter().all(|n| all.contains(n));
        let main = *needed.first()?;
        here.then(|| (VecDeque::from([wave(Kind::Statement, needed)]), main))
    }
    /// A partition is on a node that is not there: the statement fails, the session goes on.
    fn lost_partition(&mut self, id: u32, ctx: &mut Cx<'_>) {
        Self::tell(Note::PartitionLost { child: self.n }, ctx);
        self.answer_client(Sql::Error(id, SqlState::InternalError), ctx);
        self.idle(ctx);
    }
    /// The gate of snapshot isolation that a statement goes through.
    fn gate(&self, c: &Command, in_transaction: bool) -> Gate {
        if self.setup.mode != Mode::SnapshotIsolation {
            return Gate::None;
        }
        match c.verb {
            Verb::Commit if self.session.wrote_before => Gate::Commit,
            v if v.writes() && !in_transaction => Gate::Commit,
            Verb::Begin(_) | Verb::Commit | Verb::Rollback | Verb::Set => Gate::None,
            _ => Gate::Snapshot,
        }
    }
    /// A gate that was closed.
    pub(super) fn try_gate(&mut self, ctx: &mut Cx<'_>) {
        self.advance(ctx);
    }

    /// The next wave goes out; behind the last one the client gets its answer.
    fn advance(&mut self, ctx: &mut Cx<'_>) {
        loop {
            let State::Working(work) = &mut self.state else { return };
            if !work.waiting.is_empty() {
                return;
            }
            if !work.through {
                if !work.gate.enter(&mut ctx.files.pgpool) {
                    ctx.set_timer(T_CPU, GATE);
                    return;
                }
                work.through = true;
            }
            let Some(next) = work.waves.pop_front() else { return self.finish(ctx) };
            work.now = next.kind;
            if next.kind != Kind::Compared {
                work.answers.clear();
            }
            if next.nodes.is_empty() {
                self.wave_over(ctx);
                continue;
            }
            let work_id = work.write;
            let statement = match next.kind {
                Kind::Begin => Statement::Sql(self.setup.begin.clone(), work_id),
                Kind::CommitOthers | Kind::CommitMain => Statement::Sql(self.setup.commit.clone(), work_id),
                Kind::Rollback => Statement::Sql(self.setup.rollback.clone(), work_id),
                Kind::Lock => {
                    let table = work.command.target.as_deref().unwrap_or("");
                    Statement::Sql(Arc::new(Command::parse(&format!("LOCK TABLE {table}"))), work_id)
                }
                Kind::Statement | Kind::Compared => work.statement.clone(),
            };
            for n in next.nodes {
                self.query = self.query.wrapping_add(1);
                let id = self.query;
                let link = self.cache.slots[self.slot].as_ref().and_then(|s| s.link(n).copied());
                let State::Working(work) = &mut self.state else { return };
                let Some(link) = link else { continue };
                work.waiting.push((n, id));
                ctx.act(Action::TcpSend(link.conn, Msg::Sql(Sql::Query(id, statement.clone()))));
            }
            return;
        }
    }
    /// A server has answered.
    pub(super) fn answered(&mut self, node: u8, sql: Sql, ctx: &mut Cx<'_>) {
        let State::Working(work) = &mut self.state else { return };
        let (Sql::Done(id, _) | Sql::Error(id, _)) = &sql else { return };
        let before = work.waiting.len();
        work.waiting.retain(|w| w != &(node, *id));
        if work.waiting.len() == before {
            return;
        }
        work.answers.push((node, sql));
        if work.waiting.is_empty() {
            self.wave_over(ctx);
            self.advance(ctx);
        }
    }
    /// All of a wave have answered.
    fn wave_over(&mut self, ctx: &mut Cx<'_>) {
        let replicates = self.setup.mode.replicates();
        let in_transaction = self.session.in_transaction;
        let State::Working(work) = &mut self.state else { return };
        let main = work.main;
        let own = work.answers.iter().find(|a| a.0 == main).map(|a| a.1.clone());
        let failed = error(&work.answers, main);
        match work.now {
            Kind::Begin | Kind::Lock | Kind::CommitOthers if failed.is_none() => {}
            Kind::Rollback => {
                let code = SqlState::InternalError;
                work.reply.get_or_insert(Sql::Error(work.id, code));
            }
            Kind::Statement
                if replicates
                    && failed.is_some()
                    && work.waves.front().is_some_and(|w| w.kind == Kind::Compared) =>
            {
                // The main node has refused it: the others are not asked.
                work.reply = Some(Sql::Error(work.id, failed.unwrap_or(SqlState::InternalError)));
                self.undo(in_transaction);
            }
            Kind::Compared => match compare(&work.answers, main) {
                Some(mismatch) => self.mismatch(&mismatch, ctx),
                None => {
                    work.reply = own;
                    if let Some(code) = failed {
                        work.reply = Some(Sql::Error(work.id, code));
                        self.undo(in_transaction);
                    }
                }
            },
            Kind::CommitMain => {
                // A write is known by its commit, a SELECT by what it saw.
                let seen = matches!(work.reply, Some(Sql::Done(_, Answer::Seen(_))));
                if !seen {
                    work.reply = own;
                }
            }
            _ => work.reply = own.or_else(|| work.answers.first().map(|a| a.1.clone())),
        }
    }
    /// What a statement has done so far is undone: outside of a transaction by a ROLLBACK, inside by the client's.
    fn undo(&mut self, in_transaction: bool) {
        let State::Working(work) = &mut self.state else { return };
        let begun = work.waves.iter().any(|w| w.kind == Kind::CommitMain);
        let all: Vec<u8> =
            work.waves.iter().flat_map(|w| w.nodes.iter().copied()).chain([work.main]).collect();
        work.waves.clear();
        if begun && !in_transaction {
            let mut all = all;
            all.sort_unstable();
            all.dedup();
            work.waves.push_back(wave(Kind::Rollback, all));
        }
    }
    /// Answers differ: the statement is rolled back everywhere, the session ends, and the fewer may have to go.
    fn mismatch(&mut self, mismatch: &Mismatch, ctx: &mut Cx<'_>) {
        let config = &self.setup.config;
        let (nodes, cause, degenerates) = match mismatch {
            Mismatch::Kind(n) => (n, Cause::KindMismatch, config.replication_stop_on_mismatch),
            Mismatch::Tuples(n) => (n, Cause::TuplesMismatch, config.failover_if_affected_tuples_mismatch),
        };
        let names = super::names(&self.setup, nodes);
        Self::tell(Note::Mismatch { child: self.n, nodes: names, cause, degenerates }, ctx);
        if degenerates {
            let setup = self.setup.clone();
            super::degenerate(&setup, nodes, cause, ctx);
        }
        let all: Vec<u8> = {
            let State::Working(work) = &self.state else { return };
            work.answers.iter().map(|a| a.0).collect()
        };
        let State::Working(work) = &mut self.state else { return };
        work.waves.clear();
        work.waves.push_back(wave(Kind::Rollback, all));
        work.fatal = true;
        work.reply = Some(Sql::Error(work.id, SqlState::InternalError));
    }
    /// The client gets its answer.
    fn finish(&mut self, ctx: &mut Cx<'_>) {
        let State::Working(work) = std::mem::take(&mut self.state) else { return };
        work.leave_gates(&mut ctx.files.pgpool);
        if work.fatal {
            self.state = State::Idle;
            return self.fail(SqlState::InternalError, EndWhy::Mismatch, ctx);
        }
        let id = work.id;
        let reply = match work.reply {
            Some(Sql::Done(_, Answer::Seen(_) | Answer::Changed(_)))
                if matches!(work.statement, Statement::Sql(..)) && work.command.verb == Verb::Commit =>
            {
                Sql::Done(id, Answer::Done)
            }
            Some(Sql::Done(_, answer)) => Sql::Done(id, answer),
            Some(Sql::Error(_, code)) => {
                self.session.failed |= self.session.in_transaction;
                Sql::Error(id, code)
            }
            _ => Sql::Error(id, SqlState::InternalError),
        };
        if work.command.verb.writes()
            && self.setup.config.disable_load_balance_on_write == OnWrite::DmlAdaptiveGlobal
        {
            self.remember(&work.command, ctx);
        }
        if matches!(work.command.verb, Verb::Discard) {
            self.session.temp.clear();
        }
        self.answer_client(reply, ctx);
        self.idle(ctx);
    }
    /// `dml_adaptive_global`: the table's reads stay with the primary for five times the replication delay, at least 100 ms and at most
    /// 60 s; 2 s while no delay is known.
    fn remember(&self, c: &Command, ctx: &mut Cx<'_>) {
        let Some(table) = c.target.clone() else { return };
        let shared = &mut ctx.files.pgpool;
        let known = shared.backends.iter().any(|b| b.checked.is_some());
        let delay = shared.backends.iter().map(|b| b.delay.1).max().unwrap_or_default();
        let ttl = if known { Span(delay.times(5).0.clamp(100 * MS, 60 * SEC)) } else { Span::secs(2) };
        let (now, until) = (ctx.now, ctx.now + ttl);
        shared.written.retain(|w| w.0 != table && w.1 > now);
        shared.written.push((table, until));
    }
}

/// Why a statement went where it went, in words.
pub(super) fn why(rule: Rule) -> String {
    rule.words()
}
