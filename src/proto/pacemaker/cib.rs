//! The CIB: the configuration as a tree, and the status (what nodes and their executors reported) in a form that a run can change.

use super::xml::{self, Element, XmlError};
use std::sync::Arc;

/// An operation in the history of a resource on a node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HistoryOp {
    /// The id of the entry: a later operation of the same kind replaces it.
    pub id: String,
    /// `resource_task_interval`.
    pub key: String,
    /// What was done.
    pub task: String,
    /// The interval, in milliseconds; 0 if it does not recur.
    pub interval: u64,
    /// The agent's exit code.
    pub rc: i32,
    /// The executor's status: -1 pending, 0 done.
    pub status: i32,
    /// The executor's number for it; -1 while it is pending.
    pub call: i64,
    /// The exit code that was expected.
    pub expected: Option<i32>,
    /// The transition and the action in it.
    pub transition: Option<(String, i64)>,
    /// When it ran or its result changed, in seconds since 1970.
    pub changed: Option<i64>,
    /// The digest of the parameters it ran with.
    pub digest: Digest,
    /// The digest of the parameters whose change needs a restart, and their names.
    pub restart_digest: Option<String>,
    /// The parameters whose change needs a restart.
    pub restart_list: Option<String>,
    /// The node that says so.
    pub on_node: Option<String>,
    /// Where a migration started.
    pub source: Option<String>,
    /// Where a migration goes.
    pub target: Option<String>,
}

/// What is known of the parameters that an operation ran with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Digest {
    /// Nothing: everything that ran is taken for changed.
    #[default]
    Missing,
    /// Their digest.
    Of(String),
    /// They are those of the configuration.
    Current,
}

/// What a node reported of a resource.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    /// The resource, without the number of an anonymous instance.
    pub id: String,
    /// The agent's class.
    pub class: Option<String>,
    /// The agent's provider.
    pub provider: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// The resource that it runs in.
    pub container: Option<String>,
    /// Since when the resource waits for this node, which was shut down (`shutdown-lock`).
    pub locked: Option<i64>,
    /// The operations, in the order of the document.
    pub ops: Vec<HistoryOp>,
}

/// What is known of a node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeState {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Member of the membership.
    pub in_ccm: Option<String>,
    /// Its controller: `online` or `offline`.
    pub crmd: Option<String>,
    /// How far it has joined: `member`, `pending`, `down`, `banned`.
    pub join: Option<String>,
    /// How far it should have joined.
    pub expected: Option<String>,
    /// When a node of Pacemaker Remote was fenced; 0 or nothing: its connection has come back since.
    pub fenced: Option<String>,
    /// Its transient attributes, as `<transient_attributes>`.
    pub attributes: Option<Arc<Element>>,
    /// The histories.
    pub histories: Vec<History>,
}

/// A CIB.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cib {
    /// The document, without what stands in `nodes`.
    pub root: Arc<Element>,
    /// The status of the nodes.
    pub nodes: Vec<NodeState>,
    /// What is in it and not modelled.
    pub unknown: Vec<super::model::Warning>,
}

/// References (`id-ref`) that a CIB may have: each is looked for in the whole document.
pub const REFERENCES_MAX: usize = 1_000;

fn references(e: &Element) -> usize {
    usize::from(e.get("id-ref").is_some()) + e.children.iter().map(references).sum::<usize>()
}

impl Cib {
    /// Reads a CIB. The root must be `<cib>`.
    pub fn read(text: &str) -> Result<Cib, XmlError> {
        Cib::of(xml::parse(text)?)
    }

    /// Takes a CIB from a tree.
    pub fn of(mut root: Element) -> Result<Cib, XmlError> {
        if root.name != "cib" {
            return Err(XmlError {
                line: root.line,
                text: format!("the root is `<{}>`, not `<cib>`: this is no CIB", root.name),
            });
        }
        if root.child("configuration").is_none() {
            return Err(XmlError { line: root.line, text: "`<cib>` has no `<configuration>`".into() });
        }
        if references(&root) > REFERENCES_MAX {
            return Err(XmlError {
                line: root.line,
                text: format!("more than {REFERENCES_MAX} references (`id-ref`)"),
            });
        }
        super::upgrade::upgrade(&mut root);
        let unknown = super::known::unknown(&root);
        let mut nodes = Vec::new();
        for status in root.children.iter_mut().filter(|c| c.name == "status") {
            let (states, rest) =
                std::mem::take(&mut status.children).into_iter().partition(|c| c.name == "node_state");
            status.children = rest;
            let states: Vec<Element> = states;
            nodes.extend(states.iter().filter_map(state));
        }
        Ok(Cib { root: Arc::new(root), nodes, unknown })
    }
}

fn state(e: &Element) -> Option<NodeState> {
    let text = |k: &str| e.get(k).map(str::to_owned);
    let resources = e.child("lrm").and_then(|l| l.child("lrm_resources"));
    Some(NodeState {
        id: text("id")?,
        name: text("uname")?,
        in_ccm: text("in_ccm"),
        crmd: text("crmd"),
        join: text("join"),
        expected: text("expected"),
        fenced: text("node_fenced"),
        attributes: e.child("transient_attributes").map(|a| Arc::new(a.clone())),
        histories: resources.map(|r| r.all("lrm_resource").filter_map(history).collect()).unwrap_or_default(),
    })
}

fn history(e: &Element) -> Option<History> {
    let text = |k: &str| e.get(k).map(str::to_owned);
    Some(History {
        id: text("id")?,
        class: text("class"),
        provider: text("provider"),
        agent: text("type"),
        container: text("container"),
        locked: e.get("shutdown-lock").and_then(super::score::number).filter(|t| *t != 0),
        ops: e.all("lrm_rsc_op").filter_map(operation).collect(),
    })
}

fn operation(e: &Element) -> Option<HistoryOp> {
    let text = |k: &str| e.get(k).map(str::to_owned);
    let whole = |k: &str| e.get(k).and_then(super::score::number);
    let small = |k: &str| whole(k).map(|n| i32::try_from(n).unwrap_or(i32::MAX));
    let id = text("id").unwrap_or_default();
    Some(HistoryOp {
        key: text("operation_key").unwrap_or_else(|| id.clone()),
        id,
        task: text("operation")?,
        interval: whole("interval").and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        rc: small("rc-code").unwrap_or(0),
        status: small("op-status").unwrap_or(-2),
        call: whole("call-id").unwrap_or(-1),
        expected: e.get("transition-key").and_then(|k| {
            k.split(':').nth(2).and_then(super::score::number).and_then(|n| i32::try_from(n).ok())
        }),
        transition: e.get("transition-magic").and_then(|m| {
            let key = m.split_once(';')?.1;
            let mut parts = key.split(':');
            let transition = super::score::number(parts.nth(1)?)?;
            Some((parts.nth(1)?.to_owned(), transition))
        }),
        changed: whole("last-rc-change"),
        digest: text("op-digest").map_or(Digest::Missing, Digest::Of),
        restart_digest: text("op-restart-digest"),
        restart_list: text("op-force-restart"),
        on_node: text("on_node"),
        source: text("migrate_source"),
        target: text("migrate_target"),
    })
}
