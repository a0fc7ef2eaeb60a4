//! Checkpoints of a job whose processes fail after exponentially distributed times of mean M: how often, and what that costs.
//!
//! Sources: Young 1974 (first order), Daly 2006 (complete model: failures also while a checkpoint is written, C, and while the job
//! restarts, R). τ is the useful work between two checkpoints, T the work in all.

/// Young's interval.
pub fn young(m: f64, c: f64) -> f64 {
    (2.0 * c * m).sqrt()
}
/// Daly's first-order interval.
pub fn daly_first(m: f64, c: f64) -> f64 {
    young(m, c) - c
}
/// Daly's higher-order interval; M itself when a checkpoint takes longer than 2 M.
pub fn daly(m: f64, c: f64) -> f64 {
    if c >= 2.0 * m {
        return m;
    }
    let x = c / (2.0 * m);
    young(m, c) * (1.0 + x.sqrt() / 3.0 + x / 9.0) - c
}
/// The interval that is best in the complete model: (1 - τ/M) e^((τ+C)/M) = 1.
pub fn optimum(m: f64, c: f64) -> f64 {
    let f = |t: f64| (1.0 - t / m) * ((t + c) / m).exp() - 1.0;
    let (mut low, mut high) = (0.0, m);
    for _ in 0..200 {
        let mid = f64::midpoint(low, high);
        if f(mid) > 0.0 { low = mid } else { high = mid }
    }
    f64::midpoint(low, high)
}
/// The expected time of a job on the wall, with a checkpoint after every τ, the last stretch included.
pub fn wall(m: f64, c: f64, r: f64, tau: f64, work: f64) -> f64 {
    m * (r / m).exp() * ((tau + c) / m).exp_m1() * work / tau
}
/// Useful share of the time.
pub fn efficiency(m: f64, c: f64, r: f64, tau: f64) -> f64 {
    1.0 / wall(m, c, r, tau, 1.0)
}
/// The expected time without checkpoints.
pub fn wall_without(m: f64, r: f64, work: f64) -> f64 {
    m * (r / m).exp() * (work / m).exp_m1()
}
/// The share that is lost, to first order (for τ, C and R far below M).
pub fn first_order_waste(m: f64, c: f64, r: f64, tau: f64) -> f64 {
    c / tau + (tau / 2.0 + r) / m
}
/// The probability that a job on `n` nodes of this mean time between failures runs for `work` without one.
pub fn p_unharmed(node_mtbf: f64, n: f64, work: f64) -> f64 {
    (-work * n / node_mtbf).exp()
}
