//! What a watchdog goes by: the settings of pgpool.conf, and what is compiled in.

use super::msg::NodeId;
use crate::engine::Span;
use std::sync::Arc;

/// The wall clock in nanoseconds: a watchdog measures all its times with `gettimeofday`, so that a step of the clock steps them too.
pub type Clock = i64;
/// A second of it.
pub const SECOND: Clock = 1_000_000_000;

/// Whole seconds from `earlier` to `later`, as the watchdog counts them.
pub const fn secs_between(later: Clock, earlier: Clock) -> i64 {
    (later - earlier) / SECOND
}
/// The second that a moment lies in.
pub const fn second_of(clock: Clock) -> i64 {
    clock.div_euclid(SECOND)
}

/// `MAX_SECS_WAIT_FOR_REPLY_FROM_NODE`: the timer of a state, and the patience with a forwarded request.
pub const WAIT_FOR_REPLY: i64 = 5;
/// Commands to the cluster are waited for so long, a second less than the state's timer.
pub const WAIT_FOR_COMMAND: i64 = 4;
/// `BEACON_MESSAGE_INTERVAL_SECONDS`.
pub const BEACON: i64 = 10;
/// `MAX_ALLOWED_BEACON_REPLY_MISS`: a node that missed more beacons than this is lost.
pub const MISSED_BEACONS: u32 = 3;
/// `MAX_ALLOWED_SEND_FAILURES`.
pub const SEND_FAILURES: u32 = 3;
/// `MIN_SECS_CONNECTION_RETRY`: a connection is tried again after more than this.
pub const CONNECTION_RETRY: i64 = 10;
/// `MIN_SECS_BETWEEN_BROADCAST_SRV_MSG`: the same service message is not sent to all more often.
pub const BROADCAST_AGAIN: i64 = 5;
/// `FAILOVER_COMMAND_FINISH_TIMEOUT`: the least window of a vote.
pub const LEAST_WINDOW: u32 = 15;
/// `MAX_SECS_ESC_PROC_EXIT_WAIT`: escalation waits so long for a de-escalation that runs, and the other way round.
pub const WAIT_FOR_ESCALATION: Span = Span::secs(5);

/// A watchdog's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// `pgpool_node_id`.
    pub me: NodeId,
    /// The names of all nodes, by their numbers.
    pub names: Arc<[Arc<str>]>,
    /// `wd_priority`.
    pub priority: i32,
    /// `enable_consensus_with_half_votes`.
    pub half_votes: bool,
    /// `failover_when_quorum_exists`.
    pub when_quorum_exists: bool,
    /// `failover_require_consensus`.
    pub require_consensus: bool,
    /// `allow_multiple_failover_requests_from_node`.
    pub multiple: bool,
    /// `wd_remove_shutdown_nodes`.
    pub remove_shutdown: bool,
    /// `wd_lost_node_removal_timeout` in seconds; 0 is never.
    pub lost_removal: i64,
    /// `wd_no_show_node_removal_timeout` in seconds; 0 is never.
    pub no_show_removal: i64,
    /// The longest of `health_check_period` + `health_check_max_retries` x `health_check_retry_delay`, in seconds.
    pub health_window: u32,
    /// Whether there is an address to hold.
    pub has_vip: bool,
    /// A leader whose beacons do not come is marked lost (4.3.17, 4.4.14, 4.5.9, 4.6.4, 4.7, all of 2025-10; 4.3 stands for 4.3.5 here).
    /// Before that it went on to count as a node that can be asked, and everything that is asked of all waited for it: 4 s to 5 s each time.
    pub forgets_silent_leader: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_whole_and_cut_off() {
        assert_eq!(secs_between(5 * SECOND - 1, 0), 4);
        assert_eq!(secs_between(5 * SECOND, 0), 5);
        assert_eq!(second_of(-1), -1);
        assert_eq!(second_of(SECOND), 1);
    }
}
