//! Floor 6: RON in, a ready simulation out.

pub mod build;
pub mod types;
