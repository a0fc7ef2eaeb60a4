//! Reads the status: which nodes are online, clean, willing; and, node by node, the histories of resources.

use super::cib::NodeState;
use super::model::{NodeIx, QuorumPolicy, Role, RscIx, Sched};
use super::sets::is_true;

impl Sched {
    pub(super) fn read_status(&mut self) {
        let cib = self.cib.clone();
        self.read_tickets();
        for state in &cib.nodes {
            match self.node_of(state) {
                Some(n) => self.read_node_state(n, state),
                None => self.warnings.push(super::model::Warning {
                    line: 0,
                    element: "node_state".into(),
                    text: format!(
                        "`{}` is no longer in the configuration, so its state is ignored",
                        state.name
                    ),
                }),
            }
        }
        while self.read_histories(false) {}
        self.read_histories(self.options.fencing);
        self.stop_containers();
        self.conclude_remote_nodes();
    }

    /// Reads the histories of nodes of which enough is known; tells whether there were any. What a connection or a guest does is in the history
    /// of another node, so it may take several passes. `all`: whatever is known of them.
    fn read_histories(&mut self, all: bool) -> bool {
        let cib = self.cib.clone();
        let mut any = false;
        for (s, state) in cib.nodes.iter().enumerate() {
            let Some(n) = self.node_of(state) else { continue };
            let lock = self.options.shutdown_lock;
            let readable = match self.nodes[n].connection {
                _ if !self.nodes[n].remote => self.options.fencing || lock || self.nodes[n].online,
                None => false,
                Some(c) => {
                    let started = |r: RscIx| self.rscs[r].role == Role::Started;
                    match self.rscs[c].container {
                        Some(guest) => started(c) && started(guest),
                        None => lock || started(c),
                    }
                }
            };
            if self.nodes[n].unpacked || !(readable || all) {
                continue;
            }
            if self.nodes[n].remote {
                self.remote_status(n);
                self.read_remote_state(n, state);
            }
            self.nodes[n].unpacked = true;
            for h in 0..state.histories.len() {
                self.read_history(n, s, h);
            }
            self.find_fillers(state);
            any = true;
        }
        any
    }

    fn node_of(&self, state: &NodeState) -> Option<NodeIx> {
        self.nodes
            .iter()
            .position(|n| !n.absent && n.id.eq_ignore_ascii_case(&state.id))
            .or_else(|| self.find_node(&state.name))
    }

    fn read_node_state(&mut self, n: NodeIx, state: &NodeState) {
        if self.nodes[n].remote {
            let at = state.fenced.as_deref().and_then(super::score::number);
            self.nodes[n].was_fenced = at.is_some_and(|t| t > 0);
            return;
        }
        if let Some(transient) = &state.attributes {
            let mut node = self.nodes[n].clone();
            self.read_node_attributes(&mut node, transient, true);
            self.nodes[n] = node;
        }
        let says = |d: &super::model::Node, k: &str| is_true(d.attributes.get(k).map(String::as_str));
        let d = &mut self.nodes[n];
        d.standby |= says(d, "standby");
        d.maintenance |= says(d, "maintenance");
        d.unclean = false;
        d.unseen = false;
        d.shutdown = d.attributes.get("shutdown").is_some_and(|v| v != "0");
        let word = |v: &Option<String>| v.as_deref().unwrap_or_default().to_ascii_lowercase();
        d.expected_up = !d.shutdown && word(&state.expected) == "member";
        let online = if self.nodes[n].ping {
            false
        } else if self.options.fencing {
            self.state_fencing(n, state)
        } else {
            self.state_no_fencing(n, state)
        };
        if online {
            self.nodes[n].online = true;
        }
        if !online || self.nodes[n].shutdown {
            self.nodes[n].base = -super::score::INF;
        }
        let lost = !self.options.quorum && self.options.no_quorum == QuorumPolicy::Suicide;
        if lost && self.nodes[n].online {
            self.fence_node(n, "cluster does not have quorum");
        }
    }

    /// Without fencing, who is not there is harmless.
    fn state_no_fencing(&mut self, n: NodeIx, state: &NodeState) -> bool {
        let word = |v: &Option<String>| v.as_deref().unwrap_or_default().to_ascii_lowercase();
        if !is_true(state.in_ccm.as_deref()) {
            return false;
        }
        if word(&state.crmd) == "online" {
            return word(&state.join) == "member";
        }
        if self.nodes[n].expected_up {
            self.fence_node(n, "peer is unexpectedly down");
        }
        false
    }

    /// With fencing, who should be there and is not must be fenced.
    fn state_fencing(&mut self, n: NodeIx, state: &NodeState) -> bool {
        let word = |v: &Option<String>| v.as_deref().unwrap_or_default().to_ascii_lowercase();
        let terminate = self.nodes[n].attributes.get("terminate").is_some_and(|t| {
            is_true(Some(t)) || t.chars().next().is_some_and(|c| c.is_ascii_digit() && c != '0')
        });
        let member = is_true(state.in_ccm.as_deref());
        let process = word(&state.crmd) == "online";
        let (join, expected) =
            (word(&state.join), state.expected.as_deref().map_or("down".to_owned(), str::to_ascii_lowercase));
        if self.nodes[n].shutdown {
            return process;
        }
        if state.in_ccm.is_none() {
            self.fence_node(n, "peer has not been seen by the cluster");
        } else if join == "banned" {
            self.fence_node(n, "peer failed Pacemaker membership criteria");
        } else if !terminate && expected == "down" {
            if member || process {
                self.nodes[n].standby = true;
                self.nodes[n].pending = true;
            }
        } else if terminate && join == "down" && !member && !process {
            return false;
        } else if !member {
            let known = self.nodes[n].unclean;
            self.fence_node(n, "peer is no longer part of the cluster");
            if !known {
                let fence = self.fence_action(n, true, None);
                self.acts[fence].delayed = true;
            }
        } else if !process {
            self.fence_node(n, "peer process is no longer available");
        } else if terminate {
            self.fence_node(n, "termination was requested");
        } else if join == "pending" || join == "down" {
            self.nodes[n].standby = true;
            self.nodes[n].pending = true;
        } else if join != "member" {
            self.fence_node(n, "peer was in an unknown state");
        }
        member
    }

    /// A node must be fenced, unless that is known already.
    pub(super) fn fence_node(&mut self, n: NodeIx, reason: &str) {
        if self.nodes[n].remote {
            self.fence_remote_node(n, reason);
        } else if !self.nodes[n].unclean {
            self.nodes[n].unclean = true;
            self.fence_action(n, true, Some(reason));
        }
    }
}
