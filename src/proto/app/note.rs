//! What an application tells beside the outcomes of its requests.

use crate::engine::Span;
use crate::net::addr::Endpoint;
use crate::node::process::HostId;
use crate::proto::postgres::msg::{Place, WriteId};
use crate::say;
use std::sync::Arc;

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Note {
    /// The server has acknowledged a write: it is at this place of its history.
    Acked { write: WriteId, place: Place },
    /// A write was sent, and no answer came: it may have been done.
    Unknown { write: WriteId },
    /// A write has certainly not been done.
    Failed { write: WriteId },
    /// A read saw everything up to there.
    Seen { place: Place, host: HostId },
    /// A name has other addresses than before, as this program sees it; it had known the old ones for `kept`.
    Resolved { name: Arc<str>, was: Arc<str>, now: Arc<str>, kept: Span },
    /// Connections stay with an address that the name no longer has.
    Pinned { name: Arc<str>, connections: u32, to: Endpoint, now: Arc<str> },
    /// A new connection went to another address than the one before.
    Moved { was: Endpoint, to: Endpoint },
}
impl Note {
    /// The stable kind of mark, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        match self {
            Note::Acked { .. } | Note::Unknown { .. } | Note::Failed { .. } | Note::Seen { .. } => None,
            Note::Resolved { .. } => Some("name_refreshed"),
            Note::Pinned { .. } => Some("pinned"),
            Note::Moved { .. } => Some("client_moved"),
        }
    }
    /// What, and why, in words.
    pub fn text(&self) -> (String, String) {
        let write = |w: &WriteId| format!("{}.{}", w.operation, w.attempt);
        let lsn = |p: &Place| format!("{:X}/{:08X}", p.lsn.0 >> 32, p.lsn.0 & 0xFFFF_FFFF);
        match self {
            Note::Acked { write: w, place } => {
                (say!("app-acked", write = write(w), lsn = lsn(place)), String::new())
            }
            Note::Unknown { write: w } => (say!("app-unknown", write = write(w)), say!("app-unknown-why")),
            Note::Failed { write: w } => (say!("app-failed", write = write(w)), String::new()),
            Note::Seen { place, .. } => (say!("app-seen", lsn = lsn(place)), String::new()),
            Note::Resolved { name, was, now, kept } => (
                say!("app-resolved", name = name, was = was, now = now),
                say!("app-resolved-why", kept = kept),
            ),
            Note::Pinned { name, connections, to, now } => {
                (say!("app-pinned", n = connections, to = to), say!("app-pinned-why", name = name, now = now))
            }
            Note::Moved { was, to } => (say!("app-moved", to = to), say!("app-moved-why", was = was)),
        }
    }
}
