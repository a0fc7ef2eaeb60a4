//! Floor 9: what a run looks like on paper, one file a format.

pub mod compare;
pub mod json;
pub mod junit;
pub mod semantic;
pub mod story;
pub mod why;
mod why_database;
