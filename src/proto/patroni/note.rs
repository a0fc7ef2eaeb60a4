//! What Patroni tells.

use crate::engine::Span;

/// The watchdog beside a renewal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dog {
    /// It runs.
    pub running: bool,
    /// Its timeout, or what it would be.
    pub timeout: Span,
    /// `ttl`.
    pub ttl: Span,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// The leader key was renewed.
    Renewed(Dog),
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
