//! The heartbeat mesh of ten hosts in the whole world (interfaces, ARP, links, causes), beside the bare loop of the same mesh.
//!
//!     taskset -c 1 cargo bench --bench world

#[allow(dead_code)]
mod workloads;

use firedrill::engine::{Chance, Engine, Model, Scheduler, Span, SpanRange, Time};
use firedrill::net::Plane;
use firedrill::net::addr::{Cidr, Endpoint, Ip};
use firedrill::node::disk::End;
use firedrill::node::log::Level;
use firedrill::node::process::{Action, Ctx, HostId, Input, Process, Timer};
use firedrill::node::world::{Ev, World};
use firedrill::scenario::types::Sysctl;
use std::time::Instant;

const N: u16 = 10;
const PORT: u16 = 694;
const BEAT: Timer = Timer(N);

#[derive(Clone)]
struct Member {
    id: u16,
    sent: u64,
    delivered: u64,
    detections: u64,
}
impl Process for Member {
    type Msg = ();
    type Note = ();
    type Files = ();
    fn on(&mut self, input: Input<()>, ctx: &mut Ctx<'_, (), ()>) {
        match input {
            Input::Start => {
                ctx.act(Action::Bind(PORT));
                ctx.set_timer(BEAT, Span(u64::from(self.id) * Span::ms(100).0 / u64::from(N)));
                for peer in (0..N).filter(|p| *p != self.id) {
                    ctx.set_timer(Timer(peer), Span::ms(500));
                }
            }
            Input::Timer(BEAT) => {
                for peer in (0..N).filter(|p| *p != self.id) {
                    let to = Endpoint { ip: address(peer), port: PORT };
                    let from = Endpoint { ip: address(self.id), port: PORT };
                    ctx.act(Action::Send { from, to, net: None, plane: Plane::heartbeat, msg: () });
                    self.sent += 1;
                }
                ctx.set_timer(BEAT, Span::ms(100));
            }
            Input::Timer(_) => self.detections += 1,
            Input::Packet { from, .. } => {
                self.delivered += 1;
                ctx.set_timer(Timer((from.ip.0 & 0xff) as u16 - 1), Span::ms(500));
            }
            _ => {}
        }
    }
    fn reset(&mut self, _: End, (): &mut ()) {}
}
fn address(n: u16) -> Ip {
    Ip(0x0A00_0001 + u32::from(n))
}

struct Mesh(World<Member>);
impl Model for Mesh {
    type Event = Ev<()>;
    fn handle(&mut self, event: Ev<()>, s: &mut Scheduler<Ev<()>>) {
        self.0.log.entries.clear();
        match event {
            Ev::Outer(n) if n < u32::from(N) => self.0.boot_now(HostId(n as u16), s),
            Ev::Outer(_) => self.0.power_off(HostId(0), s),
            event => self.0.handle(event, s),
        }
    }
}

fn world(seconds: u64) -> (u64, u64, u64) {
    let mut world = World::new(1, Level::Story, |()| ("beat", 0));
    let net = world.add_net(
        "lan",
        SpanRange { min: Span::us(800), max: Span::us(1200) },
        Chance::NEVER,
        Chance::NEVER,
        Span::secs(300),
    );
    let parms = Sysctl::default().neigh();
    let zero = SpanRange::exactly(Span::ZERO);
    let mut engine = Engine::new(Mesh(world.clone()));
    for i in 0..N {
        let h = world.add_host(&format!("n{i}"), parms, zero, zero);
        world.plug(h, net, Cidr { ip: address(i), prefix: 24 });
        world.add_proc(h, "member", None, Member { id: i, sent: 0, delivered: 0, detections: 0 });
        engine.sched.at(Time::ZERO, Ev::Outer(u32::from(i)));
    }
    engine.model.0 = world;
    let end = Time::ZERO + Span::secs(seconds);
    engine.sched.at(Time::ZERO + Span::ms(seconds * 500 + 37), Ev::Outer(u32::from(N)));
    engine.run_until(end);
    let sum = |f: fn(&Member) -> u64| engine.model.0.procs.iter().map(|p| f(&p.logic)).sum::<u64>();
    (sum(|m| m.sent), sum(|m| m.delivered), sum(|m| m.detections))
}

fn main() {
    let mut ratios = Vec::new();
    for round in 0..=5 {
        let t = Instant::now();
        let bare = workloads::w2_bare(u64::from(N))();
        let bare_rate = bare.work as f64 / t.elapsed().as_secs_f64();
        let t = Instant::now();
        let (sent, delivered, detections) = world(2000);
        let rate = delivered as f64 / t.elapsed().as_secs_f64();
        if round == 0 {
            println!("bare {}\nworld sent:{sent}/dlv:{delivered}/det:{detections}", bare.check);
        } else {
            ratios.push((rate / bare_rate, rate));
        }
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    println!(
        "w2-10 in the whole world: {:.0} messages/s, {:.2}x of the bare loop (target 0.4x)",
        ratios[2].1, ratios[2].0
    );
}
