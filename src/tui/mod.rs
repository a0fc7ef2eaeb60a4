//! Floor 11: the player. [`model`] is what it knows, [`view`] draws it, [`gallery`] lets one choose a drill, [`app`] opens the terminal.

pub mod app;
pub mod gallery;
pub mod model;
pub mod view;
