//! The state of a world: hosts, networks, processes, and the events that move them.

use super::disk::Disk;
use super::forward::Quiet;
use super::log::{Entry, Label, Level, Log, LostBy, What};
use super::process::{Action, ConnId, HostId, Input, NetId, Pid, Probe, Process, Timer};
use super::tcp::{Segment, Table};
use crate::engine::random::{StreamId, Streams};
use crate::engine::{Chance, EventId, Scheduler, Span, SpanRange, Time, TimerId};
use crate::net::Plane;
use crate::net::addr::{Cidr, Endpoint, Ip, Mac};
use crate::net::arp::{Entry as Neigh, NeighParms};
use crate::net::rules::Rule;
use std::collections::VecDeque;

/// What travels in a frame.
#[derive(Clone, Debug)]
pub enum Payload<M> {
    /// ARP: is it a reply, who says it (address and hardware address), about which address.
    Arp {
        /// A reply (or an announcement), not a question.
        reply: bool,
        /// The sender's address.
        sender: Ip,
        /// The sender's hardware address.
        mac: Mac,
        /// The address asked for.
        target: Ip,
    },
    /// A datagram.
    Datagram(Endpoint, Endpoint, M),
    /// A segment: from, to, what.
    Tcp(Endpoint, Endpoint, Segment<M>),
    /// A packet inside a packet to this address (IP in IP).
    Tunnel(Ip, Box<Payload<M>>),
}

/// A frame on a network.
#[derive(Clone, Debug)]
pub struct Frame<M> {
    /// Sender.
    pub from: Mac,
    /// Receiver, or [`Mac::ALL`].
    pub to: Mac,
    /// What it belongs to.
    pub plane: Plane,
    /// What it carries.
    pub payload: Payload<M>,
}

/// What can happen in a world.
#[derive(Clone, Debug)]
pub enum Ev<M> {
    /// A frame reaches an interface; when it was sent.
    Arrive(Mac, Time, FrameId),
    /// A datagram reaches an interface by unicast: the frame that heartbeat-heavy runs are made of, without a box.
    Datagram {
        /// Sender.
        from_mac: Mac,
        /// Receiver.
        mac: Mac,
        /// When it was sent.
        sent: Time,
        /// The plane.
        plane: Plane,
        /// Source.
        from: Endpoint,
        /// Destination.
        to: Endpoint,
        /// What it says.
        msg: M,
    },
    /// A segment reaches an interface by unicast.
    Segment {
        /// Sender.
        from_mac: Mac,
        /// Receiver.
        mac: Mac,
        /// When it was sent.
        sent: Time,
        /// The plane.
        plane: Plane,
        /// Source.
        from: Endpoint,
        /// Destination.
        to: Endpoint,
        /// Where the receiver found the connection the last time.
        near: u32,
        /// What it says.
        segment: Segment<M>,
    },
    /// An acknowledgement reaches an interface, and the identity of the timer that it sets was set aside.
    Ack {
        /// Sender and receiver.
        ports: (Mac, Mac),
        /// When it was sent.
        sent: Time,
        /// The plane.
        plane: Plane,
        /// Source.
        from: Endpoint,
        /// Destination.
        to: Endpoint,
        /// Everything below this number has arrived.
        number: u32,
    },
    /// A timer of a process ran out; the second number is the process's generation.
    Timer(Pid, u32, Timer),
    /// A process gets to its inbox.
    Wake(Pid, u32),
    /// A neighbour entry's timer.
    Neigh(HostId, NetId, Ip),
    /// A connection's timer.
    Tcp(HostId, ConnId),
    /// A check script ends.
    Exec(Pid, u32, u16, Box<(Probe, bool)>),
    /// The disk has written what a process asked it to keep.
    Synced(Pid, u32, u16),
    /// The watchdog's time is over; the number is the host's power generation.
    Watchdog(HostId, u32),
    /// A host that reboots goes down; the number is the host's power generation.
    Shutdown(HostId, u32),
    /// A host has booted; the number is the host's power generation.
    Booted(HostId, u32),
    /// A daemon starts.
    Start(Pid, u32),
    /// A frozen host goes on; the number is the host's freeze generation.
    Thaw(HostId, u32),
    /// Something of the floors above: a fault, a deadline.
    Outer(u32),
}

/// Whether a host has power.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
pub enum Power {
    /// No power.
    Off,
    /// On its way up.
    Booting,
    /// Up.
    On,
}

/// How a host stands still.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Freeze {
    /// Since when.
    pub since: Time,
    /// Its kernel goes on hearing, queueing and answering ARP.
    pub queued: bool,
    /// Its clocks stand still too.
    pub clock_stops: bool,
}

/// A host's watchdog device (`/dev/watchdog`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WatchdogDevice {
    /// There is one.
    pub present: bool,
    /// It is a timer of the hardware, which runs on when the kernel stands still; otherwise `softdog`, a timer of the kernel.
    pub hardware: bool,
    /// Its timeout, as it was set last.
    pub timeout: Span,
    /// When it was fed last.
    pub fed: Time,
    /// It counts down with this timer.
    pub(crate) running: Option<TimerId>,
    /// It ran out while the kernel stood still.
    pub(crate) overdue: bool,
}
impl WatchdogDevice {
    /// Whether it counts down.
    pub fn armed(&self) -> bool {
        self.running.is_some()
    }
}

/// An interface.
#[derive(Clone, Debug)]
pub struct Nic {
    /// The network that it is plugged into.
    pub net: NetId,
    /// Its hardware address.
    pub mac: Mac,
    /// Carrier.
    pub carrier: bool,
    /// Address that it gets at boot.
    pub primary: Cidr,
}

/// A host.
#[derive(Clone, Debug)]
pub struct Host<M, F = ()> {
    /// Its name.
    pub name: String,
    /// The site that it stands in, if it was said.
    pub site: Option<String>,
    /// Power.
    pub power: Power,
    /// Counts power cycles, so that events of an earlier life are known.
    pub life: u32,
    /// Standing still.
    pub freeze: Option<Freeze>,
    /// Counts freezes.
    pub freezes: u32,
    /// Wall clock minus true time, in nanoseconds.
    pub clock_offset: i64,
    /// Parts per million by which its clocks run fast.
    pub drift_ppm: i32,
    /// How long its monotonic clock has stood still.
    pub stood_still: Span,
    /// The disk.
    pub disk: Disk,
    /// The watchdog.
    pub watchdog: WatchdogDevice,
    /// The outlets that it is plugged into: whose they are (a process), and whether they are on. None: a supply that nobody switches.
    pub outlets: Vec<(Pid, bool)>,
    /// The host from whose power supply it lives.
    pub fed_by: Option<HostId>,
    /// Files that several processes read and write.
    pub files: F,
    /// Interfaces.
    pub nics: Vec<Nic>,
    /// Configured addresses, oldest first.
    pub addresses: Vec<(NetId, Cidr)>,
    /// Addresses on its loopback and tunnel interfaces.
    pub quiet: Vec<Quiet>,
    /// The default gateway.
    pub gateway: Option<Ip>,
    /// The neighbour cache.
    pub neigh: Vec<(NetId, Neigh)>,
    /// How its packets get to addresses.
    pub(crate) ways: Vec<super::wire::Way>,
    /// Packets that wait for an ARP answer.
    pub waiting: Vec<(NetId, Ip, Frame<M>)>,
    /// Cache settings.
    pub parms: NeighParms,
    /// `tcp_syn_retries`.
    pub tcp_syn_retries: u32,
    /// `tcp_retries2`.
    pub tcp_retries2: u32,
    /// TCP.
    pub tcp: Table<M>,
    /// The next connection number.
    pub next_conn: u32,
    /// Datagram ports: port and process.
    pub bound: Vec<(u16, Pid)>,
    /// Its daemons (parents first), in order of start.
    pub procs: Vec<Pid>,
    /// Power-on to daemons.
    pub boot_time: SpanRange,
    /// From SIGTERM to the end of the kernel, in a reboot.
    pub shutdown_time: Span,
    /// What is stopped first in a reboot, and waited for: it stops by itself what it manages (pacemakerd).
    pub stops_first: Option<Pid>,
    /// What is stopped only when that has ended: what it needs (Corosync), and what it manages.
    pub stops_last: Vec<Pid>,
    /// A reboot waits for `stops_first`.
    pub(crate) stopping: bool,
    /// Arrival of an input to its handling.
    pub wakeup: SpanRange,
    pub(crate) s_disk: StreamId,
    pub(crate) s_wakeup: StreamId,
    pub(crate) s_reachable: StreamId,
    pub(crate) tick_phase: Span,
    pub(crate) reachable_phase: Span,
    /// How many reachable times have been drawn, and the last.
    pub(crate) reachable: (u64, Span),
}

impl<M, F> Host<M, F> {
    /// Whether a segment between two interfaces, of which this one is its own, reaches its kernel and is for it; unless it is frozen.
    pub(crate) fn hears(&self, nic: u16, ports: (Mac, Mac), to: Ip) -> bool {
        let carrier = ports.0 == ports.1 || self.nics[nic as usize].carrier;
        self.power == Power::On && carrier && self.takes(to)
    }
    /// Whether its processes handle an input as soon as it is there.
    #[inline]
    pub(crate) fn gets_to_it(&self) -> bool {
        self.power == Power::On && self.freeze.is_none() && self.wakeup.max == Span::ZERO
    }
}

/// How a process is doing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
pub enum Life {
    /// It does not exist.
    Dead,
    /// It runs.
    Running,
    /// SIGSTOP.
    Stopped,
    /// It hangs in the kernel: no signal reaches it.
    Hung,
}

/// A process.
#[derive(Clone, Debug)]
pub struct Proc<P: Process> {
    /// Its name, "keepalived" or "keepalived/vrrp".
    pub name: String,
    /// Its host.
    pub host: HostId,
    /// Its parent.
    pub parent: Option<Pid>,
    /// How it is doing.
    pub life: Life,
    /// Counts starts, so that timers of an earlier life are known.
    pub generation: u32,
    /// The state machine.
    pub logic: P,
    /// What it draws from.
    pub(crate) luck: StreamId,
    /// Started at boot (a child is started by its parent).
    pub autostart: bool,
    /// Inputs that wait.
    pub inbox: VecDeque<Input<P::Msg>>,
    pub(crate) timers: Vec<Option<TimerId>>,
    /// Timers that ran out while the clocks of the host stood still.
    pub(crate) overdue: Vec<(Time, Timer)>,
    pub(crate) waking: bool,
    /// SIGKILL waits for the end of its hang.
    pub(crate) doomed: bool,
}

/// A network: one broadcast domain behind one switch.
#[derive(Clone, Debug)]
pub struct Net {
    /// Its name.
    pub name: String,
    /// One-way delay.
    pub latency: SpanRange,
    /// Random loss.
    pub loss: Chance,
    /// Random duplication.
    pub duplicate: Chance,
    /// Ageing of the switch's table.
    pub mac_ageing: Span,
    /// The switch's table: when each hardware address was heard last. An address has one port here, so that an entry that is
    /// missing or too old costs a flooded frame and never misleads one.
    pub seen: Vec<Option<Time>>,
    /// Unicast frames that went to all ports, because the switch did not know the address.
    pub flooded: u64,
    /// Interfaces: host and hardware address.
    pub ports: Vec<(HostId, Mac)>,
}

impl Net {
    /// The switch sees where a frame comes from.
    #[inline]
    pub(crate) fn learn(&mut self, mac: Mac, now: Time) {
        let i = mac.0 as usize;
        if let Some(seen) = self.seen.get_mut(i) {
            *seen = Some(now);
        } else {
            self.seen.resize(i, None);
            self.seen.push(Some(now));
        }
    }
    /// Whether the switch knows the port of an address; if not, the frame goes to all.
    #[inline]
    pub(crate) fn look_up(&mut self, mac: Mac, now: Time) -> bool {
        let known = self
            .seen
            .get(mac.0 as usize)
            .is_some_and(|seen| seen.is_some_and(|at| now.since(at) <= self.mac_ageing));
        self.flooded += u64::from(!known);
        known
    }
    /// A port lost its link: what was learned there goes.
    pub(crate) fn forget(&mut self, mac: Mac) {
        if let Some(seen) = self.seen.get_mut(mac.0 as usize) {
            *seen = None;
        }
    }
}

/// The place of a frame on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameId(u32);

/// Frames on their way, in places that are used again.
#[derive(Clone, Debug)]
pub(crate) struct Flight<M> {
    places: Vec<Option<Frame<M>>>,
    free: Vec<u32>,
}
impl<M> Flight<M> {
    pub(crate) fn depart(&mut self, frame: Frame<M>) -> FrameId {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = Some(frame);
            return FrameId(place);
        }
        self.places.push(Some(frame));
        FrameId(self.places.len() as u32 - 1)
    }
    pub(crate) fn land(&mut self, id: FrameId) -> Option<Frame<M>> {
        let frame = self.places.get_mut(id.0 as usize)?.take()?;
        self.free.push(id.0);
        Some(frame)
    }
}

/// The whole world.
#[derive(Clone)]
pub struct World<P: Process> {
    /// Networks.
    pub nets: Vec<Net>,
    /// Hosts.
    pub hosts: Vec<Host<P::Msg, P::Files>>,
    /// Processes.
    pub procs: Vec<Proc<P>>,
    /// What faults do to links.
    pub rules: Vec<Rule>,
    /// Randomness.
    pub streams: Streams,
    /// What happened during the present event.
    pub log: Log<P::Note>,
    /// Something that checks look at has changed during the present event.
    pub changed: bool,
    /// Hardware addresses: host and index of the interface.
    pub(crate) macs: Vec<(HostId, u16)>,
    /// Streams of delays by sender and receiver.
    pub(crate) pair: Vec<Option<(StreamId, StreamId)>>,
    pub(crate) out: Vec<Action<P::Msg, P::Note>>,
    /// What a process works through, kept for its room: timers, and the rest.
    pub(crate) batch: (Inputs<P::Msg>, Inputs<P::Msg>),
    /// Frames on their way, except datagrams and segments, which travel in their event.
    pub(crate) flight: Flight<P::Msg>,
    /// Counts what changes the ways of packets.
    pub(crate) epoch: u32,
    /// The identity for the arming of a timer by the acknowledgement that is being handled.
    pub(crate) set_aside: Option<EventId>,
    /// The word for a message, for logs.
    pub label: fn(&P::Msg) -> (&'static str, u32),
}

type Inputs<M> = Vec<Input<M>>;
pub(crate) type Sch<P> = Scheduler<Ev<<P as Process>::Msg>>;

impl<P: Process> World<P> {
    /// An empty world.
    pub fn new(seed: u64, level: Level, label: fn(&P::Msg) -> (&'static str, u32)) -> Self {
        World {
            nets: Vec::new(),
            hosts: Vec::new(),
            procs: Vec::new(),
            rules: Vec::new(),
            streams: Streams::new(seed),
            log: Log::new(level),
            changed: true,
            macs: vec![(HostId(u16::MAX), 0)],
            pair: Vec::new(),
            out: Vec::new(),
            batch: (Vec::new(), Vec::new()),
            flight: Flight { places: Vec::new(), free: Vec::new() },
            epoch: 0,
            set_aside: None,
            label,
        }
    }
    /// Adds a network.
    pub fn add_net(
        &mut self,
        name: &str,
        latency: SpanRange,
        loss: Chance,
        duplicate: Chance,
        ageing: Span,
    ) -> NetId {
        self.nets.push(Net {
            name: name.to_owned(),
            latency,
            loss,
            duplicate,
            mac_ageing: ageing,
            seen: Vec::new(),
            flooded: 0,
            ports: Vec::new(),
        });
        NetId(self.nets.len() as u16 - 1)
    }
    /// Adds a host without interfaces; it is off until [`World::power_on`] or [`World::start_now`].
    pub fn add_host(
        &mut self,
        name: &str,
        parms: NeighParms,
        boot_time: SpanRange,
        wakeup: SpanRange,
    ) -> HostId {
        let s_wakeup = self.streams.named(&format!("host/{name}/wakeup"));
        let s_disk = self.streams.named(&format!("host/{name}/disk"));
        let s_reachable = self.streams.named(&format!("host/{name}/reachable_time"));
        let s_tick = self.streams.named(&format!("host/{name}/tick"));
        let tick_phase = Span(self.streams.below(s_tick, Span::secs(17).0));
        let s_phase = self.streams.named(&format!("host/{name}/reachable_phase"));
        let reachable_phase = Span(self.streams.below(s_phase, super::kernel::REACHABLE_PERIOD.0));
        self.hosts.push(Host {
            name: name.to_owned(),
            site: None,
            power: Power::Off,
            life: 0,
            freeze: None,
            freezes: 0,
            clock_offset: 0,
            drift_ppm: 0,
            stood_still: Span::ZERO,
            disk: Disk::default(),
            watchdog: WatchdogDevice::default(),
            outlets: Vec::new(),
            fed_by: None,
            files: P::Files::default(),
            nics: Vec::new(),
            addresses: Vec::new(),
            quiet: Vec::new(),
            gateway: None,
            neigh: Vec::new(),
            ways: Vec::new(),
            waiting: Vec::new(),
            parms,
            tcp_syn_retries: 6,
            tcp_retries2: 15,
            tcp: Table::default(),
            next_conn: 1,
            bound: Vec::new(),
            procs: Vec::new(),
            boot_time,
            shutdown_time: Span::secs(2),
            stops_first: None,
            stops_last: Vec::new(),
            stopping: false,
            wakeup,
            s_disk,
            s_wakeup,
            s_reachable,
            tick_phase,
            reachable_phase,
            reachable: (0, Span::ZERO),
        });
        HostId(self.hosts.len() as u16 - 1)
    }
    /// Plugs a host into a network.
    pub fn plug(&mut self, host: HostId, net: NetId, primary: Cidr) {
        let mac = Mac(self.macs.len() as u16);
        let h = &mut self.hosts[host.0 as usize];
        self.macs.push((host, h.nics.len() as u16));
        h.nics.push(Nic { net, mac, carrier: true, primary });
        self.nets[net.0 as usize].ports.push((host, mac));
    }
    /// Adds a process to a host.
    pub fn add_proc(&mut self, host: HostId, name: &str, parent: Option<Pid>, logic: P) -> Pid {
        let pid = Pid(self.procs.len() as u16);
        let luck = self.streams.named(&format!("draws of {} {name}", self.hosts[host.0 as usize].name));
        self.procs.push(Proc {
            name: name.to_owned(),
            host,
            parent,
            life: Life::Dead,
            generation: 0,
            logic,
            luck,
            autostart: parent.is_none(),
            inbox: VecDeque::new(),
            timers: Vec::new(),
            overdue: Vec::new(),
            waking: false,
            doomed: false,
        });
        self.hosts[host.0 as usize].procs.push(pid);
        pid
    }
    /// A host by number.
    pub fn host(&self, id: HostId) -> &Host<P::Msg, P::Files> {
        &self.hosts[id.0 as usize]
    }
    /// A process by number.
    pub fn proc(&self, id: Pid) -> &Proc<P> {
        &self.procs[id.0 as usize]
    }
    /// A host by name.
    pub fn find_host(&self, name: &str) -> Option<HostId> {
        self.hosts.iter().position(|h| h.name == name).map(|i| HostId(i as u16))
    }
    /// A process of a host by name.
    pub fn find_proc(&self, host: HostId, name: &str) -> Option<Pid> {
        self.host(host).procs.iter().copied().find(|p| self.proc(*p).name == name)
    }
    /// The host behind a hardware address.
    pub fn mac_host(&self, mac: Mac) -> Option<HostId> {
        self.macs.get(mac.0 as usize).map(|m| m.0).filter(|h| h.0 != u16::MAX)
    }
    /// The hosts that have `ip` configured and are not off.
    pub fn holders(&self, ip: Ip) -> impl Iterator<Item = HostId> + '_ {
        self.hosts
            .iter()
            .enumerate()
            .filter(move |(_, h)| h.power == Power::On && h.addresses.iter().any(|(_, a)| a.ip == ip))
            .map(|(i, _)| HostId(i as u16))
    }
    /// Whether frames of the plane pass from one host to another just now (both awake, no cut between them).
    pub fn hears(&self, from: HostId, to: HostId, plane: Plane) -> bool {
        let deaf = |h: HostId| {
            let h = self.host(h);
            h.power != Power::On || h.freeze.is_some_and(|f| !f.queued)
        };
        let shares = self
            .host(from)
            .nics
            .iter()
            .any(|a| a.carrier && self.host(to).nics.iter().any(|b| b.net == a.net && b.carrier));
        shares
            && !deaf(from)
            && !deaf(to)
            && !self.rules.iter().any(|r| {
                r.matches(from.0, to.0, plane) && matches!(r.effect, crate::net::rules::Effect::Drop)
            })
    }
    /// The monotonic clock of a host.
    #[inline]
    pub fn clock(&self, host: HostId, now: Time) -> Time {
        let h = &self.hosts[host.0 as usize];
        if h.drift_ppm == 0 && h.stood_still.0 == 0 && h.freeze.is_none() {
            return now;
        }
        let still =
            h.stood_still + h.freeze.filter(|f| f.clock_stops).map_or(Span::ZERO, |f| now.since(f.since));
        let t = (now - still).0;
        let drift = i128::from(t) * i128::from(h.drift_ppm) / 1_000_000;
        Time((i128::from(t) + drift).max(0) as u64)
    }
    /// The wall clock of a host, in nanoseconds since the start of the run (negative before).
    pub fn wall_clock(&self, host: HostId, now: Time) -> i64 {
        i64::try_from(self.clock(host, now).0)
            .unwrap_or(i64::MAX)
            .saturating_add(self.host(host).clock_offset)
    }
    /// Writes something down.
    #[inline]
    pub(crate) fn tell(&mut self, s: &Sch<P>, host: Option<HostId>, pid: Option<Pid>, what: What<P::Note>) {
        self.log.entries.push(Entry { event: s.current(), cause: s.cause(), at: s.now(), host, pid, what });
    }
    pub(crate) fn frame_label(&self, frame: &Frame<P::Msg>) -> Label {
        let (word, number) = match &frame.payload {
            Payload::Arp { reply, sender, target, .. } => match (sender == target, reply) {
                (true, _) => ("gratuitous ARP", 0),
                (false, true) => ("ARP reply", 0),
                (false, false) => ("ARP who-has", 0),
            },
            Payload::Datagram(_, _, m) => (self.label)(m),
            Payload::Tcp(_, _, seg) => return self.segment_label(frame.plane, seg),
            Payload::Tunnel(..) => ("IP in IP", 0),
        };
        Label { plane: frame.plane, word, number }
    }
    pub(crate) fn segment_label(&self, plane: Plane, segment: &Segment<P::Msg>) -> Label {
        let (word, number) = match segment {
            Segment::Syn => ("SYN", 0),
            Segment::SynAck => ("SYN-ACK", 0),
            Segment::Ack(_) => ("ACK", 0),
            Segment::Data(_, Some(m)) => (self.label)(m),
            Segment::Data(_, None) => ("FIN", 0),
            Segment::Rst => ("RST", 0),
            Segment::Probe => ("keepalive probe", 0),
            Segment::Unreachable(_) => ("ICMP unreachable", 0),
        };
        Label { plane, word, number }
    }
    pub(crate) fn lost(&mut self, s: &Sch<P>, from: HostId, to: HostId, label: Label, why: LostBy) {
        self.tell(s, Some(from), None, What::Lost(to, label, why));
    }
    /// The identity of an event is its own evidence.
    pub fn evidence(s: &Sch<P>) -> EventId {
        s.current()
    }
}
