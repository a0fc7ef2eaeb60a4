//! Floor 8: many runs, and what they mean together. [`theory`] is the yardstick that no simulation made; [`row`] is what is kept of a
//! run, [`results`] a file of rows. [`analysis`] is what rows say together, [`map`] where
//! two settings are safe, [`nines`] what outages make of years.

pub mod analysis;
pub mod map;
pub mod nines;
pub mod results;
pub mod row;
pub mod theory;
