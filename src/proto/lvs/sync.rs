//! The sync daemon of IPVS: a thread of the kernel that tells the other director about connections.
//!
//! Source: `ip_vs_sync.c`. A connection is told when it has had `sync_threshold` packets, again every `sync_period`, and when it ends.
//! The thread looks once a second for messages that are full, or whose oldest entry has waited for 2 s. keepalived makes the VRRP master
//! the sender and the others receivers; here that is whoever has the virtual address.
//!
//! **Not modelled:** version 0 of the protocol, several threads, `sync_refresh_period`, `sync_persist_mode`, and that 8 full messages
//! wake the thread early.

use super::msg::{BATCH, GROUP, PORT, Sync};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, Input, NetId, Timer};
use crate::proto::{Cx, Msg};

/// How often the thread looks.
const CHECK: Span = Span::secs(1);
/// How long an entry may wait.
const FLUSH: Span = Span::secs(2);

/// The daemon.
#[derive(Clone, Debug)]
pub struct SyncDaemon {
    net: NetId,
    /// The addresses of the services: who has one sends.
    vips: Vec<Ip>,
    sent: u64,
}
impl SyncDaemon {
    /// A daemon on this network.
    pub fn new(net: NetId, vips: Vec<Ip>) -> Self {
        SyncDaemon { net, vips, sent: 0 }
    }
    /// Messages sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }
    fn sends(&self, cx: &Cx<'_>) -> bool {
        cx.addresses().iter().any(|(_, a)| self.vips.contains(&a.ip))
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        match input {
            Input::Start => {
                cx.act(Action::Bind(PORT));
                cx.set_timer(Timer(0), CHECK);
            }
            Input::Timer(_) => {
                cx.set_timer(Timer(0), CHECK);
                self.look(cx);
            }
            Input::Packet { msg: Msg::Ipvs(records), .. } if !self.sends(cx) => {
                let now = cx.now;
                cx.files.ipvs.learn(&records, now);
            }
            _ => {}
        }
    }
    fn look(&mut self, cx: &mut Cx<'_>) {
        if !self.sends(cx) {
            cx.files.ipvs.outgoing.clear();
            cx.files.ipvs.oldest = None;
            return;
        }
        let now: Time = cx.now;
        let table = &mut cx.files.ipvs;
        let due = table.oldest.is_some_and(|t| now.since(t) >= FLUSH);
        let n = if due { table.outgoing.len() } else { table.outgoing.len() / BATCH * BATCH };
        if n == 0 {
            return;
        }
        let all: Vec<_> = table.outgoing.drain(..n).collect();
        // What is left came in after the last full message.
        table.oldest = (!table.outgoing.is_empty()).then_some(now);
        for batch in all.chunks(BATCH) {
            self.sent += 1;
            let msg = Msg::Ipvs(Sync::from(batch));
            let (from, to) = (Endpoint::new(Ip::NONE, PORT), Endpoint::new(GROUP, PORT));
            cx.act(Action::Send { from, to, net: Some(self.net), plane: Plane::replication, msg });
        }
    }
}
