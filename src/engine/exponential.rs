//! Exponentially distributed lengths out of whole numbers: arrivals of a Poisson stream, service times.
//!
//! The length is `mean x -ln(u)`. The logarithm to base 2 is found bit by bit, by squaring, to 32 places after the point; so every
//! machine draws the same nanoseconds.

use super::time::Span;

/// ln 2, in parts of 2^64.
const LN_2: u128 = 12_786_308_645_202_655_660;

/// The length that belongs to `u`, a whole number out of `0..u64::MAX`, all equally likely.
pub fn exponential(u: u64, mean: Span) -> Span {
    let x = u.max(1);
    let zeros = x.leading_zeros();
    // x is 2^(63 - zeros) times something from 1 to 2, whose logarithm is `fraction`.
    let mut y = u128::from(x << zeros);
    let mut fraction: u128 = 0;
    for _ in 0..32 {
        y = (y * y) >> 63;
        fraction <<= 1;
        if y >> 64 != 0 {
            y >>= 1;
            fraction |= 1;
        }
    }
    let log2 = (u128::from(1 + zeros) << 32) - fraction;
    let ln = (log2 * LN_2) >> 64;
    Span(u64::try_from((u128::from(mean.0) * ln) >> 32).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Streams;

    #[test]
    fn known_logarithms_come_out_to_nine_digits() {
        let second = Span::secs(1);
        let near = |u: u64, ns: u64| {
            let got = exponential(u, second).0;
            assert!(got.abs_diff(ns) <= 2, "{u}: {got}, not {ns}");
        };
        near(1 << 63, 693_147_180);
        near(1 << 62, 1_386_294_361);
        near(u64::MAX, 0);
        // e^-1 of 2^64.
        near(6_786_177_901_268_885_274, 1_000_000_000);
    }

    #[test]
    fn mean_and_variance_are_those_of_the_distribution() {
        let mut streams = Streams::new(9);
        let id = streams.named("exponential");
        let n = 100_000u64;
        let draws: Vec<u64> =
            (0..n).map(|_| exponential(streams.below(id, u64::MAX), Span::ms(10)).0 / 1_000).collect();
        let mean = draws.iter().sum::<u64>() / n;
        // 10,000 us with a standard error of 32.
        assert!(mean.abs_diff(10_000) < 96, "{mean}");
        let second = draws.iter().map(|d| u128::from(*d) * u128::from(*d)).sum::<u128>() / u128::from(n);
        // E[S^2] = 2 x mean^2, with a standard error of sqrt(20) x mean^2 / sqrt(n).
        assert!(second.abs_diff(200_000_000) < 4_250_000, "{second}");
        // One in e is longer than the mean: 36,788 with a standard deviation of 152.
        let longer = draws.iter().filter(|d| **d > 10_000).count();
        assert!(longer.abs_diff(36_788) < 456, "{longer}");
    }
}
