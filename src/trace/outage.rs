//! What clients saw: windows without service, counts, availability.

use crate::engine::{Span, Time};
use crate::node::process::{HostId, Pid};
use crate::proto::client::process::{Kind, Note, Outcome};
use std::borrow::Cow;

/// A window in which no request of a client succeeded. It is over when an answer has come: a request that waits, in an accept queue or for
/// a lock, is no service yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Outage {
    /// When the last request before it that succeeded was answered.
    pub last_ok: Time,
    /// When the first request that failed was sent.
    pub from: Time,
    /// When the next request that succeeded was answered; the end of the run if none was.
    pub to: Time,
    /// Service came back.
    pub over: bool,
}
impl Outage {
    /// How long, from the first failed request to the first answer.
    pub fn length(&self) -> Span {
        self.to.since(self.from)
    }
    /// The distance between two answers, as a client measures it that writes down when it was answered.
    pub fn gap(&self) -> Span {
        self.to.since(self.last_ok)
    }
}

/// Requests of a run: whose, when sent, how they ended and when.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// The clients, in the order in which they were heard first.
    own: Vec<Own>,
}
/// A client: its host and its process.
pub type Client = (Option<HostId>, Option<Pid>);
/// A request, and when it ended.
type Ended = (Note, Time);

/// A client's own requests.
#[derive(Clone, Debug)]
struct Own {
    client: Client,
    /// In the order in which they ended ...
    list: Vec<Ended>,
    /// ... which is that in which they were sent, as long as none has overtaken another.
    in_order: bool,
}
impl Own {
    fn add(&mut self, note: Note, at: Time) {
        self.in_order &= self.list.last().is_none_or(|(last, _)| last.sent <= note.sent);
        self.list.push((note, at));
    }
    fn sort(&mut self) {
        self.list.sort_by_key(|(n, _)| n.sent);
        self.in_order = true;
    }
    /// The requests in the order in which they were sent.
    fn sent(&self) -> Cow<'_, [Ended]> {
        if self.in_order {
            return Cow::Borrowed(&self.list);
        }
        let mut own = self.clone();
        own.sort();
        Cow::Owned(own.list)
    }
}
/// Whether a request counts as a write (or a read); one that is neither counts as both.
fn is(note: &Note, write: bool) -> bool {
    note.kind != if write { Kind::Read } else { Kind::Write }
}

impl Requests {
    /// Takes note of a request that ended just now.
    pub fn add(&mut self, client: Client, note: Note, at: Time) {
        match self.own.iter_mut().find(|o| o.client == client) {
            Some(own) => own.add(note, at),
            None => self.own.push(Own { client, list: vec![(note, at)], in_order: true }),
        }
    }
    /// No more will come: puts them in order once, and not for every question.
    pub fn settle(&mut self) {
        self.own.iter_mut().filter(|o| !o.in_order).for_each(Own::sort);
    }
    /// The clients, in the order of their processes.
    pub fn clients(&self) -> Vec<Client> {
        let mut list: Vec<Client> = self.own.iter().map(|o| o.client).collect();
        list.sort_by_key(|c| c.1);
        list
    }
    fn of(&self, client: Client) -> Option<&Own> {
        self.own.iter().find(|o| o.client == client)
    }
    fn all(&self) -> impl Iterator<Item = &Note> + Clone {
        self.own.iter().flat_map(|o| &o.list).map(|(n, _)| n)
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
        let list = self.of(client).map(Own::sent).unwrap_or_default();
        for (n, at) in list.iter().filter(|(n, _)| is(n, write)) {
            if let Outcome::Ok(_) = n.outcome {
                if let Some(o) = open.take() {
                    windows.push(Outage { to: *at, over: true, ..o });
                }
                last_ok = Some(*at);
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
        for own in self.own.iter().filter(|o| o.list.iter().any(|(n, _)| is(n, write))) {
            all += u128::from(end.0);
            let outages = self.outages_of(own.client, write, end);
            down += outages.iter().map(|o| u128::from(o.length().0)).sum::<u128>();
        }
        (all.saturating_sub(down) * 1_000_000).checked_div(all).unwrap_or(1_000_000) as u64
    }
    /// Requests that succeeded, and all.
    pub fn counts(&self, write: bool) -> (u64, u64) {
        let list = self.all().filter(|n| is(n, write));
        let ok = list.clone().filter(|n| matches!(n.outcome, Outcome::Ok(_))).count() as u64;
        (ok, list.count() as u64)
    }
    /// Requests sent in this time that failed, and all.
    pub fn failed(&self, client: Client, from: Time, to: Time) -> (u64, u64) {
        let mine = self.of(client).into_iter().flat_map(|o| &o.list).map(|(n, _)| n);
        let sent = mine.filter(|n| n.sent >= from && n.sent < to);
        let failed = sent.clone().filter(|n| !matches!(n.outcome, Outcome::Ok(_))).count() as u64;
        (failed, sent.count() as u64)
    }
    /// Requests that failed, by how: database errors by their codes.
    pub fn errors(&self) -> Vec<(&'static str, u64)> {
        let names = ["timeout", "reset", "unreachable", "closed"];
        let mut counts: Vec<(&'static str, u64)> = names.map(|n| (n, 0)).to_vec();
        for n in self.all() {
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
        self.own.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn requests(list: &[(u64, u64, bool)]) -> Requests {
        let mut all = Requests::default();
        for (sent, at, ok) in list {
            let outcome = if *ok { Outcome::Ok(HostId(0)) } else { Outcome::Reset };
            all.add((None, None), Note { kind: Kind::Write, sent: Time::ms(*sent), outcome }, Time::ms(*at));
        }
        all
    }
    #[test]
    fn an_outage_ends_with_an_answer_and_not_with_the_request_that_waits_for_it() {
        // A session is cut; the next request is sent at once and waits 600 ms in a queue.
        let r = requests(&[(0, 2, true), (20, 22, true), (42, 50, false), (51, 651, true), (671, 673, true)]);
        let w = r.outages(true, Time::ms(1_000));
        assert_eq!(w.len(), 1);
        assert_eq!((w[0].from, w[0].to, w[0].over), (Time::ms(42), Time::ms(651), true));
        assert_eq!((w[0].length(), w[0].gap()), (Span::ms(609), Span::ms(629)));
        // Nobody answers any more.
        let w = requests(&[(0, 2, true), (20, 30, false)]).outages(true, Time::ms(1_000));
        assert_eq!((w[0].to, w[0].over, w[0].gap()), (Time::ms(1_000), false, Span::ms(998)));
        // Slow answers alone are no outage: nothing failed.
        assert!(requests(&[(0, 900, true), (910, 1_900, true)]).outages(true, Time::ms(2_000)).is_empty());
    }

    #[test]
    fn availability_is_time_not_requests() {
        let at = |s: u64| Time::ZERO + Span::secs(s);
        let note = |sent: u64, outcome: Outcome| Note { sent: at(sent), kind: Kind::Write, outcome };
        let client = |n: u16| (Some(HostId(0)), Some(Pid(n)));
        let mut r = Requests::default();
        assert_eq!(r.availability(true, at(100)), 1_000_000);
        // A client that hung for 25 of 100 s, and one that did not ask then.
        for s in (0..40).chain(65..100) {
            r.add(client(1), note(s, Outcome::Ok(HostId(0))), at(s));
        }
        r.add(client(1), note(40, Outcome::Timeout), at(41));
        assert_eq!(r.availability(true, at(100)), 750_000);
        r.add(client(2), note(1, Outcome::Ok(HostId(0))), at(1));
        assert_eq!(r.availability(true, at(100)), 875_000);
        assert_eq!(r.availability(false, at(100)), 1_000_000, "nobody reads");
        // What is not over at the end counts until then.
        r.add(client(2), note(90, Outcome::Reset), at(91));
        assert_eq!(r.availability(true, at(100)), 825_000);
    }
}
