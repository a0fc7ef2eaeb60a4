#![allow(clippy::unwrap_used, clippy::print_stdout)]
use firedrill::node::log::{Level, What};
use firedrill::scenario::load::load;
#[test]
fn dbg() {
    let name = std::env::var("D").unwrap();
    let host = std::env::var("H").unwrap();
    let (a, b): (u64, u64) =
        (std::env::var("A").unwrap().parse().unwrap(), std::env::var("B").unwrap().parse().unwrap());
    let seed = std::env::var("S").map_or(1, |s| s.parse().unwrap());
    let l = load(&name, &[], std::env::var("STACK").ok().as_deref()).unwrap();
    let r = firedrill::trace::run::run(&l.stack, &l.drill, seed, Level::Full, true);
    for e in &r.log {
        let ms = e.at.0 / 1_000_000;
        if ms < a || ms > b {
            continue;
        }
        let h = r.host(e.host);
        match &e.what {
            What::Note(n) if h == host => {
                let t = n.text();
                println!(
                    "{} {h} {:?} NOTE {} | {}",
                    e.at,
                    e.pid.map(|p| r.processes[p.0 as usize].clone()),
                    t.0,
                    t.1
                )
            }
            What::Frame(from, _, l)
                if h == host
                    && !matches!(l.word, "ACK")
                    && (l.word != "etcd" || std::env::var("E").is_ok()) =>
            {
                println!("{} {h} <- {} {} {} {:?}", e.at, r.host(Some(*from)), l.word, l.number, l.plane)
            }
            What::Lost(to, l, w) if h == host => {
                println!("{} {h} LOST to {} {} {:?}", e.at, r.host(Some(*to)), l.word, w)
            }
            _ => {}
        }
    }
}
