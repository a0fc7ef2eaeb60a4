//! Quantiles, shares and paired differences of runs, with 95% confidence intervals.
//!
//! - A **quantile** is the smallest value with at least that share of the values at or below it (definition 1 of Hyndman and Fan 1996): it is
//!   always the value of a run, which can be opened. Its interval lies between two order statistics whose ranks come from the binomial
//!   distribution; it holds for every distribution (David and Nagaraja, Order Statistics, section 7.1). Too few values have no upper
//!   end for a high quantile: 59 for the 95%, 299 for the 99%, one-sided; two-sided somewhat more.
//! - A **share** (of runs with a split brain, say) has Wilson's interval (Wilson 1927).
//! - A **mean** has the interval of Student's t.
//! - A **paired difference** is taken seed by seed, where both stacks met the same faults at the same instants and the same clients;
//!   its median has the interval of the sign test, which is the quantile's above.
//!
//! Only addition, multiplication, division and square roots are used, which IEEE 754 defines to the last bit: the figures are the same on
//! every machine.

/// A value between two ends; an end is missing where the values are too few for it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Interval<T> {
    /// The value.
    pub value: T,
    /// The lower end.
    pub low: Option<T>,
    /// The upper end.
    pub high: Option<T>,
}

/// The rank (from 0) of a quantile of `n` values, in thousandths; `n` is not zero.
pub fn rank(n: usize, permille: u32) -> usize {
    (n * permille as usize).div_ceil(1000).clamp(1, n.max(1)) - 1
}

/// A quantile of sorted values with its interval; `None` without values.
pub fn quantile<T: Copy>(sorted: &[T], permille: u32) -> Option<Interval<T>> {
    let n = sorted.len();
    let value = *sorted.get(rank(n, permille))?;
    let (low, high) = ranks(n, permille);
    Some(Interval { value, low: low.map(|i| sorted[i]), high: high.map(|i| sorted[i]) })
}

/// The ranks (from 0) of the order statistics that enclose a quantile in at least 95% of all samples, at most 2.5% on each side.
pub fn ranks(n: usize, permille: u32) -> (Option<usize>, Option<usize>) {
    let below = binomial(n, f64::from(permille) / 1000.0);
    // The l-th smallest value (from 1) lies above the quantile if fewer than l values are at or below it: P(B <= l - 1).
    let mut sum = 0.0;
    let mut low = None;
    for (k, p) in below.iter().enumerate() {
        sum += p;
        if sum > 0.025 {
            break;
        }
        low = Some(k);
    }
    // The u-th smallest lies below it if u values or more are: P(B >= u).
    let mut sum = 0.0;
    let mut high = None;
    for (k, p) in below.iter().enumerate().rev() {
        sum += p;
        if sum > 0.025 {
            break;
        }
        high = Some(k);
    }
    // Rank u from 1 is index u - 1; nobody is smaller than the zeroth.
    (low, high.and_then(|u| u.checked_sub(1)))
}

/// The binomial distribution, from its mode outwards, so that nothing but products is needed.
fn binomial(n: usize, p: f64) -> Vec<f64> {
    let mut all = vec![0.0; n + 1];
    if p <= 0.0 || p >= 1.0 {
        all[if p <= 0.0 { 0 } else { n }] = 1.0;
        return all;
    }
    let mode = (((n + 1) as f64 * p) as usize).min(n);
    all[mode] = 1.0;
    for k in mode..n {
        all[k + 1] = all[k] * (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
    }
    for k in (0..mode).rev() {
        all[k] = all[k + 1] * (k + 1) as f64 / (n - k) as f64 * (1.0 - p) / p;
    }
    let sum: f64 = all.iter().sum();
    for p in &mut all {
        *p /= sum;
    }
    all
}

const Z: f64 = 1.959_963_984_540_054;

/// The share `k` of `n` with Wilson's interval; `None` without values.
pub fn share(k: usize, n: usize) -> Option<Interval<f64>> {
    if n == 0 {
        return None;
    }
    let (k, n) = (k as f64, n as f64);
    let p = k / n;
    let middle = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    Some(Interval { value: p, low: Some((middle - half).max(0.0)), high: Some((middle + half).min(1.0)) })
}

/// The 97.5% points of Student's t for 1 to 30 degrees of freedom; beyond, four terms of its expansion in 1/df (Fisher and Cornish).
const T: [f64; 30] = [
    12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582, 2.446_912, 2.364_624, 2.306_004, 2.262_157,
    2.228_139, 2.200_985, 2.178_813, 2.160_369, 2.144_787, 2.131_450, 2.119_905, 2.109_816, 2.100_922,
    2.093_024, 2.085_963, 2.079_614, 2.073_873, 2.068_658, 2.063_899, 2.059_539, 2.055_529, 2.051_831,
    2.048_407, 2.045_230, 2.042_272,
];
fn student(df: usize) -> f64 {
    if let Some(t) = df.checked_sub(1).and_then(|i| T.get(i)) {
        return *t;
    }
    let (z, n) = (Z, df as f64);
    let z3 = z * z * z;
    let z5 = z3 * z * z;
    z + (z3 + z) / (4.0 * n) + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * n * n)
}

/// The mean of whole numbers with Student's interval; without it for a single value, and `None` without values.
pub fn mean(values: &[i64]) -> Option<Interval<f64>> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let sum: i128 = values.iter().map(|v| i128::from(*v)).sum();
    let value = sum as f64 / n as f64;
    if n == 1 {
        return Some(Interval { value, low: None, high: None });
    }
    let squares: f64 = values.iter().map(|v| (*v as f64 - value) * (*v as f64 - value)).sum();
    let half = student(n - 1) * (squares / (n - 1) as f64 / n as f64).sqrt();
    Some(Interval { value, low: Some(value - half), high: Some(value + half) })
}

/// Differences of pairs.
#[derive(Clone, PartialEq, Debug)]
pub struct Paired {
    /// How many pairs.
    pub pairs: usize,
    /// Pairs in which the second is larger.
    pub larger: usize,
    /// Pairs in which it is smaller.
    pub smaller: usize,
    /// The median of second minus first, with the interval of the sign test.
    pub median: Interval<i64>,
    /// The mean of second minus first, with Student's interval.
    pub mean: Interval<f64>,
}

/// Second minus first, pair by pair; `None` without pairs.
pub fn paired(pairs: impl Iterator<Item = (i64, i64)>) -> Option<Paired> {
    let mut d: Vec<i64> = pairs.map(|(a, b)| b - a).collect();
    d.sort_unstable();
    Some(Paired {
        pairs: d.len(),
        larger: d.iter().filter(|x| **x > 0).count(),
        smaller: d.iter().filter(|x| **x < 0).count(),
        median: quantile(&d, 500)?,
        mean: mean(&d)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Streams;

    #[test]
    fn a_quantile_is_the_smallest_value_that_enough_are_not_above() {
        let ten: Vec<u32> = (1..=10).collect();
        let at = |permille| quantile(&ten, permille).unwrap().value;
        assert_eq!(
            [at(0), at(100), at(101), at(500), at(501), at(950), at(990), at(1000)],
            [1, 1, 2, 5, 6, 10, 10, 10]
        );
        assert_eq!(quantile(&[7], 500).unwrap(), Interval { value: 7, low: None, high: None });
        assert!(quantile::<u32>(&[], 500).is_none());
    }

    #[test]
    fn ranks_are_those_of_the_published_tables() {
        // Median of 10, 20, 100: ranks 2 and 9, 6 and 15, 40 and 61 (from 1), as in tables of the sign test.
        let from_one = |n| {
            let (l, u) = ranks(n, 500);
            (l.unwrap() + 1, u.unwrap() + 1)
        };
        assert_eq!([from_one(10), from_one(20), from_one(100)], [(2, 9), (6, 15), (40, 61)]);
        assert_eq!(ranks(5, 500), (None, None), "2 * 0.5^5 is more than 5%");
        assert_eq!(ranks(6, 500), (Some(0), Some(5)));
        // 0.95^n <= 2.5% from n = 72 on, 0.99^n from 368 on.
        assert!(ranks(71, 950).1.is_none() && ranks(72, 950).1 == Some(71));
        assert!(ranks(367, 990).1.is_none() && ranks(368, 990).1 == Some(367));
        let sum: f64 = binomial(1000, 0.99).iter().sum();
        assert!((sum - 1.0).abs() < 1e-12);
        let large = ranks(100_000, 500);
        assert_eq!(
            large,
            (Some(49_689), Some(50_310)),
            "50,000 -+ 1.96 * 158.1, the two as far from the ends of 0 to 99,999"
        );
    }

    #[test]
    fn intervals_cover_the_truth_as_often_as_they_say() {
        // A skewed distribution with ties: the square of a uniform, in steps; its p-quantile is the square of p.
        let mut streams = Streams::new(1);
        let id = streams.named("test");
        let (rounds, n) = (2_000, 100);
        let mut hits = [0; 4];
        for _ in 0..rounds {
            let uniform: Vec<u64> = (0..n).map(|_| streams.below(id, 1_000_000)).collect();
            let mut values: Vec<u64> = uniform.iter().map(|u| u * u / 1_000_000).collect();
            values.sort_unstable();
            for (hit, permille) in [(0, 500u64), (1, 950)] {
                let truth = permille * permille;
                let i = quantile(&values, permille as u32).unwrap();
                hits[hit] += u32::from(i.low.is_none_or(|l| l <= truth) && i.high.is_none_or(|h| h >= truth));
            }
            let k = uniform.iter().filter(|u| **u < 100_000).count();
            let s = share(k, n).unwrap();
            hits[2] += u32::from(s.low.unwrap() <= 0.1 && s.high.unwrap() >= 0.1);
            let signed: Vec<i64> = values.iter().map(|v| *v as i64).collect();
            let m = mean(&signed).unwrap();
            hits[3] += u32::from(m.low.unwrap() <= 333_333.0 && m.high.unwrap() >= 333_333.0);
        }
        // Of 2,000 rounds at 95%, three standard errors are 1.5%. Quantiles promise at least 95%; Wilson and t about that.
        let percent = hits.map(|h| f64::from(h) / f64::from(rounds) * 100.0);
        assert!(percent[0] >= 94.0 && percent[0] <= 98.0, "{percent:?}");
        assert!(percent[1] >= 94.0 && percent[1] <= 99.5, "{percent:?}");
        assert!((92.5..=97.5).contains(&percent[2]), "{percent:?}");
        assert!((93.0..=96.9).contains(&percent[3]), "{percent:?}");
    }

    #[test]
    fn shares_and_means_are_those_of_the_books() {
        // Wilson for 1 of 10: 1.79% to 40.42%; for 0 of 10: 0 to 27.75%.
        let close = |a: f64, b: f64| (a - b).abs() < 5e-5;
        let s = share(1, 10).unwrap();
        assert!(close(s.low.unwrap(), 0.01788) && close(s.high.unwrap(), 0.40415), "{s:?}");
        let s = share(0, 10).unwrap();
        assert!(close(s.low.unwrap(), 0.0) && close(s.high.unwrap(), 0.27753), "{s:?}");
        let m = mean(&[1, 2, 3, 4, 5]).unwrap();
        assert!(close(m.value, 3.0) && close(m.low.unwrap(), 3.0 - 2.776_445 * 0.5f64.sqrt()), "{m:?}");
        // t for 40, 60 and 120 degrees of freedom: 2.0211, 2.0003, 1.9799.
        for (df, t) in [(40, 2.0211), (60, 2.0003), (120, 1.9799)] {
            assert!((student(df) - t).abs() < 1e-4, "{df}: {}", student(df));
        }
    }

    #[test]
    fn pairs_are_taken_pair_by_pair() {
        let p = paired([(10, 12), (100, 101), (5, 5), (7, 3)].into_iter()).unwrap();
        assert_eq!((p.pairs, p.larger, p.smaller, p.median.value), (4, 2, 1, 0));
        assert_eq!(p.mean.value, -0.25);
        assert!(paired(std::iter::empty()).is_none());
    }
}
