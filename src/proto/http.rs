//! HTTP as health checks and REST interfaces use it: a method, a path, a status, and a body that is a typed value instead of JSON.

use super::patroni::rest::Body;
use std::sync::Arc;

/// A request method.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // They are HTTP's own names.
pub enum Method {
    GET,
    HEAD,
    OPTIONS,
    POST,
    PUT,
    PATCH,
    DELETE,
}

/// A request or a response on a TCP connection; one request at a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Http {
    /// A request: method, path with its query (`/replica?lag=1MB`), and the body.
    Request(Method, Arc<str>, Option<Arc<Body>>),
    /// A response: the status code and the body.
    Response(u16, Option<Arc<Body>>),
}
