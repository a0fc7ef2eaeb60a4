//! What files of results say: maps, distributions, availability, the page; and every wrong way to ask for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::experiment::map::{Map, Rules};
use firedrill::experiment::results::{FORMAT, Header, Played, Varied};
use firedrill::experiment::row::Row;
use firedrill::report::html::{Options, page};
use firedrill::report::study::Study;
use firedrill::report::terminal::{Look, map};
use firedrill::report::{charts, diagram};
use firedrill::scenario::load::load;
use firedrill::trace::metrics::Metric;
use firedrill::trace::verdict::Judgement;
use std::path::{Path, PathBuf};
use std::process::Command;

fn header() -> Header {
    Header {
        firedrill_results: FORMAT,
        version: "0.1.0".to_owned(),
        drill: "keepalived/master-power-off".to_owned(),
        drill_digest: "0".to_owned(),
        stacks: vec![Played { name: "keepalived-trio".to_owned(), hosts: 3 }],
        set: Vec::new(),
        design: "grid".to_owned(),
        design_seed: None,
        vary: ["keepalived.advert_int", "keepalived.down_timer_adverts"]
            .map(|p| Varied { path: p.to_owned(), values: "1,2".to_owned() })
            .to_vec(),
        seeds: (0, 2),
        runs: 18,
        shard: None,
    }
}
/// Three by three values, two seeds: the outage is the product, and what is over eight splits the brain.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for a in 1..=3u64 {
        for d in [2u64, 3, 30] {
            for seed in 0..2 {
                let mut r = Row {
                    run: rows.len() as u64,
                    drill: header().drill,
                    stack: "keepalived-trio".to_owned(),
                    seed,
                    knobs: vec![
                        ("keepalived.advert_int".to_owned(), format!("{a}s")),
                        ("keepalived.down_timer_adverts".to_owned(), d.to_string()),
                    ],
                    simulated: 45_000_000,
                    first_fault: Some(30_000_000),
                    verdict: if d > 3 { Judgement::Fail } else { Judgement::Pass },
                    ..Row::default()
                };
                r.metrics.set(Metric::WriteOutageMax, a * d * 1_000_000 + seed);
                r.metrics.set(Metric::WriteAvailability, 1_000_000 - a * d);
                r.metrics.set(Metric::SplitBrain, if a == 3 && d == 3 && seed == 1 { 7_000 } else { 0 });
                rows.push(r);
            }
        }
    }
    rows
}
fn file(dir: &Path, name: &str, header: &Header, rows: &[Row]) -> PathBuf {
    let lines: String = rows.iter().map(|r| r.json() + "\n").collect();
    let path = dir.join(name);
    std::fs::write(&path, header.json() + "\n" + &lines).unwrap();
    path
}
fn study(header: &Header, rows: &[Row]) -> Study {
    let dir = tempfile::tempdir().unwrap();
    Study::read(&[file(dir.path(), "results.jsonl", header, rows)]).unwrap()
}
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/results").join(name);
    if std::env::var_os("FIREDRILL_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        old == text,
        "{name}: FIREDRILL_BLESS=1 accepts\n{}",
        similar::TextDiff::from_lines(&old, text).unified_diff()
    );
}
fn well_formed(xml: &str) {
    let mut reader = quick_xml::Reader::from_str(xml);
    loop {
        match reader.read_event() {
            Ok(quick_xml::events::Event::Eof) => break,
            Ok(_) => {}
            Err(e) => panic!("{e} in {xml}"),
        }
    }
}
const X: &str = "keepalived.advert_int";
const Y: &str = "keepalived.down_timer_adverts";

#[test]
fn a_map_in_the_terminal_and_as_a_drawing() {
    let s = study(&header(), &rows());
    let m = Map::of(&s.rows, X, Y, &Rules { outage_ms: 50_000.0, ..Rules::default() });
    for (name, ascii) in [("map.txt", true), ("map-lines.txt", false)] {
        let text = map(&m, Look { colour: false, ascii, width: 80 }, |r| {
            s.command(&Row { stack: "keepalived-trio".to_owned(), ..r.clone() })
        });
        assert!(text.lines().all(|l| l.starts_with("next:") || l.chars().count() <= 110), "{text}");
        assert_eq!(text.is_ascii(), ascii, "{text}");
        golden(name, &text);
    }
    let svg = charts::map(&m, "a map").file();
    well_formed(&svg);
    golden("map.svg", &svg);
    // Meaning is not in the colour alone: letters, hatches, and the seed of the worst run stand in the cells.
    assert!(
        svg.contains(">X 1/2<")
            && svg.contains(">seed 1<")
            && svg.contains(">- 2/2<")
            && svg.contains("hatch")
    );
    let coloured = map(&m, Look { colour: true, ascii: true, width: 80 }, |_| String::new());
    assert!(
        coloured.contains("\x1b[1;31m")
            && !map(&m, Look { colour: false, ascii: true, width: 80 }, |_| String::new()).contains('\x1b')
    );
}

#[test]
fn the_drawing_of_a_stack() {
    let l = load("keepalived/master-power-off", &[], None).unwrap();
    let svg = diagram::stack(&l.stack_name, &l.stack).file();
    well_formed(&svg);
    for name in firedrill::scenario::embedded::stacks() {
        let Some(text) = firedrill::scenario::embedded::stack(&name) else { panic!("{name}") };
        let (stack, _) =
            firedrill::scenario::load::read::<firedrill::scenario::types::Stack>(&name, text).unwrap();
        let svg = diagram::stack(&name, &stack).inline();
        well_formed(&svg);
        for host in stack.hosts.keys() {
            assert!(svg.contains(&format!(">{host}<")), "{name}: {host}");
        }
    }
}

#[test]
fn the_page_is_one_file_and_the_same_every_time() {
    let s = study(&header(), &rows());
    let html = page(&s, &Options::default(), "firedrill report results.jsonl -o report.html");
    assert_eq!(html, page(&s, &Options::default(), "firedrill report results.jsonl -o report.html"));
    for outside in ["http://", "https://", "<script", "url(", "@import", "src=", "<link rel=\"stylesheet"] {
        let found = html.replace("http://www.w3.org/2000/svg", "").contains(outside);
        assert!(!found, "{outside} in the page");
    }
    // Every table has a caption and names its rows and columns; every drawing has a name.
    let count = |what: &str| html.matches(what).count();
    assert_eq!(count("<table"), count("<caption>"));
    assert_eq!(count("<svg "), count("role=\"img\" aria-label="));
    assert!(count("scope=\"col\"") > 20 && count("scope=\"row\"") > 20);
    for part in ["asked", "stacks", "figures", "distribution", "settings", "worst", "again"] {
        assert!(
            html.contains(&format!("<section id=\"{part}\">")) && html.contains(&format!("href=\"#{part}\"")),
            "{part}"
        );
    }
    assert!(html.contains("firedrill sweep keepalived/master-power-off --stack keepalived-trio --seeds 0..2 --vary keepalived.advert_int=1,2"));
    assert!(html.contains("firedrill run keepalived/master-power-off --stack keepalived-trio --seed 1 --set keepalived.advert_int=3s"));
    // The rows were made up: the page says that the run that it played is another one.
    assert!(html.contains("digest was 0000000000000000"));
}

#[test]
fn hostile_names_stay_text() {
    let evil = "<img src=x onerror=alert(1)>\"'&</title><script>alert(2)</script>";
    let mut h = header();
    h.drill = evil.to_owned();
    h.stacks[0].name = evil.to_owned();
    h.set = vec![format!("a=$(rm -rf ~){evil}")];
    h.vary[0].path = evil.to_owned();
    let mut list = rows();
    for r in &mut list {
        r.drill = evil.to_owned();
        r.stack = evil.to_owned();
        r.knobs[0].0 = evil.to_owned();
        r.marks.push((evil.to_owned(), 1));
    }
    let html = page(&study(&h, &list), &Options::default(), evil);
    assert!(!html.contains("<script") && !html.contains("<img"));
    assert!(html.contains("&lt;script&gt;alert(2)"));
    // In a shell the command is one word as well.
    assert!(html.contains("--set &#39;a=$(rm -rf ~)"));
}

// ---- the program -----------------------------------------------------------------------------------------------------------------

fn firedrill(args: &[&str], dir: &Path) -> (i32, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_firedrill"))
        .args(args)
        .current_dir(dir)
        .env("LANG", "C")
        .output()
        .unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    (out.status.code().unwrap_or(-1), text(&out.stdout), text(&out.stderr))
}

#[test]
fn bad_input_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    file(d, "a.jsonl", &header(), &rows());
    file(d, "other.jsonl", &Header { version: "0.2.0".to_owned(), ..header() }, &rows());
    file(d, "drill.jsonl", &Header { drill: "keepalived/frozen-master".to_owned(), ..header() }, &rows());
    file(d, "empty.jsonl", &header(), &[]);
    file(d, "one.jsonl", &Header { vary: Vec::new(), ..header() }, &rows()[..1]);
    std::fs::write(d.join("text.txt"), "hello\n").unwrap();
    std::fs::write(d.join("half.jsonl"), format!("{}\n{{\"run\":0,\"se", header().json())).unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&["map", "nowhere.jsonl"], "nowhere.jsonl"),
        (&["map", "text.txt"], "no results"),
        (&["report", "half.jsonl"], "half.jsonl:2"),
        (&["stats", "empty.jsonl"], "no runs"),
        (&["report", "a.jsonl", "other.jsonl"], "version of firedrill: 0.1.0 and 0.2.0"),
        (&["map", "a.jsonl", "drill.jsonl"], "different experiments: drill"),
        (&["map", "a.jsonl", "--x", "advert_itn"], "did you mean `keepalived.advert_int`?"),
        (&["map", "a.jsonl", "--x", "advert_int", "--y", "advert_int"], "both axes"),
        (&["map", "one.jsonl"], "two varied settings"),
        (&["stats", "a.jsonl", "--metric", "write_outage_mx_ms"], "did you mean `write_outage_max_ms`?"),
        (&["map", "a.jsonl", "--unsafe", "splitbrain"], "no run has a column `splitbrain`"),
        (&["nines", "a.jsonl", "--mtbf", "0"], "--mtbf"),
        (&["nines", "a.jsonl", "--years", "501"], "--years is 1 to 500"),
        (&["nines", "a.jsonl"], "a stack with databases"),
        (&["report", "a.jsonl", "-o", "no/such/folder/x.html"], "no/such/folder"),
    ];
    for (args, want) in cases {
        let (code, out, err) = firedrill(args, d);
        assert_eq!(code, 2, "{args:?}: {out}{err}");
        assert!(err.contains(want), "{args:?}: {err}");
    }
}

#[test]
fn the_commands_do_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    file(d, "a.jsonl", &header(), &rows());
    let (code, out, err) =
        firedrill(&["--ascii", "map", "a.jsonl", "--x", "advert_int", "--svg", "m.svg"], d);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("X 1/2") && out.contains("worst: seed 1") && out.contains("firedrill play"),
        "{out}"
    );
    well_formed(&std::fs::read_to_string(d.join("m.svg")).unwrap());
    let (code, out, _) = firedrill(&["--ascii", "stats", "a.jsonl"], d);
    assert!(code == 0 && out.contains("p99") && out.contains("keepalived.down_timer_adverts"), "{out}");
    assert!(out.lines().all(|l| l.chars().count() <= 110), "{out}");
    let (code, out, _) = firedrill(&["--lang", "zh", "map", "a.jsonl"], d);
    assert!(code == 0 && out.contains("不安全"), "{out}");
    for lang in ["en", "zh"] {
        let (code, ..) = firedrill(&["--lang", lang, "report", "a.jsonl", "-o", &format!("{lang}.html")], d);
        assert_eq!(code, 0);
    }
    let read = |n: &str| std::fs::read_to_string(d.join(n)).unwrap();
    assert!(
        read("en.html").contains("<html lang=\"en\">") && read("zh.html").contains("<html lang=\"zh-CN\">")
    );
    assert!(read("zh.html").contains("如何重现每个数字") && !read("zh.html").contains("How to have"));
}

#[test]
fn years_of_a_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let h = Header {
        drill: "any/primary-power-off".to_owned(),
        stacks: ["patroni-etcd-haproxy", "keepalived-postgres"]
            .map(|n| Played { name: n.to_owned(), hosts: 4 })
            .to_vec(),
        vary: Vec::new(),
        ..header()
    };
    let mut list = Vec::new();
    for (i, (stack, outage)) in
        [("patroni-etcd-haproxy", 30_000_000), ("keepalived-postgres", 4_000_000)].into_iter().enumerate()
    {
        let mut r = Row { run: i as u64, drill: h.drill.clone(), stack: stack.to_owned(), ..Row::default() };
        r.metrics.set(Metric::WriteOutageMax, outage);
        list.push(r);
    }
    file(d, "a.jsonl", &h, &list);
    let (code, out, err) = firedrill(&["nines", "a.jsonl", "--mtbf", "100", "--mttr", "24"], d);
    assert_eq!(code, 0, "{out}{err}");
    let cells = |stack: &str| -> Vec<f64> {
        let line = out.lines().find(|l| l.starts_with(stack)).unwrap();
        line.split_whitespace().skip(1).map(|c| c.parse().unwrap()).collect()
    };
    let (patroni, pair) = (cells("patroni-etcd-haproxy"), cells("keepalived-postgres"));
    let year = 365.0 * 24.0 * 60.0;
    let a: f64 = 100.0 / 101.0;
    // One HAProxy in front of two of three; one of two.
    let two_of_three = 3.0 * a * a - 2.0 * a * a * a;
    assert!((patroni[5] - (1.0 - two_of_three * a) * year).abs() < 0.01, "{patroni:?}");
    assert!((pair[5] - (1.0 - a) * (1.0 - a) * year).abs() < 0.01, "{pair:?}");
    assert!(patroni[6].abs() < 3.0 && pair[6].abs() < 3.0, "{out}");
    // The primary's host fails 3.65 times a year while it is needed, 4 s each.
    assert!((pair[3] / (3.65 * a * a * 4.0 / 60.0) - 1.0).abs() < 0.05, "{pair:?}");
}

/// Headless Chromium looks at the page: it draws it in light, in dark and on paper, asks nobody for anything and complains about nothing.
#[test]
fn a_browser_shows_the_page_and_asks_for_nothing() {
    let found = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|b| Command::new(b).arg("--version").output().is_ok_and(|o| o.status.success()));
    let Some(browser) = found else {
        assert!(std::env::var_os("FIREDRILL_CI").is_none(), "no Chromium here, and this is CI");
        println!("skipped: no Chromium here");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let html = page(&study(&header(), &rows()), &Options::default(), "firedrill report a.jsonl");
    std::fs::write(d.join("r.html"), html).unwrap();
    let url = format!("file://{}", d.join("r.html").display());
    let look = |name: &str, more: &[&str]| {
        let log = d.join(format!("{name}.net.json"));
        let mut c = Command::new(browser);
        c.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-background-networking",
        ]);
        c.args([
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--no-default-browser-check",
        ]);
        c.args([
            "--disable-features=OptimizationHints,MediaRouter,Translate",
            "--window-size=1000,1400",
            "--enable-logging=stderr",
        ]);
        c.arg(format!("--user-data-dir={}", d.join(name).display()))
            .arg(format!("--log-net-log={}", log.display()));
        let out = c.args(more).arg(&url).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!said.contains("CONSOLE"), "{name}: the page complains: {said}");
        // What the page itself would load has the page as its initiator; a browser's own housekeeping has not.
        let asked = std::fs::read_to_string(&log).unwrap_or_default();
        assert!(!asked.contains("\"initiator\":\"file"), "{name}: the page asked the network");
    };
    let at = |n: &str| d.join(n).display().to_string();
    look("light", &[&format!("--screenshot={}", at("light.png"))]);
    look("dark", &["--blink-settings=preferredColorScheme=0", &format!("--screenshot={}", at("dark.png"))]);
    look("paper", &["--no-pdf-header-footer", &format!("--print-to-pdf={}", at("paper.pdf"))]);
    let read = |n: &str| std::fs::read(d.join(n)).unwrap();
    assert!(read("light.png").len() > 20_000 && read("dark.png").len() > 20_000);
    assert_ne!(read("light.png"), read("dark.png"), "dark looks like light");
    assert!(read("paper.pdf").starts_with(b"%PDF") && read("paper.pdf").len() > 20_000);
}
