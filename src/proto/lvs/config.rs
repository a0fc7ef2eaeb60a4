//! The knobs of a load-balancing director under keepalived's and the kernel's own names, and those of its real servers.

use crate::engine::time::{Span, SpanRange};
use crate::net::addr::{Cidr, Endpoint, Ip};
use serde::{Deserialize, Serialize};

/// A director: IPVS in the kernel of its host, and keepalived's checker process that fills the table.
///
/// On a real host the checkers are a child of the same keepalived that runs VRRP; here they are the process `lvs`, so that a drill can
/// kill one without the other. A pair of directors is this on two hosts, each beside `Keepalived`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lvs {
    /// Addresses that the director has without VRRP, on the network that they belong to. Default: none.
    pub addresses: Vec<Cidr>,
    /// The virtual services.
    pub virtual_server: Vec<VirtualServer>,
    /// Send connections to the other director and take its own (`lvs_sync_daemon`). The one that has the virtual address sends, the
    /// other listens. Default false.
    pub sync_daemon: bool,
    /// `net.ipv4.vs.sync_threshold`: a connection is sent when it has had so many packets ... Default 3.
    pub sync_threshold: u32,
    /// ... and again every so many. 0: once. Default 50.
    pub sync_period: u32,
    /// `net.ipv4.vs.expire_nodest_conn`: a packet of a flow whose server has left ends the flow; otherwise such packets are dropped,
    /// and the flow goes on if the server returns. Default false.
    pub expire_nodest_conn: bool,
    /// `net.ipv4.vs.expire_quiescent_template`: persistence does not hold a client on a server of weight 0. Default false.
    pub expire_quiescent_template: bool,
    /// `net.ipv4.vs.conn_reuse_mode` is 1: a new connection from a port whose old one is closing is scheduled anew. Default true.
    pub conn_reuse_mode: bool,
    /// Time from the start of the process until its first check may begin (`BOOTSTRAP_DELAY`); the warm-up comes on top. Default 1 s.
    pub bootstrap_delay: Span,
}
impl Default for Lvs {
    fn default() -> Self {
        Lvs {
            addresses: Vec::new(),
            virtual_server: Vec::new(),
            sync_daemon: false,
            sync_threshold: 3,
            sync_period: 50,
            expire_nodest_conn: false,
            expire_quiescent_template: false,
            conn_reuse_mode: true,
            bootstrap_delay: Span::secs(1),
        }
    }
}

/// A virtual service: an address and a port, and the servers behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VirtualServer {
    /// The address and port that clients connect to.
    pub address: Endpoint,
    /// TCP or UDP. Default Tcp.
    #[serde(default)]
    pub protocol: Transport,
    /// The scheduler. Default Wlc, as ipvsadm has it; keepalived has none.
    #[serde(default)]
    pub lb_algo: Algorithm,
    /// How packets get to the servers. Default NAT.
    #[serde(default)]
    pub lb_kind: Kind,
    /// How long a client stays on its server after its last new connection; 0 s: no persistence. Default 0 s (keepalived: 6 min once
    /// the word is written).
    #[serde(default)]
    pub persistence_timeout: Span,
    /// How many bits of a client's address count for persistence, 1 to 32. Default 32.
    #[serde(default = "all_bits")]
    pub persistence_granularity: u8,
    /// The servers, in the order in which the scheduler looks at them.
    pub real_server: Vec<RealServer>,
    /// The server that gets everything while the quorum is lost.
    #[serde(default)]
    pub sorry_server: Option<Endpoint>,
    /// The sum of the weights of live servers below which the service counts as lost, 1 and more. Default 1.
    #[serde(default = "one")]
    pub quorum: u32,
    /// The quorum is lost below `quorum - hysteresis` and gained at `quorum + hysteresis`. Below `quorum`. Default 0.
    #[serde(default)]
    pub hysteresis: u32,
    /// A script that runs when the quorum is gained.
    #[serde(default)]
    pub quorum_up: Option<String>,
    /// A script that runs when the quorum is lost.
    #[serde(default)]
    pub quorum_down: Option<String>,
    /// Time from the end of a check to the next one. Default 60 s.
    #[serde(default = "one_minute")]
    pub delay_loop: Span,
    /// The first check comes after a time drawn between 0 and this. Default: `delay_loop`.
    #[serde(default)]
    pub warmup: Option<Span>,
    /// How often a failed check of a live server is repeated before it counts. Default 1 (MISC_CHECK: 0).
    #[serde(default)]
    pub retry: Option<u32>,
    /// Time from a failed check to its repetition. Default 1 s (HTTP_GET: 3 s).
    #[serde(default)]
    pub delay_before_retry: Option<Span>,
    /// How long a connection (and an HTTP answer) may take. Default 5 s.
    #[serde(default = "five_seconds")]
    pub connect_timeout: Span,
    /// Servers start as failed and come in with their first good check. Default false: they start as live.
    #[serde(default)]
    pub alpha: bool,
    /// An orderly stop runs the `quorum_down` and `notify_down` scripts. Default false.
    #[serde(default)]
    pub omega: bool,
    /// A failed server gets weight 0 instead of leaving the table. Default false.
    #[serde(default)]
    pub inhibit_on_failure: bool,
}

/// A server behind a virtual service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealServer {
    /// Its address and port.
    pub address: Endpoint,
    /// Its weight, 0 to 65535; 0: it gets no new clients. Default 1.
    #[serde(default = "one")]
    pub weight: u32,
    /// How packets get to it. Default: as the service says.
    #[serde(default)]
    pub lb_kind: Option<Kind>,
    /// At so many connections it gets no more (`uthreshold`); 0: no limit. Default 0.
    #[serde(default)]
    pub uthreshold: u32,
    /// Below so many it gets some again (`lthreshold`); 0: three quarters of `uthreshold`. Default 0.
    #[serde(default)]
    pub lthreshold: u32,
    /// Its checks: it is live while none has failed. Default: none, always live.
    #[serde(default)]
    pub check: Vec<Check>,
    /// A script that runs when it goes down.
    #[serde(default)]
    pub notify_down: Option<String>,
    /// A script that runs when it comes up.
    #[serde(default)]
    pub notify_up: Option<String>,
}

/// How the health of a server is checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(non_camel_case_types)] // keepalived's own words.
pub enum Check {
    /// A TCP connection: `TCP_CHECK()`.
    TCP_CHECK(Schedule),
    /// A page over HTTP: `HTTP_GET(path: "/health")`.
    HTTP_GET(HttpGet),
    /// A script on the director: `MISC_CHECK(script: Connects)`.
    MISC_CHECK(Misc),
}

/// When a check runs; what is not set comes from the virtual service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// The port to connect to. Default: the server's.
    pub connect_port: Option<u16>,
    /// How long a connection may take.
    pub connect_timeout: Option<Span>,
    /// Time from the end of a check to the next one.
    pub delay_loop: Option<Span>,
    /// The first check comes after a time drawn between 0 and this.
    pub warmup: Option<Span>,
    /// How often a failed check is repeated before it counts.
    pub retry: Option<u32>,
    /// Time from a failed check to its repetition.
    pub delay_before_retry: Option<Span>,
    /// The check starts as failed.
    pub alpha: Option<bool>,
}

/// A check of a page.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpGet {
    /// The page. Default `/`.
    pub path: String,
    /// The status that it must have. Default 200.
    pub status_code: u16,
    /// When it runs.
    pub schedule: Schedule,
}
impl Default for HttpGet {
    fn default() -> Self {
        HttpGet { path: "/".to_owned(), status_code: 200, schedule: Schedule::default() }
    }
}

/// A check by a script.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Misc {
    /// What the script does.
    pub script: Script,
    /// A script that takes longer is killed, which is a failure. Default: `delay_loop`.
    #[serde(default)]
    pub misc_timeout: Option<Span>,
    /// Process time: how long the script takes beside what it waits for. Default 10 ms.
    #[serde(default = "ten_ms")]
    pub run_time: SpanRange,
    /// When it runs.
    #[serde(default)]
    pub schedule: Schedule,
}

/// What a check script does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Script {
    /// It connects to the server, as `nc -z` does.
    Connects,
    /// It looks whether a process of this name runs on the director.
    Running(String),
    /// It asks a port of the director itself.
    Answers(u16),
}

/// The protocol of a virtual service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Transport {
    /// Connections: TCP.
    #[default]
    Tcp,
    /// Datagrams: UDP.
    Udp,
}

/// A scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// Round robin: one after the other.
    Rr,
    /// Weighted round robin: in turn, by weight; heavy servers come in bursts.
    Wrr,
    /// Least connections: the least of 256 x active + inactive.
    Lc,
    /// Weighted least connections: the same over the weight.
    #[default]
    Wlc,
    /// Shortest expected delay: the least of (active + 1) over the weight.
    Sed,
    /// Never queue: the first idle server, otherwise as Sed.
    Nq,
    /// Source hashing: the client's address decides.
    Sh,
    /// Destination hashing: the virtual address decides.
    Dh,
}

/// How a director hands packets to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// It rewrites addresses; answers come back through it, so it has to be the servers' gateway.
    #[default]
    NAT,
    /// Direct routing: it only changes the hardware address; the servers have the virtual address on `lo` and answer the client.
    DR,
    /// Tunnelling: it packs packets into packets to the server; the servers have the virtual address on a tunnel and answer the client.
    TUN,
}

/// A server behind a director: a queue, workers, a time that a request takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebServer {
    /// The port, TCP and UDP. Default 80.
    pub bind: u16,
    /// How many requests are worked on at once. Default 8.
    pub workers: u32,
    /// How long a worker needs for a request, drawn anew for each. Default 10 ms.
    pub service_time: SpanRange,
    /// How that time is distributed. Default Uniform.
    pub distribution: Distribution,
    /// Requests that wait for a worker; one more is turned away (its connection is closed, HTTP gets 503). Default 511.
    pub queue: u32,
    /// Length of the accept queue (`backlog`). Default 511.
    pub backlog: u32,
    /// Virtual addresses on `lo`, for DR. Default: none.
    pub lo: Vec<Ip>,
    /// Virtual addresses on `tunl0`, for TUN. Default: none.
    pub tunl0: Vec<Ip>,
    /// `arp_ignore` 1: the host does not answer ARP for the addresses of `lo` and `tunl0`. Default true.
    pub arp_ignore: bool,
    /// The default gateway of the host; for NAT the director. Default: none.
    pub gateway: Option<Ip>,
    /// Process time: from the start to the first accepted connection. Default 0 s.
    pub startup_time: SpanRange,
}
impl Default for WebServer {
    fn default() -> Self {
        WebServer {
            bind: 80,
            workers: 8,
            service_time: SpanRange::exactly(Span::ms(10)),
            distribution: Distribution::Uniform,
            queue: 511,
            backlog: 511,
            lo: Vec::new(),
            tunl0: Vec::new(),
            arp_ignore: true,
            gateway: None,
            startup_time: SpanRange::exactly(Span::ZERO),
        }
    }
}

/// How service times are distributed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Distribution {
    /// Every length of the range equally likely.
    #[default]
    Uniform,
    /// Exponentially; the mean is the shorter end of the range.
    Exponential,
}

fn one() -> u32 {
    1
}
fn all_bits() -> u8 {
    32
}
fn one_minute() -> Span {
    Span::secs(60)
}
fn five_seconds() -> Span {
    Span::secs(5)
}
fn ten_ms() -> SpanRange {
    SpanRange::exactly(Span::ms(10))
}
