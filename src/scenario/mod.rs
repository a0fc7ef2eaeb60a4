//! Floor 6: RON in, a ready simulation out.
//!
//! [`types`] is the format, [`load`] reads it, [`lint`] checks it, [`set`] changes it, [`doc`] explains it, [`build`] makes a run of it.

pub mod build;
mod cib;
pub mod diag;
pub mod doc;
pub mod embedded;
pub mod lint;
pub mod load;
pub mod set;
pub mod syntax;
pub mod types;
