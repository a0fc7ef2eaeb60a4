//! What can be wrong with a Corosync cluster.

use super::Lint;
use crate::engine::{MS, Span};
use crate::proto::corosync::config::{Algorithm, Corosync, Device, Qnetd};
use crate::proto::corosync::qdevice::Tie;
use crate::proto::corosync::quorum::TieBreaker;
use crate::scenario::build::cluster::{links, nodes};
use crate::scenario::diag::nearest;
use crate::scenario::types::{Host, Runs, Stack};

/// As many nodes as a cluster may have.
const MOST: usize = 32;
/// The longest timer that is of use.
const LONGEST: Span = Span::secs(600);

pub(super) fn corosync(l: &mut Lint<'_>, stack: &Stack, (path, host): (&str, &str), c: &Corosync) {
    let all = nodes(stack);
    let twice = |h: &Host| h.runs.iter().filter(|r| matches!(r, Runs::Corosync(_))).count() > 1;
    if stack.hosts.get(host).is_some_and(twice) {
        l.error(path, format!("{host} runs Corosync twice"), Some("a host is one node".to_owned()));
        return;
    }
    let first = all.first().is_some_and(|n| n.0 == host);
    if first && all.len() > MOST {
        let help = "larger clusters are not supported by any vendor".to_owned();
        l.error(path, format!("{} nodes: a cluster has at most {MOST}", all.len()), Some(help));
    }
    ids(l, (path, host), &all, c);
    timers(l, path, c, all.len());
    networks(l, stack, (path, host), c, &all);
    votes(l, path, c, &all);
    if let Some(d) = &c.device {
        device(l, stack, (path, host), c, d, all.len());
    }
    if first {
        alike(l, path, &all);
    }
}

fn ids(l: &mut Lint<'_>, (path, host): (&str, &str), all: &[(&str, super::NodeId, &Corosync)], c: &Corosync) {
    let at = format!("{path}.nodeid");
    if c.nodeid.is_some_and(|n| !(1..=32).contains(&n)) {
        let help = "corosync.conf: any number from 1; here as many as there can be nodes".to_owned();
        l.error(&at, format!("nodeid goes from 1 to {MOST}"), Some(help));
    }
    let Some(me) = all.iter().find(|n| n.0 == host) else { return };
    if let Some(other) = all.iter().take_while(|n| n.0 != host).find(|n| n.1 == me.1) {
        let help = "give each node a nodeid of its own, or none".to_owned();
        l.error(&at, format!("{} and {host} have the same nodeid {}", other.0, me.1.0), Some(help));
    }
}

fn timers(l: &mut Lint<'_>, path: &str, c: &Corosync, n: usize) {
    let at = |f: &str| format!("{path}.{f}");
    if c.version().is_none_or(|v| !((2, 0)..=(3, 99)).contains(&v)) {
        let help = "such as \"3.1\" (token 3000ms), \"3.0\" or \"2.4\" (token 1000ms)".to_owned();
        l.error(&at("version"), format!("no version of corosync: `{}`", c.version), Some(help));
    }
    let least = Span::ms(30);
    let some = [
        ("token", c.token, least),
        ("token_retransmit", c.token_retransmit, least),
        ("hold", c.hold, least),
        ("consensus", c.consensus, least),
        ("join", Some(c.join), Span::ms(1)),
        ("merge", Some(c.merge), least),
        ("knet_ping_interval", c.knet_ping_interval, Span::ms(200)),
        ("knet_ping_timeout", c.knet_ping_timeout, Span::ms(200)),
    ];
    for (field, value, least) in some {
        if value.is_some_and(|v| v < least || v > LONGEST || !v.0.is_multiple_of(MS)) {
            let message = format!("{field} is a whole number of ms from {least} to {LONGEST}");
            l.error(&at(field), message, Some("corosync.conf(5)".to_owned()));
        }
    }
    if c.token_coefficient > LONGEST {
        l.error(&at("token_coefficient"), format!("token_coefficient goes from 0ms to {LONGEST}"), None);
    }
    for (field, value, range) in [
        ("token_retransmits_before_loss_const", c.token_retransmits_before_loss_const, 1..=100),
        ("fail_recv_const", c.fail_recv_const, 1..=1_000_000),
        ("seqno_unchanged_const", c.seqno_unchanged_const, 1..=10_000),
        ("window_size", c.window_size, 1..=1000),
        ("max_messages", c.max_messages, 1..=1000),
        ("miss_count_const", c.miss_count_const, 0..=1000),
        ("token_warning", c.token_warning, 0..=100),
        ("knet_pong_count", c.knet_pong_count, 1..=1000),
    ] {
        if !range.contains(&value) {
            l.error(
                &at(field),
                format!("{field} goes from {} to {}", range.start(), range.end()),
                Some("corosync.conf(5)".to_owned()),
            );
        }
    }
    let t = c.timers(n);
    if c.consensus.is_some() && t.consensus.0 * 10 < t.token.0 * 12 {
        let help = format!("at least {}, or leave it out", t.token.ratio(12, 10));
        l.error(
            &at("consensus"),
            format!("consensus must be 1.2 times the effective token ({}) or more", t.token),
            Some(help),
        );
    }
    if t.retransmit >= t.token || t.hold >= t.token {
        l.error(
            &at("token_retransmit"),
            format!("token_retransmit and hold must be shorter than the effective token ({})", t.token),
            None,
        );
    }
    if t.ping_timeout >= t.token {
        l.warn(
            &at("knet_ping_timeout"),
            "a link is given up after the token already is: the second link cannot save the membership",
        );
    }
}

fn networks(
    l: &mut Lint<'_>,
    stack: &Stack,
    (path, host): (&str, &str),
    c: &Corosync,
    all: &[(&str, super::NodeId, &Corosync)],
) {
    let at = format!("{path}.networks");
    let names: Vec<&str> = stack.networks.keys().map(String::as_str).collect();
    let on = stack.hosts.get(host).and_then(|h| h.networks.as_ref());
    for n in c.networks.iter().flatten() {
        if !names.contains(&n.as_str()) {
            let help = nearest(n, names.iter().copied()).map(|n| format!("did you mean `{n}`?"));
            l.error(&at, format!("there is no network `{n}`"), help);
            return;
        }
        if on.is_some_and(|on| !on.contains(n)) {
            l.error(&at, format!("{host} is not on the network `{n}`"), None);
            return;
        }
    }
    if c.networks.as_ref().is_some_and(|n| n.is_empty() || n.len() > 8) {
        l.error(
            &at,
            "a node has from 1 to 8 links",
            Some("corosync.conf(5): ring0_addr to ring7_addr".to_owned()),
        );
        return;
    }
    let Some((first, _, other)) = all.first() else { return };
    let (mine, theirs) = (links(stack, host, c), links(stack, first, other));
    if mine != theirs {
        l.error(
            &at,
            format!(
                "the links of {host} ({}) are not those of {first} ({})",
                mine.join(", "),
                theirs.join(", ")
            ),
            Some("set `networks` to those that all nodes are on".to_owned()),
        );
    }
}

fn votes(l: &mut Lint<'_>, path: &str, c: &Corosync, all: &[(&str, super::NodeId, &Corosync)]) {
    let at = |f: &str| format!("{path}.{f}");
    let sum: u32 = all.iter().map(|n| n.2.quorum_votes.min(1000)).sum();
    let expected = c.expected_votes.unwrap_or(sum);
    if c.quorum_votes > 255 {
        l.error(&at("quorum_votes"), "quorum_votes goes from 0 to 255", None);
    }
    if c.expected_votes.is_some_and(|e| !(1..=10_000).contains(&e)) {
        l.error(&at("expected_votes"), "expected_votes goes from 1 to 10000", None);
    }
    if c.two_node && all.len() != 2 {
        l.error(
            &at("two_node"),
            format!("two_node is for clusters of two nodes; this one has {}", all.len()),
            Some("votequorum(5): \"two_node: 1\" with expected_votes 2".to_owned()),
        );
    }
    if c.two_node && c.wait_for_all == Some(false) {
        l.warn(
            &at("wait_for_all"),
            "without wait_for_all a node that boots alone is quorate at once and fences the other: they take turns",
        );
    }
    if all.len() == 2 && !c.two_node && c.device.is_none() && !c.auto_tie_breaker && expected == 2 {
        l.warn(path, "two nodes without two_node or a quorum device: the loss of either stops both");
    }
    if c.auto_tie_breaker && TieBreaker::parse(&c.auto_tie_breaker_node).is_none() {
        l.error(
            &at("auto_tie_breaker_node"),
            format!("no tie breaker: `{}`", c.auto_tie_breaker_node),
            Some("`lowest`, `highest`, or node ids such as \"2 1\"".to_owned()),
        );
    }
    if c.auto_tie_breaker && c.two_node {
        l.error(
            &at("auto_tie_breaker"),
            "auto_tie_breaker and two_node are not compatible: two_node would be switched off",
            Some(
                "with two_node a fence race decides, with auto_tie_breaker the node id; choose one"
                    .to_owned(),
            ),
        );
    }
    if c.auto_tie_breaker && expected % 2 == 1 && !c.wait_for_all() {
        if c.last_man_standing {
            l.error(
                &at("auto_tie_breaker"),
                format!(
                    "corosync refuses to start: auto_tie_breaker and last_man_standing with an odd number of votes ({expected})"
                ),
                Some("leave out last_man_standing and set wait_for_all".to_owned()),
            );
        } else {
            l.warn(
                &at("auto_tie_breaker"),
                "with an odd number of votes auto_tie_breaker needs wait_for_all; it is switched off",
            );
        }
    }
    if c.last_man_standing && all.iter().any(|n| n.2.quorum_votes != 1) {
        l.error(
            &at("last_man_standing"),
            "last_man_standing needs one vote for each node",
            Some("votequorum(5): it would be switched off".to_owned()),
        );
    }
    if c.last_man_standing && !c.wait_for_all() {
        l.warn(
            &at("last_man_standing"),
            "last_man_standing without wait_for_all: after it has shrunk, the others can form a cluster of their own",
        );
    }
    if c.last_man_standing_window < Span::ms(1) || c.last_man_standing_window > LONGEST {
        let message = format!("last_man_standing_window goes from 1ms to {LONGEST}");
        l.error(&at("last_man_standing_window"), message, None);
    }
    if c.allow_downscale {
        l.warn(&at("allow_downscale"), "votequorum(5) calls allow_downscale incomplete and unsupported");
    }
}

fn device(l: &mut Lint<'_>, stack: &Stack, (path, host): (&str, &str), c: &Corosync, d: &Device, n: usize) {
    let at = |f: &str| format!("{path}.device.{f}");
    let runs = |h: &Host| h.runs.iter().any(|r| matches!(r, Runs::Qnetd(_)));
    let servers: Vec<&str> = stack.hosts.iter().filter(|(_, h)| runs(h)).map(|(n, _)| n.as_str()).collect();
    if !servers.contains(&d.host.as_str()) {
        let help = nearest(&d.host, servers.iter().copied()).map_or_else(
            || "a host that runs Qnetd() serves quorum devices".to_owned(),
            |n| format!("did you mean `{n}`?"),
        );
        l.error(&at("host"), format!("{} does not run Qnetd", d.host), Some(help));
    }
    if d.host == host {
        l.warn(&at("host"), "the server of the quorum device is one of its nodes: it falls with it");
    }
    if c.two_node {
        l.error(
            &format!("{path}.device"),
            "two_node and a quorum device are not compatible",
            Some("leave out two_node: two nodes and the device are three votes".to_owned()),
        );
    }
    for (on, field) in [(c.auto_tie_breaker, "auto_tie_breaker"), (c.last_man_standing, "last_man_standing")]
    {
        if on {
            l.error(
                &format!("{path}.{field}"),
                format!("{field} and a quorum device are not compatible"),
                Some("leave out either".to_owned()),
            );
        }
    }
    if d.algorithm == Algorithm::ffsplit {
        if d.votes(n as u32) != 1 || c.quorum_votes != 1 {
            l.error(
                &at("votes"),
                "ffsplit works only if the device and every node have exactly one vote",
                Some("corosync-qdevice(8)".to_owned()),
            );
        }
        if n % 2 == 1 {
            l.warn(
                &at("algorithm"),
                "ffsplit with an odd number of nodes: an even number of votes, which is no better than without",
            );
        }
    }
    if Tie::parse(&d.tie_breaker).is_none_or(|t| matches!(t, Tie::Node(id) if !(1..=32).contains(&id.0))) {
        let help = "`lowest`, `highest` or a node id".to_owned();
        l.error(&at("tie_breaker"), format!("no tie breaker: `{}`", d.tie_breaker), Some(help));
    }
    if d.votes.is_some_and(|v| !(1..=1000).contains(&v)) {
        l.error(&at("votes"), "votes goes from 1 to 1000", None);
    }
    for (field, value) in [("timeout", d.timeout), ("sync_timeout", d.sync_timeout)] {
        let beat = value.ratio(8, 10);
        if beat < Span::secs(1) || beat > Span::secs(120) {
            l.error(
                &at(field),
                format!("{field} goes from 1250ms to 150s"),
                Some("corosync-qnetd accepts heartbeats, 0.8 of it, from 1 s to 120 s".to_owned()),
            );
        }
    }
    if d.connect_timeout.is_some_and(|t| t < Span::secs(1) || t > Span::secs(120)) {
        l.error(&at("connect_timeout"), "connect_timeout goes from 1s to 2m", None);
    }
}

/// Settings that must be the same on all nodes.
fn alike(l: &mut Lint<'_>, path: &str, all: &[(&str, super::NodeId, &Corosync)]) {
    let Some((first, _, a)) = all.first() else { return };
    for (name, _, b) in &all[1..] {
        let same = |c: &Corosync| Corosync { nodeid: None, networks: None, quorum_votes: 1, ..c.clone() };
        if same(a) != same(b) {
            l.warn(
                path,
                format!("{first} and {name} have different settings; corosync.conf is one file for all"),
            );
            return;
        }
    }
}

pub(super) fn qnetd(l: &mut Lint<'_>, stack: &Stack, (path, host): (&str, &str), q: &Qnetd) {
    if !(10..=10_000).contains(&q.dpd_interval_coefficient_tenths) {
        l.error(
            &format!("{path}.dpd_interval_coefficient_tenths"),
            "dpd_interval_coefficient_tenths goes from 10 to 10000 (1 to 1000)",
            None,
        );
    }
    let used = nodes(stack).iter().any(|n| n.2.device.as_ref().is_some_and(|d| d.host == host));
    if !used {
        l.warn(path, format!("no node has the quorum device of {host}: `device: Some((host: \"{host}\"))`"));
    }
}
