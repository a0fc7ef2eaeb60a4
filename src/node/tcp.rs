//! TCP as far as clients notice: handshakes, resets, retransmission back-off, user timeout, keepalive, half-open connections.
//!
//! Source: tcp(7), ip-sysctl. A SYN is repeated after 1, 3, 7, 15, ... s; a segment after 0.2, 0.6, 1.4, 3.0, ... s, the interval
//! doubling up to 120 s; a connection dies with `tcp_retries2` (about 924.6 s) or `TCP_USER_TIMEOUT`.
//!
//! **Not modelled:** windows, congestion, segmentation, TIME_WAIT, SYN cookies, round-trip estimates (the RTO starts at 0.2 s).

use super::process::{ConnId, Pid, Tcp, TcpOptions};
use crate::engine::{Span, Time, TimerId};
use crate::net::Plane;
use crate::net::addr::Endpoint;
use std::collections::{BTreeMap, VecDeque};

/// What a segment says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Segment<M> {
    /// Open.
    Syn,
    /// Open, and your SYN was heard.
    SynAck,
    /// Message number n; `None` is the end (FIN).
    Data(u32, Option<M>),
    /// Everything below n has arrived.
    Ack(u32),
    /// No such connection.
    Rst,
    /// Are you there? (keepalive probe)
    Probe,
    /// ICMP, not TCP: the host (`true`) or the port cannot be reached. It ends an attempt to connect and nothing else.
    Unreachable(bool),
}

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// SYN sent.
    SynSent,
    /// SYN received, SYN-ACK sent.
    SynReceived,
    /// Open.
    Open,
}

/// A place that is no connection's.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Segments that were sent and not acknowledged: number and message, the oldest first.
pub type Unacked<M> = VecDeque<(u32, Option<M>)>;

/// A connection of a host's kernel.
#[derive(Clone, Debug)]
pub struct Conn<M> {
    /// Its process.
    pub owner: Pid,
    /// Own end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// What it belongs to.
    pub plane: Plane,
    /// Options.
    pub options: TcpOptions,
    /// Where it stands.
    pub state: State,
    /// Sent, not acknowledged: number and message, the oldest first.
    pub unacked: Unacked<M>,
    /// The next number to send.
    pub send_next: u32,
    /// The next number expected.
    pub recv_next: u32,
    /// Arrived before what comes before it.
    pub ahead: Vec<(u32, Option<M>)>,
    /// Retransmissions of the oldest segment so far.
    pub retries: u32,
    /// When the oldest unacknowledged segment was sent first.
    pub since: Time,
    /// When anything came from the other side.
    pub heard: Time,
    /// Keepalive probes without an answer.
    pub probes: u32,
    /// The one timer.
    pub timer: TimerId,
    /// The own side has closed.
    pub closed: bool,
    /// It has, but its process goes on reading.
    pub reading: bool,
    /// The other side has closed.
    pub peer_closed: bool,
    /// The place of the way to the other end, and of the connection at that end.
    pub(crate) near: (u16, u32),
    /// An acknowledgement under way that needs no event.
    pub(crate) foreseen: Option<super::ack::Foreseen>,
}

/// Which of the processes that wait in `accept` on one listening port gets the next connection. (The kernel promises nothing.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Pick {
    /// Any of them, all equally likely.
    #[default]
    Uniform,
    /// The one that has waited shortest.
    Lifo,
    /// The one that has waited longest.
    Fifo,
}

/// A connection whose handshake is over and that nobody has accepted: what has happened to it since waits with it.
#[derive(Clone, Debug)]
pub struct Queued<M> {
    /// Its number.
    pub id: ConnId,
    /// The peer.
    pub from: Endpoint,
    /// The local address.
    pub to: Endpoint,
    /// Since when.
    pub since: Time,
    /// What came meanwhile.
    pub news: Vec<Tcp<M>>,
}
/// A listening port that several processes accept on: the process that opened it, and those that inherited it.
#[derive(Clone, Debug)]
pub struct Shared<M> {
    /// Who gets the next connection.
    pub pick: Pick,
    /// Connections that wait, the oldest first.
    pub queue: VecDeque<Queued<M>>,
    /// Processes that wait in `accept`, in the order in which they came.
    pub acceptors: Vec<Pid>,
    /// SYNs that found the queue full, and were dropped.
    pub dropped: u64,
    /// It has been told that somebody waits.
    pub(crate) told: bool,
}

/// The connections and listening ports of a host. Connections lie in places that are used again, so that opening and closing them
/// allocates nothing in the long run; two indices find them.
#[derive(Clone, Debug)]
pub struct Table<M> {
    places: Vec<Option<(ConnId, Conn<M>)>>,
    free: Vec<u32>,
    by_id: Index,
    by_peer: Index,
    /// The place that was asked for last: a segment asks for the same connection many times.
    last: u32,
    /// Queues of closed connections, kept for their room.
    spare: Vec<Unacked<M>>,
    /// Listening ports: process and length of the accept queue.
    pub listeners: BTreeMap<u16, (Pid, u32)>,
    /// Connections that processes know of but have not accepted, by listening port.
    pub unaccepted: BTreeMap<u16, u32>,
    /// Listening ports that several processes accept on.
    pub shared: BTreeMap<u16, Shared<M>>,
    /// The next ephemeral port.
    pub next_port: u16,
}
impl<M> Default for Table<M> {
    fn default() -> Self {
        Table {
            places: Vec::new(),
            free: Vec::new(),
            by_id: Index::default(),
            by_peer: Index::default(),
            last: 0,
            spare: Vec::new(),
            listeners: BTreeMap::new(),
            unaccepted: BTreeMap::new(),
            shared: BTreeMap::new(),
            next_port: 32768,
        }
    }
}

impl<M> Table<M> {
    /// A free port for an outgoing connection (32768 to 60999, in order).
    pub fn port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = if port >= 60_999 { 32_768 } else { port + 1 };
        port
    }
    /// A connection by number.
    pub fn get(&self, id: ConnId) -> Option<&Conn<M>> {
        let place = self.place(id)?;
        self.places[place as usize].as_ref().map(|c| &c.1)
    }
    /// The same, to be changed.
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn<M>> {
        let place = self.place(id)?;
        self.last = place;
        self.places[place as usize].as_mut().map(|c| &mut c.1)
    }
    #[inline]
    fn place(&self, id: ConnId) -> Option<u32> {
        if let Some(Some((here, _))) = self.places.get(self.last as usize)
            && *here == id
        {
            return Some(self.last);
        }
        self.by_id.get(u64::from(id.0))
    }
    /// Where a connection lies.
    #[inline]
    pub(crate) fn find(&mut self, id: ConnId) -> Option<u32> {
        let place = self.place(id)?;
        self.last = place;
        Some(place)
    }
    /// The connection in a place.
    #[inline]
    pub(crate) fn at(&mut self, place: u32) -> Option<&mut (ConnId, Conn<M>)> {
        self.places.get_mut(place as usize)?.as_mut()
    }
    /// The place of the connection between an own end and another; `near` is where it was the last time.
    #[inline]
    pub(crate) fn peer(&mut self, local: Endpoint, remote: Endpoint, near: u32) -> Option<u32> {
        if let Some(Some((_, c))) = self.places.get(near as usize)
            && c.local == local
            && c.remote == remote
        {
            self.last = near;
            return Some(near);
        }
        let id = self.by_peer.get(peer_key(local.port, remote)).map(ConnId)?;
        let place = self.find(id)?;
        self.at(place).filter(|c| c.1.local.ip == local.ip).map(|_| place)
    }
    /// The connection of an own port with another end, whatever the own address.
    pub(crate) fn to(&self, port: u16, remote: Endpoint) -> Option<ConnId> {
        self.by_peer.get(peer_key(port, remote)).map(ConnId)
    }
    /// A queue for [`Conn::unacked`].
    pub fn queue(&mut self) -> Unacked<M> {
        self.spare.pop().unwrap_or_default()
    }
    /// Takes a connection in.
    pub fn insert(&mut self, id: ConnId, conn: Conn<M>) {
        self.by_peer.set(peer_key(conn.local.port, conn.remote), id.0);
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        });
        self.places[place as usize] = Some((id, conn));
        self.last = place;
        if let Some(old) = self.by_id.set(u64::from(id.0), place) {
            self.places[old as usize] = None;
            self.free.push(old);
        }
    }
    /// Forgets a connection; returns its timer.
    pub fn remove(&mut self, id: ConnId) -> Option<TimerId> {
        let place = self.by_id.remove(u64::from(id.0))?;
        self.free.push(place);
        let (_, mut conn) = self.places[place as usize].take()?;
        let peer = peer_key(conn.local.port, conn.remote);
        if self.by_peer.get(peer) == Some(id.0) {
            self.by_peer.remove(peer);
        }
        conn.unacked.clear();
        self.spare.push(conn.unacked);
        Some(conn.timer)
    }
    /// How many places there are.
    pub(crate) fn room(&self) -> u32 {
        self.places.len() as u32
    }
    /// The connections, by number.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &Conn<M>)> {
        let mut all: Vec<_> = self.places.iter().flatten().map(|(id, c)| (*id, c)).collect();
        all.sort_unstable_by_key(|c| c.0);
        all.into_iter()
    }
}

/// An own port and another end as one number.
#[inline]
fn peer_key(port: u16, remote: Endpoint) -> u64 {
    (u64::from(port) << 48) | (u64::from(remote.ip.0) << 16) | u64::from(remote.port)
}

/// Numbers found by numbers, in slots of which the key says the first to look at. Nothing ever walks through it, so that its order is
/// nobody's order.
#[derive(Clone, Debug, Default)]
struct Index {
    slots: Vec<(u64, u32)>,
    used: usize,
}
const EMPTY: u32 = u32::MAX;

impl Index {
    #[inline]
    fn first(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & (self.slots.len() - 1)
    }
    /// The slot of a key, or the empty one where it would be; there are slots.
    #[inline]
    fn slot(&self, key: u64) -> usize {
        let mut i = self.first(key);
        while self.slots[i].1 != EMPTY && self.slots[i].0 != key {
            i = (i + 1) & (self.slots.len() - 1);
        }
        i
    }
    #[inline]
    fn get(&self, key: u64) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        Some(self.slots[self.slot(key)].1).filter(|v| *v != EMPTY)
    }
    /// Sets a key's number and returns the one that it had.
    fn set(&mut self, key: u64, value: u32) -> Option<u32> {
        if self.used * 4 >= self.slots.len() {
            let more = vec![(0, EMPTY); (self.slots.len() * 2).max(16)];
            let old = std::mem::replace(&mut self.slots, more);
            for (key, value) in old.into_iter().filter(|s| s.1 != EMPTY) {
                let i = self.slot(key);
                self.slots[i] = (key, value);
            }
        }
        let i = self.slot(key);
        let old = std::mem::replace(&mut self.slots[i], (key, value)).1;
        if old == EMPTY {
            self.used += 1;
            return None;
        }
        Some(old)
    }
    fn remove(&mut self, key: u64) -> Option<u32> {
        let old = self.get(key)?;
        let mask = self.slots.len() - 1;
        let mut hole = self.slot(key);
        self.used -= 1;
        // What had to go past the hole moves into it.
        let mut i = hole;
        loop {
            i = (i + 1) & mask;
            if self.slots[i].1 == EMPTY {
                break;
            }
            let first = self.first(self.slots[i].0);
            if (i.wrapping_sub(first) & mask) >= (i.wrapping_sub(hole) & mask) {
                self.slots[hole] = self.slots[i];
                hole = i;
            }
        }
        self.slots[hole].1 = EMPTY;
        Some(old)
    }
}

/// The first retransmission timeout.
pub const RTO_MIN: Span = Span::ms(200);
/// The longest.
pub const RTO_MAX: Span = Span::secs(120);

/// The wait before the next try after `retries` tries: of a SYN (1 s doubling), of anything else (0.2 s doubling).
#[inline]
pub fn backoff(syn: bool, retries: u32) -> Span {
    let base = if syn { Span::secs(1) } else { RTO_MIN };
    base.times(1u64.checked_shl(retries).unwrap_or(u64::MAX)).min(RTO_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_agrees_with_a_map() {
        let (mut index, mut map) = (Index::default(), BTreeMap::new());
        let mut x = 1u64;
        for n in 0..20_000u32 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Keys from a small range, some alike in their low bits, so that slots are fought over.
            let key = ((x >> 40) % 97) << (8 * ((x >> 60) % 3));
            if (x >> 20) % 5 < 2 {
                assert_eq!(index.remove(key), map.remove(&key));
            } else {
                assert_eq!(index.set(key, n), map.insert(key, n));
            }
            assert_eq!(index.used, map.len());
        }
        for key in 0..97u64 {
            for shift in [0, 8, 16] {
                assert_eq!(index.get(key << shift), map.get(&(key << shift)).copied());
            }
        }
    }

    #[test]
    fn retransmissions_come_when_linux_sends_them() {
        let mut at = Span::ZERO;
        let instants: Vec<u64> = (0..8)
            .map(|n| {
                at += backoff(false, n);
                at.as_ms()
            })
            .collect();
        assert_eq!(instants, [200, 600, 1_400, 3_000, 6_200, 12_600, 25_400, 51_000]);
        let total: u64 = (0..16).map(|n| backoff(false, n).as_ms()).sum();
        assert_eq!(total, 924_600, "tcp_retries2 = 15: the sixteenth wait ends the connection");
        let syn: u64 = (0..7).map(|n| backoff(true, n).as_ms()).sum();
        assert_eq!(syn, 127_000, "tcp_syn_retries = 6");
    }
}
