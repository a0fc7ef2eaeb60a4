//! What a scenario says although it can be read: names that do not exist, values out of range, settings that cannot work.

mod batch;
mod client;
mod cluster;
mod crm;
mod database;
mod dcs;
mod fence;
mod heartbeat;
mod lvs;
mod pgpool;
mod pgpool_recovery;
mod proxy;
mod sbd;

pub(super) use crm::of_cib;

use super::build::{addresses, default_subnet};
use super::diag::{Diagnostic, nearest};
use super::syntax::{self, Node};
use super::types::{At, Condition, Drill, Expect, Fault, Host, Runs, Stack, Sysctl, Target, When};
use crate::engine::{MS, SEC, Span};
use crate::proto::corosync::api::NodeId;
use crate::proto::vrrp::config::{Check, InitialState, Keepalived, NotifyScript};

/// The most hosts of a stack.
const HOSTS: usize = 200;
/// The most networks of a stack.
const NETWORKS: usize = 64;
/// The most daemons on a host.
const DAEMONS: usize = 32;
/// The longest run: 30 days.
const LONGEST: Span = Span::secs(30 * 86_400);

struct Lint<'a> {
    root: &'a Node,
    list: Vec<Diagnostic>,
}
impl Lint<'_> {
    fn at(&mut self, path: &str, message: String, help: Option<String>, warning: bool) {
        // The nearest part of the path that is written in the file.
        let mut path = path;
        let span = loop {
            if let Some(node) = syntax::find(self.root, path) {
                break node.span.clone();
            }
            match path.rfind(['.', '[']) {
                Some(i) => path = &path[..i],
                None => break 0..self.root.span.end.min(1),
            }
        };
        self.list.push(Diagnostic { message, span, help, warning });
    }
    fn error(&mut self, path: &str, message: impl Into<String>, help: impl Into<Option<String>>) {
        self.at(path, message.into(), help.into(), false);
    }
    fn warn(&mut self, path: &str, message: impl Into<String>) {
        self.at(path, message.into(), None, true);
    }
}

/// Checks a stack.
pub fn stack(stack: &Stack, root: &Node) -> Vec<Diagnostic> {
    let mut l = Lint { root, list: Vec::new() };
    if stack.networks.is_empty() {
        l.error(
            "networks",
            "a stack needs at least one network",
            Some("networks: { \"lan\": () }".to_owned()),
        );
    }
    if stack.hosts.is_empty() {
        l.error("hosts", "a stack needs at least one host", None);
    }
    if stack.hosts.len() > HOSTS {
        l.error("hosts", format!("{} hosts are more than {HOSTS}", stack.hosts.len()), None);
        return l.list;
    }
    if stack.networks.len() > NETWORKS {
        l.error("networks", format!("{} networks are more than {NETWORKS}", stack.networks.len()), None);
        return l.list;
    }
    for (kind, name) in stack
        .networks
        .keys()
        .map(|n| ("networks", n))
        .chain(stack.hosts.keys().map(|h| ("hosts", h)))
        .filter(|(_, n)| n.is_empty() || !n.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_'))
    {
        let help = "paths such as `lb1.keepalived.priority` are made of them".to_owned();
        l.error(kind, format!("the name `{name}` is not made of letters, digits, `-` and `_`"), Some(help));
    }
    for (name, network) in &stack.networks {
        let Some(subnet) = network.subnet else { continue };
        let path = format!("networks.{name}.subnet");
        // The first and the last address of a subnet are no host's.
        let room = if subnet.prefix >= 31 { 0 } else { (1u64 << (32 - subnet.prefix)) - 2 };
        if room < stack.hosts.len() as u64 {
            l.error(&path, format!("{subnet} has room for {room} of {} hosts", stack.hosts.len()), None);
        } else if subnet.prefix < 8 || subnet.ip.0 >> 28 >= 0xE {
            let help = Some("for example \"10.0.0.0/24\"".to_owned());
            l.error(&path, format!("{subnet} is no subnet that hosts can have addresses of"), help);
        }
    }
    let nets: Vec<&str> = stack.networks.keys().map(String::as_str).collect();
    for (name, host) in &stack.hosts {
        if host.runs.len() > DAEMONS {
            l.error(&format!("hosts.{name}.runs"), format!("more than {DAEMONS} daemons on a host"), None);
        }
        sysctl(&mut l, name, &host.sysctl);
        for net in host.addresses.keys().chain(host.networks.iter().flatten()) {
            if !nets.contains(&net.as_str()) {
                let help = nearest(net, nets.iter().copied()).map(|n| format!("did you mean `{n}`?"));
                l.error(&format!("hosts.{name}"), format!("there is no network `{net}`"), help);
            }
        }
        if host.networks.as_ref().is_some_and(Vec::is_empty) {
            l.error(&format!("hosts.{name}.networks"), "the host is connected to nothing", None);
        }
        if host.clock_drift_ppm.unsigned_abs() > 500_000 {
            l.error(
                &format!("hosts.{name}.clock_drift_ppm"),
                "the drift goes from -500000 to 500000 ppm",
                None,
            );
        }
    }
    if !l.list.is_empty() {
        return l.list;
    }
    if let Some(c) = &stack.pacemaker {
        crm::cluster(&mut l, stack, c);
    }
    let all = addresses(stack);
    for (i, (net, host, a)) in all.iter().enumerate() {
        let path = format!("hosts.{host}.addresses.{net}");
        if let Some((_, other, _)) = all[..i].iter().find(|(n, _, b)| n == net && b.ip == a.ip) {
            l.error(&path, format!("{host} and {other} have the same address {}", a.ip), None);
        }
        let n = stack.networks.keys().position(|k| k == net).unwrap_or(0);
        let subnet = stack.networks[net].subnet.unwrap_or_else(|| default_subnet(n));
        if !subnet.contains(a.ip) {
            l.error(&path, format!("{} is not in the subnet {subnet} of `{net}`", a.ip), None);
        }
    }
    for (name, host) in &stack.hosts {
        for (i, runs) in host.runs.iter().enumerate() {
            let path = format!("hosts.{name}.runs[{i}]");
            match runs {
                Runs::Keepalived(k) => keepalived(&mut l, stack, &all, (&path, name), k),
                Runs::HAProxy(h) => proxy::haproxy(&mut l, stack, (&path, name), h),
                Runs::Etcd(e) => dcs::etcd(&mut l, stack, (&path, name), e),
                Runs::Consul(c) => dcs::consul(&mut l, stack, (&path, name), c),
                Runs::Postgres(p) => database::postgres(&mut l, stack, (&path, name), p),
                Runs::Patroni(p) => database::patroni(&mut l, stack, (&path, name), p),
                Runs::Dns(d) => client::dns(&mut l, stack, (&path, name), d),
                Runs::Resolver(r) => client::resolver(&mut l, stack, (&path, name), r),
                Runs::Application(a) => client::application(&mut l, stack, (&path, name), a),
                Runs::Lvs(d) => lvs::director(&mut l, stack, &all, (&path, name), d),
                Runs::Server(s) => lvs::server(&mut l, &all, (&path, name), s),
                Runs::Slurmctld(c) => batch::slurmctld(&mut l, stack, (&path, name), c),
                Runs::Slurmd(d) => batch::slurmd(&mut l, stack, (&path, name), d),
                Runs::Sbatch(u) => batch::sbatch(&mut l, stack, (&path, name), u),
                Runs::Nfs(_) => {}
                Runs::Pgpool(p) => pgpool::pgpool(&mut l, stack, (&path, name), p),
                Runs::Heartbeat(h) => heartbeat::node(&mut l, stack, &all, (&path, name), h),
                Runs::FenceDevice(f) => fence::device(&mut l, stack, (&path, name), f),
                Runs::Pacemaker(_) => crm::pacemaker(&mut l, stack, (&path, name)),
                Runs::Sbd(d) => sbd::daemon(&mut l, stack, (&path, name), d),
                Runs::SbdDisk(d) => sbd::disk(&mut l, (&path, name), d),
                Runs::Corosync(c) => cluster::corosync(&mut l, stack, (&path, name), c),
                Runs::Qnetd(q) => cluster::qnetd(&mut l, stack, (&path, name), q),
                Runs::Client(c) => {
                    for (field, every) in [("requests", c.requests), ("reads", c.reads), ("writes", c.writes)]
                    {
                        if every.is_some_and(|e| e.interval() < Span::ms(1)) {
                            l.error(&format!("{path}.{field}"), "requests come at most every 1ms", None);
                        }
                    }
                    if c.requests.is_none() && c.reads.is_none() && c.writes.is_none() {
                        l.warn(
                            &path,
                            "this client asks for nothing: give it `requests`, `reads` or `writes`",
                        );
                    }
                }
            }
        }
    }
    priorities(&mut l, stack);
    l.list
}

fn keepalived(
    l: &mut Lint<'_>,
    stack: &Stack,
    all: &[(String, String, crate::net::addr::Cidr)],
    (path, host): (&str, &str),
    k: &Keepalived,
) {
    let at = |f: &str| format!("{path}.{f}");
    if k.vip.is_none() && k.virtual_ipaddress.is_empty() {
        l.error(
            path,
            "keepalived without a virtual address",
            Some("add `vip: \"10.0.0.100/24\"`".to_owned()),
        );
    }
    for (i, vip) in k.vip.iter().chain(&k.virtual_ipaddress).enumerate() {
        let first = usize::from(k.vip.is_some());
        let at = if i < first { at("vip") } else { at(&format!("virtual_ipaddress[{}]", i - first)) };
        if let Some((_, host, _)) = all.iter().find(|(.., a)| a.ip == vip.ip) {
            l.error(
                &at,
                format!("{} is the own address of {host}", vip.ip),
                Some("a virtual address belongs to no host".to_owned()),
            );
        }
    }
    if k.priority == Some(0) {
        l.error(&at("priority"), "priority 0 means \"I am leaving\"; it goes from 1 to 255", None);
    }
    if k.virtual_router_id == 0 {
        l.error(&at("virtual_router_id"), "virtual_router_id goes from 1 to 255", None);
    }
    let ns = k.advert_int.0;
    match k.version {
        2 if !ns.is_multiple_of(SEC) || !(SEC..=255 * SEC).contains(&ns) => l.error(
            &at("advert_int"),
            format!("VRRP v2 advertises in whole seconds from 1s to 255s, not {}", k.advert_int),
            Some("set `version: 3` for shorter intervals (RFC 3768 section 5.3.7)".to_owned()),
        ),
        3 if !ns.is_multiple_of(10 * MS) || !(10 * MS..=40_950 * MS).contains(&ns) => l.error(
            &at("advert_int"),
            format!("VRRP v3 advertises in steps of 10ms from 10ms to 40.95s, not {}", k.advert_int),
            Some("RFC 5798 section 5.2.7: 12 bits of centiseconds".to_owned()),
        ),
        2 | 3 => {}
        v => l.error(&at("version"), format!("there is no VRRP version {v}"), Some("2 or 3".to_owned())),
    }
    if !(1..=100).contains(&k.down_timer_adverts) {
        l.error(&at("down_timer_adverts"), "down_timer_adverts goes from 1 to 100", None);
    }
    if k.preempt_delay > Span::secs(1000) {
        l.error(&at("preempt_delay"), "preempt_delay goes from 0s to 1000s", None);
    }
    if k.state == InitialState::MASTER && (k.nopreempt || !k.preempt_delay.is_zero()) {
        let field = if k.nopreempt { "nopreempt" } else { "preempt_delay" };
        l.error(
            &at(field),
            format!("{field} requires `state: BACKUP`"),
            Some("keepalived.conf(5)".to_owned()),
        );
    }
    let postgres = |h: &Host| h.runs.iter().any(|r| matches!(r, Runs::Postgres(_)));
    if k.notify_master == Some(NotifyScript::Promote) && !stack.hosts.get(host).is_some_and(postgres) {
        l.error(&at("notify_master"), format!("{host} runs no PostgreSQL that could be promoted"), None);
    }
    if k.strict && !k.unicast_peer.is_empty() {
        l.error(&at("unicast_peer"), "strict forbids unicast", None);
    }
    if k.strict && !k.preempt_delay.is_zero() {
        l.error(&at("preempt_delay"), "strict forbids preempt_delay", None);
    }
    if k.strict
        && (k.state == InitialState::MASTER)
            != (k.priority.unwrap_or(255) == 255 && k.state == InitialState::MASTER)
    {
        l.error(&at("state"), "strict allows `state: MASTER` with priority 255 only", None);
    }
    if k.strict && k.state == InitialState::BACKUP && k.priority == Some(255) {
        l.error(&at("priority"), "strict allows priority 255 with `state: MASTER` only", None);
    }
    for (field, n) in [
        ("garp_master_repeat", k.garp_master_repeat),
        ("garp_master_refresh_repeat", k.garp_master_refresh_repeat),
        ("garp_lower_prio_repeat", k.garp_lower_prio_repeat.unwrap_or(0)),
    ] {
        if n > 1000 {
            l.error(&at(field), format!("{field} goes from 0 to 1000"), None);
        }
    }
    if !k.garp_master_refresh.is_zero() && k.garp_master_refresh < Span::ms(100) {
        l.error(
            &at("garp_master_refresh"),
            "a master repeats gratuitous ARPs at most every 100ms",
            Some("keepalived: whole seconds; 0s is never".to_owned()),
        );
    }
    if let Some(net) = k.interface.as_ref().filter(|n| !stack.networks.contains_key(*n)) {
        let help =
            nearest(net, stack.networks.keys().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
        l.error(&at("interface"), format!("there is no network `{net}`"), help);
    }
    let here = processes(stack.hosts.get(host));
    let scripts = k.track_script.iter().enumerate().filter_map(|(i, s)| match &s.script {
        Check::Running(p) => Some((at(&format!("track_script[{i}].script")), p)),
        Check::Answers(_) => None,
    });
    for (at, p) in k.track.iter().map(|p| (at("track"), p)).chain(scripts) {
        if !here.contains(&kind_of(p)) {
            let help = nearest(p, here.iter().copied()).map_or_else(
                || format!("processes of {host}: {}", here.join(", ")),
                |n| format!("did you mean `{n}`?"),
            );
            l.error(&at, format!("{host} runs no process `{p}`"), Some(help));
        }
    }
    for (name, v) in &k.vrrp_instance {
        let at = |f: &str| format!("{path}.vrrp_instance.{name}.{f}");
        if v.priority == Some(0) {
            l.error(&at("priority"), "priority 0 means \"I am leaving\"; it goes from 1 to 255", None);
        }
        if v.virtual_router_id == Some(0) {
            l.error(&at("virtual_router_id"), "virtual_router_id goes from 1 to 255", None);
        }
        if v.advert_int.is_some_and(|d| d < Span::ms(10) || (k.version == 2 && !d.0.is_multiple_of(SEC))) {
            l.error(&at("advert_int"), "v2: whole seconds from 1s; v3: steps of 10ms from 10ms", None);
        }
        if let Some(net) = v.interface.as_ref().filter(|n| !stack.networks.contains_key(*n)) {
            l.error(&at("interface"), format!("there is no network `{net}`"), None);
        }
    }
    for (i, s) in k.track_script.iter().enumerate() {
        let at = |f: &str| format!("{path}.track_script[{i}].{f}");
        if !(-253..=253).contains(&s.weight) {
            l.error(&at("weight"), "weight goes from -253 to 253", None);
        }
        if s.interval < Span::ms(10) {
            l.error(&at("interval"), "interval is too short", Some("keepalived: 1s and more".to_owned()));
        }
        if s.rise == 0 || s.fall == 0 {
            l.error(&at("rise"), "rise and fall are 1 and more", None);
        }
    }
    for (i, t) in k.track_interface.iter().enumerate() {
        if !stack.networks.contains_key(&t.interface) {
            let help = nearest(&t.interface, stack.networks.keys().map(String::as_str))
                .map(|n| format!("did you mean `{n}`?"));
            l.error(
                &at(&format!("track_interface[{i}]")),
                format!("there is no network `{}`", t.interface),
                help,
            );
        }
    }
    for (group, members) in &k.vrrp_sync_group {
        for m in members.iter().filter(|m| *m != "VI_1" && !k.vrrp_instance.contains_key(*m)) {
            l.error(
                &at(&format!("vrrp_sync_group.{group}")),
                format!("there is no instance `{m}`"),
                Some("the first instance is `VI_1`".to_owned()),
            );
        }
    }
    if k.vrrp_instance.len() > 100 {
        l.error(&at("vrrp_instance"), "more than 100 instances", None);
    }
    for peer in &k.unicast_peer {
        if !all.iter().any(|(.., a)| a.ip == *peer) {
            l.warn(&at("unicast_peer"), format!("no host has the address {peer}"));
        }
    }
}

/// Bounds that the kernel has too: without them an ARP resolution or a connection could retry without end.
fn sysctl(l: &mut Lint<'_>, host: &str, s: &Sysctl) {
    for (field, n, max) in [
        ("ucast_solicit", s.ucast_solicit, 100),
        ("mcast_solicit", s.mcast_solicit, 100),
        ("tcp_syn_retries", s.tcp_syn_retries, 127),
        ("tcp_retries2", s.tcp_retries2, 255),
    ] {
        if n > max {
            l.error(&format!("hosts.{host}.sysctl.{field}"), format!("{field} goes from 0 to {max}"), None);
        }
    }
    if s.retrans_time < Span::ms(1) {
        l.error(&format!("hosts.{host}.sysctl.retrans_time"), "retrans_time is 1ms or more", None);
    }
}

/// Weights that cannot change who is master.
fn priorities(l: &mut Lint<'_>, stack: &Stack) {
    let all: Vec<(String, i32, bool, &Keepalived)> = stack
        .hosts
        .iter()
        .flat_map(|(name, h)| {
            h.runs.iter().enumerate().filter_map(move |(i, r)| match r {
                Runs::Keepalived(k) => Some((
                    format!("hosts.{name}.runs[{i}]"),
                    i32::from(k.priority.unwrap_or(100)),
                    k.nopreempt,
                    k,
                )),
                _ => None,
            })
        })
        .collect();
    for (path, priority, _, k) in &all {
        let below = all.iter().filter(|o| o.1 < *priority).max_by_key(|o| o.1);
        let Some(next) = below else { continue };
        for (i, s) in k.track_script.iter().enumerate().filter(|(_, s)| s.weight < 0) {
            let at = format!("{path}.track_script[{i}].weight");
            if priority + i32::from(s.weight) >= next.1 {
                l.warn(
                    &at,
                    format!(
                        "{priority} {} is not below {}: a failing script changes nothing",
                        s.weight, next.1
                    ),
                );
            } else if next.2 {
                l.warn(
                    &at,
                    "the next host has nopreempt: it never takes over from a master that became weaker",
                );
            }
        }
    }
}

/// Checks a drill against its stack.
pub fn drill(drill: &Drill, stack: &Stack, root: &Node) -> Vec<Diagnostic> {
    let mut l = Lint { root, list: Vec::new() };
    if drill.until.is_zero() || drill.until > LONGEST {
        l.error("until", "the end of the run is between 1ns and 30 days", None);
    }
    if drill.faults.len() > 1000 {
        l.error("faults", "more than 1000 faults", None);
    }
    let hosts: Vec<&str> = stack.hosts.keys().map(String::as_str).collect();
    let runs = |is: &dyn Fn(&Runs) -> bool| stack.hosts.values().any(|h| h.runs.iter().any(is));
    let unknown = |l: &mut Lint<'_>, path: &str, h: &str| {
        if !hosts.contains(&h) {
            let help = nearest(h, hosts.iter().copied()).map_or_else(
                || format!("hosts of this stack: {}", hosts.join(", ")),
                |n| format!("did you mean `{n}`?"),
            );
            l.error(path, format!("there is no host `{h}`"), Some(help));
        }
    };
    for (i, at) in drill.faults.iter().enumerate() {
        let (fault, index) = match at {
            At::At(range, f) => {
                if range.max > drill.until {
                    l.error(
                        &format!("faults[{i}][0]"),
                        format!(
                            "this fault comes at {}, after the end of the run at {}",
                            range.max, drill.until
                        ),
                        Some("raise `until` or move the fault".to_owned()),
                    );
                }
                (f, 1)
            }
            At::After(_, when, f) => {
                let (When::Mark(_, h) | When::Advert(h)) = when;
                if !h.is_empty() || matches!(when, When::Advert(_)) {
                    unknown(&mut l, &format!("faults[{i}][1]"), h);
                }
                (f, 2)
            }
        };
        let path = format!("faults[{i}][{index}]");
        for t in targets(fault) {
            match t {
                Target::Host(h) => unknown(&mut l, &path, h),
                Target::Hosts(list) | Target::Others(list) => {
                    list.iter().for_each(|h| unknown(&mut l, &path, h))
                }
                Target::Standby(0) => l.error(&path, "standbys count from 1", None),
                Target::Replicas if runs(&|r| matches!(r, Runs::Pacemaker(_))) => {}
                Target::MostAdvanced | Target::Databases | Target::Replicas | Target::SyncStandby
                    if !runs(&|r| matches!(r, Runs::Postgres(_))) =>
                {
                    l.error(&path, format!("no database in this stack: nobody is `{t:?}`"), None)
                }
                Target::Stores if !runs(&|r| matches!(r, Runs::Etcd(_) | Runs::Consul(_))) => {
                    l.error(&path, "neither etcd nor Consul in this stack: nobody is `Stores`", None)
                }
                Target::Proxies if !runs(&|r| matches!(r, Runs::HAProxy(_) | Runs::Pgpool(_))) => {
                    l.error(&path, "neither HAProxy nor pgpool in this stack: nobody is `Proxies`", None)
                }
                _ => {}
            }
        }
        let needs: Option<(&str, bool)> = match fault {
            Fault::Switchover { .. }
            | Fault::Failover { .. }
            | Fault::PatroniPause
            | Fault::PatroniResume
            | Fault::Reinit { .. } => Some(("Patroni", runs(&|r| matches!(r, Runs::Patroni(_))))),
            Fault::MoveLeader { .. } | Fault::DeleteLeaderKey => {
                Some(("etcd or Consul", runs(&|r| matches!(r, Runs::Etcd(_) | Runs::Consul(_)))))
            }
            Fault::Promote { .. } | Fault::Rebuild { .. } | Fault::PgCtlStop { .. } => {
                Some(("PostgreSQL", runs(&|r| matches!(r, Runs::Postgres(_)))))
            }
            Fault::Fence { .. } => {
                let tool = |r: &Runs| matches!(r, Runs::FenceDevice(_) | Runs::Sbd(_));
                Some(("fence device (`FenceDevice`) or `Sbd`", runs(&tool)))
            }
            Fault::FenceMode { .. } => {
                Some(("fence device (`FenceDevice`)", runs(&|r| matches!(r, Runs::FenceDevice(_)))))
            }
            Fault::DnsRecord { .. } => Some(("DNS server", runs(&|r| matches!(r, Runs::Dns(_))))),
            Fault::PcpAttachNode { .. }
            | Fault::PcpDetachNode { .. }
            | Fault::PcpPromoteNode { .. }
            | Fault::PcpRecoveryNode { .. } => Some(("pgpool", runs(&|r| matches!(r, Runs::Pgpool(_))))),
            _ => None,
        };
        if matches!(fault, Fault::PcpRecoveryNode { .. })
            && !runs(&|r| matches!(r, Runs::Pgpool(p) if p.recovery_1st_stage_command.is_some()))
        {
            l.warn(&path, "no pgpool has a `recovery_1st_stage_command`: online recovery copies nothing");
        }
        if let Some((what, false)) = needs {
            l.error(&path, format!("this needs a stack with {what}"), None);
        }
        if let Fault::Crm { command } = fault {
            crm::operator(&mut l, stack, &path, command);
        }
        if let Fault::Stop { process, .. }
        | Fault::Start { process, .. }
        | Fault::Kill { process, .. }
        | Fault::Pause { process, .. }
        | Fault::Resume { process, .. }
        | Fault::Hang { process, .. } = fault
        {
            let names = processes(stack.hosts.values());
            // A drill for any stack names an arbiter whether or not there is one.
            if process != "arbiter" && !names.contains(&kind_of(process)) {
                let help = nearest(process, names.iter().copied()).map_or_else(
                    || format!("processes of this stack: {}", names.join(", ")),
                    |n| format!("did you mean `{n}`?"),
                );
                l.error(&path, format!("no host runs a process `{process}`"), Some(help));
            }
        }
        if let Fault::Weight { server, weight, .. } = fault {
            unknown(&mut l, &path, server);
            if *weight > 65_535 {
                l.error(&path, "weight goes from 0 to 65535", None);
            }
            if !stack.hosts.values().flat_map(|h| &h.runs).any(|r| matches!(r, Runs::Lvs(_))) {
                l.error(&path, "this needs a stack with a director (`Lvs`)", None);
            }
        }
        if let Fault::ClockDrift { ppm, .. } = fault
            && ppm.unsigned_abs() > 500_000
        {
            l.error(&path, "the drift goes from -500000 to 500000 ppm", None);
        }
        if let Fault::LinkDown { network: Some(n), .. } | Fault::LinkUp { network: Some(n), .. } = fault
            && !stack.networks.contains_key(n)
        {
            let help =
                nearest(n, stack.networks.keys().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
            l.error(&path, format!("there is no network `{n}`"), help);
        }
    }
    for (i, e) in drill.expect.iter().enumerate() {
        batch::expect(&mut l, &format!("expect[{i}]"), e, drill.until, stack);
        if let Expect::FirstMark { fault, .. } | Expect::NoMark { fault, .. } = e
            && (*fault == 0 || *fault > drill.faults.len())
        {
            let message = format!("there is no fault {fault}: the drill has {}", drill.faults.len());
            l.error(&format!("expect[{i}]"), message, Some("faults count from 1".to_owned()));
        }
        let (Expect::Eventually { state, .. } | Expect::Always { state, .. }) = e else { continue };
        if let Condition::Role(h, _)
        | Condition::HoldsVip(h)
        | Condition::NoVip(h)
        | Condition::Streaming(h)
        | Condition::InPool(h, _)
        | Condition::NotInPool(h, _)
        | Condition::Quorate(h)
        | Condition::NotQuorate(h)
        | Condition::Members(h, _)
        | Condition::ClientsWait(h, _) = state
        {
            unknown(&mut l, &format!("expect[{i}]"), h);
        }
        if let Condition::InPool(_, s) | Condition::NotInPool(_, s) = state {
            unknown(&mut l, &format!("expect[{i}]"), s);
        }
        let (start, end) = match e {
            Expect::Eventually { by, .. } => (Span::ZERO, *by),
            Expect::Always { from, to, .. } => (*from, to.unwrap_or(drill.until)),
            _ => continue,
        };
        if end > drill.until {
            let help = Some("raise `until` or look earlier".to_owned());
            l.error(
                &format!("expect[{i}]"),
                format!("{end} is after the end of the run at {}", drill.until),
                help,
            );
        } else if start > end {
            l.error(&format!("expect[{i}]"), format!("from {start} to {end} is no time at all"), None);
        }
    }
    l.list
}

fn targets(f: &Fault) -> Vec<&Target> {
    let mut t: Vec<&Target> = crate::fault::target_of(f).into_iter().collect();
    match f {
        Fault::Cut { from, .. } => t.push(from),
        Fault::Fence { by, .. } => t.push(by),
        Fault::CutOneWay { to, .. } => t.push(to),
        Fault::Loss { to, .. } | Fault::Delay { to, .. } => t.extend(to),
        _ => {}
    }
    t
}
/// What a process is: a second daemon of a kind on one host is `client-2`.
fn kind_of(process: &str) -> &str {
    process.rsplit_once('-').filter(|(_, n)| n.parse::<u8>().is_ok()).map_or(process, |b| b.0)
}
fn processes<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Vec<&'static str> {
    let mut names = Vec::new();
    for r in hosts.into_iter().flat_map(|h| &h.runs) {
        let of: &[&'static str] = match r {
            Runs::Keepalived(_) => &["keepalived", "keepalived/vrrp"],
            Runs::Patroni(_) => &["patroni", "patroni/ha"],
            Runs::Etcd(_) => &["etcd", "dcs"],
            Runs::Consul(_) => &["consul", "dcs"],
            Runs::HAProxy(_) => &["haproxy"],
            Runs::Client(_) => &["client"],
            Runs::Postgres(_) => &["postgres"],
            Runs::Dns(_) => &["dns"],
            Runs::Resolver(_) => &["resolver"],
            Runs::Application(_) => &["application"],
            Runs::Lvs(l) if l.sync_daemon => &["lvs", "ipvs-sync"],
            Runs::Slurmd(_) => &["slurmd", "slurmstepd"],
            Runs::Pacemaker(_) => &[
                "pacemakerd",
                "pacemaker-based",
                "pacemaker-fenced",
                "pacemaker-execd",
                "pacemaker-attrd",
                "pacemaker-schedulerd",
                "pacemaker-controld",
            ],
            Runs::Pgpool(p) => pgpool::processes(p),
            Runs::Corosync(c) if c.device.is_some() => &["corosync", "corosync-qdevice"],
            _ => &[r.name()],
        };
        names.extend(of.iter().filter(|n| !names.contains(*n)).collect::<Vec<_>>());
        if matches!(r, Runs::Pgpool(p) if p.has_scripts()) {
            names.push("sshd");
        }
    }
    names
}
