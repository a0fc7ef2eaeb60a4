//! Which node a statement goes to: a pure function of the statement, of what the session has done, and of what the processes know together.
//!
//! Source: `src/context/pool_query_context.c` (`where_to_send_main_replica`, `where_to_send_native_replication`), `src/utils/pool_select_walker.c`,
//! `src/config/pool_config_variables.c`; manual, "Load Balancing"; what 4.3.5 did with each statement. The first rule that fits decides, and
//! every decision names its rule. Delays are those that the worker saw last ([`super::worker`]), so up to `sr_check_period` old.
//!
//! **Not modelled:** the parser (statements are read by [`crate::proto::postgres::sql`]), the relation cache (what the catalog says of a table or
//! function is known without asking), patterns other than `.*`, `.` and literal text.

use super::Setup;
use super::config::{Mode, OnWrite};
use super::shared::{Login, Shared};
use crate::engine::Time;
use crate::proto::postgres::sql::{Catalog, Command, Persistence, Verb};
use crate::say;
use std::sync::Arc;

/// Where a statement goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum To {
    /// To the node that writes go to: the primary, or the main node.
    Writer,
    /// To one node, for its reads.
    Node(u8),
    /// To the primary and to the session's other node.
    Both,
    /// To every attached node.
    All,
}

/// The rule that decided.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
#[allow(missing_docs)] // Their words say what they are.
pub enum Rule {
    Several,
    Unparsed,
    PrimaryOnly,
    Both,
    SerializableBegin,
    AfterWriteAlways,
    AfterWriteTransTransaction,
    NoLoadBalance,
    NotASelect,
    Explain,
    Comment,
    Serializable,
    FailedTransaction,
    WroteInTransaction,
    Catalog,
    TempTable,
    UnloggedTable,
    Pattern,
    WritingFunction,
    NotListedReadOnly,
    Volatile,
    DmlAdaptive,
    DmlAdaptiveGlobal,
    Balanced,
    Redirected,
    RedirectMissed,
    TooLate,
    LeastLate,
    AllTooLate,
    Raw,
    Replicated,
    ReplicateSelect,
    MainOnly,
    Partitioned,
}
impl Rule {
    /// The rule in words, with the manual's name for it.
    pub fn words(self) -> String {
        say!(match self {
            Rule::Several => "pgpool-rule-several",
            Rule::Unparsed => "pgpool-rule-unparsed",
            Rule::PrimaryOnly => "pgpool-rule-primary-only",
            Rule::Both => "pgpool-rule-both",
            Rule::SerializableBegin => "pgpool-rule-serializable-begin",
            Rule::AfterWriteAlways => "pgpool-rule-always",
            Rule::AfterWriteTransTransaction => "pgpool-rule-trans-transaction",
            Rule::NoLoadBalance => "pgpool-rule-off",
            Rule::NotASelect => "pgpool-rule-not-select",
            Rule::Explain => "pgpool-rule-explain",
            Rule::Comment => "pgpool-rule-comment",
            Rule::Serializable => "pgpool-rule-serializable",
            Rule::FailedTransaction => "pgpool-rule-failed",
            Rule::WroteInTransaction => "pgpool-rule-wrote",
            Rule::Catalog => "pgpool-rule-catalog",
            Rule::TempTable => "pgpool-rule-temp",
            Rule::UnloggedTable => "pgpool-rule-unlogged",
            Rule::Pattern => "pgpool-rule-pattern",
            Rule::WritingFunction => "pgpool-rule-write-list",
            Rule::NotListedReadOnly => "pgpool-rule-read-list",
            Rule::Volatile => "pgpool-rule-volatile",
            Rule::DmlAdaptive => "pgpool-rule-dml-adaptive",
            Rule::DmlAdaptiveGlobal => "pgpool-rule-dml-adaptive-global",
            Rule::Balanced => "pgpool-rule-balanced",
            Rule::Redirected => "pgpool-rule-redirected",
            Rule::RedirectMissed => "pgpool-rule-redirect-missed",
            Rule::TooLate => "pgpool-rule-too-late",
            Rule::LeastLate => "pgpool-rule-least-late",
            Rule::AllTooLate => "pgpool-rule-all-late",
            Rule::Raw => "pgpool-rule-raw",
            Rule::Replicated => "pgpool-rule-replicated",
            Rule::ReplicateSelect => "pgpool-rule-replicate-select",
            Rule::MainOnly => "pgpool-rule-main-only",
            Rule::Partitioned => "pgpool-rule-partitioned",
        })
    }
}

/// A decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Where to.
    pub to: To,
    /// Why.
    pub rule: Rule,
    /// The session's node for reads is this one from now on.
    pub rebalance: Option<u8>,
}
const fn go(to: To, rule: Rule) -> Decision {
    Decision { to, rule, rebalance: None }
}

/// What a session has done, as far as routing asks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Session {
    /// The node for its reads.
    pub balanced: Option<u8>,
    /// It is in an explicit transaction.
    pub in_transaction: bool,
    /// The transaction is SERIALIZABLE.
    pub serializable: bool,
    /// A statement of the transaction has failed.
    pub failed: bool,
    /// The transaction has written.
    pub wrote: bool,
    /// An earlier explicit transaction has written.
    pub wrote_before: bool,
    /// Anything in the session has written.
    pub wrote_ever: bool,
    /// Tables written in the transaction.
    pub tables: Vec<Arc<str>>,
    /// Temporary tables of the session.
    pub temp: Vec<Arc<str>>,
    /// Prepared statements.
    pub prepared: Vec<(Arc<str>, Arc<Command>)>,
}
impl Session {
    /// Takes note of a statement that is sent.
    pub fn sent(&mut self, c: &Command, catalog: &Catalog, config: &super::Pgpool) {
        let function = c.functions.iter().any(|f| writing(f, catalog, config).is_some());
        let wrote = c.verb.writes()
            || matches!(c.verb, Verb::SelectForUpdate | Verb::Savepoint)
            || (c.verb == Verb::Select && function);
        match c.verb {
            Verb::Begin(b) | Verb::SetTransaction(b) => {
                if matches!(c.verb, Verb::Begin(_)) && !self.in_transaction {
                    (self.in_transaction, self.failed, self.wrote) = (true, false, false);
                    self.serializable = false;
                    self.tables.clear();
                }
                self.serializable |= b.serializable;
            }
            Verb::Commit | Verb::Rollback => {
                self.wrote_before |= self.wrote;
                (self.in_transaction, self.serializable, self.failed, self.wrote) =
                    (false, false, false, false);
                self.tables.clear();
            }
            Verb::CreateTemp => self.temp.extend(c.target.clone()),
            Verb::DropTable => self.temp.retain(|t| Some(t) != c.target.as_ref()),
            Verb::Prepare => {
                if let Some((name, inner)) = c.name.clone().zip(inner(c)) {
                    self.prepared.retain(|p| p.0 != name);
                    self.prepared.push((name, Arc::new(inner)));
                }
            }
            _ => {}
        }
        if wrote {
            self.wrote_ever = true;
            if self.in_transaction {
                self.wrote = true;
                self.tables.extend(c.target.clone());
                for f in c.target.iter().chain(&c.functions) {
                    if let Some(more) = config.dml_adaptive_object_relationship_list.get(&**f) {
                        self.tables.extend(more.iter().map(|t| Arc::<str>::from(t.as_str())));
                    }
                }
            }
        }
    }
}
/// The statement that PREPARE names.
fn inner(c: &Command) -> Option<Command> {
    let (_, text) = c.text.split_once(" AS ").or_else(|| c.text.split_once(" as "))?;
    Some(Command::parse(text).with(c.bytes, true))
}

/// A list of patterns, each matched whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Patterns(Vec<String>);
impl Patterns {
    /// These.
    pub fn new(list: &[String]) -> Self {
        Patterns(
            list.iter().map(|p| p.trim_start_matches('^').trim_end_matches('$').to_lowercase()).collect(),
        )
    }
    /// Whether one of them fits.
    pub fn fit(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.0.iter().any(|p| fits(p.as_bytes(), text.as_bytes()))
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
/// `.` is any character, `.*` any number of them.
fn fits(p: &[u8], t: &[u8]) -> bool {
    match p {
        [] => t.is_empty(),
        [b'.', b'*', rest @ ..] => (0..=t.len()).any(|i| fits(rest, &t[i..])),
        [b'\\', c, rest @ ..] => t.first() == Some(c) && fits(rest, &t[1..]),
        [c, rest @ ..] => t.first().is_some_and(|x| *c == b'.' || x == c) && fits(rest, &t[1..]),
    }
}

/// Where an entry of a redirect list leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preferred {
    /// A node by its number.
    Node(u8),
    /// The primary.
    Primary,
    /// The standbys.
    Standby,
}
/// An entry of a redirect list: whom, where to, and for what share (in billionths).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect {
    whom: Patterns,
    to: Preferred,
    ppb: u64,
}
/// The denominator of ratios.
pub const WHOLE: u64 = 1_000_000_000;
impl std::str::FromStr for Redirect {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let hint = || {
            format!(
                "`{text}` is not `name:node` or `name:node(ratio)`, node being a number, `primary` or `standby`"
            )
        };
        let (whom, to) = text.rsplit_once(':').ok_or_else(hint)?;
        let (to, ratio) = to.split_once('(').unwrap_or((to, "1.0)"));
        let ratio = ratio.trim_end_matches(')').trim();
        let (whole, part) = ratio.split_once('.').unwrap_or((ratio, ""));
        let digits: String = part.chars().chain("000000000".chars()).take(9).collect();
        let ppb = whole.parse::<u64>().ok().zip(digits.parse::<u64>().ok()).map(|(w, p)| w * WHOLE + p);
        let ppb =
            ppb.filter(|p| *p <= WHOLE).ok_or_else(|| format!("`{ratio}` is no ratio from 0.0 to 1.0"))?;
        let to = match to.trim() {
            "primary" => Preferred::Primary,
            "standby" => Preferred::Standby,
            n => Preferred::Node(n.parse().map_err(|_| hint())?),
        };
        Ok(Redirect { whom: Patterns::new(&[whom.to_owned()]), to, ppb })
    }
}
impl Redirect {
    /// Where it leads.
    pub fn to(&self) -> Preferred {
        self.to
    }
}

/// The lists of a configuration, read once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lists {
    primary: Patterns,
    by_app: Vec<Redirect>,
    by_database: Vec<Redirect>,
    by_user: Vec<Redirect>,
}
impl Lists {
    /// Those of a configuration; what cannot be read is left out (the lint has said so).
    pub fn new(c: &super::Pgpool) -> Lists {
        let read = |list: &[String]| list.iter().filter_map(|t| t.parse().ok()).collect();
        Lists {
            primary: Patterns::new(&c.primary_routing_query_pattern_list),
            by_app: read(&c.app_name_redirect_preference_list),
            by_database: read(&c.database_redirect_preference_list),
            by_user: read(&c.user_redirect_preference_list),
        }
    }
}

/// Why a function counts as one that writes, if it does.
fn writing(f: &str, catalog: &Catalog, config: &super::Pgpool) -> Option<Rule> {
    if !config.write_function_list.is_empty() {
        return Patterns::new(&config.write_function_list).fit(f).then_some(Rule::WritingFunction);
    }
    if !config.read_only_function_list.is_empty() {
        return (!Patterns::new(&config.read_only_function_list).fit(f)).then_some(Rule::NotListedReadOnly);
    }
    catalog.is_volatile(f).then_some(Rule::Volatile)
}

/// What decides beside the statement and the session.
pub struct Look<'a> {
    /// The pgpool.
    pub setup: &'a Setup,
    /// What its processes know.
    pub shared: &'a Shared,
    /// Who the session is.
    pub login: &'a Login,
    /// Now.
    pub now: Time,
}

impl Look<'_> {
    /// Draws a node for reads; the second says why.
    pub fn choose(&self, below: &mut dyn FnMut(u64) -> u64) -> (u8, Rule) {
        let lists = &self.setup.lists;
        let find = |list: &[Redirect], name: &str| list.iter().find(|r| r.whom.fit(name)).cloned();
        let redirect = find(&lists.by_app, &self.login.application)
            .or_else(|| find(&lists.by_database, &self.login.database))
            .or_else(|| find(&lists.by_user, &self.login.user));
        let writer = self.shared.writer().unwrap_or(0);
        let primary = self.shared.primary;
        let Some(r) = redirect else {
            return (self.weighted(&|_| true, below).unwrap_or(writer), Rule::Balanced);
        };
        let hit = r.ppb >= WHOLE || below(WHOLE) <= r.ppb;
        let standby = |n: u8| Some(n) != primary;
        match r.to {
            Preferred::Node(n) if hit && self.shared.valid(n) => (n, Rule::Redirected),
            Preferred::Primary if hit => (writer, Rule::Redirected),
            Preferred::Standby if hit => (self.weighted(&standby, below).unwrap_or(writer), Rule::Redirected),
            Preferred::Standby => (writer, Rule::RedirectMissed),
            Preferred::Node(n) => (self.weighted(&|m| m != n, below).unwrap_or(writer), Rule::RedirectMissed),
            Preferred::Primary => (self.weighted(&standby, below).unwrap_or(writer), Rule::RedirectMissed),
        }
    }
    /// Draws by weight among the attached nodes for which `may` holds.
    fn weighted(&self, may: &dyn Fn(u8) -> bool, below: &mut dyn FnMut(u64) -> u64) -> Option<u8> {
        let weight = |n: u8| u64::from(self.setup.backends[usize::from(n)].weight);
        let nodes = || self.shared.attached().filter(|n| may(*n) && weight(*n) > 0);
        let sum: u64 = nodes().map(weight).sum();
        if sum == 0 {
            return None;
        }
        let mut drawn = below(sum);
        nodes().find(|n| {
            let here = drawn < weight(*n);
            drawn = drawn.saturating_sub(weight(*n));
            here
        })
    }

    /// Where a statement goes. `below` draws.
    pub fn route(&self, c: &Command, s: &Session, below: &mut dyn FnMut(u64) -> u64) -> Decision {
        match self.setup.mode {
            Mode::Raw => go(To::Writer, Rule::Raw),
            Mode::ParallelQuery => go(To::All, Rule::Partitioned),
            Mode::NativeReplication | Mode::SnapshotIsolation => self.replicated(c, s, below),
            _ => self.streaming(c, s, below),
        }
    }

    /// The statement that EXECUTE stands for.
    fn meant<'c>(c: &'c Command, s: &'c Session) -> &'c Command {
        if c.verb != Verb::Execute {
            return c;
        }
        s.prepared.iter().find(|p| Some(&p.0) == c.name.as_ref()).map_or(c, |p| &p.1)
    }
    fn is_select(&self, c: &Command) -> Result<(), Rule> {
        match c.verb {
            Verb::Explain => Err(Rule::Explain),
            Verb::Select if c.comment && !self.setup.config.allow_sql_comments => Err(Rule::Comment),
            Verb::Select | Verb::Show | Verb::CopyQuery => Ok(()),
            _ => Err(Rule::NotASelect),
        }
    }

    fn streaming(&self, c: &Command, s: &Session, below: &mut dyn FnMut(u64) -> u64) -> Decision {
        let config = &self.setup.config;
        let c = Self::meant(c, s);
        let writer = |rule| go(To::Writer, rule);
        if c.several {
            return writer(Rule::Several);
        }
        match c.verb {
            Verb::Error => return writer(Rule::Unparsed),
            Verb::Begin(b) | Verb::SetTransaction(b) if b.read_write => return writer(Rule::PrimaryOnly),
            Verb::Begin(b) if b.serializable => return writer(Rule::SerializableBegin),
            Verb::Begin(_)
            | Verb::Commit
            | Verb::Rollback
            | Verb::Set
            | Verb::SetTransaction(_)
            | Verb::Discard
            | Verb::Deallocate
            | Verb::Savepoint
            | Verb::Lock(false) => return go(To::Both, Rule::Both),
            Verb::SelectForUpdate
            | Verb::Lock(true)
            | Verb::Cursor
            | Verb::Listen
            | Verb::Vacuum
            | Verb::TwoPhase => {
                return writer(Rule::PrimaryOnly);
            }
            Verb::Prepare => {
                // It goes where the statement would go.
                let Some(inner) = inner(c) else { return writer(Rule::PrimaryOnly) };
                return self.streaming(&inner, s, below);
            }
            v if v.writes() => return writer(Rule::PrimaryOnly),
            _ => {}
        }
        let mode = config.disable_load_balance_on_write;
        if mode == OnWrite::Always && s.wrote_ever {
            return writer(Rule::AfterWriteAlways);
        }
        if !config.load_balance_mode {
            return writer(Rule::NoLoadBalance);
        }
        if let Err(rule) = self.is_select(c) {
            return writer(rule);
        }
        if s.in_transaction {
            if s.serializable {
                return writer(Rule::Serializable);
            }
            if s.failed {
                return writer(Rule::FailedTransaction);
            }
            let adaptive = matches!(mode, OnWrite::DmlAdaptive | OnWrite::DmlAdaptiveGlobal);
            if s.wrote && mode != OnWrite::Off && !adaptive {
                return writer(Rule::WroteInTransaction);
            }
            if mode == OnWrite::TransTransaction && s.wrote_before {
                return writer(Rule::AfterWriteTransTransaction);
            }
        }
        if let Some(rule) = self.tied_to_primary(c, s) {
            return writer(rule);
        }
        self.balance(s, below)
    }
    /// Rules 7 and 8: what the statement names.
    fn tied_to_primary(&self, c: &Command, s: &Session) -> Option<Rule> {
        let (config, catalog) = (&self.setup.config, &self.setup.catalog);
        if c.tables.iter().any(|t| Catalog::is_system(t)) {
            return Some(Rule::Catalog);
        }
        if config.check_temp_table && c.tables.iter().any(|t| s.temp.contains(t)) {
            return Some(Rule::TempTable);
        }
        let unlogged = |t: &Arc<str>| catalog.table(t).persistence == Persistence::Unlogged;
        if config.check_unlogged_table && c.tables.iter().any(unlogged) {
            return Some(Rule::UnloggedTable);
        }
        if self.setup.lists.primary.fit(&c.text) {
            return Some(Rule::Pattern);
        }
        if let Some(rule) = c.functions.iter().find_map(|f| writing(f, catalog, config)) {
            return Some(rule);
        }
        match config.disable_load_balance_on_write {
            OnWrite::DmlAdaptive | OnWrite::DmlAdaptiveGlobal
                if s.in_transaction && c.tables.iter().any(|t| s.tables.contains(t)) =>
            {
                Some(Rule::DmlAdaptive)
            }
            OnWrite::DmlAdaptiveGlobal => {
                let lately = |t: &Arc<str>| self.shared.written.iter().any(|w| w.0 == *t && w.1 > self.now);
                c.tables.iter().any(lately).then_some(Rule::DmlAdaptiveGlobal)
            }
            _ => None,
        }
    }
    /// Rule 9: the session's node, unless it is too late.
    fn balance(&self, s: &Session, below: &mut dyn FnMut(u64) -> u64) -> Decision {
        let config = &self.setup.config;
        let kept = s.balanced.filter(|n| !config.statement_level_load_balance && self.shared.valid(*n));
        let (node, rule) = kept.map_or_else(|| self.choose(below), |n| (n, Rule::Balanced));
        let late = |n: u8| Some(n) != self.shared.primary && self.shared.too_late(n, config);
        if self.setup.mode != Mode::StreamingReplication || !late(node) {
            return go(To::Node(node), rule);
        }
        if !config.prefer_lower_delay_standby {
            return go(To::Writer, Rule::TooLate);
        }
        let weight = |n: &u8| self.setup.backends[usize::from(*n)].weight > 0;
        let delay = |n: &u8| self.shared.backends[usize::from(*n)].delay.0;
        let standbys = self.shared.attached().filter(|n| Some(*n) != self.shared.primary && weight(n));
        match standbys.min_by_key(|n| (delay(n), *n)).filter(|n| !late(*n)) {
            Some(n) => Decision { to: To::Node(n), rule: Rule::LeastLate, rebalance: Some(n) },
            None => {
                let writer = self.shared.writer();
                Decision { to: To::Writer, rule: Rule::AllTooLate, rebalance: writer }
            }
        }
    }

    /// Native replication and snapshot isolation.
    fn replicated(&self, c: &Command, s: &Session, below: &mut dyn FnMut(u64) -> u64) -> Decision {
        let config = &self.setup.config;
        let c = Self::meant(c, s);
        let selects =
            matches!(c.verb, Verb::Select | Verb::Show | Verb::CopyQuery | Verb::CopyTo | Verb::Explain);
        if !selects || c.several {
            return go(To::All, Rule::Replicated);
        }
        if let Some(rule) = c.functions.iter().find_map(|f| writing(f, &self.setup.catalog, config)) {
            return go(To::All, rule);
        }
        if config.replicate_select {
            return go(To::All, Rule::ReplicateSelect);
        }
        let rule = if !config.load_balance_mode {
            Some(Rule::NoLoadBalance)
        } else if let Err(rule) = self.is_select(c) {
            Some(rule)
        } else if s.in_transaction && s.serializable {
            Some(Rule::Serializable)
        } else if s.in_transaction && s.failed {
            Some(Rule::FailedTransaction)
        } else if s.in_transaction && s.wrote {
            Some(Rule::WroteInTransaction)
        } else {
            None
        };
        match rule {
            Some(rule) => go(To::Writer, rule),
            None => self.balance(s, below),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_matched_whole() {
        let p = Patterns::new(&["^f_.*$".to_owned(), "nextval".to_owned()]);
        assert!(p.fit("f_write") && p.fit("NEXTVAL") && !p.fit("my_f_write") && !p.fit("nextval2"));
    }
    #[test]
    fn redirects_are_read() {
        let r: Redirect = "postgres:primary(0.3)".parse().unwrap();
        assert_eq!((r.to, r.ppb), (Preferred::Primary, 300_000_000));
        let r: Redirect = "my.*:standby".parse().unwrap();
        assert_eq!((r.to, r.ppb, r.whom.fit("mydb")), (Preferred::Standby, WHOLE, true));
        assert!("x:1(1.5)".parse::<Redirect>().unwrap_err().contains("ratio"));
        assert!("x".parse::<Redirect>().is_err());
    }
}
