//! The shape of scenario files: a stack, a drill, and what they are made of.
//!
//! In a file the first arguments of faults and expectations may stand without their names: `Cut(Primary, from: Everyone)` is
//! `Cut(target: Primary, from: Everyone)`. [`super::syntax`] adds the names before serde reads the text.

use crate::engine::time::{Chance, Span, SpanRange};
use crate::net::Plane;
use crate::net::addr::Cidr;
use crate::proto::app::Application;
use crate::proto::batch::{Nfs, Sbatch, Slurmctld, Slurmd};
use crate::proto::client::config::Client;
use crate::proto::consul::config::Consul;
use crate::proto::corosync::config::{Corosync, Qnetd};
use crate::proto::crm::{Cluster, Pacemaker};
use crate::proto::dns::{Dns, Resolver};
use crate::proto::etcd::config::Etcd;
use crate::proto::fence::FenceDevice;
use crate::proto::fence::config::DeviceMode;
use crate::proto::haproxy::config::HAProxy;
use crate::proto::heartbeat::Heartbeat;
use crate::proto::lvs::{Lvs, WebServer};
use crate::proto::patroni::Patroni;
use crate::proto::pgpool::Pgpool;
use crate::proto::postgres::Postgres;
use crate::proto::postgres::config::StopMode;
use crate::proto::sbd::{Sbd, SbdDisk};
use crate::proto::vrrp::config::Keepalived;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An architecture: networks, hosts, and what runs on them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stack {
    /// One sentence for the gallery.
    pub about: String,
    /// Networks by name; each is one broadcast domain behind one switch. At least one.
    pub networks: BTreeMap<String, Network>,
    /// Hosts by name.
    pub hosts: BTreeMap<String, Host>,
    /// The configuration of the Pacemaker cluster that the hosts with `Pacemaker` form. Default: none.
    #[serde(default)]
    pub pacemaker: Option<Box<Cluster>>,
}

/// A network: one broadcast domain behind one switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// One-way delay from host to host; every frame draws from the range. Default 100 us to 300 us.
    pub latency: SpanRange,
    /// Frames lost at random. Default 0%.
    pub loss: Chance,
    /// Frames delivered twice. Default 0%.
    pub duplicate: Chance,
    /// Addresses are given to the hosts from here, in the order of their names. Default 10.0.N.0/24, N counting networks from 0.
    pub subnet: Option<Cidr>,
    /// Ageing time of the switch's MAC table. Default 300 s.
    pub mac_ageing: Span,
}
impl Default for Network {
    fn default() -> Self {
        Network {
            latency: SpanRange::new(Span::us(100), Span::us(300)),
            loss: Chance::NEVER,
            duplicate: Chance::NEVER,
            subnet: None,
            mac_ageing: Span::secs(300),
        }
    }
}

/// A host: its addresses, its clock, and what runs on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// What runs here, in order of start.
    pub runs: Vec<Runs>,
    /// Address by network. Default: on every network, the next free address of its subnet.
    pub addresses: BTreeMap<String, Cidr>,
    /// The networks that the host is connected to. Default: all.
    pub networks: Option<Vec<String>>,
    /// The site (room, rack, availability zone) that the host stands in; a site can be lost as a whole. Default: a site of its own.
    pub site: Option<String>,
    /// Power-on to the start of the daemons. Default 30 s.
    pub boot_time: Option<SpanRange>,
    /// From the SIGTERM of a reboot to the end of the kernel (systemd stopping its units). Default 2s.
    pub shutdown_time: Option<Span>,
    /// Wall clock minus true time at the start. Default 0 s.
    pub clock_offset: Span,
    /// How much faster the clock runs than true time, in parts per million (negative: slower), -500 to 500. Default 0.
    pub clock_drift_ppm: i32,
    /// Process time: from the arrival of an input at a process to its handling. Default 0 s.
    pub wakeup: SpanRange,
    /// The watchdog device, `/dev/watchdog`. Default: none.
    pub watchdog: Option<WatchdogKind>,
    /// Processors, which the statements of databases and of pgpool share. Default: no limit.
    pub cpus: Option<u16>,
    /// What the disk needs to confirm a write (fsync). Default 500 us to 2 ms.
    pub disk: Option<SpanRange>,
    /// `net.ipv4.neigh.*` and `tcp_*` settings of the kernel.
    pub sysctl: Sysctl,
}

/// What the watchdog of a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WatchdogKind {
    /// `softdog`, a timer of the kernel: it resets a host whose programs hang, not one that stands still as a whole.
    Softdog,
    /// A timer of the hardware.
    Hardware,
}

/// Settings of the host's kernel, under Linux's own names, with Linux's defaults.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sysctl {
    /// `neigh.default.base_reachable_time_ms`. Default 30 s: an interface draws between half and one and a half of it.
    pub base_reachable_time: Span,
    /// `neigh.default.delay_first_probe_time`. Default 5 s.
    pub delay_first_probe_time: Span,
    /// `neigh.default.ucast_solicit`. Default 3.
    pub ucast_solicit: u32,
    /// `neigh.default.mcast_solicit`. Default 3.
    pub mcast_solicit: u32,
    /// `neigh.default.retrans_time_ms`. Default 1 s.
    pub retrans_time: Span,
    /// `neigh.default.locktime`. Default 1 s.
    pub locktime: Span,
    /// `arp_accept`: create entries from gratuitous ARP. Default false.
    pub arp_accept: bool,
    /// `tcp_syn_retries`. Default 6.
    pub tcp_syn_retries: u32,
    /// `tcp_retries2`. Default 15.
    pub tcp_retries2: u32,
}
impl Sysctl {
    /// The part that the ARP cache goes by.
    pub fn neigh(&self) -> crate::net::arp::NeighParms {
        crate::net::arp::NeighParms {
            base_reachable_time: self.base_reachable_time,
            delay_first_probe_time: self.delay_first_probe_time,
            ucast_solicit: self.ucast_solicit,
            mcast_solicit: self.mcast_solicit,
            retrans_time: self.retrans_time,
            locktime: self.locktime,
            arp_accept: self.arp_accept,
        }
    }
}
impl Default for Sysctl {
    fn default() -> Self {
        Sysctl {
            base_reachable_time: Span::secs(30),
            delay_first_probe_time: Span::secs(5),
            ucast_solicit: 3,
            mcast_solicit: 3,
            retrans_time: Span::secs(1),
            locktime: Span::secs(1),
            arp_accept: false,
            tcp_syn_retries: 6,
            tcp_retries2: 15,
        }
    }
}

/// A daemon or a client on a host. The process is known in faults by the lower-case name: `keepalived`, `haproxy`, `client`, `patroni`;
/// a thread of it by a second name, `patroni/ha`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)]
pub enum Runs {
    /// keepalived (VRRP).
    Keepalived(Keepalived),
    /// A service on a port, or HAProxy.
    HAProxy(HAProxy),
    /// A client.
    Client(Client),
    /// A member of an etcd cluster: all hosts with one form it.
    Etcd(Etcd),
    /// A Consul server or client agent: all servers form one cluster.
    Consul(Consul),
    /// PostgreSQL.
    Postgres(Postgres),
    /// Patroni: it manages the PostgreSQL of its host.
    Patroni(Patroni),
    /// An authoritative DNS server.
    Dns(Dns),
    /// A recursive DNS resolver.
    Resolver(Resolver),
    /// A program that uses a database.
    Application(Application),
    /// A load-balancing director: IPVS, and keepalived's checkers.
    Lvs(Lvs),
    /// A server with workers and a queue, for directors to send to.
    Server(WebServer),
    /// The controller of a batch cluster, or its backup.
    Slurmctld(Slurmctld),
    /// A compute node of a batch cluster.
    Slurmd(Slurmd),
    /// A user who submits jobs to a batch cluster.
    Sbatch(Sbatch),
    /// The file server of a batch cluster.
    Nfs(Nfs),
    /// pgpool-II.
    Pgpool(Pgpool),
    /// A fence device: BMC, PDU, switch.
    FenceDevice(FenceDevice),
    /// A node of a generic heartbeat cluster.
    Heartbeat(Heartbeat),
    /// Pacemaker: all hosts with one form a cluster under the stack's `pacemaker`.
    Pacemaker(Pacemaker),
    /// `sbd`: a node that resets itself when it may no longer run.
    Sbd(Sbd),
    /// A shared disk for `sbd`.
    SbdDisk(SbdDisk),
    /// Corosync, with `corosync-qdevice` if it has a quorum device: all hosts with one form a cluster.
    Corosync(Corosync),
    /// `corosync-qnetd`: the server of quorum devices.
    Qnetd(Qnetd),
}
impl Runs {
    /// The name of the process.
    pub const fn name(&self) -> &'static str {
        match self {
            Runs::Keepalived(_) => "keepalived",
            Runs::HAProxy(_) => "haproxy",
            Runs::Client(_) => "client",
            Runs::Etcd(_) => "etcd",
            Runs::Consul(_) => "consul",
            Runs::Postgres(_) => "postgres",
            Runs::Patroni(_) => "patroni",
            Runs::Dns(_) => "dns",
            Runs::Resolver(_) => "resolver",
            Runs::Application(_) => "application",
            Runs::Lvs(_) => "lvs",
            Runs::Server(_) => "server",
            Runs::Slurmctld(_) => "slurmctld",
            Runs::Slurmd(_) => "slurmd",
            Runs::Sbatch(_) => "sbatch",
            Runs::Pacemaker(_) => "pacemakerd",
            Runs::Nfs(_) => "nfs",
            Runs::Pgpool(_) => "pgpool",
            Runs::FenceDevice(_) => "fencedevice",
            Runs::Heartbeat(_) => "heartbeat",
            Runs::Sbd(_) => "sbd",
            Runs::SbdDisk(_) => "sbddisk",
            Runs::Corosync(_) => "corosync",
            Runs::Qnetd(_) => "qnetd",
        }
    }
}

/// A stack plus faults and expectations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// One or two sentences: what happens, what to look for.
    pub about: String,
    /// The name of a stack, or its path relative to this file.
    pub stack: String,
    /// The end of the run.
    pub until: Span,
    /// The seed of the run unless `--seed` says otherwise. Default 1.
    #[serde(default = "one")]
    pub seed: u64,
    /// Changes of the stack for this drill, as `--set` would make them: `"keepalived.version": "3"`.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// What goes wrong, and what is put right.
    #[serde(default)]
    pub faults: Vec<At>,
    /// What must and must not happen.
    #[serde(default)]
    pub expect: Vec<Expect>,
    /// What a real cluster did, for `firedrill validate`.
    #[serde(default)]
    pub measured: Option<Measured>,
}
fn one() -> u64 {
    1
}

/// A fault and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum At {
    /// At this time after the start; a range, `"60s..61s"`, is drawn from once per seed.
    At(SpanRange, Fault),
    /// So long after the last thing of this mark kind on this host (`After("100ms", Mark("master", "lb2"), Heal)`).
    After(SpanRange, When, Fault),
}

/// An occasion in the run that a fault can wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum When {
    /// The first mark of this kind, on this host (`""`: on any), after the fault before.
    Mark(String, String),
    /// The next advert that this host sends, after the time of the fault before.
    Advert(String),
}

/// Who a fault hits: a host, or a role that is looked up when the fault fires.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Target {
    /// A host by name; in a file just the string, `"lb1"`.
    Host(String),
    /// The host that holds the (first) virtual address; two holders: the one with the higher priority.
    VipHolder,
    /// The n-th of the hosts that stand by for it, best priority first, from 1.
    Standby(u32),
    /// All hosts.
    Everyone,
    /// The hosts that run a client.
    Clients,
    /// Several hosts by name.
    Hosts(Vec<String>),
    /// All but these.
    Others(Vec<String>),
    /// The database primary: the host whose server accepts writes; of two, the one on the newest timeline. Without a database:
    /// where Pacemaker has something promoted, otherwise as `VipHolder`.
    Primary,
    /// The hosts that run a database server.
    Databases,
    /// The database servers in recovery; under Pacemaker the instances that run and are not promoted.
    Replicas,
    /// The first standby that the primary waits for. (Needs synchronous replication.)
    SyncStandby,
    /// The hosts that run a member of the DCS: etcd, or a Consul server.
    Stores,
    /// The hosts that run HAProxy or pgpool.
    Proxies,
    /// The leader of the DCS (etcd, Consul) or the cluster manager: pgpool's watchdog, Pacemaker's DC. (Needs a stack that has one.)
    Leader,
    /// The standby that has received most. (Needs a database stack.)
    MostAdvanced,
    /// All hosts of the site of the `Primary`; its host alone where no site is named.
    PrimarySite,
    /// The hosts that run what has a vote and no data: members of the DCS, a quorum device's server, a node of a cluster that has no database
    /// where others have one. Nobody, in a stack without. Their daemon is the process `arbiter`.
    Arbiters,
}

/// Something that goes wrong, or is put right. In a file, `target` may be left out as a name: `PowerOff(VipHolder)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // The fields are explained by the words above each variant.
pub enum Fault {
    /// The power goes. Everything volatile is lost, nobody is told.
    PowerOff { target: Target },
    /// The power comes back: the host boots, its daemons start.
    PowerOn { target: Target },
    /// The kernel panics: as power loss, but the host stays down until `PowerOn`.
    Crash { target: Target },
    /// An orderly reboot: SIGTERM to all daemons, `shutdown_time` later the kernel ends and the host boots. Pacemaker is stopped before Corosync and
    /// before what it manages, however long that takes (the dependencies of its systemd unit).
    Reboot { target: Target },
    /// The whole host stands still. `mode` says what happens to packets meanwhile, `clock` whether its clocks run on.
    Freeze {
        target: Target,
        #[serde(default)]
        mode: FreezeMode,
        #[serde(default)]
        clock: FreezeClock,
        /// Thaw after this time. Default: at `Thaw`.
        #[serde(default, rename = "for")]
        lasts: Option<SpanRange>,
    },
    /// A frozen host goes on.
    Thaw { target: Target },
    /// SIGTERM to a daemon: an orderly stop.
    Stop { target: Target, process: String },
    /// A daemon that is not running is started (a running one is left alone).
    Start { target: Target, process: String },
    /// SIGKILL: to the named process alone (`keepalived` is the parent, `keepalived/vrrp` the child), or with `all` to the
    /// daemon with all its children.
    Kill {
        target: Target,
        process: String,
        #[serde(default)]
        all: bool,
    },
    /// SIGSTOP to a process and its children: it stands still, its packets and timers wait.
    Pause { target: Target, process: String },
    /// SIGCONT to a process and its children.
    Resume { target: Target, process: String },
    /// The process hangs in the kernel (state D): as `Pause`, but no signal reaches it, SIGKILL included, until `Resume`.
    Hang { target: Target, process: String },
    /// Nothing passes between the two sides, in both directions.
    Cut {
        target: Target,
        from: Target,
        /// Only this plane: `heartbeat`, `client`, `replication`, `dcs`, `rest`, `dns`, `fencing`, `storage`, `batch`, `quorum`, `arp`. Default:
        /// everything.
        #[serde(default)]
        plane: Option<Plane>,
    },
    /// What `target` sends to `to` is lost; the other direction works.
    CutOneWay {
        target: Target,
        to: Target,
        #[serde(default)]
        plane: Option<Plane>,
    },
    /// All cuts and all degradations of links end. With `target`, only those that touch it.
    Heal {
        #[serde(default)]
        target: Option<Target>,
    },
    /// Frames that `target` sends to `to` (default: everybody) are lost with this probability.
    Loss {
        target: Target,
        chance: Chance,
        #[serde(default)]
        to: Option<Target>,
        #[serde(default)]
        plane: Option<Plane>,
    },
    /// The next `count` frames of the plane that `target` sends are lost.
    DropNext { target: Target, count: u32, plane: Plane },
    /// Frames that `target` sends take this much longer.
    Delay {
        target: Target,
        by: SpanRange,
        #[serde(default)]
        to: Option<Target>,
        #[serde(default)]
        plane: Option<Plane>,
    },
    /// Frames that `target` sends arrive twice with this probability.
    Duplicate { target: Target, chance: Chance },
    /// With this probability a frame that `target` sends is held back by up to `by`, so that later ones overtake it.
    Reorder { target: Target, chance: Chance, by: SpanRange },
    /// Gratuitous ARPs that `target` sends are lost.
    LoseGarps { target: Target },
    /// The carrier of an interface goes (cable pulled): the host sees it. `network`: which; default the first.
    LinkDown {
        target: Target,
        #[serde(default)]
        network: Option<String>,
    },
    /// The carrier comes back.
    LinkUp {
        target: Target,
        #[serde(default)]
        network: Option<String>,
    },
    /// The wall clock jumps by this much (`"-10s"` is backwards).
    ClockStep { target: Target, by: SignedSpan },
    /// The clocks run faster (negative: slower) by this many parts per million.
    ClockDrift { target: Target, ppm: i32 },
    /// Every write to the disk takes this long.
    DiskSlow { target: Target, by: SpanRange },
    /// The disk is full: writes fail.
    DiskFull { target: Target },
    /// The disk is itself again.
    DiskOk { target: Target },
    /// `patronictl switchover`: the leader hands over, to `candidate` if one is named.
    Switchover {
        #[serde(default)]
        candidate: Option<Target>,
    },
    /// `patronictl failover`: `candidate` takes over, with or without a leader.
    Failover { candidate: Target },
    /// `patronictl pause`: Patroni only watches.
    PatroniPause,
    /// `patronictl resume`.
    PatroniResume,
    /// `patronictl reinit`: the member's data directory is made anew from the leader.
    Reinit { target: Target },
    /// An operator has copied the primary's data to this host (`pg_basebackup` ends now) and has removed `PGSQL.lock`. Whatever manages the
    /// server there starts it; with Pacemaker, after `Crm(Cleanup(resource: ...))`.
    Rebuild { target: Target },
    /// `etcdctl move-leader`, `consul operator raft transfer-leader`: that host's member of the DCS leads from now on.
    MoveLeader { target: Target },
    /// The leader key is deleted in the DCS by hand.
    DeleteLeaderKey,
    /// `pg_ctl promote` by hand, behind the back of whatever manages the server.
    Promote { target: Target },
    /// `pg_ctl stop -m MODE`: an orderly shutdown of PostgreSQL. `smart` waits until its sessions have ended, `fast` (default) ends them with
    /// 57P01 and writes a checkpoint, `immediate` ends all at once and leaves a recovery for the next start.
    PgCtlStop {
        target: Target,
        #[serde(default)]
        mode: StopMode,
    },
    /// Somebody changes the DNS record of a name: from now on it means this host.
    DnsRecord { name: String, to: Target },
    /// An operator's command to the Pacemaker cluster: `Crm(Standby(node: "h1"))`.
    Crm { command: crate::proto::crm::config::Operator },
    /// From now on this operation of a resource's agent fails on `target`; with `hangs` it never ends by itself.
    AgentFails {
        target: Target,
        resource: String,
        operation: String,
        #[serde(default)]
        hangs: bool,
    },
    /// The agents of the resource work again on `target`.
    AgentWorks { target: Target, resource: String },
    /// What a resource stands for is gone behind Pacemaker's back: the address is deleted, the file, the process.
    ResourceDies { target: Target, resource: String },
    /// An operator gives a server another weight in the tables of the directors `target` (`ipvsadm -e`); 0 lets it run dry.
    Weight { target: Target, server: String, weight: u32 },
    /// The fence devices on `target` work like this from now on (`Works`, `Fails`, `Hangs`, `Lies`).
    FenceMode { target: Target, mode: DeviceMode },
    /// `pcp_attach_node`, told to the pgpool of `target`: the backend with this number is used again. Its data is not looked at.
    PcpAttachNode { target: Target, node: u8 },
    /// `pcp_detach_node`: the backend goes, needing neither quorum nor votes; `graceful` (`-g`): when the clients have gone.
    PcpDetachNode {
        target: Target,
        node: u8,
        #[serde(default)]
        graceful: bool,
    },
    /// `pcp_promote_node`: pgpool believes that the backend is the primary; with `switchover` (`-s`) the old one is detached and this one
    /// is promoted.
    PcpPromoteNode {
        target: Target,
        node: u8,
        #[serde(default)]
        switchover: bool,
    },
    /// `pcp_recovery_node`: online recovery of a backend that is detached and whose server does not run.
    PcpRecoveryNode { target: Target, node: u8 },
    /// An operator fences a node by hand, with the fence device on a host (`fence_ipmilan -o reboot`), or from a node that runs `sbd`
    /// (`sbd message NODE reset`).
    Fence { target: Target, by: Target },
}

/// What happens to packets for a frozen host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FreezeMode {
    /// It hears nothing and answers no ARP: a stunned virtual machine.
    #[default]
    Lost,
    /// Packets wait in its sockets and its kernel answers ARP: all processes stopped.
    Queued,
}

/// What the clocks of a frozen host do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FreezeClock {
    /// They run on: after the thaw every timer is overdue.
    #[default]
    Runs,
    /// They stand still: every timer keeps its remaining time.
    Stops,
}

/// A length of time with a sign, for clock steps: `"10s"`, `"-10s"`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SignedSpan {
    /// Backwards.
    pub negative: bool,
    /// How far.
    pub by: Span,
}
impl std::str::FromStr for SignedSpan {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let s = s.trim();
        let (negative, rest) = s.strip_prefix('-').map_or((false, s), |r| (true, r));
        Ok(SignedSpan { negative, by: rest.trim_start_matches('+').parse()? })
    }
}
impl std::fmt::Display for SignedSpan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.negative { "-" } else { "" }, self.by)
    }
}
impl std::fmt::Debug for SignedSpan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
crate::engine::time::text_serde!(SignedSpan, "a duration in quotes, such as \"10s\" or \"-10s\"");

/// Something that must or must not happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // The fields are explained by the words above each variant.
pub enum Expect {
    /// The invariant holds at every event.
    Never(Invariant),
    /// The invariant breaks: a drill that shows a failure says so (and is not green without it).
    Sometimes(Invariant),
    /// Clients' requests succeed again at most so long after they failed first, every time (reads and writes).
    RequestsResume { within: Span },
    /// Clients' writes succeed again at most so long after they failed first, every time.
    WritesResume { within: Span },
    /// Clients' reads succeed again at most so long after they failed first, every time.
    ReadsResume { within: Span },
    /// The longest outage that clients see lies in this range (`"25s..55s"`).
    Outage { between: SpanRange },
    /// So many requests of clients fail in all.
    Failures { min: u64, max: u64 },
    /// So many requests of clients are answered in all: a throughput, times the length of the run.
    Answers { min: u64, max: u64 },
    /// So many marks of a kind come after the first fault.
    Marks { kind: String, min: u64, max: u64 },
    /// The condition holds at some moment not later than `by` (after the start).
    Eventually { state: Condition, by: Span },
    /// The condition holds from `from` to `to` (default: to the end).
    Always {
        state: Condition,
        from: Span,
        #[serde(default)]
        to: Option<Span>,
    },
    /// The first mark of this kind after a fault (default: the first) comes so long after it (`FirstMark("promoted", between: "22s..33s")`).
    FirstMark {
        kind: String,
        between: SpanRange,
        #[serde(default = "first")]
        fault: usize,
    },
    /// No mark of this kind comes after a fault (default: the first).
    NoMark {
        kind: String,
        #[serde(default = "first")]
        fault: usize,
    },
    /// So many acknowledged writes are lost.
    LostWrites {
        #[serde(default)]
        min: u64,
        #[serde(default = "many")]
        max: u64,
    },
    /// A mark of this kind whose words name `word` (a job, a node) comes in this time: `Happens("job_started", "J2", "10m..11m")`.
    Happens { kind: String, word: String, between: SpanRange },
    /// No mark of this kind has words that name `word`.
    HappensNot { kind: String, word: String },
    /// This must happen at least once for the run to mean anything.
    Witness(Witness),
}
const fn first() -> usize {
    1
}
const fn many() -> u64 {
    u64::MAX
}

/// What is checked at every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Invariant {
    /// Two hosts that hear each other hold one virtual address for longer than a message needs.
    DualVip,
    /// Two hosts hold one virtual address, whether or not they hear each other.
    DualVipAnywhere,
    /// Two VRRP masters of one virtual router.
    TwoMasters,
    /// A holder of the address lives, but a client sends to another host's MAC.
    StaleArp,
    /// Two servers accept writes, and clients reach both.
    SplitBrain,
    /// Two servers accept writes, whether or not anybody reaches them.
    SplitBrainAnywhere,
    /// A write that a client was told is committed is not in the database of the newest primary.
    LostCommit,
    /// A read returned a value that is not in the database of the newest primary.
    PhantomRead,
    /// An operation that a client tried again is in the database twice.
    DuplicateWrite,
    /// Two Patronis believe that they hold the leader key.
    TwoLeaseHolders,
    /// Two pgpools are leader of their watchdog and have escalated: each has the virtual address.
    TwoPgpoolLeaders,
    /// A client was told that a write is committed, and fewer servers have it than pgpool's mode promises (all attached ones in native
    /// replication and snapshot isolation).
    FewerCopies,
    /// pgpool sent a SELECT to a server that was detached, or further behind than its threshold allows.
    LateRead,
    /// Servers that pgpool replicates to hold different data although nothing is under way.
    Divergence,
    /// pgpool refused a client although its accept queue had room.
    RefusedWithRoom,
    /// A program with one session did not see its own write that it had been told is committed.
    OwnWriteUnseen,
    /// A server that Patroni manages became writable while another member, or nobody, held the leader key.
    PromotionWithoutKey,
    /// Two partitions of a Corosync cluster are quorate (without `two_node`).
    TwoQuoratePartitions,
    /// A resource of Pacemaker that may run once is active on two nodes, or promoted on more than `promoted-max`, as the hosts show it: the
    /// address is configured, the process lives, the agent has left its file. A host that stands still counts.
    ActiveTwice,
    /// A resource was started (or promoted) on a node while another one, on which it ran, is lost to it and neither has been fenced with success nor
    /// has come back. That the lost node is down in truth does not help: nobody knew.
    StartedBeforeFence,
    /// A resource is active on a node where its score is -INFINITY in the last plan of the DC, and the DC is idle: it is content with that, or can do
    /// nothing about it (maintenance, a stop that failed).
    ForbiddenNode,
    /// A resource is active on a node that is awake and has no quorum (or no Corosync) for more than a second in which no controller of its partition
    /// does anything: `no-quorum-policy` is `ignore` or `freeze`, or the daemons are gone and the services are not.
    ServiceWithoutQuorum,
    /// Two nodes of a cluster have fenced each other in one incident: until the cluster is whole and idle again.
    BothFenced,
    /// More than one fencing took effect in one incident: a second node, or the same one again. A node that SBD resets counts.
    SecondFence,
    /// A node that had been cut off or had stood still was fenced when it was awake and heard all others again: the order was older than the
    /// healing, and nobody asked once more.
    FenceAfterHeal,
}

/// A state that can be waited for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Condition {
    /// The host's (first) VRRP instance is in this role: `Role("lb1", Master)`.
    Role(String, Role),
    /// The host has the virtual address configured.
    HoldsVip(String),
    /// The host does not have it.
    NoVip(String),
    /// Some server accepts writes.
    SomePrimary,
    /// No server accepts writes.
    NoPrimary,
    /// The host's server is a standby that streams from the primary.
    Streaming(String),
    /// So many standbys stream from the primary.
    Standbys(u32),
    /// The director (first name) gives the server (second name) new connections.
    InPool(String, String),
    /// It does not.
    NotInPool(String, String),
    /// The host's Corosync is quorate.
    Quorate(String),
    /// The host runs no Corosync that is quorate.
    NotQuorate(String),
    /// The host's Corosync is in a standing membership of so many nodes.
    Members(String, u32),
    /// So many clients wait in the accept queues of the host (of its pgpool), or more.
    ClientsWait(String, u32),
}

/// Roles that conditions speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// VRRP master.
    Master,
    /// VRRP backup.
    Backup,
    /// keepalived's FAULT.
    Fault,
    /// A database server that accepts writes.
    Primary,
    /// A database server in recovery.
    Replica,
}

/// What must have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Witness {
    /// After the first fault another host took the virtual address.
    Takeover,
    /// A client lost at least one request.
    ClientError,
    /// A client's ARP cache followed the address.
    ArpMoved,
    /// A daemon noticed that its peer was gone.
    Detected,
    /// A frame was lost to a cut or a degraded link.
    Dropped,
    /// After the first fault a standby was promoted.
    Promotion,
    /// After the first fault a primary ceased to accept writes although its host lived.
    Demotion,
    /// A lease or a session ran out in the DCS.
    LeaseExpired,
    /// A watchdog reset its host.
    WatchdogReset,
    /// A former primary or a standby streams again.
    Rejoined,
    /// A client was told that a write is committed, and it is lost.
    LostWrite,
    /// A client was refused because the server is read-only (25006).
    ReadOnlyError,
    /// Without the DCS the members agreed that the primary goes on.
    FailsafeAccepted,
    /// A member stepped back from the race for the leader key.
    RaceLost,
    /// A member was rewound.
    Rewound,
    /// A director took a server out of its table after the first fault.
    Ejected,
    /// A director's service, or a partition of a cluster, lost its quorum after the first fault.
    QuorumLost,
    /// A job was started before one that had come earlier.
    Backfilled,
    /// A job came back to the queue.
    Requeued,
    /// Processes of a job were gone and the work since its last checkpoint with them.
    WorkLost,
    /// A checkpoint was written.
    Checkpointed,
    /// A job ended well.
    JobDone,
    /// A controller took over, or came back to its jobs.
    ControllerBack,
    /// A batch cluster's node is DOWN.
    NodeDown,
    /// After the first fault a Corosync formed a new membership.
    NewMembership,
    /// After the first fault a node was no longer a member.
    NodeLost,
}

/// What a real cluster did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Versions of what was measured.
    pub versions: String,
    /// The day of the measurement.
    pub date: String,
    /// How to read the figures: what counts as the fault, which process times were set.
    #[serde(default)]
    pub note: String,
    /// Process time by which the simulated range is widened on both sides. Default 20 ms.
    #[serde(default = "slack")]
    pub slack: Span,
    /// What was measured.
    pub marks: Vec<MeasuredMark>,
}
fn slack() -> Span {
    Span::ms(20)
}

/// One measured time: single values, or median, min and max of `n`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredMark {
    /// What: `"vip_up lb2"`, `"vip_down lb1"`, `"outage"`, `"outage 2"`, `"two_holders"`, `"garps lb1"`; see `firedrill doc measured`.
    pub what: String,
    /// Counted from: `"fault 1"` (default), `"last_advert lb1"`, `"start lb1"`, `"vip_up lb2"`.
    #[serde(default = "first_fault")]
    pub from: String,
    /// The single values, in milliseconds.
    #[serde(default)]
    pub values_ms: Vec<SignedMs>,
    /// How many values the figures below stand for.
    #[serde(default)]
    pub n: Option<u32>,
    /// Their median, in milliseconds.
    #[serde(default)]
    pub median_ms: Option<SignedMs>,
    /// The smallest, in milliseconds.
    #[serde(default)]
    pub min_ms: Option<SignedMs>,
    /// The largest, in milliseconds.
    #[serde(default)]
    pub max_ms: Option<SignedMs>,
    /// It never happened in any of `n` runs.
    #[serde(default)]
    pub never: bool,
}
fn first_fault() -> String {
    "fault 1".to_owned()
}
/// Milliseconds of a measurement; whole numbers.
pub type SignedMs = i64;
