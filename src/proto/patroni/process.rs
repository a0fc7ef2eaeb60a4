//! Patroni as a process.

use super::config::Patroni;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Input, Pid};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// Where the DCS is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Dcs {
    /// The client ports of etcd's members.
    Etcd(Vec<Endpoint>),
    /// The HTTP port of the host's own Consul agent.
    Consul(Endpoint),
}

/// What a Patroni is given beside its configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Its name: that of its host.
    pub name: Arc<str>,
    /// Its own address.
    pub ip: Ip,
    /// The server that it manages.
    pub postgres: Pid,
    /// The DCS.
    pub dcs: Dcs,
    /// All members of the cluster, itself among them, in the order of their names: name and address.
    pub members: Vec<(Arc<str>, Ip)>,
}

/// Patroni.
#[derive(Clone, Debug)]
pub struct Agent {
    config: Patroni,
    setup: Setup,
}
impl Agent {
    /// A Patroni.
    pub fn new(config: Patroni, setup: Setup) -> Self {
        Agent { config, setup }
    }
    /// What it was before it was started.
    pub fn reset(&mut self) {
        *self = Agent::new(self.config.clone(), self.setup.clone());
    }
    /// Whether it believes that it holds the leader key.
    pub fn is_leader(&self, _: i64) -> bool {
        false
    }
    /// What it believes, in words.
    pub fn beliefs(&self, _: i64, _: crate::engine::Time) -> Vec<String> {
        Vec::new()
    }
    /// Handles one input.
    pub fn on(&mut self, _: Input<Msg>, _: &mut Cx<'_>) {}
}
