//! What a daemon says to the Corosync of its own host, and hears from it: `libcpg` and `libquorum` (cpg_overview(3), quorum_overview(3)).
//!
//! The real library talks over shared memory and a UNIX socket (libqb). Here it is a connection over the loopback interface to [`PORT`],
//! as Patroni's sessions on its PostgreSQL are: kernel and process states mean the same for both. When Corosync dies the kernel closes
//! the connection and the client hears [`News::Lost`]; when Corosync is stopped or hangs, requests wait and nothing is told.
//!
//! A message to a group goes round with the token: all members of the group, the sender too, hear all messages of a group in one order, and
//! [`Event::Confchg`] has the same place in that order everywhere. While a membership is being made (from the loss of the token to the end of
//! the synchronisation, the quorum device's answer included), requests wait, as `CS_ERR_TRY_AGAIN` makes the real clients wait. A new membership
//! tells each group first who is gone, then who is new, each as a [`Event::Confchg`] of its own, and at last the [`Event::Quorum`].
//!
//! ```text
//! let mut corosync = api::Client::default();
//! corosync.connect(ctx);                                  // in Input::Start, and again after News::Lost
//! match corosync.on(&input, ctx) {                        // first thing for each input
//!     Some(News::Connected) => { corosync.track(ctx); corosync.join(GROUP, ctx); }
//!     Some(News::Event(Event::Deliver { from, payload, .. })) => ...
//!     Some(News::Event(Event::Confchg(change))) => ...
//!     Some(News::Event(Event::Quorum(state))) => ...
//!     Some(News::Lost) => ...                             // Pacemaker's daemons exit
//!     None => not for us
//! }
//! ```
//!
//! **Not modelled:** several members of a group on one host (Pacemaker has one process of a group on each), names of groups longer than a
//! word, the size of messages (`max_messages` counts messages), cmap, cfg and SAM.

use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, Input, Tcp, TcpOptions};
use crate::proto::pacemaker::cpg::Payload;
use crate::proto::{Cx, Msg};

/// Stands for the sockets of `libcpg` and `libquorum`.
pub const PORT: u16 = 55_405;

/// `nodeid`, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize)]
pub struct NodeId(pub u16);

/// The name of a membership: the node that made it, and a number that grows by 4 each time (`ring_id`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct RingId {
    /// The sequence number.
    pub seq: u32,
    /// The representative: the lowest node id of the ring.
    pub rep: NodeId,
}

/// A closed process group, by its name: `crmd`, `cib`, `stonith-ng`, `attrd`, `pacemakerd`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Group(pub &'static str);

/// What a client asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// `cpg_join`: the answer is the [`Event::Confchg`] that names the client's own node as joined.
    Join(Group),
    /// `cpg_leave`. The end of the connection is the same.
    Leave(Group),
    /// `cpg_mcast_joined`, agreed order: to all members of the group, the sender included.
    Mcast(Group, Payload),
    /// `quorum_trackstart` with `CS_TRACK_CHANGES | CS_TRACK_CURRENT`: the state at once, and each new one.
    TrackQuorum,
    /// `votequorum_qdevice_register`: from `corosync-qdevice` only.
    DeviceRegister,
    /// `votequorum_qdevice_poll`: the device votes (or not) for the membership of this name.
    DevicePoll(RingId, bool),
}

/// Why a node is not in a group any more (`cpg_reason_t`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Left {
    /// The process left the group, or ended in order.
    Leave,
    /// Its connection broke: the process died.
    ProcDown,
    /// Its node is not in the membership any more.
    NodeDown,
}

/// A change of a group's membership.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Confchg {
    /// The group.
    pub group: Group,
    /// Its members now, in the order of their ids.
    pub members: Vec<NodeId>,
    /// Who is gone, and why.
    pub left: Vec<(NodeId, Left)>,
    /// Who is new.
    pub joined: Vec<NodeId>,
}

/// What votequorum says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quorum {
    /// Whether this node's partition has quorum.
    pub quorate: bool,
    /// The membership that it is about.
    pub ring: RingId,
    /// The nodes of the membership, in the order of their ids.
    pub members: Vec<NodeId>,
}

/// What a client hears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The connection is accepted: the id of this node.
    Local(NodeId),
    /// A message to a group that the client is in.
    Deliver {
        /// The group.
        group: Group,
        /// The sender's node.
        from: NodeId,
        /// What it says.
        payload: Payload,
    },
    /// The membership of a group that the client is in has changed.
    Confchg(Confchg),
    /// The quorum state or the membership has changed. At a membership change it comes after the [`Event::Confchg`]s, and later than they
    /// by up to `sync_timeout` with a quorum device that does not answer; until it has come no message goes through.
    Quorum(Quorum),
    /// A new membership begins to be synchronised (`votequorum_nodelist_notify`): to `corosync-qdevice` only.
    NodeList(RingId, Vec<NodeId>),
}

/// One or the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Api {
    /// To Corosync.
    Request(Request),
    /// From Corosync.
    Event(Event),
}

/// What [`Client::on`] tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// The connection stands; this is the id of the own node.
    Connected(NodeId),
    /// Something that was asked for.
    Event(Event),
    /// There is no Corosync, or it is gone (`CS_ERR_LIBRARY`). What had been asked is void.
    Lost,
}

/// A daemon's end of the connection.
#[derive(Clone, Debug, Default)]
pub struct Client {
    conn: Option<ConnId>,
    /// The own node, once the connection is accepted.
    local: Option<NodeId>,
}
impl Client {
    /// Connects. A connection that stands already is given up.
    pub fn connect(&mut self, ctx: &mut Cx<'_>) {
        self.close(ctx);
        let Some((_, own)) = ctx.addresses().first().copied() else { return };
        let conn = ctx.connect(Endpoint::new(own.ip, PORT), Plane::heartbeat, TcpOptions::default());
        self.conn = Some(conn);
    }
    /// Ends the connection: Corosync lets the client leave all its groups.
    pub fn close(&mut self, ctx: &mut Cx<'_>) {
        if let Some(conn) = self.conn.take() {
            ctx.act(Action::Close(conn));
        }
        self.local = None;
    }
    /// Whether Corosync has accepted the connection.
    pub fn connected(&self) -> bool {
        self.local.is_some()
    }
    /// The id of the own node, while connected.
    pub fn local(&self) -> Option<NodeId> {
        self.local
    }
    /// Asks something; nothing happens without a connection.
    pub fn ask(&self, request: Request, ctx: &mut Cx<'_>) {
        if let (Some(conn), Some(_)) = (self.conn, self.local) {
            ctx.act(Action::TcpSend(conn, Msg::Corosync(Box::new(Api::Request(request)))));
        }
    }
    /// `cpg_join`.
    pub fn join(&self, group: Group, ctx: &mut Cx<'_>) {
        self.ask(Request::Join(group), ctx);
    }
    /// `cpg_leave`.
    pub fn leave(&self, group: Group, ctx: &mut Cx<'_>) {
        self.ask(Request::Leave(group), ctx);
    }
    /// `cpg_mcast_joined`.
    pub fn mcast(&self, group: Group, payload: Payload, ctx: &mut Cx<'_>) {
        self.ask(Request::Mcast(group, payload), ctx);
    }
    /// `quorum_trackstart`.
    pub fn track(&self, ctx: &mut Cx<'_>) {
        self.ask(Request::TrackQuorum, ctx);
    }
    /// Takes an input if it is for this connection.
    pub fn on(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) -> Option<News> {
        let Input::Tcp(conn, news) = input else { return None };
        if Some(*conn) != self.conn {
            return None;
        }
        match news {
            Tcp::Data(Msg::Corosync(m)) => match &**m {
                Api::Event(Event::Local(node)) => {
                    self.local = Some(*node);
                    Some(News::Connected(*node))
                }
                Api::Event(event) => Some(News::Event(event.clone())),
                Api::Request(_) => None,
            },
            Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => {
                self.close(ctx);
                Some(News::Lost)
            }
            Tcp::Connected | Tcp::Accepted { .. } | Tcp::Data(_) => None,
        }
    }
}
