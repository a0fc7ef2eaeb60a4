//! Marks: the things of a run that are worth telling, each with host, process, words and reason.

use crate::engine::{EventId, Time};
use crate::node::log::What;
use crate::node::process::{HostId, Pid};
use crate::proto::{Daemon, Note};
use crate::say;
use crate::sim::{LogEntry, World, mark_of};

/// A mark.
#[derive(Clone, Debug)]
pub struct Mark {
    /// When.
    pub at: Time,
    /// The stable kind: `fault`, `master`, `vip_up`, ...
    pub kind: &'static str,
    /// Where.
    pub host: Option<HostId>,
    /// Which process.
    pub pid: Option<Pid>,
    /// What, in words.
    pub text: String,
    /// Why, in words.
    pub why: String,
    /// The event during which it happened.
    pub event: EventId,
    /// The event during which that one was scheduled.
    pub cause: EventId,
    /// It belongs into the story (adverts and single gratuitous bursts of a repeat do not).
    pub story: bool,
}

/// The mark that an entry of the log is, if it is one. Most are none: they are passed over at once.
pub fn mark(e: &LogEntry, world: &World, faults: usize) -> Option<Mark> {
    match &e.what {
        What::Note(n) if n.mark().is_none() => None,
        _ => described(e, world, faults),
    }
}
fn described(e: &LogEntry, world: &World, faults: usize) -> Option<Mark> {
    let host = |h: HostId| world.host(h).name.as_str();
    let mac = |m| world.mac_host(m).map_or_else(|| say!("mark-nobody"), |h| host(h).to_owned());
    let (kind, text, why) = match &e.what {
        What::Note(n) => {
            let kind = n.mark()?;
            let (text, why) = n.text();
            (kind, text, why)
        }
        What::Fault(n, text) | What::Healed(n, text) => {
            (mark_of(&e.what)?, text.clone(), say!("mark-fault-of", n = n, of = faults))
        }
        What::Booted => ("booted", say!("mark-booted"), say!("mark-booted-why")),
        What::Started => ("started", say!("mark-started"), String::new()),
        What::Ended(true) => ("killed", say!("mark-killed"), "SIGKILL".to_owned()),
        What::Ended(false) => {
            // Pacemaker is many processes, and which of them ends says what goes on.
            let crm = e.pid.map(|p| world.proc(p)).filter(|p| matches!(p.logic, Daemon::Crm(_)));
            let text = crm.map_or_else(|| say!("mark-ends"), |p| say!("mark-ends-of", name = p.name));
            ("ended", text, say!("mark-ends-why"))
        }
        What::WatchdogReset(d) => {
            ("watchdog_reset", say!("mark-watchdog-reset"), say!("mark-watchdog-reset-why", time = Time(d.0)))
        }
        What::Thawed(d) => ("thawed", say!("mark-thawed"), say!("mark-thawed-why", time = Time(d.0))),
        What::ArpMoved(ip, from, to, gratuitous) => (
            "arp_moved",
            say!("mark-arp-moved", ip = ip, from = mac(*from), to = mac(*to)),
            if *gratuitous {
                say!("mark-arp-gratuitous", to = mac(*to))
            } else {
                say!("mark-arp-answer", to = mac(*to))
            },
        ),
        What::ArpFailed(ip) => ("arp_failed", say!("mark-arp-failed", ip = ip), say!("mark-arp-failed-why")),
        What::ClientsWait(port) => {
            ("clients_wait", say!("mark-clients-wait", port = port), say!("mark-clients-wait-why"))
        }
        What::QueueFull(port, n) => {
            ("queue_full", say!("mark-queue-full", port = port), say!("mark-queue-full-why", n = n))
        }
        What::Violation(name, detail) => ("violation", format!("{name}: {detail}"), String::new()),
        What::ViolationOver(name) => ("violation_over", say!("mark-over", name = name), String::new()),
        _ => return None,
    };
    let (text, why) = (named(text, world), named(why, world));
    let story = !matches!(kind, "vip_up" | "vip_down" | "started")
        || matches!(&e.what, What::Note(Note::Vrrp(n)) if left_over(n))
        || matches!(&e.what, What::Note(Note::Pgpool(_)));
    // Of a pgpool that is killed with all its processes, one line is enough.
    let forked = |p: Pid| world.proc(p).parent.is_some() && matches!(world.proc(p).logic, Daemon::Pgpool(_));
    let story = story && !(matches!(kind, "killed" | "ended") && e.pid.is_some_and(forked));
    let story = story && !matches!(&e.what, What::Note(Note::Batch(n)) if !n.story());
    // A batch cluster calls its silent nodes again and again: that they are silent is told once.
    let batch = |h: HostId| {
        world.host(h).procs.iter().any(|p| {
            use crate::proto::Daemon as D;
            matches!(world.proc(*p).logic, D::Slurmctld(_) | D::Slurmd(_) | D::Sbatch(_))
        })
    };
    let story = story && !(kind == "arp_failed" && e.host.is_some_and(batch));
    Some(Mark { at: e.at, kind, host: e.host, pid: e.pid, text, why, event: e.event, cause: e.cause, story })
}

/// In a stack of databases everything talks to everything: hosts by their names, not by their addresses.
fn named(mut text: String, world: &World) -> String {
    if text.is_empty() || !world.procs.iter().any(|p| matches!(p.logic, Daemon::Postgres(_))) {
        return text;
    }
    for h in &world.hosts {
        for nic in &h.nics {
            let ip = nic.primary.ip.to_string();
            let Some(at) = text.find(&ip) else { continue };
            let next = text[at + ip.len()..].chars().next();
            // Not the beginning of a longer address, and not an address with a port or a prefix.
            if next.is_none_or(|c| !c.is_ascii_digit() && c != ':' && c != '/') {
                text.replace_range(at..at + ip.len(), &h.name);
            }
        }
    }
    milliseconds(&text)
}
/// Durations are told to the millisecond.
fn milliseconds(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut decimals: Option<usize> = None;
    let mut digit = false;
    for c in text.chars() {
        decimals = match decimals {
            Some(n) if c.is_ascii_digit() => Some(n + 1),
            _ if c == '.' && digit => Some(0),
            _ => None,
        };
        digit = c.is_ascii_digit();
        // Addresses have no more than three digits behind a dot.
        if decimals.is_none_or(|n| n <= 3) {
            out.push(c);
        }
    }
    out
}

fn left_over(n: &crate::proto::vrrp::note::Note) -> bool {
    matches!(n, crate::proto::vrrp::note::Note::VipDown { left_over: true, .. })
}
