//! One member: a pure state machine over messages and timers.

use super::msg::{Ballot, Entry, Hard, Member, Message};
use super::{Library, Rules, quorum};
use crate::engine::{Span, Time};
use std::sync::Arc;

/// What a member is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
pub enum Role {
    /// It follows a leader or waits for one.
    Follower,
    /// It asks whether it could win.
    PreCandidate,
    /// It asks for votes.
    Candidate,
    /// It leads.
    Leader,
}

/// What a member asks its owner for, to be carried out after what is in [`Raft::hard`] is on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Out<C> {
    /// Send.
    Send(Member, Message<C>),
    /// Set a timer of this number ([`Raft::TIMERS`] of them), replacing what it was set to.
    Timer(u16, Span),
    /// Forget it.
    Cancel(u16),
    /// The entries up to this index are committed.
    Committed(u32),
    /// It leads from now on.
    Elected,
    /// It leads no longer.
    SteppedDown,
}

/// What a member may use while it handles an input.
pub struct Io<'a, C> {
    /// The time of the host's monotonic clock.
    pub now: Time,
    /// A whole number below the bound, all equally likely.
    pub draw: &'a mut dyn FnMut(u64) -> u64,
    /// What it asks for.
    pub out: &'a mut Vec<Out<C>>,
}
impl<C> Io<'_, C> {
    /// A length in `[base, 2 base)`.
    fn one_to_two(&mut self, base: Span) -> Span {
        Span(base.0 + (self.draw)(base.0))
    }
}

/// What a leader knows of another member.
#[derive(Clone, Copy, Debug)]
struct Peer {
    next: u32,
    matched: u32,
    /// Its last answer.
    contact: Time,
    /// It has answered since the last check of the quorum.
    active: bool,
    /// Its vote in the election at hand.
    vote: Option<bool>,
}

/// A member of a cluster.
#[derive(Clone, Debug)]
pub struct Raft<C> {
    rules: Rules,
    me: Member,
    /// What is on disk; `dirty` tells that it has changed.
    pub hard: Hard<C>,
    /// [`Raft::hard`] has changed since the owner last cleared this.
    pub dirty: bool,
    /// Entries that were replaced since the owner last took this: the index of the first, from 0, and what stood there before.
    pub cut: Option<(usize, Vec<Entry<C>>)>,
    /// No quorum answers: it was a leader that lost it, or two elections in a row had none.
    lost: bool,
    role: Role,
    leader: Option<Member>,
    commit: u32,
    peers: Vec<Peer>,
    /// etcd: ticks since the last contact, and the number at which an election starts.
    elapsed: u32,
    timeout: u32,
    last_contact: Time,
    transferee: Option<Member>,
    /// The entries of the last message that had some, and the index before them: the next one, to another member or again to one that does
    /// not answer, mostly has the same.
    batch: (u32, Arc<Vec<Entry<C>>>),
}

/// The tick (etcd), the follower's and the candidate's timer (HashiCorp).
const T_ELECTION: u16 = 0;
/// The leader's lease (HashiCorp).
const T_LEASE: u16 = 1;
/// The next message to each peer (HashiCorp).
const T_PEER: u16 = 2;
/// HashiCorp's `minCheckInterval` of the lease.
const MIN_CHECK: Span = Span::ms(10);
/// As many entries go into one message.
const BATCH: usize = 64;

impl<C: Clone> Raft<C> {
    /// Timers are numbered below this, for up to seven members.
    pub const TIMERS: u16 = T_PEER + 7;

    /// Member `me` of `members` (1 to 7) that finds `hard` on its disk.
    pub fn new(rules: Rules, me: Member, members: usize, hard: Hard<C>) -> Self {
        let peer = Peer { next: 1, matched: 0, contact: Time::ZERO, active: false, vote: None };
        Raft {
            rules,
            me,
            dirty: false,
            cut: None,
            lost: false,
            role: Role::Follower,
            leader: None,
            commit: hard.commit.min(hard.log.len() as u32),
            hard,
            peers: vec![peer; members],
            elapsed: 0,
            timeout: 0,
            last_contact: Time::ZERO,
            transferee: None,
            batch: (0, Arc::default()),
        }
    }
    /// What it is.
    pub fn role(&self) -> Role {
        self.role
    }
    /// Whom it believes to lead.
    pub fn leader(&self) -> Option<Member> {
        self.leader
    }
    /// Its term.
    pub fn term(&self) -> u32 {
        self.hard.term
    }
    /// What it knows to be committed.
    pub fn commit(&self) -> u32 {
        self.commit
    }
    /// The index of its last entry.
    pub fn last_index(&self) -> u32 {
        self.hard.log.len() as u32
    }
    /// The members, itself included.
    pub fn members(&self) -> impl Iterator<Item = Member> + use<C> {
        (0..self.peers.len() as u8).map(Member)
    }
    /// The command at an index, counted from 1.
    pub fn command(&self, index: u32) -> Option<&C> {
        self.hard.log.get((index as usize).checked_sub(1)?)?.command.as_ref()
    }
    /// When it last heard a leader, or voted.
    pub fn last_contact(&self) -> Time {
        self.last_contact
    }
    /// Whether a quorum answers it, as far as it knows: `false` once it was a leader that lost it, or an election ended without one.
    pub fn has_quorum(&self) -> bool {
        !self.lost
    }
    /// When a leader last heard from this member.
    pub fn contact(&self, member: Member) -> Time {
        self.peers.get(member.0 as usize).map_or(Time::ZERO, |p| p.contact)
    }

    /// The process starts.
    pub fn start(&mut self, io: &mut Io<'_, C>) {
        self.last_contact = io.now;
        self.reset_timeout(io);
        if self.commit > 0 {
            io.out.push(Out::Committed(self.commit));
        }
        match self.rules.library {
            // The tick runs freely: where the process started decides its phase.
            Library::Etcd { heartbeat, .. } => {
                let phase = Span((io.draw)(heartbeat.0));
                io.out.push(Out::Timer(T_ELECTION, phase));
            }
            Library::Hashicorp { heartbeat, .. } => {
                let wait = io.one_to_two(heartbeat);
                io.out.push(Out::Timer(T_ELECTION, wait));
            }
        }
    }

    /// A timer ran out, and if all that comes of it is that a tick is counted, it is: when the next one is due.
    pub fn quiet_tick(&mut self, timer: u16) -> Option<Span> {
        let Library::Etcd { heartbeat, .. } = self.rules.library else { return None };
        if timer != T_ELECTION || self.role == Role::Leader || self.elapsed + 1 >= self.timeout {
            return None;
        }
        self.elapsed += 1;
        Some(heartbeat)
    }
    /// A leader's timer ran out, and if all that comes of it is a heartbeat to members that have everything: when the next tick is due, and
    /// what the others hear.
    #[inline]
    pub fn quiet_beat(&mut self, timer: u16) -> Option<(Span, Message<C>)> {
        let Library::Etcd { heartbeat, .. } = self.rules.library else { return None };
        let (prev, prev_term) = self.last();
        let counts = self.elapsed + 1 < self.election_ticks();
        if timer != T_ELECTION
            || self.role != Role::Leader
            || !counts
            || self.others().any(|m| self.peers[m.0 as usize].next != prev + 1)
        {
            return None;
        }
        self.elapsed += 1;
        let (term, commit) = (self.hard.term, self.commit);
        Some((heartbeat, Message::Append { term, prev, prev_term, commit, entries: None }))
    }
    /// A message from another member arrives, and if it is a heartbeat of the leader that is followed, or an answer to one, and tells nothing
    /// else, it is heard: the answer to it, if there is one.
    #[inline]
    pub fn quiet_message(
        &mut self,
        from: Member,
        message: &Message<C>,
        now: Time,
    ) -> Option<Option<Message<C>>> {
        match *message {
            Message::Append { term, prev, prev_term, commit, entries: None }
                if term == self.hard.term
                    && self.role == Role::Follower
                    && self.leader == Some(from)
                    && commit.min(prev) <= self.commit
                    && self.term_at(prev) == Some(prev_term) =>
            {
                self.elapsed = 0;
                self.last_contact = now;
                Some(Some(Message::AppendReply { term, ok: true, matched: prev }))
            }
            Message::AppendReply { term, ok: true, matched }
                if term == self.hard.term && self.role == Role::Leader && from != self.me =>
            {
                let peer = self.peers.get_mut(from.0 as usize).filter(|p| matched <= p.matched)?;
                (peer.active, peer.contact) = (true, now);
                Some(None)
            }
            _ => None,
        }
    }
    /// A timer ran out.
    pub fn timer(&mut self, timer: u16, io: &mut Io<'_, C>) {
        match (self.rules.library, timer) {
            (Library::Etcd { heartbeat, check_quorum, .. }, T_ELECTION) => {
                io.out.push(Out::Timer(T_ELECTION, heartbeat));
                self.tick(check_quorum, io);
            }
            (Library::Hashicorp { heartbeat, .. }, T_ELECTION) => match self.role {
                Role::Leader => {}
                Role::Follower if io.now.since(self.last_contact) < heartbeat => {
                    let wait = io.one_to_two(heartbeat);
                    io.out.push(Out::Timer(T_ELECTION, wait));
                }
                _ => {
                    self.leader = None;
                    self.campaign(false, io);
                }
            },
            (Library::Hashicorp { leader_lease, .. }, T_LEASE) => self.check_lease(leader_lease, io),
            (Library::Hashicorp { .. }, n) if self.role == Role::Leader => {
                self.append_to(Member((n - T_PEER) as u8), io);
            }
            _ => {}
        }
    }

    /// Appends a command; its index, or `None` if this member does not lead.
    pub fn propose(&mut self, command: C, io: &mut Io<'_, C>) -> Option<u32> {
        if self.role != Role::Leader {
            return None;
        }
        self.append(Some(command), io);
        Some(self.hard.log.len() as u32)
    }

    /// Hands the leadership over to a member, as soon as its log is whole.
    pub fn transfer(&mut self, to: Member, io: &mut Io<'_, C>) {
        if self.role == Role::Leader && to != self.me && (to.0 as usize) < self.peers.len() {
            self.transferee = Some(to);
            self.append_to(to, io);
            self.hand_over(io);
        }
    }
    fn hand_over(&mut self, io: &mut Io<'_, C>) {
        if let Some(to) = self.transferee
            && self.peers[to.0 as usize].matched as usize == self.hard.log.len()
        {
            self.transferee = None;
            io.out.push(Out::Send(to, Message::TimeoutNow { term: self.hard.term }));
        }
    }

    fn last(&self) -> (u32, u32) {
        (self.hard.log.len() as u32, self.hard.log.last().map_or(0, |e| e.term))
    }
    fn term_at(&self, index: u32) -> Option<u32> {
        match index {
            0 => Some(0),
            n => self.hard.log.get(n as usize - 1).map(|e| e.term),
        }
    }
    fn others(&self) -> impl Iterator<Item = Member> + use<C> {
        let me = self.me;
        self.members().filter(move |m| *m != me)
    }
    fn reset_timeout(&mut self, io: &mut Io<'_, C>) {
        self.elapsed = 0;
        if let Library::Etcd { heartbeat, election, .. } = self.rules.library {
            let ticks = (election.0 / heartbeat.0.max(1)).max(1);
            self.timeout = (ticks + (io.draw)(ticks)) as u32;
        }
    }
    /// etcd's `initial-election-tick-advance`: a member that has just started need not wait out a whole election timeout for a leader that it
    /// would hear at once; all but two ticks of it are passed over (all but one, if it is alone).
    pub fn advance_ticks(&mut self) {
        let left = if self.peers.len() > 1 { 2 } else { 1 };
        self.elapsed += self.election_ticks().saturating_sub(left);
    }
    fn election_ticks(&self) -> u32 {
        match self.rules.library {
            Library::Etcd { heartbeat, election, .. } => (election.0 / heartbeat.0.max(1)).max(1) as u32,
            Library::Hashicorp { .. } => 0,
        }
    }

    /// etcd: one heartbeat interval has gone by.
    fn tick(&mut self, check_quorum: bool, io: &mut Io<'_, C>) {
        self.elapsed += 1;
        if self.role != Role::Leader {
            if self.elapsed >= self.timeout {
                self.campaign(false, io);
            }
            return;
        }
        if self.elapsed >= self.election_ticks() {
            self.elapsed = 0;
            self.transferee = None;
            let heard = 1 + self.others().filter(|m| self.peers[m.0 as usize].active).count();
            if check_quorum && heard < quorum(self.peers.len()) {
                self.lost = true;
                self.follow(self.hard.term, None, io);
                return;
            }
            self.peers.iter_mut().for_each(|p| p.active = false);
        }
        for m in self.others() {
            self.append_to(m, io);
        }
    }

    /// HashiCorp: steps down when a quorum has not answered for the length of the lease.
    fn check_lease(&mut self, lease: Span, io: &mut Io<'_, C>) {
        if self.role != Role::Leader {
            return;
        }
        let (mut fresh, mut oldest) = (1, Span::ZERO);
        for m in self.others() {
            let age = io.now.since(self.peers[m.0 as usize].contact);
            if age <= lease {
                (fresh, oldest) = (fresh + 1, oldest.max(age));
            }
        }
        if fresh < quorum(self.peers.len()) {
            self.lost = true;
            self.follow(self.hard.term, None, io);
            return;
        }
        io.out.push(Out::Timer(T_LEASE, Span(lease.0.saturating_sub(oldest.0)).max(MIN_CHECK)));
    }

    fn follow(&mut self, term: u32, leader: Option<Member>, io: &mut Io<'_, C>) {
        let was = std::mem::replace(&mut self.role, Role::Follower);
        if term > self.hard.term {
            self.hard.term = term;
            self.hard.vote = None;
            self.dirty = true;
        }
        self.leader = leader;
        self.lost &= leader.is_none();
        self.transferee = None;
        self.reset_timeout(io);
        if let Library::Hashicorp { heartbeat, .. } = self.rules.library
            && was != Role::Follower
        {
            let wait = io.one_to_two(heartbeat);
            io.out.push(Out::Timer(T_ELECTION, wait));
            io.out.push(Out::Cancel(T_LEASE));
            for m in self.others() {
                io.out.push(Out::Cancel(T_PEER + u16::from(m.0)));
            }
        }
        if was == Role::Leader {
            io.out.push(Out::SteppedDown);
        }
    }

    /// Asks for votes; without asking first whether it would get them if the leader told it to.
    fn campaign(&mut self, told: bool, io: &mut Io<'_, C>) {
        let pre = self.rules.pre_vote && !told;
        self.stand(
            if pre {
                Ballot::Pre
            } else if told {
                Ballot::Transfer
            } else {
                Ballot::Real
            },
            io,
        );
    }
    fn stand(&mut self, ballot: Ballot, io: &mut Io<'_, C>) {
        // The election before this one ended without answers of a quorum.
        let answers = self.peers.iter().filter(|p| p.vote.is_some()).count();
        let stood = matches!(self.role, Role::PreCandidate | Role::Candidate);
        self.lost |= stood && answers < quorum(self.peers.len());
        let mut term = self.hard.term + 1;
        if ballot == Ballot::Pre {
            self.role = Role::PreCandidate;
        } else {
            self.role = Role::Candidate;
            self.hard.term = term;
            self.hard.vote = Some(self.me);
            self.dirty = true;
            term = self.hard.term;
        }
        self.leader = None;
        self.reset_timeout(io);
        if let Library::Hashicorp { election, .. } = self.rules.library {
            let wait = io.one_to_two(election);
            io.out.push(Out::Timer(T_ELECTION, wait));
        }
        for p in &mut self.peers {
            p.vote = None;
        }
        self.peers[self.me.0 as usize].vote = Some(true);
        let (last_index, last_term) = self.last();
        for m in self.others() {
            io.out.push(Out::Send(m, Message::Vote { term, last_index, last_term, ballot }));
        }
        self.count(io);
    }
    fn count(&mut self, io: &mut Io<'_, C>) {
        let votes = |yes| self.peers.iter().filter(|p| p.vote == Some(yes)).count();
        let (yes, no) = (votes(true), votes(false));
        let needed = quorum(self.peers.len());
        match self.role {
            Role::PreCandidate if yes >= needed => self.stand(Ballot::Real, io),
            Role::Candidate if yes >= needed => self.lead(io),
            // etcd: a lost election ends at once; HashiCorp's candidate waits for its timer.
            Role::PreCandidate | Role::Candidate
                if no >= needed && matches!(self.rules.library, Library::Etcd { .. }) =>
            {
                self.follow(self.hard.term, None, io);
            }
            _ => {}
        }
    }
    fn lead(&mut self, io: &mut Io<'_, C>) {
        self.role = Role::Leader;
        self.leader = Some(self.me);
        self.lost = false;
        self.elapsed = 0;
        let next = self.hard.log.len() as u32 + 1;
        for p in &mut self.peers {
            *p = Peer { next, matched: 0, contact: io.now, active: true, vote: None };
        }
        if let Library::Hashicorp { leader_lease, .. } = self.rules.library {
            io.out.push(Out::Cancel(T_ELECTION));
            io.out.push(Out::Timer(T_LEASE, leader_lease));
        }
        io.out.push(Out::Elected);
        self.append(None, io);
    }

    fn append(&mut self, command: Option<C>, io: &mut Io<'_, C>) {
        self.hard.log.push(Entry { term: self.hard.term, command });
        self.dirty = true;
        for m in self.others() {
            self.append_to(m, io);
        }
        self.advance(io);
    }
    fn append_to(&mut self, to: Member, io: &mut Io<'_, C>) {
        let Some(peer) = self.peers.get(to.0 as usize) else { return };
        let prev = peer.next.saturating_sub(1);
        let entries = self.batch_after(prev);
        let prev_term = self.term_at(prev).unwrap_or(0);
        let message = Message::Append { term: self.hard.term, prev, prev_term, commit: self.commit, entries };
        io.out.push(Out::Send(to, message));
        if let Library::Hashicorp { commit, .. } = self.rules.library {
            let wait = io.one_to_two(commit);
            io.out.push(Out::Timer(T_PEER + u16::from(to.0), wait));
        }
    }
    /// The entries behind an index that go into one message, if there are any.
    fn batch_after(&mut self, prev: u32) -> Option<Arc<Vec<Entry<C>>>> {
        let rest = self.hard.log.get(prev as usize..).filter(|r| !r.is_empty())?;
        let rest = &rest[..rest.len().min(BATCH)];
        if self.batch.0 != prev || self.batch.1.len() != rest.len() {
            self.batch = (prev, Arc::new(rest.to_vec()));
        }
        Some(self.batch.1.clone())
    }
    /// Commits what a quorum has, if the last of it is of the leader's own term.
    fn advance(&mut self, io: &mut Io<'_, C>) {
        let whole = self.hard.log.len() as u32;
        let held =
            |index: u32| 1 + self.others().filter(|m| self.peers[m.0 as usize].matched >= index).count();
        let candidates = (self.commit + 1..=whole).rev();
        let reached = candidates
            .take_while(|i| self.term_at(*i) == Some(self.hard.term))
            .find(|i| held(*i) >= quorum(self.peers.len()));
        if let Some(index) = reached {
            self.committed(index, io);
            if matches!(self.rules.library, Library::Etcd { .. }) {
                for m in self.others() {
                    self.append_to(m, io);
                }
            }
        }
    }

    fn committed(&mut self, index: u32, io: &mut Io<'_, C>) {
        self.commit = index;
        if matches!(self.rules.library, Library::Etcd { .. }) {
            self.hard.commit = index;
        }
        io.out.push(Out::Committed(index));
    }

    /// A message arrived.
    pub fn message(&mut self, from: Member, message: Message<C>, io: &mut Io<'_, C>) {
        if from.0 as usize >= self.peers.len() || from == self.me {
            return;
        }
        match message {
            Message::Vote { term, last_index, last_term, ballot } => {
                self.asked(from, term, (last_term, last_index), ballot, io);
            }
            Message::VoteReply { term, granted, pre } => {
                // A granted pre-vote speaks of a term that does not exist yet.
                if term > self.hard.term && !(pre && granted) {
                    self.follow(term, None, io);
                } else if self.role == if pre { Role::PreCandidate } else { Role::Candidate }
                    && (pre || term == self.hard.term)
                {
                    self.peers[from.0 as usize].vote = Some(granted);
                    self.count(io);
                }
            }
            Message::Append { term, prev, prev_term, commit, entries } => {
                if term < self.hard.term {
                    // The old leader hears of the new term, and steps down.
                    let reply = Message::AppendReply { term: self.hard.term, ok: false, matched: 0 };
                    io.out.push(Out::Send(from, reply));
                    return;
                }
                if term > self.hard.term || self.role != Role::Follower || self.leader != Some(from) {
                    self.follow(term, Some(from), io);
                }
                self.elapsed = 0;
                self.last_contact = io.now;
                let (ok, matched) = self.store(prev, prev_term, entries.as_deref());
                io.out.push(Out::Send(from, Message::AppendReply { term: self.hard.term, ok, matched }));
                let known = commit.min(matched);
                if ok && known > self.commit {
                    self.committed(known, io);
                }
            }
            Message::AppendReply { term, ok, matched } => self.appended(from, term, ok, matched, io),
            Message::TimeoutNow { term } => {
                if term == self.hard.term && self.role == Role::Follower {
                    self.campaign(true, io);
                }
            }
        }
    }

    /// Whether it votes for a candidate whose log ends with `last` (term, index).
    fn asked(&mut self, from: Member, term: u32, last: (u32, u32), ballot: Ballot, io: &mut Io<'_, C>) {
        let pre = ballot == Ballot::Pre;
        let (own_index, own_term) = self.last();
        let whole = last >= (own_term, own_index);
        let refuse = |term| Out::Send(from, Message::VoteReply { term, granted: false, pre });
        match self.rules.library {
            Library::Etcd { check_quorum, .. } => {
                // Who hears a leader does not even answer.
                let hears = self.leader.is_some() && self.elapsed < self.election_ticks();
                if term > self.hard.term && check_quorum && hears && ballot != Ballot::Transfer {
                    return;
                }
            }
            Library::Hashicorp { .. } => {
                if self.leader.is_some_and(|l| l != from) && ballot != Ballot::Transfer {
                    io.out.push(refuse(self.hard.term));
                    return;
                }
            }
        }
        if term < self.hard.term || (pre && (term == self.hard.term || !whole)) {
            io.out.push(refuse(self.hard.term));
            return;
        }
        if pre {
            io.out.push(Out::Send(from, Message::VoteReply { term, granted: true, pre }));
            return;
        }
        if term > self.hard.term {
            self.follow(term, None, io);
        }
        let granted = whole && self.hard.vote.is_none_or(|v| v == from) && self.leader.is_none();
        if granted {
            self.dirty |= self.hard.vote.is_none();
            self.hard.vote = Some(from);
            self.elapsed = 0;
            self.last_contact = io.now;
        }
        io.out.push(Out::Send(from, Message::VoteReply { term: self.hard.term, granted, pre }));
    }

    /// Puts entries behind `prev`, if that is where they belong: whether it was, and up to where the logs agree (or may).
    fn store(&mut self, prev: u32, prev_term: u32, entries: Option<&Vec<Entry<C>>>) -> (bool, u32) {
        if self.term_at(prev) != Some(prev_term) {
            return (false, prev.saturating_sub(1).min(self.hard.log.len() as u32));
        }
        let entries = entries.map_or(&[][..], |e| &e[..]);
        for (i, e) in entries.iter().enumerate() {
            let at = prev as usize + i;
            if self.hard.log.get(at).is_some_and(|own| own.term == e.term) {
                continue;
            }
            self.replace(at, std::iter::once(e.clone()));
            self.dirty = true;
        }
        (true, prev + entries.len() as u32)
    }

    /// Puts entries at this place of the log, counted from 0, instead of what stands there and after it.
    pub(super) fn replace(&mut self, at: usize, entries: impl Iterator<Item = Entry<C>>) {
        if at < self.hard.log.len() {
            self.batch = (0, Arc::default());
            let mut gone = self.hard.log.split_off(at);
            // Of what an earlier replacement has put there only the part below it had been there before.
            if let Some((from, mut before)) = self.cut.take() {
                if at < from {
                    gone.truncate(from - at);
                    gone.append(&mut before);
                    self.cut = Some((at, gone));
                } else {
                    self.cut = Some((from, before));
                }
            } else {
                self.cut = Some((at, gone));
            }
        }
        self.hard.log.extend(entries);
    }
    fn appended(&mut self, from: Member, term: u32, ok: bool, matched: u32, io: &mut Io<'_, C>) {
        if term > self.hard.term {
            self.follow(term, None, io);
            return;
        }
        if self.role != Role::Leader || term < self.hard.term {
            return;
        }
        let whole = self.hard.log.len() as u32;
        let peer = &mut self.peers[from.0 as usize];
        peer.active = true;
        peer.contact = io.now;
        if !ok {
            peer.next = (matched + 1).min(peer.next).max(peer.matched + 1);
            self.append_to(from, io);
            return;
        }
        let news = matched > peer.matched;
        peer.matched = peer.matched.max(matched);
        peer.next = peer.next.max(peer.matched + 1);
        let more = news && peer.next <= whole;
        if news {
            self.advance(io);
            self.hand_over(io);
        }
        if more {
            self.append_to(from, io);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done without further ceremony leaves the member as the message or the tick itself would have, and says the same. Members and
    /// messages at random, most of them nearly in step, so that each condition decides something.
    #[test]
    fn what_is_quiet_is_what_would_have_been_anyway() {
        let mut x = 1u64;
        let mut draw = move |bound: u32| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((x >> 33) % u64::from(bound)) as u32
        };
        let (mut heartbeats, mut answers, mut others, mut ticks) = (0, 0, 0, 0);
        for n in 0..40_000 {
            let rules = if draw(2) == 0 { Rules::etcd(true) } else { Rules::consul(5, true) };
            let log = (0..draw(4)).map(|_| Entry { term: 1 + draw(2), command: None::<u8> }).collect();
            let hard = Hard { term: 2, vote: None, log, commit: draw(3) };
            let mut raft = Raft::new(rules, Member(0), 3, hard);
            raft.role = [Role::Follower, Role::Leader, Role::Candidate][draw(5) as usize % 3];
            raft.leader = [Some(Member(1)), Some(Member(2)), None][draw(5) as usize % 3];
            raft.commit = draw(3);
            (raft.elapsed, raft.timeout, raft.lost) = (5 + draw(5), 10, draw(2) == 0);
            for p in &mut raft.peers {
                p.matched = draw(6).min(raft.hard.log.len() as u32);
                p.next = p.matched + 1;
            }
            let term = [2, 2, 1, 3][draw(4) as usize];
            let message = if draw(2) == 0 {
                let prev = draw(4);
                let prev_term = match draw(3) {
                    0 => draw(3),
                    _ => raft.term_at(prev).unwrap_or(2),
                };
                let entries = (draw(4) == 0).then(|| Arc::new(vec![Entry { term: 2, command: None }]));
                Message::Append { term, prev, prev_term, commit: draw(4), entries }
            } else {
                Message::AppendReply { term, ok: draw(4) > 0, matched: draw(4) }
            };
            let (mut ticked, mut out) = (raft.clone(), Vec::new());
            ticked.timer(T_ELECTION, &mut Io { now: Time::secs(7), draw: &mut |_| 0, out: &mut out });
            let mut beats = raft.clone();
            if let Some((next, m)) = beats.quiet_beat(T_ELECTION) {
                ticks += 1;
                let to = |n: u8| Out::Send(Member(n), m.clone());
                let all = vec![Out::Timer(T_ELECTION, next), to(1), to(2)];
                assert_eq!((format!("{beats:?}"), all), (format!("{ticked:?}"), out), "{n}");
            } else {
                assert_eq!(format!("{beats:?}"), format!("{raft:?}"), "{n}");
            }
            let (from, now) = (Member([1, 1, 0, 2, 3][draw(5) as usize]), Time::secs(7));
            let (mut whole, mut out) = (raft.clone(), Vec::new());
            whole.message(from, message.clone(), &mut Io { now, draw: &mut |_| 0, out: &mut out });
            let before = format!("{raft:?}");
            match raft.quiet_message(from, &message, now) {
                None => {
                    others += 1;
                    assert_eq!(format!("{raft:?}"), before, "{n}: {message:?}");
                }
                Some(answer) => {
                    heartbeats += u32::from(answer.is_some());
                    answers += u32::from(answer.is_none());
                    let answer: Vec<_> = answer.into_iter().map(|m| Out::Send(from, m)).collect();
                    assert_eq!(
                        (format!("{raft:?}"), answer),
                        (format!("{whole:?}"), out),
                        "{n}: {message:?}"
                    );
                }
            }
        }
        assert!(ticks > 300, "{ticks}");
        assert!(heartbeats > 200 && answers > 500 && others > 20_000, "{heartbeats} {answers} {others}");
    }
}
