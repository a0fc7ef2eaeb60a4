//! Applications: clients of a database with time-outs, retries, pools, and a name or an address to connect to.

pub mod config;
pub mod note;
pub mod process;

pub use config::Application;
pub use process::App;
