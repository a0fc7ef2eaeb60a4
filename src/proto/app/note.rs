//! What an application tells beside the outcomes of its requests.

use crate::node::process::HostId;
use crate::proto::postgres::msg::{Place, WriteId};

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// It was told that a write is committed.
    Acked {
        /// Which.
        write: WriteId,
        /// Where.
        place: Place,
    },
    /// It does not know what became of a write.
    Unknown {
        /// Which.
        write: WriteId,
    },
    /// It was told that a write failed.
    Failed {
        /// Which.
        write: WriteId,
    },
    /// A read saw all that is committed up to there.
    Seen {
        /// Up to where.
        place: Place,
        /// On which host.
        host: HostId,
    },
}
impl Note {
    /// The stable kind of mark, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        None
    }
    /// What, and why, in words.
    pub fn text(&self) -> (String, String) {
        (String::new(), String::new())
    }
}
