//! What DNS servers tell.

use crate::engine::{Span, Time};
use crate::net::addr::Endpoint;
use crate::say;
use std::sync::Arc;

/// What happened. Addresses are written out; an empty list is a name that does not exist.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Note {
    /// An authoritative server took an update; it answers with it after `delay`.
    Updating { name: Arc<str>, to: Arc<str>, by: Option<Endpoint>, delay: Span },
    /// From now on the authoritative server answers with other addresses.
    Changed { name: Arc<str>, was: Arc<str>, now: Arc<str>, taken: Time },
    /// An update was refused.
    Refused { name: Arc<str>, by: Option<Endpoint> },
    /// A resolver has fetched an answer that differs from the one before it.
    Refreshed { name: Arc<str>, was: Arc<str>, now: Arc<str>, ttl: Span, kept: Span },
    /// No server answered a resolver; `stale`: it gave an expired answer instead.
    Failed { name: Arc<str>, tries: u32, stale: bool },
}
fn or_none(list: &Arc<str>) -> String {
    if list.is_empty() { say!("dns-nobody") } else { list.to_string() }
}
fn from(by: Option<Endpoint>) -> String {
    by.map_or_else(|| say!("dns-operator"), |e| e.ip.to_string())
}
impl Note {
    /// The stable kind of mark, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        match self {
            Note::Changed { .. } => Some("dns_changed"),
            Note::Refreshed { .. } => Some("dns_refreshed"),
            Note::Refused { .. } => Some("dns_refused"),
            Note::Updating { .. } | Note::Failed { .. } => None,
        }
    }
    /// What, and why, in words.
    pub fn text(&self) -> (String, String) {
        match self {
            Note::Updating { name, to, by, delay } => (
                say!("dns-updating", name = name, to = or_none(to)),
                say!("dns-updating-why", by = from(*by), delay = delay),
            ),
            Note::Changed { name, was, now, taken } => (
                say!("dns-changed", name = name, now = or_none(now), was = or_none(was)),
                say!("dns-changed-why", taken = taken),
            ),
            Note::Refused { name, by } => {
                (say!("dns-refused", name = name), say!("dns-refused-why", by = from(*by)))
            }
            Note::Refreshed { name, was, now, ttl, kept } => (
                say!("dns-refreshed", name = name, now = or_none(now), was = or_none(was)),
                say!("dns-refreshed-why", kept = kept, ttl = ttl),
            ),
            Note::Failed { name, tries, stale } => (
                say!("dns-failed", name = name),
                if *stale {
                    say!("dns-failed-stale", tries = tries)
                } else {
                    say!("dns-failed-why", tries = tries)
                },
            ),
        }
    }
}
