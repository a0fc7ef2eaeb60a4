//! From a stack, a drill and a seed to a simulation that is ready to run.

mod batch;
mod client;
pub(super) mod cluster;
pub(super) mod crm;
mod database;
mod dcs;
mod fence;
mod heartbeat;
mod lvs;
mod pgpool;
mod proxy;
mod sbd;

use super::types::{At, Drill, Host, Runs, Stack, WatchdogKind};
use crate::engine::random::Streams;
use crate::engine::{Span, SpanRange, Time};
use crate::net::addr::{Cidr, Ip};
use crate::node::log::Level;
use crate::node::process::{HostId, NetId, Pid};
use crate::proto::client::process::ClientProcess;
use crate::proto::vrrp::config::Keepalived;
use crate::proto::vrrp::process::{Parent, Vrrp};
use crate::proto::{Daemon, label};
use crate::sim::{Planned, Sim, Stage, World};

/// Power-on to daemons, unless the host says otherwise.
const BOOT_TIME: SpanRange = SpanRange::exactly(Span::secs(30));

/// The subnet of the n-th network, unless it says otherwise.
pub fn default_subnet(n: usize) -> Cidr {
    Cidr { ip: Ip(0x0A00_0000 + ((n as u32) << 8)), prefix: 24 }
}

/// The address of every host on every network that it is plugged into: its own, or the next free one of the subnet.
pub fn addresses(stack: &Stack) -> Vec<(String, String, Cidr)> {
    let mut all = Vec::new();
    for (n, (net, network)) in stack.networks.iter().enumerate() {
        let subnet = network.subnet.unwrap_or_else(|| default_subnet(n));
        let plugged = |h: &Host| h.networks.as_ref().is_none_or(|l| l.contains(net));
        let mut taken: Vec<Ip> =
            stack.hosts.values().filter_map(|h| h.addresses.get(net).map(|a| a.ip)).collect();
        let mut next = subnet.ip.0 & subnet.mask();
        for (name, host) in stack.hosts.iter().filter(|(_, h)| plugged(h)) {
            let cidr = host.addresses.get(net).copied().unwrap_or_else(|| {
                next += 1;
                while taken.contains(&Ip(next)) {
                    next += 1;
                }
                taken.push(Ip(next));
                Cidr { ip: Ip(next), prefix: subnet.prefix }
            });
            // An address without a prefix gets that of the subnet: a host route would reach nobody.
            let prefix = if cidr.prefix == 32 { subnet.prefix } else { cidr.prefix };
            all.push((net.clone(), name.clone(), Cidr { ip: cidr.ip, prefix }));
        }
    }
    all
}

/// A simulation of the drill on the stack.
pub fn build(stack: &Stack, drill: &Drill, seed: u64, level: Level) -> Sim {
    let mut world = World::new(seed, level, label);
    let mut vips: Vec<Ip> = Vec::new();
    for (name, n) in &stack.networks {
        world.add_net(name, n.latency, n.loss, n.duplicate, n.mac_ageing);
    }
    let addresses = addresses(stack);
    let plan_of = Plan { stack, addresses: &addresses };
    for (name, host) in &stack.hosts {
        let id = add_host(&mut world, name, host);
        for (i, net) in stack.networks.keys().enumerate() {
            if let Some((.., cidr)) = addresses.iter().find(|(n, h, _)| n == net && h == name) {
                world.plug(id, NetId(i as u16), *cidr);
            }
        }
        let nets: Vec<(String, NetId)> =
            world.host(id).nics.iter().map(|n| (world.nets[n.net.0 as usize].name.clone(), n.net)).collect();
        for runs in &host.runs {
            add_daemon(&mut world, &plan_of, id, name, runs, &nets, &mut vips);
        }
    }
    pgpool::remotes(&mut world, &plan_of);
    fence::wire(&mut world, stack);
    // Addresses that Patroni's callbacks move.
    for runs in stack.hosts.values().flat_map(|h| &h.runs) {
        if let Runs::Patroni(p) = runs
            && let Some(vip) = p.callbacks.vip
            && !vips.contains(&vip.ip)
        {
            vips.push(vip.ip);
        }
    }
    let faults = plan(drill, &mut world.streams);
    Stage::new(world, faults, vips).start()
}

fn add_host(world: &mut World, name: &str, host: &Host) -> HostId {
    let k = &host.sysctl;
    let id = world.add_host(name, k.neigh(), host.boot_time.unwrap_or(BOOT_TIME), host.wakeup);
    let h = &mut world.hosts[id.0 as usize];
    h.clock_offset = i64::try_from(host.clock_offset.0).unwrap_or(i64::MAX);
    h.shutdown_time = host.shutdown_time.unwrap_or(h.shutdown_time);
    h.drift_ppm = host.clock_drift_ppm;
    h.site.clone_from(&host.site);
    h.files.cpu = crate::proto::cpu::Cpu::new(host.cpus.unwrap_or(0));
    h.disk.time = host.disk.unwrap_or(h.disk.time);
    h.watchdog.present = host.watchdog.is_some();
    h.watchdog.hardware = host.watchdog == Some(WatchdogKind::Hardware);
    h.tcp_syn_retries = k.tcp_syn_retries;
    h.tcp_retries2 = k.tcp_retries2;
    id
}

/// What the builders of daemons know of the stack.
struct Plan<'a> {
    stack: &'a Stack,
    /// Network, host, address.
    addresses: &'a [(String, String, Cidr)],
}
impl Plan<'_> {
    /// The first address of a host.
    fn ip(&self, host: &str) -> Ip {
        self.addresses.iter().find(|(_, h, _)| h == host).map_or(Ip::NONE, |(.., a)| a.ip)
    }
    /// The hosts that run something of a kind, in the order of their names, with their first addresses.
    fn hosts_with(&self, is: impl Fn(&Runs) -> bool) -> Vec<(&str, Ip)> {
        let has = |h: &Host| h.runs.iter().any(&is);
        let hosts = self.stack.hosts.iter().filter(|(_, h)| has(h));
        hosts.map(|(name, _)| (name.as_str(), self.ip(name))).collect()
    }
}

/// A daemon's place: its host, the host's name, its own name, and the host's networks.
struct Site<'a> {
    id: HostId,
    host: &'a str,
    name: &'a str,
    nets: &'a [(String, NetId)],
}

fn add_daemon(
    world: &mut World,
    plan: &Plan<'_>,
    id: HostId,
    host: &str,
    runs: &Runs,
    nets: &[(String, NetId)],
    vips: &mut Vec<Ip>,
) {
    // A second daemon of a kind on one host gets a number: `client-2`.
    let mut name = runs.name().to_owned();
    let same =
        world.host(id).procs.iter().filter(|p| world.proc(**p).name.split('-').next() == Some(&name)).count();
    if same > 0 {
        name = format!("{name}-{}", same + 1);
    }
    let site = Site { id, host, name: &name, nets };
    match runs {
        Runs::Keepalived(config) => {
            let has = |r: &Runs| matches!(r, Runs::Postgres(_));
            let postgres =
                plan.stack.hosts[host].runs.iter().any(has).then(|| database::postgres_pid(plan, host));
            keepalived(world, &site, config, postgres, vips);
        }
        Runs::HAProxy(config) => proxy::haproxy(world, plan, &site, config),
        Runs::Client(config) => {
            world.add_proc(id, &name, None, Daemon::Client(ClientProcess::new(config.clone())));
        }
        Runs::Etcd(config) => dcs::etcd(world, plan, &site, config),
        Runs::Consul(config) => dcs::consul(world, plan, &site, config),
        Runs::Postgres(config) => database::postgres(world, plan, &site, config),
        Runs::Patroni(config) => database::patroni(world, plan, &site, config),
        Runs::Dns(config) => client::dns(world, plan, &site, config),
        Runs::Resolver(config) => client::resolver(world, plan, &site, config),
        Runs::Application(config) => client::application(world, plan, &site, config),
        Runs::Lvs(config) => lvs::director(world, plan, &site, config, vips),
        Runs::Server(config) => lvs::server(world, plan, &site, config),
        Runs::Slurmctld(config) => batch::slurmctld(world, plan, &site, config),
        Runs::Slurmd(config) => batch::slurmd(world, plan, &site, config),
        Runs::Sbatch(config) => batch::sbatch(world, plan, &site, config),
        Runs::Nfs(config) => batch::nfs(world, plan, &site, config),
        Runs::Pgpool(config) => pgpool::pgpool(world, plan, &site, config, vips),
        Runs::FenceDevice(config) => fence::device(world, plan, &site, config),
        Runs::Sbd(config) => sbd::daemon(world, plan, &site, config),
        Runs::SbdDisk(config) => sbd::disk(world, &site, config),
        Runs::Heartbeat(config) => heartbeat::node(world, plan, &site, config, vips),
        Runs::Pacemaker(config) => crm::pacemakerd(world, plan, &site, config, vips),
        Runs::Corosync(config) => cluster::corosync(world, plan, &site, config),
        Runs::Qnetd(config) => cluster::qnetd(world, plan, &site, config),
    }
}

fn keepalived(
    world: &mut World,
    site: &Site<'_>,
    config: &Keepalived,
    postgres: Option<Pid>,
    vips: &mut Vec<Ip>,
) {
    let Site { id, host, name, nets } = *site;
    let draw = |world: &mut World, what: &str, range: SpanRange| {
        let stream = world.streams.named(&format!("host/{host}/{name}/{what}"));
        world.streams.span(stream, range)
    };
    let startup = draw(world, "startup", config.startup_time);
    let respawn = draw(world, "respawn", config.respawn_time);
    let child = Pid(world.procs.len() as u16 + 1);
    let parent = world.add_proc(id, name, None, Daemon::Keepalived(Parent::new(child, startup, respawn)));
    let vrrp = Vrrp::new(config.clone(), nets.to_vec());
    for vip in vrrp.instances().iter().flat_map(|i| i.vips()) {
        if !vips.contains(&vip.ip) {
            vips.push(vip.ip);
        }
    }
    world.add_proc(id, &format!("{name}/vrrp"), Some(parent), Daemon::Vrrp(Box::new(vrrp), postgres));
}

/// The faults of a drill with their times; a range is drawn from once, by the number of the fault.
fn plan(drill: &Drill, streams: &mut Streams) -> Vec<Planned> {
    let mut draw = |i: usize, range: SpanRange| {
        let stream = streams.named(&format!("fault/{}/time", i + 1));
        streams.span(stream, range)
    };
    let mut faults: Vec<Planned> = drill
        .faults
        .iter()
        .enumerate()
        .map(|(i, at)| match at {
            At::At(range, fault) => {
                let at = Some(Time::ZERO + draw(i, *range));
                Planned { fault: fault.clone(), at, after: None, set: false }
            }
            At::After(range, when, fault) => {
                let after = Some((when.clone(), draw(i, *range)));
                Planned { fault: fault.clone(), at: None, after, set: false }
            }
        })
        .collect();
    // Faults with times come in the order of their times; one that waits for an occasion keeps its place in the list.
    if faults.iter().all(|f| f.at.is_some()) {
        faults.sort_by_key(|f| f.at);
    }
    faults
}
