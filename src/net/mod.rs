//! Floor 2: links, planes, partitions, addresses, ARP.

pub mod addr;
pub mod arp;
pub mod rules;

use serde::{Deserialize, Serialize};

/// What a link carries; planes can be cut one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(non_camel_case_types)]
pub enum Plane {
    /// VRRP adverts, totem, pgpool's watchdog.
    heartbeat,
    /// Clients and services.
    client,
    /// Database replication, and connections that one director tells the other.
    replication,
    /// Consul, etcd, and what asks them.
    dcs,
    /// REST interfaces and health checks.
    rest,
    /// Name resolution.
    dns,
    /// Fence devices.
    fencing,
    /// Shared disks.
    storage,
    /// A batch system: controllers, nodes, jobs.
    batch,
    /// Corosync's quorum devices and their server.
    quorum,
    /// Address resolution.
    arp,
}
