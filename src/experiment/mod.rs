//! Floor 8: many runs, and what they mean together. [`theory`] is the yardstick that no simulation made; [`row`] is what is kept of a
//! run, [`results`] and [`store`] are files of rows; [`design`] says which settings are played, [`sweep`] plays them, [`stats`] and
//! [`summary`] say what came out. [`analysis`] is what rows say together, [`map`] where two settings are safe, [`nines`] what outages
//! make of years.

pub mod analysis;
pub mod design;
pub mod headless;
pub mod map;
pub mod nines;
#[cfg(feature = "parquet")]
mod parquet;
pub mod results;
pub mod row;
pub mod stats;
pub mod store;
pub mod summary;
pub mod sweep;
pub mod theory;
