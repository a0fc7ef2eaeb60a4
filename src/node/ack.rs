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
use super::tcp::{Conn, NOWHERE, Segment, State, backoff};
use super::world::{Ev, Frame, Payload, Sch, World};
use crate::engine::sched::Armed;
use crate::engine::{EventId, Time};
use crate::net::Plane;
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
    #[inline]
    pub(crate) fn deadline(&self, now: Time) -> Option<Time> {
        if self.state == State::Open && self.unacked.is_empty() {
            let wait = |(idle, interval, _)| if self.probes == 0 { idle } else { interval };
            return self.options.keepalive.map(|k| now + wait(k));
        }
        let again = now + backoff(self.state != State::Open, self.retries);
        let user = self.options.user_timeout;
        Some(if user.is_zero() { again } else { again.min((self.since + user).max(now)) })
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
    /// The connection in a place acknowledges everything that it has heard: what nearly every segment is answered with.
    #[inline(always)]
    pub(crate) fn acknowledge(&mut self, host: HostId, place: u32, s: &mut Sch<P>) {
        let h = &mut self.hosts[host.0 as usize];
        let Some((_, c)) = h.tcp.at(place) else { return };
        let (from, to, plane, number, near) = (c.local, c.remote, c.plane, c.recv_next, c.near);
        let way = h.ways.get(near.0 as usize).filter(|w| w.leads(to.ip, self.epoch));
        let Some(way) = way else { return self.put_at(host, place, Segment::Ack(number), s) };
        let at = way.go(&mut h.neigh, &mut self.nets, &self.rules, &mut self.streams, s.now());
        let (ports, end, heard) = (way.ports, way.end, way.heard);
        let Some(at) = at else {
            let (way, payload) = (*way, Payload::Tcp(from, to, Segment::Ack(number)));
            return self.wire_along(host, &way, Frame { from: ports.0, to: ports.1, plane, payload }, s);
        };
        let found =
            if heard { self.foresee(at, end.0, ports, plane, (from, to), number, near.1, s) } else { None };
        match found {
            Some(found) if found == near.1 => {}
            Some(found) => {
                if let Some((_, c)) = self.hosts[host.0 as usize].tcp.at(place) {
                    c.near.1 = found;
                }
            }
            None => {
                let ((from_mac, mac), sent, segment) = (ports, s.now(), Segment::Ack(number));
                s.at(at, Ev::Segment { from_mac, mac, sent, plane, from, to, near: near.1, segment });
            }
        }
    }
    /// An acknowledgement of everything below `number` departs for an interface of a host that hears it. If it needs no event, it is taken
    /// care of, and the place of the receiver's connection comes back; `near` is where that was the last time.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    fn foresee(
        &mut self,
        at: Time,
        host: HostId,
        ports: (Mac, Mac),
        plane: Plane,
        (from, to): (Endpoint, Endpoint),
        number: u32,
        near: u32,
        s: &mut Sch<P>,
    ) -> Option<u32> {
        let h = &mut self.hosts[host.0 as usize];
        if h.freeze.is_some() || P::hooked(&h.files) {
            return None;
        }
        let place = h.tcp.peer(to, from, near)?;
        self.settle(host, place, s);
        let c = &mut self.hosts[host.0 as usize].tcp.at(place)?.1;
        let before = s.armed(c.timer);
        if c.state != State::Open
            || c.closed
            || c.retries > 0
            || c.plane != plane
            || c.unacked.front().is_none_or(|(first, _)| *first >= number)
            || before.at <= at
        {
            return None;
        }
        let id = s.reserve(2);
        let (cause, sent) = (s.current(), s.now());
        if self.log.level == Level::Full {
            s.at_as(at, id, cause, Ev::Ack { ports, sent, plane, from, to, number });
            return Some(place);
        }
        let timer = c.deadline_after(number, at).unwrap_or(Time::MAX);
        s.arm_as(c.timer, Armed { at: timer, seq: id.0 + 1, cause: id.0 });
        c.foreseen = Some(Foreseen { at, id, cause, sent, number, ports, before });
        s.mix(at.0);
        Some(place)
    }

    /// The same for one that comes from elsewhere.
    #[allow(clippy::too_many_arguments)]
    #[inline(never)]
    pub(crate) fn foresee_unknown(
        &mut self,
        at: Time,
        host: HostId,
        ports: (Mac, Mac),
        plane: Plane,
        ends: (Endpoint, Endpoint),
        number: u32,
        s: &mut Sch<P>,
    ) -> Option<u32> {
        self.foresee(at, host, ports, plane, ends, number, NOWHERE, s)
    }

    /// The connection in a place, settled.
    #[inline]
    pub(crate) fn settled(
        &mut self,
        host: HostId,
        place: u32,
        s: &mut Sch<P>,
    ) -> Option<&mut (ConnId, Conn<P::Msg>)> {
        self.settle(host, place, s);
        self.hosts[host.0 as usize].tcp.at(place)
    }
    /// A connection is touched: what was foreseen of it has happened by now, or is a frame under way.
    #[inline]
    pub(crate) fn settle(&mut self, host: HostId, place: u32, s: &mut Sch<P>) {
        let Some((_, c)) = self.hosts[host.0 as usize].tcp.at(place) else { return };
        if c.foreseen.is_some() {
            self.settle_now(host, place, s);
        }
    }
    fn settle_now(&mut self, host: HostId, place: u32, s: &mut Sch<P>) {
        let h = &mut self.hosts[host.0 as usize];
        let Some((_, c)) = h.tcp.at(place) else { return };
        let Some(Foreseen { at, id, number, .. }) = c.foreseen else { return };
        if (at, id) > (s.now(), s.current()) {
            return self.unforeseen(host, place, s);
        }
        c.foreseen = None;
        while c.unacked.front().is_some_and(|(first, _)| *first < number) {
            c.unacked.pop_front();
        }
        (c.heard, c.since, c.probes) = (at, at, 0);
        let (peer, near) = (c.remote.ip, c.near.0);
        self.confirm_along(host, peer, near, at);
    }
    /// An acknowledgement that is still under way is a frame after all.
    #[cold]
    fn unforeseen(&mut self, host: HostId, place: u32, s: &mut Sch<P>) {
        let Some((_, c)) = self.hosts[host.0 as usize].tcp.at(place) else { return };
        let Some(f) = c.foreseen.take() else { return };
        s.arm_as(c.timer, f.before);
        let (from, to, plane) = (c.remote, c.local, c.plane);
        let event = Ev::Ack { ports: f.ports, sent: f.sent, plane, from, to, number: f.number };
        s.at_as(f.at, f.id, f.cause, event);
    }
    /// All connections of a host are settled.
    pub(crate) fn settle_all(&mut self, host: HostId, s: &mut Sch<P>) {
        for place in 0..self.hosts[host.0 as usize].tcp.room() {
            self.settle(host, place, s);
        }
    }
}
