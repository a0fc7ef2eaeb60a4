//! Floor 4: the registry of protocols. Adding one is a folder and a row in each of the enums here.

pub mod app;
pub mod batch;
pub mod client;
pub mod consul;
pub mod corosync;
pub mod cpu;
pub mod crm;
pub mod dns;
pub mod etcd;
pub mod fence;
pub mod haproxy;
pub mod heartbeat;
pub mod http;
pub mod lvs;
pub mod pacemaker;
pub mod patroni;
pub mod pgpool;
pub mod postgres;
pub mod raft;
pub mod sbd;
pub mod vrrp;

use crate::engine::{Span, Time};
use crate::node::disk::End;
use crate::node::forward::{Packet, Verdict};
use crate::node::process::{Ctx, HostId, Input, Pid, Process, Tcp, Timer};
use std::sync::Arc;

/// What a process of a world sees and asks.
pub type Cx<'a> = Ctx<'a, Msg, Note, Files>;

/// What packets of a world say. Events carry it by value: what is larger than a few words lies behind an `Arc` or a `Box`.
#[derive(Clone, PartialEq, Eq, Debug)]
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
    /// etcd.
    Etcd(Box<etcd::msg::Msg>),
    /// Between members of etcd: heartbeats are many, and small enough to lie here.
    EtcdRaft(raft::Message<etcd::msg::Command>),
    /// Consul.
    Consul(Box<consul::msg::Msg>),
    /// Between Consul's servers.
    ConsulRaft(raft::Message<consul::msg::Command>),
    /// Between Consul's agents, with the sender's place in the list of all.
    ConsulGossip(consul::msg::NodeId, consul::serf::Gossip),
    /// HTTP: health checks, REST interfaces.
    Http(http::Http),
    /// A database session.
    Sql(postgres::msg::Sql),
    /// Replication: what is seldom said.
    Wal(Box<postgres::msg::Wal>),
    /// A piece of WAL: its sender's kernel keeps it until it has arrived.
    WalData(Arc<postgres::msg::Data>),
    /// A standby's positions: many, and small enough to lie here.
    WalStatus(postgres::msg::Positions),
    /// DNS.
    Dns(Box<dns::msg::Dns>),
    /// Connections, from director to director.
    Ipvs(lvs::msg::Sync),
    /// A batch cluster.
    Batch(Box<batch::msg::Message>),
    /// Between Pacemaker's daemons on a host.
    Crm(Box<crm::msg::Local>),
    /// Inside a pgpool, and between pgpools.
    Pgpool(Box<pgpool::msg::Msg>),
    /// A fence agent and its device.
    Fence(Box<fence::msg::Fence>),
    /// A heartbeat.
    Heartbeat(heartbeat::Beat),
    /// A node and a shared disk.
    Sbd(Box<sbd::Io>),
    /// Corosync and a client of it on the same host.
    Corosync(Box<corosync::api::Api>),
    /// Between Corosyncs: the ring, and knet's pings. Many, and small enough to lie here.
    Totem(corosync::msg::Totem),
    /// A quorum device and its server.
    Qnet(Box<corosync::qdevice::Qnet>),
}

/// The word for a message, and a number that goes with it.
pub fn label(msg: &Msg) -> (&'static str, u32) {
    use postgres::msg::Sql;
    match msg {
        Msg::Advert(a) => ("advert", u32::from(a.priority)),
        Msg::Request { .. } => ("request", 0),
        Msg::Response { .. } => ("answer", 0),
        Msg::Etcd(_) => ("etcd", 0),
        Msg::EtcdRaft(_) => ("etcd Raft", 0),
        Msg::Consul(_) => ("Consul", 0),
        Msg::ConsulGossip(..) => ("Consul gossip", 0),
        Msg::ConsulRaft(_) => ("Consul Raft", 0),
        Msg::Http(http::Http::Request(..)) => ("HTTP request", 0),
        Msg::Http(http::Http::Response(status, _)) => ("HTTP", u32::from(*status)),
        Msg::Sql(Sql::Startup { .. } | Sql::Login(_) | Sql::Query(..) | Sql::Cancel) => ("SQL", 0),
        Msg::Sql(_) => ("SQL answer", 0),
        Msg::Wal(_) | Msg::WalData(_) | Msg::WalStatus(_) => ("WAL", 0),
        Msg::Dns(_) => ("DNS", 0),
        Msg::Ipvs(records) => ("connections", records.len() as u32),
        Msg::Batch(m) => batch::msg::label(m),
        Msg::Crm(_) => ("libqb", 0),
        Msg::Pgpool(m) => pgpool::msg::label(m),
        Msg::Corosync(_) => ("libcpg", 0),
        Msg::Fence(_) => ("fence agent", 0),
        Msg::Sbd(_) => ("shared disk", 0),
        Msg::Heartbeat(heartbeat::Beat::Alive(_)) => ("heartbeat", 0),
        Msg::Heartbeat(heartbeat::Beat::Claim(_)) => ("claim", 0),
        Msg::Heartbeat(heartbeat::Beat::Release) => ("release", 0),
        Msg::Totem(m) => corosync::msg::label(m),
        Msg::Qnet(_) => ("qnetd", 0),
    }
}

/// What processes of a world tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// keepalived.
    Vrrp(vrrp::note::Note),
    /// A client's request ended.
    Client(client::process::Note),
    /// etcd.
    Etcd(etcd::note::Note),
    /// Consul.
    Consul(consul::note::Note),
    /// HAProxy.
    HAProxy(haproxy::note::Note),
    /// PostgreSQL.
    Postgres(postgres::note::Note),
    /// Patroni.
    Patroni(patroni::note::Note),
    /// DNS servers.
    Dns(dns::note::Note),
    /// Applications.
    App(app::note::Note),
    /// Directors.
    Lvs(lvs::note::Note),
    /// A batch cluster.
    Batch(Box<batch::note::Note>),
    /// Pacemaker.
    Crm(Box<crm::note::Note>),
    /// pgpool-II.
    Pgpool(Box<pgpool::note::Note>),
    /// Fence devices.
    Fence(fence::note::Note),
    /// A heartbeat node.
    Heartbeat(heartbeat::note::Note),
    /// `sbd`.
    Sbd(Box<sbd::note::Note>),
    /// Corosync.
    Corosync(Box<corosync::note::Note>),
}
impl Note {
    /// The stable kind of mark that it is, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        match self {
            Note::Vrrp(n) => n.mark(),
            Note::Client(_) => None,
            Note::Etcd(n) => n.mark(),
            Note::Consul(n) => n.mark(),
            Note::HAProxy(n) => n.mark(),
            Note::Postgres(n) => n.mark(),
            Note::Patroni(n) => n.mark(),
            Note::Dns(n) => n.mark(),
            Note::App(n) => n.mark(),
            Note::Lvs(n) => n.mark(),
            Note::Batch(n) => n.mark(),
            Note::Crm(n) => n.mark(),
            Note::Pgpool(n) => n.mark(),
            Note::Fence(n) => n.mark(),
            Note::Heartbeat(n) => n.mark(),
            Note::Sbd(n) => n.mark(),
            Note::Corosync(n) => n.mark(),
        }
    }
    /// What happened and why, in words.
    pub fn text(&self) -> (String, String) {
        match self {
            Note::Vrrp(n) => n.text(),
            Note::Client(_) => (String::new(), String::new()),
            Note::Etcd(n) => n.text(),
            Note::Consul(n) => n.text(),
            Note::HAProxy(n) => n.text(),
            Note::Postgres(n) => n.text(),
            Note::Patroni(n) => n.text(),
            Note::Dns(n) => n.text(),
            Note::App(n) => n.text(),
            Note::Lvs(n) => n.text(),
            Note::Batch(n) => n.text(),
            Note::Crm(n) => n.text(),
            Note::Pgpool(n) => n.text(),
            Note::Fence(n) => n.text(),
            Note::Heartbeat(n) => n.text(),
            Note::Sbd(n) => n.text(),
            Note::Corosync(n) => n.text(),
        }
    }
}

/// The files of a host that several of its processes read and write.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// PostgreSQL's data directory.
    pub pg: postgres::DataDir,
    /// The kernel's table of virtual services and their connections.
    pub ipvs: lvs::table::Ipvs,
    /// A batch cluster's node.
    pub batch: batch::NodeFiles,
    /// Pacemaker's CIB, and what resource agents leave.
    pub crm: crm::CrmFiles,
    /// The shared memory of a pgpool, and its status file.
    pub pgpool: pgpool::Shared,
    /// Its processors.
    pub cpu: cpu::Cpu,
}

/// A process of a world.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Daemon {
    /// keepalived's parent.
    Keepalived(vrrp::process::Parent),
    /// keepalived's VRRP child, and the database server of its host, which notify scripts act on.
    Vrrp(Box<vrrp::process::Vrrp>, Option<Pid>),
    /// The service, or HAProxy.
    HAProxy(haproxy::process::Service),
    /// A client.
    Client(client::process::ClientProcess),
    /// A member of etcd.
    Etcd(Box<etcd::Etcd>),
    /// A Consul server.
    ConsulServer(Box<consul::Server>),
    /// A Consul client agent.
    ConsulAgent(consul::Agent),
    /// PostgreSQL.
    Postgres(Box<postgres::Postmaster>),
    /// Patroni.
    Patroni(Box<patroni::Agent>),
    /// An authoritative DNS server.
    Dns(dns::Authority),
    /// A resolver.
    Resolver(dns::Recursor),
    /// An application.
    App(Box<app::App>),
    /// The checkers of a director.
    Lvs(Box<lvs::checkers::Checkers>),
    /// The sync daemon of a director's kernel.
    IpvsSync(lvs::sync::SyncDaemon),
    /// A real server.
    Server(Box<lvs::server::RealServer>),
    /// `slurmctld`.
    Slurmctld(Box<batch::Controller>),
    /// `slurmd`.
    Slurmd(Box<batch::NodeDaemon>),
    /// The processes of jobs on a node.
    Steps(Box<batch::Steps>),
    /// A user of a batch cluster.
    Sbatch(Box<batch::User>),
    /// The file server of a batch cluster.
    Nfs(Box<batch::FileServer>),
    /// One of Pacemaker's daemons.
    Crm(Box<crm::Process>),
    /// A process of a pgpool.
    Pgpool(Box<pgpool::Proc>),
    /// A fence device.
    Fence(Box<fence::Device>),
    /// A heartbeat node.
    Heartbeat(Box<heartbeat::Node>),
    /// `sbd`.
    Sbd(Box<sbd::daemon::Daemon>),
    /// A shared disk.
    SbdDisk(Box<sbd::disk::Disk>),
    /// Corosync.
    Corosync(Box<corosync::Corosync>),
    /// `corosync-qdevice`.
    Qdevice(Box<corosync::qdevice::Qdevice>),
    /// `corosync-qnetd`.
    Qnetd(Box<corosync::qnetd::Qnetd>),
}

impl Process for Daemon {
    type Msg = Msg;
    type Note = Note;
    type Files = Files;
    fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match self {
            Daemon::Keepalived(p) => p.on(input, ctx),
            Daemon::Vrrp(p, postgres) => {
                p.on(input, ctx);
                if let Some(script) = p.notifies() {
                    vrrp::notify::run(script, *postgres, ctx);
                }
            }
            Daemon::HAProxy(p) => p.on(input, ctx),
            Daemon::Client(p) => p.on(input, ctx),
            Daemon::Etcd(p) => {
                if let Input::Packet { from, msg: Msg::EtcdRaft(m), .. } = &input
                    && p.heard(from.ip, m, ctx)
                {
                    return;
                }
                if let Some(input) = understood(input) {
                    p.on(input, ctx);
                }
            }
            Daemon::ConsulServer(p) => {
                if let Input::Packet { from, msg: Msg::ConsulRaft(m), .. } = &input
                    && p.heard(from.ip, m, ctx)
                {
                    return;
                }
                if let Some(input) = understood(input) {
                    p.on(input, ctx);
                }
            }
            Daemon::ConsulAgent(p) => {
                if let Some(input) = understood(input) {
                    p.on(input, ctx);
                }
            }
            Daemon::Postgres(p) => p.on(input, ctx),
            Daemon::Patroni(p) => p.on(input, ctx),
            Daemon::Dns(p) => p.on(input, ctx),
            Daemon::Resolver(p) => p.on(input, ctx),
            Daemon::App(p) => p.on(input, ctx),
            Daemon::Lvs(p) => p.on(input, ctx),
            Daemon::IpvsSync(p) => p.on(input, ctx),
            Daemon::Server(p) => p.on(input, ctx),
            Daemon::Slurmctld(p) => p.on(input, ctx),
            Daemon::Slurmd(p) => p.on(input, ctx),
            Daemon::Steps(p) => p.on(input, ctx),
            Daemon::Sbatch(p) => p.on(input, ctx),
            Daemon::Nfs(p) => p.on(input, ctx),
            Daemon::Pgpool(p) => p.on(input, ctx),
            Daemon::Fence(p) => p.on(input, ctx),
            Daemon::Heartbeat(p) => p.on(input, ctx),
            Daemon::Sbd(p) => p.on(input, ctx),
            Daemon::SbdDisk(p) => p.on(input, ctx),
            Daemon::Crm(p) => p.on(input, ctx),
            Daemon::Corosync(p) => p.on(input, ctx),
            Daemon::Qdevice(p) => p.on(input, ctx),
            Daemon::Qnetd(p) => p.on(input, ctx),
        }
    }
    #[inline]
    fn quiet(&mut self, timer: Timer) -> Option<Span> {
        if let Daemon::Etcd(p) = self { p.quiet(timer) } else { None }
    }
    fn reset(&mut self, end: End, files: &mut Files) {
        match self {
            Daemon::Keepalived(p) => p.reset(),
            Daemon::Vrrp(p, ..) => p.reset(),
            Daemon::HAProxy(p) => p.reset(),
            Daemon::Client(p) => p.reset(),
            Daemon::Etcd(p) => p.reset(end),
            Daemon::ConsulServer(p) => p.reset(end),
            Daemon::ConsulAgent(p) => p.reset(),
            Daemon::Postgres(p) => p.reset(end, &mut files.pg),
            Daemon::Patroni(p) => p.reset(),
            Daemon::Dns(p) => p.reset(),
            Daemon::Resolver(p) => p.reset(),
            Daemon::App(p) => p.reset(),
            Daemon::Lvs(p) => p.reset(end == End::PowerLost, &mut files.ipvs),
            Daemon::IpvsSync(_) => {}
            Daemon::Server(p) => p.reset(),
            Daemon::Slurmctld(p) => p.reset(end),
            Daemon::Slurmd(p) => p.reset(end, files),
            Daemon::Steps(p) => p.reset(end, files),
            Daemon::Sbatch(p) => p.reset(),
            Daemon::Nfs(p) => p.reset(),
            Daemon::Pgpool(p) => p.reset(end, &mut files.pgpool),
            Daemon::Fence(p) => p.reset(),
            Daemon::Heartbeat(p) => p.reset(),
            Daemon::Sbd(p) => p.reset(),
            Daemon::SbdDisk(p) => p.reset(),
            Daemon::Crm(p) => p.reset(end, files),
            Daemon::Corosync(p) => p.reset(end),
            Daemon::Qdevice(p) => p.reset(),
            Daemon::Qnetd(p) => p.reset(),
        }
    }
    fn hooked(files: &Files) -> bool {
        files.ipvs.hooked()
    }
    fn forward(files: &mut Files, packet: &Packet, now: Time, notes: &mut Vec<Note>) -> Verdict {
        let mut told = Vec::new();
        let verdict = files.ipvs.forward(packet, now, &mut told);
        notes.extend(told.into_iter().map(Note::Lvs));
        verdict
    }
}

/// What an input is to a protocol that knows only its own messages; nothing, if the message is not one of these. What such a protocol
/// says and tells goes into the context of whatever world has room for it.
fn understood<M: TryFrom<Msg>>(input: Input<Msg>) -> Option<Input<M>> {
    Some(match input {
        Input::Packet { from, to, msg } => Input::Packet { from, to, msg: msg.try_into().ok()? },
        Input::Tcp(conn, news) => {
            let news = match news {
                Tcp::Data(msg) => Tcp::Data(msg.try_into().ok()?),
                Tcp::Connected => Tcp::Connected,
                Tcp::Accepted { from, to } => Tcp::Accepted { from, to },
                Tcp::Closed => Tcp::Closed,
                Tcp::Reset => Tcp::Reset,
                Tcp::TimedOut => Tcp::TimedOut,
                Tcp::Unreachable => Tcp::Unreachable,
            };
            Input::Tcp(conn, news)
        }
        Input::Call(msg) => Input::Call(msg.try_into().ok()?),
        Input::Start => Input::Start,
        Input::Timer(t) => Input::Timer(t),
        Input::Signal(x) => Input::Signal(x),
        Input::Carrier(net, up) => Input::Carrier(net, up),
        Input::Exec { tag, ok } => Input::Exec { tag, ok },
        Input::Synced { tag, ok } => Input::Synced { tag, ok },
    })
}

impl TryFrom<Msg> for etcd::msg::Msg {
    type Error = ();
    fn try_from(msg: Msg) -> Result<Self, ()> {
        match msg {
            Msg::Etcd(m) => Ok(*m),
            Msg::EtcdRaft(m) => Ok(etcd::msg::Msg::Raft(m)),
            _ => Err(()),
        }
    }
}
impl From<etcd::msg::Msg> for Msg {
    fn from(msg: etcd::msg::Msg) -> Msg {
        match msg {
            etcd::msg::Msg::Raft(m) => Msg::EtcdRaft(m),
            m => Msg::Etcd(Box::new(m)),
        }
    }
}
impl From<etcd::note::Note> for Note {
    fn from(note: etcd::note::Note) -> Note {
        Note::Etcd(note)
    }
}
impl TryFrom<Msg> for consul::msg::Msg {
    type Error = ();
    fn try_from(msg: Msg) -> Result<Self, ()> {
        match msg {
            Msg::Consul(m) => Ok(*m),
            Msg::ConsulRaft(m) => Ok(consul::msg::Msg::Raft(m)),
            Msg::ConsulGossip(n, m) => Ok(consul::msg::Msg::Gossip(n, m)),
            Msg::Dns(m) => Ok(consul::msg::Msg::Dns(*m)),
            Msg::Http(m) => Ok(consul::msg::Msg::Http(m)),
            _ => Err(()),
        }
    }
}
impl From<consul::msg::Msg> for Msg {
    fn from(msg: consul::msg::Msg) -> Msg {
        match msg {
            consul::msg::Msg::Raft(m) => Msg::ConsulRaft(m),
            consul::msg::Msg::Gossip(n, m) => Msg::ConsulGossip(n, m),
            consul::msg::Msg::Dns(m) => Msg::Dns(Box::new(m)),
            consul::msg::Msg::Http(m) => Msg::Http(m),
            m => Msg::Consul(Box::new(m)),
        }
    }
}
impl From<consul::note::Note> for Note {
    fn from(note: consul::note::Note) -> Note {
        Note::Consul(note)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn messages_stay_small() {
        assert!(std::mem::size_of::<super::Msg>() <= 40, "{}", std::mem::size_of::<super::Msg>());
    }
}
