//! The scheduler's answer.

use super::cib::Cib;
use super::graph::Step;
use super::model::{ActIx, Kind, Printed, Role, Rsc, RscIx, Sched, Warning, act};
use super::run::Ran;
use super::summary::{Item, lines};
use super::xml::XmlError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where resources are: by primitive, then by node, the roles there.
pub type Places = BTreeMap<String, BTreeMap<String, Vec<Role>>>;

/// Where `crm_simulate` lists resources: by primitive, then by node, words.
pub type Listing = BTreeMap<String, BTreeMap<String, Vec<&'static str>>>;

/// An action, as a plan shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// Its place in the run.
    pub act: ActIx,
    /// Its key.
    pub key: String,
    /// The resource.
    pub rsc: Option<String>,
    /// What is done.
    pub task: String,
    /// Where.
    pub node: Option<String>,
    /// The interval, in milliseconds.
    pub interval: u64,
    /// No agent is called.
    pub pseudo: bool,
    /// Seconds that a fencing waits (`priority-fencing-delay`).
    pub delay: i64,
    /// The node through whose connection it goes, if its own node is reached by Pacemaker Remote.
    pub router: Option<String>,
    /// The exit code that is expected.
    pub expected: i32,
    /// Places in the list of the actions that it waits for. One that is not in the plan is never done: it waits for ever.
    pub after: Vec<usize>,
    /// It waits for something that cannot run.
    pub stuck: bool,
}

/// A plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The run, with everything in it.
    pub sched: Sched,
    /// Where resources are now.
    pub before: Places,
    /// Where they are when the transition has gone well.
    pub after: Places,
    /// The same two as `crm_simulate` lists them: the first with words for what is under way, and both without collections whose only active members are
    /// unmanaged on nodes that are offline.
    pub listed: [Listing; 2],
    /// The summary.
    pub summary: Vec<Item>,
    /// The actions of the graph.
    pub actions: Vec<Planned>,
    /// What ran, in order, if everything went well.
    pub ran: Vec<Ran>,
    /// Whether all of the graph could run.
    pub complete: bool,
    /// The CIB after the transition.
    pub next: Cib,
}

/// Decides what a cluster does next. `now` is in seconds since 1970.
pub fn schedule(cib: &Arc<Cib>, now: i64) -> Result<Plan, XmlError> {
    let mut s = Sched::new(cib.clone(), now)?;
    s.find_unknown();
    let (before, listed_before) = (s.where_now(), s.listing(true));
    s.apply_health();
    s.read_constraints();
    s.apply_locks();
    s.apply_locations();
    for r in s.top.clone() {
        s.apply_stickiness(r);
    }
    for n in 0..s.nodes.len() {
        for r in s.top.clone() {
            s.apply_threshold(r, n);
            s.apply_exclusive(r, n);
        }
    }
    for r in s.top.clone() {
        s.order_inside(r);
    }
    s.find_changes();
    s.assign_all();
    s.check_deferred();
    if s.options.probes {
        s.plan_probes();
    }
    if s.options.stop_orphans {
        s.clear_orphans();
    }
    for r in s.top.clone() {
        s.make_actions(r);
    }
    s.order_connections();
    s.plan_fencing();
    s.apply_orders();
    let graph = s.make_graph();
    let summary = s.summarise();
    let (ran, next, complete) = s.run(&graph);
    let then = Sched::new(Arc::new(next.clone()), now)?;
    let listed = [listed_before, then.listing(false)];
    let actions = s.planned(&graph);
    Ok(Plan { sched: s, before, after: then.where_now(), listed, summary, actions, ran, complete, next })
}

impl Plan {
    /// The lines of the summary.
    pub fn lines(&self) -> Vec<String> {
        lines(&self.summary)
    }

    /// The scores, in the order in which they are printed.
    pub fn scores(&self) -> &[Printed] {
        &self.sched.printed
    }

    /// Remarks on the CIB.
    pub fn warnings(&self) -> &[Warning] {
        &self.sched.warnings
    }
}

impl Sched {
    fn read_constraints(&mut self) {
        let cib = self.cib.clone();
        let Some(list) = cib.root.find("constraints") else { return };
        for e in &list.children {
            if e.id().is_empty() {
                self.warn(e, "a constraint without `id` is ignored");
                continue;
            }
            let about = super::sets::About::default();
            if e.child("lifetime").is_some_and(|l| !self.rules_pass(l, about)) {
                continue;
            }
            match e.name.as_str() {
                "rsc_location" => self.read_location(e),
                "rsc_colocation" => self.read_colocation(e),
                "rsc_order" => self.read_order(e),
                "rsc_ticket" => self.read_ticket_constraint(e),
                _ => {}
            }
        }
    }

    fn clear_orphans(&mut self) {
        for r in self.top.clone() {
            if !self.rscs[r].orphan {
                continue;
            }
            for n in 0..self.nodes.len() {
                if self.nodes[n].online && self.fail_count(n, r, true, None).0 != 0 {
                    let clear = self.clear_fail_count(r, n);
                    let stop = self.by_task(r, "stop");
                    self.order(super::actions::by_action(clear), stop, super::model::ord::OPTIONAL);
                }
            }
        }
    }

    /// Where everything is.
    fn where_now(&self) -> Places {
        let mut places = Places::new();
        for rsc in self.rscs.iter().filter(|r| r.kind == Kind::Primitive) {
            let place = places.entry(rsc.xml_id.clone()).or_default();
            for n in &rsc.running_on {
                place.entry(self.nodes[*n].name.clone()).or_default().push(self.shown_role(rsc));
            }
        }
        places
    }

    fn shown_role(&self, rsc: &Rsc) -> Role {
        let promotable = rsc.parent.is_some_and(|p| self.rscs[self.outermost(p)].promotable);
        if rsc.role == Role::Started && promotable { Role::Unpromoted } else { rsc.role }
    }

    fn listing(&self, under_way: bool) -> Listing {
        let mut listing = Listing::new();
        for r in self.top.iter().filter(|r| !self.rscs[**r].orphan || self.is_active(**r, true)) {
            self.list(*r, (true, under_way), &mut listing);
        }
        listing
    }

    fn list(&self, r: RscIx, (shown, under_way): (bool, bool), listing: &mut Listing) {
        let rsc = &self.rscs[r];
        let shown =
            shown && (self.bundle_of(r).is_some() || !rsc.running_on.is_empty() || !self.is_active(r, false));
        if rsc.kind != Kind::Primitive {
            return rsc.children.iter().for_each(|c| self.list(*c, (shown, under_way), listing));
        }
        let place = listing.entry(super::history::base_name(&rsc.xml_id).to_owned()).or_default();
        let word = match rsc.pending.as_ref().filter(|_| under_way).map(|(task, _)| task.as_str()) {
            Some("start") => "Starting",
            Some("stop") => "Stopping",
            Some("migrate_to" | "migrate_from") => "Migrating",
            Some("promote") => "Promoting",
            Some("demote") => "Demoting",
            _ => self.shown_role(rsc).word(),
        };
        for n in rsc.running_on.iter().filter(|_| shown) {
            place.entry(self.nodes[*n].name.clone()).or_default().push(word);
        }
    }

    fn planned(&self, graph: &[Step]) -> Vec<Planned> {
        let at: BTreeMap<ActIx, usize> = graph.iter().enumerate().map(|(k, s)| (s.action, k)).collect();
        let show = |s: &Step| {
            let a = &self.acts[s.action];
            Planned {
                act: s.action,
                key: a.key.clone(),
                rsc: a.rsc.map(|r| self.rscs[r].id.clone()),
                task: a.task.clone(),
                node: a.node.map(|n| self.nodes[n].name.clone()),
                interval: a.interval,
                pseudo: a.is(act::PSEUDO),
                router: self.router(s.action).map(|n| self.nodes[n].name.clone()),
                delay: self.fencing_delay(s.action),
                expected: a.expected.unwrap_or(0),
                after: s.after.iter().filter_map(|x| at.get(x).copied()).collect(),
                stuck: s.after.iter().any(|x| !at.contains_key(x)),
            }
        };
        graph.iter().map(show).collect()
    }
}
