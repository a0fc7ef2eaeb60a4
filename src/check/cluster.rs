//! Invariants over clusters with a quorum.

use crate::fault::roles;
use crate::node::process::HostId;
use crate::say;
use crate::sim::World;

/// Two nodes whose memberships stand, differ, and are quorate, although the cluster is none of two nodes with `two_node`. A node that stands
/// still, or that knows that its membership is over, does not count.
pub(super) fn two_partitions(world: &World) -> Option<String> {
    let mut quorate = roles::hosts(world).filter_map(|h| {
        let c = roles::corosync(world, h)?;
        (c.settled() && c.quorate() && !c.votes().two_node()).then(|| (h, c.ring()))
    });
    let (a, ring) = quorate.next()?;
    let (b, _) = quorate.find(|(_, other)| *other != ring)?;
    let name = |h: HostId| &world.host(h).name;
    Some(say!("check-two-partitions", a = name(a), b = name(b)))
}
