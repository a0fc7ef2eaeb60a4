//! A fence agent: one call of a program such as `fence_ipmilan`, kept by the daemon that runs it.
//!
//! ```text
//! cx.act(Action::Bind(agent::PORT));                         // once, in Input::Start
//! let call = Call::start(id, Command::Off, "db1".into(), device, TIMER, cx);
//! if let Some(result) = call.on(&input, cx) { ... }          // for each input; Ok(outcome), or Err(how it failed)
//! ```
//!
//! The owner gives each call a number that it uses once, and a timer of its own; `stonith-timeout` is the owner's business: to give a call
//! up it forgets it ([`Call::cancel`]). An agent that is killed leaves the device with its job.

use super::msg::{Command, Fence, Outcome, PORT as DEVICE};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, Input, Timer};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// The port that agents of a host speak from.
pub const PORT: u16 = 50_623;
/// A request is repeated after so long (ipmitool: 1 s on `lanplus`).
const REPEAT: Span = Span::secs(1);
/// `login_timeout`: the device has to take the job within this.
pub const LOGIN_TIMEOUT: Span = Span::secs(5);
/// `power_timeout`: and to have done it within this.
pub const POWER_TIMEOUT: Span = Span::secs(20);

/// How a call failed without an answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Failure {
    /// The device did not take the job within `login_timeout`: it is off, or cut off.
    NoLogin,
    /// It took the job, and did not answer within `power_timeout`.
    NoAnswer,
}

/// A call under way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    id: u32,
    command: Command,
    port: Arc<str>,
    to: Endpoint,
    timer: Timer,
    started: Time,
    accepted: Option<Time>,
}

impl Call {
    /// Starts: asks the device at this address.
    pub fn start(
        id: u32,
        command: Command,
        port: Arc<str>,
        device: Ip,
        timer: Timer,
        cx: &mut Cx<'_>,
    ) -> Call {
        let to = Endpoint::new(device, DEVICE);
        let call = Call { id, command, port, to, timer, started: cx.now, accepted: None };
        call.ask(cx);
        call
    }
    /// What it is to do.
    pub fn command(&self) -> Command {
        self.command
    }
    /// To which port.
    pub fn port(&self) -> &Arc<str> {
        &self.port
    }
    /// Since when it runs.
    pub fn started(&self) -> Time {
        self.started
    }
    /// The owner gives it up.
    pub fn cancel(&self, cx: &mut Cx<'_>) {
        cx.cancel_timer(self.timer);
    }
    fn ask(&self, cx: &mut Cx<'_>) {
        let msg = Fence::Request { id: self.id, command: self.command, port: self.port.clone() };
        let from = Endpoint::new(Ip::NONE, PORT);
        let msg = Msg::Fence(Box::new(msg));
        cx.act(Action::Send { from, to: self.to, net: None, plane: Plane::fencing, msg });
        cx.set_timer(self.timer, REPEAT);
    }
    /// Takes an input if it is this call's; the result when it has ended.
    pub fn on(&mut self, input: &Input<Msg>, cx: &mut Cx<'_>) -> Option<Result<Outcome, Failure>> {
        match input {
            Input::Packet { msg: Msg::Fence(m), .. } => match &**m {
                Fence::Accepted { id } if *id == self.id => {
                    self.accepted.get_or_insert(cx.now);
                    None
                }
                Fence::Answer { id, outcome } if *id == self.id => {
                    cx.cancel_timer(self.timer);
                    Some(Ok(*outcome))
                }
                _ => None,
            },
            Input::Timer(t) if *t == self.timer => match self.accepted {
                None if cx.now.since(self.started) >= LOGIN_TIMEOUT => Some(Err(Failure::NoLogin)),
                Some(at) if cx.now.since(at) >= POWER_TIMEOUT => Some(Err(Failure::NoAnswer)),
                _ => {
                    // Before the login a lost packet is asked again; later the status is asked for: the same job.
                    self.ask(cx);
                    None
                }
            },
            _ => None,
        }
    }
}
