//! Pacemaker: its scheduler, as a pure function from a CIB to a plan.
//!
//! [`schedule`] reads a [`Cib`](cib::Cib) and gives a [`Plan`]: where every resource goes, the actions and what each waits for, every score
//! and what made it, and the status after the transition. It follows Pacemaker 2.1.5; the rules are those of the manual "Pacemaker Explained"
//! as that version carries them out, with its own oddities, and are checked against cases answered by the program itself.
//!
//! **Not modelled:** unfencing, resource patterns (`rsc-pattern`), single instances in constraints (`rsc-instance`). What is in a CIB and is not modelled is told as a warning with its line.

pub mod actions;
mod assign;
pub mod bundle;
mod capacity;
pub mod changes;
pub mod cib;
mod clone;
mod colocation;
pub mod cpg;
pub mod digest;
mod failures;
pub mod graph;
pub mod history;
mod known;
mod location;
mod lookup;
mod migrate;
pub mod model;
pub mod notify;
mod order;
pub mod plan;
mod promote;
mod recurring;
mod remote;
pub mod run;
pub mod score;
pub mod sets;
mod settle;
mod sorting;
mod status;
mod steps;
pub mod story;
pub mod summary;
pub mod tickets;
pub mod time;
pub mod unpack;
mod upgrade;
pub mod xml;

pub use plan::{Plan, schedule};
