//! Who may know whom in `host/src`: a folder names only folders that lie below it here, and some crates are named in one place only. So
//! what a change touches can be seen from where it is made.

use std::path::{Path, PathBuf};

/// From the bottom up. Those of one line do not know each other, but for the knot.
const LAYERS: &[&[&str]] = &[
    &["accept", "clock", "error", "event", "fault", "guarded", "value"],
    // What is said over the control socket: types and nothing else.
    &["control::protocol"],
    &["intake", "store"],
    &["version"],
    KNOT,
    &["upgrade"],
    &["host"],
    &["control", "http", "offline"],
    &["cli"],
];

/// A guest calls others through the router, and calls run in guests: these four know each other.
const KNOT: &[&str] = &["call", "instance", "state", "versions"];

/// Crates, and who may name them.
const CRATES: &[(&str, &[&str])] = &[
    ("wasmtime", &["call", "instance", "value", "version", "versions"]),
    ("wasmparser", &["version"]),
    ("redb", &["store"]),
    ("notify", &["intake/watch.rs"]),
    ("hyper", &["control", "guarded", "http", "instance"]),
    ("clap", &["cli"]),
];

/// A file of the host: its path below `host/src`, and its text without comments and tests.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The layer that it belongs to.
    fn folder(&self) -> &str {
        if self.path.starts_with("control/protocol") {
            return "control::protocol";
        }
        let end = self.path.find(['/', '.']).unwrap();
        &self.path[..end]
    }
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let is_test = |path: &str| path.contains("tests/") || path.ends_with("tests.rs");
    let paths = files(&root).into_iter().filter_map(|path| {
        let below = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let is_story = ["lib.rs", "main.rs"].contains(&below.as_str());
        (below.ends_with(".rs") && !is_story && !is_test(&below)).then_some((path, below))
    });
    let found: Vec<_> = paths
        .map(|(file, path)| {
            let text = std::fs::read_to_string(file).unwrap();
            let (text, _tests) = text.split_once("#[cfg(test)]\nmod").unwrap_or((&text, ""));
            let code = text.lines().map(|line| line.split("//").next().unwrap());
            Source {
                path,
                text: code.collect::<Vec<_>>().join("\n"),
            }
        })
        .collect();
    assert!(found.len() > 100, "the sources are somewhere else now");
    found
}

/// What stands behind each `start` that is no part of a longer name.
fn behind<'t>(text: &'t str, start: &'t str) -> impl Iterator<Item = &'t str> {
    text.match_indices(start).filter_map(move |(place, _)| {
        let is_part = |before: char| before.is_alphanumeric() || before == '_' || before == ':';
        let before = text[..place].chars().next_back();
        (!before.is_some_and(is_part)).then(|| &text[place + start.len()..])
    })
}

fn layer_of(folder: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&folder));
    found.unwrap_or_else(|| panic!("`{folder}` has no layer: say in {} where it belongs", file!()))
}

#[test]
fn a_folder_of_the_host_names_only_folders_below_it() {
    let mut wrong = Vec::new();
    for source in sources() {
        let own = source.folder();
        for named in behind(&source.text, "crate::") {
            let protocol = named.starts_with("control::protocol").then_some("control::protocol");
            let end = named.find(|one: char| !(one.is_alphanumeric() || one == '_')).unwrap();
            let named = protocol.unwrap_or(&named[..end]);
            let is_knotted = KNOT.contains(&own) && KNOT.contains(&named);
            if named != own && !is_knotted && layer_of(named) >= layer_of(own) {
                wrong.push(format!("{} names `crate::{named}`", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_crate_is_named_only_where_its_job_is_done() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, allowed) in CRATES {
            let is_allowed = allowed.contains(&source.folder()) || allowed.contains(&source.path.as_str());
            if !is_allowed && behind(&source.text, name).any(|rest| rest.starts_with("::")) {
                wrong.push(format!("{} names `{name}`", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
