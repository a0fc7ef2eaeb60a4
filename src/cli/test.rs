//! `firedrill test`: golden results of scenarios.

use super::{BAD_INPUT, BROKEN, OK, complain, print};
use crate::node::log::Level;
use crate::report::{junit, semantic, story};
use crate::scenario::{embedded, load};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `test`.
#[derive(Args)]
pub(super) struct TestArgs {
    /// Drills: names, name prefixes (`keepalived/`) or paths; without any, all
    drills: Vec<String>,
    /// Where the snapshots are
    #[arg(long, default_value = "snapshots")]
    snapshots: PathBuf,
    /// Accept the present results as the snapshots (read them first)
    #[arg(long)]
    bless: bool,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print annotations for GitHub Actions
    #[arg(long)]
    github: bool,
}

/// Writes a file so that a kill in between leaves the old one.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, path)
}

/// The golden result of a drill.
pub fn golden(name: &str) -> Result<String, Vec<crate::scenario::diag::Report>> {
    let l = load::load(name, &[], None)?;
    let r = crate::trace::run::run(&l.stack, &l.drill, l.drill.seed, Level::Story, true);
    Ok(story::story(&l.drill_name, &l.stack_name, &l.drill, &r, story::Style::default()))
}

/// What changed: in words, then line by line.
fn difference(old: &str, new: &str) -> String {
    let diff = similar::TextDiff::from_lines(old, new);
    let lines = diff.unified_diff().context_radius(1).header("snapshot", "now").to_string();
    match semantic::changes(old, new) {
        same if same.is_empty() => {
            format!(
                "  the story is the same; only its figures at the end or folded heartbeats differ\n{lines}"
            )
        }
        changes => format!("{changes}{lines}"),
    }
}

/// Compares every drill with its snapshot.
pub(super) fn run(a: &TestArgs) -> ExitCode {
    let all = embedded::drills();
    let mut names: Vec<String> = Vec::new();
    for wanted in &a.drills {
        let before = names.len();
        names.extend(
            all.iter()
                .filter(|n| *n == wanted || n.starts_with(&format!("{}/", wanted.trim_end_matches('/'))))
                .cloned(),
        );
        if names.len() == before {
            names.push(wanted.clone());
        }
    }
    if a.drills.is_empty() {
        names = all.into_iter().filter(|n| !n.starts_with("validation/")).collect();
    }
    let (mut results, mut bad_input) = (Vec::new(), false);
    for name in names {
        let now = match golden(&name) {
            Ok(text) => text,
            Err(reports) => {
                complain(&reports);
                bad_input = true;
                continue;
            }
        };
        let file = name.trim_end_matches(".ron").replace("../", "");
        let path = a.snapshots.join(format!("{file}.txt"));
        let old = std::fs::read_to_string(&path).ok();
        let failure = match old {
            Some(old) if old == now => None,
            _ if a.bless => write(&path, &now).err().map(|e| format!("cannot write {}: {e}", path.display())),
            Some(old) => Some(difference(&old, &now)),
            None => Some(format!(
                "there is no snapshot {}; `firedrill test --bless {name}` makes it",
                path.display()
            )),
        };
        match &failure {
            None => print(&format!("ok      {name}\n")),
            Some(text) => {
                print(&format!("DIFFERS {name}\n{text}\n"));
                if a.github {
                    print(&format!("::error title=firedrill::{name} differs from its snapshot\n"));
                }
            }
        }
        results.push((name, failure));
    }
    if let Some(path) = &a.junit
        && let Err(e) = write(path, &junit::junit(&results))
    {
        eprintln!("error: cannot write {}: {e}", path.display());
        return ExitCode::from(BAD_INPUT);
    }
    let failed = results.iter().filter(|r| r.1.is_some()).count();
    print(&format!("{} passed, {failed} failed\n", results.len() - failed));
    ExitCode::from(if bad_input {
        BAD_INPUT
    } else if failed > 0 {
        BROKEN
    } else {
        OK
    })
}
