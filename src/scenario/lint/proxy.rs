//! What can be wrong with a proxy.

use super::Lint;
use crate::proto::haproxy::config::HAProxy;
use crate::scenario::types::Stack;

pub(super) fn haproxy(l: &mut Lint<'_>, _: &Stack, (path, _): (&str, &str), h: &HAProxy) {
    if h.bind == 0 {
        l.error(&format!("{path}.bind"), "a port goes from 1 to 65535", None);
    }
}
