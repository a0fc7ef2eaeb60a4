//! Floor 8: many runs, and what they mean together. [`theory`] is the yardstick that no simulation made; [`row`] is what is kept of a
//! run, [`results`] a file of rows.

pub mod headless;
pub mod results;
pub mod row;
pub mod theory;
