//! A stack as a drawing: hosts in rows by what they are for, what runs on them, and the networks that they are plugged into.

use super::svg::{Svg, fit, width};
use crate::say;
use crate::scenario::build::addresses;
use crate::scenario::types::{Host, Runs, Stack};

/// What a daemon is called in the drawing.
fn label(r: &Runs) -> String {
    match r {
        Runs::Keepalived(k) => {
            let vip = k
                .vip
                .or_else(|| k.virtual_ipaddress.first().copied())
                .map_or(String::new(), |v| format!(" {}", v.ip));
            format!("keepalived{vip}")
        }
        Runs::Patroni(p) => match (&p.callbacks.vip, &p.callbacks.dns_name) {
            (Some(vip), _) => format!("patroni {}", vip.ip),
            (None, Some(name)) => format!("patroni {name}"),
            (None, None) => "patroni".to_owned(),
        },
        Runs::Consul(c) if c.server => "consul server".to_owned(),
        Runs::Application(a) => {
            let places: Vec<String> = a.connect.0.iter().map(ToString::to_string).collect();
            format!("app \u{2192} {}", places.join(", "))
        }
        Runs::Client(c) => format!("client \u{2192} {}", c.connect),
        other => other.name().to_owned(),
    }
}

/// In which row a host stands: users, what they go through, data, votes and the rest.
fn tier(h: &Host) -> usize {
    let has = |f: fn(&Runs) -> bool| h.runs.iter().any(f);
    if has(|r| matches!(r, Runs::Postgres(_) | Runs::Slurmd(_) | Runs::Server(_))) {
        2
    } else if has(|r| matches!(r, Runs::HAProxy(_) | Runs::Lvs(_) | Runs::Slurmctld(_) | Runs::Keepalived(_)))
    {
        1
    } else if has(|r| matches!(r, Runs::Application(_) | Runs::Client(_) | Runs::Sbatch(_))) {
        0
    } else {
        3
    }
}

/// What is said of a host: its daemons, each once; an application that only a fault starts is left out.
fn lines(h: &Host) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for r in &h.runs {
        if matches!(r, Runs::Application(a) if !a.autostart) {
            continue;
        }
        let l = label(r);
        match out.iter_mut().find(|o| o.split(" \u{d7}").next() == Some(l.as_str())) {
            Some(o) => {
                let n = o.rsplit_once(" \u{d7}").and_then(|(_, n)| n.parse::<u32>().ok()).unwrap_or(1) + 1;
                *o = format!("{l} \u{d7}{n}");
            }
            None => out.push(l),
        }
    }
    out
}

const WIDE: f64 = 760.0;

/// The drawing of a stack.
pub fn stack(name: &str, stack: &Stack) -> Svg {
    let rails = stack.networks.len() as f64;
    let left = 24.0 + rails * 16.0;
    let mut tiers: [Vec<(&String, &Host)>; 4] = Default::default();
    for (host, h) in &stack.hosts {
        tiers[tier(h)].push((host, h));
    }
    let all = addresses(stack);
    let plugged = |net: &str, host: &str| all.iter().any(|(n, h, _)| n == net && h == host);
    let per_row = 4usize;
    let rows: Vec<Vec<(&String, &Host)>> =
        tiers.iter().flat_map(|t| t.chunks(per_row).map(<[_]>::to_vec)).collect();
    let high = |row: &[(&String, &Host)]| {
        30.0 + 19.0 * row.iter().map(|(_, h)| lines(h).len()).max().unwrap_or(0) as f64 + 8.0
    };
    let total: f64 = rows.iter().map(|r| high(r) + 20.0 + rails * 8.0).sum::<f64>() + 34.0;
    let mut svg = Svg::new(WIDE, total, &say!("rep-diagram", stack = name));
    let (top, mut y) = (28.0, 34.0);
    let mut ends = vec![top; stack.networks.len()];
    for row in &rows {
        let room = WIDE - left - 14.0;
        let gap = 14.0;
        let wide = ((room - gap * (row.len() - 1) as f64) / row.len() as f64).min(230.0);
        let tall = high(row);
        for (i, (host, h)) in row.iter().enumerate() {
            let x = left + 12.0 + i as f64 * (wide + gap);
            svg.rect((x, y), (wide, tall), "box", "");
            svg.text(x + 10.0, y + 19.0, "b", &fit(host, wide - 70.0));
            if let Some(site) = &h.site {
                svg.text(
                    x + wide - 8.0,
                    y + 19.0,
                    "soft small e",
                    &fit(&say!("rep-site", site = site), 66.0),
                );
            }
            for (k, line) in lines(h).iter().enumerate() {
                let at = y + 28.0 + 19.0 * k as f64;
                let line = fit(line, wide - 24.0);
                svg.rect((x + 8.0, at), ((width(&line) + 12.0).min(wide - 16.0), 16.0), "card", "");
                svg.text(x + 14.0, at + 12.0, "small", &line);
            }
        }
        for (k, net) in stack.networks.keys().enumerate() {
            let at = y + tall + 10.0 + 8.0 * k as f64;
            let rail = 14.0 + 16.0 * k as f64;
            let mut last = None;
            for (i, (host, _)) in row.iter().enumerate().filter(|(_, h)| plugged(net, h.0)) {
                let _ = host;
                let x = left + 12.0 + i as f64 * (wide + gap) + 18.0 + 14.0 * k as f64;
                svg.line((x, y + tall), (x, at), "wire");
                svg.disc(x, at, 2.5, "knot");
                last = Some(x);
            }
            if let Some(x) = last {
                svg.line((rail, at), (x, at), "bus");
                ends[k] = at;
            }
        }
        y += tall + 20.0 + rails * 8.0;
    }
    for (k, net) in stack.networks.keys().enumerate() {
        let rail = 14.0 + 16.0 * k as f64;
        svg.line((rail, top), (rail, ends[k]), "bus");
        svg.text(rail - 6.0 + k as f64 * 34.0, 18.0, "soft small", net);
    }
    svg
}
