//! What a process keeps on its disk, and what a kill or a power loss leaves of it.
//!
//! `write` puts a value into the page cache, where it survives the end of the process; `sync` (fsync) asks the disk to keep it, and only
//! what the disk has confirmed survives a loss of power. **Not modelled:** the kernel's own write-back after some 30 s, torn writes,
//! caches of the disk that lie.

use super::process::{Action, Ctx};
use crate::engine::{SpanRange, Time};

/// How a process came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum End {
    /// It was killed or exited: the kernel goes on.
    Killed,
    /// Its host lost power or was reset.
    PowerLost,
}

/// A host's disk: writes are confirmed one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Disk {
    /// What a sync takes.
    pub time: SpanRange,
    /// What it takes instead, while the disk is slow.
    pub slow: Option<SpanRange>,
    /// Writes fail (ENOSPC).
    pub full: bool,
    /// The syncs before the next one are done then.
    pub busy_until: Time,
}
impl Default for Disk {
    fn default() -> Self {
        let time = SpanRange { min: crate::engine::Span::us(500), max: crate::engine::Span::ms(2) };
        Disk { time, slow: None, full: false, busy_until: Time::ZERO }
    }
}

/// A value on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OnDisk<T> {
    written: T,
    synced: T,
    syncing: Vec<(u16, T)>,
}
impl<T: Clone> OnDisk<T> {
    /// A value that has always been there.
    pub fn new(value: T) -> Self {
        OnDisk { written: value.clone(), synced: value, syncing: Vec::new() }
    }
    /// What a read returns.
    pub fn get(&self) -> &T {
        &self.written
    }
    /// Writes, into the page cache.
    pub fn write(&mut self, value: T) {
        self.written = value;
    }
    /// Asks the disk to keep what is written; `Input::Synced` with this tag tells the result.
    pub fn sync<M, N, F>(&mut self, tag: u16, ctx: &mut Ctx<'_, M, N, F>) {
        self.syncing.push((tag, self.written.clone()));
        ctx.act(Action::Sync(tag));
    }
    /// The disk has answered.
    pub fn synced(&mut self, tag: u16, ok: bool) {
        if let Some(i) = self.syncing.iter().position(|s| s.0 == tag) {
            let (_, value) = self.syncing.remove(i);
            if ok {
                self.synced = value;
            }
        }
    }
    /// The process has ended.
    pub fn ended(&mut self, end: End) {
        self.syncing.clear();
        if end == End::PowerLost {
            self.written = self.synced.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_keeps_what_is_written_and_a_power_loss_only_what_is_synced() {
        let mut d = OnDisk::new(0);
        d.write(1);
        d.syncing.push((7, 1));
        d.synced(7, true);
        d.write(2);
        d.ended(End::Killed);
        assert_eq!(*d.get(), 2);
        d.ended(End::PowerLost);
        assert_eq!(*d.get(), 1);
        d.write(3);
        d.syncing.push((8, 3));
        d.synced(8, false);
        d.ended(End::PowerLost);
        assert_eq!(*d.get(), 1, "a full disk keeps nothing");
    }
}
