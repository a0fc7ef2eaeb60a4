//! Tickets: a right to run that another authority (of several sites) grants and takes away.

use super::model::{Role, RscIx, Sched};
use super::score::INF;
use super::sets::{is_true, resolved};
use super::story::Cause;
use super::xml::Element;

/// A ticket.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ticket {
    /// Granted here.
    pub granted: bool,
    /// On its way out.
    pub standby: bool,
}

/// What happens when the ticket goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// Stop.
    Stop,
    /// Demote.
    Demote,
    /// Fence the nodes where it runs.
    Fence,
    /// Nothing.
    Freeze,
}

/// A resource needs a ticket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NeedsTicket {
    /// The ticket.
    pub ticket: String,
    /// Only this role.
    pub role: Role,
    /// What happens when it goes.
    pub loss: Loss,
}

impl Sched {
    pub(super) fn read_tickets(&mut self) {
        let cib = self.cib.clone();
        let lists =
            cib.root.all("status").flat_map(|s| s.all("tickets").collect::<Vec<_>>()).collect::<Vec<_>>();
        for t in lists.into_iter().flat_map(|l| l.all("ticket_state").collect::<Vec<_>>()) {
            let ticket = Ticket { granted: is_true(t.get("granted")), standby: is_true(t.get("standby")) };
            if !t.id().is_empty() {
                self.tickets.insert(t.id().to_owned(), ticket);
            }
        }
    }

    /// Reads `<rsc_ticket>`.
    pub(super) fn read_ticket_constraint(&mut self, e: &Element) {
        let Some(ticket) = e.get("ticket") else {
            return self.warn(e, "there is no `ticket`, so the constraint is ignored");
        };
        self.tickets.entry(ticket.to_owned()).or_default();
        let root = self.cib.root.clone();
        let sets: Vec<&Element> = e.all("resource_set").filter_map(|s| resolved(&root, s)).collect();
        for set in &sets {
            let Some(members) = self.set_members(e, set) else { return };
            for r in members {
                self.need_ticket(e, r, ticket, set.get("role"));
            }
        }
        if !sets.is_empty() {
            return;
        }
        let Some(name) = e.get("rsc") else {
            return self.warn(e, "there is no `rsc`, so the constraint is ignored");
        };
        let found: Vec<RscIx> = match (self.constrained(name), self.tags.get(name)) {
            (Some(r), _) => vec![r],
            (None, Some(tag)) => tag.iter().filter_map(|m| self.constrained(m)).collect(),
            _ => Vec::new(),
        };
        if found.is_empty() {
            self.warn(e, format!("there is no resource `{name}`, so the constraint is ignored"));
        }
        for r in found {
            self.need_ticket(e, r, ticket, e.get("rsc-role"));
        }
    }

    fn need_ticket(&mut self, e: &Element, r: RscIx, ticket: &str, role: Option<&str>) {
        let role = match role.and_then(Role::of) {
            Some(Role::Started) | None => Role::Unknown,
            Some(role) => role,
        };
        let loss = match e.get("loss-policy").unwrap_or_default().to_ascii_lowercase().as_str() {
            "fence" if self.options.fencing => Loss::Fence,
            "fence" | "stop" => Loss::Stop,
            "freeze" => Loss::Freeze,
            "demote" => Loss::Demote,
            _ if role == Role::Promoted => Loss::Demote,
            _ => Loss::Stop,
        };
        let need = NeedsTicket { ticket: ticket.to_owned(), role, loss };
        self.rscs[r].tickets.push(need.clone());
        self.apply_ticket(r, &need);
    }

    fn apply_ticket(&mut self, r: RscIx, need: &NeedsTicket) {
        let ticket = self.tickets.get(&need.ticket).cloned().unwrap_or_default();
        if ticket.granted && !ticket.standby {
            return;
        }
        let children = self.rscs[r].children.clone();
        if !children.is_empty() {
            return children.into_iter().for_each(|c| self.apply_ticket(c, need));
        }
        let cause = Cause::Ticket(need.ticket.clone());
        let running = self.rscs[r].running_on.clone();
        let of_role = need.role == Role::Unknown || need.role == self.rscs[r].role;
        if ticket.granted || running.is_empty() {
            if need.role != Role::Promoted || need.loss == Loss::Stop {
                self.add_score_everywhere(r, -INF, &cause);
            }
            return;
        }
        match need.loss {
            Loss::Stop => self.add_score_everywhere(r, -INF, &cause),
            Loss::Demote if need.role != Role::Promoted => self.add_score_everywhere(r, -INF, &cause),
            Loss::Fence if of_role => {
                self.add_score_everywhere(r, -INF, &cause);
                for n in running {
                    self.fence_node(n, "deadman ticket was lost");
                }
            }
            Loss::Freeze if of_role => {
                self.rscs[r].managed = false;
                self.rscs[r].blocked = true;
            }
            _ => {}
        }
    }

    /// Without its ticket, nothing of a clone is promoted.
    pub(super) fn require_promotion_tickets(&mut self, c: RscIx) {
        for need in self.rscs[c].tickets.clone() {
            let ticket = self.tickets.get(&need.ticket).cloned().unwrap_or_default();
            if need.role == Role::Promoted && (!ticket.granted || ticket.standby) {
                self.add_score_everywhere(c, -INF, &Cause::Ticket(need.ticket));
            }
        }
    }
}
