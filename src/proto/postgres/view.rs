//! What the floors above ask of a server.

use super::data::{DataDir, SyncState};
use super::msg::Place;
use super::process::{Phase, Postmaster};
use crate::say;
use std::sync::Arc;

impl Postmaster {
    /// Whether it is a standby.
    pub fn in_recovery(&self) -> bool {
        self.stop.is_none() && matches!(self.phase, Phase::Standby(_))
    }
    /// Whether it is a standby that gets WAL.
    pub fn streaming(&self) -> bool {
        self.in_recovery() && self.receiver.streams()
    }
    /// How far its WAL goes.
    pub fn has_up_to(&self, data: &DataDir) -> Place {
        data.control.history.place(data.end)
    }
    /// The first standby that commits wait for.
    pub fn sync_standby(&self) -> Option<Arc<str>> {
        let waited = |s: SyncState| matches!(s, SyncState::Sync | SyncState::Quorum);
        (0..self.senders.len()).find(|i| waited(self.sync_state(*i))).map(|i| self.senders[i].name.clone())
    }
    /// What a read that comes now would see.
    pub fn shows(&self, now: crate::engine::Time) -> super::msg::Lsn {
        if self.phase == Phase::Primary { self.wal.visible } else { self.replay.at(now) }
    }
    /// What it is, in words.
    pub fn beliefs(&self, data: &DataDir) -> Vec<String> {
        let role = match (self.stop, self.phase) {
            (Some(_), Phase::Off) | (None, Phase::Off) => return Vec::new(),
            (Some(_), _) => say!("pg-is-stopping"),
            (None, Phase::Launching | Phase::Recovering(_) | Phase::Opening) => say!("pg-is-starting"),
            (None, Phase::Standby(_)) if self.receiver.streams() => say!("pg-is-streaming"),
            (None, Phase::Standby(_)) => say!("pg-is-standby"),
            (None, Phase::PromotingReplay | Phase::PromotingSwitch) => say!("pg-is-promoting"),
            (None, Phase::Primary) => say!("pg-is-primary"),
        };
        vec![role, say!("pg-is-at", timeline = data.control.timeline, lsn = data.end)]
    }
}
