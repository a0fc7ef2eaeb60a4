//! Floor 8: many runs, and what they mean together. [`theory`] is the yardstick that no simulation made.

pub mod theory;
