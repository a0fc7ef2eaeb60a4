//! Scores: whole numbers from -INFINITY to +INFINITY, and the attenuation by which a colocation passes them on.

/// +INFINITY. A score is never beyond it, and -INFINITY wins over it.
pub const INF: i32 = 1_000_000;

/// Adds two scores: -INFINITY wins, then +INFINITY, and sums stay within them.
pub fn add(a: i32, b: i32) -> i32 {
    if a <= -INF || b <= -INF {
        -INF
    } else if a >= INF || b >= INF {
        INF
    } else {
        (a + b).clamp(-INF, INF)
    }
}

/// The number that a text begins with, as C's `strtoll` reads it: `None` without a digit.
pub fn number(text: &str) -> Option<i64> {
    let t = text.trim_start();
    let (negative, digits) = match t.as_bytes().first() {
        Some(b'-') => (true, &t[1..]),
        Some(b'+') => (false, &t[1..]),
        _ => (false, t),
    };
    let end = digits.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
    if end == 0 {
        return None;
    }
    let magnitude =
        digits[..end].bytes().fold(0_i64, |n, b| n.saturating_mul(10).saturating_add(i64::from(b - b'0')));
    Some(if negative { -magnitude } else { magnitude })
}

/// A score as text. What is no number counts as 0.
pub fn parse(text: &str) -> i32 {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    if bare.eq_ignore_ascii_case("INFINITY") {
        return if text.starts_with('-') { -INF } else { INF };
    }
    let n = number(text).unwrap_or(0).clamp(i64::from(-INF), i64::from(INF));
    i32::try_from(n).unwrap_or(0)
}

/// A score in words.
pub fn show(score: i32) -> String {
    if score >= INF {
        "INFINITY".into()
    } else if score <= -INF {
        "-INFINITY".into()
    } else {
        score.to_string()
    }
}

/// The share of a wish that a colocation passes on: its score divided by INFINITY, rounded as a 32-bit binary fraction is rounded. The
/// rounding is visible in results, so it is done here in integers: `bits * 2^exponent`, with 24 significant bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    negative: bool,
    bits: u64,
    exponent: i32,
}
impl Share {
    /// The whole wish.
    pub const WHOLE: Share = Share { negative: false, bits: 1 << 23, exponent: -23 };

    /// The share of a colocation of this score.
    pub fn of(score: i32) -> Share {
        let n = u64::from(score.unsigned_abs());
        if n == 0 {
            return Share { negative: false, bits: 0, exponent: 0 };
        }
        let whole = u64::from(INF.unsigned_abs());
        // The shift that puts the quotient into [2^23, 2^24).
        let mut shift = 0;
        while (n << shift) / whole < 1 << 23 {
            shift += 1;
        }
        let (quotient, rest) = ((n << shift) / whole, (n << shift) % whole);
        let up = rest * 2 > whole || (rest * 2 == whole && quotient & 1 == 1);
        Share { negative: score < 0, bits: quotient + u64::from(up), exponent: -shift }
    }

    /// Whether it turns wishes around.
    pub fn is_negative(self) -> bool {
        self.negative
    }

    /// The share of a score: rounded half away from zero, but never to zero.
    pub fn times(self, score: i32) -> i32 {
        let mut product = self.bits * u64::from(score.unsigned_abs());
        let mut exponent = self.exponent;
        let length = 64 - product.leading_zeros();
        if length > 24 {
            let cut = length - 24;
            let (kept, rest, half) = (product >> cut, product & ((1 << cut) - 1), 1_u64 << (cut - 1));
            product = kept + u64::from(rest > half || (rest == half && kept & 1 == 1));
            exponent += cut.cast_signed();
        }
        let magnitude = if exponent >= 0 {
            product << exponent.min(20)
        } else {
            let down = exponent.unsigned_abs();
            if down > 62 { 0 } else { (product + (1 << (down - 1))) >> down }
        };
        let magnitude = i32::try_from(magnitude).unwrap_or(INF);
        let negative = self.negative != (score < 0);
        match magnitude {
            0 if score != 0 && self.bits != 0 => {
                if self.negative {
                    -1
                } else {
                    1
                }
            }
            m => {
                if negative {
                    -m
                } else {
                    m
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_infinity_wins_and_infinity_sticks() {
        assert_eq!(add(INF, -INF), -INF);
        assert_eq!(add(INF, -500), INF);
        assert_eq!(add(999_999, 2), INF);
        assert_eq!((parse("-INFINITY"), parse("+infinity"), parse("x"), parse("12x")), (-INF, INF, 0, 12));
    }

    #[test]
    fn a_share_is_rounded_as_a_float_of_32_bits_is() {
        for factor in (-1_000_000..=1_000_000).step_by(7_919).chain([1, 5, 100, -1, 999_999, INF, -INF]) {
            let f = factor as f32 / INF as f32;
            for score in (-1_000_000..=1_000_000).step_by(6_007).chain([0, 1, -1, 50, 500_000, 999_999, INF])
            {
                let product = f64::from(f * score as f32);
                let want = if product < 0.0 { product - 0.5 } else { product + 0.5 } as i32;
                let want = match want {
                    0 if score != 0 && factor > 0 => 1,
                    0 if score != 0 && factor < 0 => -1,
                    w => w,
                };
                assert_eq!(Share::of(factor).times(score), want, "{factor} x {score}");
            }
        }
    }
}
