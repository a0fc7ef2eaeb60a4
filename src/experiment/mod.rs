//! Floor 8: many runs, and what they mean together. [`theory`] is the yardstick that no simulation made; [`row`] is what is kept of a
//! run, [`results`] a file of rows, [`sweep`] makes them. [`analysis`] is what rows say together, [`map`] where two settings are safe,
//! [`nines`] what outages make of years.

pub mod analysis;
pub mod design;
pub mod headless;
pub mod map;
pub mod nines;
pub mod results;
pub mod row;
pub mod stats;
pub mod store;
pub mod summary;
pub mod sweep;
pub mod theory;
