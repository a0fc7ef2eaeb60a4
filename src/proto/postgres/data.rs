//! The data directory: what survives the server, and what Patroni reads and writes beside it.

use super::msg::Place;

/// A data directory, one on each database host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DataDir {
    /// `pg_control`.
    pub control: Control,
    /// The promote signal file.
    pub promote_signal: bool,
}
/// What `pg_controldata` shows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Control {
    /// The timeline.
    pub timeline: u32,
    /// The history.
    pub history: History,
}
/// A history.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History;
impl History {
    /// Whether a place is part of it.
    pub fn contains(&self, _: Place) -> bool {
        true
    }
}

/// What a server knows of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Status {}
