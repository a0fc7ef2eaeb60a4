//! The servers as processes.

use super::config;
use crate::node::process::Input;
use crate::proto::{Cx, Msg};

/// An authoritative server.
#[derive(Clone, Debug)]
pub struct Authority {
    config: config::Dns,
}
impl Authority {
    /// A server with this configuration.
    pub fn new(config: config::Dns) -> Self {
        Authority { config }
    }
    /// What it was before it was started.
    pub fn reset(&mut self) {
        *self = Authority::new(self.config.clone());
    }
    /// Handles one input.
    pub fn on(&mut self, _: Input<Msg>, _: &mut Cx<'_>) {}
}

/// A recursive resolver.
#[derive(Clone, Debug)]
pub struct Recursor {
    config: config::Resolver,
}
impl Recursor {
    /// A resolver with this configuration.
    pub fn new(config: config::Resolver) -> Self {
        Recursor { config }
    }
    /// What it was before it was started.
    pub fn reset(&mut self) {
        *self = Recursor::new(self.config.clone());
    }
    /// Handles one input.
    pub fn on(&mut self, _: Input<Msg>, _: &mut Cx<'_>) {}
}
