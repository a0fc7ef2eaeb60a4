//! A member on a host: its timers are the process's timers, and nothing that it says leaves before what it rests on is on the disk.

use super::{Hard, Io, Member, Out, Raft, Rules};
use crate::node::disk::{End, OnDisk};
use crate::node::process::{Ctx, Timer};
use std::collections::VecDeque;

/// A member and its disk. Its owner keeps timers below [`Raft::TIMERS`] free for it.
#[derive(Clone, Debug)]
pub struct Durable<C> {
    raft: Raft<C>,
    disk: OnDisk<Hard<C>>,
    /// What waits for the disk, oldest first: a sync's number, whether it is done, and what to do then.
    held: VecDeque<(u16, bool, Vec<Out<C>>)>,
    syncs: u16,
}

impl<C: Clone> Durable<C> {
    /// Member `me` of `members` with an empty disk.
    pub fn new(rules: Rules, me: Member, members: usize) -> Self {
        let raft = Raft::new(rules, me, members, Hard::default());
        Durable { raft, disk: OnDisk::new(Hard::default()), held: VecDeque::new(), syncs: 0 }
    }
    /// What an end of this kind leaves of it.
    pub fn reset(mut self, end: End, rules: Rules, me: Member, members: usize) -> Self {
        self.disk.ended(end);
        let raft = Raft::new(rules, me, members, self.disk.get().clone());
        Durable { raft, held: VecDeque::new(), ..self }
    }
    /// The member.
    pub fn raft(&self) -> &Raft<C> {
        &self.raft
    }
    /// Hands the member something; what its owner is to carry out now, in order.
    pub fn drive<M, N>(
        &mut self,
        ctx: &mut Ctx<'_, M, N>,
        step: impl FnOnce(&mut Raft<C>, &mut Io<'_, C>),
    ) -> Vec<Out<C>> {
        let mut out = Vec::new();
        let now = ctx.now;
        let mut draw = |bound| ctx.below(bound);
        step(&mut self.raft, &mut Io { now, draw: &mut draw, out: &mut out });
        if std::mem::take(&mut self.raft.dirty) {
            self.syncs = self.syncs.wrapping_add(1);
            self.disk.write(self.raft.hard.clone());
            self.disk.sync(self.syncs, ctx);
            self.held.push_back((self.syncs, false, Vec::new()));
        }
        out.retain(|o| match o {
            Out::Timer(t, span) => {
                ctx.set_timer(Timer(*t), *span);
                false
            }
            Out::Cancel(t) => {
                ctx.cancel_timer(Timer(*t));
                false
            }
            _ => true,
        });
        match self.held.back_mut() {
            Some((.., later)) => {
                later.append(&mut out);
                out
            }
            None => out,
        }
    }
    /// The disk has answered: what may be carried out now. `None`: it failed, which is the end of a server.
    pub fn synced(&mut self, tag: u16, ok: bool) -> Option<Vec<Out<C>>> {
        self.disk.synced(tag, ok);
        if let Some(h) = self.held.iter_mut().find(|h| h.0 == tag) {
            h.1 = true;
        }
        let mut ready = Vec::new();
        while self.held.front().is_some_and(|h| h.1) {
            ready.extend(self.held.pop_front().map(|h| h.2).unwrap_or_default());
        }
        ok.then_some(ready)
    }
}
