//! Floor 4: the registry of protocols. Adding one is a folder and a row in each of the three enums here.

pub mod client;
pub mod consul;
pub mod etcd;
pub mod haproxy;
pub mod raft;
pub mod vrrp;

use crate::node::disk::End;
use crate::node::process::{Action, Ctx, HostId, Input, Process};

/// What packets of a world say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Msg {
    /// A VRRP advert.
    Advert(vrrp::msg::Advert),
    /// A client asks.
    Request {
        /// The client's number for it.
        id: u32,
    },
    /// A service answers.
    Response {
        /// The client's number for it.
        id: u32,
        /// The host that answers.
        host: HostId,
    },
}

/// The word for a message, and a number that goes with it.
pub fn label(msg: &Msg) -> (&'static str, u32) {
    match msg {
        Msg::Advert(a) => ("advert", u32::from(a.priority)),
        Msg::Request { .. } => ("request", 0),
        Msg::Response { .. } => ("answer", 0),
    }
}

/// What processes of a world tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// keepalived.
    Vrrp(vrrp::note::Note),
    /// A client's request ended.
    Client(client::process::Note),
}

/// Where keepalived's actions lie before they are translated: empty between inputs, kept for its room.
type Scratch = Vec<Action<vrrp::msg::Advert, vrrp::note::Note>>;

/// A process of a world.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Daemon {
    /// keepalived's parent.
    Keepalived(vrrp::process::Parent, Scratch),
    /// keepalived's VRRP child.
    Vrrp(Box<vrrp::process::Vrrp>, Scratch),
    /// The service.
    HAProxy(haproxy::process::Service),
    /// A client.
    Client(client::process::ClientProcess),
}

impl Process for Daemon {
    type Msg = Msg;
    type Note = Note;
    fn on(&mut self, input: Input<Msg>, ctx: &mut Ctx<'_, Msg, Note>) {
        match self {
            Daemon::Keepalived(p, out) => adapt(input, ctx, out, |i, c| p.on(i, c)),
            Daemon::Vrrp(p, out) => adapt(input, ctx, out, |i, c| p.on(i, c)),
            Daemon::HAProxy(p) => p.on(input, ctx),
            Daemon::Client(p) => p.on(input, ctx),
        }
    }
    fn reset(&mut self, _: End) {
        match self {
            Daemon::Keepalived(p, _) => p.reset(),
            Daemon::Vrrp(p, _) => p.reset(),
            Daemon::HAProxy(p) => p.reset(),
            Daemon::Client(p) => p.reset(),
        }
    }
}

/// Lets a protocol that knows only its own messages run in a world of all of them.
fn adapt(
    input: Input<Msg>,
    ctx: &mut Ctx<'_, Msg, Note>,
    out: &mut Scratch,
    run: impl FnOnce(Input<vrrp::msg::Advert>, &mut Ctx<'_, vrrp::msg::Advert, vrrp::note::Note>),
) {
    let input = match input {
        Input::Packet { from, to, msg: Msg::Advert(msg) } => Input::Packet { from, to, msg },
        Input::Packet { .. } | Input::Tcp(..) => return,
        Input::Start => Input::Start,
        Input::Timer(t) => Input::Timer(t),
        Input::Signal(x) => Input::Signal(x),
        Input::Carrier(net, up) => Input::Carrier(net, up),
        Input::Exec { tag, ok } => Input::Exec { tag, ok },
        Input::Synced { tag, ok } => Input::Synced { tag, ok },
    };
    let mut inner = Ctx {
        now: ctx.now,
        wall_clock: ctx.wall_clock,
        me: ctx.me,
        host: ctx.host,
        event: ctx.event,
        out,
        next_conn: &mut *ctx.next_conn,
        luck: (&mut *ctx.luck.0, ctx.luck.1),
        addresses: ctx.addresses,
        carriers: ctx.carriers,
    };
    run(input, &mut inner);
    ctx.out.extend(out.drain(..).map(|a| match a {
        Action::Send { from, to, net, plane, msg } => {
            Action::Send { from, to, net, plane, msg: Msg::Advert(msg) }
        }
        Action::TcpSend(c, m) => Action::TcpSend(c, Msg::Advert(m)),
        Action::Note(n) => Action::Note(Note::Vrrp(n)),
        Action::Bind(p) => Action::Bind(p),
        Action::Listen(p, n) => Action::Listen(p, n),
        Action::Connect(c, e, p, o) => Action::Connect(c, e, p, o),
        Action::Close(c) => Action::Close(c),
        Action::AddAddress(n, c) => Action::AddAddress(n, c),
        Action::RemoveAddress(n, i) => Action::RemoveAddress(n, i),
        Action::GratuitousArp(n, i) => Action::GratuitousArp(n, i),
        Action::SetTimer(t, d) => Action::SetTimer(t, d),
        Action::CancelTimer(t) => Action::CancelTimer(t),
        Action::Spawn(p) => Action::Spawn(p),
        Action::Exec(p, r, t, n) => Action::Exec(p, r, t, n),
        Action::Sync(n) => Action::Sync(n),
        Action::Exit(n) => Action::Exit(n),
    }));
}
