//! Floor 5: what must hold at every event.

pub mod invariants;
