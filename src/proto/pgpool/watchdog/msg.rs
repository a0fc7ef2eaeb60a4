//! What watchdogs say to each other over their mesh of TCP connections, and what a pgpool and its watchdog say on their host.

use std::sync::Arc;

/// `pgpool_node_id`: the place of a pgpool in the list that every watchdog has.
pub type NodeId = u8;

/// The states of a watchdog.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// Never seen.
    Dead,
    /// Greets all peers.
    Loading,
    /// Asks everybody who is who.
    Joining,
    /// Decides what to be.
    Initializing,
    /// Leads.
    Coordinator,
    /// Votes for others.
    Participate,
    /// Is a candidate.
    Stand,
    /// Follows the leader.
    Standby,
    /// Is gone.
    Lost,
    /// All its interfaces or addresses are gone.
    InNetworkTrouble,
    /// Went in order.
    Shutdown,
    /// Has been greeted and has not answered yet.
    AddMessageSent,
    /// Sees peers that have another leader, and waits.
    NetworkIsolation,
}
impl State {
    /// The name in the log and in `pcp_watchdog_info`.
    pub const fn name(self) -> &'static str {
        match self {
            State::Dead => "DEAD",
            State::Loading => "LOADING",
            State::Joining => "JOINING",
            State::Initializing => "INITIALIZING",
            State::Coordinator => "LEADER",
            State::Participate => "PARTICIPATING IN ELECTION",
            State::Stand => "STANDING FOR LEADER",
            State::Standby => "STANDBY",
            State::Lost => "LOST",
            State::InNetworkTrouble => "IN NETWORK TROUBLE",
            State::Shutdown => "SHUTDOWN",
            State::AddMessageSent => "ADD MESSAGE SENT",
            State::NetworkIsolation => "NETWORK ISOLATION",
        }
    }
    /// Whether a peer in this state counts as alive and is written to.
    pub const fn active(self) -> bool {
        !matches!(self, State::Dead | State::Lost | State::Shutdown)
    }
}

/// What a watchdog tells of itself. Times are whole seconds of the wall clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info {
    /// Who.
    pub id: NodeId,
    /// Its state.
    pub state: State,
    /// `wd_priority`, or -1 after it resigned.
    pub priority: i32,
    /// When it started.
    pub startup: i64,
    /// Since when it is in its state.
    pub since: i64,
    /// Whether it has escalated, which means: has the virtual address.
    pub escalated: bool,
    /// Its quorum: 1 there, 0 on the edge, -1 absent.
    pub quorum: i8,
    /// The standbys that joined it.
    pub standbys: u8,
}

/// What a leader's beacon says, in seconds that have passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beacon {
    /// Its state.
    pub state: State,
    /// Seconds since it started.
    pub since_startup: i64,
    /// Seconds that it is leader.
    pub since_state: i64,
    /// Its quorum.
    pub quorum: i8,
    /// The standbys that joined it.
    pub standbys: u8,
    /// Whether it has escalated.
    pub escalated: bool,
}

/// What is asked of the backends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestKind {
    /// `NODE_DOWN_REQUEST`.
    Degenerate,
    /// `NODE_UP_REQUEST`.
    Failback,
    /// `PROMOTE_NODE_REQUEST`.
    Promote,
}

/// A request about backends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// What.
    pub kind: RequestKind,
    /// Which backends.
    pub nodes: Arc<[u8]>,
    /// An administrator asks (`REQ_DETAIL_CONFIRMED`): neither quorum nor votes are needed.
    pub confirmed: bool,
    /// A health check's alarm asked (`REQ_DETAIL_SWITCHOVER` and the like travel as flags too): kept as it was in the first vote.
    pub flags: u8,
}

/// What the watchdog makes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// Do it.
    Proceed,
    /// The leader does it.
    WillBeDone,
    /// The quorum is absent.
    NoQuorum,
    /// The vote is noted; others are waited for.
    BuildingConsensus,
    /// The vote was there already: the consensus may fail.
    ConsensusMayFail,
    /// The leader says no.
    LeaderRejected,
    /// This watchdog is neither leader nor standby, or the leader is gone: nobody will remember the request.
    Cancelled,
}

/// One backend as the leader sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BackendState {
    /// Attached, without connections so far.
    Waiting,
    /// Attached.
    Up,
    /// Detached.
    Down,
}

/// Messages about who leads, sent to one or to all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Service {
    /// Of two leaders, I stay.
    IamTrueLeader,
    /// I lead no longer.
    IamResigning,
    /// I see two leaders.
    InSplitBrain,
    /// Elect anew.
    NeedsElection,
    /// Of two leaders, I go.
    IamNotTrueLeader,
    /// Join again.
    RequireToReload,
    /// I have lost you.
    AppearingLost,
    /// I have found you again.
    AppearingFound,
}

/// What a packet says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// `ADD NODE`: who I am.
    AddNode(Info),
    /// `REQUEST INFO`.
    ReqInfo,
    /// `NODE INFO`.
    Info(Info),
    /// `STAND FOR COORDINATOR`: I am a candidate.
    Stand,
    /// `DECLARE COORDINATOR`: I lead from now on.
    Declare,
    /// `IAM COORDINATOR`: the beacon.
    Iam(Beacon),
    /// `JOIN COORDINATOR`: I follow you.
    Join,
    /// Yes.
    Accept,
    /// No.
    Reject,
    /// No: something is wrong.
    Error,
    /// `INFORM I AM GOING DOWN`.
    GoingDown,
    /// About who leads.
    Service(Service),
    /// A standby hands on what its pgpool asked.
    Failover(Request),
    /// What became of it.
    Verdict(Verdict),
    /// Who has a backend in quarantine is to vote again.
    WaitingForConsensus,
    /// The leader begins to change backends.
    FailoverStart,
    /// The leader has done so.
    FailoverEnd,
    /// How are the backends?
    AskBackends,
    /// As the leader sees them, and which it believes to be primary.
    Backends(Arc<[BackendState]>, Option<u8>),
    /// The longest time in which a backend's health check can come to its end, in seconds: a part of the configuration.
    Window(u32),
    /// The second stage of online recovery begins (`true`) or ends.
    Recovery(bool),
    /// The answer to its begin: the clients of this pgpool have gone (`true`), or do not go.
    ClientsGone(bool),
    /// The leader's follow-primary process takes the lock on the standbys' workers (`true`) or gives it back.
    LockStandby(bool),
}
impl Body {
    /// The word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            Body::AddNode(_) => "ADD NODE",
            Body::ReqInfo => "REQUEST INFO",
            Body::Info(_) => "NODE INFO",
            Body::Stand => "STAND FOR COORDINATOR",
            Body::Declare => "DECLARE COORDINATOR",
            Body::Iam(_) => "IAM COORDINATOR",
            Body::Join => "JOIN COORDINATOR",
            Body::Accept => "ACCEPT",
            Body::Reject => "REJECT",
            Body::Error => "ERROR",
            Body::GoingDown => "GOING DOWN",
            Body::Service(_) => "CLUSTER SERVICE",
            Body::Failover(_) => "FAILOVER REQUEST",
            Body::Verdict(_) => "FAILOVER VERDICT",
            Body::WaitingForConsensus => "FAILOVER WAITS FOR CONSENSUS",
            Body::FailoverStart => "FAILOVER START",
            Body::FailoverEnd => "FAILOVER END",
            Body::AskBackends => "GET LEADER DATA",
            Body::Backends(..) => "LEADER DATA",
            Body::Window(_) => "POOL CONFIG",
            Body::Recovery(_) | Body::ClientsGone(_) => "ONLINE RECOVERY",
            Body::LockStandby(_) => "EXECUTE CLUSTER COMMAND",
        }
    }
}

/// A packet of the mesh. A reply has the number of what it answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Its number.
    pub id: u32,
    /// What it says.
    pub body: Body,
}
