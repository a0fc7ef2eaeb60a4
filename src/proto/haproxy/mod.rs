//! HAProxy 2.6: a TCP proxy that checks its servers. Without sections, a service behind an address.
//!
//! Source: HAProxy configuration manual and the files named in the modules. **Not modelled:** TLS, ACLs and rules, stick tables, resolvers,
//! the runtime API, several threads, the master process.

pub mod balance;
mod check;
pub mod config;
pub mod health;
pub mod note;
pub mod process;
pub mod proxy;
mod session;
pub mod setup;
