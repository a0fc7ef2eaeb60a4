//! How a server is chosen for a new session.
//!
//! Source: HAProxy 2.6, `lb_fwrr.c`, `lb_map.c`, `lb_fwlc.c`, `lb_fas.c`, configuration manual ("balance"). Active servers come
//! first; without one that can be used, the first backup server, or with `option allbackups` all of them. Servers that are full are passed
//! over, except by `Source`, whose choice depends on the address alone.

use super::config::Balance;
use crate::net::addr::Ip;

/// Weights are counted in sixteenths, so that a server that starts slowly has a share smaller than 1.
pub const SCALE: u32 = 16;
/// The highest weight, in sixteenths.
const TOP: i64 = 256 * SCALE as i64;

/// What a choice goes by, of each server of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// The weight in force, in sixteenths; 0: no new sessions.
    pub weight: u32,
    /// The weight of the configuration.
    pub configured: u32,
    /// A backup server.
    pub backup: bool,
    /// Up, not drained.
    pub up: bool,
    /// Sessions that have a place.
    pub served: u32,
    /// Sessions in its queue.
    pub queued: u32,
    /// Its places; 0: no limit.
    pub maxconn: u32,
    /// The length of its queue; 0: no limit.
    pub maxqueue: u32,
}
impl Load {
    /// Whether new sessions may go there.
    pub fn usable(&self) -> bool {
        self.up && self.weight > 0
    }
    /// Whether a new session finds a place at once.
    pub fn room(&self) -> bool {
        self.maxconn == 0 || (self.queued == 0 && self.served < self.maxconn)
    }
}

/// A choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pick {
    /// This server of the group.
    Server(usize),
    /// All that could be used are full.
    Full,
    /// There is none that could be used.
    Nobody,
}

/// Who may be chosen just now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    Active,
    One(usize),
    Backups,
    Nobody,
}
fn turn(loads: &[Load], allbackups: bool) -> Turn {
    if loads.iter().any(|l| l.usable() && !l.backup) {
        return Turn::Active;
    }
    match loads.iter().position(|l| l.usable() && l.backup) {
        Some(_) if allbackups => Turn::Backups,
        Some(first) => Turn::One(first),
        None => Turn::Nobody,
    }
}
/// Whether a server may take sessions that wait for any server.
pub fn may_take(loads: &[Load], i: usize, allbackups: bool) -> bool {
    loads[i].usable()
        && match turn(loads, allbackups) {
            Turn::Active => !loads[i].backup,
            Turn::One(only) => only == i,
            Turn::Backups => true,
            Turn::Nobody => false,
        }
}

/// The choice of a group.
#[derive(Clone, Debug)]
pub struct Balancer {
    how: How,
    allbackups: bool,
}
#[derive(Clone, Debug)]
enum How {
    Round(Box<Round>),
    Table(Table, bool),
    Least(Vec<(i64, u64)>, u64),
    First,
}

impl Balancer {
    /// The choice of a group that begins with these servers.
    pub fn new(balance: Balance, loads: &[Load], allbackups: bool) -> Self {
        let how = match balance {
            Balance::Roundrobin => How::Round(Box::new(Round::new(loads))),
            Balance::StaticRr => How::Table(Table::new(loads), true),
            Balance::Source => How::Table(Table::new(loads), false),
            Balance::Leastconn => {
                How::Least((0..loads.len()).map(|i| (0, i as u64)).collect(), loads.len() as u64)
            }
            Balance::First => How::First,
        };
        Balancer { how, allbackups }
    }
    /// Whether a choice does not depend on the one before (`roundrobin`, `static-rr`): a failed session may go on elsewhere at once.
    pub fn any_server_will_do(&self) -> bool {
        matches!(self.how, How::Round(_) | How::Table(_, true))
    }
    /// Whether sessions that wait for any server go before new ones.
    pub fn queue_goes_first(&self) -> bool {
        !matches!(self.how, How::Least(..) | How::Table(_, false))
    }
    /// Chooses. A server to avoid is taken only if there is no other.
    pub fn pick(&mut self, loads: &[Load], source: Ip, avoid: Option<usize>) -> Pick {
        let turn = turn(loads, self.allbackups);
        let mine = |i: usize| loads[i].usable() && loads[i].backup == (turn == Turn::Backups);
        let found = match (turn, &mut self.how) {
            (Turn::Nobody, _) => return Pick::Nobody,
            (Turn::One(only), _) => return Pick::Server(only),
            (_, How::Table(t, in_turn)) => {
                t.refresh(loads, turn == Turn::Backups);
                if *in_turn { t.next(loads, avoid) } else { t.of(source) }
            }
            (_, How::Round(r)) => r.next(loads, usize::from(turn == Turn::Backups), avoid),
            (_, How::Least(order, _)) => {
                let limit = |l: &Load| l.maxconn.saturating_add(l.maxqueue);
                let room = |l: &Load| l.maxconn == 0 || l.served + l.queued < limit(l);
                let free = |i: &usize| mine(*i) && room(&loads[*i]);
                let best =
                    (0..loads.len()).filter(|i| free(i) && Some(*i) != avoid).min_by_key(|i| order[*i]);
                best.or_else(|| avoid.filter(free))
            }
            (_, How::First) => {
                let free = |i: &usize| mine(*i) && loads[*i].room();
                (0..loads.len()).find(|i| free(i) && Some(*i) != avoid).or_else(|| avoid.filter(free))
            }
        };
        found.map_or(Pick::Full, Pick::Server)
    }
    /// A server went up or down, or has another weight.
    pub fn changed(&mut self, loads: &[Load], i: usize) {
        match &mut self.how {
            How::Round(r) => r.changed(loads, i),
            How::Table(t, _) => t.stale = true,
            How::Least(..) => self.loaded(loads, i),
            How::First => {}
        }
    }
    /// A server has more or fewer sessions.
    pub fn loaded(&mut self, loads: &[Load], i: usize) {
        let How::Least(order, seq) = &mut self.how else { return };
        let l = &loads[i];
        let busy = i64::from(l.served) + i64::from(l.queued);
        let key = if busy == 0 { 0 } else { (busy + 1) * TOP / i64::from(l.weight.max(1)) };
        // Among servers with the same load the one that has had it for longest comes first.
        if order[i].0 != key {
            *seq += 1;
            order[i] = (key, *seq);
        }
    }
}

/// `roundrobin`: every server has a place in a row of positions, `total weight / own weight` after its last one; each choice
/// takes the lowest place. Places beyond the present row wait for the next.
#[derive(Clone, Debug)]
struct Round {
    groups: [Group; 2],
    places: Vec<Place>,
    seq: u64,
}
/// Ordered by key, then by arrival: the lowest first.
type Row = Vec<(i64, u64, usize)>;
#[derive(Clone, Debug, Default)]
struct Group {
    now: Row,
    start: Row,
    next: Row,
    position: i64,
    weight: i64,
    next_weight: i64,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Where {
    #[default]
    Nowhere,
    Now,
    Start,
    Next,
}
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    at: i64,
    before: i64,
    rest: i64,
    weight: i64,
    row: Where,
}

impl Round {
    fn new(loads: &[Load]) -> Self {
        let places = vec![Place::default(); loads.len()];
        let mut r = Round { groups: [Group::default(), Group::default()], places, seq: 0 };
        for (i, l) in loads.iter().enumerate().filter(|(_, l)| l.usable()) {
            r.groups[usize::from(l.backup)].next_weight += i64::from(l.weight);
            r.places[i].weight = i64::from(l.weight);
            r.by_weight(usize::from(l.backup), i, Where::Start);
        }
        for g in &mut r.groups {
            (g.weight, g.position) = (g.next_weight, g.next_weight);
        }
        r
    }
    fn put(&mut self, g: usize, i: usize, row: Where, key: i64) {
        self.seq += 1;
        let entry = (key, self.seq, i);
        let list = match row {
            Where::Now => &mut self.groups[g].now,
            Where::Start => &mut self.groups[g].start,
            Where::Next => &mut self.groups[g].next,
            Where::Nowhere => return,
        };
        let at = list.partition_point(|e| *e < entry);
        list.insert(at, entry);
        self.places[i].row = row;
    }
    fn by_weight(&mut self, g: usize, i: usize, row: Where) {
        self.put(g, i, row, TOP - self.places[i].weight);
    }
    fn take_out(&mut self, g: usize, i: usize) {
        let g = &mut self.groups[g];
        for list in [&mut g.now, &mut g.start, &mut g.next] {
            list.retain(|e| e.2 != i);
        }
    }
    /// Gives a server the row that its place is in.
    fn queue(&mut self, g: usize, i: usize) {
        let (weight, next) = (self.groups[g].weight, self.groups[g].next_weight);
        let p = self.places[i];
        if p.weight == 0 || p.at >= 2 * weight || p.at >= weight + next {
            self.places[i].at -= weight;
            self.by_weight(g, i, Where::Next);
        } else {
            self.put(g, i, Where::Now, 257 * p.at + (TOP + p.rest - p.weight) / i64::from(SCALE));
        }
    }
    /// Its place, counted in the present row.
    fn place(&mut self, g: usize, i: usize) {
        let group = &self.groups[g];
        let (weight, position) = (group.weight, group.position);
        let p = &mut self.places[i];
        match p.row {
            Where::Start => (p.at, p.rest) = (0, 0),
            Where::Next => p.at += weight,
            Where::Nowhere => p.at = position,
            Where::Now => {}
        }
    }
    fn best(&mut self, g: usize) -> Option<usize> {
        let group = &self.groups[g];
        let due = group.now.first().map(|e| e.2);
        if let Some(i) = due.filter(|i| self.places[*i].at <= group.position) {
            return Some(i);
        }
        if let Some(i) = group.start.first().map(|e| e.2) {
            self.place(g, i);
            return Some(i);
        }
        due
    }
    fn next(&mut self, loads: &[Load], g: usize, avoid: Option<usize>) -> Option<usize> {
        let mut turned = false;
        let mut passed: Vec<usize> = Vec::new();
        let mut avoided = None;
        let chosen = loop {
            let group = &mut self.groups[g];
            if group.weight == 0 {
                (group.position, group.weight) = (group.next_weight, group.next_weight);
            }
            let Some(i) = self.best(g) else {
                if turned {
                    break avoided;
                }
                turned = true;
                let group = &mut self.groups[g];
                std::mem::swap(&mut group.start, &mut group.next);
                (group.weight, group.position) = (group.next_weight, group.next_weight);
                for e in &group.start {
                    self.places[e.2].row = Where::Start;
                }
                for e in &group.next {
                    self.places[e.2].row = Where::Next;
                }
                continue;
            };
            let (position, next) = (self.groups[g].position, self.groups[g].next_weight);
            let p = &mut self.places[i];
            if p.at == 0 {
                p.at = position;
            }
            p.before = p.at;
            p.at += next / p.weight.max(1);
            p.rest += next % p.weight.max(1);
            if p.rest >= p.weight {
                p.rest -= p.weight;
                p.at += 1;
            }
            self.take_out(g, i);
            self.groups[g].position += 1;
            if loads[i].room() {
                if Some(i) != avoid || avoided.is_some() {
                    break Some(i);
                }
                avoided = Some(i);
            }
            passed.push(i);
        };
        if let Some(i) = chosen {
            self.queue(g, i);
        }
        for i in passed.into_iter().rev().filter(|i| Some(*i) != chosen) {
            if turned { self.by_weight(g, i, Where::Start) } else { self.queue(g, i) }
        }
        chosen
    }
    fn changed(&mut self, loads: &[Load], i: usize) {
        let g = usize::from(loads[i].backup);
        let old = self.places[i].weight;
        let new = if loads[i].usable() { i64::from(loads[i].weight) } else { 0 };
        if old == new {
            return;
        }
        self.groups[g].next_weight += new - old;
        let step = self.groups[g].next_weight / new.max(1);
        if new == 0 {
            self.take_out(g, i);
            (self.places[i].row, self.places[i].weight) = (Where::Nowhere, 0);
            return;
        }
        self.places[i].weight = new;
        if old == 0 {
            self.place(g, i);
            let group = &self.groups[g];
            self.places[i].at = group.position + (group.next_weight + group.weight - group.position) / new;
            self.queue(g, i);
            return;
        }
        if self.places[i].row == Where::Start {
            self.take_out(g, i);
            self.by_weight(g, i, Where::Start);
            return;
        }
        self.place(g, i);
        let position = self.groups[g].position;
        let p = &mut self.places[i];
        let at = p.at;
        p.at = (p.before + step).min(at);
        p.rest = 0;
        if p.at < position + 2 {
            p.at = position + step;
        }
        self.take_out(g, i);
        self.queue(g, i);
    }
}

/// `static-rr` and `source`: a table in which every server that can be used stands as often as its weight says, evenly mixed. It is made
/// anew whenever a server goes up or down, so that most addresses then belong to another server.
#[derive(Clone, Debug)]
struct Table {
    table: Vec<usize>,
    at: usize,
    divisor: u32,
    stale: bool,
}
impl Table {
    fn new(loads: &[Load]) -> Self {
        fn common(a: u32, b: u32) -> u32 {
            if b == 0 { a } else { common(b, a % b) }
        }
        let divisor = loads.iter().map(|l| l.configured).fold(0, common).max(1);
        Table { table: Vec::new(), at: 0, divisor, stale: true }
    }
    fn refresh(&mut self, loads: &[Load], backups: bool) {
        if !self.stale {
            return;
        }
        self.stale = false;
        let weight = |l: &Load| {
            if l.usable() && l.backup == backups { u64::from(l.configured / self.divisor) } else { 0 }
        };
        let total: u64 = loads.iter().map(weight).sum();
        let mut scores = vec![0i64; loads.len()];
        self.table.clear();
        for _ in 0..total {
            let mut best: Option<(i64, usize)> = None;
            for (i, l) in loads.iter().enumerate().filter(|(_, l)| weight(l) > 0) {
                scores[i] += weight(l) as i64;
                let v = (scores[i] + total as i64) / total as i64;
                if best.is_none_or(|b| v > b.0) {
                    best = Some((v, i));
                }
            }
            if let Some((_, i)) = best {
                scores[i] -= total as i64;
                self.table.push(i);
            }
        }
    }
    fn next(&mut self, loads: &[Load], avoid: Option<usize>) -> Option<usize> {
        let n = self.table.len();
        if self.at >= n {
            self.at = 0;
        }
        let mut avoided = None;
        for k in 0..n {
            let at = (self.at + k) % n;
            let i = self.table[at];
            if loads[i].room() {
                avoided = Some((i, at + 1));
                if Some(i) != avoid {
                    break;
                }
            }
        }
        let (i, next) = avoided?;
        self.at = next;
        Some(i)
    }
    fn of(&self, source: Ip) -> Option<usize> {
        let n = self.table.len().max(1) as u32;
        self.table.get((source.0 % n) as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(weight: u32) -> Load {
        Load {
            weight: weight * SCALE,
            configured: weight,
            backup: false,
            up: true,
            served: 0,
            queued: 0,
            maxconn: 0,
            maxqueue: 0,
        }
    }
    fn row(b: &mut Balancer, loads: &[Load], n: usize) -> String {
        (0..n)
            .map(|_| match b.pick(loads, Ip(0), None) {
                Pick::Server(i) => (b'A' + i as u8) as char,
                Pick::Full => '=',
                Pick::Nobody => '-',
            })
            .collect()
    }

    #[test]
    fn roundrobin_is_smooth() {
        let equal: Vec<Load> = (0..3).map(|_| load(1)).collect();
        let mut b = Balancer::new(Balance::Roundrobin, &equal, false);
        assert_eq!(row(&mut b, &equal, 9), "ABCABCABC");
        for weights in [[5, 1, 1], [3, 2, 1], [100, 50, 25], [7, 7, 1]] {
            let loads: Vec<Load> = weights.iter().map(|w| load(*w)).collect();
            let mut b = Balancer::new(Balance::Roundrobin, &loads, false);
            let total: u32 = weights.iter().sum();
            let row = row(&mut b, &loads, 4 * total as usize);
            for (i, w) in weights.iter().enumerate() {
                let n = row.matches((b'A' + i as u8) as char).count() as u32;
                assert!(n.abs_diff(4 * w) <= 1, "{weights:?}: {row}");
            }
        }
        let loads: Vec<Load> = [5, 1, 1].iter().map(|w| load(*w)).collect();
        let mut b = Balancer::new(Balance::Roundrobin, &loads, false);
        let row = row(&mut b, &loads, 70);
        assert!(!row[7..].contains("AAAAAA"), "no burst: {row}");
    }
    #[test]
    fn roundrobin_survives_ups_and_downs() {
        let mut loads: Vec<Load> = (0..3).map(|_| load(1)).collect();
        let mut b = Balancer::new(Balance::Roundrobin, &loads, false);
        for k in 0..200usize {
            let i = (k * 7) % 3;
            loads[i].up = !loads[i].up;
            b.changed(&loads, i);
            let up: Vec<usize> = (0..3).filter(|i| loads[*i].up).collect();
            if up.is_empty() {
                assert_eq!(b.pick(&loads, Ip(0), None), Pick::Nobody);
                continue;
            }
            let mut counts = [0; 3];
            for _ in 0..up.len() * 10 {
                match b.pick(&loads, Ip(0), None) {
                    Pick::Server(s) => counts[s] += 1,
                    other => panic!("{other:?}"),
                }
            }
            for i in up {
                assert!((8..=12).contains(&counts[i]), "{counts:?} at {k}");
            }
        }
    }
    #[test]
    fn full_servers_are_passed_over() {
        for balance in [Balance::Roundrobin, Balance::StaticRr, Balance::Leastconn, Balance::First] {
            let mut loads: Vec<Load> = (0..3).map(|_| Load { maxconn: 2, ..load(1) }).collect();
            let mut b = Balancer::new(balance, &loads, false);
            let mut row = String::new();
            for _ in 0..7 {
                match b.pick(&loads, Ip(0), None) {
                    Pick::Server(i) => {
                        loads[i].served += 1;
                        b.loaded(&loads, i);
                        row.push((b'A' + i as u8) as char);
                    }
                    Pick::Full => row.push('='),
                    Pick::Nobody => row.push('-'),
                }
            }
            let expected = if balance == Balance::First { "AABBCC=" } else { "ABCABC=" };
            assert_eq!(row, expected, "{balance:?}");
        }
    }
    #[test]
    fn tables_are_mixed_and_source_is_the_address_modulo_the_weight() {
        let loads: Vec<Load> = [4, 2, 2].iter().map(|w| load(*w)).collect();
        let mut b = Balancer::new(Balance::StaticRr, &loads, false);
        assert_eq!(row(&mut b, &loads, 8), "AABCAABC");
        let equal: Vec<Load> = (0..3).map(|_| load(10)).collect();
        let mut b = Balancer::new(Balance::Source, &equal, false);
        for ip in [0x0A00_0001u32, 0x0A00_0002, 0x0A00_0003, 0xC0A8_0107] {
            assert_eq!(b.pick(&equal, Ip(ip), None), Pick::Server((ip % 3) as usize));
        }
    }
    #[test]
    fn backups_wait_until_nobody_else_is_left() {
        let mut loads = vec![load(1), Load { backup: true, ..load(1) }, Load { backup: true, ..load(1) }];
        for (all, expected) in [(false, "BBBB"), (true, "BBCC")] {
            for balance in [Balance::Roundrobin, Balance::StaticRr] {
                loads[0].up = true;
                let mut b = Balancer::new(balance, &loads, all);
                assert_eq!(row(&mut b, &loads, 3), "AAA");
                loads[0].up = false;
                b.changed(&loads, 0);
                let mut after: Vec<char> = row(&mut b, &loads, 4).chars().collect();
                after.sort_unstable();
                assert_eq!(after.iter().collect::<String>(), expected, "{balance:?}");
            }
        }
    }
}
