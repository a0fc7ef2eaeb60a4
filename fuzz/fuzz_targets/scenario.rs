//! Any bytes as a scenario: read as a stack and as a drill, checked, and what passes is run for a while.
#![no_main]

use firedrill::engine::{Span, Time};
use firedrill::node::log::Level;
use firedrill::scenario::load::{check_stack, load_text};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = check_stack("fuzz.ron".to_owned(), text.to_owned()).render(false);
    match load_text("fuzz", "fuzz.ron", text.to_owned(), &[], None) {
        Err(reports) => reports.iter().for_each(|r| drop(r.render(false))),
        Ok(l) => {
            let mut sim = firedrill::scenario::build::build(&l.stack, &l.drill, 1, Level::Story);
            let end = Time::ZERO + l.drill.until.min(Span::secs(10));
            while sim.sched.handled() < 100_000 && sim.step(end) {}
        }
    }
});
