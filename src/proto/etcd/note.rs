//! What etcd tells.

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {}
impl Note {
    /// The stable kind of mark, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        match *self {}
    }
    /// What, and why, in words.
    pub fn text(&self) -> (String, String) {
        match *self {}
    }
}
