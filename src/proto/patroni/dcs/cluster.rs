//! What Patroni keeps in the DCS, as it reads it: the keys below `/service/SCOPE/` as typed values. In the stores they are JSON text.
//!
//! Source: Patroni 4.1.5, `dcs/__init__.py`. **Not modelled:** keys of versions before 2.1, groups of Citus, `conn_kwargs`.

use super::text::{MemberText, StatusText};
use crate::net::addr::Ip;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A name or a text.
pub type Text = Arc<str>;
/// The index (Consul) or revision (etcd) that last changed a key.
pub type Version = u64;
/// A session (Consul) or a lease (etcd).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Session(pub u64);

/// `/leader`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leader {
    /// Its version.
    pub version: Version,
    /// What it hangs on.
    pub session: Option<Session>,
    /// Who holds the lock; empty is as good as none.
    pub name: Text,
}

/// `/config`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterConfig {
    /// Its version.
    pub version: Version,
    /// Its text.
    pub text: Text,
    /// The dynamic configuration; `{}` if the text is no JSON object.
    pub data: Arc<Map<String, Value>>,
}
impl ClusterConfig {
    fn parse(version: Version, text: &Text) -> ClusterConfig {
        ClusterConfig { version, text: text.clone(), data: Arc::new(object(text)) }
    }
}

/// `/status`: what the leader published last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// `optime`: the leader's position in bytes, 0 if unknown.
    pub optime: u64,
    /// `slots`: names and positions.
    pub slots: BTreeMap<Text, u64>,
    /// `retain_slots`: slots of members that are away.
    pub retain_slots: Vec<Text>,
}

/// The tags of a member.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tags {
    /// Never a leader.
    pub nofailover: bool,
    /// Breaks ties of position; `None` is 1, 0 and below is `nofailover`.
    pub failover_priority: Option<i64>,
    /// Never a synchronous standby.
    pub nosync: bool,
    /// Preferred as synchronous standby; `None` is 1, 0 and below is `nosync`.
    pub sync_priority: Option<i64>,
    /// `/replica` says 503.
    pub noloadbalance: bool,
    /// Preferred to clone from.
    pub clonefrom: bool,
    /// Replicates from the archive only.
    pub nostream: bool,
    /// Replicates from this member.
    pub replicatefrom: Option<Text>,
}

/// What a member tells of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MemberData {
    /// `postgres://IP:5432/postgres`.
    pub conn_url: Text,
    /// `http://IP:8008/patroni`.
    pub api_url: Text,
    /// `running`, `starting`, `stopped`, ...
    pub state: Text,
    /// `primary`, `replica`, `uninitialized`, `demoted`, `promoted`, `standby_leader`.
    pub role: Text,
    /// `xlog_location`: the position in bytes.
    pub xlog_location: Option<u64>,
    /// `receive_lsn`.
    pub receive_lsn: Option<u64>,
    /// `replay_lsn`.
    pub replay_lsn: Option<u64>,
    /// `replication_state`: `streaming`, `in archive recovery`.
    pub replication_state: Option<Text>,
    /// `timeline`.
    pub timeline: Option<u32>,
    /// `tags`.
    pub tags: Tags,
    /// `pause`.
    pub pause: bool,
    /// `pending_restart`.
    pub pending_restart: bool,
    /// `watchdog_failed`: it may not become leader.
    pub watchdog_failed: bool,
}
/// `/members/NAME`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its version.
    pub version: Version,
    /// The name.
    pub name: Text,
    /// What it hangs on.
    pub session: Option<Session>,
    /// What it tells of itself.
    pub data: MemberData,
}

/// `/failover`: a switchover or failover that somebody asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failover {
    /// Its version.
    pub version: Version,
    /// The leader that is to step down; a switchover names it.
    pub leader: Option<Text>,
    /// Who is to follow.
    pub candidate: Option<Text>,
    /// When, in nanoseconds of the wall clock.
    pub scheduled_at: Option<i64>,
}
impl Failover {
    /// The text of a request; all `None` is the empty one, which clears the key.
    pub fn text(leader: Option<&str>, candidate: Option<&str>, scheduled_at: Option<i64>) -> Text {
        let mut m = Map::new();
        let pairs = [("leader", leader), ("member", candidate)];
        for (k, v) in pairs.into_iter().filter_map(|(k, v)| Some((k, v?))) {
            m.insert(k.to_owned(), v.into());
        }
        if let Some(at) = scheduled_at {
            m.insert("scheduled_at".to_owned(), at.into());
        }
        Value::Object(m).to_string().into()
    }
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.leader.is_none() && self.candidate.is_none() && self.scheduled_at.is_none()
    }
}

/// `/sync`: who may follow the leader without loss.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SyncState {
    /// Its version; `None`: there is no key.
    pub version: Option<Version>,
    /// The leader that manages it.
    pub leader: Option<Text>,
    /// The synchronous standbys (quorum mode: the voters), in order.
    pub sync_standby: Vec<Text>,
    /// Quorum mode: so many others must be seen.
    pub quorum: u32,
}
impl SyncState {
    /// Whether no leader manages it.
    pub fn is_empty(&self) -> bool {
        self.leader.as_deref().is_none_or(str::is_empty)
    }
    /// Whether a node is its leader or listed.
    pub fn matches(&self, name: &str, check_leader: bool) -> bool {
        !self.is_empty()
            && ((check_leader && self.leader.as_deref() == Some(name))
                || self.sync_standby.iter().any(|s| &**s == name))
    }
    /// The text of the key.
    pub fn text(&self) -> Text {
        let list = self.sync_standby.join(",");
        let standby = if list.is_empty() { Value::Null } else { list.into() };
        json!({ "leader": self.leader.as_deref(), "quorum": self.quorum, "sync_standby": standby })
            .to_string()
            .into()
    }
    fn parse(version: Version, text: &str) -> SyncState {
        let v = object(text);
        let standby = v.get("sync_standby").and_then(Value::as_str).unwrap_or_default();
        SyncState {
            version: Some(version),
            leader: text_of(v.get("leader")),
            sync_standby: standby.split(',').filter(|s| !s.is_empty()).map(Text::from).collect(),
            quorum: v.get("quorum").and_then(Value::as_u64).unwrap_or(0) as u32,
        }
    }
}

/// A line of `/history`: a timeline, the position where it ended, why, when (nanoseconds of the wall clock), and who led after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryLine {
    /// The timeline.
    pub timeline: u32,
    /// Its end.
    pub end: u64,
    /// Why it ended.
    pub reason: Text,
    /// When.
    pub at: Option<i64>,
    /// Who led after it.
    pub leader: Option<Text>,
}
/// `/history`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimelineHistory {
    /// Its version.
    pub version: Version,
    /// Its text.
    pub value: Text,
    /// Its lines, oldest first.
    pub lines: Vec<HistoryLine>,
}
impl TimelineHistory {
    /// The text of the key.
    pub fn text(lines: &[HistoryLine]) -> Text {
        let line = |l: &HistoryLine| match (l.at, &l.leader) {
            (Some(at), Some(leader)) => json!([l.timeline, l.end, &*l.reason, at, &**leader]),
            (Some(at), None) => json!([l.timeline, l.end, &*l.reason, at]),
            _ => json!([l.timeline, l.end, &*l.reason]),
        };
        Value::Array(lines.iter().map(line).collect()).to_string().into()
    }
    fn parse(version: Version, text: &Text) -> TimelineHistory {
        let parsed: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let line = |l: &Value| {
            Some(HistoryLine {
                timeline: l.get(0)?.as_u64()? as u32,
                end: l.get(1)?.as_u64()?,
                reason: l.get(2).and_then(Value::as_str).unwrap_or_default().into(),
                at: l.get(3).and_then(Value::as_i64),
                leader: text_of(l.get(4)),
            })
        };
        let lines = parsed.as_array().map(|a| a.iter().filter_map(line).collect()).unwrap_or_default();
        TimelineHistory { version, value: text.clone(), lines }
    }
}

/// `/failsafe`: names and `api_url`s of all members.
pub type Failsafe = BTreeMap<Text, Text>;

/// The whole view.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cluster {
    /// `/initialize`: the system identifier, empty while somebody bootstraps.
    pub initialize: Option<Text>,
    /// `/config`.
    pub config: Option<ClusterConfig>,
    /// `/leader`.
    pub leader: Option<Leader>,
    /// `/status`.
    pub status: Status,
    /// `/members/`, in the order of their names.
    pub members: Vec<Member>,
    /// `/failover`.
    pub failover: Option<Failover>,
    /// `/sync`.
    pub sync: SyncState,
    /// `/history`.
    pub history: Option<TimelineHistory>,
    /// `/failsafe`.
    pub failsafe: Option<Failsafe>,
}
impl Cluster {
    /// Whether nobody holds the lock.
    pub fn is_unlocked(&self) -> bool {
        self.leader_name().is_none()
    }
    /// Who holds the lock.
    pub fn leader_name(&self) -> Option<&str> {
        self.leader.as_ref().map(|l| &*l.name).filter(|n| !n.is_empty())
    }
    /// A member.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|m| &*m.name == name)
    }
    /// The member that holds the lock, if its key is there.
    pub fn leader_member(&self) -> Option<&Member> {
        self.leader_name().and_then(|n| self.member(n))
    }
    /// The view behind keys without their prefix, their values, versions and sessions. What `before` has read of the same long text, of
    /// those that seldom change, is not read again.
    pub fn from_keys<'a>(
        before: Option<&Cluster>,
        keys: impl IntoIterator<Item = (&'a str, &'a Text, Version, Option<Session>)>,
    ) -> Self {
        let mut c = Cluster::default();
        for (key, value, version, session) in keys {
            match key {
                "initialize" => c.initialize = Some(value.clone()),
                "config" => {
                    let known = before.and_then(|b| b.config.as_ref()).filter(|k| k.text == *value);
                    c.config = Some(match known {
                        Some(known) => ClusterConfig { version, ..known.clone() },
                        None => ClusterConfig::parse(version, value),
                    });
                }
                "leader" => c.leader = Some(Leader { version, session, name: value.clone() }),
                "status" => c.status = Status::parse(value),
                "failover" => {
                    let v = object(value);
                    c.failover = Some(Failover {
                        version,
                        leader: text_of(v.get("leader")),
                        candidate: text_of(v.get("member")),
                        scheduled_at: v.get("scheduled_at").and_then(Value::as_i64),
                    });
                }
                "sync" => c.sync = SyncState::parse(version, value),
                "history" => {
                    let known = before.and_then(|b| b.history.as_ref()).filter(|k| k.value == *value);
                    c.history = Some(match known {
                        Some(known) => TimelineHistory { version, ..known.clone() },
                        None => TimelineHistory::parse(version, value),
                    });
                }
                "failsafe" => c.failsafe = failsafe(value),
                key => {
                    if let Some(name) = key.strip_prefix("members/").filter(|n| !n.contains('/')) {
                        let data = MemberData::parse(value);
                        c.members.push(Member { version, name: name.into(), session, data });
                    }
                }
            }
        }
        c
    }
}

impl Status {
    /// The text of the key.
    pub fn text(&self) -> Text {
        written(&StatusText::from(self))
    }
    fn parse(text: &str) -> Status {
        read::<StatusText<'_>>(text).map_or_else(|| Status::parse_any(text), Into::into)
    }
    fn parse_any(text: &str) -> Status {
        let v = object(text);
        let slots = v.get("slots").and_then(Value::as_object);
        let retain = v.get("retain_slots").and_then(Value::as_array);
        Status {
            optime: v.get("optime").and_then(Value::as_u64).unwrap_or(0),
            slots: slots
                .map(|m| m.iter().filter_map(|(k, v)| Some((k.as_str().into(), v.as_u64()?))).collect())
                .unwrap_or_default(),
            retain_slots: retain
                .map(|a| a.iter().filter_map(|s| s.as_str().map(Text::from)).collect())
                .unwrap_or_default(),
        }
    }
}

impl MemberData {
    /// The address in `api_url`.
    pub fn api_ip(&self) -> Option<Ip> {
        ip_of(&self.api_url)
    }
    /// The address in `conn_url`.
    pub fn conn_ip(&self) -> Option<Ip> {
        ip_of(&self.conn_url)
    }
    /// The text of the key.
    pub fn text(&self) -> Text {
        written(&MemberText::from(self))
    }
    /// What a text says; what it does not say is empty.
    pub fn parse(text: &str) -> MemberData {
        read::<MemberText<'_>>(text).map_or_else(|| MemberData::parse_any(text), Into::into)
    }
    fn parse_any(text: &str) -> MemberData {
        let v = object(text);
        let word = |k: &str| Text::from(v.get(k).and_then(Value::as_str).unwrap_or_default());
        let number = |k: &str| v.get(k).and_then(Value::as_u64);
        let yes = |k: &str| v.get(k).and_then(Value::as_bool).unwrap_or(false);
        MemberData {
            conn_url: word("conn_url"),
            api_url: word("api_url"),
            state: word("state"),
            role: word("role"),
            xlog_location: number("xlog_location"),
            receive_lsn: number("receive_lsn"),
            replay_lsn: number("replay_lsn"),
            replication_state: text_of(v.get("replication_state")),
            timeline: number("timeline").map(|t| t as u32),
            tags: v.get("tags").and_then(Value::as_object).map(Tags::parse).unwrap_or_default(),
            pause: yes("pause"),
            pending_restart: yes("pending_restart"),
            watchdog_failed: yes("watchdog_failed"),
        }
    }
}
impl Tags {
    fn parse(m: &Map<String, Value>) -> Tags {
        let yes = |k: &str| m.get(k).and_then(Value::as_bool).unwrap_or(false);
        let number = |k: &str| m.get(k).and_then(Value::as_i64);
        Tags {
            nofailover: yes("nofailover"),
            failover_priority: number("failover_priority"),
            nosync: yes("nosync"),
            sync_priority: number("sync_priority"),
            noloadbalance: yes("noloadbalance"),
            clonefrom: yes("clonefrom"),
            nostream: yes("nostream"),
            replicatefrom: text_of(m.get("replicatefrom")),
        }
    }
}

/// The text of `/failsafe`.
pub fn failsafe_text(f: &Failsafe) -> Text {
    let m: Map<String, Value> = f.iter().map(|(k, v)| (k.as_ref().to_owned(), (**v).into())).collect();
    Value::Object(m).to_string().into()
}
fn failsafe(text: &str) -> Option<Failsafe> {
    let v: Value = serde_json::from_str(text).ok()?;
    let pairs = v.as_object()?.iter().map(|(k, v)| Some((k.as_str().into(), v.as_str()?.into())));
    pairs.collect()
}
/// The address in a URL like `http://10.0.0.1:8008/patroni`.
pub fn ip_of(url: &str) -> Option<Ip> {
    let rest = url.split_once("://").map_or(url, |r| r.1);
    rest.split([':', '/']).next()?.parse().ok()
}
fn written(value: &impl serde::Serialize) -> Text {
    serde_json::to_string(value).unwrap_or_default().into()
}
fn read<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Option<T> {
    text.starts_with('{').then(|| serde_json::from_str(text).ok())?
}
fn object(text: &str) -> Map<String, Value> {
    match serde_json::from_str(text) {
        Ok(Value::Object(m)) => m,
        _ => Map::new(),
    }
}
fn text_of(v: Option<&Value>) -> Option<Text> {
    v.and_then(Value::as_str).filter(|s| !s.is_empty()).map(Text::from)
}
