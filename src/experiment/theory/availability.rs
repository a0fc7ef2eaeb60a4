//! Availability of units that fail and are repaired, both after exponentially distributed times. Source: birth-death processes.

/// The share of the time that a unit is up, from its mean times to failure and to repair.
pub fn steady(mtbf: f64, mttr: f64) -> f64 {
    mtbf / (mtbf + mttr)
}
/// All of these have to be up.
pub fn series(all: &[f64]) -> f64 {
    all.iter().product()
}
/// One of these has to be up, and they fail independently.
pub fn parallel(all: &[f64]) -> f64 {
    1.0 - all.iter().map(|a| 1.0 - a).product::<f64>()
}
fn choose(n: u32, k: u32) -> f64 {
    (0..k).map(|i| f64::from(n - i) / f64::from(i + 1)).product()
}
/// At least `k` of `n` have to be up, each independently with availability `a`. A quorum of n is k = n/2 + 1.
pub fn k_of_n(k: u32, n: u32, a: f64) -> f64 {
    (k..=n).map(|i| choose(n, i) * a.powi(i as i32) * (1.0 - a).powi((n - i) as i32)).sum()
}
/// The shares of the time with 0 to `n` units down: each fails at rate `lambda`, and `crews` repair one each at rate `mu`.
pub fn birth_death(n: u32, lambda: f64, crews: u32, mu: f64) -> Vec<f64> {
    let mut p = vec![1.0];
    for j in 0..n {
        let last = p[p.len() - 1];
        p.push(last * f64::from(n - j) * lambda / (f64::from((j + 1).min(crews)) * mu));
    }
    let sum: f64 = p.iter().sum();
    p.iter().map(|x| x / sum).collect()
}
/// Mean time from all up until fewer than `k` of `n` are up, one repair at a time.
pub fn mttf(k: u32, n: u32, lambda: f64, mu: f64) -> f64 {
    // The mean time from j down to j + 1 down: t_j = (1 + mu t_{j-1} [j > 0]) / rate_j.
    let mut sum = 0.0;
    let mut t = 0.0;
    for j in 0..=(n - k) {
        let rate = f64::from(n - j) * lambda;
        t = if j == 0 { 1.0 / rate } else { (1.0 + mu * t) / rate };
        sum += t;
    }
    sum
}
/// A pair with failover, to first order: the switch-overs, both down, and switches that fail.
pub fn pair_unavailability(lambda: f64, switch: f64, both: f64, p_fails: f64, mttr: f64) -> f64 {
    lambda * switch + both + lambda * p_fails * mttr
}
