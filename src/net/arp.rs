//! The neighbour cache of a Linux host: states, times, and what moves an entry.
//!
//! Source: arp(7), ip-sysctl (`neigh/default/*`), measured in `firedrill validate`. An entry is confirmed by a unicast ARP reply or
//! by TCP progress; the reachable time is one draw per interface, again every 300 s. The kernel's timer wheel
//! rounds long waits up (by as much as 2 s after 16 s, at 250 ticks a second), which is part of what clients feel.
//!
//! **Not modelled:** garbage collection, the limit of queued packets (101), proxy ARP.

use super::addr::{Ip, Mac};
use crate::engine::{EventId, SEC, Span, Time, TimerId};

/// The state of an entry, as `ip neigh` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
pub enum Nud {
    /// Asked by broadcast, no answer yet.
    Incomplete,
    /// Confirmed not long ago.
    Reachable,
    /// Not confirmed lately; used as it is until somebody needs it.
    Stale,
    /// Used while stale: waits for a confirmation from above.
    Delay,
    /// Asking the known address by unicast.
    Probe,
    /// No answer.
    Failed,
}

/// Settings of the cache, under Linux's names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NeighParms {
    /// `base_reachable_time`.
    pub base_reachable_time: Span,
    /// `delay_first_probe_time`.
    pub delay_first_probe_time: Span,
    /// `ucast_solicit`.
    pub ucast_solicit: u32,
    /// `mcast_solicit`.
    pub mcast_solicit: u32,
    /// `retrans_time`.
    pub retrans_time: Span,
    /// `locktime`.
    pub locktime: Span,
    /// `arp_accept`.
    pub arp_accept: bool,
}

/// One entry of the cache.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The address.
    pub ip: Ip,
    /// Where frames for it go.
    pub mac: Mac,
    /// Its state.
    pub state: Nud,
    /// When it was confirmed last.
    pub confirmed: Time,
    /// When the hardware address or the state changed last.
    pub updated: Time,
    /// When it was used last.
    pub used: Time,
    /// Probes sent in this round.
    pub probes: u32,
    /// Its timer.
    pub timer: TimerId,
    /// The event that brought the present hardware address.
    pub because: EventId,
}

/// What the timer of an entry asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing until it is used or told something.
    Rest,
    /// Look again at this time.
    At(Time),
    /// Ask the known address, and look again at this time.
    ProbeUnicast(Time),
    /// Ask everybody, and look again at this time.
    ProbeBroadcast(Time),
    /// Nobody answered: drop what waits.
    Failed,
}

impl Entry {
    /// What the entry does when its timer runs out at `now`.
    pub fn on_timer(&mut self, now: Time, reachable: Span, p: &NeighParms) -> Next {
        match self.state {
            Nud::Reachable => {
                if now < self.confirmed + reachable {
                    Next::At(self.confirmed + reachable)
                } else if now <= self.used + p.delay_first_probe_time {
                    self.set(Nud::Delay, now);
                    Next::At(now + p.delay_first_probe_time)
                } else {
                    self.set(Nud::Stale, now);
                    Next::Rest
                }
            }
            Nud::Delay if now <= self.confirmed + p.delay_first_probe_time => {
                self.set(Nud::Reachable, now);
                Next::At(self.confirmed + reachable)
            }
            Nud::Delay => {
                self.set(Nud::Probe, now);
                self.probes = 1;
                Next::ProbeUnicast(now + p.retrans_time)
            }
            Nud::Probe if self.probes < p.ucast_solicit => {
                self.probes += 1;
                Next::ProbeUnicast(now + p.retrans_time)
            }
            Nud::Incomplete if self.probes < p.mcast_solicit => {
                self.probes += 1;
                Next::ProbeBroadcast(now + p.retrans_time)
            }
            Nud::Probe | Nud::Incomplete => {
                self.set(Nud::Failed, now);
                Next::Failed
            }
            Nud::Stale | Nud::Failed => Next::Rest,
        }
    }
    fn set(&mut self, state: Nud, now: Time) {
        self.state = state;
        self.updated = now;
    }
    /// An ARP packet said that the address is at `mac`. Returns whether the hardware address changed.
    pub fn hear(
        &mut self,
        mac: Mac,
        unicast_reply: bool,
        gratuitous: bool,
        now: Time,
        p: &NeighParms,
    ) -> bool {
        let valid = !matches!(self.state, Nud::Incomplete | Nud::Failed);
        let differs = mac != self.mac;
        if valid && differs && !gratuitous && now < self.updated + p.locktime {
            return false;
        }
        if unicast_reply {
            self.confirmed = now;
            if self.state != Nud::Reachable || differs {
                self.set(Nud::Reachable, now);
            }
        } else if differs || !valid {
            self.set(Nud::Stale, now);
        }
        self.mac = mac;
        valid && differs
    }
}

/// When a kernel timer set for `at` really fires: the wheel's levels are 4 ms, 32 ms, 256 ms, 2.048 s, ... wide (HZ=250).
/// `phase` is where the host's tick counter stood at the start of the run.
pub fn wheel(now: Time, at: Time, phase: Span) -> Time {
    const JIFFY: u64 = SEC / 250;
    let jiffies = |t: Time| (t.0 + phase.0) / JIFFY;
    let (from, to) = (jiffies(now), (at.0 + phase.0).div_ceil(JIFFY));
    let delta = to.saturating_sub(from);
    let mut shift = 0;
    while shift < 24 && delta >= (63u64 << shift) {
        shift += 3;
    }
    if shift == 0 {
        return Time((to * JIFFY).saturating_sub(phase.0).max(at.0));
    }
    Time(((((to >> shift) + 1) << shift) * JIFFY).saturating_sub(phase.0).max(at.0))
}
