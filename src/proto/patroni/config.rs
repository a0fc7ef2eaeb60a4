//! The knobs of Patroni, under their own names and with their own defaults.

use serde::{Deserialize, Serialize};

/// Patroni 4.1.5, which manages the PostgreSQL of its host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Patroni {}
