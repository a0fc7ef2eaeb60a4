//! What clients saw: windows without service, counts, availability.

use crate::engine::{Span, Time};
use crate::node::process::{HostId, Pid};
use crate::proto::client::process::{Kind, Note, Outcome};

/// A window in which no request of a client succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Outage {
    /// When the last request before it that succeeded was sent.
    pub last_ok: Time,
    /// When the first request that failed was sent.
    pub from: Time,
    /// When the next request that succeeded was sent; the end of the run if none did.
    pub to: Time,
    /// Service came back.
    pub over: bool,
}
impl Outage {
    /// How long, from the first failed request to the first that succeeded.
    pub fn length(&self) -> Span {
        self.to.since(self.from)
    }
    /// The distance between the last answered request and the next answered one.
    pub fn gap(&self) -> Span {
        self.to.since(self.last_ok)
    }
}

/// Requests of a run: whose, when sent, how they ended.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    all: Vec<(Client, Note)>,
}
/// A client: its host and its process.
pub type Client = (Option<HostId>, Option<Pid>);

impl Requests {
    /// Takes note of a request that ended.
    pub fn add(&mut self, client: Client, note: Note) {
        self.all.push((client, note));
    }
    /// The clients, in the order of their processes.
    pub fn clients(&self) -> Vec<Client> {
        let mut list: Vec<Client> = Vec::new();
        for (c, _) in &self.all {
            if !list.contains(c) {
                list.push(*c);
            }
        }
        list.sort_by_key(|c| c.1);
        list
    }
    fn sorted(&self, of: Option<Client>, write: bool) -> Vec<Note> {
        let other = if write { Kind::Read } else { Kind::Write };
        let mine = |(c, n): &&(Client, Note)| n.kind != other && of.is_none_or(|of| of == *c);
        let mut list: Vec<Note> = self.all.iter().filter(mine).map(|(_, n)| *n).collect();
        list.sort_by_key(|n| n.sent);
        list
    }
    /// The windows without service, of writes or of reads, each client's own; `end` is the end of the run.
    pub fn outages(&self, write: bool, end: Time) -> Vec<Outage> {
        let mut all: Vec<Outage> =
            self.clients().into_iter().flat_map(|c| self.outages_of(c, write, end)).collect();
        all.sort_by_key(|o| o.from);
        all
    }
    /// The same for one client.
    pub fn outages_of(&self, client: Client, write: bool, end: Time) -> Vec<Outage> {
        let mut windows = Vec::new();
        let mut last_ok = None;
        let mut open: Option<Outage> = None;
        for n in self.sorted(Some(client), write) {
            if let Outcome::Ok(_) = n.outcome {
                if let Some(o) = open.take() {
                    windows.push(Outage { to: n.sent, over: true, ..o });
                }
                last_ok = Some(n.sent);
            } else if open.is_none() {
                let last_ok = last_ok.unwrap_or(n.sent);
                open = Some(Outage { last_ok, from: n.sent, to: end, over: false });
            }
        }
        windows.extend(open);
        windows
    }
    /// The share of the time in which a client's writes (or reads) succeed, in millionths, the mean of the clients that write (or read);
    /// all of it without such clients. `end` is the end of the run.
    ///
    /// It is a share of time, not of requests: a client that hangs in an outage asks for nothing meanwhile, and a share of its requests
    /// would call a minute without service one failure.
    pub fn availability(&self, write: bool, end: Time) -> u64 {
        let (mut all, mut down) = (0u128, 0u128);
        for client in self.clients().into_iter().filter(|c| !self.sorted(Some(*c), write).is_empty()) {
            all += u128::from(end.0);
            down +=
                self.outages_of(client, write, end).iter().map(|o| u128::from(o.length().0)).sum::<u128>();
        }
        (all.saturating_sub(down) * 1_000_000).checked_div(all).unwrap_or(1_000_000) as u64
    }
    /// Requests that succeeded, and all.
    pub fn counts(&self, write: bool) -> (u64, u64) {
        let list = self.sorted(None, write);
        let ok = list.iter().filter(|n| matches!(n.outcome, Outcome::Ok(_))).count() as u64;
        (ok, list.len() as u64)
    }
    /// Requests sent in this time that failed, and all.
    pub fn failed(&self, client: Client, from: Time, to: Time) -> (u64, u64) {
        let mine = self.all.iter().filter(|(c, _)| *c == client).map(|(_, n)| n);
        let sent = mine.filter(|n| n.sent >= from && n.sent < to);
        let failed = sent.clone().filter(|n| !matches!(n.outcome, Outcome::Ok(_))).count() as u64;
        (failed, sent.count() as u64)
    }
    /// Requests that failed, by how: database errors by their codes.
    pub fn errors(&self) -> Vec<(&'static str, u64)> {
        let names = ["timeout", "reset", "unreachable", "closed"];
        let mut counts: Vec<(&'static str, u64)> = names.map(|n| (n, 0)).to_vec();
        for (_, n) in &self.all {
            let name = match n.outcome {
                Outcome::Ok(_) => continue,
                Outcome::Timeout => "timeout",
                Outcome::Reset => "reset",
                Outcome::Unreachable => "unreachable",
                Outcome::Closed => "closed",
                Outcome::NoAddress => "no_address",
                Outcome::NoServer => "no_server",
                Outcome::Busy => "busy",
                Outcome::Error(state) => state.code(),
            };
            match counts.iter_mut().find(|c| c.0 == name) {
                Some(c) => c.1 += 1,
                None => counts.push((name, 1)),
            }
        }
        counts[names.len()..].sort_unstable();
        counts
    }
    /// Whether there were any.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn availability_is_time_not_requests() {
        let at = |s: u64| Time::ZERO + Span::secs(s);
        let note = |sent: u64, outcome: Outcome| Note { sent: at(sent), kind: Kind::Write, outcome };
        let client = |n: u16| (Some(HostId(0)), Some(Pid(n)));
        let mut r = Requests::default();
        assert_eq!(r.availability(true, at(100)), 1_000_000);
        // A client that hung for 25 of 100 s, and one that did not ask then.
        for s in (0..40).chain(65..100) {
            r.add(client(1), note(s, Outcome::Ok(HostId(0))));
        }
        r.add(client(1), note(40, Outcome::Timeout));
        assert_eq!(r.availability(true, at(100)), 750_000);
        r.add(client(2), note(1, Outcome::Ok(HostId(0))));
        assert_eq!(r.availability(true, at(100)), 875_000);
        assert_eq!(r.availability(false, at(100)), 1_000_000, "nobody reads");
        // What is not over at the end counts until then.
        r.add(client(2), note(90, Outcome::Reset));
        assert_eq!(r.availability(true, at(100)), 825_000);
    }
}
