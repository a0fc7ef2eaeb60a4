//! What the player shows of a Corosync cluster: who is in which membership, and who has quorum.

use crate::fault::roles;
use crate::node::process::HostId;
use crate::proto::Daemon;
use crate::proto::corosync::srp::State;
use crate::say;
use crate::sim::World;

/// The letter of a node: quorate, or not.
pub(super) fn letter(world: &World, host: HostId) -> &'static str {
    if roles::quorate(world, host) { "Q" } else { "-" }
}

/// What stands behind a host's name: the state of its ring, how many are in it and their ids, its votes; of a server of quorum devices, who
/// has the vote.
pub(super) fn host_text(world: &World, host: HostId) -> Option<String> {
    if let Some(c) = roles::corosync(world, host) {
        let state = match c.state() {
            State::Operational if c.settled() => "",
            State::Operational => "SYNC ",
            State::Gather => "GATHER ",
            State::Commit => "COMMIT ",
            State::Recovery => "RECOVERY ",
        };
        let v = c.votes();
        let quorum = if c.quorate() { say!("ui-quorum") } else { say!("ui-no-quorum") };
        return Some(format!("{state}[{}] {}/{} {quorum}", c.members(), v.total, v.quorum));
    }
    let (_, q) = roles::daemon(world, host, |d| if let Daemon::Qnetd(q) = d { Some(&**q) } else { None })?;
    Some(format!("-> [{}]", q.voters()))
}

/// What a Pacemaker cluster has to be commanded: ids of all resources, of primitives without fence devices, and nodes.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Resources, collections included.
    pub all: Vec<String>,
    /// What agents run.
    pub primitives: Vec<String>,
    /// Nodes.
    pub nodes: Vec<String>,
}

/// What the CIB has.
pub(super) fn resources(world: &World) -> Known {
    let Some(v) = crate::fault::cib(world) else { return Known::default() };
    let root = &v.cib.root;
    let nodes = root.find("nodes").into_iter().flat_map(|l| l.all("node")).filter_map(|n| n.get("uname"));
    let primitives = crate::proto::crm::cib::primitives(root).into_iter();
    Known {
        all: crate::proto::crm::cib::ids(root),
        primitives: primitives.filter(|p| !p.0.agent.starts_with("stonith:")).map(|p| p.0.id).collect(),
        nodes: nodes.map(str::to_owned).collect(),
    }
}
