//! The knobs of `/etc/sysconfig/sbd` and of `sbd create`.

use crate::engine::time::{Span, SpanRange};
use serde::{Deserialize, Serialize};

/// `sbd` on a node. It needs a watchdog device (`watchdog: Softdog` of the host).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sbd {
    /// `SBD_DEVICE`: the hosts that run an `SbdDisk`, up to three. Default: none, it goes by quorum and watchdog alone.
    pub devices: Vec<String>,
    /// `SBD_WATCHDOG_TIMEOUT`, without disks; with disks their own header says it. Default 5 s.
    pub watchdog_timeout: Span,
    /// `SBD_PACEMAKER`: look after Pacemaker, if the host runs one. Default true.
    pub pacemaker: bool,
    /// `timeout_loop`: the inquisitor and the servants look this often. With disks their header says it. Default 1 s.
    pub timeout_loop: Span,
    /// `timeout_io` (`-I`): a disk has to answer within this. Default 3 s.
    pub timeout_io: Span,
}
impl Default for Sbd {
    fn default() -> Self {
        Sbd {
            devices: Vec::new(),
            watchdog_timeout: Span::secs(5),
            pacemaker: true,
            timeout_loop: Span::secs(1),
            timeout_io: Span::secs(3),
        }
    }
}

/// A shared disk for `sbd`: the host that it runs on is the storage. Its settings are the header that `sbd create` writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SbdDisk {
    /// `-1`: the watchdog of every node. Default 5 s.
    pub timeout_watchdog: Span,
    /// `-2`: how long taking a slot may take at the start. Default 2 s.
    pub timeout_allocate: Span,
    /// `-3`: nodes read their slots this often. Default 1 s.
    pub timeout_loop: Span,
    /// `-4`: a node counts as dead so long after the message was written. Default: twice `timeout_watchdog`.
    pub timeout_msgwait: Option<Span>,
    /// What a read or a write takes. Default 1 ms to 5 ms.
    pub io_time: SpanRange,
}
impl Default for SbdDisk {
    fn default() -> Self {
        SbdDisk {
            timeout_watchdog: Span::secs(5),
            timeout_allocate: Span::secs(2),
            timeout_loop: Span::secs(1),
            timeout_msgwait: None,
            io_time: SpanRange::new(Span::ms(1), Span::ms(5)),
        }
    }
}
impl SbdDisk {
    /// `msgwait`.
    pub fn msgwait(&self) -> Span {
        self.timeout_msgwait.unwrap_or(self.timeout_watchdog.times(2))
    }
}
