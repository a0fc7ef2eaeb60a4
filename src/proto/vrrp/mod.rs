//! keepalived's VRRP: [`config`] are its knobs, [`timers`] its arithmetic, [`machine`] its roles, [`process`] the daemon.

pub mod config;
pub mod machine;
pub mod msg;
pub mod note;
pub mod process;
pub mod timers;
