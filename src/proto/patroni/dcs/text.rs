//! The keys that are written every cycle, as the texts that lie in the store: fields in the order of their letters, without those that say
//! nothing. A text that somebody else wrote may not be read this way; then it is read as whatever JSON it is (`cluster`).

use super::cluster::{MemberData, Status, Tags};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `/status`.
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StatusText<'a> {
    optime: u64,
    #[serde(borrow, skip_serializing_if = "Vec::is_empty")]
    retain_slots: Vec<&'a str>,
    #[serde(borrow, skip_serializing_if = "BTreeMap::is_empty")]
    slots: BTreeMap<&'a str, u64>,
}
impl<'a> From<&'a Status> for StatusText<'a> {
    fn from(s: &'a Status) -> Self {
        StatusText {
            optime: s.optime,
            retain_slots: s.retain_slots.iter().map(|s| &**s).collect(),
            slots: s.slots.iter().map(|(k, v)| (&**k, *v)).collect(),
        }
    }
}
impl From<StatusText<'_>> for Status {
    fn from(s: StatusText<'_>) -> Self {
        Status {
            optime: s.optime,
            slots: s.slots.into_iter().map(|(k, v)| (k.into(), v)).collect(),
            retain_slots: s.retain_slots.into_iter().map(Into::into).collect(),
        }
    }
}

/// `/members/NAME`.
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MemberText<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    api_url: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    conn_url: &'a str,
    #[serde(skip_serializing_if = "no")]
    pause: bool,
    #[serde(skip_serializing_if = "no")]
    pending_restart: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    receive_lsn: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_lsn: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    replication_state: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    role: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    state: &'a str,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    tags: Option<TagsText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<u64>,
    #[serde(skip_serializing_if = "no")]
    watchdog_failed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    xlog_location: Option<u64>,
}
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct TagsText<'a> {
    #[serde(skip_serializing_if = "no")]
    clonefrom: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    failover_priority: Option<i64>,
    #[serde(skip_serializing_if = "no")]
    nofailover: bool,
    #[serde(skip_serializing_if = "no")]
    noloadbalance: bool,
    #[serde(skip_serializing_if = "no")]
    nostream: bool,
    #[serde(skip_serializing_if = "no")]
    nosync: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    replicatefrom: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync_priority: Option<i64>,
}
fn no(flag: &bool) -> bool {
    !*flag
}

impl<'a> From<&'a MemberData> for MemberText<'a> {
    fn from(m: &'a MemberData) -> Self {
        MemberText {
            api_url: &m.api_url,
            conn_url: &m.conn_url,
            pause: m.pause,
            pending_restart: m.pending_restart,
            receive_lsn: m.receive_lsn,
            replay_lsn: m.replay_lsn,
            replication_state: m.replication_state.as_deref(),
            role: &m.role,
            state: &m.state,
            tags: (m.tags != Tags::default()).then(|| (&m.tags).into()),
            timeline: m.timeline.map(u64::from),
            watchdog_failed: m.watchdog_failed,
            xlog_location: m.xlog_location,
        }
    }
}
impl From<MemberText<'_>> for MemberData {
    fn from(m: MemberText<'_>) -> Self {
        MemberData {
            conn_url: m.conn_url.into(),
            api_url: m.api_url.into(),
            state: m.state.into(),
            role: m.role.into(),
            xlog_location: m.xlog_location,
            receive_lsn: m.receive_lsn,
            replay_lsn: m.replay_lsn,
            replication_state: m.replication_state.filter(|s| !s.is_empty()).map(Into::into),
            timeline: m.timeline.map(|t| t as u32),
            tags: m.tags.map(Into::into).unwrap_or_default(),
            pause: m.pause,
            pending_restart: m.pending_restart,
            watchdog_failed: m.watchdog_failed,
        }
    }
}
impl<'a> From<&'a Tags> for TagsText<'a> {
    fn from(t: &'a Tags) -> Self {
        TagsText {
            clonefrom: t.clonefrom,
            failover_priority: t.failover_priority,
            nofailover: t.nofailover,
            noloadbalance: t.noloadbalance,
            nostream: t.nostream,
            nosync: t.nosync,
            replicatefrom: t.replicatefrom.as_deref(),
            sync_priority: t.sync_priority,
        }
    }
}
impl From<TagsText<'_>> for Tags {
    fn from(t: TagsText<'_>) -> Self {
        Tags {
            nofailover: t.nofailover,
            failover_priority: t.failover_priority,
            nosync: t.nosync,
            sync_priority: t.sync_priority,
            noloadbalance: t.noloadbalance,
            clonefrom: t.clonefrom,
            nostream: t.nostream,
            replicatefrom: t.replicatefrom.filter(|s| !s.is_empty()).map(Into::into),
        }
    }
}
