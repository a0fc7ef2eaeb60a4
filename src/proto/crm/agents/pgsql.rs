//! `ocf:heartbeat:pgsql`: PostgreSQL with streaming replication as a promotable clone.
//!
//! The agent is a shell script that calls programs: `crm_mon`, `crm_attribute`, `psql`, `pg_ctl`. Each call takes a moment
//! ([`AgentTimes::command`](super::super::config::AgentTimes)); where the script sleeps between two looks (always 1 s), so does this. What an
//! operation takes follows from that: a promotion that the server needs 0.2 s for takes the agent 1 s more, as its second look comes a second
//! after the first.
//!
//! - **start** makes every server a standby: `standby.signal`, `primary_conninfo` with `master_ip` and the node's name as `application_name`.
//!   It refuses (exit code 1) while `PGSQL.lock` lies in `tmpdir`. With `start-failure-is-fatal` that keeps the server down until somebody has
//!   looked.
//! - **promote** writes `PGSQL.lock`, sets the others to `DISCONNECT` and -INFINITY, promotes (or with `restart_on_promote` restarts without
//!   `standby.signal`, which keeps the timeline), and takes `LATEST` and 1000 for itself.
//! - **demote** is a stop: PostgreSQL cannot become a standby again while it runs. Only if no standby runs at that time the lock is removed.
//!   After a crash, and after a demotion with a standby there, it stays: the data may have what nobody else has.
//! - **stop**: fast; after `stop_escalate` (`stop_escalate_in_slave`) seconds, or 10 s before the operation's timeout, immediate. It never kills.
//! - **monitor** on the primary reads `pg_stat_replication` and writes for every other node of `node_list` `RSC-data-status` (permanent),
//!   `RSC-status` and the promotion score (transient): `STREAMING|SYNC` 100; `STREAMING|ASYNC` 100 if `rep_mode` is `async` and there are two
//!   nodes, otherwise -INFINITY (and with `sync` it is made synchronous); everything else -INFINITY. With `sync` a standby that is gone is taken
//!   out of `synchronous_standby_names`, so that commits go on.
//! - **monitor** on a standby while no instance is promoted compares positions: its own goes to `RSC-xlog-loc`, and when those of all nodes have
//!   not changed for `xlog_check_count` monitors after the first, the node with the newest gives itself 1000. A `data-status` that is out of date
//!   excludes it.
//! - **notify** after a start or stop makes the primary look at its standbys at once; before a promotion with `sync` and three nodes a standby
//!   with newer data than the one to be promoted fails.
//!
//! Source: `heartbeat/pgsql` of resource-agents (its state in August 2026). PostgreSQL 12 and newer.
//!
//! **Not modelled:** `rep_mode` `none` and `slave` (`slave` is a standby without the rest), `restore_command` and archives, replication slots
//! (`replication_slot_name`), `external_standby_node_list`, `check_wal_receiver`, `primary_conninfo_opt` (the receiver's keepalives are the
//! system's), `monitor_sql`, the ban by which a standby with newer data would leave its node (it only fails), a `crm_attribute` that does not
//! end (`crm_attr_timeout`), a read of another node's attribute before it is written everywhere.

mod fact;
mod flow;

pub use fact::Fact;

use super::super::msg::{Op, Update};
use super::super::{Daemon, Local, Place, cib, draw, tell};
use super::{Call, ERROR, NOT_CONFIGURED, NOT_RUNNING, OK, PROMOTED, Said, Then, first};
use crate::engine::{Span, SpanRange};
use crate::net::addr::Ip;
use crate::node::process::Pid;
use crate::proto::pacemaker::cib::Cib;
use crate::proto::postgres::msg::{Answer, Statement};
use crate::proto::{Cx, Note as Told};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `PROMOTE_ME`: the score of the primary, and of the newest where there is none.
pub const PROMOTE_ME: i32 = 1000;
/// `CAN_PROMOTE`: the score of the standby that may take over.
pub const CAN_PROMOTE: i32 = 100;
/// The script's pause between two looks.
const PAUSE: Span = Span::secs(1);
/// What a change of a permanent attribute waits before it looks whether `crm_attribute` has ended.
const CHANGED: Span = Span::ms(100);
/// One program that the script calls.
const COMMAND: SpanRange = SpanRange::new(Span::ms(10), Span::ms(30));
/// `stop_escalate`, `stop_escalate_in_slave`.
const STOP_ESCALATE: u64 = 90;
/// `xlog_check_count`.
const XLOG_CHECK_COUNT: u32 = 3;

/// `tmpdir`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TmpDir {
    /// `PGSQL.lock`: this server was primary and has not been stopped in order without standbys.
    pub lock: bool,
    /// `xlog_note.N`: the positions of all nodes as a monitor found them.
    pub notes: BTreeMap<u32, String>,
}

/// What is done next.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Do {
    /// A program runs.
    Run,
    /// The script sleeps.
    Sleep(Span),
    /// `crm_mon`, `crm_attribute -G`: a program, and the CIB afterwards.
    Read,
    Ask,
    /// `psql`.
    Psql(Statement),
    Query(Statement),
    /// A transient attribute is set, or deleted.
    Set(Arc<str>, &'static str, Option<String>),
    /// `change_pgsql_status`, `change_data_status`, `change_master_score`: if it is another one.
    Status(Arc<str>, &'static str),
    StatusRead(Arc<str>, &'static str),
    Data(Arc<str>, String),
    DataRead(Arc<str>, String),
    Score(Arc<str>, i32),
    ScoreRead(Arc<str>, i32),
    /// `pgsql_real_monitor`: leaves the exit code.
    Look,
    LookAlive,
    LookAnswer,
    /// `pgsql_real_start`
    Start,
    StartFound,
    StartWait,
    /// `pgsql_real_stop`; `true`: of a primary.
    Stop(bool),
    StopAlive(bool),
    StopWait(bool, u64, u64),
    StopEnd(bool),
    /// Pieces of the operations.
    Prepare,
    Started,
    Promote,
    Promoting,
    PromoteWait,
    PromotedBy,
    Demote,
    Stopped,
    Monitored,
    Alone,
    Followed,
    Baseline,
    ShowBaseline,
    /// `control_slave_status`; `true`: its failure is the operation's.
    Control(bool),
    Controlled(bool),
    Recontrol,
    /// `have_master_right`
    Right,
    RightData,
    RightPlace,
    RightCompare,
    PrePromote,
    Exit(i32),
}

/// An operation of the agent under way.
#[derive(Clone, Debug)]
pub struct Script {
    me: Arc<str>,
    nodes: Vec<Arc<str>>,
    sync: bool,
    postgres: Option<Pid>,
    /// What is to be done, the next at the end.
    todo: Vec<Do>,
    waits: bool,
    cib: Option<Arc<Cib>>,
    sql: Option<Answer>,
    rc: i32,
    /// Whether `control_slave_status` may run, and has to run, once more.
    recontrol: (bool, bool),
}

impl Script {
    /// The script of an operation, if it is one of this agent.
    pub fn of(op: &Op, place: &Place) -> Option<Script> {
        if op.agent.2.as_deref() != Some("pgsql") {
            return None;
        }
        let param = |name: &str| op.params.get(name).map(String::as_str);
        let list = param("node_list").unwrap_or_default().to_ascii_lowercase();
        let mut script = Script {
            me: place.name.to_ascii_lowercase().into(),
            nodes: list.split_whitespace().map(Into::into).collect(),
            sync: param("rep_mode") == Some("sync"),
            postgres: place.services.get("postgres").copied(),
            todo: Vec::new(),
            waits: false,
            cib: None,
            sql: None,
            rc: OK,
            recontrol: (true, false),
        };
        script.begin(op);
        Some(script)
    }
    /// Whether it has asked for the CIB.
    pub fn waits_for_cib(&self) -> bool {
        self.waits
    }
    /// Where each operation begins.
    fn begin(&mut self, op: &Op) {
        let task = op.task.as_str();
        if self.postgres.is_none() {
            // Nothing of it is installed: probes and stops are content.
            let rc = match task {
                "monitor" => NOT_RUNNING,
                "stop" | "notify" => OK,
                _ => super::NOT_INSTALLED,
            };
            return self.then([Do::Exit(rc)]);
        }
        let mode = op.params.get("rep_mode").map(String::as_str);
        if self.nodes.is_empty() || !matches!(mode, Some("sync" | "async")) || master_ip(op).is_none() {
            let rc = match task {
                "monitor" => NOT_RUNNING,
                "stop" => OK,
                _ => NOT_CONFIGURED,
            };
            return self.then([Do::Exit(rc)]);
        }
        match task {
            "start" => self.then([Do::Prepare]),
            "stop" => self.then([Do::Run, Do::Stopped]),
            "promote" => self.then([Do::Psql(Statement::IsInRecovery), Do::Promote]),
            "demote" => self.then([Do::Demote]),
            "monitor" => self.then([Do::Look, Do::Monitored]),
            "notify" => self.begin_notify(op),
            _ => self.then([Do::Exit(OK)]),
        }
    }
    fn begin_notify(&mut self, op: &Op) {
        let Some(lists) = &op.notify else { return };
        let about = lists.about.as_ref().map(|(kind, task)| (kind.as_str(), task.as_str()));
        let first = |l: &[String]| l.first().map(|n| n.to_ascii_lowercase());
        let me = Some(self.me.to_string());
        match about {
            Some(("pre", "promote")) if self.sync && self.nodes.len() >= 3 && first(&lists.promote) != me => {
                self.then([Do::Run, Do::Read, Do::PrePromote]);
            }
            Some(("post", "promote")) => {
                if first(&lists.promote) != me {
                    self.then([Do::Run, self.unset("master-baseline")]);
                }
                self.then([Do::Run, self.unset("xlog-loc")]);
            }
            Some(("post", "demote")) => {
                let was = lists.promoted.iter().any(|n| n.eq_ignore_ascii_case(&self.me));
                if first(&lists.demote) != me && !was {
                    self.then([Do::Baseline, Do::Status(self.me.clone(), "HS:alone")]);
                }
            }
            Some(("post", "start" | "stop")) if first(&lists.promoted) == me => {
                self.then([Do::Control(false)]);
            }
            _ => {}
        }
    }
    fn unset(&self, what: &'static str) -> Do {
        Do::Set(self.me.clone(), what, None)
    }
    /// `crm_attribute --promotion` for the own node.
    fn own_score(&self, score: &str) -> [Do; 2] {
        [Do::Run, Do::Set(self.me.clone(), "master", Some(score.to_owned()))]
    }
    /// These come next, in this order.
    fn then<const N: usize>(&mut self, list: [Do; N]) {
        self.todo.extend(list.into_iter().rev());
    }
    /// Ends with this exit code, whatever was to be done.
    fn end(&mut self, rc: i32) {
        self.todo.clear();
        self.rc = rc;
    }

    /// Goes on.
    pub fn step(&mut self, call: &Call<'_>, cx: &mut Cx<'_>) -> Then {
        if let Some(then) = first(call, cx) {
            return then;
        }
        self.waits = false;
        match &call.said {
            Some(Said::Cib(cib)) => self.cib = Some(cib.clone()),
            Some(Said::Sql(answer)) => self.sql.clone_from(answer),
            None => {}
        }
        while let Some(next) = self.todo.pop() {
            if let Some(then) = self.go(next, call, cx) {
                self.waits = then == Then::ReadCib;
                return then;
            }
        }
        Then::Exit(self.rc)
    }
    /// What needs somebody else.
    fn go(&mut self, next: Do, call: &Call<'_>, cx: &mut Cx<'_>) -> Option<Then> {
        let run = |cx: &mut Cx<'_>| Some(Then::After(draw(cx, call.times.command.unwrap_or(COMMAND))));
        match next {
            Do::Run => run(cx),
            Do::Sleep(span) => Some(Then::After(span)),
            Do::Read => {
                self.then([Do::Ask]);
                run(cx)
            }
            Do::Ask => Some(Then::ReadCib),
            Do::Psql(statement) => {
                self.then([Do::Query(statement)]);
                run(cx)
            }
            Do::Query(statement) => {
                self.sql = None;
                Some(Then::Psql(statement))
            }
            next => {
                self.carry_on(next, call, cx);
                None
            }
        }
    }

    // ---- attributes ------------------------------------------------------------------------------------------------

    /// `pgsql-status` and the like; the promotion score has a name of its own.
    fn attribute(call: &Call<'_>, what: &str) -> String {
        let rsc = &call.op.rsc;
        if what == "master" { format!("master-{rsc}") } else { format!("{rsc}-{what}") }
    }
    fn transient(&self, call: &Call<'_>, node: &str, what: &str) -> Option<&str> {
        cib::transient(self.cib.as_deref()?, Script::cased(call, node), &Script::attribute(call, what))
    }
    fn data_status(&self, call: &Call<'_>, node: &str) -> Option<&str> {
        let node = Script::cased(call, node);
        cib::permanent(self.cib.as_deref()?, node, &Script::attribute(call, "data-status"))
    }
    fn online(&self, call: &Call<'_>, node: &str) -> bool {
        self.cib.as_deref().is_some_and(|c| cib::online(c, Script::cased(call, node)))
    }
    /// The name of a node as the cluster writes it: the script makes names small, Pacemaker does not care.
    fn cased<'a>(call: &'a Call<'_>, node: &'a str) -> &'a str {
        call.place.nodes.values().find(|n| n.eq_ignore_ascii_case(node)).map_or(node, |n| &**n)
    }
    fn set(call: &Call<'_>, node: &str, what: &str, value: Option<String>, cx: &mut Cx<'_>) {
        let (node, name) = (Script::cased(call, node).into(), Script::attribute(call, what));
        tell(call.place, Daemon::Attrd, Local::Attribute { node, name, value }, cx);
    }
    fn set_for_ever(call: &Call<'_>, node: &str, what: &str, value: String, cx: &mut Cx<'_>) {
        let (node, name) = (Script::cased(call, node).into(), Script::attribute(call, what));
        tell(call.place, Daemon::Based, Local::Change(vec![Update::NodeAttribute { node, name, value }]), cx);
    }
    fn tell(call: &Call<'_>, fact: Fact, cx: &mut Cx<'_>) {
        let rsc = call.op.rsc.as_str().into();
        cx.note(Told::Crm(Box::new(super::super::note::Note::Pgsql { rsc, fact })));
    }
    fn tmpdir<'a>(call: &Call<'_>, cx: &'a mut Cx<'_>) -> &'a mut TmpDir {
        cx.files.crm.pgsql.entry(call.op.rsc.clone()).or_default()
    }
}

/// `master_ip`.
fn master_ip(op: &Op) -> Option<Ip> {
    op.params.get("master_ip")?.parse().ok()
}
/// A score as attributes have it.
fn score(n: i32) -> String {
    crate::proto::pacemaker::score::show(n)
}
/// -INFINITY.
const NEVER: i32 = -crate::proto::pacemaker::score::INF;
