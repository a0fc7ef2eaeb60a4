//! The scenarios that travel in the binary.

use include_dir::{Dir, include_dir};

static SCENARIOS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/scenarios");

/// A file below `scenarios`, by its path there.
pub fn file(path: &str) -> Option<&'static str> {
    SCENARIOS.get_file(path).and_then(|f| f.contents_utf8())
}

/// The names of all drills: `keepalived/master-power-off`, `validation/keepalived/crash`.
pub fn drills() -> Vec<String> {
    let mut names = Vec::new();
    collect("drills", "", &mut names);
    collect("validation", "validation/", &mut names);
    names.sort();
    names
}
/// The names of all stacks.
pub fn stacks() -> Vec<String> {
    let mut names = Vec::new();
    collect("stacks", "", &mut names);
    names.sort();
    names
}
fn collect(folder: &str, prefix: &str, names: &mut Vec<String>) {
    fn walk(dir: &Dir<'_>, root: &str, prefix: &str, names: &mut Vec<String>) {
        for f in dir.files() {
            let path = f.path().to_string_lossy().replace('\\', "/");
            if let Some(name) =
                path.strip_prefix(root).and_then(|p| p.trim_start_matches('/').strip_suffix(".ron"))
            {
                names.push(format!("{prefix}{name}"));
            }
        }
        for d in dir.dirs() {
            walk(d, root, prefix, names);
        }
    }
    if let Some(dir) = SCENARIOS.get_dir(folder) {
        walk(dir, folder, prefix, names);
    }
}
/// The text of a drill by its name.
pub fn drill(name: &str) -> Option<&'static str> {
    match name.strip_prefix("validation/") {
        Some(rest) => file(&format!("validation/{rest}.ron")),
        None => file(&format!("drills/{name}.ron")),
    }
}
/// The text of a stack by its name.
pub fn stack(name: &str) -> Option<&'static str> {
    file(&format!("stacks/{name}.ron"))
}
