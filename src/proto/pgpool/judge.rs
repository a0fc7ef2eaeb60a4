//! Which nodes are the primary, standbys, or primaries that nobody follows.
//!
//! Source: `verify_backend_node_status` in `src/main/pgpool_main.c`; manual, `detach_false_primary`. Among several nodes that are not in
//! recovery: without any standby the one with the smallest number is taken, and the others are false; with standbys, a primary that all
//! of them stream from is true and makes the others false, and without such a one nobody is judged. That second rule is looked at
//! only with `detach_false_primary`; without it each of them counts as a primary, and whoever looks for one takes the **last**.

use super::config::Pgpool;
use crate::net::addr::Ip;

/// What a node said of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Said {
    /// `pg_is_in_recovery()`.
    pub in_recovery: bool,
    /// Where its walreceiver streams from (`pg_stat_wal_receiver`).
    pub upstream: Option<Ip>,
}
/// What a node is taken for (`POOL_NODE_STATUS`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judged {
    /// It was not asked, did not answer, or is not needed.
    Unused,
    /// It is a primary.
    Primary,
    /// It is a standby.
    Standby,
    /// It is a primary that is none.
    False,
}

/// What the nodes are: what each said (nothing: no answer), and their addresses.
pub fn judge(said: &[Option<Said>], ips: &[Ip], config: &Pgpool) -> Vec<Judged> {
    let mut all: Vec<Judged> = said
        .iter()
        .map(|s| match s {
            None => Judged::Unused,
            Some(s) if s.in_recovery => Judged::Standby,
            Some(_) => Judged::Primary,
        })
        .collect();
    let standbys = all.iter().filter(|j| **j == Judged::Standby).count();
    if standbys == 0 {
        let rest = if config.detach_false_primary { Judged::False } else { Judged::Unused };
        for j in all.iter_mut().filter(|j| **j == Judged::Primary).skip(1) {
            *j = rest;
        }
        return all;
    }
    if !config.detach_false_primary {
        return all;
    }
    let owns = |ip: Ip| said.iter().flatten().filter(|s| s.in_recovery && s.upstream == Some(ip)).count();
    let owned: Vec<usize> = ips.iter().map(|ip| owns(*ip)).collect();
    if all.iter().zip(&owned).any(|(j, n)| *j == Judged::Primary && *n == standbys) {
        for (j, n) in all.iter_mut().zip(&owned) {
            if *j == Judged::Primary && *n < standbys {
                *j = Judged::False;
            }
        }
    }
    all
}
/// The node that a search takes for the primary.
pub fn primary(all: &[Judged]) -> Option<u8> {
    all.iter().rposition(|j| *j == Judged::Primary).map(|n| n as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(text: &str, detach: bool) -> Vec<Judged> {
        let ips: Vec<Ip> = (1..=4).map(Ip).collect();
        let said: Vec<Option<Said>> = text
            .split(' ')
            .map(|w| match w {
                "-" => None,
                "P" => Some(Said { in_recovery: false, upstream: None }),
                "S" => Some(Said { in_recovery: true, upstream: None }),
                w => {
                    let of: usize = w[1..].parse().expect("a number");
                    Some(Said { in_recovery: true, upstream: Some(ips[of]) })
                }
            })
            .collect();
        let config = Pgpool { detach_false_primary: detach, ..Pgpool::default() };
        judge(&said, &ips[..said.len()], &config)
    }
    #[test]
    fn a_primary_that_owns_all_standbys_makes_the_others_false() {
        use Judged::{False, Primary, Standby, Unused};
        assert_eq!(nodes("P P S1", true), [False, Primary, Standby]);
        assert_eq!(nodes("P P S0", true), [Primary, False, Standby]);
        assert_eq!(nodes("P S0 S0", true), [Primary, Standby, Standby]);
        // Nobody is followed by all: nobody is judged.
        assert_eq!(nodes("P P S0 S1", true), [Primary, Primary, Standby, Standby]);
        assert_eq!(nodes("P P S", true), [Primary, Primary, Standby]);
        assert_eq!(nodes("P - S0", true), [Primary, Unused, Standby]);
    }
    #[test]
    fn without_standbys_the_smallest_number_is_the_primary() {
        use Judged::{False, Primary, Unused};
        assert_eq!(nodes("P P -", true), [Primary, False, Unused]);
        assert_eq!(nodes("P P -", false), [Primary, Unused, Unused]);
        assert_eq!(primary(&nodes("- P P", false)), Some(1));
    }
    #[test]
    fn without_the_check_the_last_of_several_primaries_is_taken() {
        assert_eq!(primary(&nodes("P P S0", false)), Some(1));
        assert_eq!(primary(&nodes("P S0 P", false)), Some(2));
        assert_eq!(primary(&nodes("S - S", false)), None);
    }
}
