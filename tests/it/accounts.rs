//! R32 with a real SQLite database: a release migrates it up, fails in the middle, is killed in the middle, and goes down again. After
//! each, `PRAGMA integrity_check` and every row.

use crate::support::{Binary, HANG, guest, put_guests};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A machine without a clang for Wasm has no SQLite guest. CI has one.
fn is_built() -> bool {
    let file = Path::new(env!("WASMHOT_GUESTS")).join("sqlite-1.0.0.wasm");
    let there = file.is_file();
    if !there {
        assert!(
            std::env::var_os("CI").is_none(),
            "in CI nothing is skipped: {} was not built",
            file.display()
        );
        eprintln!("SKIPPED: this test needs the guest sqlite-1.0.0, which needs clang and wasi-libc to be built");
    }
    there
}

const FLAGS: [&str; 2] = ["--save-interval", "1h"];

fn bank() -> Binary {
    let texts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../modules/accounts");
    let prepare = |app: &Path| {
        put_guests(app, &["accounts-1.0.0", "accounts-1.1.0", "sqlite-1.0.0"]);
        std::fs::copy(texts.join("release-1.0.0.toml"), app.join("release.toml")).unwrap();
        std::fs::copy(texts.join("relup-1.0.0-1.1.0.toml"), app.join("relup.toml")).unwrap();
        std::fs::create_dir(app.join("data")).unwrap();
    };
    let host = Binary::prepared(prepare, &FLAGS);
    for name in ["ann", "bob", "cleo"] {
        host.ok(&["call", "accounts", &format!("open-account(\"{name}\")")]);
        host.ok(&["call", "accounts", &format!("deposit(\"{name}\", 250)")]);
    }
    host
}

/// The relup of the example, in which another function is called instead of `expand`.
fn relup(host: &Binary, instead: &str) -> PathBuf {
    let text = std::fs::read_to_string(host.app().join("relup.toml")).unwrap();
    let changed = text.replace("function = \"expand\", args = []", instead);
    assert_ne!(text, changed);
    let file = host.app().join("relup-other.toml");
    std::fs::write(&file, changed).unwrap();
    file
}

fn apply(host: &Binary, file: &Path, flags: &[&str]) -> (i32, serde_json::Value) {
    host.json(&[&["apply", file.to_str().unwrap()], flags].concat())
}

fn ask(host: &Binary, call: &str) -> String {
    host.ok(&["call", "accounts", call]).trim().to_string()
}

/// The database is whole, and has every account with what was paid in.
fn is_whole(host: &Binary, cents: u64) {
    assert_eq!(ask(host, "integrity-check()"), "ok(\"ok\")");
    assert_eq!(ask(host, "rows()"), "ok(3)");
    for name in ["ann", "bob", "cleo"] {
        assert_eq!(
            ask(host, &format!("balance(\"{name}\")")),
            format!("ok({cents})"),
            "{name}"
        );
    }
}

/// What only the newer version can tell: it is asked through the owner of the database.
fn columns(host: &Binary) -> String {
    let sql = "run([{sql: \"select group_concat(sql) from sqlite_master where type = 'table'\", parameters: []}])";
    host.ok(&["call", "sqlite", sql])
}

fn version(host: &Binary) -> String {
    ask(host, "version()")
}

#[test]
fn r32_a_database_is_expanded_before_and_contracted_when_permanent_and_goes_down_again() {
    if !is_built() {
        return;
    }
    let host = bank();
    let file = host.app().join("relup.toml");
    let (exit, report) = apply(&host, &file, &["--probation", "1h"]);
    assert_eq!(exit, 0, "{report:#}");
    assert_eq!(
        (version(&host).as_str(), ask(&host, "schema()").as_str()),
        ("\"1.1.0\"", "ok(\"both\")")
    );
    is_whole(&host, 250);
    host.ok(&["permanent"]);
    assert_eq!(ask(&host, "schema()"), "ok(\"micros\")");
    is_whole(&host, 250);
    for name in ["ann", "bob", "cleo"] {
        ask(&host, &format!("deposit(\"{name}\", 50)"));
    }
    host.ok(&["undo"]);
    assert_eq!(version(&host), "\"1.0.0\"");
    assert!(columns(&host).contains("cents"), "{}", columns(&host));
    is_whole(&host, 300);
    ask(&host, "deposit(\"ann\", 0)");
}

#[test]
fn r32_a_migration_that_fails_in_the_middle_leaves_the_database_as_it_was() {
    if !is_built() {
        return;
    }
    let host = bank();
    let before = columns(&host);
    let faults = [
        "function = \"fail-in-the-middle\", args = []",
        "function = \"expand-then-trap\", args = [1]",
        "function = \"expand-then-trap-in-transaction\", args = []",
    ];
    for fault in faults {
        let (exit, failure) = apply(&host, &relup(&host, fault), &[]);
        assert_eq!(
            (exit, &failure["code"]),
            (1, &"step-failed".into()),
            "{fault}: {failure:#}"
        );
        assert_eq!(version(&host), "\"1.0.0\"", "{fault}");
        assert_eq!(columns(&host), before, "{fault}: undone");
        is_whole(&host, 250);
    }
    // And then it goes through.
    let (exit, report) = apply(&host, &host.app().join("relup.toml"), &[]);
    assert_eq!(exit, 0, "{report:#}");
    is_whole(&host, 250);
}

#[test]
fn r32_killed_in_the_middle_of_a_transaction_the_database_is_whole() {
    if !is_built() {
        return;
    }
    let mut host = bank();
    let before = columns(&host);
    let file = relup(&host, "function = \"expand-slowly\", args = []");
    let mut apply = crate::support::command(host.root());
    let mut apply = apply
        .arg("apply")
        .arg(&file)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let journal = host.app().join("data/database.sqlite-journal");
    let begin = Instant::now();
    while std::fs::metadata(&journal).map_or(0, |found| found.len()) == 0 {
        assert!(
            begin.elapsed() < HANG && apply.try_wait().unwrap().is_none(),
            "the transaction began"
        );
    }
    host.kill();
    apply.wait().unwrap();
    let host = host.again(&FLAGS);
    assert_eq!(version(&host), "\"1.0.0\"");
    is_whole(&host, 250);
    assert_eq!(columns(&host), before);
    let told = host.json(&["history"]).1;
    let last = told["history"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["result"], &last["steps"][0]["state"]),
        (&"interrupted".into(), &"undone".into()),
        "{last:#}"
    );
}

#[test]
fn r32_killed_between_the_step_and_the_switch_the_step_is_undone() {
    if !is_built() {
        return;
    }
    for place in ["step-done", "step-ended", "begun"] {
        let host = bank();
        let before = columns(&host);
        host.ok(&["stop"]);
        let mut host = host.again_until(place, &FLAGS);
        let file = host.app().join("relup.toml");
        assert!(!host.cli(&["apply", file.to_str().unwrap()]).status.success());
        assert_eq!(host.ended(), None, "by a signal");
        let host = host.again(&FLAGS);
        assert_eq!(
            (version(&host).as_str(), columns(&host)),
            ("\"1.0.0\"", before),
            "{place}"
        );
        is_whole(&host, 250);
    }
}

#[test]
fn r08_what_is_wanted_and_not_granted_is_told_and_denied() {
    if !is_built() {
        return;
    }
    let host = Binary::run(&[], &FLAGS);
    let (exit, report) = apply(&host, &guest("sqlite-1.0.0"), &[]);
    assert_eq!(exit, 0, "{report:#}");
    let told = report["warnings"].to_string();
    assert!(
        told.contains("imports `wasi:filesystem`") && told.contains("does not grant"),
        "{told}"
    );
    let answer = host.ok(&["call", "sqlite", "integrity-check()"]);
    assert!(answer.starts_with("err("), "{answer}");
}

#[test]
fn the_guests_of_the_bank_are_built() {
    // These need no C.
    guest("accounts-1.0.0");
    guest("accounts-1.1.0");
}
