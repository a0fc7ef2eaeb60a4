//! Floor 7: what happened and why: marks, outages, verdicts.

pub mod jobs;
pub mod marks;
pub mod measure;
pub mod metrics;
pub mod outage;
pub mod partial;
pub mod run;
pub mod verdict;
