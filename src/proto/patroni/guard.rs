//! The watchdog: when it is armed, fed and put away.
//!
//! Source: `watchdog/base.py`, `watchdog/linux.py`. It is armed before a promotion and fed only when the lock was renewed (or the members
//! agreed, in failsafe mode), so that a Patroni that cannot say any more that it holds the lock is followed by a reset of the host.
//!
//! **Not modelled:** devices that cannot be put away, and devices with a time of their own.

use super::config::{Margin, WatchdogMode};
use super::note::{Dog, Note, Unusable};
use super::process::Agent;
use crate::engine::{SEC, Span};
use crate::node::process::{Action, Watchdog};
use crate::proto::Cx;

/// The watchdog as Patroni sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Guard {
    /// Patroni wants it.
    active: bool,
    /// It counts, with this time.
    armed: Option<Span>,
    /// It cannot be used, and a device that does nothing has taken its place.
    null: bool,
    told: Option<Unusable>,
}
impl Guard {
    pub(super) fn running(&self) -> bool {
        self.armed.is_some()
    }
}

impl Agent {
    /// Its time: `ttl` less `safety_margin`, or half of it.
    fn watchdog_timeout(&self) -> Span {
        let ttl = self.dynamic.timing.ttl;
        match self.config.safety_margin {
            Margin::Less(margin) => ttl.saturating_sub(margin),
            Margin::Half => Span::secs(ttl.0 / SEC / 2),
        }
    }
    /// The time that is left for a cycle; below zero the watchdog cannot be used.
    fn timing_slack(&self) -> bool {
        self.watchdog_timeout() >= self.dynamic.timing.loop_wait
    }
    /// At the start of the program.
    pub(super) fn init_watchdog(&mut self, _: &Cx<'_>) -> bool {
        self.guard.null = self.config.watchdog == WatchdogMode::Off;
        true
    }
    /// `is_healthy`: whether a primary could be guarded, if it must be.
    pub(super) fn watchdog_healthy(&self, ctx: &Cx<'_>) -> bool {
        self.config.watchdog != WatchdogMode::Required
            || (self.timing_slack() && ctx.has_watchdog && !self.guard.null)
    }
    /// `activate`. `false`: it must be used and cannot be.
    pub(super) fn activate_watchdog(&mut self, ctx: &mut Cx<'_>) -> bool {
        self.guard.active = true;
        let required = self.config.watchdog == WatchdogMode::Required;
        if self.config.watchdog == WatchdogMode::Off {
            return true;
        }
        let why = if !self.timing_slack() {
            Some(Unusable::Slack)
        } else if !ctx.has_watchdog {
            Some(Unusable::NoDevice)
        } else {
            None
        };
        if let Some(why) = why {
            self.guard.null = true;
            if self.guard.told != Some(why) {
                self.guard.told = Some(why);
                self.note(Note::WatchdogUnusable { why, required }, ctx);
            }
        }
        if self.guard.null {
            return !required;
        }
        let timeout = self.watchdog_timeout();
        ctx.act(Action::Watchdog(Watchdog::Arm(timeout)));
        self.guard.armed = Some(timeout);
        self.note(Note::WatchdogArmed { timeout }, ctx);
        true
    }
    /// `disable`: it is closed in order.
    pub(super) fn disable_watchdog(&mut self, ctx: &mut Cx<'_>) {
        if self.guard.armed.take().is_some() {
            ctx.act(Action::Watchdog(Watchdog::Disarm));
            self.note(Note::WatchdogDisarmed, ctx);
        }
        self.guard.active = false;
    }
    /// `keepalive`; a changed time comes into force now.
    pub(super) fn keepalive(&mut self, ctx: &mut Cx<'_>) {
        let running = self.guard.armed.is_some() && self.guard.active;
        let dog = Dog { running, timeout: self.watchdog_timeout(), ttl: self.dynamic.timing.ttl };
        self.note(Note::Renewed(dog), ctx);
        let Some(armed) = self.guard.armed.filter(|_| self.guard.active) else { return };
        let timeout = self.watchdog_timeout();
        if armed == timeout {
            ctx.act(Action::Watchdog(Watchdog::Feed));
        } else {
            ctx.act(Action::Watchdog(Watchdog::Arm(timeout)));
            self.guard.armed = Some(timeout);
            self.note(Note::WatchdogArmed { timeout }, ctx);
        }
    }
    /// The configuration changed: a device that was given up may be tried again.
    pub(super) fn reload_watchdog(&mut self) {
        if self.guard.armed.is_none() {
            self.guard.null = self.config.watchdog == WatchdogMode::Off;
        }
    }
}
