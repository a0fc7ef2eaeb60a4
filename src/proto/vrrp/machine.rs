//! The roles of a VRRP instance and the ways between them (RFC 5798 section 6.4; FAULT is keepalived's own).

/// The role of an instance, as keepalived names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub enum Role {
    /// Not started.
    Init,
    /// It listens to a master.
    Backup,
    /// It holds the addresses and advertises.
    Master,
    /// Something that it tracks has failed.
    Fault,
}

/// What can move an instance from role to role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// The daemon starts with priority 255.
    StartOwner,
    /// The daemon starts with any other priority.
    Start,
    /// The Master_Down timer ran out.
    MasterDown,
    /// A better advert came: higher priority, or the same and a higher address.
    BetterAdvert,
    /// Something tracked with weight 0 failed, or the own interface.
    TrackFailed,
    /// Everything tracked is well again.
    TrackWell,
    /// SIGTERM.
    Stop,
    /// Another member of the sync group moved.
    Group,
}

/// Every way between roles, in the order of RFC 5798 section 6.4.
pub const TRANSITIONS: &[(Role, Why, Role)] = &[
    (Role::Init, Why::StartOwner, Role::Master),
    (Role::Init, Why::Start, Role::Backup),
    (Role::Init, Why::TrackFailed, Role::Fault),
    (Role::Backup, Why::MasterDown, Role::Master),
    (Role::Backup, Why::TrackFailed, Role::Fault),
    (Role::Backup, Why::Stop, Role::Init),
    (Role::Backup, Why::Group, Role::Fault),
    (Role::Master, Why::BetterAdvert, Role::Backup),
    (Role::Master, Why::TrackFailed, Role::Fault),
    (Role::Master, Why::Stop, Role::Init),
    (Role::Master, Why::Group, Role::Backup),
    (Role::Fault, Why::TrackWell, Role::Backup),
    (Role::Fault, Why::Stop, Role::Init),
];

/// The table as a graph for Graphviz.
pub fn dot() -> String {
    use std::fmt::Write;
    let mut text = String::from("digraph vrrp {\n");
    for (from, why, to) in TRANSITIONS {
        let _ = writeln!(text, "  {from:?} -> {to:?} [label=\"{why:?}\"];");
    }
    text + "}\n"
}
