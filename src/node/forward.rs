//! What a host's kernel does with packets that are not, or not only, its own: the hook in which a load balancer sits, default gateways,
//! and addresses on the loopback or a tunnel interface.
//!
//! Source: ip-sysctl (`arp_ignore`, `ip_forward`), netfilter's LOCAL_IN and FORWARD hooks as IPVS uses them. The hook decides in no
//! time. **Not modelled:** plain routing between networks (a packet for somebody else that the hook does not want is dropped), time to
//! live, path MTU, ICMP other than "port unreachable" and "host unreachable".

use super::process::{HostId, Process};
use super::tcp::Segment;
use super::world::{Host, Payload, Sch, World};
use crate::engine::Time;
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::log::What;

/// An address of a host that is not on a network's interface: the host takes packets to it, but does not advertise it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quiet {
    /// The address.
    pub ip: Ip,
    /// It is on a tunnel interface, which also unpacks what is tunnelled to the host; otherwise on `lo`.
    pub tunnel: bool,
    /// The host answers ARP requests for it all the same (`arp_ignore` 0).
    pub arp: bool,
}

/// What a packet is, as far as a load balancer looks into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flag {
    /// A segment with SYN.
    Syn,
    /// A segment with FIN.
    Fin,
    /// A segment with RST.
    Rst,
    /// Any other segment.
    Ack,
    /// A datagram.
    Datagram,
    /// The kernel asks whom a packet of this flow belongs to, to report an error.
    Error,
}

/// A packet, as the hook sees it.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Source.
    pub from: Endpoint,
    /// Destination.
    pub to: Endpoint,
    /// What it is.
    pub flag: Flag,
    /// The destination is an own address of the host.
    pub local: bool,
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// As without the hook.
    Pass,
    /// It is dropped, and nobody is told.
    Drop,
    /// It is dropped, and the sender gets ICMP "port unreachable".
    Refuse,
    /// It goes on.
    Forward {
        /// The host to hand it to.
        via: Ip,
        /// The source that it has from here on.
        from: Endpoint,
        /// The destination that it has from here on.
        to: Endpoint,
        /// Packed into another IP packet, to `via`.
        tunnel: bool,
    },
}

impl<M, F> Host<M, F> {
    /// Whether it takes packets to this address.
    #[inline]
    pub(crate) fn takes(&self, ip: Ip) -> bool {
        self.addresses.iter().any(|(_, a)| a.ip == ip) || self.quiet.iter().any(|q| q.ip == ip)
    }
}

impl<P: Process> World<P> {
    /// Whether a host takes packets to this address.
    #[inline]
    pub(crate) fn owns(&self, host: HostId, ip: Ip) -> bool {
        self.hosts[host.0 as usize].takes(ip)
    }
    /// Whether a host answers ARP requests for this address.
    pub(crate) fn answers_arp(&self, host: HostId, ip: Ip) -> bool {
        let h = &self.hosts[host.0 as usize];
        h.addresses.iter().any(|(_, a)| a.ip == ip) || h.quiet.iter().any(|q| q.ip == ip && q.arp)
    }
    /// The host that a packet is handed to: its destination, or the default gateway if no network of the host has it.
    #[inline]
    pub(crate) fn next_hop(&self, host: HostId, to: Ip) -> Ip {
        let h = &self.hosts[host.0 as usize];
        match h.gateway {
            Some(gateway) if !h.addresses.iter().any(|(_, a)| a.prefix < 32 && a.contains(to)) => gateway,
            _ => to,
        }
    }

    /// Lets the hook see a segment or a datagram; returns it if the host goes on with it as its own.
    pub(crate) fn hook(
        &mut self,
        host: HostId,
        plane: Plane,
        payload: Payload<P::Msg>,
        s: &mut Sch<P>,
    ) -> Option<Payload<P::Msg>> {
        let (from, to, flag) = match &payload {
            Payload::Tcp(from, to, segment) => {
                let flag = match segment {
                    Segment::Syn | Segment::SynAck => Flag::Syn,
                    Segment::Data(_, None) => Flag::Fin,
                    Segment::Rst => Flag::Rst,
                    Segment::Unreachable(_) => return Some(payload),
                    Segment::Data(..) | Segment::Ack(_) | Segment::Probe => Flag::Ack,
                };
                (*from, *to, flag)
            }
            Payload::Datagram(from, to, _) => (*from, *to, Flag::Datagram),
            Payload::Arp { .. } | Payload::Tunnel(..) => return Some(payload),
        };
        let packet = Packet { from, to, flag, local: self.owns(host, to.ip) };
        match self.ask_hook(host, &packet, s) {
            Verdict::Pass => Some(payload),
            Verdict::Drop => None,
            Verdict::Refuse => {
                if flag != Flag::Datagram {
                    let answer = Payload::Tcp(to, from, Segment::Unreachable(false));
                    self.emit(host, from.ip, plane, answer, s);
                }
                None
            }
            Verdict::Forward { via, from, to, tunnel } => {
                let payload = match payload {
                    Payload::Tcp(_, _, segment) => Payload::Tcp(from, to, segment),
                    Payload::Datagram(_, _, msg) => Payload::Datagram(from, to, msg),
                    other => other,
                };
                if self.owns(host, via) {
                    return Some(payload);
                }
                let payload = if tunnel { Payload::Tunnel(via, Box::new(payload)) } else { payload };
                self.emit(host, via, plane, payload, s);
                None
            }
        }
    }
    fn ask_hook(&mut self, host: HostId, packet: &Packet, s: &Sch<P>) -> Verdict {
        let now: Time = self.clock(host, s.now());
        let mut notes = Vec::new();
        let verdict = P::forward(&mut self.hosts[host.0 as usize].files, packet, now, &mut notes);
        for note in notes {
            self.tell(s, Some(host), None, What::Note(note));
        }
        verdict
    }

    /// What a tunnel carries for this host, if the host has the tunnel.
    pub(crate) fn unpack(&self, host: HostId, outer: Ip, inner: Payload<P::Msg>) -> Option<Payload<P::Msg>> {
        let (Payload::Tcp(_, to, _) | Payload::Datagram(_, to, _)) = &inner else { return None };
        let has = self.hosts[host.0 as usize].quiet.iter().any(|q| q.tunnel && q.ip == to.ip);
        (self.owns(host, outer) && has).then_some(inner)
    }

    /// Nobody answered for the next hop of a packet: an own connection fails, the sender of a forwarded one gets ICMP "host unreachable".
    pub(crate) fn undeliverable(
        &mut self,
        host: HostId,
        plane: Plane,
        payload: Payload<P::Msg>,
        s: &mut Sch<P>,
    ) {
        let payload = if let Payload::Tunnel(_, inner) = payload { *inner } else { payload };
        let Payload::Tcp(from, to, Segment::Syn) = payload else { return };
        if self.owns(host, from.ip) {
            self.tcp_unreachable(host, from.port, to, s);
            return;
        }
        // The address that the sender knows, if the packet had been rewritten.
        let question = Packet { from: to, to: from, flag: Flag::Error, local: false };
        let known = match self.ask_hook(host, &question, s) {
            Verdict::Forward { from, .. } => from,
            _ => to,
        };
        self.emit(host, from.ip, plane, Payload::Tcp(known, from, Segment::Unreachable(true)), s);
    }
}
