//! `pacemaker-controld`: who is there, who coordinates (the DC), and carrying out what the scheduler decides.
//!
//! The states are those of its finite state machine, with the manual's names: [`State`]. One of them is the DC: `election`. It brings all nodes
//! into one picture (`join`) and carries out transitions (`transition`); the others only do what it says, through their executors (`lrm`).

mod election;
mod join;
mod lrm;
pub mod shown;
mod transition;

use super::msg::{Daemon, Local, Update, Wire};
use super::note::{Cause, ElectionWhy, Gone, Note};
use super::{NodeId, Place, tell};
use crate::engine::Span;
use crate::node::process::{Action, Input, Timer};
use crate::proto::corosync::api::{Client, Confchg, Event, Group, Left, News, Quorum};
use crate::proto::pacemaker::cib::History;
use crate::proto::pacemaker::cpg::Payload;
use crate::proto::{Cx, Msg, Note as Told};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The process group.
pub const GROUP: Group = Group("crmd");

const DC_DEADTIME: Timer = Timer(0);
const ELECTION: Timer = Timer(1);
const COUNTING: Timer = Timer(2);
const INTEGRATION: Timer = Timer(3);
const RE_ASK: Timer = Timer(4);
const ACTION: Timer = Timer(5);
const RECHECK: Timer = Timer(6);
const JOINED: Timer = Timer(7);
const ESCALATION: Timer = Timer(8);

/// `dc-deadtime`.
const DEADTIME: Span = Span::secs(20);
/// `election-timeout`.
const ELECTION_TIMEOUT: Span = Span::secs(120);
/// `join-integration-timeout`.
const INTEGRATION_TIMEOUT: Span = Span::secs(180);
/// `cluster-recheck-interval`.
const RECHECK_INTERVAL: Span = Span::secs(15 * 60);
/// `shutdown-escalation`.
const SHUTDOWN_ESCALATION: Span = Span::secs(20 * 60);

/// A state of the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum State {
    /// `S_STARTING`.
    #[default]
    Starting,
    /// `S_PENDING`: waits for a DC.
    Pending,
    /// `S_ELECTION`.
    Election,
    /// `S_INTEGRATION`, `S_FINALIZE_JOIN`: it is the DC, nodes are joining.
    Integration,
    /// `S_POLICY_ENGINE`: the scheduler thinks.
    PolicyEngine,
    /// `S_TRANSITION_ENGINE`.
    TransitionEngine,
    /// `S_IDLE`.
    Idle,
    /// `S_NOT_DC`.
    NotDc,
}
impl State {
    /// The source's name.
    pub const fn name(self) -> &'static str {
        match self {
            State::Starting => "S_STARTING",
            State::Pending => "S_PENDING",
            State::Election => "S_ELECTION",
            State::Integration => "S_INTEGRATION",
            State::PolicyEngine => "S_POLICY_ENGINE",
            State::TransitionEngine => "S_TRANSITION_ENGINE",
            State::Idle => "S_IDLE",
            State::NotDc => "S_NOT_DC",
        }
    }
}

/// The process.
#[derive(Clone, Debug, Default)]
pub struct Controld {
    place: Arc<Place>,
    cpu: Span,
    feature_set: [u32; 3],
    corosync: Client,
    state: State,
    /// Corosync's membership.
    members: BTreeSet<NodeId>,
    /// The controllers in the group.
    peers: BTreeSet<NodeId>,
    quorate: bool,
    /// It has had quorum at some time.
    ever_quorate: bool,
    dc: Option<NodeId>,
    election: election::Election,
    join: join::Join,
    lrm: BTreeMap<String, History>,
    call: i64,
    engine: transition::Engine,
    /// Changes sent to the CIB, and those of them that have been made.
    sent: u64,
    made: u64,
    leaving: bool,
}

impl Controld {
    /// Before its start.
    pub fn new(place: Arc<Place>, cpu: Span, feature_set: [u32; 3]) -> Self {
        Controld { place, cpu, feature_set, ..Controld::default() }
    }
    /// As it was before its start.
    pub fn reset(&mut self) {
        *self = Controld::new(self.place.clone(), self.cpu, self.feature_set);
    }
    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }
    /// Whether it is the DC.
    pub fn is_dc(&self) -> bool {
        self.dc == Some(self.place.me) && self.dc.is_some()
    }
    /// Whom it takes for the DC.
    pub fn dc(&self) -> Option<Arc<str>> {
        self.dc.map(|d| self.place.name_of(d))
    }
    /// Whether it believes that its partition has quorum.
    pub fn quorate(&self) -> bool {
        self.quorate
    }
    /// The name of its node.
    pub fn node(&self) -> &Arc<str> {
        &self.place.name
    }
    /// Nodes whose fencing it waits for.
    pub fn fencing(&self) -> Vec<String> {
        self.engine.fencing()
    }

    /// Resources and nodes where their score was -INFINITY when the scheduler was asked last.
    pub fn forbidden(&self) -> &[(String, String)] {
        &self.engine.forbidden
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        match self.corosync.on(&input, cx) {
            Some(News::Connected(_)) => {
                self.corosync.track(cx);
                return self.corosync.join(GROUP, cx);
            }
            Some(News::Lost) => return cx.act(Action::Exit(102)),
            Some(News::Event(Event::Deliver { from, payload: Payload::Crm(wire), .. })) => {
                return self.hear(from, &wire, cx);
            }
            Some(News::Event(Event::Confchg(change))) => return self.confchg(&change, cx),
            Some(News::Event(Event::Quorum(q))) => return self.quorum(&q, cx),
            Some(News::Event(_)) => return,
            None => {}
        }
        match input {
            Input::Start => {
                cx.act(Action::Bind(Daemon::Controld.port()));
                self.corosync.connect(cx);
            }
            Input::Timer(t) => self.timer(t, cx),
            Input::Packet { msg: Msg::Crm(m), .. } | Input::Call(Msg::Crm(m)) => self.local(*m, cx),
            _ => {}
        }
    }
    fn timer(&mut self, t: Timer, cx: &mut Cx<'_>) {
        match t {
            DC_DEADTIME if self.dc.is_none() && self.state != State::Starting => {
                self.begin_election(ElectionWhy::NoDc(DEADTIME), cx);
            }
            ELECTION if self.state == State::Election => {
                self.begin_election(ElectionWhy::NoDc(ELECTION_TIMEOUT), cx)
            }
            COUNTING => self.win(cx),
            INTEGRATION => self.give_up_joins(cx),
            JOINED => self.all_joined(cx),
            RE_ASK => self.ask_cib(cx),
            ACTION => self.actions_lost(cx),
            RECHECK => self.invoke(Cause::Recheck, cx),
            ESCALATION => tell(&self.place, Daemon::Pacemakerd, Local::Shutdown, cx),
            _ => {}
        }
    }
    fn local(&mut self, m: Local, cx: &mut Cx<'_>) {
        match m {
            Local::Cib { re, cib } if !self.cib_for_join(re, &cib, cx) => {
                self.cib_for_scheduler(re, cib, cx);
            }
            Local::Graph { re, graph } => self.graph(re, graph, cx),
            Local::Executed(done) => self.executed(&done, cx),
            Local::Changed(updates) => self.changed(&updates, cx),
            Local::Fenced { target, by, result, action, .. } => {
                self.fenced(&target, &by, &action, result, cx)
            }
            Local::Gone(Daemon::Fenced) => self.fencer_gone(cx),
            Local::Gone(Daemon::Attrd) => {}
            // I_ERROR: it cannot do its work, ends, and is started again.
            Local::Gone(daemon) if daemon != Daemon::Schedulerd || self.is_dc() => {
                cx.note(Told::Crm(Box::new(Note::LostDaemon(daemon))));
                cx.act(Action::Exit(1));
            }
            Local::Shutdown => {
                self.leaving = true;
                cx.note(Told::Crm(Box::new(Note::ShutsDown)));
                if self.dc.is_none() {
                    return tell(&self.place, Daemon::Pacemakerd, Local::Shutdown, cx);
                }
                cx.set_timer(ESCALATION, SHUTDOWN_ESCALATION);
                self.say(Wire::ShutdownRequest, cx);
            }
            Local::Quit => cx.act(Action::Exit(0)),
            _ => {}
        }
    }
    fn say(&self, wire: Wire, cx: &mut Cx<'_>) {
        self.corosync.mcast(GROUP, Payload::Crm(Arc::new(wire)), cx);
    }
    fn change(&mut self, mut updates: Vec<Update>, cx: &mut Cx<'_>) {
        self.sent += 1;
        updates.push(Update::Mark { node: self.place.name.clone(), number: self.sent });
        tell(&self.place, Daemon::Based, Local::Change(updates), cx);
    }

    fn hear(&mut self, from: NodeId, wire: &Wire, cx: &mut Cx<'_>) {
        let me = self.place.me;
        match wire {
            Wire::Vote { round, feature_set, cpu } => self.vote(from, *round, *feature_set, *cpu, cx),
            Wire::NoVote { to, round } if *to == me => self.no_vote(from, *round, cx),
            Wire::Announce if self.is_dc() && from != me => self.offer(&[from], cx),
            Wire::Offer { join } => self.offered(from, *join, cx),
            Wire::JoinRequest { to, join, cib } if *to == me => self.join_request(from, *join, cib, cx),
            Wire::Ack { to, join } if *to == me => self.acked(from, *join, cx),
            Wire::Confirm { to, join, histories } if *to == me => self.confirmed(from, *join, histories, cx),
            Wire::Do { to, op } if *to == me => self.execute(op, cx),
            Wire::Cancel { to, rsc, task, interval, key } if *to == me => {
                self.cancel(rsc, task, *interval, cx);
                self.say(Wire::Acted { to: from, key: key.clone() }, cx);
            }
            Wire::Delete { to, rsc, key } if *to == me => {
                self.forget(rsc, cx);
                self.say(Wire::Acted { to: from, key: key.clone() }, cx);
            }
            Wire::Acted { to, key } if *to == me => self.acted(key, true, cx),
            Wire::ShutdownRequest if self.is_dc() => {
                let value = Some((super::seconds(cx)).to_string());
                let node = self.place.name_of(from);
                tell(
                    &self.place,
                    Daemon::Attrd,
                    Local::Attribute { node, name: "shutdown".into(), value },
                    cx,
                );
            }
            Wire::ShutdownNow { to } if *to == me => {
                tell(&self.place, Daemon::Pacemakerd, Local::Shutdown, cx)
            }
            _ => {}
        }
    }

    fn quorum(&mut self, q: &Quorum, cx: &mut Cx<'_>) {
        let was = self.quorate;
        self.quorate = q.quorate;
        self.ever_quorate |= q.quorate;
        let members: BTreeSet<NodeId> = q.members.iter().copied().collect();
        let new: Vec<NodeId> = members.difference(&self.members).copied().collect();
        let lost: Vec<NodeId> =
            self.members.difference(&members).copied().filter(|n| !self.peers.contains(n)).collect();
        self.members = members;
        if !self.is_dc() {
            return;
        }
        let mut updates = Vec::new();
        for (nodes, there) in [(&new, true), (&lost, false)] {
            for n in nodes {
                updates.push(Update::Node {
                    node: self.place.name_of(*n),
                    in_ccm: Some(there),
                    crmd: None,
                    join: None,
                    expected: None,
                });
            }
        }
        if was != self.quorate {
            updates.push(self.cluster());
        }
        if !updates.is_empty() {
            self.change(updates, cx);
            let cause = if lost.is_empty() { Cause::Event } else { Cause::Lost };
            // The end of the connections of lost nodes is told after this; one transition serves both.
            if was != self.quorate || !lost.is_empty() {
                self.invoke(if self.quorate { cause } else { Cause::Lost }, cx);
            }
        }
    }
    fn cluster(&self) -> Update {
        Update::Cluster { quorate: self.quorate, dc: self.place.me.0.to_string() }
    }

    fn confchg(&mut self, change: &Confchg, cx: &mut Cx<'_>) {
        let me = self.place.me;
        self.peers = change.members.iter().copied().collect();
        if change.joined.contains(&me) && self.state == State::Starting {
            self.state = State::Pending;
            cx.set_timer(DC_DEADTIME, DEADTIME);
            self.say(Wire::Announce, cx);
            return;
        }
        let dc_left = change.left.iter().any(|(n, _)| Some(*n) == self.dc && *n != me);
        let mut surprise = false;
        for (n, why) in &change.left {
            surprise |= self.peer_left(*n, *why, cx);
        }
        if dc_left {
            let dc = self.dc.take().map(|d| self.place.name_of(d)).unwrap_or_default();
            self.state = State::Pending;
            self.begin_election(ElectionWhy::DcGone(dc), cx);
        } else if self.is_dc() {
            let new: Vec<NodeId> = change.joined.iter().copied().filter(|n| *n != me).collect();
            if !new.is_empty() {
                self.offer(&new, cx);
            }
            if surprise {
                self.invoke(Cause::Lost, cx);
            }
        } else if !change.left.is_empty() {
            self.count(cx);
        }
    }
    /// A peer is not there any more. False if that was to be expected: it is being fenced, or was told to leave.
    fn peer_left(&mut self, node: NodeId, why: Left, cx: &mut Cx<'_>) -> bool {
        self.join.forget(node);
        self.engine.away.insert(node);
        let name = self.place.name_of(node);
        let how = match why {
            Left::NodeDown => Gone::Membership,
            Left::ProcDown => Gone::Process,
            Left::Leave => Gone::Left,
        };
        if !self.is_dc() {
            return false;
        }
        let expected = self.is_fenced_here(&name);
        let down = self.engine.shut_down.remove(&node);
        let how = if down { Gone::Left } else { how };
        cx.note(Told::Crm(Box::new(Note::NodeLost { node: name.clone(), how })));
        let in_ccm = Some(self.members.contains(&node) && why != Left::NodeDown);
        let word = down.then_some("down");
        let gone = Update::Node {
            node: name.clone(),
            in_ccm,
            crmd: Some(false),
            join: Some("down"),
            expected: word,
        };
        self.change(vec![gone, Update::EraseAttributes { node: name.clone() }], cx);
        self.peer_is_gone(&name, down, cx);
        !(expected || down)
    }
    fn release(&mut self) {
        self.dc = None;
        self.engine.drop_all();
        self.join = join::Join::default();
    }
}
