//! What uses a service: applications, and the DNS servers on their way.

use super::{Plan, Site};
use crate::proto::Daemon;
use crate::proto::app::{App, Application};
use crate::proto::dns::{Authority, Dns, Recursor, Resolver};
use crate::sim::World;

pub(super) fn dns(world: &mut World, _: &Plan<'_>, site: &Site<'_>, config: &Dns) {
    world.add_proc(site.id, site.name, None, Daemon::Dns(Authority::new(config.clone())));
}
pub(super) fn resolver(world: &mut World, _: &Plan<'_>, site: &Site<'_>, config: &Resolver) {
    world.add_proc(site.id, site.name, None, Daemon::Resolver(Recursor::new(config.clone())));
}
pub(super) fn application(world: &mut World, _: &Plan<'_>, site: &Site<'_>, config: &Application) {
    world.add_proc(site.id, site.name, None, Daemon::App(Box::new(App::new(config.clone()))));
}
