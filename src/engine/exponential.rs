//! Exponentially distributed lengths without a float: the time to the next failure, arrival or end of service.
//!
//! The logarithm of a uniform 64-bit word is computed bit by bit (squaring a fixed-point number and looking whether it passed 2), so
//! that the result is the same on every machine. Its error is below 2^-39.

use super::time::Span;

/// ln 2 in units of 2^-64.
const LN_2: u128 = 12_786_308_645_202_655_660;
/// Bits after the point of the logarithm.
const BITS: u32 = 40;

/// What a draw has to be below: `span(mean, ctx.below(BOUND))`.
pub const BOUND: u64 = 1 << 63;

/// -ln(u) in units of 2^-40, for u = (2 word + 1) / 2^64.
fn minus_ln(word: u64) -> u64 {
    let x = (word << 1) | 1;
    let zeros = x.leading_zeros();
    let mut whole = u64::from(63 - zeros);
    let mut m = x << zeros;
    for _ in 0..BITS {
        let square = (u128::from(m) * u128::from(m)) >> 63;
        let bit = (square >> 64) as u64;
        m = if bit == 1 { (square >> 1) as u64 } else { square as u64 };
        whole = (whole << 1) | bit;
    }
    let log2 = (64u64 << BITS) - whole;
    ((u128::from(log2) * LN_2) >> 64) as u64
}

/// A length out of the exponential distribution with this mean, from a draw below [`BOUND`].
pub fn span(mean: Span, word: u64) -> Span {
    let ns = (u128::from(mean.0) * u128::from(minus_ln(word))) >> BITS;
    Span(u64::try_from(ns).unwrap_or(u64::MAX))
}

/// The same for a whole number out of `0..u64::MAX`, all equally likely.
pub fn exponential(u: u64, mean: Span) -> Span {
    span(mean, u >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Streams;

    #[test]
    fn the_logarithm_is_right() {
        // ln 2, ln 10 and 64 ln 2 in units of 1e-9.
        for (word, ln) in
            [(BOUND / 2, 693_147_181), (BOUND / 10, 2_302_585_093), (BOUND - 1, 0), (0, 44_361_419_556)]
        {
            let got = span(Span::secs(1), word).0;
            assert!(got.abs_diff(ln) <= 2, "{word}: {got} is not {ln}");
        }
    }

    #[test]
    fn the_distribution_is_exponential() {
        let mut s = Streams::new(3);
        let id = s.named("x");
        let all: Vec<u64> = (0..100_000).map(|_| span(Span::secs(1), s.below(id, BOUND)).0).collect();
        let mean = all.iter().sum::<u64>() / 100_000_000_000;
        // Milliseconds: 1000 with a standard error of 3.2.
        assert!((991..=1009).contains(&mean), "{mean}");
        let above = all.iter().filter(|x| **x > 2_000_000_000).count();
        // exp(-2) of them: 13534 with a deviation of 108.
        assert!((13_210..=13_858).contains(&above), "{above}");
    }
}
