//! Results as one page: no script, no font, no picture from elsewhere. What was asked, the stacks, the figures, the worst runs, and how
//! each number is had again.

use super::charts::{self, Series, class, seconds};
use super::study::{SHOWN, Study, quantiles};
use super::svg::{COLOURS, Svg, escape};
use super::{diagram, timeline};
use crate::engine::Time;
use crate::experiment::analysis::{Effect, sensitivity};
use crate::experiment::map::{Class, Map, Rules};
use crate::experiment::row::{Row, verdict};
use crate::fault::describe;
use crate::lang::{Lang, about, chosen};
use crate::node::log::Level;
use crate::say;
use crate::scenario::types::{At, When};
use crate::trace::metrics::Metric;
use crate::trace::run::{Run, run};
use crate::trace::verdict::Judgement;
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");

/// What a report shows of a study.
pub struct Options {
    /// When a run is unsafe, and when unavailable.
    pub rules: Rules,
    /// The settings of the map: across, upwards. Default: the two that explain most.
    pub axes: Option<(String, String)>,
    /// The figure whose distribution is shown.
    pub metric: String,
}
impl Default for Options {
    fn default() -> Self {
        Options { rules: Rules::default(), axes: None, metric: Metric::WriteOutageMax.name().to_owned() }
    }
}

/// A page in the making.
struct Page {
    out: String,
    contents: Vec<(&'static str, String)>,
}
impl Page {
    fn add(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }
    fn section(&mut self, id: &'static str, title: String) {
        if !self.contents.is_empty() {
            self.add("</section>");
        }
        let _ = writeln!(self.out, "<section id=\"{id}\">\n<h2>{}</h2>", escape(&title));
        self.contents.push((id, title));
    }
    fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.out, "<p>{}</p>", escape(text));
    }
    fn note(&mut self, text: &str) {
        let _ = writeln!(self.out, "<p class=\"note\">{}</p>", escape(text));
    }
    fn figure(&mut self, svg: &Svg, caption: &str) {
        let caption = escape(caption);
        let _ = writeln!(
            self.out,
            "<figure>\n<div class=\"scroll\">{}</div>\n<figcaption>{caption}</figcaption>\n</figure>",
            svg.inline()
        );
    }
    fn command(&mut self, text: &str) {
        let _ = writeln!(self.out, "<pre><code>{}</code></pre>", escape(text));
    }
    /// A table; the first column names the row, the others are figures.
    fn table(&mut self, caption: &str, head: &[String], rows: &[Vec<String>], words: bool) {
        let class = if words { "words" } else { "figures" };
        let _ = writeln!(
            self.out,
            "<div class=\"scroll\"><table class=\"{class}\">\n<caption>{}</caption>",
            escape(caption)
        );
        let head: String = head.iter().map(|h| format!("<th scope=\"col\">{}</th>", escape(h))).collect();
        let _ = writeln!(self.out, "<thead><tr>{head}</tr></thead>\n<tbody>");
        for row in rows {
            let cells = row.iter().enumerate().map(|(i, c)| match i {
                0 => format!("<th scope=\"row\">{}</th>", escape(c)),
                _ if c.starts_with("firedrill ") => format!("<td><code>{}</code></td>", escape(c)),
                _ => format!("<td>{}</td>", escape(c)),
            });
            let _ = writeln!(self.out, "<tr>{}</tr>", cells.collect::<String>());
        }
        self.add("</tbody></table></div>");
    }
}

/// A verdict with a sign, so that meaning is never in colour alone.
fn judged(v: Judgement) -> (&'static str, String) {
    match v {
        Judgement::Pass => ("\u{2713}", say!("story-pass")),
        Judgement::Fail => ("\u{2717}", say!("story-fail")),
        Judgement::Inconclusive => ("?", say!("story-inconclusive")),
    }
}

/// A figure as text: seconds of times, a share in percent, else as it is.
fn figure(column: &str, value: f64) -> String {
    if Study::is_time(column) {
        seconds(value)
    } else if column.ends_with("_availability") {
        format!("{:.3}%", value * 100.0)
    } else {
        super::svg::n(value)
    }
}

/// What a figure is called.
pub fn name(column: &str) -> String {
    match column {
        "write_outage_max_ms" => say!("rep-rto-writes"),
        "read_outage_max_ms" => say!("rep-rto-reads"),
        "lost_writes" => say!("rep-lost"),
        "lost_window_ms" => say!("rep-lost-window"),
        "split_brain_ms" => say!("rep-split"),
        "dual_vip_ms" => say!("rep-dual"),
        "write_availability" => say!("rep-write-availability"),
        "read_availability" => say!("rep-read-availability"),
        "failovers" => say!("rep-failovers"),
        other => other.to_owned(),
    }
}

/// What a figure is called at the head of a narrow column.
fn short(m: Metric) -> String {
    match m {
        Metric::WriteOutageMax => say!("rep-short-rto"),
        Metric::LostWrites => say!("rep-short-lost"),
        Metric::SplitBrain => say!("rep-short-split"),
        Metric::DualVip => say!("rep-short-dual"),
        Metric::WriteAvailability => say!("rep-short-writes"),
        Metric::ReadAvailability => say!("rep-short-reads"),
        other => name(other.name()),
    }
}

/// The whole page. `command` is how it was made.
pub fn page(study: &Study, options: &Options, command: &str) -> String {
    let mut p = Page { out: String::new(), contents: Vec::new() };
    asked(&mut p, study);
    stacks(&mut p, study);
    figures(&mut p, study, options);
    distribution(&mut p, study, options);
    settings(&mut p, study, options);
    worst(&mut p, study, options);
    again(&mut p, study, options, command);
    p.add("</section>");
    let title = say!("rep-title", drill = study.header.drill);
    let lang = if chosen() == Lang::Zh { "zh-CN" } else { "en" };
    let loaded = study.stacks().first().and_then(|s| study.load(s, None));
    let lead = loaded.map_or(String::new(), |l| about(&l.drill_name, &l.drill.about));
    let links: String =
        p.contents.iter().map(|(id, t)| format!("<a href=\"#{id}\">{}</a>", escape(t))).collect();
    format!(
        "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{t}</title>\n<style>\n{COLOURS}{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header>\n<p class=\"brand\">firedrill {v}</p>\n<h1>{h}</h1>\n<p class=\"lead\">{lead}</p>\n{tiles}<nav aria-label=\"{nav}\">{links}</nav>\n</header>\n\
         {body}</main>\n</body>\n</html>\n",
        t = escape(&title),
        v = escape(&study.header.version),
        h = escape(&study.header.drill),
        lead = escape(&lead),
        tiles = tiles(study),
        nav = escape(&say!("rep-contents")),
        body = p.out,
    )
}

fn tiles(study: &Study) -> String {
    let count = |v: Judgement| study.rows.iter().filter(|r| r.verdict == v).count();
    let mut out = String::from("<dl class=\"tiles\">\n");
    let mut tile = |word: &str, value: &str, class: &str| {
        let _ =
            writeln!(out, "<div class=\"{class}\"><dt>{}</dt><dd>{}</dd></div>", escape(word), escape(value));
    };
    tile(&say!("rep-runs"), &study.rows.len().to_string(), "");
    tile(&say!("rep-stacks"), &study.stacks().len().to_string(), "");
    for (v, class) in
        [(Judgement::Pass, "good"), (Judgement::Fail, "broken"), (Judgement::Inconclusive, "open")]
    {
        let (sign, word) = judged(v);
        tile(&word, &format!("{sign} {}", count(v)), class);
    }
    out + "</dl>\n"
}

fn asked(p: &mut Page, study: &Study) {
    let h = &study.header;
    p.section("asked", say!("rep-asked"));
    let loaded = study.stacks().first().and_then(|s| study.load(s, None));
    let names = study.stacks().join(", ");
    let seeds = say!("rep-seeds", from = h.seeds.0, to = h.seeds.1.saturating_sub(1));
    let mut rows = vec![
        vec![say!("rep-drill"), h.drill.clone()],
        vec![say!("rep-stacks"), names],
        vec![say!("rep-design"), h.design.clone()],
        vec![say!("rep-seeds-word"), seeds],
    ];
    rows.extend(h.vary.iter().map(|v| vec![say!("rep-varied"), format!("{} = {}", v.path, v.values)]));
    rows.extend(h.set.iter().map(|s| vec![say!("rep-set"), s.clone()]));
    p.table(&say!("rep-experiment"), &[say!("rep-what"), say!("rep-value")], &rows, true);
    if (study.rows.len() as u64) < h.runs {
        p.note(&say!("rep-partial", here = study.rows.len(), all = h.runs));
    }
    let Some(l) = loaded else {
        p.note(&say!("rep-no-drill"));
        return;
    };
    let when = |at: &At| match at {
        At::At(t, f) => vec![t.to_string(), describe(f)],
        At::After(t, When::Mark(kind, host), f) => vec![format!("{kind} {host} + {t}"), describe(f)],
        At::After(t, When::Advert(host), f) => vec![format!("advert {host} + {t}"), describe(f)],
    };
    let faults: Vec<Vec<String>> = l.drill.faults.iter().map(when).collect();
    p.table(&say!("rep-faults"), &[say!("story-time"), say!("story-what")], &faults, true);
}

fn stacks(p: &mut Page, study: &Study) {
    p.section("stacks", say!("rep-stacks"));
    for played in &study.header.stacks {
        let _ = writeln!(p.out, "<h3>{}</h3>", escape(&played.name));
        match study.load(&played.name, None) {
            Some(l) => {
                p.figure(&diagram::stack(&l.stack_name, &l.stack), &l.stack.about);
            }
            None => p.note(&say!("rep-no-stack", stack = played.name)),
        }
    }
}

/// The figures of a comparison.
const COMPARED: [Metric; 7] = [
    Metric::WriteOutageMax,
    Metric::LostWrites,
    Metric::SplitBrain,
    Metric::DualVip,
    Metric::WriteAvailability,
    Metric::ReadAvailability,
    Metric::Failovers,
];

fn figures(p: &mut Page, study: &Study, options: &Options) {
    p.section("figures", say!("rep-figures"));
    let mut head =
        vec![say!("rep-stack"), say!("rep-hosts"), say!("rep-runs"), say!("story-pass"), say!("rep-unsafe")];
    head.extend(COMPARED.iter().map(|m| short(*m)));
    let mut rows = Vec::new();
    for stack in study.stacks() {
        let of: Vec<&Row> = study.of(stack).collect();
        let hosts = study.header.stacks.iter().find(|s| s.name == stack).map_or(0, |s| s.hosts);
        let share = |n: usize| format!("{:.0}%", 100.0 * n as f64 / of.len().max(1) as f64);
        let passed = of.iter().filter(|r| r.verdict == Judgement::Pass).count();
        let bad = of.iter().filter(|r| options.rules.class(r) == Class::Unsafe).count();
        let mut row =
            vec![stack.to_owned(), hosts.to_string(), of.len().to_string(), share(passed), share(bad)];
        for m in COMPARED {
            let s = crate::experiment::analysis::sorted(of.iter().filter_map(|r| r.number(m.name())));
            let text = quantiles(&s).map_or(String::new(), |q| {
                let (p50, high) = (figure(m.name(), q[1].value), figure(m.name(), q[4].value));
                let low = figure(m.name(), s[0]);
                let end = if m.name().ends_with("_availability") { low } else { high };
                if p50 == end { p50 } else { format!("{p50}\u{a0}\u{2026} {end}") }
            });
            row.push(text);
        }
        rows.push(row);
    }
    p.table(&say!("rep-figures-caption"), &head, &rows, false);
    p.note(&say!(
        "rep-unsafe-means",
        columns = options.rules.never.join(", "),
        limit = seconds(options.rules.outage_ms)
    ));
}

fn distribution(p: &mut Page, study: &Study, options: &Options) {
    let metric = &options.metric;
    let series: Vec<Series> = study.series(metric).into_iter().filter(|s| !s.sorted.is_empty()).collect();
    if series.is_empty() {
        return;
    }
    p.section("distribution", say!("rep-distribution", what = name(metric)));
    let unit = if Study::is_time(metric) { say!("rep-seconds") } else { name(metric) };
    p.figure(
        &charts::quantiles(&series, &say!("rep-quantiles-of", what = name(metric)), &unit),
        &say!("rep-quantiles-read"),
    );
    let mut head = vec![say!("rep-stack")];
    head.extend(SHOWN.iter().map(|(_, n)| (*n).to_owned()));
    head.insert(3, say!("rep-interval"));
    let mut rows = Vec::new();
    for s in &series {
        let Some(q) = quantiles(&s.sorted) else { continue };
        let mut row = vec![s.name.clone()];
        for v in q.map(|q| q.value) {
            let seed = study.run_with(&s.name, metric, v).map_or(0, |r| r.seed);
            row.push(format!("{} ({})", figure(metric, v), say!("rep-seed", seed = seed)));
        }
        let end = |x: Option<f64>| x.map_or_else(|| "?".to_owned(), |x| figure(metric, x));
        row.insert(3, format!("{}\u{a0}\u{2026} {}", end(q[1].low), end(q[1].high)));
        rows.push(row);
    }
    p.table(&say!("rep-quantiles-caption", unit = unit), &head, &rows, false);
    p.figure(
        &charts::histograms(&series, &say!("rep-histograms-of", what = name(metric)), &unit),
        &say!("rep-histograms-read"),
    );
}

/// The settings across and upwards: as asked, or the two that explain most.
pub fn axes(study: &Study, effects: &[Effect], asked: Option<&(String, String)>) -> Option<(String, String)> {
    if let Some(a) = asked {
        return Some(a.clone());
    }
    let mut two = effects.iter().map(|e| e.knob.clone());
    let (a, b) = (two.next()?, two.next()?);
    // In the order in which they were given, so that the map does not turn with the seeds.
    let knobs = study.knobs();
    let place = |k: &String| knobs.iter().position(|x| x == k);
    Some(if place(&a) <= place(&b) { (a, b) } else { (b, a) })
}

fn settings(p: &mut Page, study: &Study, options: &Options) {
    let knobs = study.knobs();
    if knobs.is_empty() {
        return;
    }
    p.section("settings", say!("rep-settings"));
    let effects = sensitivity(&study.rows, &knobs, &options.metric);
    p.figure(
        &charts::effects(&effects, &say!("rep-effects-of", what = name(&options.metric))),
        &say!("rep-effects-read"),
    );
    let rows: Vec<Vec<String>> = effects
        .iter()
        .map(|e| {
            let end = |x: &(String, f64)| format!("{} ({})", figure(&options.metric, x.1), x.0);
            vec![e.knob.clone(), format!("{:.1}%", e.share * 100.0), end(&e.low), end(&e.high)]
        })
        .collect();
    let head = [say!("rep-setting"), say!("rep-explains"), say!("rep-lowest"), say!("rep-highest")];
    p.table(&say!("rep-effects-caption", what = name(&options.metric)), &head, &rows, false);
    let Some((x, y)) = axes(study, &effects, options.axes.as_ref()) else { return };
    for stack in study.stacks() {
        let of: Vec<Row> = study.of(stack).cloned().collect();
        let map = Map::of(&of, &x, &y, &options.rules);
        p.figure(
            &charts::map(&map, &say!("rep-map-of", stack = stack, x = x, y = y)),
            &say!("rep-map-read", stack = stack),
        );
        let bad: Vec<Vec<String>> = map
            .bad()
            .iter()
            .map(|(i, j, c)| {
                let n = if c.class == Class::Unsafe { c.runs[1] } else { c.runs[2] };
                let (knobs, seed) = c.worst.clone().unwrap_or_default();
                let row = Row { stack: stack.to_owned(), knobs, seed, ..Row::default() };
                vec![
                    format!("{} {}", c.class.letter(), class(c.class)),
                    map.xs[*i].clone(),
                    map.ys[*j].clone(),
                    format!("{n}/{}", c.runs[0]),
                    study.command(&row),
                ]
            })
            .collect();
        if bad.is_empty() {
            p.note(&say!("rep-all-safe"));
        } else {
            let head = [say!("rep-cell-word"), x.clone(), y.clone(), say!("rep-runs"), say!("rep-command")];
            p.table(&say!("rep-bad-cells"), &head, &bad, true);
        }
    }
}

fn worst(p: &mut Page, study: &Study, options: &Options) {
    p.section("worst", say!("rep-worst"));
    p.paragraph(&say!("rep-worst-read"));
    for stack in study.stacks() {
        let Some(row) = study.worst(stack, &options.rules) else { continue };
        let _ = writeln!(p.out, "<h3>{}</h3>", escape(stack));
        let outage = seconds(row.metrics.get(Metric::WriteOutageMax) as f64 / 1_000.0);
        let split = seconds(row.metrics.get(Metric::SplitBrain) as f64 / 1_000.0);
        let (sign, word) = judged(row.verdict);
        p.paragraph(&say!(
            "rep-worst-line",
            seed = row.seed,
            verdict = format!("{sign} {word}"),
            outage = outage,
            lost = row.metrics.get(Metric::LostWrites),
            split = split
        ));
        p.command(&study.command(row));
        let Some(l) = study.load(stack, Some(row)) else {
            p.note(&say!("rep-no-drill"));
            continue;
        };
        let r = run(&l.stack, &l.drill, row.seed, Level::Story, false);
        if r.digest != row.digest {
            p.note(&say!(
                "rep-other-digest",
                was = format!("{:016x}", row.digest),
                is = format!("{:016x}", r.digest)
            ));
        }
        let title = say!("rep-timeline-of", stack = stack, seed = row.seed);
        p.figure(&timeline::timeline(&r, &title), &say!("rep-timeline-read"));
        story(p, &r);
    }
}

fn story(p: &mut Page, r: &Run) {
    let rows: Vec<Vec<String>> = timeline::chosen(r)
        .iter()
        .enumerate()
        .map(|(k, m)| {
            let time = Time(m.at.0).to_string();
            vec![(k + 1).to_string(), time, r.host(m.host).to_owned(), m.text.clone(), m.why.clone()]
        })
        .collect();
    let head =
        ["#".to_owned(), say!("story-time"), say!("story-host"), say!("story-what"), say!("story-why")];
    p.table(&say!("rep-marks"), &head, &rows, true);
}

fn again(p: &mut Page, study: &Study, options: &Options, command: &str) {
    p.section("again", say!("rep-again"));
    p.paragraph(&say!("rep-again-read", version = study.header.version));
    p.paragraph(&say!("rep-again-all"));
    p.command(&study.whole_command());
    p.paragraph(&say!("rep-again-page"));
    p.command(command);
    p.paragraph(&say!("rep-again-numbers"));
    let mut rows = Vec::new();
    for s in study.series(&options.metric) {
        let Some(q) = quantiles(&s.sorted).map(|q| q.map(|q| q.value)) else { continue };
        for (v, (_, word)) in q.iter().zip(SHOWN) {
            if let Some(row) = study.run_with(&s.name, &options.metric, *v) {
                let what = format!("{} {word}", s.name);
                rows.push(vec![
                    what,
                    figure(&options.metric, *v),
                    verdict(row.verdict).to_owned(),
                    format!("{:016x}", row.digest),
                    study.command(row),
                ]);
            }
        }
    }
    let head = [
        say!("rep-what"),
        name(&options.metric),
        say!("rep-verdict"),
        "digest".to_owned(),
        say!("rep-command"),
    ];
    p.table(&say!("rep-numbers"), &head, &rows, true);
}
