//! The bodies of requests and answers of the REST interface.

/// A body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// Text, for whoever reads only the status code.
    Text(String),
}
