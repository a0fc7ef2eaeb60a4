//! Votes for a failover: who asked for which, how often, and since when.

use super::config::{Clock, secs_between};
use super::msg::{NodeId, Request, RequestKind, Verdict};

/// A vote object: one request, and who asked for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ballot {
    /// What the first who asked, asked.
    pub request: Request,
    /// Who asked, each once.
    pub by: Vec<NodeId>,
    /// The votes that count.
    pub votes: usize,
    /// When the first came.
    pub since: Clock,
}

/// All vote objects of a leader.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Votes {
    open: Vec<Ballot>,
}

/// What a leader goes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// `failover_when_quorum_exists`.
    pub when_quorum_exists: bool,
    /// `failover_require_consensus`.
    pub require_consensus: bool,
    /// `allow_multiple_failover_requests_from_node`.
    pub multiple: bool,
    /// Its quorum.
    pub quorum: i8,
    /// The votes that are needed.
    pub needed: usize,
}

/// What became of a request, and how many votes it has if they were counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counted {
    /// What is told to who asked.
    pub verdict: Verdict,
    /// The votes so far.
    pub votes: Option<usize>,
    /// The flags of the first vote, for who carries the request out.
    pub flags: u8,
}

impl Votes {
    /// Counts a request of `from`.
    pub fn count(&mut self, request: &Request, from: NodeId, rules: Rules, now: Clock) -> Counted {
        let plain = |verdict| Counted { verdict, votes: None, flags: request.flags };
        if request.kind == RequestKind::Failback || !rules.when_quorum_exists || request.confirmed {
            return plain(Verdict::Proceed);
        }
        if rules.quorum < 0 {
            return plain(Verdict::NoQuorum);
        }
        if !rules.require_consensus {
            return plain(Verdict::Proceed);
        }
        let same = |b: &Ballot| b.request.kind == request.kind && b.request.nodes == request.nodes;
        let at = self.open.iter().position(same).unwrap_or_else(|| {
            self.open.push(Ballot { request: request.clone(), by: Vec::new(), votes: 0, since: now });
            self.open.len() - 1
        });
        let ballot = &mut self.open[at];
        let again = ballot.by.contains(&from);
        if !again {
            ballot.by.push(from);
        }
        if !again || rules.multiple {
            ballot.votes += 1;
        }
        let (votes, flags) = (ballot.votes, ballot.request.flags);
        if votes >= rules.needed {
            self.open.remove(at);
            return Counted { verdict: Verdict::Proceed, votes: Some(votes), flags };
        }
        let verdict =
            if again && !rules.multiple { Verdict::ConsensusMayFail } else { Verdict::BuildingConsensus };
        Counted { verdict, votes: Some(votes), flags }
    }
    /// Drops what is as old as `window` (in seconds), and gives it back.
    pub fn expire(&mut self, window: u32, now: Clock) -> Vec<Ballot> {
        let old = |b: &Ballot| secs_between(now, b.since) >= i64::from(window);
        self.open.extract_if(.., |b| old(b)).collect()
    }
    /// Forgets all.
    pub fn clear(&mut self) {
        self.open.clear();
    }
    /// Whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules =
        Rules { when_quorum_exists: true, require_consensus: true, multiple: false, quorum: 1, needed: 2 };
    fn down(node: u8) -> Request {
        Request { kind: RequestKind::Degenerate, nodes: [node].into(), confirmed: false, flags: 0 }
    }
    fn verdicts(rules: Rules, from: &[NodeId]) -> Vec<Verdict> {
        let mut votes = Votes::default();
        from.iter().map(|f| votes.count(&down(0), *f, rules, 0).verdict).collect()
    }

    #[test]
    fn a_failover_needs_the_votes_of_distinct_nodes() {
        use Verdict::{BuildingConsensus, ConsensusMayFail, NoQuorum, Proceed};
        let multiple = Rules { multiple: true, ..RULES };
        let cases: [(Rules, &[NodeId], &[Verdict]); 7] = [
            (RULES, &[0, 1], &[BuildingConsensus, Proceed]),
            (RULES, &[0, 0, 1], &[BuildingConsensus, ConsensusMayFail, Proceed]),
            (multiple, &[0, 0], &[BuildingConsensus, Proceed]),
            (Rules { quorum: -1, ..RULES }, &[0, 1], &[NoQuorum, NoQuorum]),
            (Rules { quorum: -1, when_quorum_exists: false, ..RULES }, &[0], &[Proceed]),
            (Rules { require_consensus: false, ..RULES }, &[0], &[Proceed]),
            (Rules { needed: 1, quorum: 0, ..RULES }, &[2], &[Proceed]),
        ];
        for (rules, from, expected) in cases {
            assert_eq!(verdicts(rules, from), expected, "{rules:?} {from:?}");
        }
    }

    #[test]
    fn an_administrator_needs_nobody_and_votes_expire() {
        let mut votes = Votes::default();
        let admin = Request { confirmed: true, ..down(1) };
        assert_eq!(votes.count(&admin, 0, Rules { quorum: -1, ..RULES }, 0).verdict, Verdict::Proceed);
        assert_eq!(votes.count(&down(1), 0, RULES, 0).votes, Some(1));
        assert_eq!(votes.count(&down(2), 1, RULES, 0).votes, Some(1), "another backend is another object");
        let second = 1_000_000_000;
        assert!(votes.expire(15, 15 * second - 1).is_empty());
        assert_eq!(votes.expire(15, 15 * second).len(), 2);
        assert!(votes.is_empty());
        assert_eq!(votes.count(&down(1), 1, RULES, 16 * second).verdict, Verdict::BuildingConsensus);
    }
}
