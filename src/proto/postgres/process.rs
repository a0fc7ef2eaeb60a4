//! The server as a process: the postmaster with all that it forks.

use super::config::Postgres;
use super::data::DataDir;
use crate::node::disk::End;
use crate::node::process::Input;
use crate::proto::{Cx, Msg};

/// A server.
#[derive(Clone, Debug)]
pub struct Postmaster {
    config: Postgres,
}
impl Postmaster {
    /// A server with this configuration.
    pub fn new(config: Postgres) -> Self {
        Postmaster { config }
    }
    /// What an end of this kind leaves of it and of its data directory.
    pub fn reset(&mut self, _: End, _: &mut DataDir) {
        *self = Postmaster::new(self.config.clone());
    }
    /// Whether it takes writes.
    pub fn writable(&self) -> bool {
        false
    }
    /// Whether it is a standby that takes connections.
    pub fn in_recovery(&self) -> bool {
        false
    }
    /// Whether it streams.
    pub fn streaming(&self) -> bool {
        false
    }
    /// What it has received.
    pub fn received(&self, _: &DataDir) -> super::msg::Place {
        super::msg::Place::default()
    }
    /// The first standby that it waits for.
    pub fn sync_standby(&self) -> Option<std::sync::Arc<str>> {
        None
    }
    /// What it believes, in words.
    pub fn beliefs(&self, _: &DataDir) -> Vec<String> {
        Vec::new()
    }
    /// Handles one input.
    pub fn on(&mut self, _: Input<Msg>, _: &mut Cx<'_>) {}
}
