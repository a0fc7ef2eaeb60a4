//! What each state of the watchdog does with what happens. The table:
//!
//! | state | enters by | leaves |
//! |---|---|---|
//! | LOADING | start | all whom it greeted have answered: INITIALIZING; 5 s: JOINING |
//! | JOINING | lost leader, resignation | all have answered, or 4 s: INITIALIZING |
//! | INITIALIZING | | 1 s: a leader is known: STANDBY; nobody is alive: LEADER; somebody stands: PARTICIPATING; else STANDING |
//! | STANDING FOR LEADER | | all accept, or 4 s: LEADER; refused: PARTICIPATING; refused because there is a leader: NETWORK ISOLATION |
//! | PARTICIPATING IN ELECTION | a better candidate | a leader declares itself: INITIALIZING; 5 s: JOINING |
//! | LEADER | | a better leader, a resignation: JOINING |
//! | STANDBY | | lost its leader, refused: JOINING |
//! | NETWORK ISOLATION | | 10 s: JOINING |
//! | LOST, IN NETWORK TROUBLE | lifecheck; no address left | ends, and pgpool with it |
//!
//! Every change of state is told to all with a NODE INFO. Source: `watchdog_state_machine_*` in `watchdog.c`.

use super::config::{BEACON, Clock, WAIT_FOR_COMMAND, WAIT_FOR_REPLY, second_of, secs_between};
use super::machine::{Asked, Command, End, Machine, Out};
use super::msg::{Beacon, Body, Info, NodeId, Packet, Service, State, Verdict};
use super::note::{Lost, Note};
use super::quorum::{Claim, stays};

impl Machine {
    /// The only place where the state changes.
    pub(super) fn become_state(&mut self, to: State, now: Clock) {
        let from = self.state;
        if from == to {
            return;
        }
        self.state = to;
        self.since = second_of(now);
        if from == State::Coordinator {
            self.resign();
            self.standbys.clear();
            self.votes.clear();
        }
        self.note(Note::State { from, to });
        self.entered(now);
        if !matches!(self.state, State::Lost | State::InNetworkTrouble) {
            let info = self.info();
            self.broadcast(&Body::Info(info), now);
        }
    }
    fn entered(&mut self, now: Clock) {
        match self.state {
            State::Joining => {
                self.leader = None;
                self.connect_unreachable(now);
                self.command(None, Asked::ReqInfo, &Body::ReqInfo, WAIT_FOR_COMMAND, now);
                self.set_timer(WAIT_FOR_REPLY, now);
            }
            State::Initializing => self.set_timer(1, now),
            State::Stand => {
                self.command(None, Asked::Stand, &Body::Stand, WAIT_FOR_COMMAND, now);
                self.set_timer(WAIT_FOR_REPLY, now);
            }
            State::Coordinator => {
                self.command(None, Asked::Declare, &Body::Declare, WAIT_FOR_COMMAND, now);
                self.set_timer(WAIT_FOR_REPLY, now);
                for p in &mut self.peers {
                    p.missed = 0;
                }
                self.window = super::config::LEAST_WINDOW.max(self.set.health_window);
                self.priority = self.set.priority;
            }
            State::Standby => {
                if let Some(l) = self.leader {
                    self.command(Some(l), Asked::Join, &Body::Join, WAIT_FOR_REPLY, now);
                }
                self.priority = self.set.priority;
                self.set_timer(BEACON, now);
            }
            State::NetworkIsolation => self.set_timer(BEACON, now),
            State::Loading | State::Participate => self.set_timer(WAIT_FOR_REPLY, now),
            State::Lost | State::InNetworkTrouble => {
                self.note(Note::Fatal { state: self.state });
                self.out.push(Out::Fatal);
            }
            _ => {}
        }
    }
    pub(super) fn on_timeout(&mut self, now: Clock) {
        match self.state {
            State::Loading | State::Participate | State::NetworkIsolation => {
                self.become_state(State::Joining, now);
            }
            State::Joining => self.become_state(State::Initializing, now),
            State::Initializing => self.decide(now),
            State::Stand => self.become_state(State::Coordinator, now),
            State::Coordinator => {
                let beacon = self.beacon(now);
                self.command(None, Asked::Iam, &Body::Iam(beacon), WAIT_FOR_REPLY, now);
                self.set_timer(BEACON, now);
            }
            State::Standby => {
                self.set_timer(BEACON, now);
                self.still_led(now);
            }
            _ => {}
        }
    }
    fn decide(&mut self, now: Clock) {
        let alone = !self.peers.iter().any(|p| p.info.state.active());
        let candidate = self.peers.iter().any(|p| p.info.state == State::Stand);
        let to = match () {
            () if self.leader.is_some() => State::Standby,
            () if alone => State::Coordinator,
            () if candidate => State::Participate,
            () => State::Stand,
        };
        self.become_state(to, now);
    }
    fn beacon(&self, now: Clock) -> Beacon {
        Beacon {
            state: self.state,
            since_startup: second_of(now) - self.startup,
            since_state: second_of(now) - self.since,
            quorum: self.quorum,
            standbys: self.standbys.len() as u8,
            escalated: self.escalated,
        }
    }
    /// A standby looks when it heard its leader last.
    fn still_led(&mut self, now: Clock) {
        let Some(leader) = self.leader.filter(|_| self.state == State::Standby) else { return };
        let silent = secs_between(now, self.peer(leader).last_received);
        if silent >= 3 * BEACON {
            let node = self.name(leader);
            self.note(Note::Lost { node, why: Lost::NoBeacon, leader: true });
            if self.set.forgets_silent_leader {
                self.peer(leader).info.state = State::Lost;
                self.service(Some(leader), Service::AppearingLost, now);
                self.close(leader);
            }
            self.leader = None;
            self.become_state(State::Joining, now);
        } else if silent >= 2 * BEACON {
            let id = self.number();
            self.send(leader, id, Body::ReqInfo, now);
        }
    }

    /// A node is lost.
    pub(super) fn lost(&mut self, node: NodeId, why: Lost, now: Clock) {
        let leader = self.leader == Some(node);
        let (name, known) = (self.name(node), self.peer(node).info.state == State::Lost);
        if self.peer(node).info.state == State::Shutdown {
            if self.set.remove_shutdown {
                self.revoke(node);
            }
        } else {
            self.peer(node).info.state = State::Lost;
        }
        if !known {
            self.note(Note::Lost { node: name, why, leader });
        }
        if why != Lost::Shutdown {
            self.service(Some(node), Service::AppearingLost, now);
        }
        if leader {
            self.leader = None;
        }
        self.close(node);
        match self.state {
            State::Coordinator => self.left(node, now),
            State::Standby if self.leader.is_none() => self.become_state(State::Joining, now),
            _ => {}
        }
        self.still_led(now);
    }
    /// The lifecheck says that a node is dead.
    pub fn dead(&mut self, node: NodeId, now: Clock) {
        if node == self.set.me {
            self.become_state(State::Lost, now);
        } else {
            self.peer(node).by_lifecheck = true;
            self.lost(node, Lost::Lifecheck, now);
        }
    }
    /// All interfaces or all addresses of the host are gone.
    pub fn no_network(&mut self, now: Clock) {
        self.become_state(State::InNetworkTrouble, now);
    }
    /// The lifecheck, or the node itself, says that it is there again.
    pub fn found(&mut self, node: NodeId, now: Clock) {
        let p = self.peer(node);
        p.by_lifecheck = false;
        p.info.state = State::Loading;
        p.membership = super::machine::Membership::Active;
        let name = self.name(node);
        self.note(Note::Found { node: name });
        self.service(Some(node), Service::AppearingFound, now);
        match self.state {
            State::Coordinator => {
                let id = self.number();
                self.send(node, id, Body::ReqInfo, now);
                self.service(Some(node), Service::RequireToReload, now);
            }
            State::NetworkIsolation => self.become_state(State::Joining, now),
            _ => {}
        }
    }

    /// A standby left this leader.
    fn left(&mut self, node: NodeId, now: Clock) {
        if self.state == State::Coordinator && self.standbys.contains(&node) {
            self.standbys.retain(|s| *s != node);
            self.peer(node).lost_at = now;
        }
    }
    pub(super) fn quorum_changed(&mut self, now: Clock) {
        if self.leader != Some(self.set.me) {
            return;
        }
        let (standbys, members) = (self.standbys.len(), self.members());
        self.note(Note::Quorum { now: self.quorum, standbys, members });
        if self.quorum < 0 {
            self.resign();
        } else {
            self.escalate();
        }
        let info = self.info();
        self.broadcast(&Body::Info(info), now);
        self.out.push(Out::Interrupt);
    }
    fn escalate(&mut self) {
        if !self.escalated {
            self.escalated = true;
            self.out.push(Out::Escalate);
        }
    }
    pub(super) fn resign(&mut self) {
        if self.escalated {
            self.escalated = false;
            self.out.push(Out::DeEscalate);
        }
    }

    /// A command to the cluster ended.
    pub(super) fn on_finished(&mut self, c: &Command, end: End, now: Clock) {
        match (self.state, c.asked) {
            (State::Joining, Asked::ReqInfo) => self.become_state(State::Initializing, now),
            (State::Stand, Asked::Stand) => match end {
                End::AllReplied | End::TimedOut => self.become_state(State::Coordinator, now),
                End::Refused(by, has_leader) => {
                    let by = self.name(by);
                    self.note(Note::Refused { by, has_leader });
                    let to = if has_leader { State::NetworkIsolation } else { State::Participate };
                    self.become_state(to, now);
                }
            },
            (State::Coordinator, Asked::Declare) => match end {
                End::AllReplied | End::TimedOut => {
                    for p in &mut self.peers {
                        p.lost_at = now;
                    }
                    self.leader = Some(self.set.me);
                    self.update_quorum(now);
                    self.note(Note::Leader { standbys: self.standbys.len(), quorum: self.quorum });
                    self.out.push(Out::Interrupt);
                    if self.quorum >= 0 {
                        self.escalate();
                    }
                }
                End::Refused(..) => self.become_state(State::Joining, now),
            },
            (State::Coordinator, Asked::Iam) => match end {
                End::Refused(by, _) => self.left(by, now),
                _ => {
                    for (node, replied) in &c.sent {
                        let p = self.peer(*node);
                        p.missed = if *replied || p.info.state != State::Standby { 0 } else { p.missed + 1 };
                    }
                }
            },
            (State::Standby, Asked::Join) => match end {
                End::AllReplied | End::TimedOut => {
                    if let Some(l) = self.leader {
                        let leader = self.name(l);
                        self.note(Note::Joined { leader });
                    }
                    self.out.push(Out::Interrupt);
                    self.out.push(Out::SyncBackends);
                    let info = self.info();
                    self.broadcast(&Body::Info(info), now);
                }
                End::Refused(by, _) => {
                    let to = if self.peer(by).has_lost_us { State::NetworkIsolation } else { State::Joining };
                    self.become_state(to, now);
                }
            },
            _ => {}
        }
    }
    /// Whether a packet answers a command that is under way; if so, it has been dealt with.
    fn answers(&mut self, from: NodeId, packet: &Packet, now: Clock) -> bool {
        let refused = match packet.body {
            Body::Error => Some(true),
            Body::Reject => Some(false),
            Body::Accept | Body::Info(_) => None,
            _ => return false,
        };
        let Some(i) =
            self.commands.iter().position(|c| c.id == packet.id && c.sent.iter().any(|s| s.0 == from))
        else {
            return false;
        };
        for s in self.commands[i].sent.iter_mut().filter(|s| s.0 == from) {
            s.1 = true;
        }
        let all = self.commands[i].sent.iter().all(|s| s.1);
        let end = match refused {
            Some(error) => End::Refused(from, error),
            None if all => End::AllReplied,
            None => return true,
        };
        let command = self.commands.remove(i);
        self.on_finished(&command, end, now);
        true
    }

    pub(super) fn on_packet(&mut self, from: NodeId, packet: &Packet, now: Clock) {
        self.peer(from).last_received = now;
        if let Body::Info(info) = packet.body {
            self.take_info(from, info, now);
        }
        if packet.body == Body::GoingDown {
            self.peer(from).info.state = State::Shutdown;
            self.lost(from, Lost::Shutdown, now);
            return;
        }
        if self.answers(from, packet, now) {
            return;
        }
        match &packet.body {
            Body::Failover(request) => {
                let verdict = if self.state == State::Coordinator {
                    self.judge(from, request, now)
                } else {
                    Verdict::LeaderRejected
                };
                self.reply(from, packet, Body::Verdict(verdict), now);
                return;
            }
            Body::Verdict(v) => {
                self.answered(packet, *v);
                return;
            }
            _ => {}
        }
        self.in_state(from, packet, now);
        self.still_led(now);
    }
    fn in_state(&mut self, from: NodeId, packet: &Packet, now: Clock) {
        let theirs = self.peer(from).info.priority;
        match (self.state, &packet.body) {
            (State::Loading, Body::Info(_)) => {
                if !self.peers.iter().any(|p| p.info.state == State::AddMessageSent) {
                    self.become_state(State::Initializing, now);
                }
            }
            // A candidate: the better priority stands.
            (State::Loading | State::Joining, Body::Stand) => {
                self.candidate(from, packet, self.priority > theirs, now)
            }
            (State::Stand, Body::Stand) => {
                let older = self.startup <= self.peer(from).info.startup;
                let mine = self.priority > theirs || self.priority == theirs && older;
                self.candidate(from, packet, mine, now);
            }
            (State::Participate, Body::Stand) => self.candidate(from, packet, theirs < self.priority, now),
            (State::Coordinator, Body::Stand) => self.reply(from, packet, Body::Reject, now),
            (State::Standby, Body::Stand) => match self.leader {
                None => self.candidate(from, packet, false, now),
                Some(_) => self.has_leader(from, packet, now),
            },
            // Somebody declares itself leader.
            (State::Stand, Body::Declare) => {
                self.declared(from, packet, self.priority > theirs, State::Joining, now)
            }
            (State::Participate, Body::Declare) => {
                self.declared(from, packet, theirs < self.priority, State::Initializing, now);
            }
            (State::Coordinator, Body::Declare) => self.reply(from, packet, Body::Error, now),
            (State::Standby, Body::Declare) if self.leader != Some(from) => {
                self.has_leader(from, packet, now)
            }
            (State::Participate, Body::Iam(_)) => self.become_state(State::Joining, now),
            (State::Coordinator, Body::Iam(beacon)) => {
                self.take_beacon(from, *beacon, now);
                self.two_leaders(from, now);
            }
            (State::Coordinator, Body::Join) => {
                let p = self.peer(from);
                if p.info.state == State::Lost && p.by_lifecheck {
                    self.reply(from, packet, Body::Reject, now);
                    return;
                }
                self.reply(from, packet, Body::Accept, now);
                if !self.standbys.contains(&from) {
                    self.standbys.push(from);
                    let node = self.name(from);
                    self.note(Note::Standby { node, standbys: self.standbys.len() });
                }
            }
            (State::Coordinator, Body::AddNode(_)) => {
                self.left(from, now);
                self.standard(from, packet, now);
            }
            (State::Standby, Body::AddNode(_)) => {
                if self.leader == Some(from) {
                    self.become_state(State::Joining, now);
                }
                self.standard(from, packet, now);
            }
            (State::Standby, Body::FailoverEnd) => self.out.push(Out::SyncBackends),
            _ => self.standard(from, packet, now),
        }
    }
    /// A node stands: I do if I am the better one, else it has my vote.
    fn candidate(&mut self, from: NodeId, packet: &Packet, mine: bool, now: Clock) {
        if mine {
            self.reply(from, packet, Body::Reject, now);
            self.become_state(State::Stand, now);
        } else {
            self.reply(from, packet, Body::Accept, now);
            self.become_state(State::Participate, now);
        }
    }
    fn declared(&mut self, from: NodeId, packet: &Packet, better: bool, to: State, now: Clock) {
        if better {
            self.reply(from, packet, Body::Reject, now);
            self.become_state(State::Stand, now);
        } else {
            self.reply(from, packet, Body::Accept, now);
            self.become_state(to, now);
        }
    }
    /// A standby does not let another become leader, and asks its own whether it still is.
    fn has_leader(&mut self, from: NodeId, packet: &Packet, now: Clock) {
        self.reply(from, packet, Body::Error, now);
        if let Some(l) = self.leader {
            let id = self.number();
            self.send(l, id, Body::ReqInfo, now);
        }
    }
    /// What every state does alike.
    fn standard(&mut self, from: NodeId, packet: &Packet, now: Clock) {
        match &packet.body {
            Body::WaitingForConsensus => self.out.push(Out::InformQuarantine),
            Body::Service(what) => self.on_service(from, *what, now),
            Body::AskBackends => self.out.push(Out::TellBackends(from, packet.id)),
            Body::Backends(states, primary) => self.out.push(Out::Backends(states.clone(), *primary)),
            Body::Window(secs) if self.state == State::Coordinator => self.window = self.window.max(*secs),
            Body::AddNode(_) | Body::ReqInfo => {
                let info = self.info();
                self.reply(from, packet, Body::Info(info), now);
            }
            Body::Join => {
                let mine = self.leader == Some(self.set.me);
                self.reply(from, packet, if mine { Body::Accept } else { Body::Reject }, now);
            }
            Body::Iam(beacon) => match self.leader {
                Some(l) if l != from => self.service(None, Service::InSplitBrain, now),
                Some(_) => {
                    let info = self.info();
                    self.reply(from, packet, Body::Info(info), now);
                    self.take_beacon(from, *beacon, now);
                }
                // Without a leader nobody is answered.
                None => {}
            },
            Body::Recovery(begins) => self.out.push(Out::Recovery(from, packet.id, *begins)),
            Body::ClientsGone(gone) => self.out.push(Out::ClientsGone(from, *gone)),
            Body::LockStandby(takes) if self.state == State::Standby && self.leader == Some(from) => {
                self.out.push(Out::LockStandby(*takes));
            }
            _ => {}
        }
    }
    fn take_beacon(&mut self, from: NodeId, b: Beacon, now: Clock) {
        let p = self.peer(from);
        p.info.since = second_of(now) - b.since_state;
        p.info.startup = second_of(now) - b.since_startup;
        (p.info.quorum, p.info.standbys, p.info.state) = (b.quorum, b.standbys, b.state);
        p.info.escalated = b.escalated;
    }
    fn take_info(&mut self, from: NodeId, info: Info, now: Clock) {
        let p = self.peer(from);
        let (was, quorum) = (p.info.state, p.info.quorum);
        p.info = info;
        if info.state == State::Coordinator {
            match self.leader {
                None => self.leader = Some(from),
                Some(l) if l != from => {
                    if self.state == State::Coordinator {
                        self.two_leaders(from, now);
                    } else {
                        self.service(None, Service::InSplitBrain, now);
                    }
                }
                Some(_) if quorum != info.quorum => self.out.push(Out::Interrupt),
                Some(_) => {}
            }
        } else if self.leader == Some(from) {
            self.become_state(State::Joining, now);
        }
        if was == State::Standby && info.state != was {
            self.left(from, now);
        }
        if was == State::Lost {
            if self.peer(from).by_lifecheck {
                self.peer(from).info.state = State::Lost;
            } else {
                self.found(from, now);
            }
        }
    }
    /// Another leader was heard of: one of the two stays.
    fn two_leaders(&mut self, other: NodeId, now: Clock) {
        let theirs = self.peer(other).info;
        if theirs.state != State::Coordinator {
            self.service(Some(other), Service::NeedsElection, now);
            self.become_state(State::Joining, now);
            return;
        }
        let mine = Claim {
            escalated: self.escalated,
            quorum: self.quorum,
            standbys: self.standbys.len() as u8,
            since: self.since,
        };
        let claim = Claim {
            escalated: theirs.escalated,
            quorum: theirs.quorum,
            standbys: theirs.standbys,
            since: theirs.since,
        };
        let (stay, by) = stays(mine, claim);
        let name = self.name(other);
        self.note(Note::SplitBrain { other: name, stays: stay, by });
        if stay {
            self.service(Some(other), Service::IamTrueLeader, now);
        } else {
            self.service(None, Service::IamNotTrueLeader, now);
            self.become_state(State::Joining, now);
        }
    }
    fn on_service(&mut self, from: NodeId, what: Service, now: Clock) {
        match what {
            Service::IamTrueLeader if self.state == State::Coordinator => {
                self.service(None, Service::IamResigning, now);
                self.become_state(State::Joining, now);
            }
            Service::IamTrueLeader if self.leader.is_some_and(|l| l != from) => {
                self.service(None, Service::NeedsElection, now);
                self.become_state(State::Joining, now);
            }
            Service::IamResigning | Service::IamNotTrueLeader if self.leader == Some(from) => {
                self.become_state(State::Joining, now);
            }
            Service::InSplitBrain => {
                self.connect_unreachable(now);
                if self.state == State::Coordinator {
                    let beacon = self.beacon(now);
                    self.broadcast(&Body::Iam(beacon), now);
                }
            }
            Service::NeedsElection => self.become_state(State::Joining, now),
            Service::RequireToReload => match self.state {
                State::Standby => {
                    if let Some(l) = self.leader {
                        self.command(Some(l), Asked::Join, &Body::Join, WAIT_FOR_REPLY, now);
                    }
                }
                State::NetworkIsolation => self.become_state(State::Joining, now),
                _ => {}
            },
            Service::AppearingLost => {
                self.peer(from).has_lost_us = true;
                match self.state {
                    State::Coordinator => self.left(from, now),
                    State::Standby if self.leader == Some(from) => self.become_state(State::Joining, now),
                    _ => {}
                }
            }
            Service::AppearingFound => {
                self.peer(from).has_lost_us = false;
                match self.state {
                    State::Coordinator => self.service(Some(from), Service::RequireToReload, now),
                    State::Standby => {
                        let (id, info) = (self.number(), self.info());
                        self.send(from, id, Body::Info(info), now);
                    }
                    State::NetworkIsolation => self.become_state(State::Joining, now),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}
