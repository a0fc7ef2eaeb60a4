//! What the player's user waits for: the first frame, a jump to any event of a run of a million events, and what the keyframes cost.
//!
//!     taskset -c 1 cargo bench --bench player

use firedrill::engine::history::History;
use firedrill::engine::{Span, Time};
use firedrill::node::log::Level;
use firedrill::scenario::{build::build, load::load};
use firedrill::tui::model::{Player, SPACING};
use firedrill::tui::view::{Look, draw};
use ratatui::{Terminal, backend::TestBackend};
use std::time::{Duration, Instant};

fn main() {
    const DRILL: &str = "keepalived/master-power-off";
    let Ok(drill) = load(DRILL, &[], None) else { return };
    let mut first: Vec<Duration> = (0..9)
        .map(|_| {
            let t = Instant::now();
            let Ok(again) = load(DRILL, &[], None) else { return Duration::MAX };
            let player = Player::new(again, 1);
            let Ok(mut terminal) = Terminal::new(TestBackend::new(160, 50));
            let _ = terminal.draw(|f| draw(f, &player, Look::default()));
            t.elapsed()
        })
        .collect();
    first.sort();
    println!("first frame of {DRILL}: median {:?} (target 100 ms)", first[4]);

    let mut whole: Vec<[Duration; 2]> = Vec::new();
    let (mut history, mut events) = (None, 0);
    for _ in 0..5 {
        let mut row = [Duration::ZERO; 2];
        for (with, took) in row.iter_mut().enumerate() {
            let mut sim = build(&drill.stack, &drill.drill, 1, Level::Full);
            let mut kept = History::new(sim.clone(), SPACING, 1024);
            let t = Instant::now();
            while sim.sched.handled() < 1_000_000 && sim.step(Time::ZERO + Span::secs(1_000_000)) {
                if with == 1 {
                    kept.observe(&sim);
                }
            }
            *took = t.elapsed();
            events = sim.sched.handled();
            history = Some(kept);
        }
        whole.push(row);
    }
    let middle = |i: usize| {
        let mut v: Vec<Duration> = whole.iter().map(|r| r[i]).collect();
        v.sort();
        v[v.len() / 2]
    };
    let (bare, kept) = (middle(0).as_secs_f64(), middle(1).as_secs_f64());
    println!(
        "{events} events: {bare:.3} s, with keyframes {kept:.3} s: {:+.1}% (target 5%)",
        (kept / bare - 1.0) * 100.0
    );
    let Some(history) = history else { return };
    let mut jumps: Vec<Duration> = (1..200)
        .map(|i| {
            let t = Instant::now();
            std::hint::black_box(
                history.at_event(events * i / 200 + i * 7, Time::ZERO + Span::secs(1_000_000)),
            );
            t.elapsed()
        })
        .collect();
    jumps.sort();
    println!(
        "a jump: median {:?}, longest {:?} (target 16 ms)",
        jumps[jumps.len() / 2],
        jumps[jumps.len() - 1]
    );
}
