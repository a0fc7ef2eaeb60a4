//! Sets of name-value pairs, and the rules that say when they count.
//!
//! **Not modelled:** the moon (`moon` in `date_spec`), and `rsc-pattern` captures in attribute names.

use super::model::Sched;
use super::score::{self, number};
use super::time::{self, Clock};
use super::xml::Element;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What a rule may ask about.
#[derive(Clone, Copy, Default)]
pub struct About<'a> {
    /// The attributes of a node.
    pub node: Option<&'a BTreeMap<String, String>>,
    /// The parameters of a resource.
    pub parameters: Option<&'a BTreeMap<String, String>>,
    /// Its meta-attributes.
    pub meta: Option<&'a BTreeMap<String, String>>,
    /// Class, provider and type of an agent.
    pub agent: Option<[Option<&'a str>; 3]>,
    /// An operation: name and interval.
    pub operation: Option<(&'a str, u64)>,
}

/// Whether a text means yes or no; `None` if it means neither.
pub fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "y" | "1" => Some(true),
        "false" | "off" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// Whether a text means yes.
pub fn is_true(text: Option<&str>) -> bool {
    text.and_then(boolean) == Some(true)
}

/// The element that stands for this one (`id-ref`).
pub fn resolved<'a>(root: &'a Element, e: &'a Element) -> Option<&'a Element> {
    fn search<'a>(at: &'a Element, name: &str, id: &str) -> Option<&'a Element> {
        if at.name == name && at.get("id") == Some(id) {
            return Some(at);
        }
        at.children.iter().find_map(|c| search(c, name, id))
    }
    match e.get("id-ref") {
        Some(id) => search(root, &e.name, id),
        None => Some(e),
    }
}

impl Sched {
    /// Reads the sets of a name in `holder`: higher scores first; among equals the last one of the document. The first value of a name
    /// stands, unless `overwrite`.
    pub fn pairs(
        &self,
        holder: &Element,
        set: &str,
        about: About<'_>,
        first: Option<&str>,
        overwrite: bool,
        into: &mut BTreeMap<String, String>,
    ) {
        let root = &self.cib.root;
        let mut sets: Vec<&Element> = holder.all(set).filter_map(|s| resolved(root, s)).collect();
        sets.reverse();
        let rank = |s: &Element| {
            (first.is_none_or(|f| !s.id().eq_ignore_ascii_case(f)), -s.get("score").map_or(0, score::parse))
        };
        sets.sort_by_key(|s| rank(s));
        for s in sets {
            if !self.rules_pass(s, about) {
                continue;
            }
            let inner = s.children.first().filter(|c| c.name == "attributes").unwrap_or(s);
            for pair in inner.all("nvpair") {
                let other = resolved(root, pair);
                let get = |k: &str| pair.get(k).or_else(|| other.and_then(|o| o.get(k)));
                let (Some(name), Some(value)) = (get("name"), get("value")) else { continue };
                if value.eq_ignore_ascii_case("#default") {
                    into.remove(name);
                } else if overwrite || !into.contains_key(name) {
                    into.insert(name.to_owned(), value.to_owned());
                }
            }
        }
    }

    /// Whether one of the rules in an element passes, or it has none.
    pub fn rules_pass(&self, holder: &Element, about: About<'_>) -> bool {
        let mut rules = holder.all("rule").peekable();
        rules.peek().is_none() || rules.any(|r| self.rule_passes(r, about))
    }

    /// Whether a rule passes.
    pub fn rule_passes(&self, rule: &Element, about: About<'_>) -> bool {
        self.rule_at(rule, about, 0)
    }

    /// The same for a rule inside others. A rule that refers to one around it never ends, so it does not pass.
    fn rule_at(&self, rule: &Element, about: About<'_>, depth: usize) -> bool {
        let Some(rule) = resolved(&self.cib.root, rule).filter(|_| depth < super::xml::DEPTH_MAX) else {
            return false;
        };
        let any = rule.get("boolean-op").is_some_and(|b| b.eq_ignore_ascii_case("or"));
        if any {
            rule.children.iter().any(|e| self.expression_passes(e, about, depth))
        } else {
            rule.children.iter().all(|e| self.expression_passes(e, about, depth))
        }
    }

    fn expression_passes(&self, e: &Element, about: About<'_>, depth: usize) -> bool {
        match e.name.as_str() {
            "rule" => self.rule_at(e, about, depth + 1),
            "date_expression" => time::passes(e, self.now),
            "rsc_expression" => about.agent.is_some_and(|[class, provider, agent]| {
                e.get("class").is_none_or(|c| class == Some(c))
                    && e.get("provider") == provider
                    && e.get("type").is_none_or(|t| agent == Some(t))
            }),
            "op_expression" => about.operation.is_some_and(|(name, interval)| {
                e.get("interval").is_none_or(|i| interval == time::interval(i)) && e.get("name") == Some(name)
            }),
            // Roles are not known while constraints are read.
            "expression" if e.get("attribute") == Some("#role") => false,
            "expression" => about.node.is_some_and(|node| attribute_passes(e, node, about)),
            _ => false,
        }
    }

    /// When the dates in an element change what holds, if they do.
    pub fn note_dates(&mut self, e: &Element) {
        let mut next = None;
        time::next_change(e, self.now, &mut next);
        if let Some(at) = next {
            self.recheck_by(at);
        }
    }

    /// Something changes by itself at this time.
    pub fn recheck_by(&mut self, at: i64) {
        if at > self.now && self.recheck.is_none_or(|r| r > at) {
            self.recheck = Some(at);
        }
    }

    /// The clock of now, for dates.
    pub fn clock(&self) -> Clock {
        Clock::of(self.now)
    }
}

fn attribute_passes(e: &Element, node: &BTreeMap<String, String>, about: About<'_>) -> bool {
    let Some(attribute) = e.get("attribute") else { return false };
    let operation = e.get("operation").unwrap_or_default().to_ascii_lowercase();
    let given = e.get("value").filter(|v| !v.is_empty());
    let value = match e.get("value-source").unwrap_or("literal") {
        "param" => given.and_then(|v| about.parameters.and_then(|p| p.get(v))).map(String::as_str),
        "meta" => given.and_then(|v| about.meta.and_then(|m| m.get(v))).map(String::as_str),
        _ => given,
    };
    let have = node.get(attribute).map(String::as_str);
    match operation.as_str() {
        "defined" => return have.is_some(),
        "not_defined" => return have.is_none(),
        _ => {}
    }
    let order = compare(have, value, e.get("type"), &operation);
    match operation.as_str() {
        "eq" => order.is_eq(),
        "ne" => order.is_ne(),
        _ if have.is_none() || value.is_none() => false,
        "lt" => order.is_lt(),
        "lte" => order.is_le(),
        "gt" => order.is_gt(),
        "gte" => order.is_ge(),
        _ => false,
    }
}

fn compare(have: Option<&str>, value: Option<&str>, kind: Option<&str>, operation: &str) -> Ordering {
    let (Some(h), Some(v)) = (have, value) else { return have.cmp(&value) };
    let text = || h.to_ascii_lowercase().cmp(&v.to_ascii_lowercase());
    let ordered = matches!(operation, "lt" | "lte" | "gt" | "gte");
    let kind = kind.map_or_else(
        || match (ordered, h.contains('.') || v.contains('.')) {
            (false, _) => "string".to_owned(),
            (true, true) => "number".to_owned(),
            (true, false) => "integer".to_owned(),
        },
        str::to_ascii_lowercase,
    );
    match kind.as_str() {
        "integer" => match (number(h), number(v)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => text(),
        },
        "number" => match (decimal(h), decimal(v)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => text(),
        },
        "version" => versions(h, v),
        _ => text(),
    }
}

/// A decimal number, times a million million.
fn decimal(text: &str) -> Option<i128> {
    let (negative, bare) = text.trim().strip_prefix('-').map_or((false, text.trim()), |t| (true, t));
    let (whole, fraction) = bare.split_once('.').unwrap_or((bare, ""));
    let all = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !all(whole) || !all(fraction) || whole.len() + fraction.len() == 0 || whole.len() > 20 {
        return None;
    }
    let padded: String = format!("{fraction:0<12}").chars().take(12).collect();
    let n = format!("{whole}{padded}").parse::<i128>().ok()?;
    Some(if negative { -n } else { n })
}

fn versions(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.split('.'), b.split('.'));
    loop {
        let (m, n) = match (x.next(), y.next()) {
            (None, None) => return Ordering::Equal,
            (m, n) => (m.and_then(number).unwrap_or(0), n.and_then(number).unwrap_or(0)),
        };
        if m != n {
            return m.cmp(&n);
        }
    }
}
