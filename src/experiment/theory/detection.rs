//! Detection by periodic checks: a fault at a random moment of the period p; k failures in a row, each taking t, g apart.

/// The mean time to detection.
pub fn mean(period: f64, k: u32, attempt: f64, gap: f64) -> f64 {
    let (low, high) = range(period, k, attempt, gap);
    f64::midpoint(low, high)
}
/// The shortest and the longest; all in between are equally likely.
pub fn range(period: f64, k: u32, attempt: f64, gap: f64) -> (f64, f64) {
    let fixed = f64::from(k) * attempt + f64::from(k.saturating_sub(1)) * gap;
    (fixed, period + fixed)
}
/// The mean time between false alarms when each check is lost with probability `q`, independently.
pub fn false_alarm(period: f64, k: u32, q: f64) -> f64 {
    period / q.powi(k as i32)
}
/// Slurm: a node is asked every other round of `SlurmdTimeout`/3, and DOWN 4/3 of it after its last answer: mean and range of the time from
/// its end to DOWN.
pub fn slurm_down(timeout: f64) -> (f64, f64, f64) {
    (timeout, timeout * 2.0 / 3.0, timeout * 4.0 / 3.0)
}
