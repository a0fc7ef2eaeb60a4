//! The knobs of an application.

use serde::{Deserialize, Serialize};

/// A program that reads from and writes to a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Application {}
