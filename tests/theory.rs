//! The formulas against the tables of the spec, and the engine against the formulas: HPC-11 to HPC-13.
#![allow(clippy::unwrap_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::experiment::theory::compare::{self, Effort, Row};
use firedrill::experiment::theory::queues::{MMc, MMcK, erlang_b};
use firedrill::experiment::theory::{availability, checkpoint, detection, queues};

/// Equal to the digits that are printed.
fn close(got: f64, want: f64, digits: i32) {
    assert!((got - want).abs() <= 0.51 * 10f64.powi(-digits), "{got} is not {want}");
}

#[test]
fn queues_are_erlangs() {
    for (c, a, b, pw, wq, w, lq, p1) in [
        (1, 0.8, 0.444444, 0.800000, 4.000000, 5.000000, 3.200000, 0.654985),
        (2, 1.6, 0.329897, 0.711111, 1.777778, 2.777778, 2.844444, 0.476672),
        (3, 2.0, 0.210526, 0.444444, 0.444444, 1.444444, 0.888889, 0.163502),
        (4, 3.2, 0.228145, 0.596432, 0.745541, 1.745541, 2.385730, 0.267994),
        (8, 6.4, 0.144394, 0.457645, 0.286028, 1.286028, 1.830580, 0.092397),
        (10, 8.0, 0.121661, 0.409180, 0.204590, 1.204590, 1.636721, 0.055377),
        (32, 25.6, 0.036861, 0.160623, 0.025097, 1.025097, 0.642493, 0.000267),
    ] {
        let q = MMc { lambda: a, mu: 1.0, c };
        close(erlang_b(c, a), b, 6);
        close(q.p_wait(), pw, 6);
        close(q.wq(), wq, 6);
        close(q.w(), w, 6);
        close(q.lq(), lq, 6);
        close(q.p_wait_longer(1.0), p1, 6);
        assert!(q.stable());
        close(q.l(), lq + a, 6);
    }
    let k = |c, k, a| MMcK { queue: MMc { lambda: a, mu: 1.0, c }, k };
    for (q, block, lq, digits) in [
        (k(4, 4, 3.2), 0.228145, 0.0, 5),
        (k(4, 12, 3.2), 0.0217544, 1.46210, 5),
        (k(2, 6, 2.4), 0.240497, 2.03643, 5),
        (k(32, 96, 30.0), 0.000639264, 8.77687, 5),
        (k(32, 96, 32.0), 0.0139326, 28.9798, 4),
    ] {
        close(q.p_block(), block, 6);
        close(q.lq(), lq, digits);
        close(q.accepted(), q.queue.lambda * (1.0 - q.p_block()), 9);
    }
    for (rho, split, shared) in [
        (0.5, 2.0, 1.086957),
        (0.7, 3.3333333, 1.357212),
        (0.8, 5.0, 1.745541),
        (0.9, 10.0, 2.969383),
        (0.95, 20.0, 5.457095),
    ] {
        close(MMc { lambda: rho, mu: 1.0, c: 1 }.w(), split, 6);
        close(MMc { lambda: 4.0 * rho, mu: 1.0, c: 4 }.w(), shared, 6);
    }
    // Exponential service is a special case, and constant service waits half as long.
    close(queues::mg1_wait(0.8, 1.0, 2.0), 4.0, 9);
    close(queues::mg1_wait(0.8, 1.0, 1.0), 2.0, 9);
    assert!(!MMc { lambda: 3.2, mu: 1.0, c: 3 }.stable(), "one of four dies at rho 0.8");
}

#[test]
fn availability_is_the_tables() {
    close(availability::steady(1000.0, 10.0), 0.990099010, 9);
    let a = availability::steady(1000.0, 10.0);
    close(availability::parallel(&[a, a]), 0.999901970, 9);
    close(availability::series(&[a, a, a]), 0.970590148, 9);
    close(availability::k_of_n(2, 3, 0.99), 0.999702, 9);
    close(availability::k_of_n(2, 3, 0.9), 0.972, 9);
    close(availability::k_of_n(3, 5, 0.99), 0.999990149, 9);
    close(availability::k_of_n(3, 4, 0.99), 0.999407970, 9);
    let bd = |n, crews, want: &[f64]| {
        for (got, want) in availability::birth_death(n, 0.001, crews, 0.1).iter().zip(want) {
            assert!((got / want - 1.0).abs() < 1e-8, "{got} is not {want}");
        }
    };
    bd(2, 1, &[0.980199961, 0.0196039992, 0.000196039992]);
    bd(2, 2, &[0.980296049, 0.019605921, 0.0000980296049]);
    bd(3, 1, &[0.970302909, 0.0291090873, 0.000582181745, 5.82181745e-6]);
    close(availability::mttf(1, 2, 0.001, 0.1), 51_500.0, 6);
    close(availability::mttf(2, 3, 0.001, 0.1), 17_500.0, 6);
    // Detection costs little, repair much.
    close(availability::pair_unavailability(1.0 / 1000.0 / 3600.0, 3.2, 0.0, 0.0, 0.0), 8.9e-7, 8);
    let down = 4.0 / 1004.0;
    close(down * down, 1.6e-5, 6);
}

#[test]
fn hpc_14_intervals_are_youngs_and_dalys() {
    for (m, c, young, first, high, best) in [
        (1440.0, 5.0, 120.0, 115.0, 116.69, 116.69),
        (360.0, 5.0, 60.0, 55.0, 56.71, 56.71),
        (15.0, 5.0, 12.25, 7.25, 9.14, 9.17),
        (1000.0, 1.0, 44.72, 43.72, 44.06, 44.06),
        (10_000.0, 30.0, 774.60, 744.60, 754.73, 754.73),
        (86_400.0, 60.0, 3219.94, 3159.94, 3180.06, 3180.06),
    ] {
        close(checkpoint::young(m, c), young, 2);
        close(checkpoint::daly_first(m, c), first, 2);
        close(checkpoint::daly(m, c), high, 2);
        close(checkpoint::optimum(m, c), best, 2);
    }
    assert_eq!(checkpoint::daly(100.0, 201.0), 100.0, "C > 2M");
    for (m, c, r, tau, wall, half, twice) in [
        (86_400.0, 60.0, 120.0, 0.0, 1.039659, 0.953459, 0.952644),
        (10_000.0, 30.0, 60.0, 0.0, 1.088171, 0.903442, 0.900164),
        (21_600.0, 300.0, 600.0, 0.0, 1.220739, 0.793792, 0.780962),
        (1440.0, 5.0, 10.0, 117.0, 1.09576, 0.0, 0.0),
        (360.0, 5.0, 10.0, 57.0, 1.22044, 0.0, 0.0),
        (15.0, 5.0, 10.0, 9.1, 5.00840, 0.0, 0.0),
    ] {
        let t = if tau > 0.0 { tau } else { checkpoint::young(m, c) };
        close(checkpoint::wall(m, c, r, t, 1.0), wall, if tau > 0.0 { 5 } else { 6 });
        if half > 0.0 {
            close(checkpoint::efficiency(m, c, r, t / 2.0), half, 6);
            close(checkpoint::efficiency(m, c, r, t * 2.0), twice, 6);
        }
    }
    close(checkpoint::wall_without(50.0, 0.0, 100.0), 319.45, 2);
    close(checkpoint::wall_without(12.0, 1.0, 24.0), 83.33, 2);
    for (n, p) in [(100.0, 0.9467), (1000.0, 0.5784), (10_000.0, 0.0042)] {
        close(checkpoint::p_unharmed(43_830.0, n, 24.0), p, 4);
    }
    let (c, m, tau, r) = (1.0, 1e6, 1414.0, 2.0);
    let waste = 1.0 - checkpoint::efficiency(m, c, r, tau);
    assert!((checkpoint::first_order_waste(m, c, r, tau) / waste - 1.0).abs() < 0.01);
}

#[test]
fn detection_is_a_period_and_its_attempts() {
    assert_eq!(detection::range(6.0, 3, 5.0, 1.0), (17.0, 23.0), "keepalived's worked example");
    close(detection::mean(2.0, 3, 0.0, 2.0), 5.0, 9);
    close(detection::false_alarm(2.0, 3, 0.01) / 86_400.0, 23.1, 1);
    close(detection::false_alarm(2.0, 2, 0.01) / 3600.0, 5.6, 1);
    close(detection::false_alarm(2.0, 1, 0.01), 200.0, 9);
    assert_eq!(detection::slurm_down(300.0), (300.0, 200.0, 400.0));
    close(queues::losses_in_turn(100.0, 4, 5.0), 125.0, 9);
    close(queues::losses_black_hole(100.0, 5.0), 500.0, 9);
}

fn agree(rows: &[Row]) {
    for r in rows {
        assert!(
            r.agrees,
            "{} {}: {} is not {} +- {}",
            r.case, r.quantity, r.simulated, r.exact, r.standard_error
        );
        assert!(r.standard_error < 0.12 * r.exact, "{} {}: too coarse to mean anything", r.case, r.quantity);
    }
}
const EFFORT: Effort = Effort { replications: 32, customers: 4_000, seed: 1 };

#[test]
fn queues_of_the_engine_are_those_of_the_formulas() {
    agree(&compare::mmc(1, 0.8, EFFORT));
    agree(&compare::mmc(4, 3.2, EFFORT));
    agree(&compare::mmck(4, 12, 3.2, EFFORT));
    agree(&compare::mmck(2, 6, 2.4, EFFORT));
    agree(&compare::pgpool(32, EFFORT));
    agree(&[compare::split(0.7, EFFORT), compare::constant(0.8, EFFORT)]);
    agree(&[compare::black_hole(100.0, 4, 5, false, EFFORT), compare::black_hole(100.0, 4, 5, true, EFFORT)]);
    // A formula for another queue is not met: the comparison can fail.
    let r = &compare::mmc(4, 3.2, EFFORT)[1];
    let wrong = compare::row(
        "",
        "Wq",
        MMc { lambda: 3.3, mu: 1.0, c: 4 }.wq(),
        &[r.simulated, r.simulated + r.standard_error],
    );
    assert!(!wrong.agrees);
}

#[test]
fn hosts_of_the_engine_are_up_as_often_as_the_formulas_say() {
    agree(&compare::birth_death(2, 1, EFFORT)[..2]);
    agree(&compare::birth_death(2, 2, EFFORT)[..2]);
    agree(&[compare::k_of_n(2, 3, EFFORT), compare::k_of_n(3, 4, EFFORT), compare::mttf(2, 3, EFFORT)]);
    // Four are worse than three when a majority is needed.
    assert!(compare::k_of_n(3, 4, EFFORT).simulated < compare::k_of_n(2, 3, EFFORT).simulated);
}

#[test]
fn hpc_11_a_job_with_checkpoints_takes_as_long_as_daly_says() {
    // 1,000 runs of 1e6 s of work, as 1,291 stretches of 774.6 s.
    let effort = Effort { replications: 1000, customers: 0, seed: 1 };
    let (m, c, r, tau) = (10_000.0, 30.0, 60.0, 774.6);
    let work = 1291.0 * tau;
    let times = compare::job_times(m, c, r, tau, work, effort).unwrap();
    let row = compare::row("", "wall", checkpoint::wall(m, c, r, tau, work), &times);
    agree(std::slice::from_ref(&row));
    assert!(row.standard_error < 300.0, "{row:?}");
    let per_million = row.simulated / work * 1e6;
    assert!((per_million - 1.088e6).abs() < 2e3, "{per_million}");
}

#[test]
fn hpc_12_the_best_interval_is_where_daly_says_and_flat() {
    let effort = Effort { replications: 400, customers: 0, seed: 1 };
    let (m, c, r) = (10_000.0, 30.0, 60.0);
    let work = 200_000.0;
    // Common random numbers: every interval sees the same failures, so that the minimum is found with few runs.
    let mean = |tau: f64| {
        let n = (work / tau).round();
        let times = compare::job_times(m, c, r, tau, n * tau, effort).unwrap();
        compare::mean_and_error(&times).0 / (n * tau)
    };
    let factors = [0.4, 0.55, 0.7, 0.85, 1.0, 1.15, 1.3, 1.6, 2.2];
    let best = 754.73;
    let seen: Vec<(f64, f64)> = factors.iter().map(|f| (f * best, mean(f * best))).collect();
    // The curve is flat: the minimum of a parabola in ln(tau) through all points.
    let (mut s, mut xs) = ([0.0; 5], [0.0; 3]);
    for (tau, wall) in &seen {
        let x = (tau / best).ln();
        for (k, sum) in s.iter_mut().enumerate() {
            *sum += x.powi(k as i32);
        }
        for (k, sum) in xs.iter_mut().enumerate() {
            *sum += wall * x.powi(k as i32);
        }
    }
    let det = |m: [[f64; 3]; 3]| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    let a = [[s[0], s[1], s[2]], [s[1], s[2], s[3]], [s[2], s[3], s[4]]];
    let with = |col: usize| {
        let mut m = a;
        for (row, x) in m.iter_mut().zip(xs) {
            row[col] = x;
        }
        det(m) / det(a)
    };
    let minimum = best * (-with(1) / (2.0 * with(2))).exp();
    assert!((minimum / best - 1.0).abs() < 0.15, "{minimum} {seen:?}");
    let efficiency = 1.0 / seen[4].1;
    assert!((efficiency - 0.9190).abs() < 0.002, "{efficiency}");
}

#[test]
fn hpc_13_a_job_without_checkpoints_starts_again_and_again() {
    let effort = Effort { replications: 2000, customers: 0, seed: 1 };
    let times = compare::job_times(50.0, 0.0, 0.0, 0.0, 100.0, effort).unwrap();
    let row = compare::row("", "wall", 319.45, &times);
    agree(&[row]);
}

#[test]
fn a_node_of_slurm_is_down_after_300_s_on_average() {
    agree(&[compare::slurm_down(EFFORT).unwrap()]);
}
