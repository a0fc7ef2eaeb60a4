//! Floor 8: many runs, and what they mean together. [`theory`] is the yardstick that no simulation made; [`row`] is what is kept of a
//! run, [`results`] a file of rows.

pub mod design;
pub mod headless;
pub mod results;
pub mod row;
pub mod stats;
pub mod store;
pub mod summary;
pub mod sweep;
pub mod theory;
