//! The knobs of DNS servers.

use super::name::HostPort;
use crate::engine::time::{Span, SpanRange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An authoritative server, which also takes dynamic updates (RFC 2136). What an update says survives a restart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Names and their addresses at the start.
    pub records: BTreeMap<String, Record>,
    /// The zone that the server answers for; the empty name is the root, which every name lies in. Default "".
    pub zone: String,
    /// From an update to the moment from which the server answers with it: a provider's interface, a zone transfer. Default 0 s.
    pub change_delay: SpanRange,
    /// For how long the answer that a name does not exist holds (the SOA's minimum), whole seconds. Default 300 s.
    pub negative_ttl: Span,
    /// The TTL of a name that an update creates, whole seconds. Default 300 s.
    pub update_ttl: Span,
    /// Whether updates are taken; a refused one is answered so. Default true.
    pub allow_update: bool,
}
impl Default for Dns {
    fn default() -> Self {
        Dns {
            records: BTreeMap::new(),
            zone: String::new(),
            change_delay: SpanRange::exactly(Span::ZERO),
            negative_ttl: Span::secs(300),
            update_ttl: Span::secs(300),
            allow_update: true,
        }
    }
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Record {
    /// Addresses, or hosts of the stack by name, in the order in which they are answered. None: the name does not exist yet.
    pub addresses: Vec<String>,
    /// For how long an answer holds, whole seconds, 0 s to 7 d; 0 s: it is not cached. Default 300 s.
    pub ttl: Span,
}
impl Default for Record {
    fn default() -> Self {
        Record { addresses: Vec::new(), ttl: Span::secs(300) }
    }
}

/// A resolver with a cache: the resolver of a network, or, on the host of an application, its host cache (systemd-resolved, nscd,
/// dnsmasq). An application asks the resolver of its own host if there is one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resolver {
    /// The resolvers that it forwards to, by host or address. Default: none, it asks the authoritative servers of the stack.
    pub forward: Vec<HostPort>,
    /// Where it asks for names that end in `.consul` (port 8600 unless another is written). Default: the Consul agent of its host, or
    /// all hosts that run Consul.
    pub consul: Vec<HostPort>,
    /// `min-cache-ttl`: shorter TTLs are raised to this, 0 s to 1 d; some resolvers take 30 s to 300 s. Default 0 s.
    pub min_cache_ttl: Span,
    /// `max-cache-ttl`: longer TTLs are cut to this. Default 7 d.
    pub max_cache_ttl: Span,
    /// `min-ncache-ttl`: the same as `min_cache_ttl` for the answer that a name does not exist. Default 0 s.
    pub min_ncache_ttl: Span,
    /// `max-ncache-ttl`: the same as `max_cache_ttl` for the answer that a name does not exist. Default 3 h.
    pub max_ncache_ttl: Span,
    /// `servfail-ttl`: so long a failure is answered without asking again. Default 1 s.
    pub servfail_ttl: Span,
    /// `resolver-retry-interval`: a server that has not answered by then is left for the next one. Default 800 ms.
    pub resolver_retry_interval: Span,
    /// `resolver-nonbackoff-tries`: after so many tries the interval doubles with each further one. Default 3.
    pub resolver_nonbackoff_tries: u32,
    /// `resolver-query-timeout`: without an answer by then the asker gets SERVFAIL. Default 10 s.
    pub resolver_query_timeout: Span,
    /// `stale-answer-enable`: when no server answers, an expired answer is given. Default false.
    pub stale_answer_enable: bool,
    /// `stale-answer-ttl`: the TTL of such an answer. Default 30 s.
    pub stale_answer_ttl: Span,
    /// `max-stale-ttl`: how long after its end an answer may still be given. Default 1 d.
    pub max_stale_ttl: Span,
}
impl Default for Resolver {
    fn default() -> Self {
        Resolver {
            forward: Vec::new(),
            consul: Vec::new(),
            min_cache_ttl: Span::ZERO,
            max_cache_ttl: Span::secs(7 * 86_400),
            min_ncache_ttl: Span::ZERO,
            max_ncache_ttl: Span::secs(3 * 3_600),
            servfail_ttl: Span::secs(1),
            resolver_retry_interval: Span::ms(800),
            resolver_nonbackoff_tries: 3,
            resolver_query_timeout: Span::secs(10),
            stale_answer_enable: false,
            stale_answer_ttl: Span::secs(30),
            max_stale_ttl: Span::secs(86_400),
        }
    }
}
