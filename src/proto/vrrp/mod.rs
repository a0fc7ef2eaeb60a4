//! keepalived's VRRP: [`config`] are its knobs, [`timers`] its arithmetic, [`machine`] its roles, [`process`] the daemon,
//! [`notify`] what its scripts do.

pub mod config;
pub mod machine;
pub mod msg;
pub mod note;
pub mod notify;
pub mod process;
pub mod timers;
