//! What directors send each other: connections, in batches.

use super::config::{Kind, Transport};
use super::state::State;
use crate::engine::Span;
use crate::net::addr::{Endpoint, Ip};
use std::sync::Arc;

/// The port of the sync daemon.
pub const PORT: u16 = 8848;
/// Its multicast group, 224.0.0.81.
pub const GROUP: Ip = Ip(0xE000_0051);
/// Connections that fit into one message (1,500 bytes of MTU).
pub const BATCH: usize = 38;

/// A connection or a persistence template, as one director tells the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// The client; a template has port 0.
    pub client: Endpoint,
    /// The virtual service.
    pub vip: Endpoint,
    /// Its protocol.
    pub transport: Transport,
    /// The server.
    pub server: Endpoint,
    /// How packets get there.
    pub kind: Kind,
    /// The state.
    pub state: State,
    /// How long the entry lives after its last packet.
    pub timeout: Span,
    /// It is a template.
    pub template: bool,
}

/// A message of the sync daemon.
pub type Sync = Arc<[Record]>;
