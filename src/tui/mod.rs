//! Floor 11: the player. [`model`] is what it knows, [`view`] draws it, [`gallery`] lets one choose a drill, [`app`] opens the terminal.

pub mod app;
mod cluster;
mod database;
pub mod gallery;
pub mod inject;
pub mod model;
mod panel_cluster;
mod panel_jobs;
mod panel_pool;
mod panel_queues;
pub mod view;
