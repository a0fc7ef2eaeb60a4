//! What comes after a failover of pgpool's, and online recovery: `follow_primary_command`, `failback_command`, false primaries, `pcp_recovery_node` in
//! one and two stages, the modes in which somebody else replicates. Figures are those of the specification (PGP-33, sections 4.2, 5.3)
//! and of pgpool-II's sources.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test that meets the unexpected has failed.

mod pgpool_client;

use firedrill::engine::Time;
use firedrill::node::world::Life;
use firedrill::proto::pgpool::note::{EndWhy, FollowStep, Note as Pool, RecoveryWhy, RemoteStep};
use firedrill::proto::pgpool::shared::Status;
use firedrill::proto::{Daemon, Note};
use firedrill::scenario::types::{Fault, Target};
use pgpool_client::{Lab, Plan, secs};

fn target(host: &str) -> Target {
    Target::Host(host.to_owned())
}
fn stop(host: &str) -> Fault {
    Fault::Kill { target: target(host), process: "postgres".to_owned(), all: false }
}
fn start(host: &str) -> Fault {
    Fault::Start { target: target(host), process: "postgres".to_owned() }
}
fn recover(node: u8) -> Fault {
    Fault::PcpRecoveryNode { target: target("pool"), node }
}
fn attach(node: u8) -> Fault {
    Fault::PcpAttachNode { target: target("pool"), node }
}
fn promote(node: u8) -> Fault {
    Fault::PcpPromoteNode { target: target("pool"), node, switchover: true }
}
/// When the first note of a kind was told, from a time on.
fn when(lab: &Lab, from: f64, is: impl Fn(&Pool) -> bool) -> Option<f64> {
    lab.pool().map(|(at, n)| (at.0 as f64 / 1e9, n)).find(|(at, n)| *at >= from && is(n)).map(|(at, _)| at)
}
fn count(lab: &Lab, is: impl Fn(&Pool) -> bool) -> usize {
    lab.pool().filter(|(_, n)| is(n)).count()
}
fn failed(lab: &Lab) -> Vec<RecoveryWhy> {
    lab.pool()
        .filter_map(|(_, n)| if let Pool::RecoveryFailed { why, .. } = n { Some(*why) } else { None })
        .collect()
}
fn now(lab: &Lab) -> f64 {
    secs(lab.now().since(Time::ZERO))
}
fn down(lab: &Lab, node: usize) -> bool {
    lab.shared().backends[node].status == Status::Down
}
/// Whether a host's server gets WAL from somewhere, and is at the end of what another one has.
fn streams(lab: &Lab, host: &str) -> bool {
    let world = &lab.sim.model.world;
    let p = world.proc(lab.pid(host, "postgres"));
    p.life == Life::Running && matches!(&p.logic, Daemon::Postgres(s) if s.streaming())
}
fn branch(lab: &Lab, host: &str) -> firedrill::proto::postgres::msg::Branch {
    lab.sim.model.world.host(lab.host(host)).files.pg.place().branch
}

// ---- online recovery, two stages ----------------------------------------------------------------------------------------------------

const STAGES: &str =
    "recovery_1st_stage_command: BaseBackup, recovery_2nd_stage_command: CopyWal, num_init_children: 8";
/// Native replication with a program that writes and keeps its session, and one whose every operation is a new client.
fn native(settings: &str, pause: &str) -> Lab {
    let keeps =
        format!("start_after: \"26s\", scripts: Pause(\"{pause}\"), script: [\"INSERT INTO t VALUES (1)\"]");
    let comes = "start_after: \"5s\", connections: PerOperation, scripts: Pause(\"500ms\"), script: [\"SELECT * FROM t\"]";
    let plan = Plan {
        postgres: "database_size: \"100MB\"".to_owned(),
        ..Plan::native(&format!("{STAGES}, {settings}"))
    };
    let mut lab = plan.app(&keeps).app(comes).lab(7);
    lab.to(20.0);
    lab.fault(stop("n3"));
    lab.to(30.0);
    assert!(down(&lab, 2), "the next session notices");
    lab
}
fn door_closed(n: &Pool) -> bool {
    matches!(n, Pool::DoorClosed { .. })
}
fn clients_gone(n: &Pool) -> bool {
    matches!(n, Pool::ClientsGone { .. })
}
fn recovered(n: &Pool) -> bool {
    matches!(n, Pool::Recovered { .. })
}
fn has_failed(n: &Pool) -> bool {
    matches!(n, Pool::RecoveryFailed { .. })
}

#[test]
fn pgp_33_one_idle_client_makes_the_second_stage_fail_and_new_clients_wait() {
    let mut lab = native("", "600s");
    let before = lab.took().len();
    lab.fault(recover(2));
    lab.to(150.0);
    let closed = when(&lab, 30.0, door_closed).expect("the second stage");
    let over = when(&lab, closed, has_failed).expect("it fails");
    // Looks 3 s apart, recovery_timeout / 3 + 1 of them, each followed by a sleep: 93 s for 90 s.
    assert!((over - closed - 93.0).abs() < 0.05, "{}", over - closed);
    assert_eq!(failed(&lab), [RecoveryWhy::Clients(1)]);
    assert_eq!(count(&lab, recovered), 0);
    assert!(down(&lab, 2));
    // The client that came while the door was closed waited for it to open, without an error, and the next is served at once.
    let took: Vec<(f64, bool)> = lab.took().split_off(before);
    assert!(took.iter().all(|t| t.1), "{took:?}");
    let waited: Vec<f64> = took.iter().map(|t| t.0).filter(|t| *t > 1.0).collect();
    assert_eq!(waited.len(), 1, "{waited:?}");
    assert!((92.0..=93.1).contains(&waited[0]), "{waited:?}");
}

#[test]
fn pgp_33_with_a_limit_the_clients_are_cut_and_the_servers_hold_the_same() {
    for (limit, looks) in [("Now", 3.0), ("After(\"5s\")", 6.0)] {
        let mut lab = native(&format!("client_idle_limit_in_recovery: {limit}"), "200s");
        let before = lab.took().len();
        lab.fault(recover(2));
        lab.to(80.0);
        let closed = when(&lab, 30.0, door_closed).expect("the second stage");
        let cut = |n: &Pool| matches!(n, Pool::SessionEnds { why: EndWhy::RecoveryLimit, .. });
        let cut_at = when(&lab, closed, cut).expect("the idle client is cut") - closed;
        let (low, high) = if looks > 5.0 { (5.0, 6.0) } else { (0.0, 1.0) };
        assert!((low..=high).contains(&cut_at), "{limit}: {cut_at}");
        let gone = when(&lab, closed, clients_gone).expect("gone") - closed;
        assert!((gone - looks).abs() < 0.01, "{limit}: {gone}");
        let done = when(&lab, closed, recovered).expect("recovered");
        // A copy of 100 MB takes 1 s; the second stage's scripts some hundreds of milliseconds.
        assert!((gone..gone + 2.0).contains(&(done - closed)), "{limit}: {}", done - closed);
        assert!(!down(&lab, 2));
        assert_eq!(lab.table("n3", "t"), lab.table("n1", "t"));
        let rows = lab.table("n3", "t").rows;
        lab.to(700.0);
        assert!(lab.table("n3", "t").rows > rows, "it takes part in the writes");
        assert_eq!(lab.table("n3", "t"), lab.table("n1", "t"));
        let waited: Vec<(f64, bool)> = lab.took().into_iter().skip(before).filter(|t| t.0 > 1.0).collect();
        assert!(waited.iter().all(|t| t.1), "whoever waited was served: {waited:?}");
    }
}

#[test]
fn a_busy_client_outlives_the_limit_and_the_recovery_goes_on_all_the_same() {
    // Never silent for 5 s: the limit does not cut it, and after recovery_timeout the counter is taken for wrong.
    let mut lab = native("client_idle_limit_in_recovery: After(\"5s\"), recovery_timeout: \"30s\"", "1s");
    lab.fault(recover(2));
    lab.to(100.0);
    let closed = when(&lab, 30.0, door_closed).expect("the second stage");
    let reset = when(&lab, closed, |n| matches!(n, Pool::CounterReset { clients: 1 })).expect("goes on");
    assert!((reset - closed - 33.0).abs() < 0.05, "{}", reset - closed);
    assert!(when(&lab, reset, recovered).is_some(), "{:?}", failed(&lab));
}

// ---- online recovery, one stage -----------------------------------------------------------------------------------------------------

const ONE_STAGE: &str = "recovery_1st_stage_command: BaseBackup, num_init_children: 8, failover_command: Promote, health_check_period: \"2s\", sr_check_period: \"2s\"";
fn streaming(settings: &str, postgres: &str, seed: u64) -> Lab {
    let app = |what: &str| format!("start_after: \"6s\", {what}: Pause(\"20ms\")");
    let postgres = format!("database_size: \"100MB\", wal_log_hints: true, {postgres}");
    let plan = Plan { postgres, ..Plan::new(3, &format!("{ONE_STAGE}, {settings}")) };
    let mut lab = plan.app(&app("writes")).app(&app("reads")).lab(seed);
    lab.to(20.0);
    lab
}

#[test]
fn online_recovery_of_a_standby_has_one_stage_and_no_client_notices() {
    for seed in 1..=10 {
        let mut lab = streaming("", "", seed);
        lab.fault(stop("n3"));
        lab.to(25.0);
        assert!(down(&lab, 2), "seed {seed}");
        let before = lab.took().len();
        lab.fault(recover(2));
        lab.to(40.0);
        let done = when(&lab, 25.0, recovered).expect("recovered") - 25.0;
        // 100 MB and the WAL since the checkpoint at 100 MB/s, two ssh logins for each of two scripts, a start.
        assert!((1.0 + 0.4..1.2 + 1.4).contains(&done), "seed {seed}: {done}");
        assert_eq!(count(&lab, door_closed), 0);
        assert!(!down(&lab, 2) && streams(&lab, "n3"), "seed {seed}");
        let took = lab.took().split_off(before);
        assert!(took.iter().all(|t| t.1 && t.0 < 0.2), "seed {seed}: 4.7 cuts nobody");
    }
}

#[test]
fn online_recovery_is_refused_for_the_primary_and_for_nodes_that_are_attached_and_one_at_a_time() {
    let mut lab = streaming("", "", 3);
    lab.fault(recover(0));
    lab.fault(recover(1));
    lab.fault(recover(9));
    assert_eq!(
        failed_after(&mut lab, 21.0),
        [RecoveryWhy::Primary, RecoveryWhy::Alive, RecoveryWhy::NoSuchNode]
    );
    lab.fault(stop("n2"));
    lab.fault(stop("n3"));
    lab.to(30.0);
    assert!(down(&lab, 1) && down(&lab, 2));
    lab.fault(recover(1));
    lab.fault(recover(2));
    lab.to(50.0);
    assert_eq!(failed(&lab).split_off(3), [RecoveryWhy::Busy]);
    assert!(!down(&lab, 1) && down(&lab, 2));
    // A server that runs is not copied over.
    lab.fault(Fault::PcpDetachNode { target: target("pool"), node: 1, graceful: false });
    lab.to(52.0);
    lab.fault(recover(1));
    lab.to(60.0);
    assert_eq!(failed(&lab).split_off(4), [RecoveryWhy::Stage(false)]);
    assert_eq!(count(&lab, |n| matches!(n, Pool::Remote(RemoteStep::Runs))), 1);
    // In raw mode there is none.
    let mut raw = Plan::new(3, "backend_clustering_mode: raw").lab(1);
    raw.to(10.0);
    raw.fault(recover(2));
    assert_eq!(failed_after(&mut raw, 11.0), [RecoveryWhy::Mode]);
}
fn failed_after(lab: &mut Lab, seconds: f64) -> Vec<RecoveryWhy> {
    lab.to(seconds);
    failed(lab)
}

#[test]
fn a_stage_fails_when_ssh_does_not_get_through_or_the_main_node_dies() {
    let mut lab = streaming("failover_on_backend_error: false, failover_on_backend_shutdown: false", "", 5);
    lab.fault(Fault::PcpDetachNode { target: target("pool"), node: 2, graceful: false });
    lab.fault(stop("n3"));
    lab.to(25.0);
    lab.fault(Fault::Cut {
        target: target("n3"),
        from: target("n1"),
        plane: Some(firedrill::net::Plane::client),
    });
    lab.fault(recover(2));
    lab.to(170.0);
    // The kernel of the primary's host gives the connection up after 127 s of SYN retries.
    let at = when(&lab, 25.0, has_failed).expect("failed") - 25.0;
    assert!((127.0..128.5).contains(&at), "{at}");
    lab.fault(Fault::Heal { target: None });
    lab.fault(recover(2));
    lab.to(170.6);
    lab.fault(stop("n1"));
    lab.to(175.0);
    assert_eq!(failed(&lab), [RecoveryWhy::Stage(false), RecoveryWhy::MainLost]);
}

#[test]
fn a_graceful_detach_gives_up_after_recovery_timeout() {
    let mut lab = streaming("", "", 2);
    lab.fault(Fault::PcpDetachNode { target: target("pool"), node: 2, graceful: true });
    lab.to(130.0);
    let at = when(&lab, 20.0, |n| matches!(n, Pool::NotDetached { .. })).expect("it gives up") - 20.0;
    assert!((at - 93.0).abs() < 0.05, "{at}");
    assert!(!down(&lab, 2));
    // With -1 the clients are cut, and the node goes at the first look after that.
    let mut lab = streaming("client_idle_limit_in_recovery: Now", "", 2);
    lab.fault(Fault::PcpDetachNode { target: target("pool"), node: 2, graceful: true });
    lab.to(60.0);
    let at = when(&lab, 20.0, |n| matches!(n, Pool::Detached { .. }));
    let cut = count(&lab, |n| matches!(n, Pool::SessionEnds { why: EndWhy::RecoveryLimit, .. }));
    assert!(cut >= 2, "{cut}");
    // Clients come in again, because only online recovery closes the door: it may take many looks.
    let look = |at: f64| ((at - 20.0) / 3.0 - ((at - 20.0) / 3.0).round()).abs() < 0.01;
    assert!(at.is_none_or(look), "{at:?}");
}

// ---- follow_primary_command ---------------------------------------------------------------------------------------------------------

fn steps(lab: &Lab) -> Vec<(String, FollowStep)> {
    lab.pool()
        .filter_map(|(_, n)| match n {
            Pool::Follow { node, step, .. } => Some((node.to_string(), *step)),
            _ => None,
        })
        .collect()
}

#[test]
fn follow_primary_detaches_all_others_and_goes_through_them_one_after_the_other() {
    for seed in 1..=20 {
        let mut lab = streaming("follow_primary_command: Rewind", "", seed);
        lab.fault(stop("n1"));
        lab.until(Time(60 * 1_000_000_000), |l| count(l, |n| matches!(n, Pool::FollowDetached { .. })) > 0);
        // From here until the command is done only the new primary serves.
        assert!(down(&lab, 0) && !down(&lab, 1) && down(&lab, 2), "seed {seed}");
        assert_eq!(lab.shared().primary, Some(1));
        let began = now(&lab);
        lab.to(40.0);
        use FollowStep::{Attaches, Begins, Skipped};
        let want = [("0 (n1)", Begins), ("0 (n1)", Skipped), ("2 (n3)", Begins), ("2 (n3)", Attaches)];
        let want: Vec<(String, FollowStep)> = want.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect();
        assert_eq!(steps(&lab), want, "seed {seed}");
        let up = when(&lab, began, |n| matches!(n, Pool::Attached { .. })).expect("attached") - began;
        // Two runs of the script, ssh logins, a stop, a CHECKPOINT, pg_rewind (1 s if it has to), a start. Measured: 1.2 s to 2.5 s.
        assert!((0.4..3.5).contains(&up), "seed {seed}: {up}");
        assert!(down(&lab, 0) && !down(&lab, 2), "seed {seed}");
        assert!(streams(&lab, "n3"), "seed {seed}");
        assert_eq!(branch(&lab, "n3"), branch(&lab, "n2"), "seed {seed}: one history");
        assert!(lab.shared().following.is_none());
    }
}

#[test]
fn without_a_checkpoint_pg_rewind_finds_nothing_to_do_and_the_followers_are_stale() {
    let after = |command: &str| {
        let mut lab = streaming(&format!("follow_primary_command: {command}"), "", 4);
        lab.fault(promote(1));
        lab.to(60.0);
        assert!(!down(&lab, 0) && !down(&lab, 1) && !down(&lab, 2), "{command}: all are attached");
        (
            streams(&lab, "n1"),
            streams(&lab, "n3"),
            count(&lab, |n| matches!(n, Pool::Remote(RemoteStep::NothingToRewind))),
        )
    };
    let (n1, n3, _) = after("Rewind");
    assert!(n1 && n3);
    // The old primary wrote a shutdown checkpoint after the promotion: it has left the new history, and cannot follow.
    let (n1, _, nothing) = after("RewindWithoutCheckpoint");
    assert_eq!((n1, nothing), (false, 2));
    // A base backup needs no CHECKPOINT, and the older name of the command is the same command.
    assert!(after("BaseBackup").0);
    let mut lab = streaming("follow_master_command: Rewind", "", 4);
    lab.fault(stop("n1"));
    lab.to(60.0);
    assert!(streams(&lab, "n3") && !down(&lab, 2));
}

#[test]
fn while_the_command_runs_no_search_looks_and_a_second_loss_detaches_everybody() {
    // The copy takes 10 s: time enough to lose the new primary too.
    let mut lab = streaming("follow_primary_command: BaseBackup", "base_backup_rate: \"10MB\"", 6);
    lab.fault(stop("n1"));
    lab.to(25.0);
    assert_eq!(lab.shared().following, Some(1));
    let checked = lab.shared().backends[1].checked;
    lab.to(29.0);
    assert_eq!(lab.shared().backends[1].checked, checked, "no worker looks meanwhile");
    lab.fault(stop("n2"));
    lab.to(31.0);
    assert!(
        (0..3).all(|n| down(&lab, n)),
        "the search returned whoever was primary, and all others were detached"
    );
}

#[test]
fn a_killed_follow_primary_process_leaves_the_lock_taken() {
    let mut lab = streaming("follow_primary_command: BaseBackup", "base_backup_rate: \"10MB\"", 6);
    lab.fault(stop("n1"));
    lab.to(25.0);
    lab.kill("pool", "pgpool/follow_primary");
    let checked = lab.shared().backends[1].checked;
    lab.to(120.0);
    assert!(down(&lab, 2), "nobody attaches it");
    assert!(lab.shared().asking);
    assert_eq!(lab.shared().backends[1].checked, checked, "no worker looks any more");
}

// ---- coming back --------------------------------------------------------------------------------------------------------------------

#[test]
fn an_attach_runs_failback_command_and_looks_for_the_primary_anew() {
    // Two nodes. The old primary is started again, as a primary, and attached as it is: without a standby the smallest number wins.
    let app = "start_after: \"6s\", writes: Pause(\"20ms\")";
    let settings = "failover_command: Promote, failback_command: Nothing, sr_check_period: \"2s\"";
    let mut lab = Plan::new(2, settings).app(app).lab(1);
    lab.to(20.0);
    lab.fault(stop("n1"));
    lab.to(25.0);
    assert_eq!(lab.shared().primary, Some(1));
    lab.fault(start("n1"));
    lab.to(30.0);
    lab.fault(attach(0));
    lab.to(32.0);
    let ran = when(&lab, 30.0, |n| matches!(n, Pool::Failback { .. })).expect("failback_command");
    let up = when(&lab, 30.0, |n| matches!(n, Pool::Attached { .. })).expect("attached");
    assert!((0.02..=0.1).contains(&(up - ran)), "command_time: {}", up - ran);
    assert_eq!(lab.shared().primary, Some(0), "and what was written since the failover is out of sight");
    // With a third node that follows the new primary, the last of two primaries is taken, which is the new one.
    let settings = "follow_primary_command: Rewind";
    let mut lab = streaming(settings, "", 1);
    lab.fault(stop("n1"));
    lab.to(35.0);
    lab.fault(start("n1"));
    lab.to(40.0);
    lab.fault(attach(0));
    lab.to(50.0);
    assert_eq!(lab.shared().primary, Some(1));
    assert!(!down(&lab, 0), "two primaries behind one pgpool");
}

#[test]
fn a_false_primary_is_detached_at_the_next_look_and_only_if_all_standbys_follow_the_other() {
    let mut seen = Vec::new();
    for seed in 1..=20 {
        let settings = "follow_primary_command: Rewind, detach_false_primary: true";
        let mut lab = streaming(settings, "", seed);
        lab.fault(stop("n1"));
        lab.to(35.0);
        lab.fault(start("n1"));
        let at = 40.0 + seed as f64 / 10.0;
        lab.to(at);
        lab.fault(attach(0));
        lab.to(50.0);
        let up = when(&lab, at, |n| matches!(n, Pool::Attached { .. })).expect("attached");
        let gone = when(&lab, up, |n| matches!(n, Pool::Detached { .. })).expect("detached again");
        seen.push(gone - up);
        assert!(down(&lab, 0), "seed {seed}");
        assert_eq!(lab.shared().primary, Some(1), "seed {seed}");
    }
    let (min, max) = seen.iter().fold((9.9f64, 0.0f64), |(a, b), t| (a.min(*t), b.max(*t)));
    assert!(min >= 0.0 && max <= 2.1 && min < 0.6 && max > 1.4, "sr_check_period: {seen:?}");
    // Without follow_primary_command n3 streams from the old primary again: now the *new* primary is the false one.
    let mut lab = streaming("detach_false_primary: true", "", 1);
    lab.fault(stop("n1"));
    lab.to(35.0);
    lab.fault(start("n1"));
    lab.to(45.0);
    lab.fault(attach(0));
    lab.to(60.0);
    assert!(down(&lab, 1) && !down(&lab, 0), "the standby's word decides, not the clients' writes");
}

// ---- logical replication, Slony-I ---------------------------------------------------------------------------------------------------

#[test]
fn where_others_replicate_pgpool_balances_reads_and_moves_writes_without_promoting() {
    for (mode, version) in [("logical_replication", "4.7"), ("slony", "4.6")] {
        let settings = format!(
            "backend_clustering_mode: {mode}, version: \"{version}\", num_init_children: 8, failover_command: Nothing, failback_cuts_sessions: false"
        );
        let reads = "start_after: \"5s\", connections: PerOperation, scripts: Pause(\"5ms\"), script: [\"SELECT * FROM t\"]";
        let writes = "start_after: \"5s\", scripts: Pause(\"50ms\"), script: [\"INSERT INTO t VALUES (1)\"]";
        let plan = Plan { streaming: false, ..Plan::new(3, &settings) };
        let mut lab = plan.app(reads).app(writes).lab(1);
        lab.to(30.0);
        let routed = lab.routed();
        let of =
            |verb: &str| routed.iter().filter(|r| r.1.starts_with(verb)).map(|r| r.2).collect::<Vec<_>>();
        assert!(of("INSERT").iter().all(|n| *n == Some(0)) && of("INSERT").len() > 300, "{mode}: one writer");
        let selects = of("SELECT");
        for node in 0..3u8 {
            let share = selects.iter().filter(|n| **n == Some(node)).count() as f64 / selects.len() as f64;
            // A third each: sigma is 0.012 for 1500.
            assert!((share - 1.0 / 3.0).abs() < 0.045, "{mode}: {share} of {} on {node}", selects.len());
        }
        assert_eq!(
            (lab.table("n1", "t").rows > 300, lab.table("n2", "t").rows, lab.table("n3", "t").rows),
            (true, 0, 0)
        );
        lab.fault(stop("n1"));
        lab.to(40.0);
        assert!(down(&lab, 0));
        let searched = count(&lab, |n| matches!(n, Pool::NewPrimary { .. } | Pool::NoPrimary { .. }));
        assert_eq!(searched, usize::from(mode == "logical_replication"), "{mode}");
        let promoted =
            lab.log.iter().filter(|(_, _, n)| matches!(n, Note::Postgres(p) if p.mark() == Some("promoted")));
        assert_eq!(promoted.count(), 0, "{mode}: nobody is promoted");
        assert!(lab.table("n2", "t").rows > 100, "{mode}: the writes go to the next node");
        // What these modes do not have.
        lab.fault(recover(0));
        lab.fault(promote(2));
        lab.to(41.0);
        assert_eq!(failed(&lab), [RecoveryWhy::Mode]);
        assert!(!down(&lab, 1) && !down(&lab, 2));
    }
}
