//! Pacemaker Remote: hosts that run resources and are no members. A *remote node* is reached through a connection
//! (`ocf:pacemaker:remote`), a *guest node* is a virtual machine or container that is itself a resource (`remote-node`); its connection is
//! implied. They are online while their connection is; a guest is fenced by recovering its resource.
//!
//! Sources: "Pacemaker Remote" (the manual), "Pacemaker Explained" 2.1, resource meta-attributes `remote-node`, `remote-addr`,
//! `remote-port`, `remote-connect-timeout` (60s), `remote-allow-migrate`, `container`, and the parameter `reconnect_interval`.
//!
//! **Not modelled:** what the connection itself does (its agent is the controller).

use super::actions::by_action;
use super::cib::{HistoryOp, NodeState};
use super::model::{ActIx, Colocation, Discovery, Node, NodeIx, Role, RscIx, Sched, Side, act, ord};
use super::score::INF;
use super::sets::is_true;
use super::story::Cause;
use super::time::interval;
use super::xml::{Element, XmlError};

/// Whether a resource is the connection to a node.
pub(super) fn is_connection(e: &Element) -> bool {
    let is = |k: &str, v: &str| e.get(k).is_some_and(|x| x.eq_ignore_ascii_case(v));
    is("type", "remote") && is("class", "ocf") && is("provider", "pacemaker")
}

/// What is said of an implied connection.
#[derive(Clone, Copy, Default)]
pub(super) struct Implied<'a> {
    /// The node, which is also the resource's name.
    pub name: &'a str,
    /// What it runs in.
    pub container: &'a str,
    /// `allow-migrate`.
    pub migrates: Option<&'a str>,
    /// `is-managed`.
    pub managed: Option<&'a str>,
    /// The timeout of its start.
    pub start_timeout: Option<&'a str>,
    /// The address.
    pub server: Option<&'a str>,
    /// The port.
    pub port: Option<&'a str>,
}

fn pairs(kind: &str, id: String, list: &[(&str, Option<&str>)]) -> Element {
    let pair = |(k, v): &(&str, Option<&str>)| {
        v.map(|v| Element::new("nvpair", &[("id", &format!("{id}-{k}")), ("name", k), ("value", v)]))
    };
    Element::new(kind, &[("id", &id)]).with(list.iter().filter_map(pair).collect::<Vec<_>>())
}

/// An operation.
pub(super) fn operation(prefix: &str, name: &str, every: &str, timeout: Option<&str>) -> Element {
    let mut op = Element::new(
        "op",
        &[("id", &format!("{prefix}-{name}-{every}")), ("interval", every), ("name", name)],
    );
    if let Some(t) = timeout {
        op.set("timeout", t);
    }
    op
}

/// The configuration of an implied connection.
pub(super) fn connection(c: Implied<'_>, line: u32) -> Element {
    let mut e = Element::new(
        "primitive",
        &[("id", c.name), ("class", "ocf"), ("provider", "pacemaker"), ("type", "remote")],
    );
    e.line = line;
    let meta = [("container", Some(c.container)), ("allow-migrate", c.migrates), ("is-managed", c.managed)];
    e.children.push(pairs("meta_attributes", format!("{}-meta_attributes", c.name), &meta));
    if c.server.is_some() || c.port.is_some() {
        let parameters = [("addr", c.server), ("port", c.port)];
        e.children.push(pairs("instance_attributes", format!("{}-instance_attributes", c.name), &parameters));
    }
    let mut ops = Element::new("operations", &[]).with([operation(c.name, "monitor", "30s", Some("30s"))]);
    if c.start_timeout.is_some() {
        ops.children.push(operation(c.name, "start", "0", c.start_timeout));
    }
    e.children.push(ops);
    e
}

/// The guest node of a resource, and its connection.
fn guest(e: &Element) -> Option<Element> {
    let mut implied = Implied { container: e.id(), start_timeout: Some("60s"), ..Implied::default() };
    let mut name = None;
    for pair in e.all("meta_attributes").flat_map(|m| &m.children) {
        let value = pair.get("value");
        match pair.get("name").map(str::to_ascii_lowercase).as_deref() {
            Some("remote-node") => name = value,
            Some("remote-addr") => implied.server = value,
            Some("remote-port") => implied.port = value,
            Some("remote-connect-timeout") => implied.start_timeout = value,
            Some("remote-allow-migrate") => implied.migrates = value,
            Some("is-managed") => implied.managed = value,
            _ => {}
        }
    }
    implied.name = name?;
    Some(connection(implied, e.line))
}

/// What is known of the connection to a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Unknown,
    Alive,
    Resting,
    Failed,
    Stopped,
}

impl Sched {
    /// Nodes whose resources have been read.
    pub(super) fn present_nodes(&self) -> i32 {
        i32::try_from(self.nodes.iter().filter(|d| !d.absent).count()).unwrap_or(i32::MAX)
    }

    /// The resource that is the guest behind a node.
    pub(super) fn guest_of(&self, n: NodeIx) -> Option<RscIx> {
        let d = &self.nodes[n];
        if !d.remote {
            return None;
        }
        d.connection.and_then(|c| self.rscs[c].container)
    }

    /// Whether a node is a remote node that is no guest.
    fn is_plain_remote(&self, n: NodeIx) -> bool {
        self.nodes[n].remote && self.guest_of(n).is_none()
    }

    /// Whether a resource is the connection to a remote node that is no guest.
    pub(super) fn is_remote_connection(&self, r: RscIx) -> bool {
        self.rscs[r].connection && self.find_node(&self.rscs[r].id).is_some_and(|n| self.is_plain_remote(n))
    }

    /// The connection to the guest that a resource is.
    pub(super) fn guest_in(&self, r: RscIx) -> Option<RscIx> {
        self.rscs[r].fillers.iter().copied().find(|f| self.rscs[*f].connection)
    }

    fn new_remote_node(&mut self, name: &str, absent: bool, line: u32) -> Result<(), XmlError> {
        if self.nodes.iter().any(|d| d.name.eq_ignore_ascii_case(name)) {
            return Ok(());
        }
        let (id, name) = (name.to_owned(), name.to_owned());
        let attributes = [("#kind".to_owned(), "remote".to_owned())].into();
        self.add_node(Node { id, name, remote: true, absent, attributes, ..Node::default() }, line)
    }

    /// Makes the nodes that resources stand for. Gives the connections that are implied.
    pub(super) fn read_remote_nodes(&mut self, list: &Element) -> Result<Vec<Element>, XmlError> {
        let mut implied = Vec::new();
        for e in &list.children {
            match e.name.as_str() {
                _ if is_connection(e) => self.new_remote_node(e.id(), false, e.line)?,
                "primitive" => implied.extend(guest(e)),
                "group" => implied.extend(e.children.iter().filter_map(guest)),
                _ => {}
            }
        }
        for c in &implied {
            self.new_remote_node(c.id(), false, c.line)?;
        }
        for e in list.all("bundle") {
            for name in super::bundle::node_names(e) {
                self.new_remote_node(&name, true, e.line)?;
            }
        }
        let cib = self.cib.clone();
        for h in cib.nodes.iter().flat_map(|s| &s.histories) {
            let is = |a: &Option<String>, v: &str| a.as_deref().is_some_and(|x| x.eq_ignore_ascii_case(v));
            if is(&h.class, "ocf") && is(&h.provider, "pacemaker") && is(&h.agent, "remote") {
                self.new_remote_node(&h.id, true, list.line)?;
            }
        }
        Ok(implied)
    }

    /// `reconnect_interval`, which is also how long a failure of the connection counts.
    pub(super) fn read_reconnect(&mut self, r: RscIx) {
        let mut all = std::collections::BTreeMap::new();
        self.parameters(r, None, &mut all);
        if let Some(every) = all.get("reconnect_interval") {
            self.rscs[r].reconnect = interval(every);
            self.rscs[r].failure_timeout = i64::try_from(interval(every) / 1_000).unwrap_or(i64::MAX);
        }
    }

    /// Finds what a resource runs in.
    pub(super) fn find_container(&mut self, r: RscIx) {
        for c in self.rscs[r].children.clone() {
            self.find_container(c);
        }
        if !self.rscs[r].children.is_empty() {
            return;
        }
        let Some(name) = self.rscs[r].meta.get("container").cloned() else { return };
        if name.eq_ignore_ascii_case(&self.rscs[r].id) {
            return;
        }
        match self.find_rsc(&name) {
            Some(container) => {
                self.rscs[r].container = Some(container);
                self.rscs[container].fillers.push(r);
            }
            None => {
                let xml = self.rscs[r].xml.clone();
                self.warn(
                    &xml,
                    format!("there is no resource `{name}` to run in, so `container` is ignored"),
                );
            }
        }
    }

    /// Ties a connection to its node.
    pub(super) fn link_connection(&mut self, r: RscIx) {
        if !self.rscs[r].connection {
            return;
        }
        let Some(n) = self.find_node(&self.rscs[r].id) else { return };
        self.nodes[n].connection = Some(r);
        if self.rscs[r].container.is_some() {
            self.nodes[n].attributes.insert("#kind".into(), "container".into());
        } else {
            self.nodes[n].unclean = self.options.startup_fencing;
            self.nodes[n].unseen = true;
        }
    }

    /// A connection that only the history knows: its node is going away.
    pub(super) fn link_orphan(&mut self, r: RscIx) {
        let id = self.rscs[r].id.clone();
        let Some(n) = self.nodes.iter().position(|d| d.name.eq_ignore_ascii_case(&id)) else { return };
        self.nodes[n].absent = false;
        self.link_connection(r);
        self.nodes[n].shutdown = true;
    }

    /// Histories that name a container belong to it, also where the resource is not in the configuration.
    pub(super) fn find_fillers(&mut self, state: &NodeState) {
        for h in &state.histories {
            let Some(container) = h.container.as_deref().and_then(|c| self.find_rsc(c)) else { continue };
            let Some(r) = self.find_rsc(&h.id) else { continue };
            if self.rscs[r].orphan_filler && self.rscs[r].container.is_none() {
                self.rscs[r].container = Some(container);
                self.rscs[container].fillers.push(r);
            }
        }
    }

    /// Whether a remote node is online, from its connection and its guest.
    pub(super) fn remote_status(&mut self, n: NodeIx) {
        let Some(c) = self.nodes[n].connection else {
            self.nodes[n].online = false;
            return;
        };
        let rsc = &self.rscs[c];
        let guest = rsc.container.map(|g| &self.rscs[g]);
        let host = match rsc.running_on[..] {
            [h] if guest.is_some() => Some(h),
            _ => None,
        };
        let started = rsc.role == Role::Started;
        let stopping = started && rsc.next_role == Role::Stopped;
        let stopped = rsc.role == Role::Stopped || guest.is_some_and(|g| g.role == Role::Stopped);
        let (guest_failed, failed) = (guest.is_some_and(|g| g.failed), rsc.failed);
        let host_lost = host.is_some_and(|h| !self.nodes[h].online && self.nodes[h].unclean);
        let d = &mut self.nodes[n];
        d.online |= started;
        d.shutdown |= stopping;
        if guest_failed || failed || stopped || host_lost {
            d.online = false;
        }
        if guest_failed || (!failed && !stopped && host_lost) {
            d.reset = true;
        } else if !failed && stopped {
            d.reset = false;
        }
    }

    /// Reads what a remote node's state says beside its history.
    pub(super) fn read_remote_state(&mut self, n: NodeIx, state: &NodeState) {
        if !self.nodes[n].reset {
            self.nodes[n].unclean = false;
            self.nodes[n].unseen = false;
        }
        let mut node = self.nodes[n].clone();
        let kind = node.attributes.get("#kind").cloned();
        let nothing = Element::default();
        self.read_node_attributes(&mut node, state.attributes.as_deref().unwrap_or(&nothing), true);
        node.attributes.extend(kind.map(|k| ("#kind".to_owned(), k)));
        self.nodes[n] = node;
        let d = &self.nodes[n];
        let says = |k: &str| is_true(d.attributes.get(k).map(String::as_str));
        let unmanaged = d.connection.is_some_and(|c| !self.rscs[c].managed);
        let shutdown = d.attributes.get("shutdown").is_some_and(|v| v != "0");
        let (standby, maintenance) = (says("standby"), says("maintenance") || unmanaged);
        let hidden =
            d.attributes.contains_key("resource-discovery-enabled") && !says("resource-discovery-enabled");
        let undiscovered = hidden && (self.options.fencing || self.guest_of(n).is_some());
        let d = &mut self.nodes[n];
        d.shutdown |= shutdown;
        d.standby |= standby;
        d.maintenance |= maintenance;
        d.undiscovered |= undiscovered;
    }

    /// Containers of bundles in which something failed are stopped.
    pub(super) fn stop_containers(&mut self) {
        for container in std::mem::take(&mut self.to_stop).into_iter().rev() {
            if let Some(n) = self.current(container) {
                self.stop_action(container, n, false);
            }
        }
    }

    /// When all histories have been read: nodes that shut down lose their connection, and nodes without a history are looked at.
    pub(super) fn conclude_remote_nodes(&mut self) {
        for n in 0..self.nodes.len() {
            let d = &self.nodes[n];
            if !d.remote || d.absent {
                continue;
            }
            if let (true, Some(c)) = (d.shutdown, d.connection) {
                self.rscs[c].next_role = Role::Stopped;
            }
            if !self.nodes[n].unpacked {
                self.remote_status(n);
            }
        }
    }

    /// Fencing of a node that is no member: of a guest, by recovering it.
    pub(super) fn fence_remote_node(&mut self, n: NodeIx, reason: &str) {
        if let Some(guest) = self.guest_of(n) {
            if !self.rscs[guest].failed && self.rscs[guest].managed {
                self.nodes[n].reset = true;
                self.rscs[guest].failed = true;
                self.rscs[guest].needs_stop = true;
            }
            return;
        }
        let connection = self.nodes[n].connection;
        if let Some(c) = connection.filter(|c| self.rscs[*c].orphan_filler) {
            self.rscs[c].failed = true;
            self.rscs[c].needs_stop = true;
            return;
        }
        if connection.is_none_or(|c| self.rscs[c].managed) {
            self.nodes[n].reset = true;
        }
        self.nodes[n].unclean = true;
        self.fence_action(n, true, Some(reason));
    }

    /// What is active on a node that is offline makes the node a danger.
    pub(super) fn fence_where_active(&mut self, r: RscIx, n: NodeIx) {
        let d = &self.nodes[n];
        if self.rscs[r].role <= Role::Stopped || d.online || d.maintenance || !self.rscs[r].managed {
            return;
        }
        let id = self.rscs[r].id.clone();
        if self.guest_of(n).is_some() {
            self.rscs[r].failed = true;
            self.rscs[r].needs_stop = true;
        } else if !self.options.fencing {
            return;
        } else if self.is_plain_remote(n) && self.nodes[n].connection.is_some_and(|c| !self.rscs[c].failed) {
            self.nodes[n].unseen = true;
            let reason = format!(
                "{id} is active there (fencing will be revoked if remote connection can be re-established elsewhere)"
            );
            return self.fence_node(n, &reason);
        }
        self.fence_node(n, &format!("{id} is thought to be active there"));
    }

    /// `on-fail=restart-container`.
    pub(super) fn restart_container(&mut self, r: RscIx, n: NodeIx) {
        self.rscs[r].failed = true;
        self.rscs[r].needs_stop = true;
        match self.rscs[r].container {
            Some(container) if self.bundle_of(self.outermost(r)).is_some() => self.to_stop.push(container),
            Some(container) => {
                self.stop_action(container, n, false);
            }
            None if !matches!(self.rscs[r].role, Role::Stopped | Role::Unknown) => {
                self.stop_action(r, n, false);
            }
            None => {}
        }
    }

    /// A connection that failed: the node behind it is fenced.
    pub(super) fn reset_connection(&mut self, r: RscIx, n: NodeIx) {
        self.rscs[r].failed = true;
        self.rscs[r].needs_stop = true;
        if self.options.fencing && self.rscs[r].connection {
            let node = self.find_node(&self.rscs[r].id);
            if let Some(x) = node.filter(|x| self.is_plain_remote(*x) && !self.nodes[*x].was_fenced) {
                self.fence_node(x, "remote connection is unrecoverable");
            }
        }
        if self.rscs[r].role > Role::Stopped {
            self.stop_action(r, n, false);
        }
        if self.rscs[r].reconnect > 0 {
            self.rscs[r].next_role = Role::Stopped;
        }
    }

    /// A failed connection to a node that is unclean: the fencing is not taken back by another connection.
    pub(super) fn lost_connection(&mut self, r: RscIx) {
        if !self.rscs[r].failed || !self.rscs[r].connection {
            return;
        }
        if let Some(n) = self.find_node(&self.rscs[r].id).filter(|n| self.nodes[*n].unclean) {
            self.nodes[n].unseen = false;
        }
    }

    /// With `reconnect_interval`, a failed monitor of a connection is forgotten only when the node has been fenced.
    pub(super) fn waits_for_fencing(&self, r: RscIx, op: &HistoryOp) -> bool {
        self.rscs[r].reconnect > 0
            && self.options.fencing
            && op.interval > 0
            && op.task == "monitor"
            && self.find_node(&self.rscs[r].id).is_some_and(|n| !self.nodes[n].was_fenced)
    }

    /// Orders an action after the fencing of the node behind a connection.
    pub(super) fn after_remote_fencing(&mut self, a: ActIx, r: RscIx) {
        if let Some(n) = self.find_node(&self.rscs[r].id) {
            let fence = self.fence_action(n, true, None);
            self.link(fence, a, ord::IMPLIES_THEN);
        }
    }

    /// A connection has its place: the node behind it will be there, or not.
    pub(super) fn connection_assigned(&mut self, r: RscIx) {
        let Some(n) = self.find_node(&self.rscs[r].id) else { return };
        let comes = self.rscs[r].assigned.is_some() && self.rscs[r].next_role != Role::Stopped;
        let d = &mut self.nodes[n];
        if comes {
            d.online = true;
            d.unclean &= !d.unseen;
        } else {
            d.shutdown = true;
        }
    }

    fn avoid_remote_nodes(&mut self, r: RscIx) {
        for n in self.rscs[r].allowed.nodes().collect::<Vec<_>>() {
            if self.nodes[n].connection.is_some() {
                self.ban(r, n, &Cause::NoRemote);
            }
        }
    }

    /// Puts -INFINITY for a node.
    pub(super) fn ban(&mut self, r: RscIx, n: NodeIx, cause: &Cause) {
        let before = self.rscs[r].allowed.get(n).map(|s| s.score);
        if let Some(slot) = self.rscs[r].allowed.slot(n) {
            slot.score = -INF;
            self.tell(r, n, before, -INF, cause);
        }
    }

    /// What a resource in a container needs of it, and where connections and fence devices may not be.
    pub(super) fn tie_to_container(&mut self, r: RscIx) {
        if let Some(container) = self.rscs[r].container {
            let connection = self.rscs[r].connection;
            let mut on = None;
            if connection {
                if !self.rscs[r].nested {
                    self.avoid_remote_nodes(container);
                }
                self.order_tasks(container, "monitor", r, "stop", ord::OPTIONAL);
            } else if self.rscs[container].connection {
                on = Some(container);
            } else {
                on = self.guest_in(container);
            }
            if let Some(on) = on {
                for n in self.rscs[r].allowed.nodes().collect::<Vec<_>>() {
                    if self.nodes[n].connection != Some(on) {
                        self.ban(r, n, &Cause::Container);
                    }
                }
            } else {
                self.order_tasks(container, "start", r, "start", ord::IMPLIES_THEN | ord::RUNNABLE_LEFT);
                self.order_tasks(r, "stop", container, "stop", ord::IMPLIES_FIRST);
                let score = if self.rscs[r].nested { 10_000 } else { INF };
                self.tie("resource-with-container", r, container, score);
            }
        }
        if self.rscs[r].connection || self.rscs[r].fence_device {
            self.avoid_remote_nodes(r);
        }
    }

    /// An implied colocation.
    pub(super) fn tie(&mut self, id: &str, dependent: RscIx, primary: RscIx, score: i32) {
        self.new_colocation(Colocation {
            id: id.into(),
            dependent,
            primary,
            dependent_role: Role::Unknown,
            primary_role: Role::Unknown,
            score,
            attribute: None,
            influence: true,
        });
    }

    /// Whether a guest is down or goes down, so that nothing is probed in it; what starts there waits for that.
    pub(super) fn guest_is_down(&mut self, n: NodeIx, top: RscIx) -> bool {
        let Some(guest) = self.guest_of(n) else { return false };
        let rsc = &self.rscs[guest];
        if rsc.role == Role::Stopped {
            if rsc.assigned.is_some_and(|(h, _)| !rsc.known_on[h]) {
                self.order_tasks(guest, "monitor", top, "start", ord::OPTIONAL);
            }
            return true;
        }
        let moves =
            rsc.role > Role::Stopped && rsc.assigned.is_some_and(|(h, _)| !rsc.running_on.contains(&h));
        let d = &self.nodes[n];
        if d.reset || d.unclean || rsc.failed || rsc.next_role == Role::Stopped || moves {
            self.order_tasks(guest, "stop", top, "start", ord::OPTIONAL);
            return true;
        }
        false
    }

    fn link_state(&self, n: NodeIx) -> Link {
        let Some(c) = self.nodes[n].connection else { return Link::Unknown };
        let rsc = &self.rscs[c];
        let host = self.current(c);
        let lost = |h: NodeIx| self.nodes[h].unclean;
        if rsc.next_role == Role::Stopped || rsc.assigned.is_none() {
            if host.is_some_and(lost) {
                return Link::Failed;
            }
            if !rsc.failed {
                return Link::Stopped;
            }
            let d = &self.nodes[n];
            let leaving = d.attributes.get("shutdown").is_some_and(|v| v != "0");
            let waits = rsc.next_role == Role::Stopped && rsc.reconnect > 0 && d.was_fenced && !leaving;
            return if waits { Link::Unknown } else { Link::Failed };
        }
        let Some(h) = host else { return Link::Unknown };
        let moving = rsc.running_on.len() > 1 && rsc.migrating_from.is_some() && rsc.migrating_to.is_some();
        if lost(h) || !self.nodes[h].online || moving { Link::Resting } else { Link::Alive }
    }

    /// Whether a remote node cannot be reached any more.
    pub(super) fn is_failed_remote(&self, n: NodeIx) -> bool {
        self.is_plain_remote(n) && self.nodes[n].connection.is_some() && self.link_state(n) == Link::Failed
    }

    /// The node through whose connection an action of a remote node goes.
    pub(super) fn router(&self, a: ActIx) -> Option<NodeIx> {
        let action = &self.acts[a];
        let c = action.node.and_then(|n| self.nodes[n].connection).filter(|_| action.task != "stonith")?;
        let rsc = &self.rscs[c];
        let (now, then) = (self.current(c), rsc.assigned.map(|(n, _)| n));
        let (Some(began), Some(ends)) = (now, then) else { return now.or(then) };
        let partial = rsc.container.is_none() && rsc.migrating_to.is_some();
        let task = match &action.notice {
            Some((_, of)) if action.task == "notify" => of.as_str(),
            _ => &action.task,
        };
        let before = matches!(task, "cancel" | "stop" | "demote" | "migrate_from" | "migrate_to");
        Some(if before && !partial { began } else { ends })
    }

    /// Orders what happens on remote nodes and their connections.
    pub(super) fn order_connections(&mut self) {
        if !self.nodes.iter().any(|d| d.remote) {
            return;
        }
        for a in (0..self.acts.len()).rev() {
            let Some(r) = self.acts[a].rsc else { continue };
            if self.rscs[r].connection && self.acts[a].task == "clear_failcount" {
                let start = self.by_task(r, "start");
                self.order(by_action(a), start, ord::OPTIONAL);
                continue;
            }
            let Some(n) = self.acts[a].node.filter(|n| self.nodes[*n].remote) else { continue };
            if self.acts[a].is(act::PSEUDO) {
                continue;
            }
            let Some(c) = self.nodes[n].connection else { continue };
            if self.acts[a].task == "start" {
                for x in self.rscs[r].actions.clone().into_iter().rev() {
                    if self.acts[x].task == "stop" && self.acts[x].node.is_some_and(|m| m != n) {
                        let first = self.by_task(c, "start");
                        self.order(first, by_action(x), ord::OPTIONAL);
                    }
                }
            }
            match self.rscs[c].container {
                Some(guest) => self.order_in_guest(a, n, c, guest),
                None => self.order_on_remote(a, n, c),
            }
        }
    }

    fn after_start(&mut self, c: RscIx, a: ActIx, more: u32) {
        let first = self.by_task(c, "start");
        self.order(first, by_action(a), ord::PRESERVE | ord::RUNNABLE_LEFT | more);
    }

    fn before_stop(&mut self, a: ActIx, c: RscIx, more: u32) {
        let then: Side = self.by_task(c, "stop");
        self.order(by_action(a), then, ord::PRESERVE | more);
    }

    fn order_on_remote(&mut self, a: ActIx, n: NodeIx, c: RscIx) {
        let state = self.link_state(n);
        let stopping = self.rscs[c].next_role == Role::Stopped;
        match self.acts[a].task.clone().as_str() {
            "start" | "promote" => {
                self.after_start(c, a, if state == Link::Failed { ord::IMPLIES_THEN } else { 0 })
            }
            "stop" | "migrate_to" | "migrate_from" => match state {
                Link::Alive => self.before_stop(a, c, ord::IMPLIES_FIRST),
                Link::Failed => self.fence_node(n, "resources are active but connection is unrecoverable"),
                _ if stopping => self.before_stop(a, c, ord::IMPLIES_FIRST),
                _ => self.after_start(c, a, 0),
            },
            "demote" => {
                if matches!(state, Link::Resting | Link::Unknown) {
                    self.after_start(c, a, 0);
                }
            }
            _ if self.recurs(a) => self.after_start(c, a, ord::IMPLIES_THEN),
            task => {
                if task == "monitor" && state == Link::Failed {
                    self.fence_node(n, "resources are in unknown state and connection is unrecoverable");
                }
                if state == Link::Stopped && self.current(c).is_some() {
                    self.before_stop(a, c, ord::RUNNABLE_LEFT);
                } else {
                    self.after_start(c, a, 0);
                }
            }
        }
    }

    fn recurs(&self, a: ActIx) -> bool {
        self.acts[a].interval > 0
    }

    fn order_in_guest(&mut self, a: ActIx, n: NodeIx, c: RscIx, guest: RscIx) {
        let failed = self.rscs[guest].failed;
        if failed {
            self.fence_node(n, "container failed");
        }
        match self.acts[a].task.as_str() {
            "start" | "promote" => {
                self.after_start(guest, a, ord::IMPLIES_THEN);
                self.after_start(c, a, 0);
            }
            "stop" | "demote" | "migrate_to" | "migrate_from" => {
                if !failed {
                    self.before_stop(a, c, 0);
                }
            }
            _ if self.recurs(a) => {
                if self.acts[a].task == "monitor" {
                    self.after_start(c, a, ord::IMPLIES_THEN);
                }
            }
            _ => self.after_start(c, a, 0),
        }
    }

    /// The fencing of a guest is a name for its stop.
    pub(super) fn fence_guest(&mut self, n: NodeIx) {
        let Some(guest) = self.guest_of(n) else { return };
        let stop = self.newest(guest, None, Some("stop"), None);
        let starts = self.newest(guest, None, Some("start"), None).is_some();
        let how = if starts { "reboot" } else { "off" };
        let fence = self.fence_by(n, how.into(), false, Some("guest is unclean"));
        self.acts[fence].flags |= act::PSEUDO | act::RUNNABLE;
        match stop {
            Some(s) if self.acts[s].is(act::PSEUDO) => {
                if let Some(host) = self.acts[s].node {
                    let of_host = self.fence_action(host, false, None);
                    self.link(of_host, fence, ord::RUNNABLE_LEFT | ord::IMPLIES_THEN);
                }
            }
            Some(s) => {
                self.link(s, fence, ord::RUNNABLE_LEFT | ord::IMPLIES_THEN);
            }
            None => {
                let stop = self.nodes[n].connection.and_then(|c| self.newest(c, None, Some("stop"), None));
                if let Some(s) = stop {
                    self.link(s, fence, ord::OPTIONAL);
                }
            }
        }
        self.order_around_fence(fence, n);
    }

    /// Compares histories whose parameters depend on where bundles have been placed.
    pub(super) fn check_deferred(&mut self) {
        let cib = self.cib.clone();
        for d in std::mem::take(&mut self.deferred).into_iter().rev() {
            let (r, n, (s, h, o), last_failure) = (d.rsc, d.node, d.op, d.last_failure);
            let op = &cib.nodes[s].histories[h].ops[o];
            let changed = if last_failure {
                !matches!(
                    self.digest_verdict(r, n, op, false),
                    super::changes::Verdict::Same | super::changes::Verdict::Unknown
                )
            } else {
                let expired = self.expired.contains(&(s, h, o));
                self.check_op(r, n, op, expired) && self.fail_count(n, r, true, None).0 != 0
            };
            if changed {
                self.clear_fail_count(r, n);
            }
        }
    }

    /// Makes a node one that no other resource may run on, as the nodes of bundles are.
    pub(super) fn hide_node(&mut self, n: NodeIx) {
        self.nodes[n].absent = false;
        self.nodes[n].base = -INF;
        self.nodes[n].discovery = Discovery::Never;
    }
}
