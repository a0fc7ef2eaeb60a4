//! Service that comes and goes from request to request: windows that lie close together are told as one.

use super::outage::Outage;
use crate::engine::{Span, Time};

/// Windows that are closer than this belong together ...
const CLOSE: Span = Span::secs(2);
/// ... if there are so many of them.
const MANY: usize = 4;

/// Windows that belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spell {
    /// The first failed request.
    pub from: Time,
    /// The first answer after the last failed request; the end of the run if none succeeded.
    pub to: Time,
    /// Service came back.
    pub over: bool,
    /// How many windows.
    pub windows: usize,
    /// The longest of them.
    pub longest: Span,
}
impl Spell {
    /// Some requests succeeded in between.
    pub fn partial(&self) -> bool {
        self.windows > 1
    }
}

/// The windows, those that belong together as one. They come in the order of their times.
pub fn spells(windows: &[Outage]) -> Vec<Spell> {
    let mut groups: Vec<Vec<&Outage>> = Vec::new();
    for w in windows {
        match groups.last_mut() {
            Some(g) if g.last().is_some_and(|l| w.from.since(l.to) <= CLOSE) => g.push(w),
            _ => groups.push(vec![w]),
        }
    }
    let spell = |ws: &[&Outage]| Spell {
        from: ws[0].from,
        to: ws[ws.len() - 1].to,
        over: ws[ws.len() - 1].over,
        windows: ws.len(),
        longest: ws.iter().map(|w| w.length()).max().unwrap_or_default(),
    };
    let mut out = Vec::new();
    for g in groups {
        if g.len() >= MANY {
            out.push(spell(&g));
        } else {
            out.extend(g.iter().map(|w| spell(&[*w])));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_short_windows_are_one_spell_and_few_are_themselves() {
        let at =
            |ms: u64| Outage { last_ok: Time::ms(ms), from: Time::ms(ms), to: Time::ms(ms + 10), over: true };
        let few = [at(0), at(1_000), at(9_000)];
        assert_eq!(spells(&few).len(), 3);
        let many = [at(0), at(100), at(1_900), at(3_000), at(9_000)];
        let s = spells(&many);
        assert_eq!(s.len(), 2);
        assert_eq!((s[0].windows, s[0].from, s[0].to), (4, Time::ms(0), Time::ms(3_010)));
    }
}
