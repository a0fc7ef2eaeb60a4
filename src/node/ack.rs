//! Acknowledgements that need no event.
//!
//! Of all frames that a run with databases sends, a third are acknowledgements of open connections that find everything in order:
//! the oldest segments leave the queue, the retransmission timer moves, the neighbour is confirmed, and no process hears of it.
//! When such a frame departs, what it will do is known already. So its identity is set aside, the connection's timer is set to what it
//! will be, and the rest is written down in the connection as [`Foreseen`]. Whoever touches the connection afterwards settles it first:
//! what is due by then is done as of its own time; what is still under way gets its timer back and becomes a frame like any other, with
//! the identity, the cause and the arrival that it would have had. The same holds for whatever decides whether a frame arrives, or asks
//! when a neighbour was confirmed: power, freezes, carriers, addresses, ARP.
//!
//! On [`Level::Full`] every acknowledgement is an event, because its arrival is told; nothing else differs, and a test compares the two on
//! every drill. **The one approximation:** an acknowledgement that departs before a load balancer gets its first service, and arrives
//! after it, passes the balancer by (a millisecond in a run).

use super::log::Level;
use super::process::{ConnId, HostId, Process};
use super::tcp::{Conn, RTO_MAX, Segment, State, backoff};
use super::world::{Ev, Frame, Payload, Power, Sch, World};
use crate::engine::sched::Armed;
use crate::engine::{EventId, Time};
use crate::net::addr::{Endpoint, Mac};

/// An acknowledgement on its way of which everything is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Foreseen {
    /// When it arrives.
    at: Time,
    /// Its identity; the next one is that of the timer that it sets.
    id: EventId,
    /// The event that sent it.
    cause: EventId,
    /// When that was.
    sent: Time,
    /// Everything below this number has arrived.
    number: u32,
    /// The interfaces that it comes from and goes to.
    ports: (Mac, Mac),
    /// What the connection's timer was armed for.
    before: Armed,
}

impl<M> Conn<M> {
    /// When the connection's timer runs out if it is set at `now`: a retransmission, a keepalive probe, or nothing.
    pub(crate) fn deadline(&self, now: Time) -> Option<Time> {
        let wait = if self.state != State::Open {
            Some(backoff(true, self.retries))
        } else if !self.unacked.is_empty() {
            Some(backoff(false, self.retries))
        } else {
            self.options.keepalive.map(|(idle, interval, _)| if self.probes == 0 { idle } else { interval })
        };
        let user = self.options.user_timeout;
        let limit = (!user.is_zero() && (self.state != State::Open || !self.unacked.is_empty()))
            .then(|| self.since + user);
        let at = now + wait.map(|w| w.min(RTO_MAX.max(w)))?;
        Some(limit.map_or(at, |l| at.min(l.max(now))))
    }
    /// The same, set at `at` by an acknowledgement of everything below `number`.
    fn deadline_after(&self, number: u32, at: Time) -> Option<Time> {
        let user = self.options.user_timeout;
        if self.unacked.back().is_some_and(|(last, _)| *last >= number) {
            let again = at + backoff(false, 0);
            return Some(if user.is_zero() { again } else { again.min(at + user) });
        }
        self.options.keepalive.map(|(idle, ..)| at + idle)
    }
}

impl<P: Process> World<P> {
    /// Whether a frame is an acknowledgement that needs no event; then it is taken care of.
    pub(crate) fn foresee(&mut self, at: Time, mac: Mac, frame: &Frame<P::Msg>, s: &mut Sch<P>) -> bool {
        let Payload::Tcp(from, to, Segment::Ack(number)) = frame.payload else { return false };
        let (host, nic) = self.macs[mac.0 as usize];
        let h = &mut self.hosts[host.0 as usize];
        if h.power != Power::On
            || h.freeze.is_some()
            || !(h.nics[nic as usize].carrier || frame.from == mac)
            || P::hooked(&h.files)
        {
            return false;
        }
        let Some(id) = h.tcp.peer(to.port, from) else { return false };
        self.settle(host, id, s);
        let full = self.log.level == Level::Full;
        let owned = self.owns(host, to.ip);
        let Some(c) = self.hosts[host.0 as usize].tcp.get_mut(id) else { return false };
        let before = s.armed(c.timer);
        if c.state != State::Open
            || c.closed
            || c.retries > 0
            || c.local.ip != to.ip
            || c.plane != frame.plane
            || !owned
            || c.unacked.front().is_none_or(|(first, _)| *first >= number)
            || before.at <= at
        {
            return false;
        }
        let event = s.reserve(2);
        if full {
            let place = self.flight.depart(frame.clone());
            s.at_as(at, event, s.current(), Ev::Ack(mac, s.now(), place));
            return true;
        }
        let after =
            Armed { at: c.deadline_after(number, at).unwrap_or(Time::MAX), seq: event.0 + 1, cause: event.0 };
        c.foreseen = Some(Foreseen {
            at,
            id: event,
            cause: s.current(),
            sent: s.now(),
            number,
            ports: (frame.from, mac),
            before,
        });
        s.arm_as(c.timer, after);
        s.mix(at.0);
        true
    }

    /// A connection is touched: what was foreseen of it has happened by now, or is a frame under way.
    #[inline]
    pub(crate) fn settle(&mut self, host: HostId, id: ConnId, s: &mut Sch<P>) {
        let Some(c) = self.hosts[host.0 as usize].tcp.get_mut(id) else { return };
        let Some(f) = c.foreseen.take() else { return };
        if (f.at, f.id) <= (s.now(), s.current()) {
            while c.unacked.front().is_some_and(|(first, _)| *first < f.number) {
                c.unacked.pop_front();
            }
            (c.heard, c.since, c.probes) = (f.at, f.at, 0);
            let peer = c.remote.ip;
            self.confirm(host, peer, f.at);
            return;
        }
        let (from, to, plane) = (c.remote, c.local, c.plane);
        s.arm_as(c.timer, f.before);
        self.depart(f, (from, to), plane, s);
    }
    fn depart(
        &mut self,
        f: Foreseen,
        (from, to): (Endpoint, Endpoint),
        plane: crate::net::Plane,
        s: &mut Sch<P>,
    ) {
        let payload = Payload::Tcp(from, to, Segment::Ack(f.number));
        let place = self.flight.depart(Frame { from: f.ports.0, to: f.ports.1, plane, payload });
        s.at_as(f.at, f.id, f.cause, Ev::Ack(f.ports.1, f.sent, place));
    }
    /// All connections of a host are settled.
    pub(crate) fn settle_all(&mut self, host: HostId, s: &mut Sch<P>) {
        for place in 0..self.hosts[host.0 as usize].tcp.room() {
            if let Some(id) = self.hosts[host.0 as usize].tcp.foreseen_in(place) {
                self.settle(host, id, s);
            }
        }
    }
}
