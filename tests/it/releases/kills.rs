//! P4: kill -9 between any two steps of an upgrade leaves the old release or the new one, whole, and the history says which.

use super::{history, relup, version};
use crate::support::{Binary, HANG, put_guests};
use std::time::Instant;

const FLAGS: [&str; 2] = ["--save-interval", "50ms"];

/// Of these steps the first two are journalled before anything waits.
const STEPS: &str = "
[[up]]
call = { module = \"tally\", function = \"add\", args = [1, 2] }
undo = { module = \"tally\", function = \"add\", args = [-1, -2] }
[[up]]
call = { module = \"tally\", function = \"add\", args = [3, 4] }
when = \"after\"
";

fn until_saved(host: &Binary) {
    let begin = Instant::now();
    while host.json(&["status"]).1["modules"][0]["unsaved_calls"] != 0 {
        assert!(begin.elapsed() < HANG, "never saved");
    }
}

/// A host with a counter at 5 that is killed at this place of the upgrade to 2.0.0, and started again.
fn killed_at(place: &str) -> Binary {
    let host = Binary::prepared(|app| put_guests(app, &["counter-1.0.0", "tally-1.0.0"]), &FLAGS);
    host.ok(&["call", "counter", "increment(5)"]);
    until_saved(&host);
    let file = relup(host.root(), "2.0.0", STEPS);
    host.ok(&["stop"]);
    let mut host = host.again_until(place, &FLAGS);
    let applied = host.cli(&["apply", file.to_str().unwrap()]);
    assert!(!applied.status.success(), "{place}: the host was not killed");
    assert_eq!(host.ended(), None, "{place}: by a signal");
    let host = host.again(&FLAGS);
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "5", "{place}");
    host
}

fn is_old(place: &str) {
    let host = killed_at(place);
    assert_eq!(version(&host, "counter"), "1.0.0", "{place}");
    let history = history(&host);
    let last = history.last().unwrap();
    assert_eq!(
        (&last["result"], &last["revision"]),
        (&"interrupted".into(), &serde_json::Value::Null),
        "{last:#}"
    );
    let step = &last["steps"][0];
    assert!(
        ["waiting", "undone"].contains(&step["state"].as_str().unwrap()),
        "{place}: {last:#}"
    );
    assert_eq!(last["steps"][1]["state"], "waiting");
    let (_, status) = host.json(&["status"]);
    assert!(
        status["last_called_off"].as_str().unwrap().contains("interrupted"),
        "{status:#}"
    );
    // It is as if nothing had been: the same upgrade goes through now, and not even the number is confused.
    let file = host.root().join("relup-2.0.0.toml");
    host.ok(&["apply", file.to_str().unwrap()]);
    assert_eq!(
        host.ok(&["call", "counter", "describe()"]).trim(),
        "\"count = 5\"",
        "{place}"
    );
}

fn is_new(place: &str) {
    let host = killed_at(place);
    assert_eq!(version(&host, "counter"), "2.0.0", "{place}");
    let history = history(&host);
    let last = history.last().unwrap();
    assert_eq!(last["result"], "switched", "{place}: {last:#}");
    for step in last["steps"].as_array().unwrap() {
        assert_eq!(step["state"], "done", "{place}: what was left to do is done: {last:#}");
    }
    host.ok(&["undo"]);
    assert_eq!(version(&host, "counter"), "1.0.0");
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "5", "{place}");
}

#[test]
fn p4_killed_when_begun() {
    is_old("begun");
}

#[test]
fn p4_killed_in_a_step_before() {
    for place in ["step-begun", "step-done", "step-ended"] {
        is_old(place);
    }
}

#[test]
fn p4_killed_behind_the_gate() {
    for place in ["gated", "quiet", "migrated"] {
        is_old(place);
    }
}

#[test]
fn p4_killed_after_the_commit() {
    for place in ["committed", "switched", "finished"] {
        is_new(place);
    }
}

#[test]
fn p4_killed_in_the_recovery_itself() {
    let host = Binary::prepared(|app| put_guests(app, &["counter-1.0.0", "tally-1.0.0"]), &FLAGS);
    host.ok(&["call", "counter", "increment(5)"]);
    until_saved(&host);
    let file = relup(host.root(), "2.0.0", STEPS);
    host.ok(&["stop"]);
    let host = host.again_until("committed", &FLAGS);
    host.cli(&["apply", file.to_str().unwrap()]);
    // The step that is left is begun by the recovery, which is killed there.
    let root = host.root().to_path_buf();
    let mut host = host;
    host.ended();
    let mut start = crate::support::command(&root);
    let killed = start
        .arg("run")
        .arg(root.join("app"))
        .args(FLAGS)
        .env("WASMHOT_KILL_AT", "step-begun")
        .output()
        .unwrap();
    assert_eq!(killed.status.code(), None, "killed by a signal");
    let host = host.again(&FLAGS);
    assert_eq!(version(&host, "counter"), "2.0.0");
    let history = history(&host);
    let last = history.last().unwrap();
    assert_eq!(
        (&last["result"], &last["steps"][1]["state"]),
        (&"switched".into(), &"done".into()),
        "{last:#}"
    );
}
