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
