//! What can be wrong with databases and their managers.

use super::Lint;
use crate::proto::patroni::Patroni;
use crate::proto::postgres::Postgres;
use crate::scenario::types::Stack;

pub(super) fn postgres(_: &mut Lint<'_>, _: &Stack, _: (&str, &str), _: &Postgres) {}
pub(super) fn patroni(_: &mut Lint<'_>, _: &Stack, _: (&str, &str), _: &Patroni) {}
