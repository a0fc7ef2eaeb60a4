//! Transactions of several statements, and what they leave in tables.
//!
//! Sources: PostgreSQL 15, documentation "Transactions", "Explicit Locking"; appendix "Error Codes". A transaction's writes become one commit
//! record. Tables are known by their number of rows and a checksum of what was written, so that servers which each do the statements
//! for themselves can be compared: a value that each server finds for itself (`random()`) makes the sums differ. An UPDATE or
//! DELETE with a WHERE touches one row, without one all rows.
//!
//! **Not modelled:** what rows hold, row locks and deadlocks (LOCK TABLE apart), isolation of snapshots, sub-transactions (a SAVEPOINT is
//! remembered by nobody), the replication of tables' contents to standbys (a place in the WAL stands for it).

use super::msg::{Answer, Sql, SqlState, WriteId};
use super::process::{Phase, Postmaster, T_CPU};
use super::sql::{Catalog, Command, Persistence, Verb};
use crate::engine::{Span, Time};
use crate::node::process::ConnId;
use crate::proto::Cx;
use std::collections::VecDeque;
use std::sync::Arc;

/// A table of a server that does its statements for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TableState {
    /// Its rows.
    pub rows: u64,
    /// A sum over everything that was written; the order does not matter.
    pub sum: u64,
    /// The next value of its sequence.
    pub sequence: u64,
    /// It was dropped.
    pub dropped: bool,
}

/// What a write does to a table.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Effect {
    table: Arc<str>,
    rows: i64,
    sum: u64,
    drop: bool,
}
/// A transaction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Tx {
    failed: bool,
    effects: Vec<Effect>,
    bytes: u32,
    write: Option<WriteId>,
}
/// A statement that waits for something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Waiting {
    conn: ConnId,
    query: u32,
    command: Arc<Command>,
    id: WriteId,
}

/// The transactions of a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Transactions {
    open: Vec<(ConnId, Tx)>,
    /// What becomes true with the commits that are being flushed.
    committing: VecDeque<(ConnId, Vec<Effect>)>,
    /// Statements that the processors work on: the end, and an order among equals.
    working: Vec<(Time, u64, Waiting)>,
    /// Tables that are locked.
    locks: Vec<(Arc<str>, ConnId)>,
    blocked: VecDeque<Waiting>,
    number: u64,
}

/// Bits of a number, well mixed (the finalizer of SplitMix64).
const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl Postmaster {
    /// A command of a client: it takes its time, and is then done.
    pub(super) fn command(
        &mut self,
        (conn, query): (ConnId, u32),
        command: Arc<Command>,
        id: WriteId,
        ctx: &mut Cx<'_>,
    ) {
        let config = &self.setup.config;
        let cpu = if command.verb.writes() { config.cpu_per_write } else { config.cpu_per_read };
        let cpu = if matches!(command.verb, Verb::Begin(_) | Verb::Commit | Verb::Rollback | Verb::Set) {
            config.cpu_per_begin
        } else {
            cpu
        };
        let sleep = Span::ms(u64::from(command.sleep_ms));
        let what = Waiting { conn, query, command, id };
        if cpu.is_zero() && sleep.is_zero() {
            return self.execute(what, ctx);
        }
        self.occupy(conn);
        let done = if cpu.is_zero() { ctx.now } else { ctx.files.cpu.take(ctx.now, cpu) } + sleep;
        let t = &mut self.transactions;
        t.number += 1;
        let key = (done, t.number);
        let i = t.working.partition_point(|w| (w.0, w.1) > key);
        t.working.insert(i, (done, t.number, what));
        if i + 1 == t.working.len() {
            ctx.set_timer(T_CPU, done.since(ctx.now));
        }
    }
    /// The processors are done with statements.
    pub(super) fn worked(&mut self, ctx: &mut Cx<'_>) {
        while self.transactions.working.last().is_some_and(|w| w.0 <= ctx.now) {
            let Some((.., what)) = self.transactions.working.pop() else { return };
            self.execute(what, ctx);
        }
        if let Some((at, ..)) = self.transactions.working.last() {
            ctx.set_timer(T_CPU, at.since(ctx.now));
        }
    }
    /// A session that is being ended or cancelled does not wait for its statement. Whether it had one here.
    pub(super) fn cut_work_of(&mut self, conn: ConnId) -> Option<u32> {
        let t = &mut self.transactions;
        let working = t.working.iter().position(|w| w.2.conn == conn).map(|i| t.working.remove(i).2.query);
        let blocked = t.blocked.iter().position(|w| w.conn == conn).and_then(|i| t.blocked.remove(i));
        working.or(blocked.map(|w| w.query))
    }
    /// A session has ended: its transaction with it.
    pub(super) fn session_over(&mut self, conn: ConnId, ctx: &mut Cx<'_>) {
        self.cut_work_of(conn);
        self.transactions.open.retain(|t| t.0 != conn);
        self.transactions.committing.retain(|t| t.0 != conn);
        self.unlock(conn, ctx);
    }
    fn unlock(&mut self, conn: ConnId, ctx: &mut Cx<'_>) {
        let before = self.transactions.locks.len();
        self.transactions.locks.retain(|l| l.1 != conn);
        if self.transactions.locks.len() == before {
            return;
        }
        for what in std::mem::take(&mut self.transactions.blocked) {
            self.execute(what, ctx);
        }
    }
    fn tx(&mut self, conn: ConnId) -> Option<&mut Tx> {
        self.transactions.open.iter_mut().find(|t| t.0 == conn).map(|t| &mut t.1)
    }
    fn catalog(&self) -> &Catalog {
        &self.setup.catalog
    }

    fn execute(&mut self, what: Waiting, ctx: &mut Cx<'_>) {
        let Waiting { conn, query, command, id } = what.clone();
        let failed = self.tx(conn).is_some_and(|t| t.failed);
        let answer = match command.verb {
            Verb::Begin(_) => {
                if self.tx(conn).is_none() {
                    self.transactions.open.push((conn, Tx::default()));
                }
                Ok(Answer::Done)
            }
            Verb::Commit => return self.commit((conn, query), id, ctx),
            Verb::Rollback => {
                self.transactions.open.retain(|t| t.0 != conn);
                self.answer(conn, Sql::Done(query, Answer::Done), ctx);
                return self.unlock(conn, ctx);
            }
            _ if failed => Err(SqlState::InFailedTransaction),
            Verb::Error => Err(SqlState::SyntaxError),
            Verb::Lock(_) => {
                let Some(table) = &command.target else { return };
                let other = self.transactions.locks.iter().any(|l| l.0 == *table && l.1 != conn);
                if other {
                    self.occupy(conn);
                    self.transactions.blocked.push_back(what);
                    return;
                }
                if self.tx(conn).is_some() && self.transactions.locks.iter().all(|l| l.0 != *table) {
                    self.transactions.locks.push((table.clone(), conn));
                }
                Ok(Answer::Done)
            }
            _ => match self.run(conn, &command, id, ctx) {
                Ok(Some(answer)) => Ok(answer),
                // A write outside of a transaction: its commit answers.
                Ok(None) => return self.commit_at_once((conn, query), &command, id, ctx),
                Err(e) => Err(e),
            },
        };
        if answer.is_err()
            && let Some(tx) = self.tx(conn)
        {
            tx.failed = true;
        }
        self.answer(conn, answer.map_or_else(|e| Sql::Error(query, e), |a| Sql::Done(query, a)), ctx);
    }
    /// Does a statement; a write outside of a transaction has no answer yet.
    fn run(
        &mut self,
        conn: ConnId,
        c: &Command,
        id: WriteId,
        ctx: &mut Cx<'_>,
    ) -> Result<Option<Answer>, SqlState> {
        let standby = self.phase != Phase::Primary;
        let state = |ctx: &Cx<'_>, t: &str| ctx.files.pg.tables.get(t).copied();
        let missing = |t: &Arc<str>| state(ctx, t).is_some_and(|s| s.dropped);
        if c.tables.iter().chain(&c.target).any(missing) && c.verb != Verb::Ddl {
            return Err(SqlState::UndefinedTable);
        }
        let catalog = self.catalog();
        if standby && c.tables.iter().any(|t| catalog.table(t).persistence == Persistence::Unlogged) {
            return Err(SqlState::FeatureNotSupported);
        }
        let writing = c.functions.iter().any(|f| catalog.writes(f));
        let writes = c.verb.writes() || writing;
        if (writes || c.verb == Verb::SelectForUpdate) && standby {
            return Err(SqlState::ReadOnly);
        }
        if !writes {
            return Ok(Some(match c.verb {
                Verb::Select
                | Verb::SelectForUpdate
                | Verb::CopyTo
                | Verb::CopyQuery
                | Verb::Explain
                | Verb::Execute => Answer::Seen(self.seen(ctx)),
                _ => Answer::Done,
            }));
        }
        let effect = self.effect(c, id, ctx);
        let rows = effect.as_ref().map_or(0, |e| {
            e.rows.unsigned_abs().max(u64::from(c.verb == Verb::Update) * self.touched(c, ctx))
        });
        let bytes = c.bytes;
        let select = c.verb == Verb::Select;
        let seen = self.seen(ctx);
        if let Some(tx) = self.tx(conn) {
            tx.effects.extend(effect);
            tx.bytes = tx.bytes.saturating_add(bytes);
            tx.write = Some(id);
            return Ok(Some(if select { Answer::Seen(seen) } else { Answer::Changed(rows as u32) }));
        }
        self.transactions.committing.retain(|t| t.0 != conn);
        self.transactions.committing.push_back((conn, effect.into_iter().collect()));
        Ok(None)
    }
    /// How many rows an UPDATE or DELETE touches.
    fn touched(&self, c: &Command, ctx: &Cx<'_>) -> u64 {
        let rows = c.target.as_ref().map_or(0, |t| self.table(t, ctx).rows);
        if c.narrowed { rows.min(1) } else { rows }
    }
    fn table(&self, name: &str, ctx: &Cx<'_>) -> TableState {
        let new = || TableState { rows: self.catalog().table(name).rows, ..TableState::default() };
        ctx.files.pg.tables.get(name).copied().unwrap_or_else(new)
    }
    fn effect(&self, c: &Command, id: WriteId, ctx: &mut Cx<'_>) -> Option<Effect> {
        let table = c.target.clone()?;
        let mut value =
            mix(u64::from(id.client.0) << 48 | u64::from(id.operation) << 16 | u64::from(id.attempt));
        value = value.wrapping_add(c.text.bytes().fold(0, |h, b| mix(h ^ u64::from(b))));
        // What each server finds for itself.
        let time = c.tells_time();
        let random =
            c.functions.iter().any(|f| matches!(&**f, "random" | "gen_random_uuid" | "clock_timestamp"));
        if random {
            value = value.wrapping_add(mix(ctx.below(u64::MAX)));
        }
        if time {
            value = value.wrapping_add(mix(ctx.wall_clock.unsigned_abs()));
        }
        let takes_number = c.functions.iter().any(|f| &**f == "nextval")
            || (c.verb == Verb::Insert && self.catalog().table(&table).serial);
        if takes_number {
            let mut state = self.table(&table, ctx);
            state.sequence += 1;
            value = value.wrapping_add(mix(state.sequence));
            ctx.files.pg.tables.insert(table.clone(), state);
        }
        let rows = match c.verb {
            Verb::Insert | Verb::Merge | Verb::CopyFrom | Verb::WithWrite => 1,
            Verb::Delete => -(self.touched(c, ctx) as i64),
            Verb::Truncate => -(self.table(&table, ctx).rows as i64),
            _ => 0,
        };
        Some(Effect { table, rows, sum: value, drop: c.verb == Verb::DropTable })
    }

    fn commit(&mut self, (conn, query): (ConnId, u32), id: WriteId, ctx: &mut Cx<'_>) {
        let i = self.transactions.open.iter().position(|t| t.0 == conn);
        let tx = i.map(|i| self.transactions.open.remove(i).1).unwrap_or_default();
        let Some(write) = tx.write.filter(|_| !tx.failed) else {
            self.answer(conn, Sql::Done(query, Answer::Done), ctx);
            return self.unlock(conn, ctx);
        };
        debug_assert!(write.client == id.client);
        self.transactions.committing.push_back((conn, tx.effects));
        self.write((conn, query), write, tx.bytes, ctx);
        self.unlock(conn, ctx);
    }
    fn commit_at_once(&mut self, at: (ConnId, u32), c: &Command, id: WriteId, ctx: &mut Cx<'_>) {
        self.write(at, id, c.bytes, ctx);
    }
    /// A commit is safe: what it did becomes true.
    pub(super) fn applied(&mut self, conn: ConnId, ctx: &mut Cx<'_>) {
        let t = &mut self.transactions;
        let Some(i) = t.committing.iter().position(|t| t.0 == conn) else { return };
        let Some((_, effects)) = t.committing.remove(i) else { return };
        for e in effects {
            let mut state = self.table(&e.table, ctx);
            state.rows = state.rows.saturating_add_signed(e.rows);
            state.sum = state.sum.wrapping_add(e.sum);
            state.dropped |= e.drop;
            ctx.files.pg.tables.insert(e.table, state);
        }
    }
}
