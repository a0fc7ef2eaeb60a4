//! A member on a host: its timers are the process's timers, and nothing that it says leaves before what it rests on is on the disk.
//!
//! What is on the disk, and what is on its way there, differs from what the member has in memory by little: only the difference is kept, so
//! that a write costs what it adds, however long the log has become.

use super::{Entry, Hard, Io, Member, Message, Out, Raft, Rules};
use crate::engine::{Span, Time};
use crate::net::addr::Ip;
use crate::node::disk::End;
use crate::node::process::{Action, Ctx, Timer};
use std::collections::VecDeque;

/// What the disk has, or will have: the first `agree` entries of the member's log, then `tail`.
#[derive(Clone, Debug)]
struct View<C> {
    term: u32,
    vote: Option<Member>,
    commit: u32,
    agree: usize,
    tail: Vec<Entry<C>>,
}
impl<C> View<C> {
    fn of(hard: &Hard<C>) -> Self {
        let Hard { term, vote, commit, .. } = *hard;
        View { term, vote, commit, agree: hard.log.len(), tail: Vec::new() }
    }
}

/// What waits for the disk.
#[derive(Clone, Debug)]
struct Held<C> {
    sync: u16,
    done: bool,
    /// What is to be done then.
    out: Vec<Out<C>>,
    view: View<C>,
}

/// A member and its disk. Its owner keeps timers below [`Raft::TIMERS`] free for it.
#[derive(Clone, Debug)]
pub struct Durable<C> {
    raft: Raft<C>,
    /// What survives a loss of power.
    synced: View<C>,
    /// Oldest first.
    held: VecDeque<Held<C>>,
    syncs: u16,
    /// An empty list, kept for its room.
    spare: Vec<Out<C>>,
}

impl<C: Clone> Durable<C> {
    /// Member `me` of `members` with an empty disk.
    pub fn new(rules: Rules, me: Member, members: usize) -> Self {
        let raft = Raft::new(rules, me, members, Hard::default());
        let synced = View::of(&raft.hard);
        Durable { raft, synced, held: VecDeque::new(), syncs: 0, spare: Vec::new() }
    }
    /// What an end of this kind leaves of it.
    pub fn reset(self, end: End, rules: Rules, me: Member, members: usize) -> Self {
        let Durable { raft, mut synced, syncs, .. } = self;
        let mut hard = raft.hard;
        if end == End::PowerLost {
            hard.log.truncate(synced.agree);
            hard.log.append(&mut synced.tail);
            (hard.term, hard.vote, hard.commit) = (synced.term, synced.vote, synced.commit);
            synced = View::of(&hard);
        }
        let raft = Raft::new(rules, me, members, hard);
        Durable { raft, synced, held: VecDeque::new(), syncs, spare: Vec::new() }
    }
    /// The member.
    pub fn raft(&self) -> &Raft<C> {
        &self.raft
    }
    /// [`Raft::quiet_tick`]: nothing is said and nothing is written.
    #[inline]
    pub fn quiet_tick(&mut self, timer: u16) -> Option<Span> {
        self.raft.quiet_tick(timer)
    }
    /// [`Raft::quiet_beat`]: what is said rests on nothing that is not on the disk yet.
    #[inline]
    pub fn quiet_beat(&mut self, timer: u16) -> Option<(Span, Message<C>)> {
        if self.held.is_empty() { self.raft.quiet_beat(timer) } else { None }
    }
    /// [`Raft::quiet_message`] of the member with this address: what is said rests on nothing that is not on the disk yet. Who it was, and
    /// the answer.
    #[inline]
    pub fn heard(
        &mut self,
        members: &[Ip],
        from: Ip,
        message: &Message<C>,
        now: Time,
    ) -> Option<(Member, Option<Message<C>>)> {
        if !self.held.is_empty() {
            return None;
        }
        let from = Member(members.iter().position(|ip| *ip == from)? as u8);
        Some((from, self.raft.quiet_message(from, message, now)?))
    }
    /// Hands the member something; what its owner is to carry out now, in order. The list comes back with [`Durable::recycle`].
    pub fn drive<M, N, F>(
        &mut self,
        ctx: &mut Ctx<'_, M, N, F>,
        step: impl FnOnce(&mut Raft<C>, &mut Io<'_, C>),
    ) -> Vec<Out<C>> {
        let mut out = std::mem::take(&mut self.spare);
        let now = ctx.now;
        let mut draw = |bound| ctx.below(bound);
        step(&mut self.raft, &mut Io { now, draw: &mut draw, out: &mut out });
        if let Some((at, cut)) = self.raft.cut.take() {
            // What the disk has of the entries that were replaced stays there until the next sync.
            for view in std::iter::once(&mut self.synced).chain(self.held.iter_mut().map(|h| &mut h.view)) {
                if view.agree > at {
                    view.tail.splice(0..0, cut.iter().take(view.agree - at).cloned());
                    view.agree = at;
                }
            }
        }
        if std::mem::take(&mut self.raft.dirty) {
            self.syncs = self.syncs.wrapping_add(1);
            ctx.act(Action::Sync(self.syncs));
            let view = View::of(&self.raft.hard);
            self.held.push_back(Held { sync: self.syncs, done: false, out: Vec::new(), view });
        }
        // The timers at once, before everything else; its owner passes them over.
        for o in &out {
            match o {
                Out::Timer(t, span) => ctx.set_timer(Timer(*t), *span),
                Out::Cancel(t) => ctx.cancel_timer(Timer(*t)),
                _ => {}
            }
        }
        if let Some(last) = self.held.back_mut() {
            last.out.append(&mut out);
        }
        out
    }
    /// Takes back a list that has been carried out.
    pub fn recycle(&mut self, mut list: Vec<Out<C>>) {
        list.clear();
        self.spare = list;
    }
    /// The disk has answered: what may be carried out now. `None`: it failed, which is the end of a server.
    pub fn synced(&mut self, tag: u16, ok: bool) -> Option<Vec<Out<C>>> {
        if let Some(h) = self.held.iter_mut().find(|h| h.sync == tag) {
            h.done = true;
        }
        let mut ready = std::mem::take(&mut self.spare);
        while self.held.front().is_some_and(|h| h.done) {
            let Some(mut h) = self.held.pop_front() else { break };
            ready.append(&mut h.out);
            if ok {
                self.synced = h.view;
            }
        }
        ok.then_some(ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Member0 = Durable<u8>;
    fn disk(d: &Member0) -> Vec<u32> {
        let v = &d.synced;
        d.raft.hard.log[..v.agree].iter().chain(&v.tail).map(|e| e.term).collect()
    }
    /// A member whose log is `log`, all of it synced.
    fn member(log: &[u32]) -> Member0 {
        let mut d = Durable::new(Rules::etcd(false), Member(0), 3);
        d.raft.hard.log = log.iter().map(|t| Entry { term: *t, command: None }).collect();
        d.synced = View::of(&d.raft.hard);
        d
    }
    fn replaced(d: &mut Member0, at: usize, new: &[u32]) {
        d.raft.replace(at, new.iter().map(|t| Entry { term: *t, command: None }));
        let (from, cut) = d.raft.cut.take().unwrap_or_default();
        for view in std::iter::once(&mut d.synced).chain(d.held.iter_mut().map(|h| &mut h.view)) {
            if view.agree > from {
                view.tail.splice(0..0, cut.iter().take(view.agree - from).cloned());
                view.agree = from;
            }
        }
    }

    #[test]
    fn the_disk_keeps_what_the_member_has_replaced_until_it_is_synced() {
        let mut d = member(&[1, 1, 2, 2]);
        replaced(&mut d, 2, &[3]);
        replaced(&mut d, 1, &[4, 4, 4]);
        assert_eq!(disk(&d), [1, 1, 2, 2]);
        let d = d.reset(End::PowerLost, Rules::etcd(false), Member(0), 3);
        let terms: Vec<u32> = d.raft.hard.log.iter().map(|e| e.term).collect();
        assert_eq!(terms, [1, 1, 2, 2]);
    }
    #[test]
    fn a_kill_keeps_what_the_member_has() {
        let mut d = member(&[1, 1]);
        replaced(&mut d, 1, &[2, 2]);
        let d = d.reset(End::Killed, Rules::etcd(false), Member(0), 3);
        assert_eq!(d.raft.hard.log.len(), 3);
        assert_eq!(disk(&d), [1, 1], "the page cache is not the disk");
    }
    #[test]
    fn a_heartbeat_is_not_answered_before_what_the_answer_rests_on_is_on_the_disk() {
        let mut d = member(&[1, 1]);
        let heartbeat = |term| Message::Append { term, prev: 2, prev_term: 1, commit: 0, entries: None };
        let (mut out, now) = (Vec::new(), Time::secs(1));
        d.raft.message(Member(1), heartbeat(1), &mut Io { now, draw: &mut |_| 0, out: &mut out });
        let hosts = [Ip(10), Ip(11), Ip(12)];
        let (leader, answer) = d.heard(&hosts, Ip(11), &heartbeat(1), now).unwrap();
        let expected = Message::AppendReply { term: 1, ok: true, matched: 2 };
        assert_eq!((leader, answer), (Member(1), Some(expected)));
        assert!(d.heard(&hosts, Ip(12), &heartbeat(1), now).is_none(), "it follows another");
        assert!(d.heard(&hosts, Ip(13), &heartbeat(1), now).is_none(), "no member");
        let view = View::of(&d.raft.hard);
        d.held.push_back(Held { sync: 1, done: false, out: Vec::new(), view });
        assert!(d.heard(&hosts, Ip(11), &heartbeat(1), now).is_none());
    }
}
