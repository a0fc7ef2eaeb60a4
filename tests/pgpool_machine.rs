//! The state machine as a table: every state of a watchdog, every message of a peer, what becomes of it and what is said.
//!
//! Node 1 of three, brought into the state by what leads there; the message is node 0's. All have priority 1; node 0 started after node 1
//! (`younger`) or before it, or has another priority.
//! A line: state, message, the next state (`-`: the same), what is said to whom (`!` what is asked of the local pgpool). Messages that change nothing
//! and are not answered stand in one line. Source: the functions `watchdog_state_machine_*` and `standard_packet_processor` of `watchdog.c`.

#![allow(clippy::unwrap_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::proto::pgpool::watchdog::config::{Clock, SECOND, Settings};
use firedrill::proto::pgpool::watchdog::machine::{Local, Machine, Out};
use firedrill::proto::pgpool::watchdog::msg::{
    BackendState, Beacon, Body, Info, NodeId, Packet, Request, RequestKind, Service, State, Verdict,
};
use std::sync::Arc;

const NOW: Clock = 1_000 * SECOND;

fn info(id: NodeId, state: State, priority: i32, startup: i64) -> Info {
    Info { id, state, priority, startup, since: startup, escalated: false, quorum: -1, standbys: 0 }
}
/// A watchdog, and the time that it lives in.
struct Lab {
    m: Machine,
    now: Clock,
}
impl Lab {
    /// Node 1, which has started at second 1000 and is connected to both others; what node 0 is.
    fn new(priority: i32, startup: i64) -> Lab {
        let names: Vec<Arc<str>> = ["a", "b", "c"].map(Arc::from).to_vec();
        let set = Settings {
            me: 1,
            names: names.into(),
            priority: 1,
            half_votes: false,
            when_quorum_exists: true,
            require_consensus: true,
            multiple: false,
            remove_shutdown: false,
            lost_removal: 0,
            no_show_removal: 0,
            health_window: 0,
            has_vip: true,
            forgets_silent_leader: true,
        };
        let mut lab = Lab { m: Machine::new(Arc::new(set)), now: NOW };
        lab.m.start(NOW);
        for (node, priority, startup) in [(0, priority, startup), (2, 1, 1_500)] {
            lab.m.connected(node, NOW);
            let body = Body::AddNode(info(node, State::Joining, priority, startup));
            lab.m.greeted(&Packet { id: 1, body }, NOW);
        }
        lab
    }
    fn says(&mut self, from: NodeId, id: u32, body: Body) {
        self.m.received(from, &Packet { id, body }, self.now);
    }
    fn wait(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.now += SECOND;
            let over = self.m.wake(self.now);
            self.m.turn(over, &Local::default(), self.now);
        }
    }
    /// The number of the last command that it has sent.
    fn last(&self) -> u32 {
        let commands = |o: &&Out| {
            matches!(o, Out::Send(_, _, Packet { body: Body::Stand | Body::Declare | Body::Join, .. }))
        };
        match self.m.out.iter().rev().find(commands) {
            Some(Out::Send(_, _, p)) => p.id,
            _ => panic!("no command in {:?}", self.m.out),
        }
    }
    fn both(&mut self, id: u32, body: &Body) {
        self.says(0, id, body.clone());
        self.says(2, id, body.clone());
    }
}
/// Brings node 1 into a state, with this node as its leader. What it has said on the way is forgotten.
fn reach(state: State, leader: Option<NodeId>, priority: i32, startup: i64) -> Lab {
    let mut lab = Lab::new(priority, startup);
    let mine = move |id, s| if id == 0 { info(0, s, priority, startup) } else { info(2, s, 1, 1_500) };
    let initializing = |lab: &mut Lab| {
        for id in [0, 2] {
            lab.says(id, 1, Body::Info(mine(id, State::Joining)));
        }
    };
    match state {
        State::Loading => {}
        State::Joining => lab.wait(5),
        State::Initializing => initializing(&mut lab),
        State::Stand | State::Coordinator | State::NetworkIsolation => {
            initializing(&mut lab);
            lab.wait(1);
            assert_eq!(lab.m.state(), State::Stand);
            let id = lab.last();
            if state == State::NetworkIsolation {
                lab.says(2, id, Body::Error);
            } else if state == State::Coordinator {
                lab.both(id, &Body::Accept);
                let id = lab.last();
                lab.both(id, &Body::Accept);
                lab.both(1, &Body::Join);
                for id in [0, 2] {
                    lab.says(id, 1, Body::Info(mine(id, State::Standby)));
                }
                lab.wait(1);
                assert!(lab.m.escalated());
            }
        }
        State::Participate => {
            initializing(&mut lab);
            lab.says(2, 1, Body::Info(mine(2, State::Stand)));
            lab.wait(1);
        }
        State::Standby => {
            initializing(&mut lab);
            let leader = leader.unwrap();
            lab.says(leader, 1, Body::Info(mine(leader, State::Coordinator)));
            lab.wait(1);
            let id = lab.last();
            lab.says(leader, id, Body::Accept);
            let other = if leader == 0 { 2 } else { 0 };
            lab.says(other, 1, Body::Info(mine(other, State::Standby)));
        }
        _ => panic!("no way leads there"),
    }
    assert_eq!((lab.m.state(), lab.m.leader()), (state, leader));
    lab.m.out.clear();
    lab
}

fn request() -> Request {
    Request { kind: RequestKind::Degenerate, nodes: [2].into(), confirmed: false, flags: 0 }
}
fn beacon(since_state: i64, escalated: bool) -> Body {
    let (quorum, standbys) = if escalated { (1, 2) } else { (-1, 0) };
    Body::Iam(Beacon {
        state: State::Coordinator,
        since_startup: 900,
        since_state,
        quorum,
        standbys,
        escalated,
    })
}
/// What node 0 says, with its priority and the second of its start.
fn messages() -> Vec<(&'static str, (i32, i64), Body)> {
    let is = |state| info(0, state, 1, 1_500);
    let (usual, worse, better) = ((1, 1_500), (0, 500), (2, 1_500));
    let mut all = vec![
        ("REQUEST INFO", usual, Body::ReqInfo),
        ("NODE INFO standby", usual, Body::Info(is(State::Standby))),
        ("NODE INFO leader", usual, Body::Info(is(State::Coordinator))),
        ("STAND worse", worse, Body::Stand),
        ("STAND equal, younger", usual, Body::Stand),
        ("STAND equal, older", (1, 500), Body::Stand),
        ("STAND better", better, Body::Stand),
        ("DECLARE worse", worse, Body::Declare),
        ("DECLARE equal", usual, Body::Declare),
        ("DECLARE better", better, Body::Declare),
        ("IAM without address", usual, beacon(900, false)),
        ("IAM with address, older", usual, beacon(900, true)),
        ("JOIN", usual, Body::Join),
        ("GOING DOWN", usual, Body::GoingDown),
        ("FAILOVER REQUEST", usual, Body::Failover(request())),
        ("VERDICT of nothing", usual, Body::Verdict(Verdict::Proceed)),
        ("WAITS FOR CONSENSUS", usual, Body::WaitingForConsensus),
        ("FAILOVER START", usual, Body::FailoverStart),
        ("FAILOVER END", usual, Body::FailoverEnd),
        ("GET LEADER DATA", usual, Body::AskBackends),
        ("LEADER DATA", usual, Body::Backends([BackendState::Up].into(), Some(0))),
        ("POOL CONFIG", usual, Body::Window(40)),
        ("ONLINE RECOVERY", usual, Body::Recovery(true)),
        ("ACCEPT of nothing", usual, Body::Accept),
        ("REJECT of nothing", usual, Body::Reject),
        ("ERROR of nothing", usual, Body::Error),
    ];
    for (name, what) in [
        ("I AM THE TRUE LEADER", Service::IamTrueLeader),
        ("I AM RESIGNING", Service::IamResigning),
        ("IN SPLIT BRAIN", Service::InSplitBrain),
        ("NEEDS ELECTION", Service::NeedsElection),
        ("I AM NOT THE TRUE LEADER", Service::IamNotTrueLeader),
        ("REQUIRE TO RELOAD", Service::RequireToReload),
        ("APPEARING LOST", Service::AppearingLost),
        ("APPEARING FOUND", Service::AppearingFound),
    ] {
        all.push((name, usual, Body::Service(what)));
    }
    all
}
fn say(out: &[Out]) -> String {
    let word = |body: &Body| match body {
        Body::Service(s) => format!("{s:?}"),
        Body::Verdict(v) => format!("{v:?}"),
        Body::Info(_) => "INFO".to_owned(),
        body => body.word().to_owned(),
    };
    let mut words: Vec<String> = Vec::new();
    for o in out {
        words.push(match o {
            Out::Note(_) => continue,
            Out::Send(to, _, p) => format!("{}>{to}", word(&p.body)),
            Out::Connect(n) => format!("!connect {n}"),
            Out::Close(n) => format!("!close {n}"),
            Out::Reply(_, v) => format!("!{v:?}"),
            Out::Carry(_) => "!carry".to_owned(),
            Out::Escalate => "!escalate".to_owned(),
            Out::DeEscalate => "!de-escalate".to_owned(),
            Out::Fatal => "!fatal".to_owned(),
            Out::InformQuarantine => "!vote again".to_owned(),
            Out::SyncBackends => "!sync".to_owned(),
            Out::Interrupt => "!look again".to_owned(),
            Out::TellBackends(n, _) => format!("!tell backends {n}"),
            Out::Backends(..) => "!take backends".to_owned(),
            Out::Recovery(..) => "!recovery".to_owned(),
            Out::ClientsGone(..) => "!clients gone".to_owned(),
            Out::LockStandby(_) => "!lock".to_owned(),
        });
    }
    words.join(", ")
}
/// The states in which a watchdog takes messages, and who leads then.
const STATES: [(&str, State, Option<NodeId>); 9] = [
    ("LOADING", State::Loading, None),
    ("JOINING", State::Joining, None),
    ("INITIALIZING", State::Initializing, None),
    ("STANDING", State::Stand, None),
    ("PARTICIPATING", State::Participate, None),
    ("LEADER", State::Coordinator, Some(1)),
    ("STANDBY of 2", State::Standby, Some(2)),
    ("STANDBY of 0", State::Standby, Some(0)),
    ("ISOLATED", State::NetworkIsolation, None),
];

fn drawn() -> String {
    let mut text = String::new();
    for (name, state, leader) in STATES {
        let mut nothing = Vec::new();
        for (what, (priority, startup), body) in messages() {
            let mut lab = reach(state, leader, priority, startup);
            lab.says(0, 7, body);
            let (to, said) = (lab.m.state(), say(&lab.m.out));
            let next = if to == state { "-" } else { to.name() };
            if next == "-" && said.is_empty() {
                nothing.push(what);
            } else {
                text += &format!("{name} | {what} | {next} | {said}\n");
            }
        }
        text += &format!("{name} | nothing: {}\n", nothing.join("; "));
    }
    text
}

#[test]
fn every_message_in_every_state() {
    let now = drawn();
    if std::env::var_os("FIREDRILL_BLESS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pgpool_machine.txt"), &now).unwrap();
    }
    for (a, b) in now.lines().zip(TABLE.lines()) {
        assert_eq!(a, b);
    }
    assert_eq!(now.lines().count(), TABLE.lines().count());
}

/// What ends a state by itself: after how many seconds, and what follows.
#[test]
fn every_timer_of_every_state() {
    let left = |lab: &mut Lab| {
        let state = lab.m.state();
        (1..=60).find(|_| {
            lab.wait(1);
            lab.m.state() != state
        })
    };
    for (state, leader, secs, next) in [
        (State::Loading, None, 5, State::Joining),
        (State::Joining, None, 4, State::Initializing),
        (State::Initializing, None, 1, State::Stand),
        (State::Stand, None, 4, State::Coordinator),
        (State::Participate, None, 5, State::Joining),
        (State::NetworkIsolation, None, 10, State::Joining),
        (State::Standby, Some(2), 30, State::Joining),
    ] {
        let mut lab = reach(state, leader, 1, 1_500);
        assert_eq!((left(&mut lab), lab.m.state()), (Some(secs), next), "{}", state.name());
    }
    // INITIALIZING with a candidate, with a leader, and with nobody alive.
    for (theirs, next) in [
        (State::Stand, State::Participate),
        (State::Coordinator, State::Standby),
        (State::Shutdown, State::Coordinator),
    ] {
        let mut lab = reach(State::Initializing, None, 1, 1_500);
        for id in [0, 2] {
            let theirs = if id == 0 && theirs == State::Coordinator { State::Joining } else { theirs };
            lab.says(
                id,
                1,
                if theirs == State::Shutdown {
                    Body::GoingDown
                } else {
                    Body::Info(info(id, theirs, 1, 1_500))
                },
            );
        }
        assert_eq!((left(&mut lab), lab.m.state()), (Some(1), next), "{}", theirs.name());
    }
    // A leader does not stop by itself; its standbys are lost with the fourth beacon that they do not answer.
    let mut lab = reach(State::Coordinator, Some(1), 1, 1_500);
    lab.wait(60);
    assert_eq!(lab.m.state(), State::Coordinator);
    assert!(lab.m.standbys().is_empty() && lab.m.quorum() == -1 && !lab.m.escalated());
    // Refused as a candidate, by somebody better and by somebody who has a leader.
    for (answer, next) in [(Body::Reject, State::Participate), (Body::Error, State::NetworkIsolation)] {
        let mut lab = reach(State::Initializing, None, 1, 1_500);
        lab.wait(1);
        let id = lab.last();
        lab.says(2, id, answer);
        assert_eq!(lab.m.state(), next);
    }
}

const TABLE: &str = include_str!("pgpool_machine.txt");
