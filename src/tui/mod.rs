//! Floor 11: the player. [`model`] is what it knows, [`view`] draws it, [`gallery`] lets one choose a drill, [`app`] opens the terminal.

pub mod app;
mod database;
pub mod gallery;
pub mod inject;
pub mod model;
pub mod view;
