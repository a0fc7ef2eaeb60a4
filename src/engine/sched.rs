//! The event loop: a queue ordered by (time, sequence), timers that re-arm in place, and the cause of everything.
//!
//! An event is a 128-bit key (time, sequence number, slot) and a payload in a slab, so that the queue moves sixteen bytes whatever the
//! model's events weigh. The module `queue` keeps them in order. A timer is armed again and again without a new queue entry: the deadline is
//! written down, and the one entry in the queue moves itself when it comes up too early. The order is exactly that of a queue
//! in which every arming pushed a fresh entry and stale ones were skipped.

use super::queue::Queue;
use super::time::{Span, Time};

/// The identity of an event: its sequence number, given when it was scheduled. Zero is "nothing": the start of the run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, serde::Serialize)]
pub struct EventId(pub u64);

/// A timer of the scheduler; see [`Scheduler::new_timer`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TimerId(u32);

/// What a timer is armed for: its time, the identity of the event to come, and the event that armed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Armed {
    /// When it runs out; [`Time::MAX`] is not armed.
    pub at: Time,
    /// The identity of the event to come.
    pub seq: u64,
    /// The event that armed it.
    pub cause: u64,
}

/// Whatever is simulated: it handles one event at a time and schedules others. No clock, no I/O, no global state.
pub trait Model {
    /// What can happen.
    type Event: Clone;
    /// Handles `event` at `sched.now()`.
    fn handle(&mut self, event: Self::Event, sched: &mut Scheduler<Self::Event>);
}

/// Sequence numbers below this are reserved for faults, so that a fault comes before everything else of its instant and
/// adding one renumbers nothing.
pub const RESERVED: u64 = 1 << 12;
const MOST: usize = 1 << 24;
const SLOT_MASK: u128 = (1 << 24) - 1;
const NOT_QUEUED: u64 = u64::MAX;
/// Slices of the queues: events come within milliseconds (17 ms), timers within seconds (67 ms).
const SOON: u32 = 24;
const LATER: u32 = 26;

#[derive(Clone)]
struct Slot<E> {
    cause: u64,
    event: Option<E>,
}

#[derive(Clone)]
struct Timer<E> {
    at: Time,
    seq: u64,
    cause: u64,
    queued_at: Time,
    queued_seq: u64,
    event: Option<E>,
}

/// The queue of what is to come, and the present moment.
#[derive(Clone)]
pub struct Scheduler<E> {
    now: Time,
    current: EventId,
    cause: EventId,
    next_seq: u64,
    handled: u64,
    digest: u64,
    queue: Queue<SOON>,
    /// Timers have a queue of their own: they are many, and nearly all of them are armed again before they run out, so the queue
    /// that every event goes through stays small.
    alarms: Queue<LATER>,
    slots: Vec<Slot<E>>,
    free: Vec<u32>,
    timers: Vec<Timer<E>>,
    free_timers: Vec<u32>,
    stopped: bool,
}

#[inline]
fn key(at: Time, seq: u64, slot: u32) -> u128 {
    (u128::from(at.0) << 64) | (u128::from(seq) << 24) | u128::from(slot)
}

impl<E: Clone> Default for Scheduler<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Clone> Scheduler<E> {
    /// An empty queue at time zero.
    pub fn new() -> Self {
        Scheduler {
            now: Time::ZERO,
            current: EventId(0),
            cause: EventId(0),
            next_seq: RESERVED,
            handled: 0,
            digest: 0x9E37_79B9_7F4A_7C15,
            queue: Queue::new(),
            alarms: Queue::new(),
            slots: Vec::new(),
            free: Vec::new(),
            timers: Vec::new(),
            free_timers: Vec::new(),
            stopped: false,
        }
    }
    /// The present moment.
    #[inline]
    pub fn now(&self) -> Time {
        self.now
    }
    /// The event that is being handled.
    #[inline]
    pub fn current(&self) -> EventId {
        self.current
    }
    /// The event during which the present one was scheduled.
    #[inline]
    pub fn cause(&self) -> EventId {
        self.cause
    }
    /// Events handled so far.
    #[inline]
    pub fn handled(&self) -> u64 {
        self.handled
    }
    /// A fingerprint of everything handled so far: equal digests mean equal runs.
    #[inline]
    pub fn digest(&self) -> u64 {
        self.digest
    }
    /// Adds something that the model did to the fingerprint.
    #[inline]
    pub fn mix(&mut self, value: u64) {
        self.digest = (self.digest.rotate_left(5) ^ value).wrapping_mul(0x517C_C1B7_2722_0A95);
    }
    /// Ends the run after the present event.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    #[inline]
    fn seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }
    /// Schedules `event` at `at` (now, if that is past) and returns its identity.
    #[inline]
    pub fn at(&mut self, at: Time, event: E) -> EventId {
        let seq = self.seq();
        self.push(at, seq, event)
    }
    /// Schedules `event` after `delay`.
    #[inline]
    pub fn after(&mut self, delay: Span, event: E) -> EventId {
        self.at(self.now + delay, event)
    }
    /// Sets `n` identities aside, for events that may never need a place in the queue; returns the first.
    #[inline]
    pub fn reserve(&mut self, n: u64) -> EventId {
        let seq = self.next_seq;
        self.next_seq += n;
        EventId(seq)
    }
    /// Schedules `event` under an identity that was set aside during the event `cause`.
    pub fn at_as(&mut self, at: Time, id: EventId, cause: EventId, event: E) {
        let current = std::mem::replace(&mut self.current, cause);
        self.push(at, id.0, event);
        self.current = current;
    }
    /// Schedules a fault: it comes before everything else of its instant, faults among themselves by `number`.
    pub fn at_reserved(&mut self, at: Time, number: u64, event: E) -> EventId {
        assert!(number < RESERVED, "too many faults");
        self.push(at, number.max(1), event)
    }
    #[inline]
    fn push(&mut self, at: Time, seq: u64, event: E) -> EventId {
        let at = at.max(self.now);
        let cause = self.current.0;
        let slot = if let Some(slot) = self.free.pop() {
            let s = &mut self.slots[slot as usize];
            (s.cause, s.event) = (cause, Some(event));
            slot
        } else {
            self.slots.push(Slot { cause, event: Some(event) });
            let slot = self.slots.len() as u32 - 1;
            assert!(self.slots.len() < MOST, "more than sixteen million pending events");
            slot
        };
        self.queue.push(key(at, seq, slot));
        EventId(seq)
    }
    /// A timer that fires `event` whenever it runs out. It is not armed yet.
    pub fn new_timer(&mut self, event: E) -> TimerId {
        let timer = Timer {
            at: Time::MAX,
            seq: 0,
            cause: 0,
            queued_at: Time::MAX,
            queued_seq: NOT_QUEUED,
            event: Some(event),
        };
        if let Some(i) = self.free_timers.pop() {
            self.timers[i as usize] = timer;
            return TimerId(i);
        }
        self.timers.push(timer);
        let i = self.timers.len() as u32 - 1;
        assert!(self.timers.len() < MOST, "more than sixteen million timers");
        TimerId(i)
    }
    /// Lets the timer run out at `at`, whatever it was armed for before.
    #[inline]
    pub fn arm(&mut self, id: TimerId, at: Time) -> EventId {
        let at = at.max(self.now);
        let seq = self.seq();
        let cause = self.current.0;
        let t = &mut self.timers[id.0 as usize];
        (t.at, t.seq, t.cause) = (at, seq, cause);
        if t.queued_seq == NOT_QUEUED || at < t.queued_at {
            (t.queued_at, t.queued_seq) = (at, seq);
            self.alarms.push(key(at, seq, id.0));
        }
        EventId(seq)
    }
    /// The timer does not run out any more, until it is armed again.
    #[inline]
    pub fn disarm(&mut self, id: TimerId) {
        self.timers[id.0 as usize].at = Time::MAX;
    }
    /// When the timer runs out, if it is armed.
    #[inline]
    pub fn deadline(&self, id: TimerId) -> Option<Time> {
        Some(self.timers[id.0 as usize].at).filter(|at| *at != Time::MAX)
    }
    /// What the timer is armed for; to be handed to [`Scheduler::arm_as`].
    #[inline]
    pub fn armed(&self, id: TimerId) -> Armed {
        let t = &self.timers[id.0 as usize];
        Armed { at: t.at, seq: t.seq, cause: t.cause }
    }
    /// Arms the timer as an event with this identity would have (or had) done; [`Time::MAX`] is not armed.
    #[inline]
    pub fn arm_as(&mut self, id: TimerId, to: Armed) {
        let t = &mut self.timers[id.0 as usize];
        (t.at, t.seq, t.cause) = (to.at, to.seq, to.cause);
        if to.at != Time::MAX && (t.queued_seq == NOT_QUEUED || (to.at, to.seq) < (t.queued_at, t.queued_seq))
        {
            (t.queued_at, t.queued_seq) = (to.at, to.seq);
            self.alarms.push(key(to.at, to.seq, id.0));
        }
    }
    /// Gives the timer back.
    pub fn free_timer(&mut self, id: TimerId) {
        let t = &mut self.timers[id.0 as usize];
        (t.at, t.queued_seq, t.event) = (Time::MAX, NOT_QUEUED, None);
        self.free_timers.push(id.0);
    }

    /// Moves on to the next event at or before `limit`: where it lies, a slot or a timer.
    #[inline(always)]
    fn due(&mut self, limit: Time) -> Option<Place> {
        loop {
            let next = self.queue.peek();
            let alarm = self.alarms.peek();
            let k = next.min(alarm);
            let at = Time((k >> 64) as u64);
            if at > limit || k == u128::MAX {
                return None;
            }
            let (seq, slot) = (((k as u64) >> 24), (k & SLOT_MASK) as usize);
            let (place, cause) = if next < alarm {
                self.queue.pop();
                self.free.push(slot as u32);
                (Place::Slot(slot), self.slots[slot].cause)
            } else {
                self.alarms.pop();
                let t = &mut self.timers[slot];
                if t.queued_seq & SEQ_MASK != seq {
                    continue;
                }
                if t.at != Time::MAX && t.seq != seq {
                    // Armed again for later: the entry moves on, with the order of that arming.
                    (t.queued_at, t.queued_seq) = (t.at, t.seq);
                    self.alarms.push(key(t.at, t.seq, slot as u32));
                    continue;
                }
                t.queued_seq = NOT_QUEUED;
                if t.at == Time::MAX {
                    continue;
                }
                t.at = Time::MAX;
                (Place::Timer(slot), t.cause)
            };
            self.now = at;
            self.current = EventId(seq);
            self.cause = EventId(cause);
            self.handled += 1;
            self.mix(at.0);
            return Some(place);
        }
    }
    /// The event that [`Scheduler::due`] has found.
    #[inline]
    fn take(&mut self, place: Place) -> Option<E> {
        match place {
            Place::Slot(i) => self.slots[i].event.take(),
            Place::Timer(i) => self.timers[i].event.clone(),
        }
    }
    /// The time of the next queue entry (a re-armed timer may turn out to be due later).
    pub fn peek(&self) -> Option<Time> {
        let next = self.queue.peek().min(self.alarms.peek());
        (next != u128::MAX).then_some(Time((next >> 64) as u64))
    }
    /// How many entries the queue holds.
    pub fn pending(&self) -> usize {
        self.queue.len() + self.alarms.len()
    }
    /// What is to come, in order, at most `n`, without stale entries: time, cause and payload.
    pub fn upcoming(&self, n: usize) -> Vec<(Time, EventId, &E)> {
        let mut all: Vec<(u128, u64, &E)> = Vec::new();
        for k in self.queue.iter() {
            let s = &self.slots[(k & SLOT_MASK) as usize];
            all.extend(s.event.as_ref().map(|e| (k, s.cause, e)));
        }
        for t in self.timers.iter().filter(|t| t.at != Time::MAX) {
            all.extend(t.event.as_ref().map(|e| (key(t.at, t.seq, 0), t.cause, e)));
        }
        all.sort_unstable_by_key(|(k, ..)| *k);
        all.into_iter().take(n).map(|(k, c, e)| (Time((k >> 64) as u64), EventId(c), e)).collect()
    }
}
/// Where an event lies.
#[derive(Clone, Copy)]
enum Place {
    Slot(usize),
    Timer(usize),
}
const SEQ_MASK: u64 = (1 << 40) - 1;

/// A model with its scheduler: a run in progress. Cloning it is a fork.
#[derive(Clone)]
pub struct Engine<M: Model> {
    /// What is simulated.
    pub model: M,
    /// The queue and the clock.
    pub sched: Scheduler<M::Event>,
}

impl<M: Model> Engine<M> {
    /// A run at time zero.
    pub fn new(model: M) -> Self {
        Engine { model, sched: Scheduler::new() }
    }
    /// Handles the next event at or before `limit`; false when there is none.
    pub fn step(&mut self, limit: Time) -> bool {
        self.step_here(limit)
    }
    /// The same, for the one loop that plays run after run.
    #[inline(always)]
    pub fn step_here(&mut self, limit: Time) -> bool {
        if self.sched.stopped {
            return false;
        }
        let Some(place) = self.sched.due(limit) else { return false };
        if let Some(event) = self.sched.take(place) {
            self.model.handle(event, &mut self.sched);
        }
        true
    }
    /// Handles everything up to and including `limit`, and moves the clock there.
    pub fn run_until(&mut self, limit: Time) {
        while self.step_here(limit) {}
        self.sched.now = self.sched.now.max(limit);
    }
}
