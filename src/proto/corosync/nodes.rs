//! Sets of nodes. Node ids go from 1 to 32, so that a set is a word.

use super::api::NodeId;

/// A set of nodes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Nodes(pub u32);

impl Nodes {
    /// Nobody.
    pub const NONE: Nodes = Nodes(0);
    /// One node.
    pub const fn one(node: NodeId) -> Nodes {
        Nodes(1 << (node.0.wrapping_sub(1) & 31))
    }
    /// Both sets.
    pub const fn and(self, other: Nodes) -> Nodes {
        Nodes(self.0 | other.0)
    }
    /// With one node more.
    pub const fn with(self, node: NodeId) -> Nodes {
        self.and(Nodes::one(node))
    }
    /// Those that are not in the other.
    pub const fn without(self, other: Nodes) -> Nodes {
        Nodes(self.0 & !other.0)
    }
    /// Those in both.
    pub const fn common(self, other: Nodes) -> Nodes {
        Nodes(self.0 & other.0)
    }
    /// Whether the node is one of them.
    pub const fn has(self, node: NodeId) -> bool {
        self.0 & Nodes::one(node).0 != 0
    }
    /// Whether all of these are in the other set.
    pub const fn within(self, other: Nodes) -> bool {
        self.0 & !other.0 == 0
    }
    /// How many they are.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }
    /// Whether it is nobody.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// The lowest id.
    pub fn lowest(self) -> Option<NodeId> {
        (self.0 != 0).then(|| NodeId(self.0.trailing_zeros() as u16 + 1))
    }
    /// The highest id.
    pub fn highest(self) -> Option<NodeId> {
        (self.0 != 0).then(|| NodeId(32 - self.0.leading_zeros() as u16))
    }
    /// All of them, lowest id first.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        (0..32u16).filter(move |i| self.0 >> i & 1 == 1).map(|i| NodeId(i + 1))
    }
    /// The one after this in the order of ids, round and round.
    pub fn after(self, node: NodeId) -> NodeId {
        let above = Nodes(self.0 & !(Nodes::one(node).0 | (Nodes::one(node).0 - 1)));
        above.lowest().or(self.lowest()).unwrap_or(node)
    }
}
impl FromIterator<NodeId> for Nodes {
    fn from_iter<I: IntoIterator<Item = NodeId>>(ids: I) -> Self {
        ids.into_iter().fold(Nodes::NONE, Nodes::with)
    }
}
impl std::fmt::Display for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<String> = self.iter().map(|n| n.0.to_string()).collect();
        f.pad(&ids.join(" "))
    }
}
impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_goes_round_in_the_order_of_ids() {
        let set: Nodes = [NodeId(1), NodeId(5), NodeId(32)].into_iter().collect();
        assert_eq!(set.after(NodeId(1)), NodeId(5));
        assert_eq!(set.after(NodeId(5)), NodeId(32));
        assert_eq!(set.after(NodeId(32)), NodeId(1));
        assert_eq!(set.after(NodeId(3)), NodeId(5));
        assert_eq!((set.lowest(), set.highest(), set.len()), (Some(NodeId(1)), Some(NodeId(32)), 3));
        assert_eq!(set.to_string(), "1 5 32");
        assert_eq!(set.without(Nodes::one(NodeId(5))).iter().count(), 2);
    }
}
