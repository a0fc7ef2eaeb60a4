//! Proxies.

use super::{Plan, Site};
use crate::proto::Daemon;
use crate::proto::haproxy::config::HAProxy;
use crate::proto::haproxy::process::Service;
use crate::sim::World;

pub(super) fn haproxy(world: &mut World, _: &Plan<'_>, site: &Site<'_>, config: &HAProxy) {
    world.add_proc(site.id, site.name, None, Daemon::HAProxy(Service::new(config.clone())));
}
