//! The behaviours of Patroni on etcd, each by its number, over enough seeds to see the spread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

mod patroni_lab;

use firedrill::engine::{Span, Time};
use patroni_lab::{Lab, Plan, Store, mean, secs};

#[test]
fn smoke() {
    let p = Plan::new(Store::Etcd);
    let mut lab = p.lab(1);
    let a = lab.settle(20.0);
    let t = lab.now();
    eprintln!("primary {} at {t}", lab.name(a));
    lab.power_off(a);
    lab.run(60.0);
    lab.dump(Time::ZERO);
    lab.power_on(a);
    let t = lab.now();
    lab.run(120.0);
    lab.dump(t);
    let _ = (mean(&[1.0]), secs(Span::ZERO), Lab::ms(Span::ZERO));
    panic!("look");
}
