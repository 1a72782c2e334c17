//! `docs/rules.md` says what each rule is: all that are named stand there, and each has a test that begins with its name.

use crate::layers::files;
use std::collections::BTreeSet;
use std::path::Path;

/// Where rules are named.
const FOLDERS: [&str; 6] = ["appup", "docs", "guest-sdk", "host", "modules", "tests"];

/// The texts that may name rules, each with its path.
fn texts() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let is_text = |path: &Path| {
        let below = path.strip_prefix(&root).unwrap();
        let is_made = below.iter().any(|part| part == "target" || part == "node_modules");
        let extension = path.extension().and_then(|extension| extension.to_str());
        !is_made && matches!(extension, Some("rs" | "md" | "wit" | "wat" | "toml"))
    };
    let paths = FOLDERS.iter().flat_map(|folder| files(&root.join(folder)));
    paths
        .chain([root.join("README.md"), root.join("CONTRIBUTING.md")])
        .filter(|path| is_text(path))
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect()
}

/// Numbers that stand behind `before` and in front of something that is neither digit nor letter, but `after` if that is given.
fn numbers(text: &str, before: &str, after: Option<char>) -> BTreeSet<u32> {
    let behind_a_word = |at: usize| text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let found = text.match_indices(before).filter(|(at, _)| !behind_a_word(*at));
    found
        .filter_map(|(at, _)| {
            let rest = &text[at + before.len()..];
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let next = rest[digits..].chars().next();
            let is_end = match after {
                Some(after) => next == Some(after),
                None => !next.is_some_and(|c| c.is_alphanumeric() || c == '_'),
            };
            rest[..digits].parse().ok().filter(|_| is_end)
        })
        .collect()
}

fn rules() -> BTreeSet<u32> {
    numbers(include_str!("../../docs/rules.md"), "- **R", None)
}

#[test]
fn rules_that_are_named_are_written_down() {
    let rules = rules();
    assert_eq!(rules, (1..=40).collect(), "none is left out");
    for (path, text) in texts() {
        let unknown: Vec<_> = numbers(&text, "R", None).difference(&rules).copied().collect();
        assert!(
            unknown.is_empty(),
            "{path} names rules that docs/rules.md does not have: {unknown:?}"
        );
    }
}

#[test]
fn every_rule_has_a_test_of_its_name() {
    let texts = texts();
    let tested: BTreeSet<u32> = texts
        .iter()
        .flat_map(|(_, text)| numbers(text, "fn r", Some('_')))
        .collect();
    let untested: Vec<_> = rules().difference(&tested).copied().collect();
    assert!(
        untested.is_empty(),
        "no test begins with the name of these: {untested:?}"
    );
}

#[test]
fn numbers_are_found() {
    let found = |text| numbers(text, "R", None).into_iter().collect::<Vec<_>>();
    assert_eq!(found("(R3), R14: R7 and R40"), [3, 7, 14, 40]);
    assert_eq!(found("ERR1 R2D2 R_1 R"), [0; 0]);
}
