//! What can be wrong with what uses a service.

use super::Lint;
use crate::proto::app::Application;
use crate::proto::dns::{Dns, Resolver};
use crate::scenario::types::Stack;

pub(super) fn dns(_: &mut Lint<'_>, _: &Stack, _: (&str, &str), _: &Dns) {}
pub(super) fn resolver(_: &mut Lint<'_>, _: &Stack, _: (&str, &str), _: &Resolver) {}
pub(super) fn application(_: &mut Lint<'_>, _: &Stack, _: (&str, &str), _: &Application) {}
