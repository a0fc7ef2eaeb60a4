//! How packets leave a host and cross a network: routes, ways that are known, the switch, delay and loss.
//!
//! A packet needs a route, a neighbour entry, an interface with carrier, the switch and the pair's random streams. For nearly all packets that is
//! what the one before needed. So what was found is kept as a [`Way`] until anything changes that it rests on: [`World::ways_changed`]
//! is called for addresses, carriers, power, and neighbour entries that move or may not be used as they are. Loss, duplication, delays
//! and rules are looked at for every frame.

use super::log::LostBy;
use super::process::{HostId, NetId, Process};
use super::tcp::{NOWHERE, Segment};
use super::world::{Ev, Frame, Net, Payload, Power, Sch, World};
use crate::engine::random::{StreamId, Streams};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::{Ip, Mac};
use crate::net::arp::{Entry as Neigh, Nud};
use crate::net::rules::{Effect, Rule};

/// Time for a packet to go through the loopback interface.
const LOOPBACK: Span = Span::us(10);
/// As many ways are kept of a host; packets to further addresses look for theirs each time.
const WAYS: usize = 64;

/// How packets of a host get to an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// The address.
    ip: Ip,
    /// The epoch of the world in which it was found.
    epoch: u32,
    /// The host's own address on the way.
    pub(crate) own: Ip,
    /// The interface that frames leave, and the one that they reach.
    pub(crate) ports: (Mac, Mac),
    /// The network, and the streams of delay and fate; the host itself is reached over none.
    net: Option<(NetId, (StreamId, StreamId))>,
    /// The host at the other end, and which of its interfaces it is.
    pub(crate) end: (HostId, u16),
    /// That host has power and the address, and its interface carrier.
    pub(crate) heard: bool,
    /// The place of the neighbour entry.
    neigh: u16,
}

impl Way {
    /// Whether it is still a way to this address.
    #[inline]
    pub(crate) fn leads(&self, to: Ip, epoch: u32) -> bool {
        self.ip == to && self.epoch == epoch
    }
    /// See [`World::go_along`]. (Three copies of it would cost more than three calls.)
    #[inline(never)]
    pub(crate) fn go(
        &self,
        neigh: &mut [(NetId, Neigh)],
        nets: &mut [Net],
        rules: &[Rule],
        streams: &mut Streams,
        now: Time,
    ) -> Option<Time> {
        let Some((net, (delay, _))) = self.net else { return Some(now + LOOPBACK) };
        neigh[self.neigh as usize].1.used = now;
        let n = &mut nets[net.0 as usize];
        n.learn(self.ports.0, now);
        n.look_up(self.ports.1, now);
        if n.loss.ppb > 0 || n.duplicate.ppb > 0 || !rules.is_empty() {
            return None;
        }
        Some(now + streams.span(delay, n.latency))
    }
}

impl<P: Process> World<P> {
    /// Something changed on which ways rest.
    #[inline]
    pub(crate) fn ways_changed(&mut self) {
        self.epoch += 1;
    }
    /// The way to an address, if one is known or can be found; `near` is the place where it was the last time.
    #[inline]
    pub(crate) fn way(&mut self, host: HostId, ip: Ip, near: u16) -> Option<u16> {
        let ways = &self.hosts[host.0 as usize].ways;
        let at = match ways.get(near as usize) {
            Some(w) if w.ip == ip => Some(near as usize),
            _ => ways.iter().position(|w| w.ip == ip),
        };
        match at {
            Some(i) if ways[i].epoch == self.epoch => Some(i as u16),
            at => self.explore(host, ip, at),
        }
    }
    /// Looks for a way, and keeps it at this place or a new one.
    #[cold]
    fn explore(&mut self, host: HostId, ip: Ip, at: Option<usize>) -> Option<u16> {
        let i = at.unwrap_or(self.hosts[host.0 as usize].ways.len());
        if i >= WAYS {
            return None;
        }
        let way = self.find_way(host, ip)?;
        let ways = &mut self.hosts[host.0 as usize].ways;
        match ways.get_mut(i) {
            Some(w) => *w = way,
            None => ways.push(way),
        }
        Some(i as u16)
    }
    fn find_way(&mut self, host: HostId, ip: Ip) -> Option<Way> {
        let epoch = self.epoch;
        let h = &self.hosts[host.0 as usize];
        if h.power != Power::On {
            return None;
        }
        if self.owns(host, ip) {
            let mac = h.nics.first()?.mac;
            let end = (host, 0);
            return Some(Way {
                ip,
                epoch,
                own: ip,
                ports: (mac, mac),
                net: None,
                end,
                heard: true,
                neigh: 0,
            });
        }
        let hop = self.next_hop(host, ip);
        let (net, own) = self.link(host, hop)?;
        let nic = h.nics.iter().find(|n| n.net == net)?;
        let neigh = h.neigh.iter().position(|(n, e)| *n == net && e.ip == hop)?;
        let entry = &h.neigh[neigh].1;
        if !nic.carrier || !matches!(entry.state, Nud::Reachable | Nud::Delay | Nud::Probe) {
            return None;
        }
        let ports = (nic.mac, entry.mac);
        let end = *self.macs.get(entry.mac.0 as usize).filter(|(h, _)| h.0 != u16::MAX)?;
        let neigh = u16::try_from(neigh).ok()?;
        let net = Some((net, self.streams_of(host, end.0, net)));
        let heard = self.host(end.0).hears(end.1, ports, ip);
        Some(Way { ip, epoch, own, ports, net, end, heard, neigh })
    }
    /// A known way.
    #[inline]
    pub(crate) fn known(&self, host: HostId, way: u16) -> Way {
        self.hosts[host.0 as usize].ways[way as usize]
    }
    /// A packet goes along a way: when it arrives, unless the network or a rule may do more to it than delay it.
    #[inline]
    pub(crate) fn go_along(&mut self, host: HostId, way: &Way, now: Time) -> Option<Time> {
        let h = &mut self.hosts[host.0 as usize];
        way.go(&mut h.neigh, &mut self.nets, &self.rules, &mut self.streams, now)
    }
    /// TCP progress confirms the neighbour on the way to an address; `near` is where the way was the last time.
    #[inline]
    pub(crate) fn confirm_along(&mut self, host: HostId, ip: Ip, near: u16, at: Time) {
        let h = &mut self.hosts[host.0 as usize];
        match h.ways.get(near as usize) {
            Some(w) if w.leads(ip, self.epoch) && w.net.is_some() => {
                let e = &mut h.neigh[w.neigh as usize].1;
                e.confirmed = e.confirmed.max(at);
            }
            _ => self.confirm(host, ip, at),
        }
    }
    /// Sends a packet along a way.
    pub(crate) fn send_along(
        &mut self,
        host: HostId,
        way: &Way,
        plane: Plane,
        payload: Payload<P::Msg>,
        s: &mut Sch<P>,
    ) {
        let frame = Frame { from: way.ports.0, to: way.ports.1, plane, payload };
        match self.go_along(host, way, s.now()) {
            Some(at) => self.fly(at, way.ports.1, frame, s),
            None => self.wire_along(host, way, frame, s),
        }
    }
    /// A frame goes along a way on which more may happen to it than a delay.
    #[cold]
    pub(crate) fn wire_along(&mut self, host: HostId, way: &Way, frame: Frame<P::Msg>, s: &mut Sch<P>) {
        if let Some((net, _)) = way.net {
            self.wire(host, way.end.0, way.ports.1, net, frame, s);
        }
    }

    /// Puts a frame on a network: the switch passes it to the interface that it is for, or to all.
    pub(crate) fn transmit(&mut self, host: HostId, net: NetId, frame: Frame<P::Msg>, s: &mut Sch<P>) {
        let Some(nic) = self.hosts[host.0 as usize].nics.iter().find(|n| n.net == net) else { return };
        if !nic.carrier || self.hosts[host.0 as usize].power != Power::On {
            let label = self.frame_label(&frame);
            self.lost(s, host, host, label, LostBy::NoCarrier);
            return;
        }
        self.nets[net.0 as usize].learn(frame.from, s.now());
        if frame.to == Mac::ALL {
            for i in 0..self.nets[net.0 as usize].ports.len() {
                let (to, mac) = self.nets[net.0 as usize].ports[i];
                if to != host {
                    self.wire(host, to, mac, net, frame.clone(), s);
                }
            }
            return;
        }
        if let Some(to) = self.mac_host(frame.to) {
            let mac = frame.to;
            // The other interfaces see a flooded frame and drop it: it is not for their address.
            self.nets[net.0 as usize].look_up(mac, s.now());
            self.wire(host, to, mac, net, frame, s);
        }
    }

    /// One copy of a frame on its way from host to host.
    pub(crate) fn wire(
        &mut self,
        from: HostId,
        to: HostId,
        mac: Mac,
        net: NetId,
        frame: Frame<P::Msg>,
        s: &mut Sch<P>,
    ) {
        let (latency, loss, duplicate) = {
            let n = &self.nets[net.0 as usize];
            (n.latency, n.loss, n.duplicate)
        };
        let (delay_stream, fate) = self.streams_of(from, to, net);
        let mut extra = Span::ZERO;
        let mut twice = duplicate.ppb > 0 && self.streams.chance(fate, duplicate);
        if loss.ppb > 0 && self.streams.chance(fate, loss) {
            let label = self.frame_label(&frame);
            self.lost(s, from, to, label, LostBy::Chance);
            return;
        }
        for i in 0..self.rules.len() {
            if !self.rules[i].matches(from.0, to.0, frame.plane) {
                continue;
            }
            let by = self.rules[i].by;
            let gone = match &mut self.rules[i].effect {
                Effect::Drop => true,
                Effect::DropNext(0) => false,
                Effect::DropNext(n) => {
                    *n -= 1;
                    true
                }
                Effect::Loss(p) => self.streams.chance(fate, *p),
                Effect::LoseGarps => {
                    matches!(&frame.payload, Payload::Arp { sender, target, .. } if sender == target)
                }
                Effect::Delay(range) => {
                    extra += self.streams.span(fate, *range);
                    false
                }
                Effect::Duplicate(p) => {
                    twice |= self.streams.chance(fate, *p);
                    false
                }
                Effect::Reorder(p, range) => {
                    if self.streams.chance(fate, *p) {
                        extra += self.streams.span(fate, *range);
                    }
                    false
                }
            };
            if gone {
                let label = self.frame_label(&frame);
                self.lost(s, from, to, label, LostBy::Rule(by));
                return;
            }
        }
        if twice {
            let at = s.now() + self.streams.span(delay_stream, latency) + extra;
            self.fly(at, mac, frame.clone(), s);
        }
        let at = s.now() + self.streams.span(delay_stream, latency) + extra;
        self.fly(at, mac, frame, s);
    }
    /// A frame is on its way to an interface.
    fn fly(&mut self, at: Time, mac: Mac, frame: Frame<P::Msg>, s: &mut Sch<P>) {
        let (sent, from_mac, plane) = (s.now(), frame.from, frame.plane);
        let event = match frame.payload {
            Payload::Datagram(from, to, msg) => Ev::Datagram { from_mac, mac, sent, plane, from, to, msg },
            Payload::Tcp(from, to, segment) => {
                if let Segment::Ack(n) = segment {
                    let (host, nic) = self.macs[mac.0 as usize];
                    let ports = (from_mac, mac);
                    if self.host(host).hears(nic, ports, to.ip)
                        && self.foresee_unknown(at, host, ports, plane, (from, to), n, s).is_some()
                    {
                        return;
                    }
                }
                Ev::Segment { from_mac, mac, sent, plane, from, to, near: NOWHERE, segment }
            }
            _ => Ev::Arrive(mac, sent, self.flight.depart(frame)),
        };
        s.at(at, event);
    }

    /// The streams of delay and fate for frames from one host to another.
    fn streams_of(&mut self, from: HostId, to: HostId, net: NetId) -> (StreamId, StreamId) {
        let n = self.hosts.len();
        if self.pair.len() != n * n * self.nets.len() {
            self.pair = vec![None; n * n * self.nets.len()];
        }
        let i = (net.0 as usize * n + from.0 as usize) * n + to.0 as usize;
        if let Some(pair) = self.pair[i] {
            return pair;
        }
        let name = format!(
            "net/{}/{}-{}",
            self.nets[net.0 as usize].name, self.hosts[from.0 as usize].name, self.hosts[to.0 as usize].name
        );
        let tag = (u64::from(from.0) << 16) | u64::from(to.0);
        let pair = (
            self.streams.tagged(&format!("{name}/latency"), tag),
            self.streams.tagged(&format!("{name}/fate"), tag),
        );
        self.pair[i] = Some(pair);
        pair
    }

    /// The network and the own address for a destination.
    pub(crate) fn route(&self, host: HostId, to: Ip) -> Option<(NetId, Ip)> {
        self.link(host, self.next_hop(host, to))
    }
    /// The same for a host on one of the own networks.
    #[inline]
    fn link(&self, host: HostId, to: Ip) -> Option<(NetId, Ip)> {
        let h = &self.hosts[host.0 as usize];
        h.addresses.iter().find(|(_, a)| a.prefix < 32 && a.contains(to)).map(|(net, a)| {
            let own = h.addresses.iter().find(|(n, _)| n == net).map_or(a.ip, |(_, first)| first.ip);
            (*net, own)
        })
    }

    /// Sends a packet to a unicast address: locally, or through ARP.
    pub(crate) fn emit(
        &mut self,
        host: HostId,
        to: Ip,
        plane: Plane,
        payload: Payload<P::Msg>,
        s: &mut Sch<P>,
    ) -> bool {
        if let Some(way) = self.way(host, to, 0) {
            let way = self.known(host, way);
            self.send_along(host, &way, plane, payload, s);
            return true;
        }
        if self.owns(host, to) {
            let Some(mac) = self.hosts[host.0 as usize].nics.first().map(|n| n.mac) else { return false };
            self.fly(s.now() + LOOPBACK, mac, Frame { from: mac, to: mac, plane, payload }, s);
            return true;
        }
        let to = self.next_hop(host, to);
        let Some((net, own)) = self.link(host, to) else { return false };
        let Some(mac) = self.hosts[host.0 as usize].nics.iter().find(|n| n.net == net).map(|n| n.mac) else {
            return false;
        };
        let now = s.now();
        let mut frame = Frame { from: mac, to: Mac::ALL, plane, payload };
        match self.neigh_use(host, net, to, s) {
            Some(dst) => {
                frame.to = dst;
                self.transmit(host, net, frame, s);
            }
            None => {
                let asking = self.neigh_entry(host, net, to).map(|e| e.probes == 1 && e.updated == now);
                self.hosts[host.0 as usize].waiting.push((net, to, frame));
                if asking == Some(true)
                    && self.hosts[host.0 as usize].waiting.iter().filter(|w| w.1 == to).count() == 1
                {
                    self.arp_ask(host, net, own, to, Mac::ALL, s);
                }
            }
        }
        true
    }
}
