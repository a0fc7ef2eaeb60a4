//! What keepalived has to tell: typed facts with their numbers, the marks that they are, and their words.

use crate::engine::{Span, Time};
use crate::net::addr::{Cidr, Ip};
use crate::say;

/// A fact.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Note {
    /// An advert left.
    AdvertSent { priority: u8 },
    /// The instance became master.
    Master {
        instance: String,
        vip: Option<Cidr>,
        was_down: bool,
        last: Option<Time>,
        zero: bool,
        interval: Span,
        adverts: u32,
        skew: Span,
        priority: u8,
        refused: Option<u8>,
    },
    /// The instance became or stays backup.
    Backup { instance: String, why: BackupWhy, priority: u8, wait: Span },
    /// The instance went to FAULT.
    Fault { instance: String, why: String, was_master: bool },
    /// The instance waits for the others of its sync group.
    GroupWaits { instance: String },
    /// The address was configured.
    VipUp { vip: Ip },
    /// The address was taken away.
    VipDown { vip: Ip, left_over: bool },
    /// The effective priority changed.
    Priority { instance: String, from: u8, to: u8, why: String },
    /// A lower advert began the preemption delay.
    PreemptDelay { instance: String, delay: Span, theirs: u8 },
    /// A lower advert came to a master.
    LowerHeard { from: Ip, theirs: u8, answered: bool },
    /// Gratuitous ARPs left; `why` is the key of the message that says so.
    Garps { count: u32, why: &'static str },
    /// A script began to fail or succeed.
    Script { script: String, ok: bool, after: u32 },
    /// An advert was not valid.
    BadAdvert { from: Ip, why: String },
    /// The parent saw its child die.
    ChildDied,
    /// The parent started its child again.
    Respawned,
    /// A notify script ran `pg_ctl promote`; `done`: the server was a standby.
    Notified { done: bool },
    /// The daemon was told to stop.
    Stopping { was_master: bool },
}

/// Why an instance is backup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum BackupWhy {
    Started,
    Recovered,
    HigherPriority { from: Ip, theirs: u8 },
    HigherAddress { from: Ip },
    Group,
}

fn s3(d: Span) -> String {
    Time(d.0).to_string() + " s"
}

impl Note {
    /// The stable kind of mark that the fact is, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        Some(match self {
            Note::Master { .. } => "master",
            Note::Backup { .. } => "backup",
            Note::Fault { .. } => "fault_state",
            Note::VipUp { .. } => "vip_up",
            Note::VipDown { .. } => "vip_down",
            Note::Priority { .. } => "priority",
            Note::Script { ok: false, .. } => "detected",
            Note::Script { .. } => "script_ok",
            Note::Garps { .. } => "garp",
            Note::ChildDied => "child_died",
            Note::Respawned => "respawned",
            Note::PreemptDelay { .. } => "preempt_delay",
            Note::BadAdvert { .. } => "bad_advert",
            Note::Stopping { .. } => "stopping",
            Note::GroupWaits { .. } => "group_waits",
            Note::Notified { .. } => "notified",
            Note::LowerHeard { .. } | Note::AdvertSent { .. } => return None,
        })
    }
    /// What happened and why, in words.
    pub fn text(&self) -> (String, String) {
        let none = String::new;
        match self {
            Note::AdvertSent { priority } => (say!("vrrp-advert", priority = priority), none()),
            Note::Master {
                vip, last, zero, interval, adverts, skew, priority, refused, was_down, ..
            } => {
                let what = vip.map_or_else(|| say!("vrrp-master"), |v| say!("vrrp-master-takes", vip = v.ip));
                let skew = s3(*skew);
                let wait = say!(
                    "vrrp-wait",
                    adverts = adverts,
                    interval = interval,
                    skew = skew,
                    priority = priority
                );
                let why = if !was_down {
                    say!("vrrp-owner")
                } else if *zero {
                    say!("vrrp-zero", skew = skew, priority = priority)
                } else if let Some(theirs) = refused {
                    say!("vrrp-refused", theirs = theirs, priority = priority, wait = wait)
                } else if let Some(last) = last {
                    say!("vrrp-last", last = last, wait = wait)
                } else {
                    say!("vrrp-none", wait = wait)
                };
                (what, why)
            }
            Note::Backup { why, priority, wait, .. } => match why {
                BackupWhy::Started => {
                    (say!("vrrp-starts"), say!("vrrp-starts-why", wait = s3(*wait), priority = priority))
                }
                BackupWhy::Recovered => {
                    (say!("vrrp-recovered"), say!("vrrp-recovered-why", wait = s3(*wait)))
                }
                BackupWhy::HigherPriority { from, theirs } => (
                    say!("vrrp-backup"),
                    say!("vrrp-higher", from = from, theirs = theirs, priority = priority),
                ),
                BackupWhy::HigherAddress { from } => {
                    (say!("vrrp-backup"), say!("vrrp-address", from = from, priority = priority))
                }
                BackupWhy::Group => (say!("vrrp-backup"), say!("vrrp-group")),
            },
            Note::Fault { why, was_master, .. } => {
                (say!(if *was_master { "vrrp-fault-master" } else { "vrrp-fault" }), why.clone())
            }
            Note::GroupWaits { instance } => {
                (say!("vrrp-group-waits", instance = instance), say!("vrrp-group-waits-why"))
            }
            Note::VipUp { vip } => (say!("vrrp-vip-up", vip = vip), say!("vrrp-vip-up-why")),
            Note::VipDown { vip, left_over } => {
                let why = if *left_over { "vrrp-vip-left" } else { "vrrp-vip-down-why" };
                (say!("vrrp-vip-down", vip = vip), say!(why))
            }
            Note::Priority { from, to, why, .. } => {
                (say!("vrrp-priority", from = from, to = to), why.clone())
            }
            Note::PreemptDelay { delay, theirs, .. } => {
                (say!("vrrp-preempt"), say!("vrrp-preempt-why", theirs = theirs, delay = delay))
            }
            Note::LowerHeard { from, theirs, answered } => {
                let why = if *answered { "vrrp-lower-answers" } else { "vrrp-lower-ignored" };
                (say!("vrrp-lower", from = from), say!(why, theirs = theirs))
            }
            Note::Garps { count, why } => (say!("vrrp-garps", count = count), say!(*why)),
            Note::Script { script, ok, after } => {
                let (what, why) = if *ok {
                    ("vrrp-script-ok", "vrrp-script-ok-why")
                } else {
                    ("vrrp-script-bad", "vrrp-script-bad-why")
                };
                (say!(what, script = script), say!(why, after = after))
            }
            Note::BadAdvert { from, why } => (say!("vrrp-bad-advert", from = from), why.clone()),
            Note::ChildDied => (say!("vrrp-child"), say!("vrrp-child-why")),
            Note::Respawned => (say!("vrrp-respawn"), say!("vrrp-respawn-why")),
            Note::Notified { done } => {
                let (what, why) = if *done {
                    ("vrrp-promotes", "vrrp-promotes-why")
                } else {
                    ("vrrp-promotes-not", "vrrp-promotes-not-why")
                };
                (say!(what), say!(why))
            }
            Note::Stopping { was_master } => (
                say!("vrrp-stops"),
                if *was_master { say!("vrrp-stops-master") } else { "SIGTERM".to_owned() },
            ),
        }
    }
}
