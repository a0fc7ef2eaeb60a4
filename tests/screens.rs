//! The player's screens as text, and the picture in the README among them. `FIREDRILL_BLESS=1` accepts what is drawn now: read it first.
#![allow(clippy::unwrap_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::engine::Span;
use firedrill::scenario::load::load;
use firedrill::tui::gallery::{self, Choice, Gallery};
use firedrill::tui::model::{Action, Ask, Player};
use firedrill::tui::view::{Look, draw};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

fn player(drill: &str) -> Player {
    Player::new(load(drill, &[], None).unwrap(), 1)
}
fn text(width: u16, height: u16, f: impl FnOnce(&mut ratatui::Frame<'_>)) -> String {
    let mut t = Terminal::new(TestBackend::new(width, height)).unwrap();
    t.draw(f).unwrap();
    let buffer = t.backend().buffer();
    let mut out = String::new();
    for y in 0..height {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
fn screen(p: &Player, width: u16, height: u16, ascii: bool) -> String {
    text(width, height, |f| draw(f, p, Look { colour: false, ascii }))
}
fn all(p: &mut Player, actions: &[Action]) {
    for a in actions {
        p.update(*a);
    }
}
fn word(p: &mut Player, ask: Ask, word: &str) {
    p.update(Action::Ask(ask));
    word.chars().for_each(|c| p.update(Action::Type(c)));
    p.update(Action::Submit);
}

/// Compares with the file, or writes it.
fn golden(name: &str, now: &str) {
    let path = format!("{}/snapshots/screens/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("FIREDRILL_BLESS").is_some() {
        std::fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(&path, now).unwrap();
    }
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(old == now, "{name} is drawn otherwise now:\n{now}\nit was:\n{old}");
}

#[test]
fn a_takeover_at_80x24_and_the_picture_in_the_readme() {
    let mut p = player("keepalived/master-power-off");
    word(&mut p, Ask::Goto, "33.03s");
    let drawn = screen(&p, 80, 24, true);
    golden("takeover-80x24", &drawn);
    let readme = include_str!("../README.md");
    let indented: String = drawn.lines().map(|l| format!("    {l}").trim_end().to_owned() + "\n").collect();
    assert!(readme.contains(&indented), "the README's picture is not what the player draws:\n{indented}");
}

#[test]
fn a_takeover_at_120x40() {
    let mut p = player("keepalived/master-power-off");
    word(&mut p, Ask::Goto, "33.03s");
    golden("takeover-120x40", &screen(&p, 120, 40, false));
}

#[test]
fn menus_help_and_why() {
    let mut p = player("keepalived/master-power-off");
    p.update(Action::Help);
    golden("help-80x24", &screen(&p, 80, 24, false));
    all(&mut p, &[Action::Back, Action::Inject]);
    golden("inject-host-80x24", &screen(&p, 80, 24, false));
    all(&mut p, &[Action::Back, Action::OtherEnd, Action::OtherEnd, Action::Inject]);
    golden("inject-link-80x24", &screen(&p, 80, 24, false));
    p.update(Action::Back);
    word(&mut p, Ask::Goto, "33.03s");
    p.update(Action::Why);
    golden("why-80x24", &screen(&p, 80, 24, false));
}

#[test]
fn a_link_is_cut_undone_and_compared() {
    let mut p = player("keepalived/master-power-off");
    let story = p.run.digest;
    word(&mut p, Ask::Goto, "10s");
    // lb1 is selected; app1 is its first other end, lb2 the next.
    all(&mut p, &[Action::Fork, Action::OtherEnd, Action::OtherEnd, Action::Inject, Action::Choose(0)]);
    assert!(p.message.contains("lb1") && p.message.contains("lb2"), "{}", p.message);
    word(&mut p, Ask::Search, "takes 10.0.0.100");
    assert_eq!(
        p.now.sched.now().to_string(),
        "13.024",
        "3 adverts of 1 s and 0.609 s after the last at 9.414"
    );
    p.update(Action::Diff);
    golden("branches-80x24", &screen(&p, 80, 24, false));
    all(&mut p, &[Action::Back, Action::NextBranch]);
    assert_eq!(p.run.digest, story, "the other branch is as it was");
    all(&mut p, &[Action::NextBranch, Action::Undo]);
    assert_eq!(p.run.digest, story);
    p.update(Action::Redo);
    assert_ne!(p.run.digest, story);
}

#[test]
fn two_primaries_with_what_they_believe_and_what_is_true() {
    let mut p = player("patroni/patroni-frozen-no-watchdog");
    word(&mut p, Ask::Goto, "86s");
    // The old primary: stopped, and believing in a lease that has ended.
    p.update(Action::SelectHost(3));
    let drawn = screen(&p, 80, 24, false);
    for words in
        ["SPLIT XX", "LOST XX", "db2    P T3 key", "db3    P T2", "leader key: db2", "lb1    - -> nobody"]
    {
        assert!(drawn.contains(words), "{words}\n{drawn}");
    }
    golden("two-primaries-80x24", &drawn);
    golden("two-primaries-160x50", &screen(&p, 160, 50, false));
    p.update(Action::Inject);
    golden("inject-database-80x24", &screen(&p, 80, 24, false));
}

#[test]
fn a_search_goes_both_ways_and_a_host_has_its_own_steps() {
    let mut p = player("keepalived/master-power-off");
    word(&mut p, Ask::Search, "MASTER,");
    assert_eq!(p.now.sched.now().to_string(), "3.414");
    p.update(Action::Found(true));
    assert_eq!(p.now.sched.now().to_string(), "33.024");
    p.update(Action::Found(false));
    assert_eq!(p.now.sched.now().to_string(), "3.414");
    p.update(Action::Found(false));
    assert!(p.message.contains("not in that direction"), "{}", p.message);
    // lb3 does nothing between its start and the end.
    all(&mut p, &[Action::SelectHost(3), Action::OfHost(false)]);
    assert_eq!(p.now.sched.now().to_string(), "0.000");
    p.update(Action::Bookmark);
    word(&mut p, Ask::Goto, "50%");
    assert_eq!(p.now.sched.now().0, Span::ms(22_500).0);
    p.update(Action::ToBookmark);
    assert_eq!(p.now.sched.now().to_string(), "0.000");
    word(&mut p, Ask::Goto, "soon");
    assert!(p.message.contains("a moment is 12.4s or 50%"), "{}", p.message);
}

#[test]
fn nothing_but_ascii_when_asked() {
    let mut p = player("keepalived/partition-and-heal");
    for action in [Action::Help, Action::Back, Action::Inject, Action::Back, Action::End(true), Action::Why] {
        p.update(action);
        let drawn = screen(&p, 100, 30, true);
        assert!(drawn.is_ascii(), "{drawn}");
    }
}

#[test]
fn the_gallery_at_80x24() {
    let about = |n: &str| (n.to_owned(), format!("what {n} is about"));
    let mut g = Gallery::new(vec![about("keepalived/master-power-off"), about("keepalived/frozen-master")]);
    "frozen".chars().for_each(|c| g.update(Choice::Type(c)));
    let drawn = text(80, 24, |f| gallery::draw(f, &g, Look::default()));
    assert!(
        drawn.contains("1 of 2 drills   only: frozen_") && drawn.contains("> keepalived/frozen-master"),
        "{drawn}"
    );
}

/// Selects a host by name.
fn select(p: &mut Player, name: &str) {
    let at = p.now.model.world.hosts.iter().position(|h| h.name == name).unwrap();
    p.update(Action::SelectHost(at));
}
/// Chooses an entry of the open menu by the beginning of its words.
fn pick(p: &mut Player, words: &str) {
    let (_, list) = firedrill::tui::inject::open(p);
    let at = list.iter().position(|(w, _)| w.starts_with(words));
    let at = at.unwrap_or_else(|| panic!("{words}: {:?}", list.iter().map(|l| &l.0).collect::<Vec<_>>()));
    p.update(Action::Choose(at));
}

#[test]
fn the_operators_commands_of_pacemaker() {
    let mut p = player("pacemaker/node-power-off");
    let story = p.run.digest;
    word(&mut p, Ask::Goto, "50s");
    select(&mut p, "h2");
    p.update(Action::Inject);
    let drawn = screen(&p, 80, 24, true);
    assert!(drawn.contains("Pacemaker: operator's commands ...") && drawn.is_ascii(), "{drawn}");
    pick(&mut p, "Pacemaker: operator's commands");
    let drawn = screen(&p, 80, 24, true);
    for words in
        ["standby h2: all its resources move away", "maintenance-mode: the whole cluster", "cleanup: forget"]
    {
        assert!(drawn.contains(words), "{words}\n{drawn}");
    }
    pick(&mut p, "move");
    pick(&mut p, "web");
    let drawn = screen(&p, 80, 24, true);
    assert!(drawn.contains("1  h1") && drawn.contains("3  h3"), "the nodes to choose from: {drawn}");
    // Esc goes back one menu, not out of it.
    p.update(Action::Back);
    assert!(p.menu, "the resources again");
    pick(&mut p, "web");
    pick(&mut p, "h3");
    assert!(!p.menu && p.message.contains("crm_resource --move --resource web --node h3"), "{}", p.message);
    let moved = |p: &Player| {
        let at = |m: &&firedrill::trace::marks::Mark| (50_000..51_000).contains(&m.at.as_ms());
        p.run.marks.iter().filter(at).any(|m| m.kind == "vip_up" && p.run.host(m.host) == "h3")
    };
    assert!(moved(&p), "{:?}", p.run.marks);
    p.update(Action::Undo);
    assert_eq!(p.run.digest, story, "taken back");
    p.update(Action::Redo);
    assert!(moved(&p));
    // What is saved is the same run.
    let digest = p.run.digest;
    let pretty = ron::ser::PrettyConfig::new().struct_names(true);
    let text = ron::ser::to_string_pretty(&p.loaded.drill, pretty).unwrap();
    let again = firedrill::scenario::load::load_text("saved", "saved.ron", text.clone(), &[], None);
    let again = Player::new(again.unwrap_or_else(|r| panic!("{}\n{text}", r[0].render(false))), 1);
    assert_eq!(again.run.digest, digest);
    // Every other command is a run that can be played; those with lists have something in them.
    for (words, then) in [
        ("standby", None),
        ("unstandby", None),
        ("maintenance of", None),
        ("end of the maintenance of", None),
        ("maintenance-mode", None),
        ("end of maintenance-mode", None),
        ("ban", Some(["vip", "h1"].as_slice())),
        ("clear", Some(["web"].as_slice())),
        ("cleanup", Some(["service"].as_slice())),
        ("fence", None),
        ("stop Pacemaker", None),
        ("start Pacemaker", None),
        ("a resource dies", Some(["vip"].as_slice())),
        ("an agent fails", Some(["vip", "start"].as_slice())),
    ] {
        p.update(Action::Inject);
        pick(&mut p, "Pacemaker: operator's commands");
        pick(&mut p, words);
        then.unwrap_or_default().iter().for_each(|w| pick(&mut p, w));
        assert!(!p.menu && p.message.contains("njected"), "{words}: {}", p.message);
        p.update(Action::Undo);
    }
    p.update(Action::Inject);
    pick(&mut p, "Pacemaker: kill a daemon");
    pick(&mut p, "kill -9 pacemaker-controld");
    assert!(p.message.contains("pacemaker-controld"), "{}", p.message);
}
