//! The knobs of keepalived's VRRP, under keepalived's own names.

use crate::engine::time::{Span, SpanRange};
use crate::net::addr::{Cidr, Ip};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One keepalived daemon. The fields of a `vrrp_instance` stand at the top level and describe the first instance, `VI_1`;
/// `vrrp_instance` adds others, which inherit what they do not set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keepalived {
    /// Protocol version of VRRP, 2 or 3. Default 2 (`vrrp_version`).
    pub version: u8,
    /// The address that moves. `virtual_ipaddress`, the first.
    pub vip: Option<Cidr>,
    /// Further addresses that move with it.
    pub virtual_ipaddress: Vec<Cidr>,
    /// The initial state, `MASTER` or `BACKUP`. Default BACKUP. Gives no head start unless the priority is 255.
    pub state: InitialState,
    /// Priority, 1 to 255; 255 is the address owner. Default 100 (255 with `state: MASTER`).
    pub priority: Option<u8>,
    /// Virtual router ID, 1 to 255. Default 51 (keepalived has no default: it must be set there).
    pub virtual_router_id: u8,
    /// Interval between adverts. v2: whole seconds, 1 s to 255 s; v3: 10 ms to 40.95 s in steps of 10 ms. Default 1 s.
    pub advert_int: Span,
    /// Missed intervals until the master counts as down, 1 to 100. Default 3.
    pub down_timer_adverts: u32,
    /// A higher priority does not take over from a lower one that is master. Default false.
    pub nopreempt: bool,
    /// How long to wait before preempting a lower master, 0 s to 1000 s. Default 0 s.
    pub preempt_delay: Span,
    /// Send adverts to these addresses instead of the multicast group. Default: none.
    pub unicast_peer: Vec<Ip>,
    /// The network whose interface carries the instance (`interface`). Default: the host's first.
    pub interface: Option<String>,
    /// Other interfaces (networks) that must be up.
    pub track_interface: Vec<TrackInterface>,
    /// Shorthand: a `vrrp_script` that checks that this process of the host runs, with every default.
    pub track: Option<String>,
    /// Scripts whose result changes the priority or the state.
    pub track_script: Vec<VrrpScript>,
    /// Do not track the own interface implicitly. Default false.
    pub dont_track_primary: bool,
    /// Delay of the second burst of gratuitous ARPs after becoming master. Default 5 s; 0 s: no second burst.
    pub garp_master_delay: Span,
    /// Gratuitous ARPs in a burst. Default 5.
    pub garp_master_repeat: u32,
    /// Interval at which a master repeats gratuitous ARPs. Default 0 s: never.
    pub garp_master_refresh: Span,
    /// Gratuitous ARPs at each refresh. Default 1.
    pub garp_master_refresh_repeat: u32,
    /// Delay of the second burst after a lower-priority advert was heard. Default: `garp_master_delay`.
    pub garp_lower_prio_delay: Option<Span>,
    /// Gratuitous ARPs after a lower-priority advert was heard. Default: `garp_master_repeat`.
    pub garp_lower_prio_repeat: Option<u32>,
    /// Send one advert after having lost to a higher priority, so that the winner refreshes caches. Default false.
    pub higher_prio_send_advert: bool,
    /// Do not answer lower-priority adverts with an advert. Default false.
    pub lower_prio_no_advert: bool,
    /// One gratuitous ARP and no second burst (`vrrp_min_garp`). Default false.
    pub min_garp: bool,
    /// Strict adherence to the RFC (`vrrp_strict`). Default false.
    pub strict: bool,
    /// Further instances by name.
    pub vrrp_instance: BTreeMap<String, VrrpInstance>,
    /// Sync groups: name to members (`VI_1` is the instance of the top level).
    pub vrrp_sync_group: BTreeMap<String, Vec<String>>,
    /// The script that keepalived runs when an instance becomes MASTER (`notify_master`). Default: none.
    pub notify_master: Option<NotifyScript>,
    /// Process time: from the change of state to what the script does: a shell, then `pg_ctl`. Default 20 ms to 100 ms (estimate).
    pub notify_time: SpanRange,
    /// Process time: from the start of the daemon to the start of its VRRP timers. Default 0 s.
    pub startup_time: SpanRange,
    /// Process time: from the death of the VRRP child to the start of its successor. Default 40 ms to 300 ms (measured).
    pub respawn_time: SpanRange,
}

impl Default for Keepalived {
    fn default() -> Self {
        Keepalived {
            version: 2,
            vip: None,
            virtual_ipaddress: Vec::new(),
            state: InitialState::BACKUP,
            priority: None,
            virtual_router_id: 51,
            advert_int: Span::secs(1),
            down_timer_adverts: 3,
            nopreempt: false,
            preempt_delay: Span::ZERO,
            unicast_peer: Vec::new(),
            interface: None,
            track_interface: Vec::new(),
            track: None,
            track_script: Vec::new(),
            dont_track_primary: false,
            garp_master_delay: Span::secs(5),
            garp_master_repeat: 5,
            garp_master_refresh: Span::ZERO,
            garp_master_refresh_repeat: 1,
            garp_lower_prio_delay: None,
            garp_lower_prio_repeat: None,
            higher_prio_send_advert: false,
            lower_prio_no_advert: false,
            min_garp: false,
            strict: false,
            vrrp_instance: BTreeMap::new(),
            vrrp_sync_group: BTreeMap::new(),
            notify_master: None,
            notify_time: SpanRange::new(Span::ms(20), Span::ms(100)),
            startup_time: SpanRange::exactly(Span::ZERO),
            respawn_time: SpanRange::new(Span::ms(40), Span::ms(300)),
        }
    }
}

/// What an additional instance sets for itself; everything else it inherits from the top level.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VrrpInstance {
    /// The address that moves.
    pub vip: Option<Cidr>,
    /// Further addresses that move with it.
    pub virtual_ipaddress: Vec<Cidr>,
    /// The initial state.
    pub state: Option<InitialState>,
    /// Priority, 1 to 255.
    pub priority: Option<u8>,
    /// Virtual router ID; default: that of the instance before, plus 1.
    pub virtual_router_id: Option<u8>,
    /// Interval between adverts.
    pub advert_int: Option<Span>,
    /// The network whose interface carries the instance.
    pub interface: Option<String>,
    /// Do not preempt.
    pub nopreempt: Option<bool>,
    /// Delay before preempting.
    pub preempt_delay: Option<Span>,
    /// Unicast peers.
    pub unicast_peer: Option<Vec<Ip>>,
    /// Tracked interfaces.
    pub track_interface: Option<Vec<TrackInterface>>,
    /// Tracked process, shorthand.
    pub track: Option<String>,
    /// Tracked scripts.
    pub track_script: Option<Vec<VrrpScript>>,
}

/// What a notify script does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NotifyScript {
    /// `pg_ctl promote` on the PostgreSQL of the same host, and nothing else: nobody is asked, nobody is fenced, a server that is no
    /// standby is left as it is.
    Promote,
}

/// The configured initial state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(clippy::upper_case_acronyms)]
pub enum InitialState {
    /// `state MASTER`.
    MASTER,
    /// `state BACKUP`, the default.
    BACKUP,
}

/// An entry of `track_interface`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackInterface {
    /// The network of this host's interface.
    pub interface: String,
    /// 0: FAULT when it is down; else added to (positive, while up) or taken from (negative, while down) the priority.
    #[serde(default)]
    pub weight: i16,
}

/// A `vrrp_script` and its use in `track_script`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VrrpScript {
    /// What the script looks at.
    pub script: Check,
    /// From the start of one run to the start of the next, 1 s and more in whole seconds in keepalived. Default 1 s.
    #[serde(default = "one_second")]
    pub interval: Span,
    /// A run that takes longer has failed. Default: `interval`.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// Successes in a row until the script counts as good. Default 1.
    #[serde(default = "one")]
    pub rise: u32,
    /// Failures in a row until the script counts as failed. Default 1.
    #[serde(default = "one")]
    pub fall: u32,
    /// 0: FAULT on failure; -253 to 253 otherwise. Default 0.
    #[serde(default)]
    pub weight: i16,
    /// Start as failed. Default false.
    #[serde(default)]
    pub init_fail: bool,
    /// Process time: how long one run takes. Default 10 ms.
    #[serde(default = "script_time")]
    pub run_time: SpanRange,
}

impl VrrpScript {
    /// A script with every default.
    pub fn new(script: Check) -> Self {
        VrrpScript {
            script,
            interval: one_second(),
            timeout: None,
            rise: 1,
            fall: 1,
            weight: 0,
            init_fail: false,
            run_time: script_time(),
        }
    }
}

/// What a check script looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Check {
    /// The process exists (`pidof`, `killall -0`): a frozen process still passes.
    Running(String),
    /// A process of this host accepts and answers on this port: a frozen process makes the run time out.
    Answers(u16),
}

fn one() -> u32 {
    1
}
fn one_second() -> Span {
    Span::secs(1)
}
fn script_time() -> SpanRange {
    SpanRange::exactly(Span::ms(10))
}
