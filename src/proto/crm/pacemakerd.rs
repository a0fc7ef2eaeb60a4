//! `pacemakerd`: starts the other daemons, starts one again that ends, and tells the others that it was gone.
//!
//! Without Corosync there is no Pacemaker: when the connection breaks all daemons end; what they have started runs on. When `pacemakerd` itself
//! is killed the others go on, and a new one finds them (systemd's `Restart=on-failure` would start it; here an operator does).
//!
//! Told to stop it lets the controller leave the cluster first, and then ends the others one after the other, in the reverse order of their start.

use super::msg::{Daemon, Local};
use super::note::Note;
use super::{Place, draw, tell};
use crate::engine::Span;
use crate::node::disk::End;
use crate::node::process::{Action, Input, Pid, Signal, Timer};
use crate::proto::corosync::api::{Client, News};
use crate::proto::{Cx, Files, Msg, Note as Told};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The daemons are started.
const READY: Timer = Timer(0);
/// Corosync is asked again.
const RETRY: Timer = Timer(1);
/// How long the controller waits before it tries to connect to what is not there (`do_cib_control`, `do_lrm_control`).
const WAIT: Span = Span::secs(2);
/// One of its daemons is ready again: this and its place in the list.
const AGAIN: u16 = 2;

/// The process.
#[derive(Clone, Debug)]
pub struct Pacemakerd {
    place: Arc<Place>,
    children: Vec<(Daemon, Pid)>,
    corosync: Client,
    up: bool,
    leaving: bool,
    /// Daemons that have ended and have not been started again.
    down: BTreeSet<Daemon>,
}

impl Pacemakerd {
    /// Before its start; `children` are the places of its daemons.
    pub fn new(place: Arc<Place>, children: Vec<(Daemon, Pid)>) -> Self {
        Pacemakerd {
            place,
            children,
            corosync: Client::default(),
            up: false,
            leaving: false,
            down: BTreeSet::new(),
        }
    }
    /// As it was before its start. With the power goes what agents have left under `/run`.
    pub fn reset(&mut self, end: End, files: &mut Files) {
        if end == End::PowerLost {
            files.crm.run.clear();
        }
        *self = Pacemakerd::new(self.place.clone(), std::mem::take(&mut self.children));
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        match self.corosync.on(&input, cx) {
            Some(News::Connected(_)) => {
                let took = draw(cx, self.place.times.startup);
                return cx.set_timer(READY, took);
            }
            Some(News::Lost) if self.up => {
                cx.note(Told::Crm(Box::new(Note::CorosyncLost)));
                self.quit(cx);
                return cx.act(Action::Exit(102));
            }
            Some(News::Lost) => return cx.set_timer(RETRY, Span::secs(1)),
            Some(News::Event(_)) => return,
            None => {}
        }
        match input {
            Input::Start => {
                cx.act(Action::Bind(Daemon::Pacemakerd.port()));
                self.corosync.connect(cx);
            }
            Input::Timer(RETRY) => self.corosync.connect(cx),
            Input::Timer(READY) => {
                self.up = true;
                for (_, pid) in &self.children {
                    cx.act(Action::Spawn(*pid));
                }
            }
            Input::Signal(Signal::ChildDied(pid)) => {
                let Some((daemon, _)) = self.children.iter().find(|c| c.1 == pid).copied() else { return };
                self.down.insert(daemon);
                if self.leaving {
                    return self.stop_next(cx);
                }
                if !self.up || !self.corosync.connected() {
                    return;
                }
                cx.note(Told::Crm(Box::new(Note::Respawned(daemon))));
                for (other, _) in self.children.iter().filter(|c| c.0 != daemon) {
                    tell(&self.place, *other, Local::Gone(daemon), cx);
                }
                let took = draw(cx, self.place.times.startup);
                let at = self.children.iter().position(|c| c.1 == pid).unwrap_or_default();
                cx.set_timer(Timer(AGAIN + at as u16), took);
            }
            Input::Timer(Timer(t)) if t >= AGAIN && !self.leaving => {
                let Some((daemon, pid)) = self.children.get(usize::from(t - AGAIN)).copied() else { return };
                // What it needs is not there yet: it tries again.
                let needs: &[Daemon] = match daemon {
                    Daemon::Fenced | Daemon::Attrd => &[Daemon::Based],
                    Daemon::Controld => &[Daemon::Based, Daemon::Execd],
                    _ => &[],
                };
                if needs.iter().any(|d| self.down.contains(d)) {
                    let wait = if daemon == Daemon::Controld { WAIT } else { Span::secs(1) };
                    return cx.set_timer(Timer(t), wait);
                }
                self.down.remove(&daemon);
                cx.act(Action::Spawn(pid));
            }
            Input::Signal(Signal::Term) if self.up => {
                self.leaving = true;
                tell(&self.place, Daemon::Controld, Local::Shutdown, cx);
            }
            Input::Signal(Signal::Term) => cx.act(Action::Exit(0)),
            Input::Packet { msg: Msg::Crm(m), .. } => match *m {
                Local::Shutdown => {
                    self.leaving = true;
                    self.stop_next(cx);
                }
                Local::Quit => {
                    self.leaving = true;
                    self.quit(cx);
                    cx.act(Action::Exit(0));
                }
                _ => {}
            },
            _ => {}
        }
    }
    /// Ends the last of the daemons that still runs; without any, it ends itself.
    fn stop_next(&self, cx: &mut Cx<'_>) {
        match self.children.iter().rev().find(|c| !self.down.contains(&c.0)) {
            Some((d, _)) => tell(&self.place, *d, Local::Quit, cx),
            None => cx.act(Action::Exit(0)),
        }
    }
    fn quit(&self, cx: &mut Cx<'_>) {
        for (d, _) in &self.children {
            tell(&self.place, *d, Local::Quit, cx);
        }
    }
}
