//! The knobs of a fence device.

use crate::engine::time::{Chance, Span, SpanRange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A fence device: the host that it runs on is the device itself (a BMC on the management network, a power distribution unit, a switch).
/// As a BMC it has the power button of one host, as a PDU an outlet of each host, as a switch the network ports of each host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FenceDevice {
    /// What it is. Default `Bmc`.
    pub kind: DeviceKind,
    /// The hosts whose power (or links) it has in hand, each by a port of the same name.
    pub hosts: Vec<String>,
    /// Ports of other names, and the hosts behind them.
    pub ports: BTreeMap<String, String>,
    /// From the command to the moment at which the power is gone (or the link). Default 1 s to 4 s.
    pub off_time: SpanRange,
    /// From the command to the moment at which the power is back. Default 1 s.
    pub on_time: SpanRange,
    /// From the effect to the device's word that it is done: the agent asks for the status once a second. Default 0 s to 1 s.
    pub confirm_time: SpanRange,
    /// What the answer to `status` and `monitor` takes. Default 100 ms to 500 ms.
    pub status_time: SpanRange,
    /// A job fails with this probability, at its end and without effect. Default 0%.
    pub fails: Chance,
    /// How it works. Default `Works`.
    pub mode: DeviceMode,
    /// The host from whose power supply the device lives: when that loses power, the device is gone too, at the one moment at which it
    /// is needed. Default: a supply of its own.
    pub shares_power: Option<String>,
    /// A switch only: the networks whose ports it shuts. Default: all of the host's except those that the device itself is on.
    pub networks: Vec<String>,
}
impl Default for FenceDevice {
    fn default() -> Self {
        FenceDevice {
            kind: DeviceKind::Bmc,
            hosts: Vec::new(),
            ports: BTreeMap::new(),
            off_time: SpanRange::new(Span::secs(1), Span::secs(4)),
            on_time: SpanRange::exactly(Span::secs(1)),
            confirm_time: SpanRange::new(Span::ZERO, Span::secs(1)),
            status_time: SpanRange::new(Span::ms(100), Span::ms(500)),
            fails: Chance::NEVER,
            mode: DeviceMode::Works,
            shares_power: None,
            networks: Vec::new(),
        }
    }
}
impl FenceDevice {
    /// Its ports and the hosts behind them.
    pub fn all_ports(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.hosts.iter().map(|h| (h.as_str(), h.as_str()));
        own.chain(self.ports.iter().map(|(p, h)| (p.as_str(), h.as_str())))
    }
}

/// What a fence device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeviceKind {
    /// A baseboard management controller (IPMI, iDRAC, iLO): it presses its host's power button.
    Bmc,
    /// A power distribution unit: it switches outlets. A host that is plugged into several is off when all its outlets are.
    Pdu,
    /// A switch: it takes the link from a host's network ports (fabric fencing); the host runs on.
    Switch,
}

/// How a fence device works, or fails to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeviceMode {
    /// It does what it is told.
    #[default]
    Works,
    /// It answers that it could not do it, after the time of the job.
    Fails,
    /// It takes the job and never answers: the agent runs into its timeout.
    Hangs,
    /// It says that it is done, and has done nothing.
    Lies,
}
