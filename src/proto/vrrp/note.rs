//! What keepalived has to tell: typed facts with their numbers, the marks that they are, and their words.

use crate::engine::{Span, Time};
use crate::net::addr::{Cidr, Ip};

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
    /// Gratuitous ARPs left.
    Garps { count: u32, why: &'static str },
    /// A script began to fail or succeed.
    Script { script: String, ok: bool, after: u32 },
    /// An advert was not valid.
    BadAdvert { from: Ip, why: String },
    /// The parent saw its child die.
    ChildDied,
    /// The parent started its child again.
    Respawned,
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
            Note::LowerHeard { .. } | Note::AdvertSent { .. } => return None,
        })
    }
    /// What happened and why, in words.
    pub fn text(&self) -> (String, String) {
        match self {
            Note::AdvertSent { priority } => (format!("advert, priority {priority}"), String::new()),
            Note::Master {
                vip, last, zero, interval, adverts, skew, priority, refused, was_down, ..
            } => {
                let what = vip
                    .map_or("BACKUP -> MASTER".to_owned(), |v| format!("BACKUP -> MASTER, takes {}", v.ip));
                let wait = format!("{adverts} x {interval} + skew {} (priority {priority})", s3(*skew));
                let why = if !was_down {
                    "priority 255 owns the address: no waiting".to_owned()
                } else if *zero {
                    format!(
                        "priority 0 heard: the master left; only the skew to wait, {} (priority {priority})",
                        s3(*skew)
                    )
                } else if let Some(theirs) = refused {
                    format!(
                        "the master's priority {theirs} is lower than {priority}: its adverts do not count; {wait}"
                    )
                } else if let Some(last) = last {
                    format!("last advert heard at {last}; {wait}")
                } else {
                    format!("no advert heard since the start; {wait}")
                };
                (what, why)
            }
            Note::Backup { why, priority, wait, .. } => match why {
                BackupWhy::Started => (
                    "starts as BACKUP".to_owned(),
                    format!("waits {} for a master first (priority {priority})", s3(*wait)),
                ),
                BackupWhy::Recovered => (
                    "FAULT -> BACKUP".to_owned(),
                    format!("everything tracked is well again; waits {} for a master", s3(*wait)),
                ),
                BackupWhy::HigherPriority { from, theirs } => (
                    "MASTER -> BACKUP".to_owned(),
                    format!("{from} advertises priority {theirs}, higher than {priority}"),
                ),
                BackupWhy::HigherAddress { from } => (
                    "MASTER -> BACKUP".to_owned(),
                    format!("{from} has the same priority {priority} and the higher address"),
                ),
                BackupWhy::Group => (
                    "MASTER -> BACKUP".to_owned(),
                    "another member of the sync group became BACKUP".to_owned(),
                ),
            },
            Note::Fault { why, was_master, .. } => {
                let sent = if *was_master { "MASTER -> FAULT, sends priority 0" } else { "-> FAULT" };
                (sent.to_owned(), why.clone())
            }
            Note::GroupWaits { instance } => (
                format!("{instance} would be MASTER, but waits"),
                "its sync group is not ready as a whole".to_owned(),
            ),
            Note::VipUp { vip } => (format!("{vip} configured"), "MASTER holds the address".to_owned()),
            Note::VipDown { vip, left_over: true } => {
                (format!("{vip} removed"), "left over from an earlier keepalived".to_owned())
            }
            Note::VipDown { vip, .. } => (format!("{vip} removed"), "no longer MASTER".to_owned()),
            Note::Priority { from, to, why, .. } => (format!("priority {from} -> {to}"), why.clone()),
            Note::PreemptDelay { delay, theirs, .. } => (
                "preempt_delay begins".to_owned(),
                format!("a master of lower priority {theirs} was heard; its adverts count for {delay} more"),
            ),
            Note::LowerHeard { from, theirs, answered } => (
                format!("hears a second master, {from}"),
                format!(
                    "priority {theirs} is lower: {}",
                    if *answered { "answers with an advert" } else { "ignored" }
                ),
            ),
            Note::Garps { count, why } => (format!("{count} gratuitous ARPs"), (*why).to_owned()),
            Note::Script { script, ok: false, after } => {
                (format!("check {script} failed"), format!("{after} failures in a row (fall {after})"))
            }
            Note::Script { script, after, .. } => {
                (format!("check {script} is well"), format!("{after} successes in a row (rise {after})"))
            }
            Note::BadAdvert { from, why } => (format!("drops an advert of {from}"), why.clone()),
            Note::ChildDied => ("the VRRP child died".to_owned(), "SIGCHLD at the parent".to_owned()),
            Note::Respawned => ("starts the VRRP child again".to_owned(), "the parent's duty".to_owned()),
            Note::Stopping { was_master } => (
                "keepalived stops".to_owned(),
                if *was_master {
                    "SIGTERM: sends priority 0, so that the backup need not wait".to_owned()
                } else {
                    "SIGTERM".to_owned()
                },
            ),
        }
    }
}
