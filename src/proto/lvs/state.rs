//! What a director thinks the state of a TCP connection is, and how long it remembers the connection for that.
//!
//! Source: `ip_vs_proto_tcp.c`. With NAT the director sees both directions. With DR and TUN it sees what the client sends and guesses
//! the rest ([`Way::Blind`]). States that only appear when a server opens connections, or with `secure_tcp`, are left out.

use crate::engine::Span;
use crate::node::forward::Flag;

/// The state of a connection in the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub enum State {
    /// Just made.
    None,
    /// The client has sent a SYN.
    SynRecv,
    /// Open.
    Established,
    /// The server closed first (or, unseen, either).
    FinWait,
    /// The client closed first, the server has not closed yet.
    CloseWait,
    /// Both have closed.
    TimeWait,
    /// Reset.
    Close,
    /// A datagram flow.
    Udp,
}
impl State {
    /// How long an entry lives after its last packet.
    pub const fn timeout(self) -> Span {
        Span::secs(match self {
            State::None => 2,
            State::SynRecv | State::CloseWait => 60,
            State::Established => 900,
            State::FinWait | State::TimeWait => 120,
            State::Close => 10,
            State::Udp => 300,
        })
    }
    /// Whether the connection counts as active: 256 times an inactive one. (Kernels before 2018 counted SYN_RECV as inactive.)
    pub const fn active(self) -> bool {
        matches!(self, State::SynRecv | State::Established)
    }
    /// Whether a new SYN from the same port may begin anew.
    pub const fn reusable(self) -> bool {
        matches!(self, State::TimeWait | State::Close)
    }
}

/// Which way a packet goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From the client, on a connection whose answers are seen too.
    In,
    /// From the server.
    Out,
    /// From the client, on a connection whose answers are never seen.
    Blind,
}

/// The state after a packet.
pub const fn next(state: State, flag: Flag, way: Way) -> State {
    use State as S;
    match (flag, way) {
        (Flag::Datagram, _) => S::Udp,
        (Flag::Error, _) => state,
        (Flag::Syn, Way::In | Way::Blind) => match state {
            S::Established => S::Established,
            _ => S::SynRecv,
        },
        (Flag::Syn, Way::Out) => state,
        (Flag::Fin, Way::In) => match state {
            S::None | S::Close => S::Close,
            S::Established | S::CloseWait => S::CloseWait,
            _ => S::TimeWait,
        },
        (Flag::Fin, Way::Blind) => match state {
            S::None | S::Close => S::Close,
            S::Established | S::FinWait => S::FinWait,
            S::CloseWait => S::CloseWait,
            _ => S::TimeWait,
        },
        (Flag::Fin, Way::Out) => match state {
            S::Established | S::FinWait => S::FinWait,
            S::Close => S::Close,
            _ => S::TimeWait,
        },
        (Flag::Ack, Way::In | Way::Blind) => match state {
            S::None => S::Close,
            S::SynRecv => S::Established,
            other => other,
        },
        (Flag::Ack, Way::Out) => match state {
            S::None | S::SynRecv => S::Established,
            other => other,
        },
        (Flag::Rst, Way::In | Way::Blind) => match state {
            S::SynRecv => S::SynRecv,
            _ => S::Close,
        },
        (Flag::Rst, Way::Out) => match state {
            S::TimeWait => S::TimeWait,
            _ => S::Close,
        },
    }
}
