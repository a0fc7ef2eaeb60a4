//! The text of a scenario as a tree with places: enough of RON to know where everything stands, to add the names that may be left
//! out, and to point into the file.

use std::ops::Range;

/// The deepest nesting that is read.
pub const DEPTH: usize = 64;
/// The largest file that is read, in bytes.
pub const SIZE: usize = 1 << 20;

/// A piece of the text.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a piece of the text is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// `Name(args)`, `(args)`; the name may be empty.
    Struct(String, Vec<Arg>),
    /// `[a, b]`.
    List(Vec<Node>),
    /// `{k: v}`.
    Map(Vec<(Node, Node)>),
    /// A string in quotes, without them.
    Str(String),
    /// A number, a word, anything else.
    Word(String),
}

/// An argument of a struct.
#[derive(Clone, Debug)]
pub struct Arg {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// From the name to the end of the value.
    pub span: Range<usize>,
    /// Its value.
    pub value: Node,
}

/// What is wrong with the text as such.
#[derive(Clone, Debug)]
pub struct SyntaxError {
    /// Where.
    pub span: Range<usize>,
    /// What.
    pub message: String,
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

/// Reads a text.
pub fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut s = Scanner { text, at: 0, depth: 0 };
    if text.len() > SIZE {
        return s.fail("the file is larger than 1 MiB");
    }
    let node = s.value()?;
    s.space();
    if s.at < text.len() {
        return s.fail("unexpected text after the end of the scenario");
    }
    Ok(node)
}

impl Scanner<'_> {
    fn fail<T>(&self, message: &str) -> Result<T, SyntaxError> {
        let end = self.text[self.at.min(self.text.len())..].chars().next().map_or(0, char::len_utf8);
        Err(SyntaxError { span: self.at..self.at + end, message: message.to_owned() })
    }
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }
    fn space(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if let Some(after) = trimmed.strip_prefix("//") {
                self.at += 2 + after.find('\n').unwrap_or(after.len());
            } else if let Some(after) = trimmed.strip_prefix("/*") {
                self.at += after.find("*/").map_or(trimmed.len(), |i| i + 4);
            } else {
                return;
            }
        }
    }
    fn word(&mut self) -> String {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.' | '#')))
            .unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_owned()
    }
    fn string(&mut self) -> Result<String, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        while let Some(c) = self.peek() {
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(out),
                '\\' => {
                    if let Some(c) = self.peek() {
                        self.at += c.len_utf8();
                        out.push(c);
                    }
                }
                c => out.push(c),
            }
        }
        Err(SyntaxError { span: start..start + 1, message: "this string has no closing quote".to_owned() })
    }
    fn value(&mut self) -> Result<Node, SyntaxError> {
        self.space();
        let start = self.at;
        self.depth += 1;
        if self.depth > DEPTH {
            return self.fail("nested more than 64 levels deep");
        }
        let kind = match self.peek() {
            None => return self.fail("expected a value, found the end of the file"),
            Some('"') => Kind::Str(self.string()?),
            Some('[') => Kind::List(self.sequence(']', Self::value)?),
            Some('{') => Kind::Map(self.sequence('}', |s| {
                let key = s.value()?;
                s.space();
                if s.peek() != Some(':') {
                    return s.fail("expected `:` and a value after the key");
                }
                s.at += 1;
                Ok((key, s.value()?))
            })?),
            Some('(') => Kind::Struct(String::new(), self.sequence(')', Self::arg)?),
            Some(_) => {
                let word = self.word();
                if word.is_empty() {
                    return self.fail("expected a value");
                }
                let end = self.at;
                self.space();
                if self.peek() == Some('(') {
                    Kind::Struct(word, self.sequence(')', Self::arg)?)
                } else {
                    self.at = end;
                    Kind::Word(word)
                }
            }
        };
        self.depth -= 1;
        Ok(Node { span: start..self.at, kind })
    }
    fn arg(&mut self) -> Result<Arg, SyntaxError> {
        self.space();
        let start = self.at;
        let word = self.word();
        self.space();
        if !word.is_empty() && self.peek() == Some(':') {
            self.at += 1;
            let value = self.value()?;
            return Ok(Arg { name: Some(word), span: start..self.at, value });
        }
        self.at = start;
        let value = self.value()?;
        Ok(Arg { name: None, span: start..self.at, value })
    }
    fn sequence<T>(
        &mut self,
        close: char,
        item: impl Fn(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<Vec<T>, SyntaxError> {
        let open = self.at;
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.space();
            match self.peek() {
                Some(c) if c == close => {
                    self.at += 1;
                    return Ok(items);
                }
                None => {
                    return Err(SyntaxError {
                        span: open..open + 1,
                        message: format!("this has no closing `{close}`"),
                    });
                }
                _ => {}
            }
            items.push(item(self)?);
            self.space();
            match self.peek() {
                Some(',') => self.at += 1,
                Some(c) if c == close => {}
                _ => return self.fail(&format!("expected `,` or `{close}`")),
            }
        }
    }
}

/// The names that the first arguments of a fault or an expectation may leave out.
fn positional(tag: &str) -> &'static [&'static str] {
    match tag {
        "PowerOff" | "PowerOn" | "Crash" | "Reboot" | "Freeze" | "Thaw" | "LoseGarps" | "DiskFull"
        | "DiskOk" | "Heal" => &["target"],
        "Stop" | "Start" | "Kill" | "Pause" | "Resume" | "Hang" => &["target", "process"],
        "Cut" => &["target", "from"],
        "CutOneWay" => &["target", "to"],
        "Loss" | "Duplicate" => &["target", "chance"],
        "Reorder" => &["target", "chance", "by"],
        "DropNext" => &["target", "count", "plane"],
        "Delay" | "ClockStep" | "DiskSlow" => &["target", "by"],
        "ClockDrift" => &["target", "ppm"],
        "Weight" => &["target", "server", "weight"],
        "FenceMode" => &["target", "mode"],
        "Crm" => &["command"],
        "AgentFails" => &["target", "resource", "operation"],
        "AgentWorks" | "ResourceDies" => &["target", "resource"],
        "PgCtlStop" => &["target", "mode"],
        "PcpAttachNode" => &["target", "node"],
        "PcpDetachNode" => &["target", "node", "graceful"],
        "PcpPromoteNode" => &["target", "node", "switchover"],
        "PcpRecoveryNode" => &["target", "node"],
        "Fence" => &["target", "by"],
        "LinkDown" | "LinkUp" => &["target", "network"],
        "Reinit" | "Rebuild" | "MoveLeader" | "Promote" => &["target"],
        "Switchover" | "Failover" => &["candidate"],
        "DnsRecord" => &["name", "to"],
        "FirstMark" => &["kind", "between"],
        "NoMark" => &["kind"],
        "RequestsResume" | "WritesResume" | "ReadsResume" => &["within"],
        "Outage" => &["between"],
        "Failures" | "Answers" => &["min", "max"],
        "Marks" => &["kind", "min", "max"],
        "Eventually" => &["state", "by"],
        "Always" => &["state", "from", "to"],
        "Happens" => &["kind", "word", "between"],
        "HappensNot" => &["kind", "word"],
        _ => &[],
    }
}

/// The text as serde reads it: names added, bare host names made `Host("...")`; and what was inserted where.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    /// The text.
    pub text: String,
    inserted: Vec<(usize, String)>,
}

impl Plain {
    /// The place in the file for a place in [`Plain::text`].
    pub fn back(&self, at: usize) -> usize {
        let mut shift = 0;
        for (place, what) in &self.inserted {
            if at <= place + shift {
                break;
            }
            if at < place + shift + what.len() {
                return *place;
            }
            shift += what.len();
        }
        at - shift
    }
}

/// Adds what may be left out.
pub fn plain(text: &str, root: &Node) -> Plain {
    let mut inserted = Vec::new();
    visit(root, &mut inserted);
    inserted.sort_by_key(|(at, _)| *at);
    let mut out = String::with_capacity(text.len() + 64);
    let mut from = 0;
    for (at, what) in &inserted {
        out.push_str(&text[from..*at]);
        out.push_str(what);
        from = *at;
    }
    out.push_str(&text[from..]);
    Plain { text: out, inserted }
}

fn visit(node: &Node, out: &mut Vec<(usize, String)>) {
    match &node.kind {
        Kind::Struct(tag, args) => {
            // `Pause("60ms")` is a program's pause between two operations, `Pause(Primary, "patroni")` is SIGSTOP.
            let pace = tag == "Pause" && args.len() == 1 && matches!(args[0].value.kind, Kind::Str(_));
            // `Answers(5432)` is keepalived's check of a port, `Answers(min: .., max: ..)` an expectation.
            let check = tag == "Answers" && args.len() == 1 && args[0].name.is_none();
            let names = if pace || check { &[][..] } else { positional(tag) };
            for (i, arg) in args.iter().enumerate() {
                let name = arg.name.as_deref().or(names.get(i).copied());
                // `by` is a host that fences; elsewhere it is a length of time.
                let host = (matches!(name, Some("target" | "from" | "to" | "candidate"))
                    || (name == Some("by") && tag == "Fence"))
                    && !names.is_empty()
                    && tag != "Always"
                    && matches!(arg.value.kind, Kind::Str(_));
                let label = if arg.name.is_none() { names.get(i).map(|n| format!("{n}: ")) } else { None };
                let front = label.unwrap_or_default() + if host { "Host(" } else { "" };
                if !front.is_empty() {
                    out.push((arg.value.span.start, front));
                }
                if host {
                    out.push((arg.value.span.end, ")".to_owned()));
                }
                visit(&arg.value, out);
            }
        }
        Kind::List(items) => items.iter().for_each(|n| visit(n, out)),
        Kind::Map(pairs) => pairs.iter().for_each(|(_, v)| visit(v, out)),
        Kind::Word(w) if w == "Heal" || w == "Switchover" => out.push((node.span.end, "()".to_owned())),
        Kind::Str(_) | Kind::Word(_) => {}
    }
}

/// A piece of the text that stands around a place.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Where it stands.
    pub span: Range<usize>,
    /// It can go without giving its neighbours another meaning: a named field, a list element, a map entry. A positional
    /// argument cannot, because the next one would take its place.
    pub removable: bool,
    /// The field's name, and where the struct stands that it belongs to.
    pub field: Option<(String, Range<usize>)>,
}

/// Where the string stands that begins or ends at a place, or around it.
pub fn string_at(root: &Node, at: usize) -> Option<Range<usize>> {
    let inside = |n: &Node| n.span.start <= at && at <= n.span.end;
    let mut node = root;
    loop {
        let next = match &node.kind {
            Kind::Struct(_, args) => args.iter().map(|a| &a.value).find(|n| inside(n)),
            Kind::List(items) => items.iter().find(|n| inside(n)),
            Kind::Map(pairs) => pairs.iter().map(|p| &p.1).find(|n| inside(n)),
            Kind::Str(_) => return Some(node.span.clone()),
            Kind::Word(_) => None,
        };
        node = next?;
    }
}

/// The pieces around a place, innermost first: fields, list elements, map entries.
pub fn around(root: &Node, at: usize) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut node = Some(root);
    while let Some(n) = node {
        let inside = |r: &Range<usize>| r.start <= at && at <= r.end;
        let plain = |span: Range<usize>| Piece { span, removable: true, field: None };
        let next: Option<(Piece, &Node)> = match &n.kind {
            Kind::Struct(_, args) => args.iter().find(|a| inside(&a.span)).map(|a| {
                let field = a.name.clone().map(|name| (name, n.span.clone()));
                (Piece { span: a.span.clone(), removable: field.is_some(), field }, &a.value)
            }),
            Kind::List(items) => items.iter().find(|i| inside(&i.span)).map(|i| (plain(i.span.clone()), i)),
            Kind::Map(pairs) => pairs
                .iter()
                .find(|(k, v)| k.span.start <= at && at <= v.span.end)
                .map(|(k, v)| (plain(k.span.start..v.span.end), v)),
            Kind::Str(_) | Kind::Word(_) => None,
        };
        node = next.map(|(piece, child)| {
            found.push(piece);
            child
        });
    }
    found.reverse();
    found
}

/// The value at a path such as `hosts.lb1.runs[0].priority`.
pub fn find<'a>(root: &'a Node, path: &str) -> Option<&'a Node> {
    let mut node = root;
    for step in path.split('.') {
        let (name, indices) = step.split_once('[').unwrap_or((step, ""));
        if !name.is_empty() {
            node = match &node.kind {
                Kind::Struct(_, args) => &args.iter().find(|a| a.name.as_deref() == Some(name))?.value,
                Kind::Map(pairs) => {
                    &pairs
                        .iter()
                        .find(|(k, _)| matches!(&k.kind, Kind::Str(s) | Kind::Word(s) if s == name))?
                        .1
                }
                _ => return None,
            };
        }
        for index in indices.split('[').filter(|i| !i.is_empty()) {
            let i: usize = index.trim_end_matches(']').parse().ok()?;
            node = match &node.kind {
                Kind::List(items) => items.get(i)?,
                Kind::Struct(_, args) => &args.get(i)?.value,
                _ => return None,
            };
        }
    }
    Some(node)
}
