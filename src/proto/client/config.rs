//! The knobs of a client.

use crate::engine::time::Span;
use crate::net::addr::Endpoint;
use serde::{Deserialize, Serialize};

/// A client that connects to one address at fixed intervals and counts what comes back.
///
/// Every request of a `Tcp` client opens a new connection, asks once, and closes it; `Session` keeps one connection open and
/// reconnects when it breaks; `Udp` sends one datagram and waits for the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Where to connect to.
    pub connect: Endpoint,
    /// How requests travel. Default `Tcp`.
    #[serde(default)]
    pub protocol: Protocol,
    /// Requests that are both a read and a write to the measurements, for services that are no database.
    #[serde(default)]
    pub requests: Option<Every>,
    /// Requests that count as reads.
    #[serde(default)]
    pub reads: Option<Every>,
    /// Requests that count as writes.
    #[serde(default)]
    pub writes: Option<Every>,
    /// A request that has no answer by then has failed. Default 1 s.
    #[serde(default = "one_second")]
    pub timeout: Span,
    /// Send the first request then. Default 5 s, when the first election is over.
    #[serde(default = "five_seconds")]
    pub start_after: Span,
    /// `TCP_USER_TIMEOUT`; 0 s: the kernel's `tcp_retries2` decides (about 924.6 s). Default 0 s.
    #[serde(default)]
    pub tcp_user_timeout: Span,
    /// `SO_KEEPALIVE` on a session. Default false.
    #[serde(default)]
    pub keepalives: bool,
    /// `TCP_KEEPIDLE`. Default 7200 s.
    #[serde(default = "keepalive_idle")]
    pub keepalives_idle: Span,
    /// `TCP_KEEPINTVL`. Default 75 s.
    #[serde(default = "keepalive_interval")]
    pub keepalives_interval: Span,
    /// `TCP_KEEPCNT`. Default 9.
    #[serde(default = "keepalive_count")]
    pub keepalives_count: u32,
}

/// A rate: a request at the start and then one each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Every {
    /// One request each interval.
    Every(Span),
    /// Requests at random times, independent of each other; the mean interval. (A Poisson stream.)
    Poisson(Span),
}
impl Every {
    /// The interval, or its mean.
    pub fn interval(self) -> Span {
        let (Every::Every(span) | Every::Poisson(span)) = self;
        span
    }
}

/// How requests travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// A new TCP connection for every request.
    #[default]
    Tcp,
    /// One datagram there, one back.
    Udp,
    /// One TCP connection for all requests, opened again when it broke.
    Session,
}

fn one_second() -> Span {
    Span::secs(1)
}
fn five_seconds() -> Span {
    Span::secs(5)
}
fn keepalive_idle() -> Span {
    Span::secs(7200)
}
fn keepalive_interval() -> Span {
    Span::secs(75)
}
fn keepalive_count() -> u32 {
    9
}
