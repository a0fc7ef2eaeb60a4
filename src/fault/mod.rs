//! Floor 5: what faults do to a world. A fault names roles; they are looked up when it fires.

mod crm;
mod link;
mod operator;
pub mod roles;
mod target;

pub(crate) use crm::{cib, controller, is_dc};
pub use target::{Roles, resolve};

use crate::engine::Time;
use crate::node::log::What;
use crate::node::process::{HostId, Pid, Signal};
use crate::node::world::{Ev, Life, Power};
use crate::proto::Msg;
use crate::say;
use crate::scenario::types::{Fault, FreezeClock, FreezeMode};
use crate::sim::{Sched, World};

/// Carries a fault out. `number` counts faults from 1; `roles` answers who holds what.
pub fn apply(world: &mut World, fault: &Fault, number: u16, vips: &[crate::net::addr::Ip], s: &mut Sched) {
    let hosts = |world: &World, t| resolve(world, t, vips);
    let mut text = crate::fault::describe(fault);
    let named = |world: &World, t| {
        let h: Vec<&str> = resolve(world, t, vips).iter().map(|h| world.host(*h).name.as_str()).collect();
        h.join(", ")
    };
    let healed = matches!(
        fault,
        Fault::PowerOn { .. }
            | Fault::Thaw { .. }
            | Fault::Start { .. }
            | Fault::Resume { .. }
            | Fault::Heal { .. }
            | Fault::LinkUp { .. }
            | Fault::DiskOk { .. }
            | Fault::PatroniResume
            | Fault::AgentWorks { .. }
            | Fault::Reinit { .. }
            | Fault::Rebuild { .. }
    );
    let target = target_of(fault);
    let at: Option<HostId> = target.and_then(|t| hosts(world, t).first().copied());
    if let Some(t) = target
        && !matches!(t, crate::scenario::types::Target::Host(_))
    {
        // The names stand where the role stands: a cut has two sides.
        let (words, names) = (target::words(t), named(world, t));
        let names = if names.is_empty() { say!("target-nobody") } else { names };
        text = text.replacen(&words, &format!("{words} = {names}"), 1);
    }
    let what = if healed { What::Healed(number, text) } else { What::Fault(number, text) };
    world.tell(s, at, None, what);
    match fault {
        Fault::PowerOff { target } | Fault::PowerOn { target } => {
            let on = matches!(fault, Fault::PowerOn { .. });
            for h in hosts(world, target) {
                world.mains(h, on, s);
            }
        }
        Fault::Crash { target } => {
            for h in hosts(world, target) {
                world.power_off(h, s);
            }
        }
        Fault::Reboot { target } => {
            for h in hosts(world, target) {
                world.reboot(h, s);
            }
        }
        Fault::Freeze { target, mode, clock, lasts } => {
            for h in hosts(world, target) {
                world.freeze(h, *mode == FreezeMode::Queued, *clock == FreezeClock::Stops, s);
                if let Some(range) = lasts {
                    let name = format!("fault/freeze/{}/{number}", world.host(h).name);
                    let stream = world.streams.named(&name);
                    let d = world.streams.span(stream, *range);
                    let freezes = world.host(h).freezes;
                    s.after(d, Ev::<Msg>::Thaw(h, freezes));
                }
            }
        }
        Fault::Thaw { target } => {
            for h in hosts(world, target) {
                world.thaw(h, s);
            }
        }
        Fault::Stop { target, process } => {
            each(world, target, process, vips, |w, p| w.signal(p, Signal::Term, s))
        }
        Fault::Start { target, process } => each(world, target, process, vips, |w, p| w.start_now(p, s)),
        Fault::Kill { target, process, all } => {
            each(world, target, process, vips, |w, p| if *all { w.kill_all(p, s) } else { w.kill(p, s) })
        }
        Fault::Hang { target, process } | Fault::Resume { target, process } if process == "patroni/ha" => {
            let hangs = matches!(fault, Fault::Hang { .. });
            each(world, target, "patroni", vips, |w, p| w.signal(p, Signal::Thread(0, hangs), s));
        }
        Fault::Pause { target, process } => each(world, target, process, vips, |w, p| w.pause(p, false)),
        Fault::Hang { target, process } => each(world, target, process, vips, |w, p| w.pause(p, true)),
        Fault::Resume { target, process } => each(world, target, process, vips, |w, p| w.resume(p, s)),
        Fault::ClockStep { target, by } => {
            for h in hosts(world, target) {
                let by_ns = i64::try_from(by.by.0).unwrap_or(i64::MAX);
                let h = &mut world.hosts[h.0 as usize];
                h.clock_offset = h.clock_offset.saturating_add(if by.negative { -by_ns } else { by_ns });
            }
        }
        Fault::ClockDrift { target, ppm } => {
            for h in hosts(world, target) {
                world.hosts[h.0 as usize].drift_ppm = (*ppm).clamp(-500_000, 500_000);
            }
        }
        Fault::DiskSlow { target, by } => {
            for h in hosts(world, target) {
                world.hosts[h.0 as usize].disk.slow = Some(*by);
            }
        }
        Fault::DiskFull { target } => {
            for h in hosts(world, target) {
                world.hosts[h.0 as usize].disk.full = true;
            }
        }
        Fault::DiskOk { target } => {
            for h in hosts(world, target) {
                world.hosts[h.0 as usize].disk.slow = None;
                world.hosts[h.0 as usize].disk.full = false;
            }
        }
        Fault::Switchover { .. }
        | Fault::Failover { .. }
        | Fault::PatroniPause
        | Fault::PatroniResume
        | Fault::Reinit { .. }
        | Fault::Rebuild { .. }
        | Fault::MoveLeader { .. }
        | Fault::DeleteLeaderKey
        | Fault::Promote { .. }
        | Fault::PgCtlStop { .. }
        | Fault::PcpAttachNode { .. }
        | Fault::PcpDetachNode { .. }
        | Fault::PcpPromoteNode { .. }
        | Fault::PcpRecoveryNode { .. }
        | Fault::DnsRecord { .. } => operator::apply(world, fault, vips, s),
        Fault::Fence { .. } => operator::apply(world, fault, vips, s),
        Fault::FenceMode { target, mode } => {
            for h in hosts(world, target) {
                for pid in world.host(h).procs.clone() {
                    if let crate::proto::Daemon::Fence(d) = &mut world.procs[pid.0 as usize].logic {
                        d.set_mode(*mode);
                    }
                }
            }
        }
        Fault::Crm { .. }
        | Fault::AgentFails { .. }
        | Fault::AgentWorks { .. }
        | Fault::ResourceDies { .. } => {
            crm::apply(world, fault, vips, s);
        }
        Fault::Weight { target, server, weight } => weigh(world, (target, server, *weight), vips, s),
        links => link::apply(world, links, vips, s),
    }
    world.changed = true;
}

/// An operator gives a server another weight in the tables of directors.
fn weigh(
    world: &mut World,
    (target, server, weight): (&crate::scenario::types::Target, &str, u32),
    vips: &[crate::net::addr::Ip],
    s: &Sched,
) {
    let Some(server) = world.find_host(server) else { return };
    for host in resolve(world, target, vips) {
        for i in 0..world.host(server).nics.len() {
            let ip = world.host(server).nics[i].primary.ip;
            for note in world.hosts[host.0 as usize].files.ipvs.weigh(ip, weight) {
                world.tell(s, Some(host), None, What::Note(crate::proto::Note::Lvs(note)));
            }
        }
    }
}

/// Does something to a process of every target host that has it.
fn each(
    world: &mut World,
    target: &crate::scenario::types::Target,
    process: &str,
    vips: &[crate::net::addr::Ip],
    mut f: impl FnMut(&mut World, Pid),
) {
    for host in resolve(world, target, vips) {
        if let Some(pid) = find(world, host, process) {
            f(world, pid);
        }
    }
}

/// The process that a fault names: by its own name, or by what it is: `dcs` is etcd or Consul, whichever runs there, `arbiter` what has
/// a vote and no data.
fn find(world: &World, host: HostId, process: &str) -> Option<Pid> {
    match process {
        "arbiter" => roles::arbiter(world, host),
        "dcs" => world.find_proc(host, "etcd").or_else(|| world.find_proc(host, "consul")),
        name => world.find_proc(host, name),
    }
}

/// Whom a fault names first.
pub fn target_of(fault: &Fault) -> Option<&crate::scenario::types::Target> {
    use Fault as F;
    match fault {
        F::PowerOff { target }
        | F::PowerOn { target }
        | F::Crash { target }
        | F::Reboot { target }
        | F::Freeze { target, .. }
        | F::Thaw { target }
        | F::Stop { target, .. }
        | F::Start { target, .. }
        | F::Kill { target, .. }
        | F::Pause { target, .. }
        | F::Resume { target, .. }
        | F::Hang { target, .. }
        | F::Cut { target, .. }
        | F::CutOneWay { target, .. }
        | F::Loss { target, .. }
        | F::DropNext { target, .. }
        | F::Delay { target, .. }
        | F::Duplicate { target, .. }
        | F::Reorder { target, .. }
        | F::LoseGarps { target }
        | F::LinkDown { target, .. }
        | F::LinkUp { target, .. }
        | F::ClockStep { target, .. }
        | F::ClockDrift { target, .. }
        | F::DiskSlow { target, .. }
        | F::DiskFull { target }
        | F::DiskOk { target }
        | F::Reinit { target }
        | F::Rebuild { target }
        | F::MoveLeader { target }
        | F::Promote { target }
        | F::PgCtlStop { target, .. }
        | F::Failover { candidate: target }
        | F::DnsRecord { to: target, .. }
        | F::Weight { target, .. }
        | F::Fence { target, .. } => Some(target),
        F::AgentFails { target, .. }
        | F::AgentWorks { target, .. }
        | F::ResourceDies { target, .. }
        | F::FenceMode { target, .. }
        | F::PcpAttachNode { target, .. }
        | F::PcpDetachNode { target, .. }
        | F::PcpPromoteNode { target, .. }
        | F::PcpRecoveryNode { target, .. } => Some(target),
        F::Heal { target } | F::Switchover { candidate: target } => target.as_ref(),
        F::PatroniPause | F::PatroniResume | F::DeleteLeaderKey | F::Crm { .. } => None,
    }
}

/// A fault in words.
pub fn describe(fault: &Fault) -> String {
    use Fault as F;
    let t = target_of(fault).map(target::words).unwrap_or_default();
    let plane = |p: &Option<crate::net::Plane>| {
        p.map_or(String::new(), |p| say!("fault-plane", plane = format!("{p:?}")))
    };
    match fault {
        F::PowerOff { .. } => say!("fault-power-off", t = t),
        F::PowerOn { .. } => say!("fault-power-on", t = t),
        F::Crash { .. } => say!("fault-crash", t = t),
        F::Reboot { .. } => say!("fault-reboot", t = t),
        F::Freeze { mode, clock, lasts, .. } => {
            let lost = *mode == FreezeMode::Lost;
            let runs = *clock == FreezeClock::Runs;
            say!(
                "fault-freeze",
                t = t,
                lasts = lasts.map_or(String::new(), |d| say!("fault-freeze-for", time = d)),
                packets = say!(if lost { "fault-packets-lost" } else { "fault-packets-queued" }),
                clocks = say!(if runs { "fault-clocks-run" } else { "fault-clocks-stop" })
            )
        }
        F::Thaw { .. } => say!("fault-thaw", t = t),
        F::Stop { process, .. } => say!("fault-stop", process = process, t = t),
        F::Start { process, .. } => say!("fault-start", process = process, t = t),
        F::Kill { process, all, .. } => {
            say!(if *all { "fault-kill-all" } else { "fault-kill" }, process = process, t = t)
        }
        F::Pause { process, .. } => say!("fault-pause", process = process, t = t),
        F::Resume { process, .. } => say!("fault-resume", process = process, t = t),
        F::Hang { process, .. } => say!("fault-hang", process = process, t = t),
        F::Cut { from, plane: p, .. } => {
            say!("fault-cut", t = t, from = target::words(from), plane = plane(p))
        }
        F::CutOneWay { to, plane: p, .. } => {
            say!("fault-cut-one-way", t = t, to = target::words(to), plane = plane(p))
        }
        F::Heal { .. } if t.is_empty() => say!("fault-heal-all"),
        F::Heal { .. } => say!("fault-heal", t = t),
        F::Loss { chance, to, plane: p, .. } => {
            let to = to.as_ref().map_or_else(|| say!("target-everyone"), target::words);
            say!("fault-loss", chance = chance, t = t, to = to, plane = plane(p))
        }
        F::DropNext { count, plane, .. } => {
            say!("fault-drop-next", count = count, plane = format!("{plane:?}"), t = t)
        }
        F::Delay { by, .. } => say!("fault-delay", by = by, t = t),
        F::Duplicate { chance, .. } => say!("fault-duplicate", chance = chance, t = t),
        F::Reorder { chance, by, .. } => say!("fault-reorder", chance = chance, by = by, t = t),
        F::LoseGarps { .. } => say!("fault-lose-garps", t = t),
        F::LinkDown { .. } => say!("fault-link-down", t = t),
        F::LinkUp { .. } => say!("fault-link-up", t = t),
        F::ClockStep { by, .. } => say!("fault-clock-step", by = by, t = t),
        F::ClockDrift { ppm, .. } => say!("fault-clock-drift", ppm = ppm, t = t),
        F::DiskSlow { by, .. } => say!("fault-disk-slow", by = by, t = t),
        F::DiskFull { .. } => say!("fault-disk-full", t = t),
        F::DiskOk { .. } => say!("fault-disk-ok", t = t),
        F::Switchover { candidate: None } => say!("fault-switchover"),
        F::Switchover { .. } => say!("fault-switchover-to", t = t),
        F::Failover { .. } => say!("fault-failover", t = t),
        F::PatroniPause => say!("fault-patroni-pause"),
        F::PatroniResume => say!("fault-patroni-resume"),
        F::Reinit { .. } => say!("fault-reinit", t = t),
        F::Rebuild { .. } => say!("fault-rebuild", t = t),
        F::MoveLeader { .. } => say!("fault-move-leader", t = t),
        F::DeleteLeaderKey => say!("fault-delete-key"),
        F::Promote { .. } => say!("fault-promote", t = t),
        F::PgCtlStop { mode, .. } => say!("fault-pg-stop", mode = mode.name(), t = t),
        F::DnsRecord { name, .. } => say!("fault-dns-record", name = name, t = t),
        F::Weight { server, weight, .. } => say!("fault-weight", server = server, weight = weight, t = t),
        F::Crm { command } => say!("fault-crm", command = crm::command(command)),
        F::AgentFails { resource, operation, hangs: true, .. } => {
            say!("fault-agent-hangs", resource = resource, operation = operation, t = t)
        }
        F::AgentFails { resource, operation, .. } => {
            say!("fault-agent-fails", resource = resource, operation = operation, t = t)
        }
        F::AgentWorks { resource, .. } => say!("fault-agent-works", resource = resource, t = t),
        F::ResourceDies { resource, .. } => say!("fault-resource-dies", resource = resource, t = t),
        F::Fence { by, .. } => say!("fault-fence", t = t, by = target::words(by)),
        F::FenceMode { mode, .. } => say!("fault-fence-mode", mode = format!("{mode:?}"), t = t),
        F::PcpAttachNode { node, .. } => say!("fault-pcp-attach", node = node, t = t),
        F::PcpDetachNode { node, graceful, .. } => {
            say!(if *graceful { "fault-pcp-detach-g" } else { "fault-pcp-detach" }, node = node, t = t)
        }
        F::PcpPromoteNode { node, switchover, .. } => {
            say!(if *switchover { "fault-pcp-promote-s" } else { "fault-pcp-promote" }, node = node, t = t)
        }
        F::PcpRecoveryNode { node, .. } => say!("fault-pcp-recovery", node = node, t = t),
    }
}

/// Whether a host takes part in the cluster's life: up, and not standing still.
pub fn awake(world: &World, host: HostId) -> bool {
    world.host(host).power == Power::On && world.host(host).freeze.is_none()
}
/// Whether a process runs.
pub fn runs(world: &World, pid: Pid) -> bool {
    world.proc(pid).life == Life::Running && awake(world, world.proc(pid).host)
}
/// The moment at which a fault that was injected into a run at `now` fires: the next nanosecond.
pub fn injection_time(now: Time) -> Time {
    Time(now.0 + 1)
}
