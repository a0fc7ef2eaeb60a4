//! The figures of a run, as `run --format json` prints them and as a sweep keeps them. Whole numbers: microseconds, millionths, counts.

use super::marks::Mark;
use super::outage::Outage;
use super::run::Run;
use crate::engine::Time;
use crate::node::process::Pid;

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Things.
    Count,
    /// Time: microseconds inside, printed as milliseconds.
    Ms,
    /// A share: millionths inside, printed as a fraction of one.
    Share,
}
impl Unit {
    /// How many parts of the figure inside are one of the figure that is printed.
    pub const fn scale(self) -> u64 {
        match self {
            Unit::Count => 1,
            Unit::Ms => 1_000,
            Unit::Share => 1_000_000,
        }
    }
}

/// A figure of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Metric {
    /// The longest window in which a client's writes failed: the recovery time (RTO) of writes.
    WriteOutageMax,
    /// The same for reads.
    ReadOutageMax,
    /// Windows of writes or reads that were still open when the run ended.
    OpenOutages,
    /// Writes that clients were told are committed.
    AckedWrites,
    /// Those of them that the newest history does not have (RPO).
    LostWrites,
    /// RPO as a time: from the last acknowledged write before all that are lost to the last lost one.
    LostWindow,
    /// Writes that the newest history has although clients were told of no success.
    PhantomWrites,
    /// Operations that the newest history has more than once.
    DuplicatedWrites,
    /// By how much the oldest read lagged behind what was committed.
    StaleReadMax,
    /// Writes (and requests that are neither) that failed.
    FailedRequests,
    /// How long two databases were writable.
    SplitBrain,
    /// How long a virtual address had two holders.
    DualVip,
    /// The share of the time in which a client's writes succeed, the clients' mean ([`Requests::availability`]).
    ///
    /// [`Requests::availability`]: super::outage::Requests::availability
    WriteAvailability,
    /// The same for reads.
    ReadAvailability,
    /// Promotions after the first fault; without a database, takeovers of an address.
    Failovers,
}
impl Metric {
    /// All, in the order of the columns.
    pub const ALL: [Metric; 15] = [
        Metric::WriteOutageMax,
        Metric::ReadOutageMax,
        Metric::OpenOutages,
        Metric::AckedWrites,
        Metric::LostWrites,
        Metric::LostWindow,
        Metric::PhantomWrites,
        Metric::DuplicatedWrites,
        Metric::StaleReadMax,
        Metric::FailedRequests,
        Metric::SplitBrain,
        Metric::DualVip,
        Metric::WriteAvailability,
        Metric::ReadAvailability,
        Metric::Failovers,
    ];
    /// The stable name, with the unit at its end.
    pub const fn name(self) -> &'static str {
        match self {
            Metric::WriteOutageMax => "write_outage_max_ms",
            Metric::ReadOutageMax => "read_outage_max_ms",
            Metric::OpenOutages => "open_outages",
            Metric::AckedWrites => "acked_writes",
            Metric::LostWrites => "lost_writes",
            Metric::LostWindow => "lost_window_ms",
            Metric::PhantomWrites => "phantom_writes",
            Metric::DuplicatedWrites => "duplicated_writes",
            Metric::StaleReadMax => "stale_read_max_ms",
            Metric::FailedRequests => "failed_requests",
            Metric::SplitBrain => "split_brain_ms",
            Metric::DualVip => "dual_vip_ms",
            Metric::WriteAvailability => "write_availability",
            Metric::ReadAvailability => "read_availability",
            Metric::Failovers => "failovers",
        }
    }
    /// Its unit.
    pub const fn unit(self) -> Unit {
        match self {
            Metric::WriteOutageMax
            | Metric::ReadOutageMax
            | Metric::LostWindow
            | Metric::StaleReadMax
            | Metric::SplitBrain
            | Metric::DualVip => Unit::Ms,
            Metric::WriteAvailability | Metric::ReadAvailability => Unit::Share,
            _ => Unit::Count,
        }
    }
}

/// A window of time in microseconds.
pub type Window = (u64, u64);

/// The figures of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Metrics {
    values: [u64; Metric::ALL.len()],
    /// Windows without writes, each client's own.
    pub write_outages: Vec<Window>,
    /// Windows without reads.
    pub read_outages: Vec<Window>,
    /// Requests that failed, by how.
    pub errors: Vec<(String, u64)>,
    /// How long each invariant was broken, in microseconds, for those that were; in the order of their names.
    pub broken: Vec<(String, u64)>,
}

impl Metrics {
    /// A figure, in the parts of its unit.
    pub fn get(&self, m: Metric) -> u64 {
        self.values[m as usize]
    }
    /// Sets a figure.
    pub fn set(&mut self, m: Metric, value: u64) {
        self.values[m as usize] = value;
    }
    /// The figures of a run that is over.
    pub fn of(r: &Run) -> Metrics {
        let mut m = Metrics::default();
        let (writes, reads) = (r.outages(true), r.outages(false));
        let longest = |o: &[Outage]| o.iter().map(|o| micros(Time(o.length().0))).max().unwrap_or(0);
        let (ok, all) = r.requests.counts(true);
        let first = r.first_fault();
        let kind = if r.database { "promoted" } else { "vip_up" };
        // A cluster manager tells of its promotion as well: the server's own counts.
        let own = |pid: Option<Pid>| {
            !r.database
                || pid.and_then(|p| r.processes.get(usize::from(p.0))).is_some_and(|name| name == "postgres")
        };
        let counts = |m: &&Mark| m.kind == kind && first.is_some_and(|f| m.at >= f) && own(m.pid);
        let failovers = r.marks.iter().filter(counts).count();
        m.set(Metric::WriteOutageMax, longest(&writes));
        m.set(Metric::ReadOutageMax, longest(&reads));
        m.set(Metric::OpenOutages, writes.iter().chain(&reads).filter(|o| !o.over).count() as u64);
        m.set(Metric::AckedWrites, if r.database { r.balance.acked } else { ok });
        m.set(Metric::LostWrites, r.balance.lost);
        m.set(Metric::LostWindow, micros(Time(r.balance.lost_window.0)));
        m.set(Metric::PhantomWrites, r.balance.phantom);
        m.set(Metric::DuplicatedWrites, r.balance.duplicated);
        m.set(Metric::StaleReadMax, micros(Time(r.balance.stale_read.0)));
        m.set(Metric::FailedRequests, all - ok);
        m.set(Metric::SplitBrain, r.broken_ms("SplitBrainAnywhere") * 1_000);
        m.set(Metric::DualVip, r.broken_ms("DualVipAnywhere") * 1_000);
        m.set(Metric::WriteAvailability, r.requests.availability(true, r.end));
        m.set(Metric::ReadAvailability, r.requests.availability(false, r.end));
        m.set(Metric::Failovers, failovers as u64);
        let windows = |list: &[Outage]| list.iter().map(|o| (micros(o.from), micros(o.to))).collect();
        m.write_outages = windows(&writes);
        m.read_outages = windows(&reads);
        m.errors = r.requests.errors().into_iter().map(|(k, n)| (k.to_owned(), n)).collect();
        for v in &r.violations {
            let long = micros(Time(v.to.since(v.from).0));
            match m.broken.iter_mut().find(|b| b.0 == v.invariant) {
                Some(b) => b.1 += long,
                None => m.broken.push((v.invariant.to_owned(), long)),
            }
        }
        m.broken.sort_unstable();
        m
    }
}

/// A time in whole microseconds, rounded.
pub fn micros(t: Time) -> u64 {
    (t.0 + 500) / 1_000
}

/// A figure as it is printed: a decimal number without needless noughts.
pub fn decimal(value: u64, scale: u64) -> String {
    let (whole, part) = (value / scale, value % scale);
    if part == 0 {
        return whole.to_string();
    }
    let digits = scale.ilog10() as usize;
    format!("{whole}.{part:0digits$}").trim_end_matches('0').to_owned()
}
