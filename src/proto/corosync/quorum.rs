//! votequorum(5) (`votequorum.c`): who may act.
//!
//! Every node counts for itself, from what the nodes of its membership say of themselves ([`NodeInfo`]). `quorum` is more than half of the
//! expected votes and never goes down at run time, unless `last_man_standing` or `allow_downscale` lower the expected votes.
//!
//! **Not modelled:** changes of the configuration at run time, `quorum.expected_votes_tracking`, `master_wins`, other quorum providers.

use super::api::{NodeId, RingId};
use super::nodes::Nodes;

/// What a node says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NodeInfo {
    /// `quorum_votes`.
    pub votes: u16,
    /// `expected_votes`.
    pub expected: u16,
    /// It is quorate.
    pub quorate: bool,
    /// It leaves.
    pub leaving: bool,
    /// It waits for all.
    pub waits: bool,
    /// Its quorum device votes for it.
    pub cast: bool,
}

/// `auto_tie_breaker_node`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TieBreaker {
    /// The lowest id of the last quorate membership.
    Lowest,
    /// The highest.
    Highest,
    /// The first of the list.
    List(Vec<NodeId>),
}
impl TieBreaker {
    /// Reads the setting.
    pub fn parse(text: &str) -> Option<TieBreaker> {
        match text.trim() {
            "lowest" => Some(TieBreaker::Lowest),
            "highest" => Some(TieBreaker::Highest),
            list => {
                let ids: Result<Vec<u16>, _> = list.split_whitespace().map(str::parse).collect();
                let ids = ids.ok()?;
                (!ids.is_empty()).then(|| TieBreaker::List(ids.into_iter().map(NodeId).collect()))
            }
        }
    }
}

/// The settings of a node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `quorum_votes` of this node.
    pub votes: u16,
    /// `expected_votes`.
    pub expected: u16,
    /// `two_node`.
    pub two_node: bool,
    /// `wait_for_all`.
    pub wait_for_all: bool,
    /// `auto_tie_breaker` with its node.
    pub tie_breaker: Option<TieBreaker>,
    /// `last_man_standing`.
    pub last_man_standing: bool,
    /// `allow_downscale`.
    pub allow_downscale: bool,
    /// The votes of the quorum device, if there is one.
    pub device_votes: u16,
}

/// What this node knows of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Node {
    id: NodeId,
    member: bool,
    info: NodeInfo,
}

/// Why the state is as it is: for words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Because {
    /// Votes against the quorum.
    Votes,
    /// `two_node`.
    TwoNode,
    /// The tie breaker decided.
    TieBreaker,
    /// Not all have been seen yet.
    WaitForAll,
}

/// The counting of one node.
#[derive(Clone, Debug)]
pub struct Votequorum {
    me: NodeId,
    set: Settings,
    nodes: Vec<Node>,
    /// Votes needed.
    pub quorum: u32,
    /// Votes there are.
    pub total: u32,
    /// Expected votes.
    pub expected: u32,
    /// Whether this partition is quorate.
    pub quorate: bool,
    /// Why.
    pub because: Because,
    /// The node has to see all first.
    pub waits: bool,
    members: Nodes,
    previous: Nodes,
    /// The membership that is counted.
    pub ring: RingId,
    lowest: Option<NodeId>,
    highest: Option<NodeId>,
    /// The quorum device: registered, alive, votes.
    pub registered: bool,
    /// It has polled in time.
    pub alive: bool,
    /// It votes for this node's partition.
    pub cast: bool,
    /// The synchronisation waits for its poll.
    pub waiting: bool,
}

impl Votequorum {
    /// A node that has just been started.
    pub fn new(me: NodeId, set: Settings) -> Votequorum {
        let expected = u32::from(set.expected);
        let mut v = Votequorum {
            me,
            nodes: Vec::new(),
            quorum: 0,
            total: 0,
            expected,
            quorate: false,
            because: Because::Votes,
            waits: set.wait_for_all,
            members: Nodes::one(me),
            previous: Nodes::NONE,
            ring: RingId::default(),
            lowest: None,
            highest: None,
            registered: false,
            alive: false,
            cast: false,
            waiting: false,
            set,
        };
        let info = v.info(false);
        v.nodes.push(Node { id: me, member: true, info });
        v.recalculate(false, false);
        v
    }
    /// Whether `two_node` lets each of two halves be quorate.
    pub fn two_node(&self) -> bool {
        self.set.two_node
    }
    /// As after a start.
    pub fn reset(&mut self) {
        *self = Votequorum::new(self.me, self.set.clone());
    }
    /// What this node says of itself.
    pub fn info(&self, leaving: bool) -> NodeInfo {
        NodeInfo {
            votes: self.set.votes,
            expected: self.expected as u16,
            quorate: self.quorate,
            leaving,
            waits: self.waits,
            cast: self.cast,
        }
    }
    /// A new membership: true if the last man standing's window begins.
    pub fn sync(&mut self, ring: RingId, members: Nodes) -> bool {
        let left = self.members.without(members);
        for n in self.nodes.iter_mut().filter(|n| left.has(n.id)) {
            n.member = false;
        }
        let count = members.len();
        let window = self.set.last_man_standing
            && ((count >= self.quorum && !left.is_empty())
                || (count <= self.quorum && self.set.tie_breaker.is_some() && self.has_lowest()));
        self.previous = self.members;
        self.members = members;
        self.ring = ring;
        self.waiting = self.registered && self.alive;
        window
    }
    /// The window is over.
    pub fn last_man_standing(&mut self) {
        if self.quorate {
            self.recalculate(true, true);
        }
    }
    /// A node says this of itself.
    pub fn heard(&mut self, from: NodeId, info: NodeInfo) {
        let own = from == self.me;
        let mut lower = info.leaving;
        if !self.quorate && info.quorate && !own {
            lower = true;
            self.expected = u32::from(info.expected);
        }
        let mut info = info;
        if !info.quorate {
            info.expected = self.expected as u16;
        }
        let new = Node { id: from, member: !info.leaving, info };
        let changed = match self.nodes.iter_mut().find(|n| n.id == from) {
            Some(n) => std::mem::replace(n, new) != new,
            None => {
                self.nodes.push(new);
                true
            }
        };
        if changed || own {
            self.recalculate(lower, info.leaving);
        }
        if self.set.wait_for_all && !info.waits && info.quorate {
            self.waits = false;
        }
    }
    /// The synchronisation is complete.
    pub fn activate(&mut self) {
        self.recalculate(false, false);
    }
    fn recalculate(&mut self, lower: bool, by_nodes: bool) {
        let me = self.me;
        if let Some(own) = self.nodes.iter_mut().find(|n| n.id == me) {
            own.info.expected = self.expected as u16;
        }
        let members = || self.nodes.iter().filter(|n| n.member);
        let device = u32::from(self.set.device_votes);
        let votes: u32 = members().map(|n| u32::from(n.info.votes)).sum();
        let mut count = members().count() as u32 + u32::from(device > 0);
        if !by_nodes {
            count = 0;
        }
        self.expected = self.expected.max(votes + device);
        let floor =
            if self.set.allow_downscale && lower && count > 0 { u32::from(self.set.expected) } else { 0 };
        let wanted = count.max(floor);
        let others = members().filter(|n| n.id != me).map(|n| u32::from(n.info.expected)).max();
        let mut highest = others.unwrap_or(0).max(self.expected);
        if by_nodes && wanted > 0 && (self.set.last_man_standing || self.set.allow_downscale) {
            highest = wanted;
        }
        self.total = votes + if self.cast { device } else { 0 };
        let mut quorum = ((highest + 2) / 2).max((self.total + 2) / 2);
        if !lower {
            quorum = quorum.max(self.quorum);
        }
        let nodes = members().count() + usize::from(self.cast);
        if self.set.two_node && nodes <= 2 {
            quorum = 1;
        }
        self.quorum = quorum;
        if by_nodes && wanted > 0 && (self.set.last_man_standing || self.set.allow_downscale) {
            self.expected = wanted;
            for n in self.nodes.iter_mut().filter(|n| n.member) {
                n.info.expected = wanted as u16;
            }
        }
        self.judge();
    }
    fn present(&self) -> Nodes {
        self.nodes.iter().filter(|n| n.member).map(|n| n.id).collect()
    }
    fn has_lowest(&self) -> bool {
        self.lowest.is_some_and(|n| self.present().has(n))
    }
    fn tie_broken(&self) -> bool {
        match &self.set.tie_breaker {
            None => false,
            Some(TieBreaker::Lowest) => self.has_lowest(),
            Some(TieBreaker::Highest) => self.highest.is_some_and(|n| self.present().has(n)),
            Some(TieBreaker::List(list)) => list
                .iter()
                .position(|n| self.members.has(*n))
                .is_some_and(|i| list[..i].iter().all(|n| !self.previous.has(*n))),
        }
    }
    fn judge(&mut self) {
        if self.set.wait_for_all && self.waits {
            if self.total != self.expected {
                self.because = Because::WaitForAll;
                return;
            }
            self.waits = false;
        }
        let mut quorate = self.total >= self.quorum;
        self.because = if self.set.two_node { Because::TwoNode } else { Because::Votes };
        if quorate {
            self.lowest = self.present().lowest();
            self.highest = self.present().highest();
        } else if self.set.tie_breaker.is_some()
            && self.total == self.expected / 2
            && self.previous.len().saturating_sub(self.members.len()) < self.quorum
            && self.tie_broken()
        {
            quorate = true;
            self.because = Because::TieBreaker;
        }
        self.quorate = quorate;
        if self.set.wait_for_all {
            self.waits = !quorate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(n: u16) -> Settings {
        Settings {
            votes: 1,
            expected: n,
            two_node: false,
            wait_for_all: false,
            tie_breaker: None,
            last_man_standing: false,
            allow_downscale: false,
            device_votes: 0,
        }
    }
    /// A membership of these nodes out of `v`'s, all of whom are like it.
    fn form(v: &mut Votequorum, seq: u32, ids: &[u16]) -> bool {
        let window = v.sync(RingId { seq, rep: NodeId(ids[0]) }, ids.iter().map(|n| NodeId(*n)).collect());
        for id in ids {
            v.heard(NodeId(*id), v.info(false));
        }
        v.activate();
        window
    }

    #[test]
    fn more_than_half_of_the_expected_votes() {
        for (n, quorum) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)] {
            let mut v = Votequorum::new(NodeId(1), settings(n));
            let ids: Vec<u16> = (1..=n).collect();
            form(&mut v, 4, &ids);
            assert_eq!((v.quorum, v.quorate), (quorum, true), "{n} nodes");
            form(&mut v, 8, &ids[..quorum as usize]);
            assert!(v.quorate, "{n} nodes, {quorum} left");
            if quorum > 1 {
                form(&mut v, 12, &ids[..quorum as usize - 1]);
                assert!(!v.quorate, "{n} nodes, one too few");
                assert_eq!(v.quorum, quorum, "it never goes down by itself");
            }
        }
    }

    #[test]
    fn the_tie_breaker_wants_an_exact_half_that_was_with_all_before() {
        let set = Settings { tie_breaker: Some(TieBreaker::Lowest), ..settings(4) };
        let mut v = Votequorum::new(NodeId(1), set.clone());
        form(&mut v, 4, &[1, 2, 3, 4]);
        form(&mut v, 8, &[1, 2]);
        assert!(v.quorate && v.because == Because::TieBreaker);
        let mut v = Votequorum::new(NodeId(3), set.clone());
        form(&mut v, 4, &[1, 2, 3, 4]);
        form(&mut v, 8, &[3, 4]);
        assert!(!v.quorate, "the other half");
        let mut v = Votequorum::new(NodeId(1), set);
        form(&mut v, 4, &[1, 2, 3, 4]);
        form(&mut v, 8, &[1]);
        assert!(!v.quorate, "a quarter is no half");
    }

    #[test]
    fn a_list_of_tie_breakers_goes_on_to_the_next_only_if_the_first_was_gone_before() {
        let list = TieBreaker::parse("2 1").unwrap();
        let set = Settings { tie_breaker: Some(list), ..settings(4) };
        let mut v = Votequorum::new(NodeId(1), set.clone());
        form(&mut v, 4, &[1, 2, 3, 4]);
        form(&mut v, 8, &[1, 3]);
        assert!(!v.quorate, "2 may be in the other half");
        let mut v = Votequorum::new(NodeId(1), set);
        form(&mut v, 4, &[1, 2, 3, 4]);
        form(&mut v, 8, &[1, 3, 4]);
        form(&mut v, 12, &[1, 3]);
        assert!(v.quorate, "2 was gone before");
        assert_eq!(TieBreaker::parse("lowest one"), None);
    }

    #[test]
    fn who_has_lost_quorum_waits_for_all_again() {
        let set = Settings { wait_for_all: true, ..settings(3) };
        let mut v = Votequorum::new(NodeId(1), set);
        form(&mut v, 4, &[1, 2]);
        assert!(!v.quorate && v.because == Because::WaitForAll, "two of three have not seen the third");
        form(&mut v, 8, &[1, 2, 3]);
        assert!(v.quorate);
        form(&mut v, 12, &[1, 2]);
        assert!(v.quorate, "afterwards as usual");
        form(&mut v, 16, &[1]);
        form(&mut v, 20, &[1, 2]);
        assert!(!v.quorate, "update_wait_for_all_status(1) on the loss of quorum");
    }

    #[test]
    fn allow_downscale_lowers_the_votes_when_a_node_leaves_but_not_below_the_configured() {
        let set = Settings { allow_downscale: true, ..settings(3) };
        let mut v = Votequorum::new(NodeId(1), set);
        form(&mut v, 4, &[1, 2, 3, 4, 5]);
        assert_eq!((v.expected, v.quorum), (5, 3));
        let gone = NodeInfo { leaving: true, ..v.info(true) };
        v.heard(NodeId(5), gone);
        assert_eq!((v.expected, v.quorum), (4, 3));
        v.heard(NodeId(4), gone);
        v.heard(NodeId(3), gone);
        assert_eq!((v.expected, v.quorum, v.quorate), (3, 2, true));
    }

    #[test]
    fn a_device_is_counted_while_it_votes() {
        let set = Settings { expected: 3, device_votes: 1, ..settings(3) };
        let mut v = Votequorum::new(NodeId(1), set);
        form(&mut v, 4, &[1, 2]);
        assert!(v.quorate && v.quorum == 2, "two of three");
        form(&mut v, 8, &[1]);
        assert!(!v.quorate);
        v.cast = true;
        v.heard(NodeId(1), v.info(false));
        assert!(v.quorate && v.total == 2);
    }
}
