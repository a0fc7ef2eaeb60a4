//! The behaviours of Patroni on etcd, each by its number, over enough seeds to see the spread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

mod patroni_lab;

use firedrill::engine::{Span, Time};
use patroni_lab::{Lab, Plan, Store, mean, secs};

#[test]
fn smoke() {
    for rate in ["20kB\", background_wal_interval: \"10ms", "20kB\", background_wal_interval: \"200ms", "0B"]
    {
        for store in [Store::Etcd, Store::EtcdApart, Store::Consul] {
            let mut p = Plan::new(store);
            p.postgres = format!("background_wal_rate: \"{rate}\"");
            let t = std::time::Instant::now();
            let mut lab = p.lab(1);
            let a = lab.settle(20.0);
            let t0 = lab.now();
            lab.power_off(a);
            lab.run(60.0);
            eprintln!(
                "{rate} {:?} steps {} {:?} {:?}",
                t.elapsed(),
                lab.sim.sched.handled(),
                lab.elected(t0),
                lab.promoted(t0)
            );
            if lab.elected(t0).is_none() {
                lab.dump(Time::ZERO);
            }
        }
    }
    let _ = (mean(&[1.0]), secs(Span::ZERO), Lab::ms(Span::ZERO));
    panic!("look");
}
