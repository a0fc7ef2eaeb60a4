//! The transition graph: the actions that run, and what each of them waits for.

use super::model::{ActIx, Kind, Link, RscIx, Sched, act, ord};

/// An action of the graph and what it waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The action.
    pub action: ActIx,
    /// The priority.
    pub priority: i32,
    /// The actions that must be done before.
    pub after: Vec<ActIx>,
}

impl Sched {
    /// Makes the graph.
    pub(super) fn make_graph(&mut self) -> Vec<Step> {
        let mut graph = Vec::new();
        for r in self.top.clone() {
            self.add_resource(r, &mut graph);
        }
        for a in (0..self.acts.len()).rev() {
            self.add_to_graph(a, &mut graph);
        }
        graph
    }

    pub(super) fn add_resource(&mut self, r: RscIx, graph: &mut Vec<Step>) {
        if self.rscs[r].kind == Kind::Bundle {
            return self.bundle_to_graph(r, graph);
        }
        if self.rscs[r].kind == Kind::Clone {
            for a in self.rscs[r].actions.clone().into_iter().rev() {
                self.flags_of(a, None);
            }
            self.make_notices(r);
            for c in self.rscs[r].children.clone() {
                self.add_resource(c, graph);
            }
        }
        for a in self.rscs[r].actions.clone().into_iter().rev() {
            self.add_to_graph(a, graph);
        }
        for c in self.rscs[r].children.clone() {
            self.add_resource(c, graph);
        }
    }

    fn belongs(&self, a: ActIx) -> bool {
        let action = &self.acts[a];
        if !action.is(act::RUNNABLE) || (action.is(act::OPTIONAL) && !action.is(act::SHOWN)) {
            return false;
        }
        if let Some(r) = action.rsc
            && !self.rscs[r].managed
            && action.task != "monitor"
            && action.interval == 0
        {
            return false;
        }
        if action.is(act::PSEUDO) || matches!(action.task.as_str(), "stonith" | "do_shutdown") {
            return true;
        }
        let Some(n) = action.node else { return false };
        let guest = self.guest_of(n).is_some() && !self.nodes[n].reset;
        action.is(act::BY_DC) || guest || (self.nodes[n].online && !self.nodes[n].unclean)
    }

    /// Sorts what is before an action, oldest first, and joins double links.
    fn sort_links(&mut self, a: ActIx) {
        if self.acts[a].is(act::SORTED) {
            return;
        }
        self.acts[a].flags |= act::SORTED;
        let mut links: Vec<Link> = self.acts[a].before.iter().rev().copied().collect();
        links.sort_by_key(|l| l.other);
        let mut joined: Vec<Link> = Vec::new();
        for l in links {
            match joined.last_mut() {
                Some(last) if last.other == l.other => {
                    last.kind |= l.kind;
                    last.dumped |= l.dumped;
                }
                _ => joined.push(Link { dumped: false, ..l }),
            }
        }
        self.acts[a].before = joined;
    }

    fn add_to_graph(&mut self, a: ActIx, graph: &mut Vec<Step>) {
        self.sort_links(a);
        if self.acts[a].is(act::DUMPED) || !self.belongs(a) {
            return;
        }
        self.acts[a].flags |= act::DUMPED;
        let own = self.acts[a].rsc.map_or(0, |r| self.rscs[r].priority);
        let priority = own.max(self.acts[a].priority).max(0);
        let mut after = Vec::new();
        for at in 0..self.acts[a].before.len() {
            if self.waits(a, at) {
                self.acts[a].before[at].dumped = true;
                after.push(self.acts[a].before[at].other);
            }
        }
        graph.push(Step { action: a, priority, after });
    }

    /// Whether an action waits for one that is ordered before it.
    fn waits(&mut self, a: ActIx, at: usize) -> bool {
        let link = self.acts[a].before[at];
        let (input, kind) = (&self.acts[link.other], link.kind);
        if link.dumped {
            return true;
        }
        if kind == ord::NONE {
            return false;
        }
        let runnable = input.is(act::RUNNABLE);
        let bare = kind & !(ord::IMPLIES_FIRST_SHOWN | ord::IMPLIES_THEN_SHOWN | ord::OPTIONAL) == 0;
        if !runnable && (bare || kind & (ord::ONE_OR_MORE | ord::IMPLIES_FIRST_MIGRATABLE) != 0) {
            return false;
        }
        let stop = input.key.ends_with("_stop_0");
        if input.is(act::MIGRATES)
            && (kind & ord::FIRST_NON_MIGRATABLE != 0 || (kind == ord::OPTIONAL && stop))
        {
            return false;
        }
        if kind == ord::LOAD {
            let here = match self.acts[a].rsc {
                Some(r) if self.acts[a].task == "migrate_to" => {
                    let goes = self.rscs[r].assigned.map(|(n, _)| n);
                    if goes.is_some() && input.node == goes {
                        return true;
                    }
                    false
                }
                _ => input.node.is_some() && input.node == self.acts[a].node && !input.is(act::OPTIONAL),
            };
            if !here {
                self.acts[a].before[at].kind = ord::NONE;
            }
            return here;
        }
        if kind == ord::ANTI_COLOCATION {
            let elsewhere =
                input.node.is_some() && self.acts[a].node.is_some() && input.node != self.acts[a].node;
            if elsewhere || input.is(act::OPTIONAL) {
                self.acts[a].before[at].kind = ord::NONE;
                return false;
            }
            return true;
        }
        let of_failed = input.rsc.is_some_and(|r| {
            let rsc = &self.rscs[r];
            let by_clone = self.acts[a].rsc.is_some_and(|x| self.rscs[x].kind == Kind::Clone);
            Some(r) != self.acts[a].rsc && rsc.failed && !rsc.managed && stop && by_clone
        });
        if of_failed {
            return false;
        }
        let shown = input.flags & (act::SHOWN | act::DUMPED) != 0;
        !(input.is(act::OPTIONAL) && !shown && !self.belongs(link.other))
    }

    /// Whether what is before an action leads back to `origin`.
    pub(super) fn has_loop(&mut self, origin: ActIx, a: ActIx, at: usize) -> bool {
        let input = self.acts[a].before[at].other;
        if self.acts[input].is(act::TRACKING) || !self.waits(a, at) {
            return false;
        }
        if input == origin {
            return true;
        }
        self.acts[input].flags |= act::TRACKING;
        let found = (0..self.acts[input].before.len()).rev().any(|x| self.has_loop(origin, input, x));
        self.acts[input].flags &= !act::TRACKING;
        found
    }
}
