//! Skew and Master_Down, in whole nanoseconds.
//!
//! v3 (RFC 5798 section 6.1): Skew = (256 - priority) x M / 256, where M is the interval *in the master's adverts*.
//! v2 (RFC 3768 section 6.1): Skew = (256 - priority) / 256 s, whatever the interval.
//! Master_Down = 3 x M + Skew (keepalived: `down_timer_adverts` x M + Skew).

use crate::engine::Span;

/// The skew of this priority.
pub const fn skew(version: u8, priority: u8, interval: Span) -> Span {
    let base = if version == 2 { Span::secs(1) } else { interval };
    base.ratio(256 - priority as u64, 256)
}

/// How long a backup waits after the last advert.
pub fn master_down(version: u8, priority: u8, interval: Span, adverts: u32) -> Span {
    interval.times(u64::from(adverts)) + skew(version, priority, interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formulas_give_the_table_of_the_specification() {
        for (version, interval_ms, priority, skew_us, mdi_us) in [
            (2, 1_000, 50, 804_688, 3_804_688),
            (3, 1_000, 90, 648_438, 3_648_438),
            (2, 1_000, 100, 609_375, 3_609_375),
            (3, 1_000, 100, 609_375, 3_609_375),
            (3, 1_000, 150, 414_063, 3_414_063),
            (2, 1_000, 200, 218_750, 3_218_750),
            (3, 1_000, 254, 7_813, 3_007_813),
            (3, 100, 100, 60_938, 360_938),
            (3, 3_000, 100, 1_828_125, 10_828_125),
            (2, 3_000, 100, 609_375, 9_609_375),
        ] {
            let m = Span::ms(interval_ms);
            let us = |s: Span| (s.0 + 500) / 1_000;
            assert_eq!(us(skew(version, priority, m)), skew_us, "v{version} {interval_ms} {priority}");
            assert_eq!(
                us(master_down(version, priority, m, 3)),
                mdi_us,
                "v{version} {interval_ms} {priority}"
            );
        }
    }
}
