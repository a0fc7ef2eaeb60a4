//! Floor 5: what faults do to a world. A fault names roles; they are looked up when it fires.

mod link;
mod target;

pub use target::{Roles, resolve};

use crate::engine::Time;
use crate::node::log::What;
use crate::node::process::{HostId, Pid, Signal};
use crate::node::world::{Ev, Life, Power};
use crate::proto::Msg;
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
    );
    let target = target_of(fault);
    let at: Option<HostId> = target.and_then(|t| hosts(world, t).first().copied());
    if let Some(t) = target
        && !matches!(t, crate::scenario::types::Target::Host(_))
    {
        text = format!("{text} = {}", named(world, t));
    }
    let what = if healed { What::Healed(number, text) } else { What::Fault(number, text) };
    world.tell(s, at, None, what);
    match fault {
        Fault::PowerOff { target } | Fault::Crash { target } => {
            for h in hosts(world, target) {
                world.power_off(h, s);
            }
        }
        Fault::PowerOn { target } => {
            for h in hosts(world, target) {
                world.power_on(h, s);
            }
        }
        Fault::Reboot { target } => {
            for h in hosts(world, target) {
                for i in 0..world.host(h).procs.len() {
                    let pid = world.host(h).procs[i];
                    world.signal(pid, Signal::Term, s);
                }
                world.power_off(h, s);
                world.power_on(h, s);
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
        links => link::apply(world, links, vips, s),
    }
    world.changed = true;
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
        if let Some(pid) = world.find_proc(host, process) {
            f(world, pid);
        }
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
        | F::DiskOk { target } => Some(target),
        F::Heal { target } => target.as_ref(),
    }
}

/// A fault in words.
pub fn describe(fault: &Fault) -> String {
    use Fault as F;
    let t = target_of(fault).map(target::words).unwrap_or_default();
    let plane = |p: &Option<crate::net::Plane>| p.map_or(String::new(), |p| format!(", {p:?} plane only"));
    match fault {
        F::PowerOff { .. } => format!("power lost: {t}"),
        F::PowerOn { .. } => format!("power back: {t}"),
        F::Crash { .. } => format!("kernel panic: {t}"),
        F::Reboot { .. } => format!("reboot: {t}"),
        F::Freeze { mode, clock, lasts, .. } => format!(
            "host stands still: {t}{} (packets meanwhile {}, clocks {})",
            lasts.map_or(String::new(), |d| format!(" for {d}")),
            if *mode == FreezeMode::Lost { "lost" } else { "queued" },
            if *clock == FreezeClock::Runs { "run on" } else { "stand still" }
        ),
        F::Thaw { .. } => format!("host goes on: {t}"),
        F::Stop { process, .. } => format!("SIGTERM to {process}: {t}"),
        F::Start { process, .. } => format!("{process} started: {t}"),
        F::Kill { process, all, .. } => {
            format!("SIGKILL to {process}{}: {t}", if *all { " and its children" } else { "" })
        }
        F::Pause { process, .. } => format!("SIGSTOP to {process}: {t}"),
        F::Resume { process, .. } => format!("SIGCONT to {process}: {t}"),
        F::Hang { process, .. } => format!("{process} hangs in the kernel: {t}"),
        F::Cut { from, plane: p, .. } => format!("cut {t} | {}{}", target::words(from), plane(p)),
        F::CutOneWay { to, plane: p, .. } => format!("cut {t} -> {}{}", target::words(to), plane(p)),
        F::Heal { .. } if t.is_empty() => "all links healed".to_owned(),
        F::Heal { .. } => format!("links healed: {t}"),
        F::Loss { chance, to, plane: p, .. } => format!(
            "{chance} of the frames lost: {t} -> {}{}",
            to.as_ref().map_or("everyone".to_owned(), target::words),
            plane(p)
        ),
        F::DropNext { count, plane, .. } => format!("next {count} {plane:?} frames lost: {t}"),
        F::Delay { by, .. } => format!("frames {by} later: {t}"),
        F::Duplicate { chance, .. } => format!("{chance} of the frames twice: {t}"),
        F::Reorder { chance, by, .. } => format!("{chance} of the frames held back {by}: {t}"),
        F::LoseGarps { .. } => format!("gratuitous ARPs lost: {t}"),
        F::LinkDown { .. } => format!("carrier lost: {t}"),
        F::LinkUp { .. } => format!("carrier back: {t}"),
        F::ClockStep { by, .. } => format!("wall clock steps by {by}: {t}"),
        F::ClockDrift { ppm, .. } => format!("clocks drift {ppm} ppm: {t}"),
        F::DiskSlow { by, .. } => format!("disk writes take {by}: {t}"),
        F::DiskFull { .. } => format!("disk full: {t}"),
        F::DiskOk { .. } => format!("disk well again: {t}"),
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
