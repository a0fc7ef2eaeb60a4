//! The panels of batch clusters and of queues, as text. `FIREDRILL_BLESS=1` accepts what is drawn now: read it first.
#![allow(clippy::unwrap_used, clippy::panic)] // A test that meets the unexpected has failed.

use firedrill::scenario::load::load;
use firedrill::tui::model::{Action, Ask, Panel, Player};
use firedrill::tui::view::{Look, draw};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

fn screen(p: &Player, width: u16, height: u16, look: Look) -> String {
    let mut t = Terminal::new(TestBackend::new(width, height)).unwrap();
    t.draw(|f| draw(f, p, look)).unwrap();
    let buffer = t.backend().buffer();
    let line =
        |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned() + "\n";
    (0..height).map(line).collect()
}
fn goto(p: &mut Player, moment: &str) {
    p.update(Action::Ask(Ask::Goto));
    moment.chars().for_each(|c| p.update(Action::Type(c)));
    p.update(Action::Submit);
}
fn golden(name: &str, now: &str) {
    let path = format!("{}/snapshots/screens/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("FIREDRILL_BLESS").is_some() {
        std::fs::write(&path, now).unwrap();
    }
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(old == now, "{name} is drawn otherwise now:\n{now}\nit was:\n{old}");
}
const PLAIN: Look = Look { colour: false, ascii: true };

#[test]
fn the_chart_of_a_batch_cluster() {
    let mut p = Player::new(load("hpc/backfill", &[], None).unwrap(), 1);
    assert_eq!(p.panel, Panel::Jobs, "a batch cluster opens with its chart");
    goto(&mut p, "13m");
    golden("jobs-80x24", &screen(&p, 80, 24, PLAIN));
    golden("jobs-120x40", &screen(&p, 120, 40, Look { colour: false, ascii: false }));
    goto(&mut p, "450s");
    let before = screen(&p, 80, 24, PLAIN);
    assert!(before.contains("queue 2: J2(8) @10m03 J5(2)"), "{before}");
    // Colours change no character.
    assert_eq!(before, screen(&p, 80, 24, Look { colour: true, ascii: true }));
    for (w, h) in [(80, 24), (60, 14), (100, 30), (200, 60)] {
        assert!(screen(&p, w, h, PLAIN).is_ascii(), "{w}x{h}");
    }
}

#[test]
fn queues_and_loads() {
    let mut p = Player::new(load("hpc/backfill", &[], None).unwrap(), 1);
    p.update(Action::Panel);
    assert_eq!(p.panel, Panel::Queues);
    goto(&mut p, "13m");
    golden("queues-80x24", &screen(&p, 80, 24, PLAIN));
    p.update(Action::Panel);
    assert_eq!(p.panel, Panel::Time);
    let drawn = screen(&p, 80, 24, PLAIN);
    assert!(drawn.contains("space-time"), "{drawn}");
    // A service with clients has servers to show, and no chart.
    let mut p = Player::new(load("keepalived/master-power-off", &[], None).unwrap(), 1);
    assert_eq!(p.panel, Panel::Time);
    // Panels that have nothing to show are passed over.
    p.update(Action::Panel);
    assert_eq!(p.panel, Panel::Queues);
    goto(&mut p, "35s");
    golden("queues-servers-80x24", &screen(&p, 80, 24, PLAIN));
}

#[test]
fn the_table_of_a_director_and_its_servers() {
    let mut p = Player::new(load("kinds/load-balancing", &[], None).unwrap(), 1);
    p.update(Action::Panel);
    goto(&mut p, "45s");
    golden("queues-director-80x24", &screen(&p, 80, 24, PLAIN));
}

#[test]
fn the_processes_of_a_pgpool_and_the_clients_that_wait() {
    let mut p = Player::new(load("pgpool/queue-of-clients", &[], None).unwrap(), 1);
    goto(&mut p, "10.5s");
    // Seven hosts have no room side by side: no name is cut, each line has its own.
    let drawn = screen(&p, 80, 24, PLAIN);
    assert!(drawn.contains("  10.001 pool  clients wait"), "{drawn}");
    assert!(drawn.contains("pool   - 30 WAIT"), "{drawn}");
    p.update(Action::Panel);
    assert_eq!(p.panel, Panel::Pool, "the first is the one of this stack");
    for (width, height, look) in [(80, 24, PLAIN), (160, 50, Look { colour: false, ascii: false })] {
        let drawn = screen(&p, width, height, look);
        assert!(drawn.contains("30 of 65 taken, nobody is refused"), "{drawn}");
        assert!(drawn.contains("30 WAIT, 498 ms"), "{drawn}");
        assert!(drawn.contains("0 children in accept"), "the last line is there: {drawn}");
        let longest = drawn.lines().map(|l| l.chars().count()).max();
        assert!(longest.is_some_and(|n| n <= usize::from(width)), "{drawn}");
    }
    // Before the crowd there is no bar.
    goto(&mut p, "9s");
    let drawn = screen(&p, 80, 24, PLAIN);
    assert!(drawn.contains("0 of 65 taken") && !drawn.contains("WAIT"), "{drawn}");
}

#[test]
fn the_tree_of_a_pgpool_with_a_watchdog() {
    let mut p = Player::new(load("pgpool/primary-killed", &[], None).unwrap(), 1);
    goto(&mut p, "40s");
    p.update(Action::Panel);
    assert_eq!(p.panel, Panel::Pool, "the first is the one of this stack");
    for (width, height, look) in [(80, 24, PLAIN), (160, 50, Look { colour: false, ascii: false })] {
        let drawn = screen(&p, width, height, look);
        for word in ["watchdog", "lifecheck", "beats_to-0", "hears-1", "pcp", "worker", "health_check-2"] {
            assert!(drawn.contains(word), "{word} in {drawn}");
        }
    }
}

/// In a process of its own, because a language is chosen once.
#[test]
fn the_story_of_a_batch_cluster_in_chinese() {
    let exe = env!("CARGO_BIN_EXE_firedrill");
    let out = std::process::Command::new(exe).args(["--lang", "zh", "run", "hpc/backfill"]).output().unwrap();
    let story = String::from_utf8(out.stdout).unwrap();
    for words in ["J3 在 n[7-10] 上启动", "回填：它在 J2 预定于", "作业完成 5 / 5"] {
        assert!(story.contains(words), "{words}\n{story}");
    }
}

fn cluster_panel(p: &mut Player) {
    for _ in 0..5 {
        if p.panel == Panel::Cluster {
            return;
        }
        p.update(Action::Panel);
    }
    panic!("no such panel");
}

#[test]
fn a_pacemaker_cluster_and_its_transition() {
    let mut p = Player::new(load("pacemaker/node-power-off", &[], None).unwrap(), 1);
    cluster_panel(&mut p);
    goto(&mut p, "50s");
    let drawn = screen(&p, 80, 24, PLAIN);
    for words in ["DC: h2", "h1 S_NOT_DC", "h2* S_IDLE", "vip ", "the CIB says", "it runs on"] {
        assert!(drawn.contains(words), "{words}\n{drawn}");
    }
    let asked = p.run.marks.iter().find(|m| m.kind == "fence_requested").unwrap().at.as_ms();
    goto(&mut p, &format!("{}ms", asked + 500));
    let drawn = screen(&p, 80, 24, PLAIN);
    // The start waits for the fence, and the CIB still says h1.
    for words in ["DC: h2", "> reboot h1", "S_TRANSITION_ENGINE", "h1 -"] {
        assert!(drawn.contains(words), "{words}\n{drawn}");
    }
    let wide = screen(&p, 120, 40, PLAIN);
    assert!(wide.contains("waits for "), "{wide}");
    assert_eq!(drawn, screen(&p, 80, 24, Look { colour: true, ascii: true }), "colours change no character");
    for (w, h) in [(80, 24), (60, 14), (100, 30), (200, 60)] {
        assert!(screen(&p, w, h, PLAIN).is_ascii(), "{w}x{h}");
    }
    // The device has had its order.
    p.update(Action::End(true));
    let end = screen(&p, 120, 40, PLAIN);
    assert!(end.contains("bmc1 Works: ") && end.contains("(2 without an order so far)"), "{end}");
    // Elsewhere there is no such panel.
    let mut p = Player::new(load("keepalived/master-power-off", &[], None).unwrap(), 1);
    for _ in 0..6 {
        p.update(Action::Panel);
        assert!(p.panel != Panel::Cluster);
    }
}

#[test]
fn an_election_failures_and_sbd_in_the_panel() {
    let mut p = Player::new(load("pacemaker/dc-power-off", &[], None).unwrap(), 1);
    cluster_panel(&mut p);
    let won = p.run.marks.iter().rev().find(|m| m.kind == "leader_elected").unwrap().at.as_ms();
    goto(&mut p, &format!("{}ms", won - 100));
    let drawn = screen(&p, 80, 24, PLAIN);
    assert!(drawn.contains("no DC") && drawn.contains("S_ELECTION 2/2"), "{drawn}");
    let mut p = Player::new(load("pacemaker/migration-threshold", &[], None).unwrap(), 1);
    cluster_panel(&mut p);
    goto(&mut p, "84s");
    let drawn = screen(&p, 80, 24, PLAIN);
    assert!(drawn.lines().any(|l| l.contains("vip") && l.contains("h1 1")), "one failure: {drawn}");
    let mut p = Player::new(load("pacemaker/sbd-disk-freeze", &[], None).unwrap(), 1);
    cluster_panel(&mut p);
    goto(&mut p, "50s");
    let drawn = screen(&p, 120, 40, PLAIN);
    assert!(drawn.contains("sbd h1 feeds its watchdog"), "{drawn}");
    // The message to the frozen node has been written.
    p.update(Action::End(true));
    let drawn = screen(&p, 120, 40, PLAIN);
    assert!(drawn.lines().any(|l| l.contains("sbd h") && l.contains("; ")), "what it did last: {drawn}");
}

/// Draws the panel in Chinese when it is told to, in a process of its own: a language is chosen once.
#[test]
fn the_panel_of_pacemaker_in_chinese() {
    const TOLD: &str = "FIREDRILL_TEST_ZH";
    if std::env::var_os(TOLD).is_none() {
        let me = std::env::current_exe().unwrap();
        let args = ["--exact", "the_panel_of_pacemaker_in_chinese", "--nocapture"];
        let out = std::process::Command::new(me).args(args).env(TOLD, "1").output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        return;
    }
    firedrill::lang::choose(firedrill::lang::Lang::Zh);
    let mut p = Player::new(load("pacemaker/node-power-off", &[], None).unwrap(), 1);
    cluster_panel(&mut p);
    goto(&mut p, "50s");
    // A wide character takes two cells; what is drawn has a blank in the second.
    let drawn: String = screen(&p, 80, 24, PLAIN).split_whitespace().collect();
    for words in ["实际运行于", "CIB所记", "隔离设备", "已结束", "失败次数"] {
        assert!(drawn.contains(words), "{words}\n{drawn}");
    }
    let h2 = p.now.model.world.hosts.iter().position(|h| h.name == "h2").unwrap();
    p.update(Action::SelectHost(h2));
    p.update(Action::Inject);
    let menu: Vec<String> = firedrill::tui::inject::open(&p).1.into_iter().map(|m| m.0).collect();
    assert!(menu.iter().any(|m| m.contains("管理员命令")), "{menu:?}");
}

#[test]
fn a_database_under_pacemaker_is_where_its_server_runs() {
    let mut p = Player::new(load("pacemaker/postgres-primary-power-off", &[], None).unwrap(), 1);
    goto(&mut p, "71s");
    cluster_panel(&mut p);
    let drawn = screen(&p, 160, 50, PLAIN);
    let row = drawn.lines().find(|l| l.contains(" pgsql ")).unwrap();
    // The CIB still believes in the primary that has lost its power.
    let words: Vec<&str> = row.split("||").nth(1).unwrap().split_whitespace().collect();
    assert_eq!(words[..4], ["pgsql", "db1(P)", "db2(U)", "db2"], "{drawn}");
}
