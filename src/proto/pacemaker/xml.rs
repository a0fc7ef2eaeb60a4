//! A small tree of XML, read safely: no document type (so no entities of its own), and limits for size, depth and breadth.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Bytes that a document may have.
pub const BYTES_MAX: usize = 16 << 20;
/// Elements inside each other that a document may have.
pub const DEPTH_MAX: usize = 64;
/// Attributes that an element may have.
pub const ATTRIBUTES_MAX: usize = 1_000;
/// Elements that a document may have.
pub const ELEMENTS_MAX: usize = 500_000;

/// An element.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its attributes, in order.
    pub attributes: Vec<(String, String)>,
    /// The elements in it.
    pub children: Vec<Element>,
    /// The line where it starts, from 1; 0 if it was made by hand.
    pub line: u32,
}
impl Element {
    /// An element with these attributes.
    pub fn new(name: &str, attributes: &[(&str, &str)]) -> Element {
        let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Element { name: name.to_owned(), attributes, ..Element::default() }
    }

    /// With these elements in it.
    #[must_use]
    pub fn with(mut self, children: impl IntoIterator<Item = Element>) -> Element {
        self.children.extend(children);
        self
    }

    /// An attribute.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// Sets an attribute.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.attributes.iter_mut().find(|(k, _)| k == name) {
            Some((_, v)) => value.clone_into(v),
            None => self.attributes.push((name.to_owned(), value.to_owned())),
        }
    }

    /// The attribute `id`, or nothing.
    pub fn id(&self) -> &str {
        self.get("id").unwrap_or_default()
    }

    /// The first element of a name in it.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }

    /// The elements of a name in it.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// The first element of a name, itself or anywhere below, in the order of the document.
    pub fn find(&self, name: &str) -> Option<&Element> {
        if self.name == name { Some(self) } else { self.children.iter().find_map(|c| c.find(name)) }
    }
}

/// Why a text is no XML that can be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct XmlError {
    /// The line.
    pub line: u32,
    /// What is wrong.
    pub text: String,
}
impl std::fmt::Display for XmlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}
impl std::error::Error for XmlError {}

struct Lines<'a> {
    text: &'a str,
    seen: usize,
    line: u32,
}
impl Lines<'_> {
    /// The line of a place, which is never before the last one asked for.
    fn at(&mut self, place: u64) -> u32 {
        let place = usize::try_from(place).unwrap_or(usize::MAX).clamp(self.seen, self.text.len());
        let breaks = self.text.as_bytes()[self.seen..place].iter().filter(|b| **b == b'\n').count();
        self.line += u32::try_from(breaks).unwrap_or(0);
        self.seen = place;
        self.line
    }
}

/// Reads a document.
pub fn parse(text: &str) -> Result<Element, XmlError> {
    let wrong = |line, text: String| Err(XmlError { line, text });
    if text.len() > BYTES_MAX {
        return wrong(1, format!("{} bytes are more than the {BYTES_MAX} that are read", text.len()));
    }
    let mut reader = Reader::from_str(text);
    let mut lines = Lines { text, seen: 0, line: 1 };
    let mut open: Vec<Element> = Vec::new();
    let mut root: Option<Element> = None;
    let mut count = 0;
    loop {
        let line = lines.at(reader.buffer_position());
        let event = match reader.read_event() {
            Ok(e) => e,
            Err(e) => return wrong(lines.at(reader.error_position()), format!("this is not XML: {e}")),
        };
        // Text before an element may hold line breaks: an element starts where its `<` is.
        let done = match event {
            Event::Start(e) => {
                if open.len() >= DEPTH_MAX {
                    return wrong(line, format!("more than {DEPTH_MAX} elements inside each other"));
                }
                open.push(element(&e, line)?);
                count += 1;
                None
            }
            Event::Empty(e) => {
                count += 1;
                Some(element(&e, line)?)
            }
            Event::End(_) => open.pop(),
            Event::DocType(_) => {
                return wrong(line, "a document type (`<!DOCTYPE`) is not read: a CIB has none, and its entities may hide anything".into());
            }
            Event::GeneralRef(r) => {
                let known = r.is_char_ref() || matches!(&*r, b"amp" | b"lt" | b"gt" | b"quot" | b"apos");
                if !known {
                    return wrong(
                        line,
                        format!("the entity `&{};` is not defined", String::from_utf8_lossy(&r)),
                    );
                }
                None
            }
            Event::Eof => break,
            Event::Text(_) | Event::CData(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
        };
        if count > ELEMENTS_MAX {
            return wrong(line, format!("more than {ELEMENTS_MAX} elements"));
        }
        if let Some(e) = done {
            match open.last_mut() {
                Some(parent) => parent.children.push(e),
                None if root.is_none() => root = Some(e),
                None => return wrong(e.line, format!("a second root element `<{}>`", e.name)),
            }
        }
    }
    let line = lines.at(u64::MAX);
    if let Some(e) = open.last() {
        return wrong(line, format!("`<{}>` of line {} is not closed", e.name, e.line));
    }
    root.map_or_else(|| wrong(line, "there is no element".into()), Ok)
}

fn element(e: &BytesStart<'_>, line: u32) -> Result<Element, XmlError> {
    let wrong = |text: String| XmlError { line, text };
    let name = String::from_utf8_lossy(e.name().as_ref()).into_owned();
    let mut attributes = Vec::new();
    for a in e.attributes() {
        if attributes.len() >= ATTRIBUTES_MAX {
            return Err(wrong(format!("`<{name}>` has more than {ATTRIBUTES_MAX} attributes")));
        }
        let a = a.map_err(|x| wrong(format!("in `<{name}>`: {x}")))?;
        let key = String::from_utf8_lossy(a.key.as_ref()).into_owned();
        #[allow(deprecated)]
        // `normalized_value` folds line breaks, which no CIB has; this one only resolves the five entities.
        let value =
            a.unescape_value().map_err(|x| wrong(format!("`{key}` in `<{name}>`: {x}")))?.into_owned();
        attributes.push((key, value));
    }
    Ok(Element { name, attributes, children: Vec::new(), line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_know_their_lines() {
        let r = parse("<?xml version='1.0'?>\n<a x='1 &amp; 2'>\n  <!-- no -->\n  <b/>\n</a>\n").unwrap();
        assert_eq!((r.name.as_str(), r.line, r.get("x")), ("a", 2, Some("1 & 2")));
        assert_eq!(r.child("b").map(|b| b.line), Some(4));
    }

    #[test]
    fn hostile_xml_is_refused_with_a_line() {
        let bomb = "<!DOCTYPE l [<!ENTITY a 'ha'>\n<!ENTITY b '&a;&a;'>]>\n<cib x='&b;'/>";
        assert!(parse(bomb).unwrap_err().text.contains("DOCTYPE"));
        assert!(parse("<cib>\n&lol;</cib>").unwrap_err().text.contains("lol"));
        assert!(parse("<cib\n x='&lol;'/>").unwrap_err().text.contains("lol"));
        assert!(parse(&"<a>".repeat(100_000)).unwrap_err().text.contains("inside each other"));
        assert!(parse("<a><b></a>").is_err());
        assert!(parse("<a>").unwrap_err().text.contains("not closed"));
        assert!(parse("").is_err() && parse("<a/><a/>").is_err() && parse("hello").is_err());
        assert!(parse("<a x='1' x='2'/>").is_err());
    }
}
