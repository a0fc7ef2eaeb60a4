//! The data directory: what survives the server, and what Patroni reads and writes beside it.

/// A data directory, one on each database host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DataDir {}

/// What a server knows of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Status {}
