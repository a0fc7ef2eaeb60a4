//! What a heartbeat node tells.

use crate::engine::{Span, Time};
use crate::net::addr::Ip;
use crate::proto::lvs::note::Who;
use crate::say;

/// Why a node became the worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Won {
    /// It was the first: its wait in the race.
    First(Span),
    /// Its place in the order, and what that cost.
    Place(u32, Span),
    /// Its random wait.
    Luck(Span),
    /// The worker gave the resource back to the better node.
    Back,
}

/// A fact.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The fields are explained by the words of each fact.
pub enum Note {
    /// The node starts and listens.
    Watches { initdead: Span },
    /// The worker is known.
    Follows { worker: Who },
    /// Nothing was heard from the worker.
    Silent { worker: Option<Who>, last: Time, deadtime: Span },
    /// The worker gave the resource up.
    Released { worker: Who },
    /// The node announces that it takes the resource.
    Claims { wait: Span },
    /// Another one was first.
    Lost { to: Who },
    /// It is the worker now.
    Worker { vip: Ip, won: Won },
    /// The address was configured.
    VipUp { vip: Ip },
    /// The address was taken away.
    VipDown { vip: Ip },
    /// Another worker was heard, and this one yields.
    Yields { to: Who, failback: bool },
    /// Another worker was heard, and this one stays.
    Stays { other: Who, both: bool },
    /// SIGTERM.
    Stopping { worked: bool },
}
impl Note {
    /// The stable kind of mark that the fact is, if it is one.
    pub fn mark(&self) -> Option<&'static str> {
        Some(match self {
            Note::Watches { .. } | Note::Follows { .. } => "watches",
            Note::Silent { .. } => "detected",
            Note::Released { .. } => "released",
            Note::Claims { .. } => "claims",
            Note::Lost { .. } => "race_lost",
            Note::Worker { .. } => "worker",
            Note::VipUp { .. } => "vip_up",
            Note::VipDown { .. } => "vip_down",
            Note::Yields { .. } => "yields",
            Note::Stays { .. } => "two_workers",
            Note::Stopping { .. } => "stopping",
        })
    }
    /// What happened and why, in words.
    pub fn text(&self) -> (String, String) {
        match self {
            Note::Watches { initdead } => (say!("hb-watches"), say!("hb-watches-why", time = initdead)),
            Note::Follows { worker } => (say!("hb-follows", worker = worker), say!("hb-follows-why")),
            Note::Silent { worker, last, deadtime } => match worker {
                Some(w) => {
                    (say!("hb-silent", worker = w), say!("hb-silent-why", last = last, deadtime = deadtime))
                }
                None => (say!("hb-nobody"), say!("hb-nobody-why", deadtime = deadtime)),
            },
            Note::Released { worker } => (say!("hb-released", worker = worker), say!("hb-released-why")),
            Note::Claims { wait } => (say!("hb-claims"), say!("hb-claims-why", wait = wait)),
            Note::Lost { to } => (say!("hb-lost", to = to), say!("hb-lost-why")),
            Note::Worker { vip, won } => {
                let why = match won {
                    Won::First(_) => say!("hb-won-first"),
                    Won::Place(n, wait) => say!("hb-won-place", n = n, wait = wait),
                    Won::Luck(wait) => say!("hb-won-luck", wait = Time(wait.0)),
                    Won::Back => say!("hb-won-back"),
                };
                (say!("hb-worker", vip = vip), why)
            }
            Note::VipUp { vip } => (say!("hb-vip-up", vip = vip), say!("hb-vip-up-why")),
            Note::VipDown { vip } => (say!("hb-vip-down", vip = vip), say!("hb-vip-down-why")),
            Note::Yields { to, failback } => {
                let why = if *failback { "hb-yields-failback" } else { "hb-yields-why" };
                (say!("hb-yields", to = to), say!(why))
            }
            Note::Stays { other, both } => {
                let why = if *both { "hb-stays-both" } else { "hb-stays-why" };
                (say!("hb-stays", other = other), say!(why))
            }
            Note::Stopping { worked } => {
                (say!("hb-stops"), if *worked { say!("hb-stops-why") } else { "SIGTERM".to_owned() })
            }
        }
    }
}
