//! The knobs of the service behind the address.

use crate::engine::time::Span;
use crate::engine::time::SpanRange;
use serde::{Deserialize, Serialize};

/// A service that listens on a port and answers every request with its host's name: as much of HAProxy as a keepalived drill
/// needs. (Back ends, checks and queues come with the Patroni models.)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HAProxy {
    /// The port, TCP and UDP. Default 80.
    pub bind: u16,
    /// How long a request takes. Default 200 us.
    pub service_time: SpanRange,
    /// Length of the accept queue (`backlog`). Default 4096.
    pub backlog: u32,
    /// Process time: from the start to the first accepted connection. Default 0 s.
    pub startup_time: SpanRange,
}
impl Default for HAProxy {
    fn default() -> Self {
        HAProxy {
            bind: 80,
            service_time: SpanRange::exactly(Span::us(200)),
            backlog: 4096,
            startup_time: SpanRange::exactly(Span::ZERO),
        }
    }
}
