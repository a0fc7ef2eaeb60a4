//! The knobs of corosync.conf(5), votequorum(5) and corosync-qdevice(8), under their own names and with their own defaults.

use crate::engine::{MS, Span};
use serde::{Deserialize, Serialize};

/// How packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(non_camel_case_types)]
pub enum Transport {
    /// kronosnet: several links, watched by pings, `link_mode: passive`.
    knet,
    /// Plain UDP unicast: one link, not watched.
    udpu,
}

/// How a quorum device decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(non_camel_case_types)]
pub enum Algorithm {
    /// Fifty-fifty split: one vote, to one of two halves.
    ffsplit,
    /// Last man standing: as many votes as make one node that sees the device quorate.
    lms,
}

/// `quorum.device`, model net.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// `net.host`: the name of the host that runs `Qnetd`.
    pub host: String,
    /// `net.algorithm`. Default ffsplit.
    #[serde(default = "ffsplit")]
    pub algorithm: Algorithm,
    /// `votes`. Default 1 with ffsplit (it must be), one less than the number of nodes with lms.
    #[serde(default)]
    pub votes: Option<u32>,
    /// `timeout`: votequorum drops the device's vote if it is not polled for so long. Default 10 s.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// `sync_timeout`: a new membership waits so long for the device. Default 30 s.
    #[serde(default = "sync_timeout")]
    pub sync_timeout: Span,
    /// `net.tie_breaker`: `lowest`, `highest` or a node id. Default lowest.
    #[serde(default = "lowest")]
    pub tie_breaker: String,
    /// `net.keep_active_partition_tie_breaker`. Default true.
    #[serde(default = "yes")]
    pub keep_active_partition_tie_breaker: bool,
    /// `net.connect_timeout`. Default 0.8 times `timeout`.
    #[serde(default)]
    pub connect_timeout: Option<Span>,
}
fn ffsplit() -> Algorithm {
    Algorithm::ffsplit
}
fn timeout() -> Span {
    Span::secs(10)
}
fn sync_timeout() -> Span {
    Span::secs(30)
}
fn lowest() -> String {
    "lowest".to_owned()
}
fn yes() -> bool {
    true
}
impl Device {
    /// Between two echo requests to the server: 0.8 times `timeout`, while a membership is synchronised 0.8 times `sync_timeout`.
    pub fn heartbeat(&self, syncing: bool) -> Span {
        if syncing { self.sync_timeout } else { self.timeout }.ratio(8, 10)
    }
    /// How long a connection may take.
    pub fn connect_timeout(&self) -> Span {
        self.connect_timeout.unwrap_or(self.timeout.ratio(8, 10))
    }
    /// What it is worth in a cluster of so many nodes.
    pub fn votes(&self, nodes: u32) -> u32 {
        self.votes.unwrap_or(if self.algorithm == Algorithm::ffsplit { 1 } else { nodes.saturating_sub(1) })
    }
}

/// Corosync: the hosts of a stack that run one form a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Corosync {
    /// Its version, for defaults: `3.1`, or `3.0` and `2.4` with a token of 1000 ms. Default 3.1.
    pub version: String,
    /// `nodelist.node.nodeid`, 1 to 32. Default: the place in the order of the hosts' names, from 1.
    pub nodeid: Option<u16>,
    /// `totem.transport`. Default knet.
    pub transport: Transport,
    /// The networks of `ring0_addr`, `ring1_addr`, ..., in this order. Default: all that the host is on (udpu: the first).
    pub networks: Option<Vec<String>>,
    /// `totem.token`. Default 3000 ms (before 3.1: 1000 ms). With three nodes and more `token_coefficient` is added for each beyond two.
    pub token: Option<Span>,
    /// `totem.token_coefficient`. Default 650 ms.
    pub token_coefficient: Span,
    /// `totem.token_retransmits_before_loss_const`. Default 4.
    pub token_retransmits_before_loss_const: u32,
    /// `totem.token_retransmit`. Default: the effective token / (token_retransmits_before_loss_const + 0.2).
    pub token_retransmit: Option<Span>,
    /// `totem.hold`: an idle token rests so long at the representative. Default: 0.8 times token_retransmit, less 10 ms.
    pub hold: Option<Span>,
    /// `totem.consensus`. Default: 1.2 times the effective token.
    pub consensus: Option<Span>,
    /// `totem.join`: a join message is repeated after this. Default 50 ms.
    pub join: Span,
    /// `totem.merge`: how long after an idle token the representative says that its ring exists. Default 200 ms.
    pub merge: Span,
    /// `totem.fail_recv_const`: so many rotations without new messages although there are some. Default 2500.
    pub fail_recv_const: u32,
    /// `totem.seqno_unchanged_const`: after so many rotations without a message the token is held. Default 30.
    pub seqno_unchanged_const: u32,
    /// `totem.window_size`: messages of all nodes in one rotation. Default 50.
    pub window_size: u32,
    /// `totem.max_messages`: messages of one node in one rotation. Default 17.
    pub max_messages: u32,
    /// `totem.miss_count_const`: a message is asked for again when it was missed in so many rotations. Default 5.
    pub miss_count_const: u32,
    /// `totem.token_warning`, in percent of the effective token; 0 is off. Default 75.
    pub token_warning: u32,
    /// `interface.knet_ping_interval`. Default: a quarter of the effective token.
    pub knet_ping_interval: Option<Span>,
    /// `interface.knet_ping_timeout`. Default: half of the effective token.
    pub knet_ping_timeout: Option<Span>,
    /// `interface.knet_pong_count`: so many answers, and one more, bring a link up. Default 2.
    pub knet_pong_count: u32,
    /// In one of six membership changes with three nodes and more, GATHER takes 0.12 s to 0.93 s longer, on all its nodes alike, as was measured
    /// on a busy machine (its cause is not known). Default false.
    pub late_tail: bool,
    /// `quorum.expected_votes`. Default: the sum of the node list and the device.
    pub expected_votes: Option<u32>,
    /// `nodelist.node.quorum_votes`. Default 1.
    pub quorum_votes: u32,
    /// `quorum.two_node`. Default false.
    pub two_node: bool,
    /// `quorum.wait_for_all`. Default false; true with `two_node`.
    pub wait_for_all: Option<bool>,
    /// `quorum.auto_tie_breaker`. Default false.
    pub auto_tie_breaker: bool,
    /// `quorum.auto_tie_breaker_node`: `lowest`, `highest`, or a list of node ids such as `"2 1"`. Default lowest.
    pub auto_tie_breaker_node: String,
    /// `quorum.last_man_standing`. Default false.
    pub last_man_standing: bool,
    /// `quorum.last_man_standing_window`. Default 10 s.
    pub last_man_standing_window: Span,
    /// `quorum.allow_downscale`. Default false.
    pub allow_downscale: bool,
    /// `quorum.device`. Default: none.
    pub device: Option<Device>,
}
impl Default for Corosync {
    fn default() -> Self {
        Corosync {
            version: "3.1".to_owned(),
            nodeid: None,
            transport: Transport::knet,
            networks: None,
            token: None,
            token_coefficient: Span::ms(650),
            token_retransmits_before_loss_const: 4,
            token_retransmit: None,
            hold: None,
            consensus: None,
            join: Span::ms(50),
            merge: Span::ms(200),
            fail_recv_const: 2500,
            seqno_unchanged_const: 30,
            window_size: 50,
            max_messages: 17,
            miss_count_const: 5,
            token_warning: 75,
            knet_ping_interval: None,
            knet_ping_timeout: None,
            knet_pong_count: 2,
            late_tail: false,
            expected_votes: None,
            quorum_votes: 1,
            two_node: false,
            wait_for_all: None,
            auto_tie_breaker: false,
            auto_tie_breaker_node: lowest(),
            last_man_standing: false,
            last_man_standing_window: Span::secs(10),
            allow_downscale: false,
            device: None,
        }
    }
}

/// The timers of a cluster of a certain size, in whole milliseconds, as `corosync-cmapctl runtime.config.totem` shows them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timers {
    /// The effective token timeout.
    pub token: Span,
    /// A token is repeated after this.
    pub retransmit: Span,
    /// An idle token is held so long.
    pub hold: Span,
    /// How long GATHER waits for all.
    pub consensus: Span,
    /// Between two pings.
    pub ping_interval: Span,
    /// A link without an answer for so long is down.
    pub ping_timeout: Span,
}

/// The oldest version with a token of 3000 ms.
const LONG_TOKEN: (u32, u32) = (3, 1);

impl Corosync {
    /// Major and minor version.
    pub fn version(&self) -> Option<(u32, u32)> {
        let mut parts = self.version.split('.').map(str::parse::<u32>);
        match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
            _ => None,
        }
    }
    /// Its timers among so many nodes.
    pub fn timers(&self, nodes: usize) -> Timers {
        let whole = |ns: u64| Span(ns / MS * MS);
        let old = self.version().is_some_and(|v| v < LONG_TOKEN);
        let base = self.token.unwrap_or(Span::ms(if old { 1000 } else { 3000 }));
        let more = if nodes >= 3 { self.token_coefficient.0 * (nodes as u64 - 2) } else { 0 };
        let token = Span(base.0 + more);
        let tries = u64::from(self.token_retransmits_before_loss_const);
        let retransmit = self.token_retransmit.unwrap_or_else(|| whole(token.0 * 10 / (10 * tries + 2)));
        let hold = self.hold.unwrap_or_else(|| whole((retransmit.0 * 8 / 10).saturating_sub(10 * MS)));
        let consensus = self.consensus.unwrap_or_else(|| whole(token.0 * 12 / 10));
        let ping_interval = self.knet_ping_interval.unwrap_or_else(|| whole(token.0 / 4));
        let ping_timeout = self.knet_ping_timeout.unwrap_or_else(|| whole(token.0 / 2));
        Timers { token, retransmit, hold, consensus, ping_interval, ping_timeout }
    }
    /// `wait_for_all`, which `two_node` implies.
    pub fn wait_for_all(&self) -> bool {
        self.wait_for_all.unwrap_or(self.two_node)
    }
}

/// `corosync-qnetd`: the server of quorum devices.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Qnetd {
    /// A client that has not been heard for so many tenths of its heartbeat is gone (`dpd_interval_coefficient`). Default 15, that is 1.5.
    pub dpd_interval_coefficient_tenths: u32,
}
impl Default for Qnetd {
    fn default() -> Self {
        Qnetd { dpd_interval_coefficient_tenths: 15 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timers_are_those_of_the_running_daemon() {
        let c = Corosync::default();
        let ms = |n: usize, c: &Corosync| {
            let t = c.timers(n);
            [t.token, t.consensus, t.retransmit, t.hold, t.ping_interval, t.ping_timeout].map(Span::as_ms)
        };
        assert_eq!(ms(3, &c), [3650, 4380, 869, 685, 912, 1825], "measured");
        assert_eq!(ms(2, &c), [3000, 3600, 714, 561, 750, 1500]);
        let sums = [(2, 6600), (3, 8030), (4, 9460), (5, 10_890), (8, 15_180), (16, 26_620)];
        for (n, sum) in sums {
            let t = c.timers(n);
            assert_eq!(t.token.as_ms() + t.consensus.as_ms(), sum, "{n} nodes");
        }
        let old = Corosync { version: "2.4".to_owned(), ..Corosync::default() };
        assert_eq!(ms(2, &old)[..4], [1000, 1200, 238, 180]);
        assert_eq!(ms(16, &old)[..2], [10_100, 12_120]);
    }
}
