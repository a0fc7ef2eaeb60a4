//! Quorum commit: how `synchronous_standby_names` and `/sync` change step by step, so that at every moment a set of nodes that can confirm a
//! commit and a set that can elect a leader have a node in common.
//!
//! Source: `quorum.py` of Patroni 4.1.5 and its documentation page on replication modes. With the leader, the nodes of both lists are at
//! most `quorum + numsync + 1`; while one of the lists is being changed, it holds more or fewer nodes than the other, never different ones.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Names.
pub type Nodes = BTreeSet<Arc<str>>;

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// `/sync`: leader, quorum, voters.
    Quorum(Arc<str>, u32, Nodes),
    /// `synchronous_standby_names`: `ANY n (nodes)`.
    Sync(u32, Nodes),
    /// Nothing yet: look again in a second.
    Restart,
}

/// What is, and what is wanted.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// The leader in `/sync`.
    pub leader: Arc<str>,
    /// Its quorum.
    pub quorum: u32,
    /// Its voters.
    pub voters: Nodes,
    /// How many PostgreSQL waits for.
    pub numsync: u32,
    /// Among whom.
    pub sync: Nodes,
    /// How many of them have caught up.
    pub confirmed: u32,
    /// Who streams and may be waited for.
    pub active: Nodes,
    /// `synchronous_node_count`.
    pub wanted: u32,
    /// This member.
    pub leader_wanted: Arc<str>,
}

/// The steps so far, or the state is contradictory (`QuorumError`).
type Steps = Result<(), Broken>;
struct Broken;

fn minus(a: &Nodes, b: &Nodes) -> Nodes {
    a.difference(b).cloned().collect()
}
fn plus(a: &Nodes, b: &Nodes) -> Nodes {
    a.union(b).cloned().collect()
}
fn common(a: &Nodes, b: &Nodes) -> Nodes {
    a.intersection(b).cloned().collect()
}
fn proper_subset(a: &Nodes, b: &Nodes) -> bool {
    a.is_subset(b) && a.len() < b.len()
}
fn size(n: &Nodes) -> i64 {
    n.len() as i64
}

/// The machine at work.
struct Machine {
    r: Resolver,
    quorum: i64,
    numsync: i64,
    confirmed: i64,
    wanted: i64,
    out: Vec<Step>,
    stopped: bool,
}

impl Resolver {
    /// The changes, in order. Of several changes of one kind in a row only the last is made.
    pub fn steps(self) -> Vec<Step> {
        let numsync = i64::from(self.numsync).min(size(&self.sync));
        let mut m = Machine {
            quorum: i64::from(self.quorum),
            numsync,
            confirmed: i64::from(self.confirmed),
            wanted: i64::from(self.wanted),
            r: self,
            out: Vec::new(),
            stopped: false,
        };
        // A contradiction that is left over after all shows in the next cycle.
        let _ = m.generate();
        let same = |a: &Step, b: &Step| {
            matches!((a, b), (Step::Quorum(..), Step::Quorum(..)) | (Step::Sync(..), Step::Sync(..)))
        };
        let mut steps: Vec<Step> = Vec::new();
        for (i, step) in m.out.iter().enumerate() {
            if m.out.get(i + 1).is_some_and(|next| same(step, next)) {
                continue;
            }
            steps.push(step.clone());
            if *step == Step::Restart {
                break;
            }
        }
        steps
    }
}

impl Machine {
    fn check(&self) -> Steps {
        let mut voters = self.r.voters.clone();
        voters.insert(self.r.leader.clone());
        let mut sync = self.r.sync.clone();
        sync.insert(self.r.leader_wanted.clone());
        if !self.r.voters.is_empty() && size(&plus(&voters, &sync)) > self.quorum + self.numsync + 1 {
            return Err(Broken);
        }
        if voters.is_subset(&sync) || sync.is_subset(&voters) { Ok(()) } else { Err(Broken) }
    }
    /// Changes `/sync`. `adjust`: as long as fewer have caught up than are waited for, the quorum is that much larger.
    fn set_quorum(
        &mut self,
        mut quorum: i64,
        mut voters: Nodes,
        leader: Option<Arc<str>>,
        adjust: bool,
    ) -> Steps {
        if self.stopped {
            return Ok(());
        }
        if quorum < 0 || (quorum > 0 && quorum >= size(&voters)) {
            return Err(Broken);
        }
        let old = (self.r.leader.clone(), self.quorum, self.r.voters.clone());
        if let Some(leader) = leader {
            self.r.leader = leader;
        } else if self.confirmed == 0 && self.r.voters.is_empty() {
            quorum = 0;
            voters = Nodes::new();
        } else if adjust {
            quorum += (self.numsync - self.confirmed).max(0);
        }
        if (self.r.leader.clone(), quorum, voters.clone()) == old {
            if !self.r.voters.is_empty() {
                return Ok(());
            }
            self.out.push(Step::Restart);
        }
        self.quorum = quorum;
        self.r.voters = voters;
        self.check()?;
        self.out.push(Step::Quorum(self.r.leader.clone(), self.quorum as u32, self.r.voters.clone()));
        Ok(())
    }
    /// Changes what PostgreSQL waits for.
    fn set_sync(&mut self, numsync: i64, sync: Nodes) -> Steps {
        if self.stopped {
            return Ok(());
        }
        if numsync < 0 || numsync > size(&sync) {
            return Err(Broken);
        }
        self.numsync = numsync;
        self.r.sync = sync;
        self.check()?;
        self.out.push(Step::Sync(self.numsync as u32, self.r.sync.clone()));
        Ok(())
    }

    fn generate(&mut self) -> Steps {
        if self.leader_changed().is_err() {
            let (quorum, sync) = (size(&self.r.sync) - self.numsync, self.r.sync.clone());
            self.set_quorum(quorum, sync, None, true)?;
        }
        if self.stopped {
            return Ok(());
        }
        let streaming = common(&self.r.sync, &self.r.active);
        if self.confirmed == 0 && !streaming.is_empty() {
            // After a restart nobody is known to have caught up; what the quorum says is believed.
            self.confirmed = size(&streaming).min(size(&self.r.voters) - self.quorum);
        }
        self.unsteady()?;
        self.remove_gone()?;
        self.add_new()?;
        self.change_factor()
    }
    /// After a failover the former leader becomes a voter.
    fn leader_changed(&mut self) -> Steps {
        if self.r.leader_wanted == self.r.leader {
            return self.check();
        }
        let mut voters = self.r.voters.clone();
        voters.remove(&self.r.leader_wanted);
        voters.insert(self.r.leader.clone());
        if self.r.sync.is_empty() {
            self.set_sync(size(&voters) - self.quorum, voters.clone())?;
        }
        let leader = self.r.leader_wanted.clone();
        self.set_quorum(self.quorum, voters, Some(leader), true)?;
        // Right after a promotion nobody streams yet: they get another cycle.
        self.stopped = common(&self.r.sync, &self.r.active).is_empty();
        Ok(())
    }
    /// One of the lists is being changed.
    fn unsteady(&mut self) -> Steps {
        if proper_subset(&self.r.sync, &self.r.voters) {
            let gone = minus(&self.r.voters, &plus(&self.r.sync, &self.r.active));
            if !gone.is_empty() {
                let quorum = size(&self.r.voters) - size(&gone) - self.numsync;
                let adjust = minus(&self.r.sync, &self.r.active).is_empty();
                let voters = minus(&self.r.voters, &gone);
                self.set_quorum(quorum, voters, None, adjust)?;
            }
            let add = minus(&common(&self.r.voters, &self.r.active), &self.r.sync);
            if !add.is_empty() {
                let sync = plus(&self.r.sync, &add);
                self.set_sync(self.numsync, sync)?;
            }
        } else if proper_subset(&self.r.voters, &self.r.sync) {
            let gone = minus(&self.r.sync, &self.r.active);
            let sync = minus(&self.r.sync, &gone);
            let overlap = self.r.voters.is_empty() || !common(&sync, &self.r.voters).is_empty();
            if !gone.is_empty() && !sync.is_empty() && overlap {
                let numsync = self.numsync.min(size(&self.r.sync) - size(&gone));
                self.set_sync(numsync, sync)?;
            }
            let add = common(&minus(&self.r.sync, &self.r.voters), &self.r.active);
            if !add.is_empty() {
                let voters = plus(&self.r.voters, &add);
                let quorum = size(&voters) - self.numsync;
                self.set_quorum(quorum, voters, None, true)?;
            }
            let rest = minus(&self.r.sync, &self.r.voters);
            if !rest.is_empty() {
                let numsync = self.numsync.min(size(&self.r.sync) - size(&rest));
                let sync = minus(&self.r.sync, &rest);
                self.set_sync(numsync, sync)?;
            }
        }
        let all = size(&plus(&self.r.voters, &self.r.sync));
        if self.quorum + self.numsync.min(self.confirmed) - all > 0 {
            if self.numsync > self.wanted {
                let numsync = self.wanted.max(size(&self.r.voters) - self.quorum);
                let sync = self.r.sync.clone();
                self.set_sync(numsync, sync)?;
            } else {
                let (quorum, voters) = (size(&self.r.sync) - self.numsync, self.r.voters.clone());
                self.set_quorum(quorum, voters, None, true)?;
            }
        } else if self.numsync == self.wanted
            && self.quorum + self.numsync - all > 0
            && self.numsync > self.confirmed
        {
            let (quorum, voters) = (size(&self.r.sync) - self.numsync, self.r.voters.clone());
            self.set_quorum(quorum, voters, None, true)?;
        }
        Ok(())
    }
    fn remove_gone(&mut self) -> Steps {
        let mut gone = minus(&self.r.sync, &self.r.active);
        if gone.is_empty() {
            return Ok(());
        }
        if self.r.sync == gone {
            self.set_quorum(0, Nodes::new(), None, false)?;
            return self.set_sync(0, Nodes::new());
        }
        if self.quorum > 0 {
            let remove: Nodes = gone.iter().rev().take(self.quorum as usize).cloned().collect();
            let sync = minus(&self.r.sync, &remove);
            let numsync = self.numsync.max(self.wanted).min(size(&sync));
            let numsync = if self.wanted > self.numsync { numsync } else { self.numsync.min(size(&sync)) };
            self.set_sync(numsync, sync)?;
            let voters = minus(&self.r.voters, &remove);
            gone = common(&gone, &self.r.sync);
            let quorum = size(&voters) - self.numsync;
            self.set_quorum(quorum, voters, None, gone.is_empty())?;
        }
        if !gone.is_empty() {
            let numsync = self.numsync - size(&gone);
            let sync = minus(&self.r.sync, &gone);
            let voters = minus(&self.r.voters, &gone);
            let decrease = numsync - self.wanted.min(size(&sync));
            let quorum = if decrease == 0 { 0 } else { decrease.min(size(&voters) - 1) };
            self.set_quorum(quorum, voters, None, false)?;
            self.set_sync(numsync, sync)?;
        }
        Ok(())
    }
    fn add_new(&mut self) -> Steps {
        let mut new = minus(&self.r.active, &self.r.sync);
        if new.is_empty() {
            return Ok(());
        }
        let wanted = self.wanted.min(size(&plus(&self.r.sync, &new)));
        let mut more = wanted - self.numsync;
        if more > 0 {
            let add: Nodes = if self.r.sync.is_empty() {
                new.clone()
            } else {
                let some: Nodes = new.iter().take(more as usize).cloned().collect();
                more = size(&some);
                some
            };
            let sync = plus(&self.r.sync, &add);
            self.set_sync(self.numsync + more, sync)?;
            let voters = plus(&self.r.voters, &add);
            self.set_quorum(size(&voters) - wanted, voters, None, true)?;
            new = minus(&new, &self.r.sync);
        }
        if !new.is_empty() {
            let voters = plus(&self.r.voters, &new);
            let adjust = wanted > self.confirmed;
            self.set_quorum(size(&voters) - wanted, voters, None, adjust)?;
            let sync = plus(&self.r.sync, &new);
            self.set_sync(wanted, sync)?;
        }
        Ok(())
    }
    fn change_factor(&mut self) -> Steps {
        let more = self.wanted.min(size(&self.r.sync)) - self.numsync;
        if more > 0 {
            let sync = self.r.sync.clone();
            self.set_sync(self.numsync + more, sync)?;
            let (quorum, voters) = (size(&self.r.voters) - self.numsync, self.r.voters.clone());
            return self.set_quorum(quorum, voters, None, true);
        }
        if more < 0 {
            if self.quorum - more < size(&self.r.voters) {
                let quorum = size(&self.r.voters) - self.numsync - more;
                let adjust = self.wanted > self.confirmed;
                let voters = self.r.voters.clone();
                self.set_quorum(quorum, voters, None, adjust)?;
            }
            let sync = self.r.sync.clone();
            return self.set_sync(self.numsync + more, sync);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(text: &str) -> Nodes {
        text.chars().map(|c| Arc::from(c.to_string().as_str())).collect()
    }
    #[allow(clippy::too_many_arguments)]
    fn steps(
        (leader, quorum, voters): (&str, u32, &str),
        (numsync, sync): (u32, &str),
        (confirmed, active): (u32, &str),
        wanted: u32,
        me: &str,
    ) -> Vec<String> {
        let r = Resolver {
            leader: leader.into(),
            quorum,
            voters: nodes(voters),
            numsync,
            sync: nodes(sync),
            confirmed,
            active: nodes(active),
            wanted,
            leader_wanted: me.into(),
        };
        let word = |n: &Nodes| n.iter().map(|s| &**s).collect::<String>();
        r.steps()
            .iter()
            .map(|s| match s {
                Step::Quorum(l, q, v) => format!("quorum {l} {q} {}", word(v)),
                Step::Sync(n, v) => format!("sync {n} {}", word(v)),
                Step::Restart => "restart".to_owned(),
            })
            .collect()
    }

    #[test]
    fn postgresql_waits_before_the_store_says_so() {
        // The leader alone, one standby comes: PostgreSQL first; `/sync` only when the standby has caught up.
        assert_eq!(steps(("a", 0, ""), (0, ""), (0, "b"), 1, "a"), ["sync 1 b", "restart"]);
        assert_eq!(steps(("a", 0, ""), (1, "b"), (1, "b"), 1, "a"), ["quorum a 0 b"]);
        // A second one comes: more voters need a larger quorum first, then PostgreSQL may wait for either.
        assert_eq!(steps(("a", 0, "b"), (1, "b"), (1, "bc"), 1, "a"), ["quorum a 1 bc", "sync 1 bc"]);
    }
    #[test]
    fn a_node_that_is_gone_leaves_postgresql_first_and_the_store_then() {
        assert_eq!(steps(("a", 1, "bc"), (1, "bc"), (1, "b"), 1, "a"), ["sync 1 b", "quorum a 0 b"]);
        // All are gone: the store first, then nobody is waited for.
        assert_eq!(steps(("a", 0, "b"), (1, "b"), (0, ""), 1, "a"), ["quorum a 0 ", "sync 0 "]);
    }
    #[test]
    fn a_higher_replication_factor_is_set_in_postgresql_first() {
        assert_eq!(steps(("a", 2, "bcd"), (1, "bcd"), (3, "bcd"), 2, "a"), ["sync 2 bcd", "quorum a 1 bcd"]);
        assert_eq!(steps(("a", 1, "bcd"), (2, "bcd"), (3, "bcd"), 1, "a"), ["quorum a 2 bcd", "sync 1 bcd"]);
    }
    #[test]
    fn a_new_leader_makes_the_old_one_a_voter() {
        assert_eq!(steps(("a", 1, "bc"), (1, "ac"), (0, ""), 1, "b"), ["quorum b 1 ac"]);
    }
    #[test]
    fn at_every_step_who_confirms_and_who_elects_have_a_node_in_common() {
        // From every steady state to every set of streaming nodes: after each step the rule of the module's head holds.
        let names = ["", "b", "bc", "bcd", "bd", "cd", "d"];
        for sync in names {
            for active in names {
                for (numsync, wanted) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
                    let n = sync.len() as u32;
                    let numsync = numsync.min(n);
                    let r = Resolver {
                        leader: "a".into(),
                        quorum: n - numsync,
                        voters: nodes(sync),
                        numsync,
                        sync: nodes(sync),
                        confirmed: numsync,
                        active: nodes(active),
                        wanted,
                        leader_wanted: "a".into(),
                    };
                    let (mut quorum, mut voters, mut num, mut set) =
                        (i64::from(r.quorum), r.voters.clone(), i64::from(r.numsync), r.sync.clone());
                    for step in r.steps() {
                        match step {
                            Step::Quorum(_, q, v) => (quorum, voters) = (i64::from(q), v),
                            Step::Sync(n, s) => (num, set) = (i64::from(n), s),
                            Step::Restart => {}
                        }
                        let ok = voters.is_empty() || size(&plus(&voters, &set)) <= quorum + num;
                        assert!(ok, "{sync} -> {active}: voters {voters:?} {quorum}, sync {set:?} {num}");
                    }
                }
            }
        }
    }
}
