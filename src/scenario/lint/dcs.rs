//! What can be wrong with a distributed store.

use super::Lint;
use crate::proto::consul::config::Consul;
use crate::proto::etcd::config::Etcd;
use crate::scenario::types::Stack;

pub(super) fn etcd(_: &mut Lint<'_>, _: &Stack, _: (&str, &str), _: &Etcd) {}
pub(super) fn consul(_: &mut Lint<'_>, _: &Stack, _: (&str, &str), _: &Consul) {}
