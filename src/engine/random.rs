//! Randomness: one ChaCha stream a name, and one function through which every draw goes.
//!
//! A stream is found by its name ("net/lan/lb1-lb2/latency"), never by order of creation: adding a host, a fault or a check
//! leaves every other draw alone, and two stacks under one drill see the same arrivals. All draws are [`Streams::below`], so that
//! a run can be recorded, replayed or driven through every outcome.

use super::time::{Chance, Span, SpanRange};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// A stream of draws; see [`Streams::named`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamId(u32);

/// One draw: which stream, out of how many, what came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Draw {
    /// The stream.
    pub stream: StreamId,
    /// The draw was in `0..bound`.
    pub bound: u64,
    /// What came out.
    pub value: u64,
}

/// Where draws come from.
#[derive(Clone, Debug, Default)]
enum Source {
    /// The streams themselves.
    #[default]
    Chacha,
    /// The streams, and every draw is written down.
    Record(Vec<Draw>),
    /// A list of values, one after the other, whatever the stream; then the streams.
    Replay(Vec<u64>, usize),
    /// A function of the stream's tag and the number of draws from it before.
    Function(fn(tag: u64, nth: u64, bound: u64) -> u64),
}

#[derive(Clone)]
struct Stream {
    rng: ChaCha8Rng,
    tag: u64,
    drawn: u64,
}

/// All streams of a run.
#[derive(Clone)]
pub struct Streams {
    seed: u64,
    names: BTreeMap<String, StreamId>,
    streams: Vec<Stream>,
    source: Source,
}

impl Streams {
    /// The streams of this seed.
    pub fn new(seed: u64) -> Self {
        Streams { seed, names: BTreeMap::new(), streams: Vec::new(), source: Source::Chacha }
    }
    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }
    /// The stream of this name.
    pub fn named(&mut self, name: &str) -> StreamId {
        self.tagged(name, 0)
    }
    /// The stream of this name; `tag` is what [`Streams::function`] gets to see of it.
    pub fn tagged(&mut self, name: &str, tag: u64) -> StreamId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(xxh3_64(name.as_bytes()));
        let id = StreamId(self.streams.len() as u32);
        self.streams.push(Stream { rng, tag, drawn: 0 });
        self.names.insert(name.to_owned(), id);
        id
    }
    /// A whole number in `0..bound`, all equally likely (`bound` 0 counts as 1).
    #[inline]
    pub fn below(&mut self, id: StreamId, bound: u64) -> u64 {
        let s = &mut self.streams[id.0 as usize];
        let nth = s.drawn;
        s.drawn += 1;
        match &mut self.source {
            Source::Chacha => scale(s.rng.next_u64(), bound),
            Source::Record(tape) => {
                let value = scale(s.rng.next_u64(), bound);
                tape.push(Draw { stream: id, bound, value });
                value
            }
            Source::Replay(tape, next) => {
                let from_tape = tape.get(*next).map(|v| v % bound.max(1));
                *next += 1;
                from_tape.unwrap_or_else(|| scale(s.rng.next_u64(), bound))
            }
            Source::Function(f) => f(s.tag, nth, bound),
        }
    }
    /// A length out of the range, both ends included; no draw if there is only one.
    #[inline]
    pub fn span(&mut self, id: StreamId, range: SpanRange) -> Span {
        let width = range.max.0.saturating_sub(range.min.0);
        if width == 0 { range.min } else { Span(range.min.0 + self.below(id, width.saturating_add(1))) }
    }
    /// Whether something of this probability happens; no draw for never and always.
    #[inline]
    pub fn chance(&mut self, id: StreamId, p: Chance) -> bool {
        match p.ppb {
            0 => false,
            1_000_000_000.. => true,
            ppb => self.below(id, 1_000_000_000) < ppb,
        }
    }
    /// Writes every draw down from now on.
    pub fn record(&mut self) {
        self.source = Source::Record(Vec::new());
    }
    /// The draws written down since [`Streams::record`].
    pub fn recorded(&self) -> &[Draw] {
        if let Source::Record(tape) = &self.source { tape } else { &[] }
    }
    /// Takes these values for the next draws; an exhaustive search enumerates them.
    pub fn replay(&mut self, values: Vec<u64>) {
        self.source = Source::Replay(values, 0);
    }
    /// Computes every draw from (tag, number of the draw in its stream, bound) instead.
    pub fn function(&mut self, f: fn(u64, u64, u64) -> u64) {
        self.source = Source::Function(f);
    }
}

#[inline]
fn scale(word: u64, bound: u64) -> u64 {
    ((u128::from(word) * u128::from(bound.max(1))) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_seed_and_name_only() {
        let mut one = Streams::new(7);
        let (a, b) = (one.named("a"), one.named("b"));
        let first: Vec<u64> = (0..3).map(|_| one.below(a, 1_000_000)).collect();
        one.below(b, 10);
        let mut two = Streams::new(7);
        let (_, b2, a2) = (two.named("c"), two.named("b"), two.named("a"));
        two.below(b2, 10);
        assert_eq!(first, (0..3).map(|_| two.below(a2, 1_000_000)).collect::<Vec<_>>());
        let mut three = Streams::new(8);
        let a3 = three.named("a");
        assert_ne!(first, (0..3).map(|_| three.below(a3, 1_000_000)).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_words_never_change() {
        let mut s = Streams::new(1);
        let id = s.named("golden");
        let words: Vec<u64> = (0..4).map(|_| s.below(id, u64::MAX)).collect();
        assert_eq!(words, GOLDEN, "a changed stream changes every trace of every drill");
    }
    const GOLDEN: [u64; 4] = [
        5_015_270_503_844_339_158,
        8_573_803_299_114_115_819,
        917_279_595_176_001_198,
        14_926_193_123_415_337_265,
    ];

    #[test]
    fn draws_can_be_recorded_and_replayed() {
        let mut s = Streams::new(3);
        let id = s.named("x");
        s.record();
        let seen: Vec<u64> = (0..5).map(|_| s.below(id, 100)).collect();
        let tape: Vec<u64> = s.recorded().iter().map(|d| d.value).collect();
        assert_eq!(seen, tape);
        let mut again = Streams::new(99);
        let id = again.named("x");
        again.replay(tape);
        assert_eq!(seen, (0..5).map(|_| again.below(id, 100)).collect::<Vec<_>>());
    }

    #[test]
    fn chances_come_out_as_often_as_they_say() {
        let mut s = Streams::new(5);
        let id = s.named("p");
        let hits = (0..100_000).filter(|_| s.chance(id, Chance { ppb: 10_000_000 })).count();
        // 1% of 100,000: 1,000 with a standard deviation of 31.
        assert!((870..=1130).contains(&hits), "{hits}");
    }
}
