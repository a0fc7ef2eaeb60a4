//! What HAProxy tells.

use crate::net::addr::Ip;
use crate::say;
use std::sync::Arc;

/// Why a check failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Nobody listens there.
    Refused,
    /// Nobody has the address.
    Unreachable,
    /// Not connected in time.
    ConnectTimeout,
    /// Connected, but no answer in time.
    Silent,
    /// The connection ended without an answer.
    Broken,
    /// An answer with another status code than expected.
    Status(u16),
}
impl Failure {
    /// In words, with HAProxy's own code.
    pub fn text(self) -> String {
        match self {
            Failure::Refused => say!("haproxy-refused"),
            Failure::Unreachable => say!("haproxy-unreachable"),
            Failure::ConnectTimeout => say!("haproxy-connect-timeout"),
            Failure::Silent => say!("haproxy-silent"),
            Failure::Broken => say!("haproxy-broken"),
            Failure::Status(code) => say!("haproxy-status", code = code),
        }
    }
}

/// Why a server is up or down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// So many failed checks in a row, and how the last one failed.
    Checks(u32, Failure),
    /// So many good checks in a row.
    Passed(u32),
    /// The agent said so.
    Agent(Arc<str>),
    /// So many failed connections of sessions in a row (`observe`).
    Errors(u32),
}
impl Why {
    fn text(&self) -> String {
        match self {
            Why::Checks(n, f) => say!("haproxy-checks-failed", n = n, how = f.text()),
            Why::Passed(n) => say!("haproxy-checks-good", n = n),
            Why::Agent(word) => say!("haproxy-agent", word = word),
            Why::Errors(n) => say!("haproxy-errors", n = n),
        }
    }
}

/// Why a client was sent away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gone {
    /// No server is up.
    Nobody,
    /// It waited too long for a free place.
    QueueTimeout,
    /// All tries to connect to a server failed.
    Connect,
    /// Nothing passed for too long.
    Idle,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The fields are explained by the words above each variant.
pub enum Note {
    /// A server is down: the section, the server, why, the sessions on it, whether they are cut, and how many servers are left.
    Down { section: Arc<str>, server: Arc<str>, why: Why, sessions: u32, cut: bool, left: u32 },
    /// A server is up: the section, the server, why, how many can be used now, and whether it is a backup server.
    Up { section: Arc<str>, server: Arc<str>, why: Why, active: u32, backup: bool },
    /// Sessions were cut because this server went down, or (`up`) those on backup servers because it came up.
    Cut { section: Arc<str>, server: Arc<str>, n: u32, up: bool },
    /// A section has no server left.
    Nobody { section: Arc<str> },
    /// The first check of a row failed.
    CheckFailed { section: Arc<str>, server: Arc<str>, failure: Failure },
    /// A client was sent away.
    Away { section: Arc<str>, client: Ip, why: Gone, tries: u32 },
    /// The process has as many sessions as it may have: clients wait in the kernel.
    Full { section: Arc<str>, sessions: u32 },
    /// A name was looked up.
    Address { name: Arc<str>, ip: Ip },
    /// A name has no address: it does not start.
    NoAddress { name: Arc<str> },
}
impl Note {
    /// The stable kind of mark, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        match self {
            Note::Down { .. } => Some("backend_down"),
            Note::Up { .. } => Some("backend_up"),
            Note::Cut { .. } => Some("sessions_cut"),
            Note::Nobody { .. } => Some("no_server"),
            Note::Full { .. } => Some("proxy_full"),
            Note::NoAddress { .. } => Some("start_failed"),
            Note::CheckFailed { .. } | Note::Away { .. } | Note::Address { .. } => None,
        }
    }
    /// What, and why, in words.
    pub fn text(&self) -> (String, String) {
        match self {
            Note::Down { section, server, why, left, .. } => {
                (say!("haproxy-down", section = section, server = server, left = left), why.text())
            }
            Note::Up { section, server, why, active, backup } => {
                let key = if *backup { "haproxy-up-backup" } else { "haproxy-up" };
                (say!(key, section = section, server = server, active = active), why.text())
            }
            Note::Cut { section, server, n, up } => {
                let why = if *up { "haproxy-cut-backups" } else { "haproxy-cut-why" };
                (say!("haproxy-cut", n = n, section = section), say!(why, server = server))
            }
            Note::Nobody { section } => {
                (say!("haproxy-nobody", section = section), say!("haproxy-nobody-why"))
            }
            Note::CheckFailed { section, server, failure } => {
                (say!("haproxy-check", section = section, server = server), failure.text())
            }
            Note::Away { section, client, why, tries } => {
                let why = match why {
                    Gone::Nobody => say!("haproxy-away-nobody"),
                    Gone::QueueTimeout => say!("haproxy-away-queue"),
                    Gone::Connect => say!("haproxy-away-connect", tries = tries),
                    Gone::Idle => say!("haproxy-away-idle"),
                };
                (say!("haproxy-away", section = section, client = client), why)
            }
            Note::Full { section, sessions } => {
                (say!("haproxy-full", section = section), say!("haproxy-full-why", sessions = sessions))
            }
            Note::Address { name, ip } => {
                (say!("haproxy-address", name = name, ip = ip), say!("haproxy-address-why"))
            }
            Note::NoAddress { name } => {
                (say!("haproxy-no-address", name = name), say!("haproxy-no-address-why"))
            }
        }
    }
}
