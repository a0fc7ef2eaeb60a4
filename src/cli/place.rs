//! `firedrill place`: where Pacemaker would put every resource, what it would do, and why.

use super::{BAD_INPUT, BROKEN, OK, print};
use crate::proto::pacemaker::cib::Cib;
use crate::proto::pacemaker::model::Printed;
use crate::proto::pacemaker::{Plan, schedule, score, time};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Arguments of `place`.
#[derive(Args)]
pub(super) struct PlaceArgs {
    /// A CIB (`-`: standard input)
    #[arg(required_unless_present_any = ["oracle", "run"])]
    cib: Option<String>,
    /// What is printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// What is in the CIB and not modelled is an error
    #[arg(long)]
    strict: bool,
    /// The time of the decision, a date or seconds since 1970 (default: the CIB's `execution-date`, else the newest moment in its status); with
    /// `--run` a moment of the run, such as `65s` (default: its end)
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Instead of a file: the CIB that the DC of a simulated cluster has at a moment of this drill
    #[arg(long, value_name = "DRILL", conflicts_with_all = ["cib", "oracle"])]
    run: Option<String>,
    /// The seed of that run (default: the drill's)
    #[arg(long, requires = "run")]
    seed: Option<u64>,
    /// Only the story of this resource
    #[arg(long, value_name = "RESOURCE")]
    rsc: Option<String>,
    /// Compare with answers of the real scheduler: lines of JSON with `id`, `outcome`, `cib` (or a file `.cib.jsonl.gz` beside it) and perhaps `at`, seconds since 1970
    #[arg(long, value_name = "FILE", conflicts_with = "cib")]
    oracle: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl PlaceArgs {
    /// Whether a machine reads the output.
    pub(super) fn machines(&self) -> bool {
        self.format == Format::Json || self.oracle.is_some()
    }
}

/// Runs the command. Long chains of orderings are followed one inside the other, so the stack is large.
pub(super) fn run(a: &PlaceArgs) -> ExitCode {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(256 << 20).spawn_scoped(scope, || answer(a));
        let code = thread.ok().and_then(|t| t.join().ok());
        code.unwrap_or_else(|| refuse("the scheduler could not run"))
    })
}

fn answer(a: &PlaceArgs) -> ExitCode {
    if let Some(file) = &a.oracle {
        return oracle(file);
    }
    if let Some(drill) = &a.run {
        return match of_run(drill, a) {
            Ok((cib, at)) => show(a, drill, &cib, at),
            Err(code) => code,
        };
    }
    let name = a.cib.as_deref().unwrap_or("-");
    let text = match read(name) {
        Ok(t) => t,
        Err(e) => return refuse(&format!("cannot read `{name}`: {e}")),
    };
    let cib = match Cib::read(&text) {
        Ok(c) => Arc::new(c),
        Err(e) => return refuse(&format!("{name}: {e}")),
    };
    let at = match a
        .at
        .as_deref()
        .map(|t| score::number(t).filter(|_| !t.contains('-')).or_else(|| time::date(t)))
    {
        Some(None) => {
            return refuse("`--at` is neither a date such as `2026-01-01T12:00:00Z` nor a number of seconds");
        }
        Some(Some(t)) => t,
        None => newest(&cib),
    };
    show(a, name, &cib, at)
}

/// The CIB of a simulated cluster at a moment of a run, and the time of its hosts then.
fn of_run(drill: &str, a: &PlaceArgs) -> Result<(Arc<Cib>, i64), ExitCode> {
    use crate::engine::{Span, Time};
    let l = crate::scenario::load::load(drill, &[], None).map_err(|reports| {
        super::complain(&reports);
        ExitCode::from(BAD_INPUT)
    })?;
    super::complain(&l.warnings);
    let moment = match &a.at {
        None => l.drill.until,
        Some(t) => t.parse::<Span>().map_err(|e| refuse(&format!("`--at {t}`: {e}; a moment is `65s`")))?,
    };
    let seed = a.seed.unwrap_or(l.drill.seed);
    let mut sim = crate::scenario::build::build(&l.stack, &l.drill, seed, crate::node::log::Level::Story);
    sim.run_until(Time::ZERO + moment.min(l.drill.until));
    let Some(v) = crate::fault::cib(&sim.model.world) else {
        return Err(refuse(&format!("no Pacemaker runs in `{drill}` at {}", sim.sched.now())));
    };
    let seconds = i64::try_from(sim.sched.now().as_ms() / 1000).unwrap_or(0);
    Ok((v.cib.clone(), crate::proto::crm::EPOCH + seconds))
}

/// Decides, and prints.
fn show(a: &PlaceArgs, name: &str, cib: &Arc<Cib>, at: i64) -> ExitCode {
    let plan = match schedule(cib, at) {
        Ok(p) => p,
        Err(e) => return refuse(&format!("{name}: {e}")),
    };
    let level = if a.strict { "error" } else { "warning" };
    for w in plan.warnings() {
        eprintln!("{level}: {name}: {w}");
    }
    if a.strict && !plan.warnings().is_empty() {
        return ExitCode::from(BAD_INPUT);
    }
    print(&match a.format {
        Format::Json => format!("{}\n", to_json(&plan)),
        Format::Text => to_text(&plan, a.rsc.as_deref()),
    });
    ExitCode::from(OK)
}

fn refuse(text: &str) -> ExitCode {
    eprintln!("error: {text}");
    ExitCode::from(BAD_INPUT)
}

fn read(name: &str) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let most = crate::proto::pacemaker::xml::BYTES_MAX as u64 + 1;
    if name == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(name)?.take(most).read_to_end(&mut bytes)?;
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8"))
}

/// The newest moment that a CIB knows of; without any, the wall clock.
fn newest(cib: &Cib) -> i64 {
    let said = cib.root.get("execution-date").and_then(score::number);
    let ops = cib.nodes.iter().flat_map(|n| &n.histories).flat_map(|h| &h.ops);
    let wall = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
    };
    said.or_else(|| ops.filter_map(|o| o.changed).max()).unwrap_or_else(wall)
}

/// The scores as nested tables: by what, then by resource, then by node.
fn scores(printed: &[Printed]) -> BTreeMap<&str, BTreeMap<&str, BTreeMap<&str, i32>>> {
    let mut out: BTreeMap<&str, BTreeMap<&str, BTreeMap<&str, i32>>> = BTreeMap::new();
    for p in printed {
        let node = p.node.as_deref().unwrap_or_default();
        out.entry(p.by).or_default().entry(&p.rsc).or_default().insert(node, p.score);
    }
    out
}

fn places<T>(places: &BTreeMap<String, BTreeMap<String, Vec<T>>>, word: fn(&T) -> &'static str) -> Value {
    let one = |words: &Vec<T>| Value::String(words.iter().map(word).collect::<Vec<_>>().join("+"));
    let of =
        |nodes: &BTreeMap<String, _>| nodes.iter().map(|(n, w)| (n.clone(), one(w))).collect::<Map<_, _>>();
    places.iter().map(|(r, nodes)| (r.clone(), Value::Object(of(nodes)))).collect::<Map<_, _>>().into()
}

fn to_json(plan: &Plan) -> Value {
    let s = &plan.sched;
    let nodes: Map<String, Value> = s
        .nodes
        .iter()
        .filter(|n| !n.absent)
        .map(|n| {
            let facts = json!({
                "id": n.id, "remote": n.remote, "online": n.online, "unclean": n.unclean, "standby": n.standby, "maintenance": n.maintenance,
                "pending": n.pending, "shutdown": n.shutdown, "dc": n.is_dc, "free": n.utilization,
            });
            (n.name.clone(), facts)
        })
        .collect();
    let resources: Map<String, Value> = s
        .rscs
        .iter()
        .filter(|r| r.children.is_empty())
        .map(|r| {
            let node = r.assigned.map(|(n, _)| s.nodes[n].name.clone());
            let facts = json!({
                "node": node, "role": r.role.word(), "next_role": r.next_role.word(), "managed": r.managed,
                "blocked": r.blocked, "failed": r.failed, "orphan": r.orphan,
            });
            (r.id.clone(), facts)
        })
        .collect();
    let stories: Vec<Value> = told(plan, None)
        .into_iter()
        .map(|(rsc, node)| {
            let steps: Vec<Value> = s
                .story(rsc, node)
                .into_iter()
                .map(|t| json!({"before": t.before, "after": t.after, "rule": t.cause.text()}))
                .collect();
            json!({"resource": s.rscs[rsc].id, "node": s.nodes[node].name, "steps": steps})
        })
        .collect();
    let actions: Vec<Value> = plan
        .actions
        .iter()
        .map(|a| {
            json!({
                "key": a.key, "resource": a.rsc, "task": a.task, "node": a.node, "interval_ms": a.interval,
                "pseudo": a.pseudo, "delay_s": a.delay, "router": a.router, "after": a.after, "stuck": a.stuck,
            })
        })
        .collect();
    let executed: Vec<Value> = plan
        .ran
        .iter()
        .map(|r| json!({"resource": r.rsc, "task": r.task, "node": r.node, "interval_ms": r.interval}))
        .collect();
    let warnings: Vec<Value> = plan
        .warnings()
        .iter()
        .map(|w| json!({"line": w.line, "element": w.element, "text": w.text}))
        .collect();
    json!({
        "summary": plan.lines(), "nodes": nodes, "resources": resources, "start": places(&plan.before, |r| r.word()),
        "final": places(&plan.after, |r| r.word()), "scores": scores(plan.scores()), "stories": stories, "actions": actions,
        "executed": executed, "complete": plan.complete, "warnings": warnings,
    })
}

/// The pairs of resource and node that have a story.
fn told(plan: &Plan, only: Option<&str>) -> Vec<(usize, usize)> {
    let wanted = |r: usize| only.is_none_or(|o| plan.sched.rscs[r].id == o || plan.sched.rscs[r].xml_id == o);
    let mut pairs: Vec<(usize, usize)> =
        plan.sched.tales.iter().map(|t| (t.rsc, t.node)).filter(|(r, _)| wanted(*r)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

fn to_text(plan: &Plan, only: Option<&str>) -> String {
    let s = &plan.sched;
    let mut out = String::new();
    let mut line = |t: &str| {
        out.push_str(t);
        out.push('\n');
    };
    if only.is_none() {
        line("Transition Summary:");
        plan.lines().iter().for_each(|l| line(&format!("  * {l}")));
        line("\nExecuting Cluster Transition:");
        for r in &plan.ran {
            let every = if r.interval > 0 { format!("={}", r.interval) } else { String::new() };
            match &r.rsc {
                Some(rsc) => line(&format!("  * Resource action: {rsc:<15} {}{every} on {}", r.task, r.node)),
                None => line(&format!("  * {} {}", r.task, r.node)),
            }
        }
        if !plan.complete {
            line("  ! the rest waits for what cannot run");
        }
        line("\nPlacement:");
        for (rsc, nodes) in &plan.after {
            let at: Vec<String> = nodes
                .iter()
                .map(|(n, roles)| {
                    format!("{} {n}", roles.iter().map(|r| r.word()).collect::<Vec<_>>().join("+"))
                })
                .collect();
            line(&format!(
                "  {rsc:<15} {}",
                if at.is_empty() { "Stopped".to_owned() } else { at.join(", ") }
            ));
        }
    }
    line("\nScores:");
    for (rsc, node) in told(plan, only) {
        let place =
            s.rscs[rsc].allowed.get(node).map_or_else(|| "not allowed".to_owned(), |x| score::show(x.score));
        line(&format!("  {} on {}: {place}", s.rscs[rsc].id, s.nodes[node].name));
        for t in s.story(rsc, node) {
            let before = t.before.map_or_else(|| "-".to_owned(), score::show);
            line(&format!("    {before} -> {}: {}", score::show(t.after), t.cause.text()));
        }
    }
    out.trim_start().to_owned()
}

/// What is somewhere.
fn placed(places: &Value) -> Value {
    let somewhere = |nodes: &Value| nodes.as_object().is_some_and(|n| !n.is_empty());
    let rows = places.as_object().into_iter().flatten().filter(|(_, nodes)| somewhere(nodes));
    rows.map(|(r, nodes)| (r.clone(), nodes.clone())).collect::<Map<_, _>>().into()
}

/// A difference between our answer and the oracle's.
pub fn differences(cib: &str, outcome: &Value, at: i64) -> Vec<String> {
    let mut out = Vec::new();
    let plan = match Cib::read(cib).and_then(|c| schedule(&Arc::new(c), at)) {
        Ok(p) => p,
        Err(e) => return vec![e.to_string()],
    };
    let mut compare = |what: &str, ours: &Value, theirs: &Value| {
        if ours != theirs {
            out.push(format!("{what}: ours {ours}, theirs {theirs}"));
        }
    };
    compare("start", &placed(&places(&plan.listed[0], |w| w)), &placed(&outcome["start"]));
    compare("final", &placed(&places(&plan.listed[1], |w| w)), &placed(&outcome["final"]));
    let field = |k: &str, v: &str| (k.to_owned(), Value::String(v.to_owned()));
    let (mut rows, mut node_rows) = (Vec::new(), Vec::new());
    for i in &plan.summary {
        let mut row = Map::new();
        let Some(rsc) = &i.rsc else {
            let fields =
                [("task", Some(&i.change)), ("node", i.from.as_ref()), ("reason", i.reason.as_ref())];
            row.extend(fields.into_iter().filter_map(|(k, v)| v.map(|v| field(k, v))));
            node_rows.push(Value::Object(row));
            continue;
        };
        row.extend([field("action", &i.change.to_lowercase()), field("resource", rsc)]);
        let same_host = i.from.is_some()
            && i.to.is_none()
            && matches!(
                i.change.as_str(),
                "Restart" | "Reload" | "Promote" | "Demote" | "Re-promote" | "Recover"
            );
        let (from, to) = match (&i.from, &i.to, i.next_role) {
            (Some(_), None, _) if same_host && (i.change != "Recover" || i.next_role.is_some()) => {
                ("source", "dest")
            }
            (Some(_), None, _) => ("node", "dest"),
            (None, Some(_), None) => ("source", "node"),
            _ => ("source", "dest"),
        };
        let words = [(from, i.from.clone()), (to, i.to.clone())];
        row.extend(words.into_iter().filter_map(|(k, v)| v.map(|v| field(k, &v))));
        let roles = [("role", i.role), ("next-role", i.next_role)];
        row.extend(roles.into_iter().filter_map(|(k, v)| v.map(|v| field(k, v.word()))));
        row.extend(i.reason.iter().map(|r| field("reason", r)));
        if i.blocked {
            row.extend([field("blocked", "true")]);
        }
        rows.push(Value::Object(row));
    }
    compare("actions", &Value::Array(rows), &outcome["actions"]);
    compare("node actions", &Value::Array(node_rows), &outcome["node_actions"]);
    let ours = scores(plan.scores());
    let kinds: BTreeSet<&str> = ["assign", "group", "clone", "promotion"].into();
    for kind in kinds {
        let mine = ours.get(kind).map_or_else(|| json!({}), |t| json!(t));
        let theirs = outcome["scores"].get(kind).cloned().unwrap_or_else(|| json!({}));
        compare(kind, &mine, &theirs);
    }
    let ran: Vec<Value> = plan
        .ran
        .iter()
        .map(|r| match &r.rsc {
            Some(rsc) if r.interval > 0 => json!([rsc, r.task, r.node, r.interval]),
            Some(rsc) => json!([rsc, r.task, r.node]),
            None => json!([format!("!{}", r.task), r.node]),
        })
        .collect();
    compare("executed", &Value::Array(ran), &outcome["executed"]);
    out
}

/// The time of the oracle's cases: 2026-01-01, noon.
pub const ORACLE_TIME: i64 = 1_767_268_800;

fn lines_of(path: &Path) -> Result<String, String> {
    let wrong = |e: std::io::Error| format!("cannot read `{}`: {e}", path.display());
    let bytes = std::fs::read(path).map_err(wrong)?;
    if path.extension().is_some_and(|x| x == "gz") {
        let mut text = String::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).map_err(wrong)?;
        return Ok(text);
    }
    String::from_utf8(bytes).map_err(|_| format!("`{}` is not UTF-8", path.display()))
}

fn objects(path: &Path) -> Result<Vec<Value>, String> {
    let text = lines_of(path)?;
    let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
    let parse = |(n, l): (usize, &str)| {
        serde_json::from_str(l).map_err(|e| format!("{}:{}: {e}", path.display(), n + 1))
    };
    lines.map(parse).collect()
}

fn oracle(file: &str) -> ExitCode {
    let path = Path::new(file);
    let stem = file.trim_end_matches(".gz").trim_end_matches(".jsonl");
    let beside = [format!("{stem}.cib.jsonl.gz"), format!("{stem}.cib.jsonl")]
        .into_iter()
        .find(|p| Path::new(p).exists());
    let cibs = beside.map_or_else(|| Ok(Vec::new()), |p| objects(Path::new(&p)));
    let (cases, cibs) = match (objects(path), cibs) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(e), _) | (_, Err(e)) => return refuse(&e),
    };
    let by_id: BTreeMap<&str, &str> =
        cibs.iter().filter_map(|c| Some((c["id"].as_str()?, c["cib"].as_str()?))).collect();
    let mut agree = 0;
    for case in &cases {
        let id = case["id"].as_str().unwrap_or_default();
        let Some(cib) = case["cib"].as_str().or_else(|| by_id.get(id).copied()) else {
            return refuse(&format!("{file}: there is no CIB for `{id}`"));
        };
        let wrong = differences(cib, &case["outcome"], case["at"].as_i64().unwrap_or(ORACLE_TIME));
        if wrong.is_empty() {
            agree += 1;
        }
        wrong.iter().for_each(|w| print(&format!("{id}: {w}\n")));
    }
    print(&format!("{agree} of {} agree\n", cases.len()));
    ExitCode::from(if agree == cases.len() { OK } else { BROKEN })
}
