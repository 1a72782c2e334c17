//! R37 to R40: probation.

use super::{history, version};
use crate::support::{Binary, HANG, guest, hostile};
use std::time::{Duration, Instant};

fn path(file: &std::path::Path) -> &str {
    file.to_str().unwrap()
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < HANG, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn on_probation(time: &str) -> Binary {
    let host = Binary::run(&["counter-1.0.0"], &["--save-interval", "1h"]);
    host.ok(&["call", "counter", "increment(5)"]);
    host.ok(&["apply", path(&guest("counter-2.0.0")), "--probation", time]);
    host.ok(&["call", "counter", "increment(3)"]);
    host
}

fn statuses(host: &Binary) -> Vec<String> {
    let (_, told) = host.json(&["releases"]);
    let of = told["releases"].as_array().unwrap().iter();
    of.map(|release| release["status"].as_str().unwrap().to_string())
        .collect()
}

#[test]
fn r37_in_probation_changes_are_refused_and_drops_wait_until_it_is_permanent() {
    let mut host = on_probation("1h");
    assert_eq!(statuses(&host), ["boots", "current"]);
    for verb in [
        vec!["apply", path(&guest("tally-1.0.0"))],
        vec!["remove", "counter", "--yes"],
        vec!["state", "reset", "counter", "--yes"],
    ] {
        let (exit, said) = host.fails(&verb);
        assert_eq!(exit, 5, "{verb:?}: {said}");
        assert!(said.contains("on probation") && said.contains("revision 2"), "{said}");
    }
    host.drop_file("tally-1.0.0.wasm", &std::fs::read(guest("tally-1.0.0")).unwrap());
    host.says("tally@1.0.0 waits: revision 2 is on probation");
    assert_eq!(version(&host, "tally"), "(none)");
    host.ok(&["permanent"]);
    until("the drop is taken", || version(&host, "tally") == "1.0.0");
    assert_eq!(statuses(&host), ["old", "old", "permanent"]);
    assert!(host.ok(&["permanent"]).contains("already"));
}

#[test]
fn r37_undo_ends_a_probation_with_the_live_state() {
    let host = on_probation("1h");
    host.ok(&["undo"]);
    assert_eq!(version(&host, "counter"), "1.0.0");
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "8");
    assert_eq!(statuses(&host), ["old", "old", "permanent"]);
    host.ok(&["apply", path(&guest("tally-1.0.0"))]);
}

#[test]
fn r39_a_probation_without_errors_ends_permanent() {
    let mut host = on_probation("300ms");
    host.says("revision 2 is permanent");
    assert_eq!(statuses(&host), ["old", "permanent"]);
    host.kill();
    let host = host.again(&[]);
    assert_eq!(version(&host, "counter"), "2.0.0");
}

/// Fifty calls and more, of which some fail.
fn fail(host: &Binary, times: usize) {
    for _ in 0..times {
        let _ = host.cli(&["call", "hostile", "fault(\"trap\")"]);
    }
}

#[test]
fn r39_too_many_errors_take_it_back_with_the_live_state() {
    let mut host = Binary::prepared(
        |app| std::fs::write(app.join("hostile-1.0.0.wasm"), hostile("1.0.0", "")).unwrap(),
        &["--save-interval", "50ms"],
    );
    host.ok(&["call", "hostile", "increment(5)"]);
    let file = host.outside("hostile-1.0.1.wasm", &hostile("1.0.1", ""));
    host.ok(&["apply", path(&file), "--probation", "1h", "--max-error-rate", "5%"]);
    host.ok(&["call", "hostile", "increment(3)"]);
    until("saved", || host.json(&["status"]).1["modules"][0]["unsaved_calls"] == 0);
    // 49 calls say nothing, whatever becomes of them.
    fail(&host, 48);
    assert_eq!(version(&host, "hostile"), "1.0.1");
    fail(&host, 1);
    let said = host.says("is taken back");
    assert!(
        said.contains("calls of hostile failed") && said.contains("more than 5.0 %"),
        "{said}"
    );
    assert!(
        said.contains("restored"),
        "it says what trapped instances have lost: {said}"
    );
    assert_eq!(version(&host, "hostile"), "1.0.0");
    assert_eq!(host.ok(&["call", "hostile", "get()"]).trim(), "8");
    let told = history(&host);
    let results: Vec<_> = told.iter().map(|entry| entry["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["switched", "went-back", "switched"], "{told:#?}");
    assert_eq!(told[2]["origin"], "probation");
}

#[test]
fn r39_what_failed_before_is_no_fault_of_the_new_release() {
    let host = Binary::prepared(
        |app| std::fs::write(app.join("hostile-1.0.0.wasm"), hostile("1.0.0", "")).unwrap(),
        &["--save-interval", "50ms"],
    );
    host.ok(&["call", "hostile", "increment(5)"]);
    until("saved", || host.json(&["status"]).1["modules"][0]["unsaved_calls"] == 0);
    // Four of five calls failed before: nothing can be thirty of a hundred worse.
    fail(&host, 4);
    let file = host.outside("hostile-1.0.1.wasm", &hostile("1.0.1", ""));
    host.ok(&["apply", path(&file), "--probation", "2s", "--max-error-rate", "30%"]);
    fail(&host, 51);
    until("permanent", || statuses(&host).last().unwrap() == "permanent");
    assert_eq!(version(&host, "hostile"), "1.0.1");
}

#[test]
fn r40_a_crash_in_probation_boots_the_release_before_with_the_state_of_the_new_one() {
    let host = Binary::run(&["counter-1.0.0"], &["--save-interval", "50ms"]);
    host.ok(&["call", "counter", "increment(5)"]);
    host.ok(&["apply", path(&guest("counter-2.0.0")), "--probation", "1h"]);
    host.ok(&["call", "counter", "increment(3)"]);
    until("saved", || host.json(&["status"]).1["modules"][0]["unsaved_calls"] == 0);
    let mut host = host;
    host.kill();
    let host = host.again(&[]);
    assert_eq!(version(&host, "counter"), "1.0.0");
    assert_eq!(
        host.ok(&["call", "counter", "get()"]).trim(),
        "8",
        "what was written since is kept"
    );
    assert_eq!(statuses(&host), ["old", "old", "permanent"]);
    assert_eq!(history(&host).last().unwrap()["result"], "went-back");
    // The numbers go on.
    host.ok(&["apply", path(&guest("counter-1.1.0"))]);
    assert_eq!(statuses(&host).len(), 4);
}

#[test]
fn r40_where_the_new_state_cannot_go_down_the_state_of_before_comes_back() {
    // 1.0.1 saves for nobody: not even for itself after the upgrade.
    let host = Binary::prepared(
        |app| std::fs::write(app.join("hostile-1.0.0.wasm"), hostile("1.0.0", "")).unwrap(),
        &["--save-interval", "1h"],
    );
    host.ok(&["call", "hostile", "increment(5)"]);
    let file = host.outside("hostile-1.0.1.wasm", &hostile("1.0.1", "save=err"));
    host.ok(&["apply", path(&file), "--probation", "1h"]);
    host.ok(&["call", "hostile", "increment(3)"]);
    let mut host = host;
    host.kill();
    let host = host.again(&[]);
    assert_eq!(version(&host, "hostile"), "1.0.0");
    assert_eq!(host.ok(&["call", "hostile", "get()"]).trim(), "5");
}

#[test]
fn p4_killed_when_it_is_made_permanent() {
    let host = on_probation("1h");
    host.ok(&["stop"]);
    // A stop in probation is no decision: the release before boots.
    let host = host.again_until("permanent", &[]);
    assert_eq!(version(&host, "counter"), "1.0.0");
    host.ok(&["apply", path(&guest("counter-2.0.0")), "--probation", "1h"]);
    assert!(!host.cli(&["permanent"]).status.success());
    let host = host.again(&[]);
    assert_eq!(
        version(&host, "counter"),
        "2.0.0",
        "it was written down before the host was killed"
    );
    assert_eq!(statuses(&host).last().unwrap(), "permanent");
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "8");
}
