//! The script's own decisions.

use super::{
    CAN_PROMOTE, CHANGED, Do, ERROR, Fact, NEVER, NOT_CONFIGURED, NOT_RUNNING, OK, PAUSE, PROMOTE_ME,
    PROMOTED, STOP_ESCALATE, Script, XLOG_CHECK_COUNT, master_ip, score,
};
use crate::engine::Span;
use crate::node::process::{Action, Signal};
use crate::proto::Cx;
use crate::proto::crm::agents::Call;
use crate::proto::crm::seconds;
use crate::proto::pacemaker::model::{Role, Sched};
use crate::proto::postgres::data::{Conninfo, SenderState, Standby, Status, SyncNames, SyncState};
use crate::proto::postgres::msg::{Answer, Lsn, Statement};
use std::sync::Arc;

impl Script {
    /// Does what needs nobody else.
    pub(super) fn carry_on(&mut self, next: Do, call: &Call<'_>, cx: &mut Cx<'_>) {
        let me = self.me.clone();
        match next {
            Do::Exit(rc) => self.end(rc),
            Do::Set(node, what, value) => Script::set(call, &node, what, value, cx),
            Do::Status(node, value) => self.then([Do::Run, Do::Read, Do::StatusRead(node, value)]),
            Do::StatusRead(node, value) => {
                let old = self.transient(call, &node, "status");
                // What a node says of itself stands until it says something else.
                let sealed = matches!(old, Some("STOP" | "UNKNOWN")) && node != me;
                if self.online(call, &node) && old != Some(value) && !sealed {
                    self.then([Do::Run, Do::Set(node, "status", Some(value.to_owned()))]);
                }
            }
            Do::Data(node, value) => self.then([Do::Run, Do::Read, Do::DataRead(node, value)]),
            Do::DataRead(node, value) => {
                let old = self.data_status(call, &node).unwrap_or_default().to_owned();
                if old != value {
                    let name = Script::cased(call, &node).into();
                    Script::tell(call, Fact::DataStatus { node: name, old, new: value.clone() }, cx);
                    Script::set_for_ever(call, &node, "data-status", value, cx);
                    // It looks again until it has been written.
                    self.then([Do::Sleep(CHANGED), Do::Run]);
                }
            }
            Do::Score(node, value) => self.then([Do::Run, Do::Read, Do::ScoreRead(node, value)]),
            Do::ScoreRead(node, value) => {
                let value = score(value);
                let old = self.transient(call, &node, "master");
                if self.online(call, &node) && old.is_some_and(|old| old != value) {
                    self.then([Do::Run, Do::Set(node, "master", Some(value))]);
                }
            }
            Do::Look => self.then([Do::Run, Do::LookAlive]),
            Do::LookAlive if !alive(cx) => self.rc = NOT_RUNNING,
            Do::LookAlive => self.then([Do::Psql(Statement::IsInRecovery), Do::LookAnswer]),
            Do::LookAnswer => self.looked(call),
            Do::Start | Do::StartFound | Do::StartWait | Do::Prepare | Do::Started => {
                self.start(next, call, cx)
            }
            Do::Stop(_) | Do::StopAlive(_) | Do::StopWait(..) | Do::StopEnd(_) | Do::Stopped | Do::Demote => {
                self.stop(next, call, cx);
            }
            Do::Promote | Do::Promoting | Do::PromoteWait | Do::PromotedBy => self.promote(next, call, cx),
            Do::Monitored => match self.rc {
                PROMOTED => self.then([
                    Do::Data(me.clone(), "LATEST".to_owned()),
                    Do::Status(me, "PRI"),
                    Do::Control(true),
                    Do::Recontrol,
                    Do::Exit(PROMOTED),
                ]),
                OK => self.then([Do::Read, Do::Alone]),
                _ => {}
            },
            Do::Alone if self.somebody_is_promoted(call, cx) => {
                self.then([Do::Read, Do::Followed, Do::Exit(OK)]);
            }
            Do::Alone => self.then([Do::Status(me, "HS:alone"), Do::Right, Do::Exit(OK)]),
            Do::Followed => {
                if self.data_status(call, &me) == Some("DISCONNECT") {
                    self.then([Do::Status(me, "HS:alone")]);
                }
            }
            Do::Baseline => self.then([Do::Psql(Statement::Status), Do::ShowBaseline]),
            Do::ShowBaseline => {
                if let Some(place) = self.position() {
                    self.then([Do::Run, Do::Set(me, "master-baseline", Some(place))]);
                }
            }
            Do::Control(fatal) => self.then([Do::Psql(Statement::Status), Do::Controlled(fatal)]),
            Do::Controlled(fatal) => self.control(fatal, call, cx),
            Do::Recontrol => {
                if std::mem::take(&mut self.recontrol.1) {
                    self.recontrol.0 = false;
                    self.then([Do::Sleep(Span::secs(2)), Do::Control(true)]);
                }
            }
            Do::Right | Do::RightData | Do::RightPlace | Do::RightCompare => self.right(next, call, cx),
            Do::PrePromote => self.before_promotion(call, cx),
            Do::Run | Do::Sleep(_) | Do::Read | Do::Ask | Do::Psql(_) | Do::Query(_) => {}
        }
    }

    fn looked(&mut self, call: &Call<'_>) {
        let probe = call.op.task == "monitor" && call.op.interval.is_zero();
        let (rc, value) = match self.sql {
            Some(Answer::InRecovery(false)) => (PROMOTED, PROMOTE_ME),
            Some(Answer::InRecovery(true)) => (OK, NEVER),
            _ => return self.rc = ERROR,
        };
        self.rc = rc;
        if probe {
            self.then(self.own_score(&score(value)));
        }
    }
    fn status(&self) -> Option<&Arc<Status>> {
        if let Some(Answer::Status(s)) = &self.sql { Some(s) } else { None }
    }
    /// The newer of what has been received and what has been replayed, as 16 digits.
    fn position(&self) -> Option<String> {
        let s = self.status()?;
        let place = s.received.max(s.replayed).max(if s.in_recovery { Lsn(0) } else { s.flush });
        Some(format!("{:08X}{:08X}", place.0 >> 32, place.0 & 0xFFFF_FFFF))
    }
    /// Whether `crm_mon` shows a promoted instance: also on a node that is lost and not yet fenced.
    fn somebody_is_promoted(&self, call: &Call<'_>, cx: &Cx<'_>) -> bool {
        let Some(cib) = &self.cib else { return false };
        let Ok(s) = Sched::new(cib.clone(), seconds(cx)) else { return false };
        let is = |id: &str| crate::proto::pacemaker::history::base_name(id) == call.op.rsc;
        s.rscs.iter().any(|r| is(&r.id) && r.role == Role::Promoted && !r.running_on.is_empty())
    }

    // ---- start -----------------------------------------------------------------------------------------------------

    fn start(&mut self, next: Do, call: &Call<'_>, cx: &mut Cx<'_>) {
        let me = self.me.clone();
        match next {
            Do::Prepare => {
                let Some(ip) = master_ip(call.op) else { return self.end(NOT_CONFIGURED) };
                let application_name = Some(Arc::from(&*me));
                let conf = &mut cx.files.pg.conf;
                conf.primary_conninfo = Some(Conninfo { ip, application_name, slot: None });
                conf.standby_signal = true;
                if self.sync {
                    conf.synchronous_standby_names = SyncNames::Empty;
                }
                let dir = Script::tmpdir(call, cx);
                dir.notes.clear();
                if dir.lock {
                    Script::tell(call, Fact::Locked, cx);
                    self.then([Do::Exit(ERROR)]);
                } else {
                    self.then([Do::Start, Do::Started]);
                }
                let not_me = self.own_score(&score(NEVER));
                self.then([Do::Run, self.unset("xlog-loc")]);
                self.then(not_me);
                self.then([Do::Status(me, "STOP"), Do::Run, self.unset("master-baseline")]);
            }
            Do::Start => self.then([Do::Look, Do::StartFound]),
            // It runs already, and nobody knows as what.
            Do::StartFound if matches!(self.rc, OK | PROMOTED) => self.end(ERROR),
            Do::StartFound => {
                if let Some(pid) = self.postgres {
                    cx.act(Action::Spawn(pid));
                }
                self.then([Do::Run, Do::Look, Do::StartWait]);
            }
            Do::StartWait if matches!(self.rc, OK | PROMOTED) => {}
            Do::StartWait => self.then([Do::Sleep(PAUSE), Do::Look, Do::StartWait]),
            Do::Started if self.rc != OK => self.end(ERROR),
            // `synchronous_standby_names` of postgresql.conf would be in the way of the script's own.
            Do::Started if cx.files.pg.conf.synchronous_standby_names != SyncNames::Empty => {
                self.end(NOT_CONFIGURED);
            }
            Do::Started => self.then([Do::Run, Do::Status(me, "HS:alone"), Do::Exit(OK)]),
            _ => {}
        }
    }

    // ---- stop, demote ----------------------------------------------------------------------------------------------

    fn stop(&mut self, next: Do, call: &Call<'_>, cx: &mut Cx<'_>) {
        let me = self.me.clone();
        match next {
            Do::Demote => {
                let baseline = self.unset("master-baseline");
                self.then([Do::Run, baseline, Do::Stop(true), Do::Status(me, "STOP"), Do::Exit(OK)]);
                self.then(self.own_score(&score(NEVER)));
            }
            Do::Stopped => {
                self.then([Do::Run, self.unset("master-baseline"), Do::Exit(OK)]);
                self.then([Do::Run, self.unset("xlog-loc"), Do::Stop(false), Do::Status(me, "STOP")]);
                self.then(self.own_score(&score(NEVER)));
                if self.sync {
                    cx.files.pg.conf.synchronous_standby_names = SyncNames::Empty;
                }
            }
            Do::Stop(primary) => self.then([Do::Run, Do::StopAlive(primary)]),
            Do::StopAlive(_) if !alive(cx) => {}
            Do::StopAlive(primary) => {
                let name = if primary { "stop_escalate" } else { "stop_escalate_in_slave" };
                let wanted = call.param(name).and_then(|n| n.parse().ok()).unwrap_or(STOP_ESCALATE);
                let timeout = call.op.timeout.as_ms() / 1000;
                let escalate = if wanted >= timeout { timeout.saturating_sub(10) } else { wanted };
                if escalate > 0 {
                    self.signal(Signal::Int, cx);
                }
                self.then([Do::Run, Do::StopWait(primary, 0, escalate)]);
            }
            Do::StopWait(primary, ..) if !alive(cx) => self.then([Do::StopEnd(primary)]),
            Do::StopWait(primary, n, escalate) if n < escalate => {
                self.then([Do::Sleep(PAUSE), Do::Run, Do::StopWait(primary, n + 1, escalate)]);
            }
            Do::StopWait(primary, n, _) => {
                Script::tell(call, Fact::Escalates { after: n }, cx);
                self.signal(Signal::Quit, cx);
                self.rc = OK;
                self.then([Do::Run, Do::Look, Do::StopEnd(primary)]);
            }
            Do::StopEnd(true) if !alive(cx) => self.unlock(call, cx),
            Do::StopEnd(false) if !alive(cx) => {}
            Do::StopEnd(primary) => self.then([Do::Sleep(PAUSE), Do::Look, Do::StopEnd(primary)]),
            _ => {}
        }
    }
    fn signal(&self, signal: Signal, cx: &mut Cx<'_>) {
        if let Some(pid) = self.postgres {
            cx.act(Action::Signal(pid, signal));
        }
    }
    /// The lock goes only when no standby runs: then nobody can have gone on without this server.
    fn unlock(&self, call: &Call<'_>, cx: &mut Cx<'_>) {
        let standbys = call.op.notify.as_ref().map(|n| n.unpromoted.join(", "));
        if !Script::tmpdir(call, cx).lock {
            return;
        }
        match standbys {
            Some(s) if s.is_empty() => {
                Script::tmpdir(call, cx).lock = false;
                Script::tell(call, Fact::Unlocks, cx);
            }
            standbys => {
                Script::tell(call, Fact::LockStays { standbys: standbys.unwrap_or_default() }, cx);
            }
        }
    }

    // ---- promote ---------------------------------------------------------------------------------------------------

    fn promote(&mut self, next: Do, call: &Call<'_>, cx: &mut Cx<'_>) {
        let me = self.me.clone();
        let restart = matches!(call.param("restart_on_promote"), Some("true" | "yes" | "on" | "1"));
        match next {
            Do::Promote => match self.sql {
                Some(Answer::InRecovery(true)) => {
                    Script::tmpdir(call, cx).notes.clear();
                    self.then([Do::Baseline, Do::Promoting]);
                    for node in self.nodes.clone().into_iter().rev().filter(|n| *n != me) {
                        self.then([Do::Data(node.clone(), "DISCONNECT".to_owned()), Do::Score(node, NEVER)]);
                    }
                }
                Some(_) => self.end(OK),
                None => self.end(ERROR),
            },
            Do::Promoting => {
                Script::tmpdir(call, cx).lock = true;
                Script::tell(call, Fact::Locks, cx);
                if restart {
                    return self.then([Do::Stop(false), Do::PromotedBy]);
                }
                cx.files.pg.promote_signal = true;
                self.signal(Signal::Usr1, cx);
                self.then([Do::Run, Do::Look, Do::PromoteWait]);
            }
            Do::PromotedBy => {
                cx.files.pg.conf.standby_signal = false;
                self.then([Do::Start, Do::PromoteWait]);
            }
            Do::PromoteWait if self.rc == PROMOTED => {
                let score = self.own_score(&score(PROMOTE_ME));
                self.then([Do::Status(me.clone(), "PRI"), Do::Exit(OK)]);
                self.then(score);
                self.then([Do::Data(me, "LATEST".to_owned())]);
            }
            Do::PromoteWait if restart || self.rc == ERROR => self.end(ERROR),
            Do::PromoteWait => self.then([Do::Sleep(PAUSE), Do::Look, Do::PromoteWait]),
            _ => {}
        }
    }
    /// A standby that has more than the one that is to be promoted fails.
    fn before_promotion(&mut self, call: &Call<'_>, cx: &mut Cx<'_>) {
        let Some(node) = call.op.notify.as_ref().and_then(|l| l.promote.first()) else { return };
        let Some(theirs) = self.transient(call, node, "master-baseline") else { return };
        let mine = self.transient(call, &self.me, "master-baseline").unwrap_or_default();
        if mine > theirs {
            Script::tell(call, Fact::Newer { than: node.as_str().into() }, cx);
            self.end(ERROR);
        }
    }

    // ---- the primary looks at its standbys -------------------------------------------------------------------------

    fn control(&mut self, fatal: bool, call: &Call<'_>, cx: &mut Cx<'_>) {
        let Some(status) = self.status().cloned() else {
            if fatal {
                self.end(ERROR);
            }
            return;
        };
        let two = self.nodes.len() <= 2;
        let me = self.me.clone();
        for node in self.nodes.clone().into_iter().rev().filter(|n| *n != me) {
            let found = status.standbys.iter().find(|s| s.application_name.eq_ignore_ascii_case(&node));
            let data = found.map_or("DISCONNECT", words);
            let (value, word) = match data {
                "STREAMING|SYNC" => (CAN_PROMOTE, Some("HS:sync")),
                "STREAMING|ASYNC" => (if !self.sync && two { CAN_PROMOTE } else { NEVER }, Some("HS:async")),
                "STREAMING|POTENTIAL" => (NEVER, Some("HS:potential")),
                "DISCONNECT" => (NEVER, None),
                _ => (NEVER, Some("HS:connected")),
            };
            if let Some(word) = word {
                self.then([Do::Status(node.clone(), word)]);
            }
            if self.sync {
                self.synchronise(&node, data, call, cx);
            }
            self.then([Do::Data(node.clone(), data.to_owned()), Do::Score(node, value)]);
        }
    }
    /// `set_sync_mode`, `set_async_mode`: commits wait for one standby that streams, and for nobody who does not.
    fn synchronise(&mut self, node: &Arc<str>, data: &str, call: &Call<'_>, cx: &mut Cx<'_>) {
        let names = &cx.files.pg.conf.synchronous_standby_names;
        let waited = matches!(names, SyncNames::First(_, list) if list.iter().any(|n| n == node));
        let new = match data {
            "STREAMING|ASYNC" if *names == SyncNames::Empty => SyncNames::First(1, [node.clone()].into()),
            "STREAMING|SYNC" | "STREAMING|POTENTIAL" | "STREAMING|ASYNC" => return,
            _ if waited => SyncNames::Empty,
            _ => return,
        };
        let on = new != SyncNames::Empty;
        self.recontrol.1 |= on && self.recontrol.0;
        Script::tell(call, Fact::Synchronous { node: on.then(|| node.clone()) }, cx);
        cx.files.pg.conf.synchronous_standby_names = new;
        self.signal(Signal::Hup, cx);
    }

    // ---- who has the newest data -----------------------------------------------------------------------------------

    fn right(&mut self, next: Do, call: &Call<'_>, cx: &mut Cx<'_>) {
        let me = self.me.clone();
        match next {
            Do::Right => self.then([Do::Read, Do::RightData]),
            Do::RightData => {
                let status = self.data_status(call, &me).unwrap_or_default().to_owned();
                let good = matches!(status.as_str(), "" | "STREAMING|SYNC" | "LATEST")
                    || !self.sync && status == "STREAMING|ASYNC";
                if good {
                    return self.then([Do::Psql(Statement::Status), Do::RightPlace]);
                }
                Script::tell(call, Fact::OutOfDate { status }, cx);
            }
            Do::RightPlace => match self.position() {
                Some(place) => {
                    // It asks for one node after the other.
                    self.then([Do::Read, Do::RightCompare]);
                    for _ in 1..self.nodes.len() {
                        self.then([Do::Run]);
                    }
                    self.then([Do::Run, Do::Set(me, "xlog-loc", Some(place))]);
                }
                None => self.end(ERROR),
            },
            Do::RightCompare => self.compare(call, cx),
            _ => {}
        }
    }
    fn compare(&mut self, call: &Call<'_>, cx: &mut Cx<'_>) {
        let most = call.param("xlog_check_count").and_then(|n| n.parse().ok()).unwrap_or(XLOG_CHECK_COUNT);
        let places: Vec<(&Arc<str>, &str)> =
            self.nodes.iter().filter_map(|n| Some((n, self.transient(call, n, "xlog-loc")?))).collect();
        let new_note: String = places.iter().map(|(n, place)| format!("{n} {place}\n")).collect();
        let newest = places.iter().map(|p| p.1).max();
        let right = newest.is_some() && newest == places.iter().find(|p| *p.0 == self.me).map(|p| p.1);
        let dir = Script::tmpdir(call, cx);
        let old = (1..=most).take_while(|n| dir.notes.contains_key(n)).last().unwrap_or(0);
        let new = old + 1;
        if dir.notes.get(&old).map(String::as_str).unwrap_or_default() != new_note {
            dir.notes = [(0, new_note)].into();
            return Script::tell(call, Fact::Compared { same: 0, of: most }, cx);
        }
        dir.notes.insert(new, new_note.clone());
        Script::tell(call, Fact::Compared { same: new, of: most }, cx);
        if new < most {
            return;
        }
        if right {
            Script::tmpdir(call, cx).notes.clear();
            Script::tell(call, Fact::Newest, cx);
            return self.then(self.own_score(&score(PROMOTE_ME)));
        }
        Script::tmpdir(call, cx).notes = [(0, new_note)].into();
        Script::tell(call, Fact::NotNewest, cx);
        self.then([Do::Data(self.me.clone(), "DISCONNECT".to_owned())]);
    }
}

/// `kill -0` to the process of `postmaster.pid`.
fn alive(cx: &Cx<'_>) -> bool {
    cx.files.pg.postmaster.is_some()
}
/// `state` and `sync_state` of `pg_stat_replication`, as the script joins them.
fn words(s: &Standby) -> &'static str {
    match (s.state, s.sync_state) {
        (SenderState::Streaming, SyncState::Async) => "STREAMING|ASYNC",
        (SenderState::Streaming, SyncState::Potential) => "STREAMING|POTENTIAL",
        (SenderState::Streaming, SyncState::Sync) => "STREAMING|SYNC",
        (SenderState::Streaming, SyncState::Quorum) => "STREAMING|QUORUM",
        (SenderState::Catchup, _) => "CATCHUP|ASYNC",
    }
}
