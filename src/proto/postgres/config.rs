//! The knobs of PostgreSQL, under their own names and with their own defaults.

use serde::{Deserialize, Serialize};

/// A PostgreSQL server. On a host that runs Patroni it is started, stopped and promoted by Patroni; elsewhere it starts at boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Postgres {}
