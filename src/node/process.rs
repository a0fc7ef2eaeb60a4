//! What a process is: a pure state machine that gets one input and fills an output buffer.
//!
//! A process has no clock, no I/O and no global state. It gets an [`Input`], a [`Ctx`] with the time of its host's monotonic clock,
//! and asks for effects through the context; the world carries them out after the handler has returned, in order. Timers are
//! known by small dense numbers of the process's own; setting one again replaces it.
//!
//! A blocking call (a database query, an HTTP request with a timeout) is written as a state of the role machine: send, set a
//! timer, and go on in `Input::Tcp`, `Input::Packet` or `Input::Timer`, whichever comes first.

use super::disk::End;
use super::forward::{Packet, Verdict};
use crate::engine::random::{StreamId, Streams};
use crate::engine::{EventId, Span, SpanRange, Time};
use crate::net::Plane;
use crate::net::addr::{Cidr, Endpoint, Ip};

/// A host of the world, counted from 0 in the order of their names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub struct HostId(pub u16);
/// A process of the world, counted from 0 in the order of hosts and daemons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub struct Pid(pub u16);
/// A network of the world, counted from 0 in the order of their names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub struct NetId(pub u16);
/// A TCP connection of a host's kernel, as a file descriptor stands for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId(pub u32);
/// A timer of a process: a small dense number that the process chooses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timer(pub u16);

/// A signal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Signal {
    /// SIGTERM: please stop.
    Term,
    /// SIGHUP: read the configuration again.
    Hup,
    /// SIGINT (PostgreSQL: fast shutdown).
    Int,
    /// SIGQUIT (PostgreSQL: immediate shutdown).
    Quit,
    /// SIGUSR1 (PostgreSQL: look at the signal files, promote among them).
    Usr1,
    /// SIGKILL: the kernel ends the process; it never sees this.
    Kill,
    /// A thread of the process begins to hang (`true`) or goes on; the number is the process's own for the thread.
    Thread(u8, bool),
    /// A child of the process ended (SIGCHLD).
    ChildDied(Pid),
}

/// Something that happens to a process.
#[derive(Clone, Debug)]
pub enum Input<M> {
    /// It has just been started; volatile state is fresh, the disk is as it was left.
    Start,
    /// A timer ran out.
    Timer(Timer),
    /// A datagram or an IP packet arrived. `to` is the address that it was sent to (a group, for multicast).
    Packet {
        /// Who sent it.
        from: Endpoint,
        /// What it was sent to.
        to: Endpoint,
        /// What it says.
        msg: M,
    },
    /// Something happened on a TCP connection.
    Tcp(ConnId, Tcp<M>),
    /// A signal.
    Signal(Signal),
    /// The carrier of the host's interface on this network came or went (netlink).
    Carrier(NetId, bool),
    /// A check script that was started with [`Ctx::exec`] ended; `ok` is exit status 0, `None` is killed by its timeout.
    Exec {
        /// The number given to `exec`.
        tag: u16,
        /// Its result.
        ok: Option<bool>,
    },
    /// A local call: an operator's command, as if it had come through the process's own management interface on its host.
    Call(M),
    /// The disk answers to [`Action::Sync`]; `ok` is false when it is full.
    Synced {
        /// The number given to `Sync`.
        tag: u16,
        /// Whether the data is safe.
        ok: bool,
    },
}

/// What happens on a TCP connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tcp<M> {
    /// `connect` succeeded.
    Connected,
    /// A peer connected to a listening port; the connection is new.
    Accepted {
        /// The peer.
        from: Endpoint,
        /// The local address that it connected to.
        to: Endpoint,
    },
    /// A message arrived.
    Data(M),
    /// The peer closed in order (FIN).
    Closed,
    /// The peer does not know the connection (RST) or nobody listens (ECONNREFUSED, while connecting).
    Reset,
    /// The kernel gave up: ETIMEDOUT after SYN retries, retransmissions, keepalives or TCP_USER_TIMEOUT.
    TimedOut,
    /// No ARP answer for the address (EHOSTUNREACH), reported while connecting.
    Unreachable,
}

/// What a check script looks at; the world evaluates it when the script has run.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Probe {
    /// A process of this name exists on this host.
    Running(String),
    /// A process of this host accepts on this port and answers.
    Answers(u16),
    /// Another host has power: what its baseboard management controller sees.
    Powered(HostId),
}

/// Options of a connection (`setsockopt`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct TcpOptions {
    /// `TCP_USER_TIMEOUT`; zero: the kernel's retries decide.
    pub user_timeout: Span,
    /// `SO_KEEPALIVE`: idle, interval, count; `None` is off.
    pub keepalive: Option<(Span, Span, u32)>,
}

/// What is done with `/dev/watchdog`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Watchdog {
    /// Open it (or set it again) with this timeout: from now on the host is reset unless it is fed in time.
    Arm(Span),
    /// A keepalive.
    Feed,
    /// Close it with the magic character: it stops. (A process that ends without this leaves it running.)
    Disarm,
}

/// What is done to a host from outside, or by its own kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Switch {
    /// The power goes.
    Off,
    /// The power comes.
    On,
    /// The power goes, and comes: the reset button, `reboot -f`, `echo b > /proc/sysrq-trigger`.
    Reset,
    /// The outlet that the asking process has for the host goes off or on; the host is off when all its outlets are.
    Outlet(bool),
    /// The host's link on a network goes or comes, at the switch.
    Link(NetId, bool),
}

/// What a process asks for.
#[derive(Clone, Debug)]
pub enum Action<M, N> {
    /// Send a datagram; `from.ip` [`Ip::NONE`] lets the kernel choose the source address.
    Send {
        /// Source.
        from: Endpoint,
        /// Destination, a host or a multicast group.
        to: Endpoint,
        /// The network for a multicast group.
        net: Option<NetId>,
        /// What the packet belongs to.
        plane: Plane,
        /// What it says.
        msg: M,
    },
    /// Take or leave datagrams to this port (a port of a raw socket stands for its protocol).
    Bind(u16),
    /// Accept connections on this port, the queue holding so many.
    Listen(u16, u32),
    /// Accept connections on this port, together with other processes: they wait in the kernel's queue of this length until one of
    /// the processes that have asked with [`Action::Accept`] gets them, this one.
    ListenShared(u16, u32, super::tcp::Pick),
    /// Wait in `accept` on a shared port of this host: the next connection, or the one that has waited longest in its queue.
    Accept(u16),
    /// Stop waiting there.
    NotAccept(u16),
    /// Say something to a process of this host, over a pipe or a local socket: it gets [`Input::Call`].
    Tell(Pid, M),
    /// Open a connection; its number has been given out by the context.
    Connect(ConnId, Endpoint, Plane, TcpOptions),
    /// Send on a connection.
    TcpSend(ConnId, M),
    /// Close in order.
    Close(ConnId),
    /// Say that nothing more will be sent (FIN), and go on reading: data and the end of the other side still come.
    Shutdown(ConnId),
    /// Close at once with a reset (`SO_LINGER` 0).
    Abort(ConnId),
    /// So many connections of this listening port have been told but not taken with `accept`: they fill the accept queue.
    Unaccepted(u16, u32),
    /// Configure an address on the interface of this network.
    AddAddress(NetId, Cidr),
    /// Take it away.
    RemoveAddress(NetId, Ip),
    /// Broadcast a gratuitous ARP for the address on this network.
    GratuitousArp(NetId, Ip),
    /// Set (or set again) a timer.
    SetTimer(Timer, Span),
    /// Forget a timer.
    CancelTimer(Timer),
    /// Start a process of this host that waits to be started.
    Spawn(Pid),
    /// Send a signal to a process of this host.
    Signal(Pid, Signal),
    /// Use the host's watchdog device.
    Watchdog(Watchdog),
    /// Switch a host: what fence devices do to others, and a kernel to itself.
    Power(HostId, Switch),
    /// Run a check script: what, how long it takes, its timeout, and the number under which its result comes back.
    Exec(Probe, SpanRange, Span, u16),
    /// fsync: `Input::Synced` follows when the disk has done it ([`super::disk::OnDisk`] keeps the value).
    Sync(u16),
    /// End, with this exit status.
    Exit(u8),
    /// Something worth telling.
    Note(N),
}

/// What a process sees while it handles an input, and the buffer that takes what it asks for.
pub struct Ctx<'a, M, N, F = ()> {
    /// The host's monotonic clock.
    pub now: Time,
    /// The host's wall clock: nanoseconds since the start of the run, plus what it is wrong by (negative before).
    pub wall_clock: i64,
    /// The process itself.
    pub me: Pid,
    /// Its host.
    pub host: HostId,
    /// The event that brought the input: evidence for [`Ctx::note`]s to come.
    pub event: EventId,
    /// What it asked for so far.
    pub out: &'a mut Vec<Action<M, N>>,
    /// The files of its host that several processes read and write.
    pub files: &'a mut F,
    /// Whether its host has a watchdog device.
    pub has_watchdog: bool,
    /// The next number for a connection.
    pub(crate) next_conn: &'a mut u32,
    /// Where [`Ctx::below`] draws from: a stream of the process's own.
    pub(crate) luck: (&'a mut Streams, StreamId),
    pub(crate) addresses: &'a [(NetId, Cidr)],
    pub(crate) nics: &'a [super::world::Nic],
}

impl<M, N, F> Ctx<'_, M, N, F> {
    /// Asks for an effect.
    pub fn act(&mut self, action: Action<M, N>) {
        self.out.push(action);
    }
    /// Tells something.
    pub fn note(&mut self, note: N) {
        self.act(Action::Note(note));
    }
    /// Lets `timer` run out after `span` of the host's monotonic clock, replacing what it was set to.
    pub fn set_timer(&mut self, timer: Timer, span: Span) {
        self.act(Action::SetTimer(timer, span));
    }
    /// Forgets `timer`.
    pub fn cancel_timer(&mut self, timer: Timer) {
        self.act(Action::CancelTimer(timer));
    }
    /// Opens a connection.
    pub fn connect(&mut self, to: Endpoint, plane: Plane, options: TcpOptions) -> ConnId {
        let id = ConnId(*self.next_conn);
        *self.next_conn = self.next_conn.wrapping_add(1);
        self.act(Action::Connect(id, to, plane, options));
        id
    }
    /// A whole number in `0..bound`, all equally likely, out of the process's own stream.
    pub fn below(&mut self, bound: u64) -> u64 {
        let (streams, stream) = &mut self.luck;
        streams.below(*stream, bound)
    }
    /// Runs a check script.
    pub fn exec(&mut self, probe: Probe, run_time: SpanRange, timeout: Span, tag: u16) {
        self.act(Action::Exec(probe, run_time, timeout, tag));
    }
    /// The addresses configured on the host, in order of configuration (the primary address of a network comes first).
    pub fn addresses(&self) -> &[(NetId, Cidr)] {
        self.addresses
    }
    /// Whether the host's interface on this network has carrier.
    pub fn carrier(&self, net: NetId) -> bool {
        self.nics.iter().any(|n| n.net == net && n.carrier)
    }
}

/// What processes of a world can be.
pub trait Process: Clone {
    /// What packets say.
    type Msg: Clone + std::fmt::Debug;
    /// What processes tell.
    type Note: Clone + std::fmt::Debug;
    /// The files of a host that several of its processes read and write.
    type Files: Clone + Default + std::fmt::Debug;
    /// Handles one input.
    fn on(&mut self, input: Input<Self::Msg>, ctx: &mut Ctx<'_, Self::Msg, Self::Note, Self::Files>);
    /// A timer of a process that runs has run out. If all that comes of it is that it is set again, that is done without further ceremony:
    /// for how long. Otherwise [`Process::on`] follows, and nothing must have changed.
    #[inline]
    fn quiet(&mut self, _timer: Timer) -> Option<Span> {
        None
    }
    /// The state of the process before it was started: what an end of this kind leaves of it, which is the disk. `files` are those of
    /// its host; the process puts right what its end means for them.
    fn reset(&mut self, end: End, files: &mut Self::Files);
    /// Whether the kernel of a host with these files does anything with packets that [`Process::forward`] has to be asked for.
    fn hooked(_files: &Self::Files) -> bool {
        false
    }
    /// What the kernel of a host with these files does with a packet from the network before anything else: the hook of a load
    /// balancer, with what it has to tell.
    fn forward(
        _files: &mut Self::Files,
        _packet: &Packet,
        _now: Time,
        _notes: &mut Vec<Self::Note>,
    ) -> Verdict {
        Verdict::Pass
    }
}
