//! The knobs of Patroni, under their own names and with their own defaults.
//!
//! Source: `config.py`, `global_config.py`, `watchdog/base.py` and the documentation pages of Patroni 4.1.5. The first group is the
//! dynamic configuration: it goes into the DCS (`/config`) when the cluster is bootstrapped, and what stands there holds for all members
//! from then on. The second group belongs to the member. The last group are process times: what Python, `pg_rewind` and scripts need.

use crate::engine::time::text_serde;
use crate::engine::{SEC, Span, SpanRange};
use crate::net::addr::Cidr;
use crate::proto::dns::name::HostPort;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::str::FromStr;

/// Patroni 4.1.5, which manages the PostgreSQL of its host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Patroni {
    /// `ttl`: lease of the leader key and of the member keys, whole seconds from 20s. Default 30s.
    pub ttl: Span,
    /// `loop_wait`: period of the HA loop, whole seconds from 1s. Default 10s.
    pub loop_wait: Span,
    /// `retry_timeout`: how long one operation on the DCS or on PostgreSQL is tried, whole seconds from 3s. Default 10s.
    pub retry_timeout: Span,
    /// `maximum_lag_on_failover`: bytes behind the leader's last published position that still allow to race. Default 1048576.
    pub maximum_lag_on_failover: u64,
    /// `maximum_lag_on_syncnode`: bytes behind the furthest standby that make a synchronous standby be replaced; 0 and below is off. Default -1.
    pub maximum_lag_on_syncnode: i64,
    /// `check_timeline`: a replica on an older timeline than the cluster may not race. Default false.
    pub check_timeline: bool,
    /// `primary_start_timeout`: how long a crashed primary may take to start before a failover; 0s fails over at once. Default 300s.
    pub primary_start_timeout: Span,
    /// `primary_stop_timeout`: how long a stop may take before it is made harder; only in synchronous mode; 0s is never. Default 0s.
    pub primary_stop_timeout: Span,
    /// `synchronous_mode`: Off, On or Quorum. Default Off.
    pub synchronous_mode: SynchronousMode,
    /// `synchronous_mode_strict`: without a synchronous standby commits wait. Default false.
    pub synchronous_mode_strict: bool,
    /// `synchronous_node_count`: how many synchronous standbys, from 1. Default 1.
    pub synchronous_node_count: u32,
    /// `failsafe_mode`: without the DCS a primary goes on if all members agree. Default false.
    pub failsafe_mode: bool,
    /// `max_timelines_history`: lines kept in `/history`; 0 keeps all. Default 0.
    pub max_timelines_history: u32,
    /// `member_slots_ttl`: how long the slot of a member that is away is kept; 0s drops it at once. Default 30m.
    pub member_slots_ttl: Span,
    /// `postgresql.use_pg_rewind`: a diverged member is rewound. Default false.
    pub use_pg_rewind: bool,
    /// `postgresql.use_slots`: members stream through replication slots. Default true.
    pub use_slots: bool,
    /// `pause`: the cluster is under maintenance from the start. Default false.
    pub pause: bool,
    /// `postgresql.remove_data_directory_on_rewind_failure`: a failed rewind leads to a new base backup. Default false.
    pub remove_data_directory_on_rewind_failure: bool,
    /// `postgresql.remove_data_directory_on_diverged_timelines`: a diverged member takes a new base backup. Default false.
    pub remove_data_directory_on_diverged_timelines: bool,
    /// `postgresql.pg_ctl_timeout`: how long a start may take, unless something else says so. Default 60s.
    pub pg_ctl_timeout: Span,
    /// `postgresql.pre_promote`: how long the script runs before a promotion. Default: no script.
    pub pre_promote: Option<Script>,
    /// `watchdog.mode`: Off, Automatic or Required. Default Automatic.
    pub watchdog: WatchdogMode,
    /// `watchdog.safety_margin`: the watchdog's time is `ttl` less this; "-1" is half of `ttl`. Default 5s.
    pub safety_margin: Margin,
    /// `scope`: the name of the cluster. Default "main".
    pub scope: String,
    /// `consul`: how it uses Consul, if that is its DCS.
    pub consul: Consul,
    /// `tags`: what this member may and may not do.
    pub tags: Tags,
    /// `postgresql.callbacks`: what is done when the role changes. Default: nothing.
    pub callbacks: Callbacks,
    /// `thread_pool_size`: how many peers are asked at once, from 5. Default 5.
    pub thread_pool_size: u32,
    /// Process time: from the start of Patroni to its first look at the DCS (Python, reading files). Default 500ms to 1500ms.
    pub startup_time: SpanRange,
    /// Process time: the helper that starts PostgreSQL. Default 300ms to 800ms.
    pub postmaster_start_time: SpanRange,
    /// Process time: `pg_ctl promote`, from the lock to the signal. Default 20ms to 100ms.
    pub promote_time: SpanRange,
    /// Process time: `pg_controldata`, `postgres -C` and the like before a demotion stops PostgreSQL. Default 100ms to 300ms.
    pub demote_time: SpanRange,
    /// Process time: `initdb` and what follows it for the first primary. Default 1s to 2s.
    pub bootstrap_time: SpanRange,
    /// Process time: an answer of the REST interface, its query to PostgreSQL not counted. Default 1ms to 5ms.
    pub rest_time: SpanRange,
}
impl Default for Patroni {
    fn default() -> Self {
        let ms = |a, b| SpanRange::new(Span::ms(a), Span::ms(b));
        Patroni {
            ttl: Span::secs(30),
            loop_wait: Span::secs(10),
            retry_timeout: Span::secs(10),
            maximum_lag_on_failover: 1_048_576,
            maximum_lag_on_syncnode: -1,
            check_timeline: false,
            primary_start_timeout: Span::secs(300),
            primary_stop_timeout: Span::ZERO,
            synchronous_mode: SynchronousMode::Off,
            synchronous_mode_strict: false,
            synchronous_node_count: 1,
            failsafe_mode: false,
            max_timelines_history: 0,
            member_slots_ttl: Span::secs(1800),
            use_pg_rewind: false,
            use_slots: true,
            pause: false,
            remove_data_directory_on_rewind_failure: false,
            remove_data_directory_on_diverged_timelines: false,
            pg_ctl_timeout: Span::secs(60),
            pre_promote: None,
            watchdog: WatchdogMode::Automatic,
            safety_margin: Margin::Less(Span::secs(5)),
            scope: "main".to_owned(),
            consul: Consul::default(),
            tags: Tags::default(),
            callbacks: Callbacks::default(),
            thread_pool_size: 5,
            startup_time: ms(500, 1500),
            postmaster_start_time: ms(300, 800),
            promote_time: ms(20, 100),
            demote_time: ms(100, 300),
            bootstrap_time: ms(1000, 2000),
            rest_time: ms(1, 5),
        }
    }
}

/// `synchronous_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SynchronousMode {
    /// Replication as PostgreSQL's own settings have it.
    #[default]
    Off,
    /// Only a listed synchronous standby may follow a leader.
    On,
    /// Any standby that enough of the voters are not ahead of may.
    Quorum,
}

/// `watchdog.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WatchdogMode {
    /// None.
    Off,
    /// The host's, if it has one.
    #[default]
    Automatic,
    /// No primary without one.
    Required,
}

/// `watchdog.safety_margin`: a length, or "-1" for half of `ttl`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Margin {
    /// So much less than `ttl`.
    Less(Span),
    /// Half of `ttl`.
    Half,
}
impl FromStr for Margin {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        if s.trim() == "-1" { Ok(Margin::Half) } else { Ok(Margin::Less(s.parse()?)) }
    }
}
impl fmt::Display for Margin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Margin::Less(d) => fmt::Display::fmt(d, f),
            Margin::Half => f.pad("-1"),
        }
    }
}
impl fmt::Debug for Margin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
text_serde!(Margin, "a duration in quotes such as \"5s\", or \"-1\" for half of ttl");

/// `consul`: how Patroni uses Consul.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Consul {
    /// `consistency` of reads: Default, Consistent or Stale. Default Default.
    pub consistency: ReadConsistency,
    /// `checks` that the session hangs on, such as "serfHealth"; none: gossip does not shorten a failover. Default none.
    pub checks: Vec<String>,
    /// `register_service`: the cluster is a service in Consul's catalog, with the role as its tag. Default false.
    pub register_service: bool,
    /// `service_tags`, besides the role. Default none.
    pub service_tags: Vec<String>,
    /// `service_check_interval` of the service. Default 5s.
    pub service_check_interval: Span,
}
impl Default for Consul {
    fn default() -> Self {
        Consul {
            consistency: ReadConsistency::Default,
            checks: Vec::new(),
            register_service: false,
            service_tags: Vec::new(),
            service_check_interval: Span::secs(5),
        }
    }
}
/// `consul.consistency`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReadConsistency {
    /// The leader answers, trusting its lease.
    #[default]
    Default,
    /// The leader asks a quorum first.
    Consistent,
    /// Any server answers.
    Stale,
}
impl From<&Consul> for super::dcs::ConsulOptions {
    fn from(c: &Consul) -> Self {
        use crate::proto::consul::msg::Consistency;
        super::dcs::ConsulOptions {
            consistency: match c.consistency {
                ReadConsistency::Default => Consistency::Default,
                ReadConsistency::Consistent => Consistency::Consistent,
                ReadConsistency::Stale => Consistency::Stale,
            },
            checks: c.checks.iter().map(|s| s.as_str().into()).collect(),
            register_service: c.register_service,
            service_tags: c.service_tags.iter().map(|s| s.as_str().into()).collect(),
            service_check_interval: c.service_check_interval,
        }
    }
}

/// `tags` of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tags {
    /// It never races for the lock. Default false.
    pub nofailover: bool,
    /// Breaks ties of equal positions; 0 and below is `nofailover`. Default 1.
    pub failover_priority: Option<i64>,
    /// Never a synchronous standby. Default false.
    pub nosync: bool,
    /// The higher, the sooner it becomes a synchronous standby; 0 and below is `nosync`. Default 1.
    pub sync_priority: Option<i64>,
    /// `/replica` answers 503. Default false.
    pub noloadbalance: bool,
    /// Others clone from it rather than from the leader. Default false.
    pub clonefrom: bool,
    /// It replicates from this member instead of the leader. Default: the leader.
    pub replicatefrom: Option<String>,
    /// It does not stream (it lives on the archive, which is not modelled: it stands still). Default false.
    pub nostream: bool,
}
impl Tags {
    /// `failover_priority`, `nofailover` being 0.
    pub fn priority(&self) -> i64 {
        if self.nofailover { 0 } else { self.failover_priority.unwrap_or(1) }
    }
}

/// `postgresql.callbacks`: what the scripts for `on_start`, `on_stop` and `on_role_change` do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Callbacks {
    /// A primary has this address, a replica takes it away; taking it is announced by gratuitous ARPs. Default: none.
    pub vip: Option<Cidr>,
    /// The network of the address. Default: the one whose subnet it lies in.
    pub interface: Option<String>,
    /// How many gratuitous ARPs, one a second. Default 3.
    pub garps: Option<u32>,
    /// A primary makes this name point to itself. Default: none.
    pub dns_name: Option<String>,
    /// The authoritative server that is told, a host of the stack or an address. Default: none.
    pub dns_server: Option<HostPort>,
    /// Process time: how long a script takes to its effect. Default 50ms to 200ms.
    pub run_time: Option<SpanRange>,
}

/// A script that runs so long and then succeeds or fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// How long it runs.
    pub run_time: SpanRange,
    /// Whether it ends with status 0. Default true.
    #[serde(default = "yes")]
    pub ok: bool,
}
fn yes() -> bool {
    true
}

/// The dynamic configuration in force, with the timing rule applied.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The knobs of the same names explain them.
pub struct Dynamic {
    pub timing: Timing,
    pub maximum_lag_on_failover: u64,
    pub maximum_lag_on_syncnode: i64,
    pub check_timeline: bool,
    pub primary_start_timeout: Span,
    pub primary_stop_timeout: Span,
    pub synchronous_mode: SynchronousMode,
    pub synchronous_mode_strict: bool,
    pub synchronous_node_count: u32,
    pub failsafe_mode: bool,
    pub max_timelines_history: u32,
    pub member_slots_ttl: Span,
    pub use_pg_rewind: bool,
    pub use_slots: bool,
    pub pause: bool,
}
impl Dynamic {
    /// The configuration as it comes from the file (`bootstrap.dcs`).
    pub fn of(c: &Patroni) -> Self {
        let timing = Timing { ttl: c.ttl, loop_wait: c.loop_wait, retry_timeout: c.retry_timeout }.adjusted();
        Dynamic {
            timing,
            maximum_lag_on_failover: c.maximum_lag_on_failover,
            maximum_lag_on_syncnode: c.maximum_lag_on_syncnode,
            check_timeline: c.check_timeline,
            primary_start_timeout: c.primary_start_timeout,
            primary_stop_timeout: c.primary_stop_timeout,
            synchronous_mode: c.synchronous_mode,
            synchronous_mode_strict: c.synchronous_mode_strict,
            synchronous_node_count: c.synchronous_node_count,
            failsafe_mode: c.failsafe_mode,
            max_timelines_history: c.max_timelines_history,
            member_slots_ttl: c.member_slots_ttl,
            use_pg_rewind: c.use_pg_rewind,
            use_slots: c.use_slots,
            pause: c.pause,
        }
    }
    /// What `/config` says; for what it does not mention, Patroni's defaults hold.
    pub fn from_json(m: &Map<String, Value>) -> Self {
        let d = Patroni::default();
        let n = |k: &str| m.get(k).and_then(Value::as_u64);
        let secs = |k: &str, default: Span| n(k).map_or(default, Span::secs);
        let yes = |v: Option<&Value>, default: bool| v.and_then(Value::as_bool).unwrap_or(default);
        let flag = |k: &str| yes(m.get(k), false);
        let pg = m.get("postgresql").and_then(Value::as_object);
        let pg_flag = |k: &str, default: bool| yes(pg.and_then(|p| p.get(k)), default);
        let synchronous_mode = match m.get("synchronous_mode") {
            Some(Value::Bool(true)) => SynchronousMode::On,
            Some(Value::String(s)) if s == "quorum" => SynchronousMode::Quorum,
            Some(Value::String(s)) if s == "on" => SynchronousMode::On,
            _ => SynchronousMode::Off,
        };
        let timing = Timing {
            ttl: secs("ttl", d.ttl),
            loop_wait: secs("loop_wait", d.loop_wait),
            retry_timeout: secs("retry_timeout", d.retry_timeout),
        };
        Dynamic {
            timing: timing.adjusted(),
            maximum_lag_on_failover: n("maximum_lag_on_failover").unwrap_or(d.maximum_lag_on_failover),
            maximum_lag_on_syncnode: m
                .get("maximum_lag_on_syncnode")
                .and_then(Value::as_i64)
                .unwrap_or(d.maximum_lag_on_syncnode),
            check_timeline: flag("check_timeline"),
            primary_start_timeout: secs("primary_start_timeout", d.primary_start_timeout),
            primary_stop_timeout: secs("primary_stop_timeout", d.primary_stop_timeout),
            synchronous_mode,
            synchronous_mode_strict: flag("synchronous_mode_strict"),
            synchronous_node_count: n("synchronous_node_count").map_or(1, |c| (c as u32).max(1)),
            failsafe_mode: flag("failsafe_mode"),
            max_timelines_history: n("max_timelines_history").unwrap_or(0) as u32,
            member_slots_ttl: secs("member_slots_ttl", d.member_slots_ttl),
            use_pg_rewind: pg_flag("use_pg_rewind", d.use_pg_rewind),
            use_slots: pg_flag("use_slots", d.use_slots),
            pause: flag("pause"),
        }
    }
    /// Whether commits wait for standbys that Patroni chooses.
    pub fn is_synchronous_mode(&self) -> bool {
        self.synchronous_mode != SynchronousMode::Off
    }
    /// `synchronous_mode: quorum`.
    pub fn is_quorum_commit_mode(&self) -> bool {
        self.synchronous_mode == SynchronousMode::Quorum
    }
    /// How many synchronous standbys there must be: one in strict mode.
    pub fn min_synchronous_nodes(&self) -> u32 {
        u32::from(self.synchronous_mode_strict)
    }
}

/// The text of `/config` for a configuration: as the file has it, not corrected.
pub fn bootstrap_json(c: &Patroni) -> Map<String, Value> {
    let mut m = Map::new();
    let mut put = |k: &str, v: Value| {
        m.insert(k.to_owned(), v);
    };
    let secs = |d: Span| Value::from(d.0 / SEC);
    put("ttl", secs(c.ttl));
    put("loop_wait", secs(c.loop_wait));
    put("retry_timeout", secs(c.retry_timeout));
    put("maximum_lag_on_failover", c.maximum_lag_on_failover.into());
    put("maximum_lag_on_syncnode", c.maximum_lag_on_syncnode.into());
    put("check_timeline", c.check_timeline.into());
    put("primary_start_timeout", secs(c.primary_start_timeout));
    put("primary_stop_timeout", secs(c.primary_stop_timeout));
    put(
        "synchronous_mode",
        match c.synchronous_mode {
            SynchronousMode::Off => false.into(),
            SynchronousMode::On => true.into(),
            SynchronousMode::Quorum => "quorum".into(),
        },
    );
    put("synchronous_mode_strict", c.synchronous_mode_strict.into());
    put("synchronous_node_count", c.synchronous_node_count.into());
    put("failsafe_mode", c.failsafe_mode.into());
    put("max_timelines_history", c.max_timelines_history.into());
    put("member_slots_ttl", secs(c.member_slots_ttl));
    if c.pause {
        put("pause", true.into());
    }
    let mut pg = Map::new();
    pg.insert("use_pg_rewind".to_owned(), c.use_pg_rewind.into());
    pg.insert("use_slots".to_owned(), c.use_slots.into());
    put("postgresql", pg.into());
    m
}

/// The three times that must fit together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// `ttl`.
    pub ttl: Span,
    /// `loop_wait`.
    pub loop_wait: Span,
    /// `retry_timeout`.
    pub retry_timeout: Span,
}
impl Timing {
    /// The times after Patroni's own correction: each at least its minimum, and `loop_wait + 2 * retry_timeout <= ttl`. `ttl` is never raised
    /// for the sake of the rule. The factor is 2 because in the worst cycle the read takes all of `retry_timeout` and the renewal fails
    /// after as much again.
    #[must_use]
    pub fn adjusted(self) -> Timing {
        let ttl = (self.ttl.0 / SEC).max(20);
        let loop_wait = (self.loop_wait.0 / SEC).max(1);
        let retry = (self.retry_timeout.0 / SEC).max(3);
        let (loop_wait, retry) = if 1 + 2 * retry > ttl {
            (1, (ttl - 1) / 2)
        } else if loop_wait + 2 * retry > ttl {
            (ttl - 2 * retry, retry)
        } else {
            (loop_wait, retry)
        };
        Timing { ttl: Span::secs(ttl), loop_wait: Span::secs(loop_wait), retry_timeout: Span::secs(retry) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timing_rule_corrects_as_patroni_does() {
        let adjust = |ttl, loop_wait, retry| {
            let secs = Span::secs;
            let t = Timing { ttl: secs(ttl), loop_wait: secs(loop_wait), retry_timeout: secs(retry) };
            let t = t.adjusted();
            (t.ttl.0 / SEC, t.loop_wait.0 / SEC, t.retry_timeout.0 / SEC)
        };
        assert_eq!(adjust(30, 10, 10), (30, 10, 10));
        assert_eq!(adjust(20, 10, 10), (20, 1, 9));
        assert_eq!(adjust(25, 10, 10), (25, 5, 10));
        assert_eq!(adjust(10, 5, 2), (20, 5, 3));
        assert_eq!(adjust(30, 16, 7), (30, 16, 7));
        assert_eq!(adjust(30, 16, 10), (30, 10, 10));
    }

    #[test]
    fn what_goes_into_the_store_comes_out_again() {
        let c = Patroni {
            synchronous_mode: SynchronousMode::Quorum,
            use_pg_rewind: true,
            failsafe_mode: true,
            primary_start_timeout: Span::ZERO,
            ..Patroni::default()
        };
        assert_eq!(Dynamic::from_json(&bootstrap_json(&c)), Dynamic::of(&c));
        assert_eq!(Dynamic::from_json(&Map::new()), Dynamic::of(&Patroni::default()));
    }
}
