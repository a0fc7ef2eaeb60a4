//! How a primary stops being one: the kinds of demotion, and the hand-over of the lock.
//!
//! Source: `ha.py` (`demote`, `shutdown`).

use super::dcs;
use super::flow::{EXEC, Flow, Frame, Op, Raised, Value};
use super::follow;
use super::member;
use super::note::Note;
use super::process::{Agent, Task};
use super::server::{self, FollowArgs, StopArgs};
use super::state::Role;
use crate::engine::Span;
use crate::net::addr::Ip;
use crate::proto::Cx;

/// After the lock is released somebody else gets time to take it.
const TAKE_TIME: Span = Span::secs(2);

/// The kind of a demotion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A switchover: checkpoint, fast stop, hand-over.
    Graceful,
    /// Not fit to be primary: immediate stop, the lock is released.
    Immediate,
    /// The lock is lost: immediate stop.
    ImmediateNolock,
    /// The DCS cannot be reached: fast stop, the lock cannot be released.
    Offline,
    /// Patroni itself stops.
    Shutdown,
}
impl Kind {
    /// Patroni's name for it.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Graceful => "graceful",
            Kind::Immediate => "immediate",
            Kind::ImmediateNolock => "immediate-nolock",
            Kind::Offline => "offline",
            Kind::Shutdown => "shutdown",
        }
    }
    const fn releases(self) -> bool {
        matches!(self, Kind::Graceful | Kind::Immediate)
    }
    const fn starts_in_background(self) -> bool {
        matches!(self, Kind::Immediate | Kind::ImmediateNolock)
    }
}

/// Pieces.
#[derive(Clone, Debug)]
pub(super) enum At {
    Begin(Kind, &'static str),
    Stop(Kind),
    Stopped(Kind),
    Locked(Kind, Option<u64>),
    Released(Kind),
    Rest(Kind),
    View(Kind),
    Checked(Option<Ip>),
    /// The server has written its last checkpoint; whether somebody has all of it.
    HandOver(Kind, bool),
    HandOverLocked,
    HandedOver,
    OptimeWritten,
}
impl At {
    /// Whether the piece has an `except` for it.
    pub(super) fn catches(&self, raised: Raised) -> bool {
        match self {
            At::View(_) => raised != Raised::Exit,
            At::Checked(_) => matches!(raised, Raised::Postgres(_)),
            _ => false,
        }
    }
}
/// A demotion; `why` is the key of its reason.
pub(super) fn to(kind: Kind, why: &'static str) -> Frame {
    Frame::Demote(At::Begin(kind, why))
}
fn go(at: At) -> Frame {
    Frame::Demote(at)
}

impl Agent {
    pub(super) fn demote(&mut self, at: At, value: Value, ctx: &mut Cx<'_>) -> Flow {
        match at {
            At::Begin(kind, why) => {
                self.note(Note::Demoting { kind, why }, ctx);
                self.trigger_check_diverged();
                self.told.released = false;
                if kind == Kind::ImmediateNolock || !self.running(ctx) {
                    return Flow::Go(go(At::Stop(kind)));
                }
                let took = Self::draw(ctx, self.config.demote_time);
                Flow::Do(Op::Sleep(took), go(At::Stop(kind)))
            }
            At::Stop(kind) => {
                let args = StopArgs {
                    immediate: kind.starts_in_background(),
                    checkpoint: kind == Kind::Graceful,
                    safepoint: self.guard.running(),
                    release: kind.releases().then_some(kind),
                    timeout: self.primary_stop_timeout(),
                    block_callbacks: false,
                };
                Flow::Call(Frame::Server(server::At::Stop(args)), go(At::Stopped(kind)))
            }
            At::Stopped(kind) => {
                self.role = Role::Demoted;
                self.set_is_leader(false, ctx);
                if kind.releases() && !self.told.released {
                    let lsn =
                        (kind == Kind::Graceful).then(|| member::bytes(ctx.files.pg.control.checkpoint.lsn));
                    if self.task == Some(Task::DemoteGraceful) {
                        return Flow::Do(Op::Lock, go(At::Locked(kind, lsn)));
                    }
                    return Flow::Call(Frame::Member(member::At::Release(lsn)), go(At::Released(kind)));
                }
                Flow::Go(go(At::Released(kind)))
            }
            At::Locked(kind, lsn) => {
                Flow::Call(Frame::Member(member::At::Release(lsn)), go(At::Released(kind)))
            }
            At::Released(kind) => {
                self.unlock(EXEC);
                let rest = if kind.releases() { TAKE_TIME } else { Span::ZERO };
                Flow::Do(Op::Sleep(rest), go(At::Rest(kind)))
            }
            At::Rest(Kind::Offline) => Flow::Go(go(At::View(Kind::Offline))),
            At::Rest(kind) => Flow::Do(Op::Dcs(dcs::Op::GetCluster), go(At::View(kind))),
            At::View(kind) => {
                // The view of this moment, not that of the cycle: whoever has taken the lock is followed.
                let mut node = None;
                let mut leader = None;
                if let Value::Cluster(cluster) = value {
                    node = follow::node_in(self, &cluster).and_then(|n| n.1);
                    leader = cluster.leader_member().cloned();
                }
                if self.dynamic.is_synchronous_mode() {
                    self.set_sync_names(&[], 0, ctx);
                }
                if kind.starts_in_background() {
                    let args = FollowArgs { node, timeout: None, reload: false };
                    let follow = Frame::Server(server::At::Follow(args));
                    self.background(Task::StartingAfterDemotion, follow);
                    return Flow::done();
                }
                match leader {
                    Some(leader) => {
                        let check = follow::At::CheckDiverged(Box::new(leader));
                        Flow::Call(Frame::Follow(check), go(At::Checked(node)))
                    }
                    None => Flow::Go(go(At::Checked(node))),
                }
            }
            At::Checked(node) => {
                if value.yes() {
                    // It is rewound in the next cycle, and not started before.
                    return Flow::bool(false);
                }
                let args = FollowArgs { node, timeout: None, reload: false };
                Flow::Go(Frame::Server(server::At::Follow(args)))
            }

            At::HandOver(Kind::Graceful, true) => {
                self.role = Role::Demoted;
                Flow::Do(Op::Lock, go(At::HandOverLocked))
            }
            At::HandOver(Kind::Shutdown, true) => {
                self.told.released = true;
                let lsn = Some(member::bytes(ctx.files.pg.control.checkpoint.lsn));
                Flow::Call(Frame::Member(member::At::DeleteLeader(lsn)), go(At::HandedOver))
            }
            At::HandOver(Kind::Shutdown, false) => {
                let optime = member::bytes(ctx.files.pg.control.checkpoint.lsn);
                Flow::Do(Op::Dcs(dcs::Op::WriteOptime(optime)), go(At::OptimeWritten))
            }
            At::HandOver(..) | At::OptimeWritten => Flow::done(),
            At::HandOverLocked => {
                self.told.released = true;
                let lsn = Some(member::bytes(ctx.files.pg.control.checkpoint.lsn));
                Flow::Call(Frame::Member(member::At::Release(lsn)), go(At::HandedOver))
            }
            At::HandedOver => {
                self.unlock(EXEC);
                Flow::done()
            }
        }
    }
}
