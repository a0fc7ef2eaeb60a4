//! What an agent asks a device, and what it hears.

use std::sync::Arc;

/// The port of fence devices: RMCP's (IPMI over a network).
pub const PORT: u16 = 623;

/// What a device is asked to do (the `action` of a fence agent).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Command {
    /// `off`: the port loses power (or, on a switch, its link).
    Off,
    /// `on`.
    On,
    /// `reboot`: off, and on again. It has succeeded when the off is sure; a failing on does not make it fail.
    Reboot,
    /// `status`: is the port on?
    Status,
    /// `monitor`: is the device there at all?
    Monitor,
}
impl Command {
    /// The agent's own word.
    pub const fn word(self) -> &'static str {
        match self {
            Command::Off => "off",
            Command::On => "on",
            Command::Reboot => "reboot",
            Command::Status => "status",
            Command::Monitor => "monitor",
        }
    }
}

/// How a job ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It is done.
    Done,
    /// To `status`: the port is on.
    IsOn,
    /// To `status`: the port is off.
    IsOff,
    /// The device could not do it.
    Failed,
    /// The device has no port of this name.
    NoSuchPort,
}
impl Outcome {
    /// Whether the agent ends with exit status 0.
    pub const fn is_success(self) -> bool {
        matches!(self, Outcome::Done | Outcome::IsOn | Outcome::IsOff)
    }
}

/// A message. `id` is the asker's number for the job: the same request again is the same job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fence {
    /// To the device: do this to this port.
    Request {
        /// The asker's number.
        id: u32,
        /// What to do.
        command: Command,
        /// To which port.
        port: Arc<str>,
    },
    /// From the device: the session stands, the job is being done.
    Accepted {
        /// The asker's number.
        id: u32,
    },
    /// From the device: the job has ended.
    Answer {
        /// The asker's number.
        id: u32,
        /// How.
        outcome: Outcome,
    },
}
