//! The connection pool, as HikariCP keeps one.
//!
//! Connections are opened by one thread, one after the other: a server that swallows packets holds up all new connections. A failed try
//! is repeated after 250 ms, then after half as long again each time, up to 10 s. A connection is tested before use unless it was used
//! within the last 500 ms. Nothing looks at names: a connection stays where it was opened until it breaks or its life ends.

use super::process::{App, Slot, State, Work, life};
use crate::engine::Span;
use crate::proto::Cx;
use crate::proto::client::process::Outcome;
use crate::proto::postgres::msg::Statement;

/// How often the pool looks for connections that are idle for too long.
pub(super) const HOUSE_KEEPING: Span = Span::secs(30);
const FIRST_WAIT: Span = Span::ms(250);
const LONGEST_WAIT: Span = Span::secs(10);

/// The thread that opens connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Opener {
    /// It is at work, or waits before it tries again.
    busy: bool,
    /// The wait after the next failure.
    wait: Span,
}

impl App {
    fn count(&self, is: impl Fn(&Slot) -> bool) -> usize {
        self.slots.iter().filter(|s| is(s)).count()
    }

    /// Opens connections, if there are too few.
    pub(super) fn fill(&mut self, ctx: &mut Cx<'_>) {
        if !self.opener.busy {
            self.opener.wait = FIRST_WAIT;
            self.open(ctx);
        }
    }
    /// The opener's turn.
    pub(super) fn open(&mut self, ctx: &mut Cx<'_>) {
        let Some(pool) = &self.config().pool else { return };
        let (most, least) = (usize::from(pool.maximum_pool_size), pool.idle());
        let total = self.count(|s| s.session.is_some());
        let idle = self.count(|s| s.state == State::Idle);
        self.opener.busy = total < most && (!self.waiting.is_empty() || idle < least);
        if self.opener.busy {
            let slot = self.slots.iter().position(|s| s.state == State::Vacant).unwrap_or(self.slots.len());
            self.place(slot);
            self.dial(slot, ctx);
        }
    }
    pub(super) fn pool_opened(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let Some(pool) = &self.config().pool else { return };
        let longest = pool.max_lifetime;
        if !longest.is_zero() {
            // All at once at the end of their lives would be a storm.
            let earlier = if longest > Span::secs(10) { ctx.below(longest.0 / 40) } else { 0 };
            ctx.set_timer(life(slot), longest.saturating_sub(Span(earlier)));
        }
        self.opener.busy = false;
        self.serve(ctx);
        self.fill(ctx);
    }
    pub(super) fn pool_failed(&mut self, ctx: &mut Cx<'_>) {
        let Some(pool) = &self.config().pool else { return };
        let most = LONGEST_WAIT.min(pool.connection_timeout);
        let wait = self.opener.wait;
        self.opener.wait = wait.ratio(3, 2).min(most);
        self.later(ctx.now + wait, Work::Open, ctx);
    }

    /// Gives idle connections to those who wait.
    pub(super) fn serve(&mut self, ctx: &mut Cx<'_>) {
        while !self.waiting.is_empty() {
            // The bag is looked through from its oldest connection on.
            let idle = self.slots.iter().enumerate().filter(|(_, s)| s.state == State::Idle);
            let Some(slot) = idle.min_by_key(|(_, s)| s.born).map(|(i, _)| i) else { return };
            let Some(op) = self.waiting.pop_front() else { return };
            let Some(pool) = &self.config().pool else { return };
            let rested = ctx.now.since(self.slots[slot].used) > pool.alive_bypass_window;
            let patience = pool.validation_timeout;
            if !(pool.test_on_borrow && rested) {
                self.assign(slot, op, ctx);
                continue;
            }
            self.slots[slot].op = Some(op);
            self.slots[slot].state = State::Testing;
            if self.slots[slot].gone.is_some() {
                self.test_failed(slot, ctx);
            } else {
                self.query(slot, Statement::IsInRecovery, patience, ctx);
            }
        }
    }
    /// A tested connection is dead: the next one is tried, as long as the operation has time.
    pub(super) fn test_failed(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        let op = self.slots[slot].op.take();
        self.drop_session(slot, ctx);
        if let Some(op) = op {
            if op.deadline <= ctx.now {
                self.give_up(op, Outcome::Busy, ctx);
            } else {
                let at = self.waiting.partition_point(|w| w.deadline <= op.deadline);
                self.waiting.insert(at, op);
            }
        }
        self.serve(ctx);
        self.fill(ctx);
    }
    /// A connection has come back, or is gone.
    pub(super) fn freed(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        if self.slots[slot].doomed && self.slots[slot].state == State::Idle {
            self.drop_session(slot, ctx);
        }
        self.serve(ctx);
        self.fill(ctx);
    }
    pub(super) fn end_of_life(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        if self.slots[slot].state == State::Idle {
            self.drop_session(slot, ctx);
            self.fill(ctx);
        } else {
            self.slots[slot].doomed = true;
        }
    }
    /// Operations that have waited too long.
    pub(super) fn expire(&mut self, ctx: &mut Cx<'_>) {
        while self.waiting.front().is_some_and(|op| op.deadline <= ctx.now) {
            let Some(op) = self.waiting.pop_front() else { return };
            self.give_up(op, Outcome::Busy, ctx);
        }
    }
    /// Closes what is idle for too long.
    pub(super) fn keep_house(&mut self, ctx: &mut Cx<'_>) {
        self.later(ctx.now + HOUSE_KEEPING, Work::House, ctx);
        let Some(pool) = &self.config().pool else { return };
        let (least, longest) = (pool.idle(), pool.idle_timeout);
        if !longest.is_zero() && least < usize::from(pool.maximum_pool_size) {
            let mut spare = self.count(|s| s.state == State::Idle).saturating_sub(least);
            for slot in 0..self.slots.len() {
                let old =
                    self.slots[slot].state == State::Idle && ctx.now.since(self.slots[slot].used) > longest;
                if old && spare > 0 {
                    self.drop_session(slot, ctx);
                    spare -= 1;
                }
            }
        }
        self.fill(ctx);
    }
}
