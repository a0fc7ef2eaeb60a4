//! What PostgreSQL tells.

use super::msg::{Place, WriteId};

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// A write is committed here.
    Committed {
        /// Which.
        write: WriteId,
        /// Where.
        place: Place,
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
