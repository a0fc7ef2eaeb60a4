//! Floor 9: what a run looks like on paper, one file a format.

pub mod charts;
pub mod compare;
pub mod diagram;
pub mod html;
pub mod json;
pub mod junit;
pub mod semantic;
pub mod story;
pub mod study;
pub mod svg;
pub mod terminal;
pub mod timeline;
pub mod why;
mod why_cluster;
mod why_database;
mod why_decision;
