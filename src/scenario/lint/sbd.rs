//! What can be wrong with `sbd` and its disks.

use super::Lint;
use crate::engine::Span;
use crate::proto::sbd::{Sbd, SbdDisk};
use crate::scenario::diag::nearest;
use crate::scenario::types::{Runs, Stack};

fn spans(l: &mut Lint<'_>, path: &str, spans: &[(&str, Span)]) {
    for (field, span) in spans {
        if !(Span::ms(100)..=Span::secs(3600)).contains(span) {
            let help = Some("sbd(8): whole seconds".to_owned());
            l.error(&format!("{path}.{field}"), format!("{field} goes from 100ms to 1h"), help);
        }
    }
}

pub(super) fn daemon(l: &mut Lint<'_>, stack: &Stack, (path, host): (&str, &str), d: &Sbd) {
    let here = stack.hosts.get(host);
    if here.is_some_and(|h| h.watchdog.is_none()) {
        let help = Some(format!("give {host} `watchdog: Softdog` or `watchdog: Hardware`"));
        l.error(path, "sbd does not start without a watchdog device", help);
    }
    let corosync = here.is_some_and(|h| h.runs.iter().any(|r| matches!(r, Runs::Corosync(_))));
    if d.devices.is_empty() && !corosync {
        let help = Some("add `devices: [..]`, or Corosync on the same host".to_owned());
        l.error(path, "without disks sbd goes by quorum, and this host has none", help);
    }
    if d.devices.len() > 3 {
        l.error(&format!("{path}.devices"), "sbd takes one to three devices", Some("sbd(8)".to_owned()));
    } else if d.devices.len() == 2 {
        l.warn(
            &format!("{path}.devices"),
            "with two devices a message has to be written on both: one lost disk and nobody can be fenced",
        );
    }
    let mut first: Option<&SbdDisk> = None;
    for (i, name) in d.devices.iter().enumerate() {
        let at = format!("{path}.devices[{i}]");
        let disk = stack
            .hosts
            .get(name)
            .and_then(|h| h.runs.iter().find_map(|r| if let Runs::SbdDisk(d) = r { Some(d) } else { None }));
        match disk {
            None => {
                let with =
                    stack.hosts.iter().filter(|(_, h)| h.runs.iter().any(|r| matches!(r, Runs::SbdDisk(_))));
                let help =
                    nearest(name, with.map(|(n, _)| n.as_str())).map(|n| format!("did you mean `{n}`?"));
                l.error(&at, format!("{name} runs no `SbdDisk`"), help);
            }
            Some(disk) => {
                if first.is_some_and(|f| {
                    f.timeout_watchdog != disk.timeout_watchdog || f.msgwait() != disk.msgwait()
                }) {
                    l.warn(
                        &at,
                        format!("the timeouts of {name} differ from those of the first device, which count"),
                    );
                }
                first = first.or(Some(disk));
            }
        }
        if d.devices[..i].contains(name) {
            l.error(&at, format!("{name} is there twice"), None);
        }
    }
    if d.timeout_io >= first.map_or(d.watchdog_timeout, |f| f.timeout_watchdog) {
        l.warn(
            &format!("{path}.timeout_io"),
            "timeout_io is not below the watchdog timeout: a slow disk is noticed too late",
        );
    }
    spans(
        l,
        path,
        &[
            ("watchdog_timeout", d.watchdog_timeout),
            ("timeout_loop", d.timeout_loop),
            ("timeout_io", d.timeout_io),
        ],
    );
}

pub(super) fn disk(l: &mut Lint<'_>, (path, _): (&str, &str), d: &SbdDisk) {
    if d.msgwait() <= d.timeout_watchdog {
        let help =
            Some(format!("sbd(8) asks for twice the watchdog timeout, {}", d.timeout_watchdog.times(2)));
        let text =
            "a victim may outlive its death certificate: timeout_msgwait is not above timeout_watchdog";
        l.error(&format!("{path}.timeout_msgwait"), text, help);
    } else if d.msgwait() < d.timeout_watchdog.times(2) {
        l.warn(&format!("{path}.timeout_msgwait"), "sbd(8) asks for twice timeout_watchdog");
    }
    if d.timeout_loop >= d.timeout_watchdog {
        l.error(
            &format!("{path}.timeout_loop"),
            "timeout_loop is not below timeout_watchdog: every node resets itself",
            None,
        );
    }
    spans(
        l,
        path,
        &[
            ("timeout_watchdog", d.timeout_watchdog),
            ("timeout_allocate", d.timeout_allocate),
            ("timeout_loop", d.timeout_loop),
            ("timeout_msgwait", d.msgwait()),
        ],
    );
}
