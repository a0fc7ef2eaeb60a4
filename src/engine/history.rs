//! Time travel: keyframes and replay.
//!
//! A keyframe is a clone of the run. To see the moment after event `n`, the last keyframe at or before it is cloned and stepped
//! forward. Keyframes are `spacing` events apart; when there are too many, every other one goes and the spacing doubles, so that
//! memory stays bounded and a jump stays short.

use super::sched::{Engine, Model};
use super::time::Time;

/// Keyframes of one run.
#[derive(Clone)]
pub struct History<M: Model + Clone> {
    keyframes: Vec<Engine<M>>,
    spacing: u64,
    most: usize,
}

impl<M: Model + Clone> History<M> {
    /// A history that starts with `origin` and keeps a keyframe every `spacing` events, at most `most` of them.
    pub fn new(origin: Engine<M>, spacing: u64, most: usize) -> Self {
        History { keyframes: vec![origin], spacing: spacing.max(1), most: most.max(2) }
    }
    /// Shows the history a run in progress; it takes a keyframe when one is due.
    pub fn observe(&mut self, run: &Engine<M>) {
        let due = self.keyframes.last().map_or(0, |k| k.sched.handled() + self.spacing);
        if run.sched.handled() < due {
            return;
        }
        self.keyframes.push(run.clone());
        if self.keyframes.len() > self.most {
            let mut i = 0;
            self.keyframes.retain(|_| {
                i += 1;
                i % 2 == 1
            });
            self.spacing *= 2;
        }
    }
    /// The moment after `handled` events (the end, if the run has fewer up to `limit`).
    pub fn at_event(&self, handled: u64, limit: Time) -> Engine<M> {
        let i = self.keyframes.partition_point(|k| k.sched.handled() <= handled).saturating_sub(1);
        let mut run = self.keyframes[i].clone();
        while run.sched.handled() < handled && run.step(limit) {}
        run
    }
    /// Forgets everything after `handled` events: a branch begins there.
    pub fn truncate(&mut self, handled: u64) {
        let keep = self.keyframes.partition_point(|k| k.sched.handled() <= handled).max(1);
        self.keyframes.truncate(keep);
    }
    /// How many keyframes there are.
    pub fn len(&self) -> usize {
        self.keyframes.len()
    }
    /// Whether there are none (never: the origin is one).
    pub fn is_empty(&self) -> bool {
        self.keyframes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Scheduler, Span, TimerId};

    /// Two players and a ball; a serve is missed when nobody hits it for three seconds.
    #[derive(Clone, Default)]
    struct PingPong {
        hits: [u32; 2],
        misses: u32,
        watch: Option<TimerId>,
    }
    #[derive(Clone, Copy)]
    enum Ball {
        At(usize),
        Missed,
    }
    impl Model for PingPong {
        type Event = Ball;
        fn handle(&mut self, ball: Ball, sched: &mut Scheduler<Ball>) {
            match ball {
                Ball::At(player) => {
                    self.hits[player] += 1;
                    let watch = *self.watch.get_or_insert_with(|| sched.new_timer(Ball::Missed));
                    sched.arm(watch, sched.now() + Span::secs(3));
                    if !self.hits[player].is_multiple_of(10) {
                        sched.after(Span::secs(1), Ball::At(1 - player));
                    }
                }
                Ball::Missed => {
                    self.misses += 1;
                    sched.after(Span::secs(1), Ball::At(0));
                }
            }
        }
    }
    fn game() -> Engine<PingPong> {
        let mut e = Engine::new(PingPong::default());
        e.sched.at(Time::secs(1), Ball::At(0));
        e
    }

    #[test]
    fn timers_fire_once_at_the_last_deadline() {
        let mut e = game();
        e.run_until(Time::secs(22));
        // The tenth hit of player 0 comes at 19 s; nobody hits the ball again, so the miss is at 22 s.
        assert_eq!((e.model.hits, e.model.misses), ([10, 9], 1));
        assert_eq!(e.sched.handled(), 20);
    }

    #[test]
    fn every_moment_can_be_reached_again() {
        let end = Time::secs(600);
        let mut e = game();
        let mut history = History::new(e.clone(), 16, 8);
        let mut digests = vec![e.sched.digest()];
        while e.step(end) {
            digests.push(e.sched.digest());
            history.observe(&e);
        }
        assert!(history.len() <= 8);
        for (n, digest) in digests.iter().enumerate() {
            assert_eq!(history.at_event(n as u64, end).sched.digest(), *digest, "after event {n}");
        }
    }

    #[test]
    fn equal_times_keep_the_order_of_scheduling_and_faults_come_first() {
        #[derive(Clone, Default)]
        struct Log(Vec<u32>);
        impl Model for Log {
            type Event = u32;
            fn handle(&mut self, e: u32, _: &mut Scheduler<u32>) {
                self.0.push(e);
            }
        }
        let mut e = Engine::new(Log::default());
        for i in 0..5 {
            e.sched.at(Time::secs(1), i);
        }
        let timer = e.sched.new_timer(5);
        e.sched.arm(timer, Time(1));
        e.sched.arm(timer, Time::secs(1));
        e.sched.at(Time::secs(1), 6);
        e.sched.at_reserved(Time::secs(1), 1, 100);
        e.run_until(Time::secs(2));
        assert_eq!(e.model.0, [100, 0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_timer_armed_for_earlier_fires_then_and_only_then() {
        let mut e = Engine::new(PingPong::default());
        let t = e.sched.new_timer(Ball::Missed);
        for s in [9, 7, 5, 8, 6] {
            e.sched.arm(t, Time::secs(s));
        }
        let mut fired = Vec::new();
        while e.step(Time::secs(20)) {
            fired.push(e.sched.now());
            if fired.len() == 1 {
                e.sched.disarm(t);
            }
        }
        assert_eq!(fired[0], Time::secs(6));
    }
}
