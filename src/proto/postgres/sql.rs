//! A small language of SQL statements: what a server does with them, and what a router can see in them.
//!
//! The text is that of PostgreSQL 15 (its documentation, part "SQL Commands"), read as far as this model needs it: the command, the
//! tables that it names, the functions that it calls, comments in front of it, and whether the string holds several commands.
//! **Not modelled:** expressions and conditions (a WHERE means "one row"), sub-queries apart from the tables and functions in them.

use std::collections::BTreeMap;
use std::sync::Arc;

/// How a transaction begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Begin {
    /// ISOLATION LEVEL SERIALIZABLE.
    pub serializable: bool,
    /// READ WRITE was written.
    pub read_write: bool,
    /// READ ONLY was written.
    pub read_only: bool,
}

/// What a command is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verb {
    /// SELECT, VALUES, TABLE; WITH, if nothing in it writes.
    Select,
    /// SELECT ... FOR UPDATE, FOR SHARE and the like.
    SelectForUpdate,
    /// SELECT ... INTO.
    SelectInto,
    /// INSERT.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// MERGE.
    Merge,
    /// WITH (INSERT, UPDATE or DELETE) ...
    WithWrite,
    /// TRUNCATE.
    Truncate,
    /// COPY table FROM.
    CopyFrom,
    /// COPY table TO.
    CopyTo,
    /// COPY (SELECT ...) TO.
    CopyQuery,
    /// CREATE, DROP, ALTER, COMMENT.
    Ddl,
    /// CREATE TEMPORARY TABLE.
    CreateTemp,
    /// CREATE UNLOGGED TABLE.
    CreateUnlogged,
    /// DROP TABLE.
    DropTable,
    /// BEGIN, START TRANSACTION.
    Begin(Begin),
    /// COMMIT, END.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
    /// SAVEPOINT, RELEASE, ROLLBACK TO.
    Savepoint,
    /// SET TRANSACTION, SET SESSION CHARACTERISTICS.
    SetTransaction(Begin),
    /// SET, RESET.
    Set,
    /// SHOW.
    Show,
    /// DISCARD.
    Discard,
    /// DEALLOCATE.
    Deallocate,
    /// LOCK in ROW EXCLUSIVE mode or stricter (`true`), or weaker.
    Lock(bool),
    /// DECLARE, FETCH, MOVE, CLOSE.
    Cursor,
    /// LISTEN, UNLISTEN, NOTIFY.
    Listen,
    /// VACUUM, ANALYZE, CLUSTER, REINDEX, CHECKPOINT.
    Vacuum,
    /// PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED.
    TwoPhase,
    /// EXPLAIN.
    Explain,
    /// PREPARE name AS.
    Prepare,
    /// EXECUTE name.
    Execute,
    /// What cannot be parsed.
    Error,
}
impl Verb {
    /// Whether it changes what databases hold (functions apart).
    pub const fn writes(self) -> bool {
        matches!(
            self,
            Verb::SelectInto
                | Verb::Insert
                | Verb::Update
                | Verb::Delete
                | Verb::Merge
                | Verb::WithWrite
                | Verb::Truncate
                | Verb::CopyFrom
                | Verb::Ddl
                | Verb::CreateTemp
                | Verb::CreateUnlogged
                | Verb::DropTable
        )
    }
}

/// A command, read from its text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Command {
    /// The text.
    pub text: Arc<str>,
    /// What it is; of several in one string, the first.
    pub verb: Verb,
    /// The table that it writes, locks, creates or drops.
    pub target: Option<Arc<str>>,
    /// The tables that it reads.
    pub tables: Vec<Arc<str>>,
    /// The functions that it calls.
    pub functions: Vec<Arc<str>>,
    /// The name of a prepared statement.
    pub name: Option<Arc<str>>,
    /// A comment stands in front of it.
    pub comment: bool,
    /// The string holds several commands.
    pub several: bool,
    /// It has a WHERE.
    pub narrowed: bool,
    /// `pg_sleep`: milliseconds.
    pub sleep_ms: u32,
    /// Bytes of WAL that it makes, if it writes.
    pub bytes: u32,
    /// It is sent by the extended protocol (Parse, Bind, Execute).
    pub extended: bool,
}

impl Command {
    /// Reads a text.
    pub fn parse(text: &str) -> Command {
        let trimmed = text.trim_start();
        let comment = trimmed.starts_with("/*") || trimmed.starts_with("--");
        let tokens = tokens(text);
        let mut parts = tokens.split(|t| t == ";").filter(|p| !p.is_empty());
        let first = parts.next().unwrap_or_default();
        let mut c = Command {
            text: text.trim().into(),
            verb: Verb::Error,
            target: None,
            tables: Vec::new(),
            functions: Vec::new(),
            name: None,
            comment,
            several: parts.next().is_some(),
            narrowed: false,
            sleep_ms: 0,
            bytes: 200,
            extended: false,
        };
        c.read(first);
        c
    }
    /// The same with so many bytes of WAL and by this protocol.
    #[must_use]
    pub fn with(mut self, bytes: u32, extended: bool) -> Command {
        (self.bytes, self.extended) = (bytes, extended);
        self
    }
    fn read(&mut self, t: &[String]) {
        let word = |i: usize| t.get(i).map_or("", String::as_str);
        let has = |w: &str| t.iter().any(|x| x == w);
        let pair = |a: &str, b: &str| t.windows(2).any(|w| w[0] == a && w[1] == b);
        let name = |i: usize| t.get(i).map(|s| Arc::<str>::from(s.as_str()));
        let begin = Begin {
            serializable: has("serializable"),
            read_write: pair("read", "write"),
            read_only: pair("read", "only"),
        };
        self.narrowed = has("where");
        self.verb = match (word(0), word(1)) {
            ("select" | "values" | "table" | "with", _) => {
                self.sources(t);
                if word(0) == "with" && (has("insert") || has("update") || has("delete")) {
                    Verb::WithWrite
                } else if pair("for", "update")
                    || pair("for", "share")
                    || pair("for", "no")
                    || pair("for", "key")
                {
                    Verb::SelectForUpdate
                } else if has("into") {
                    Verb::SelectInto
                } else {
                    Verb::Select
                }
            }
            ("insert" | "merge", "into") => {
                self.target = name(2);
                self.sources(&t[3.min(t.len())..]);
                if word(0) == "merge" { Verb::Merge } else { Verb::Insert }
            }
            ("update", _) => {
                self.target = name(if word(1) == "only" { 2 } else { 1 });
                self.sources(t);
                Verb::Update
            }
            ("delete", "from") => {
                self.target = name(2);
                self.functions_of(t);
                Verb::Delete
            }
            ("truncate", "table") => self.aim(name(2), Verb::Truncate),
            ("truncate", _) => self.aim(name(1), Verb::Truncate),
            ("copy", "(") => {
                self.sources(t);
                Verb::CopyQuery
            }
            ("copy", _) if has("from") => self.aim(name(1), Verb::CopyFrom),
            ("copy", _) => {
                self.tables.extend(name(1));
                Verb::CopyTo
            }
            ("create", "temp" | "temporary") => self.aim(name(3), Verb::CreateTemp),
            ("create", "unlogged") => self.aim(name(3), Verb::CreateUnlogged),
            ("create", "table") => self.aim(name(2), Verb::Ddl),
            ("drop", "table") => self.aim(name(2), Verb::DropTable),
            ("create" | "drop" | "alter" | "comment", _) => Verb::Ddl,
            ("begin", _) | ("start", "transaction") => Verb::Begin(begin),
            ("prepare", "transaction") | ("commit" | "rollback", "prepared") => Verb::TwoPhase,
            ("rollback", _) if has("to") => Verb::Savepoint,
            ("savepoint" | "release", _) => Verb::Savepoint,
            ("commit" | "end", _) => Verb::Commit,
            ("rollback" | "abort", _) => Verb::Rollback,
            ("set", "transaction") => Verb::SetTransaction(begin),
            ("set", "session") if word(2) == "characteristics" => Verb::SetTransaction(begin),
            ("set" | "reset", _) => Verb::Set,
            ("show", _) => Verb::Show,
            ("discard", _) => Verb::Discard,
            ("deallocate", _) => Verb::Deallocate,
            ("lock", _) => {
                self.target = name(if word(1) == "table" { 2 } else { 1 });
                let weak = pair("access", "share") || (pair("row", "share") && has("mode"));
                Verb::Lock(!weak)
            }
            ("declare" | "fetch" | "move" | "close", _) => Verb::Cursor,
            ("listen" | "unlisten" | "notify", _) => Verb::Listen,
            ("vacuum" | "analyze" | "cluster" | "reindex" | "checkpoint", _) => Verb::Vacuum,
            ("explain", _) => {
                self.sources(t);
                Verb::Explain
            }
            ("prepare", _) => {
                self.name = name(1);
                self.sources(t);
                Verb::Prepare
            }
            ("execute", _) => {
                self.name = name(1);
                Verb::Execute
            }
            _ => Verb::Error,
        };
    }
    fn aim(&mut self, at: Option<Arc<str>>, verb: Verb) -> Verb {
        self.target = at;
        verb
    }
    /// Tables after FROM, JOIN, USING and commas between them, and functions.
    fn sources(&mut self, t: &[String]) {
        for (i, w) in t.iter().enumerate() {
            let next = t.get(i + 1);
            let called = t.get(i + 2).is_some_and(|x| x == "(");
            if matches!(w.as_str(), "from" | "join" | "using" | "table")
                && let Some(name) = next.filter(|n| is_name(n) && !called)
                && !self.tables.iter().any(|x| **x == **name)
                && !matches!(name.as_str(), "select" | "only" | "lateral")
            {
                self.tables.push(name.as_str().into());
            }
        }
        self.functions_of(t);
    }
    fn functions_of(&mut self, t: &[String]) {
        for (i, w) in t.iter().enumerate() {
            let call = t.get(i + 1).is_some_and(|x| x == "(");
            let word = matches!(
                w.as_str(),
                "in" | "values"
                    | "and"
                    | "or"
                    | "not"
                    | "exists"
                    | "as"
                    | "with"
                    | "coalesce"
                    | "any"
                    | "all"
                    | "from"
                    | "on"
                    | "copy"
                    | "into"
                    | "using"
                    | "select"
                    | "where"
                    | "set"
                    | "table"
            );
            let before = i.checked_sub(1).and_then(|i| t.get(i)).map_or("", String::as_str);
            if call && is_name(w) && !word && !matches!(before, "into" | "table") {
                self.functions.push(w.as_str().into());
                if w == "pg_sleep" {
                    let seconds = t.get(i + 2).map_or("0", String::as_str);
                    self.sleep_ms = milliseconds(seconds);
                }
            }
        }
        // These are called without parentheses.
        for w in
            t.iter().filter(|w| matches!(w.as_str(), "current_timestamp" | "current_date" | "localtimestamp"))
        {
            self.functions.push(w.as_str().into());
        }
    }
    /// Whether it gives the time: native replication writes a constant in its place.
    pub fn tells_time(&self) -> bool {
        self.functions.iter().any(|f| TIMES.contains(&&**f))
    }
    /// The same with a constant in the place of the time.
    #[must_use]
    pub fn with_constant_time(&self) -> Command {
        let mut c = self.clone();
        c.functions.retain(|f| !TIMES.contains(&&**f));
        c
    }
}
const TIMES: [&str; 6] = [
    "now",
    "current_timestamp",
    "current_date",
    "localtimestamp",
    "transaction_timestamp",
    "statement_timestamp",
];

/// `"0.5"` in milliseconds.
fn milliseconds(text: &str) -> u32 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    let whole: u32 = whole.parse().unwrap_or(0);
    whole.saturating_mul(1000).saturating_add(part.parse().unwrap_or(0))
}
fn is_name(w: &str) -> bool {
    w.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
}
/// Words in lower case, numbers and punctuation; comments and the contents of strings are left out.
fn tokens(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c.is_whitespace() {
            rest = &rest[c.len_utf8()..];
        } else if let Some(after) = rest.strip_prefix("/*") {
            rest = after.find("*/").map_or("", |i| &after[i + 2..]);
        } else if let Some(after) = rest.strip_prefix("--") {
            rest = after.find('\n').map_or("", |i| &after[i..]);
        } else if let Some(after) = rest.strip_prefix('\'') {
            out.push("''".to_owned());
            rest = after.find('\'').map_or("", |i| &after[i + 1..]);
        } else if c.is_alphanumeric() || c == '_' || c == '"' {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '"')))
                .unwrap_or(rest.len());
            out.push(rest[..end].replace('"', "").to_lowercase());
            rest = &rest[end..];
        } else {
            out.push(c.to_string());
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// What a function may do (`pg_proc.provolatile`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub enum Volatility {
    /// The same for the same arguments.
    Immutable,
    /// The same within a statement.
    Stable,
    /// Anything, but it does not write. (The server cannot know that.)
    Volatile,
    /// It writes.
    Writing,
    /// It is declared STABLE, and writes all the same.
    Lies,
}
/// How a table is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
pub enum Persistence {
    /// As usual.
    #[default]
    Logged,
    /// UNLOGGED: standbys do not have it.
    Unlogged,
}
/// A table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Table {
    /// Rows at the start. Default 0.
    pub rows: u64,
    /// `Logged` (default) or `Unlogged`.
    pub persistence: Persistence,
    /// It has a SERIAL column. Default false.
    pub serial: bool,
}

/// What is known of tables and functions: what the configuration says, and PostgreSQL's own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Catalog {
    tables: BTreeMap<String, Table>,
    functions: BTreeMap<String, Volatility>,
}
const STABLE: [&str; 9] = [
    "now",
    "current_timestamp",
    "current_date",
    "localtimestamp",
    "transaction_timestamp",
    "statement_timestamp",
    "inet_server_addr",
    "current_setting",
    "to_char",
];
const IMMUTABLE: [&str; 14] = [
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "abs",
    "lower",
    "upper",
    "length",
    "round",
    "md5",
    "generate_series",
    "substr",
    "greatest",
];
const WRITING: [&str; 6] = ["nextval", "setval", "lo_create", "lo_creat", "lo_import", "lo_unlink"];

impl Catalog {
    /// These tables and functions, and PostgreSQL's own functions.
    pub fn new(tables: BTreeMap<String, Table>, functions: BTreeMap<String, Volatility>) -> Self {
        Catalog { tables, functions }
    }
    /// A table; one that is not declared is an ordinary one.
    pub fn table(&self, name: &str) -> Table {
        self.tables.get(name).copied().unwrap_or_default()
    }
    /// A function. One that nobody has declared is volatile, as CREATE FUNCTION has it.
    pub fn function(&self, name: &str) -> Volatility {
        if let Some(v) = self.functions.get(name) {
            return *v;
        }
        let bare = name.strip_prefix("pg_catalog.").unwrap_or(name);
        if IMMUTABLE.contains(&bare) {
            Volatility::Immutable
        } else if STABLE.contains(&bare) {
            Volatility::Stable
        } else if WRITING.contains(&bare) {
            Volatility::Writing
        } else {
            Volatility::Volatile
        }
    }
    /// What the function is declared as: whether the server takes it for volatile.
    pub fn is_volatile(&self, name: &str) -> bool {
        matches!(self.function(name), Volatility::Volatile | Volatility::Writing)
    }
    /// Whether calling it writes.
    pub fn writes(&self, name: &str) -> bool {
        matches!(self.function(name), Volatility::Writing | Volatility::Lies)
    }
    /// Whether a table is one of the system's. (The views of information_schema are not taken for such.)
    pub fn is_system(name: &str) -> bool {
        name.starts_with("pg_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        let verb = |t: &str| Command::parse(t).verb;
        for (text, v) in [
            ("SELECT 1", Verb::Select),
            ("select * from t for update", Verb::SelectForUpdate),
            ("SELECT * INTO u FROM t", Verb::SelectInto),
            ("WITH x AS (SELECT 1) SELECT * FROM x", Verb::Select),
            ("WITH x AS (INSERT INTO t VALUES (1) RETURNING 1) SELECT * FROM x", Verb::WithWrite),
            ("INSERT INTO t VALUES (1)", Verb::Insert),
            ("COPY t FROM stdin", Verb::CopyFrom),
            ("COPY (SELECT 1) TO stdout", Verb::CopyQuery),
            ("LOCK TABLE t IN ACCESS SHARE MODE", Verb::Lock(false)),
            ("LOCK t", Verb::Lock(true)),
            ("ROLLBACK TO a", Verb::Savepoint),
            ("EXPLAIN ANALYZE SELECT 1", Verb::Explain),
            ("gibberish", Verb::Error),
        ] {
            assert_eq!(verb(text), v, "{text}");
        }
        let begin = Command::parse("BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE").verb;
        assert_eq!(begin, Verb::Begin(Begin { serializable: true, read_write: true, read_only: false }));
    }
    #[test]
    fn tables_functions_and_comments_are_seen() {
        let c = Command::parse("/* hello */ SELECT nextval('s'), count(*) FROM t JOIN u ON (t.a = u.a)");
        assert!(c.comment && !c.several);
        let words = |l: &[Arc<str>]| l.iter().map(|x| x.to_string()).collect::<Vec<_>>();
        assert_eq!(words(&c.tables), ["t", "u"]);
        assert_eq!(words(&c.functions), ["nextval", "count"]);
        assert!(Command::parse("select 1; select 2").several && !Command::parse("select 1;").several);
        let i = Command::parse("INSERT INTO t (a, b) VALUES (random(), now())");
        assert_eq!(
            (i.target.as_deref(), words(&i.functions)),
            (Some("t"), vec!["random".into(), "now".into()])
        );
        assert_eq!(words(&i.with_constant_time().functions), ["random"]);
        assert_eq!(Command::parse("SELECT pg_sleep(1.5)").sleep_ms, 1500);
        let catalog = Catalog::default();
        assert!(catalog.is_volatile("random") && !catalog.is_volatile("now") && catalog.is_volatile("f"));
    }
}
