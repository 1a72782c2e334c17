//! The verbs of releases, as they are typed: `releases`, `history`, `diff`, `why`, `undo --to`, `hold`, `forget`, `gc`.

use super::{history, version};
use crate::made::slow_calc_of;
use crate::support::{Binary, HANG, guest};
use std::time::Instant;

fn path(file: &std::path::Path) -> &str {
    file.to_str().unwrap()
}

/// 1.0.0, 1.1.0, 2.0.0, with a count of 5.
fn three() -> Binary {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    host.ok(&["call", "counter", "increment(5)"]);
    for name in ["counter-1.1.0", "counter-2.0.0"] {
        host.ok(&["apply", path(&guest(name))]);
    }
    host
}

#[test]
fn releases_and_history_tell_what_ran_and_what_was_attempted() {
    let host = three();
    let (exit, told) = host.json(&["releases"]);
    let releases = told["releases"].as_array().unwrap();
    let of = |field: &str| -> Vec<_> { releases.iter().map(|release| release[field].clone()).collect() };
    assert_eq!(
        (exit, of("status")),
        (0, vec!["old".into(), "old".into(), "permanent".into()])
    );
    assert_eq!(of("revision"), [1, 2, 3]);
    assert_eq!(
        host.json(&["releases", "--status", "permanent"]).1["releases"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let bad = host.outside("not.wasm", b"no wasm");
    host.fails(&["apply", path(&bad)]);
    host.fails(&["apply", path(&guest("front-1.0.0"))]);
    let told = history(&host);
    let results: Vec<_> = told.iter().map(|entry| entry["result"].as_str().unwrap()).collect();
    assert_eq!(
        results,
        ["switched", "switched", "switched", "called-off"],
        "what was no module is no attempt"
    );
    let last = &told[2];
    assert_eq!((&last["origin"], &last["revision"]), (&"apply".into(), &3.into()));
    assert!(
        last["by"].is_string() && last["report"]["gate_us"].as_u64().unwrap() > 0,
        "{last:#}"
    );
    let moved = &last["modules"][0];
    assert_eq!((&moved["from"], &moved["to"]), (&"1.1.0".into(), &"2.0.0".into()));
    for digest in ["from_digest", "to_digest", "state_digest"] {
        assert_eq!(moved[digest].as_str().unwrap().len(), 64, "{moved:#}");
    }
    assert_eq!(history(&host).len(), 4);
    let text = host.ok(&["history", "-n", "2"]);
    assert!(
        text.contains("revision 3") && text.contains("called-off") && !text.contains("revision 2:"),
        "{text}"
    );
}

#[test]
fn history_survives_a_restart() {
    let host = three();
    let before = history(&host);
    host.ok(&["stop"]);
    let host = host.again(&[]);
    assert_eq!(history(&host), before);
}

#[test]
fn diff_names_versions_and_settings() {
    let host = three();
    let (_, diff) = host.json(&["diff", "1", "3"]);
    let module = &diff["modules"][0];
    assert_eq!(
        (&module["change"], &module["from"], &module["to"]),
        (&"changed".into(), &"1.0.0".into(), &"2.0.0".into())
    );
    assert!(host.ok(&["diff", "2", "2"]).contains("the same modules"));
    let (exit, said) = host.fails(&["diff", "1", "9"]);
    assert_eq!(exit, 4);
    assert!(said.contains("no revision 9; there are: 1, 2, 3"), "{said}");
}

#[test]
fn r38_undo_goes_one_further_back_each_time_and_to_any_revision_in_one_switch() {
    let host = three();
    host.ok(&["undo"]);
    assert_eq!(version(&host, "counter"), "1.1.0");
    host.ok(&["undo"]);
    assert_eq!(version(&host, "counter"), "1.0.0");
    let (exit, said) = host.fails(&["undo"]);
    assert_eq!(exit, 4, "{said}");
    let (_, report) = host.json(&["undo", "--to", "3"]);
    assert_eq!(
        (&report["revision"], &report["release"]),
        (&6.into(), &"app 0.0.0+3".into()),
        "{report:#}"
    );
    assert_eq!(version(&host, "counter"), "2.0.0");
    host.ok(&["call", "counter", "increment(1)"]);
    host.ok(&["undo", "--to", "1"]);
    assert_eq!(
        (
            version(&host, "counter").as_str(),
            host.ok(&["call", "counter", "get()"]).trim()
        ),
        ("1.0.0", "6")
    );
    for (to, why) in [("7", "is what runs"), ("99", "no revision 99")] {
        let (exit, said) = host.fails(&["undo", "--to", to]);
        assert_eq!(exit, 4, "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn why_tells_what_keeps_a_version() {
    let host = three();
    let (_, runs) = host.json(&["why", "counter@2.0.0"]);
    assert_eq!(runs["alive"], true);
    assert!(runs["reasons"][0].as_str().unwrap().contains("what runs"), "{runs:#}");
    let (_, old) = host.json(&["why", "counter@1.0.0"]);
    assert_eq!(old["alive"], false);
    let reasons = old["reasons"].to_string();
    assert!(
        reasons.contains("revision 1") && !reasons.contains("what runs"),
        "{old:#}"
    );
    // 1.1.0 wrote the state that 2.0.0 was given.
    let (_, wrote) = host.json(&["why", "counter@1.1.0"]);
    assert!(wrote["reasons"].to_string().contains("saved state"), "{wrote:#}");
    for (typed, said) in [
        ("counter", "write it as"),
        ("counter@9.0.0", "there are: counter@1.0.0"),
    ] {
        let (exit, failure) = host.fails(&["why", typed]);
        assert_eq!(exit, 4);
        assert!(failure.contains(said), "{failure}");
    }
}

#[test]
fn why_names_the_calls_that_an_old_version_still_ends() {
    let host = Binary::run(&[], &["--call-deadline", "5m"]);
    // As long as a minute: it is not waited for.
    let slow = host.outside("calc-1.0.0.wasm", &slow_calc_of(1, 100_000_000_000));
    host.ok(&["apply", path(&slow)]);
    let mut running = crate::support::command(host.root());
    let mut running = running
        .args(["call", "calc", "f(1)"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while host.json(&["status"]).1["modules"][0]["running"] == 0 {
        assert!(begin.elapsed() < HANG, "the call runs");
    }
    let newer = host.outside("calc-1.1.0.wasm", &slow_calc_of(2, 1));
    host.ok(&["apply", path(&newer)]);
    let (exit, why) = host.json(&["why", "calc@1.0.0"]);
    assert_eq!((exit, &why["alive"]), (0, &true.into()), "{why:#}");
    let calls = why["calls"].as_array().unwrap();
    assert_eq!(
        (calls.len(), &calls[0]["from"]),
        (1, &"a call from outside".into()),
        "{why:#}"
    );
    assert!(calls[0]["age_ms"].as_u64().unwrap() > 0);
    let text = host.ok(&["why", "calc@1.0.0"]);
    assert!(text.contains("has not ended") && text.contains("running for"), "{text}");
    let (_, runs) = host.json(&["why", "calc@1.1.0"]);
    assert!(runs["calls"].as_array().unwrap().is_empty(), "{runs:#}");
    running.kill().unwrap();
    running.wait().unwrap();
}

/// Three revisions, held before a restart.
fn held() -> Binary {
    let host = three();
    host.ok(&["hold", "the auditors are here"]);
    host.ok(&["stop"]);
    let host = host.again(&[]);
    assert!(host.ok(&["status"]).contains("the auditors are here"));
    host
}

#[test]
fn hold_makes_applies_wait_and_not_undo() {
    let host = held();
    let older = guest("counter-1.0.0");
    let (exit, said) = host.fails(&["apply", path(&older), "--timeout", "100ms", "--id", "held"]);
    assert_eq!(exit, 6, "{said}");
    host.ok(&["undo"]);
    assert_eq!(version(&host, "counter"), "1.1.0");
    host.ok(&["release-hold"]);
    host.ok(&["apply", path(&older), "--id", "held"]);
    assert_eq!(version(&host, "counter"), "1.0.0");
}

#[test]
fn hold_makes_drops_wait() {
    let mut host = held();
    host.drop_file("tally-1.0.0.wasm", &std::fs::read(guest("tally-1.0.0")).unwrap());
    host.says("tally@1.0.0 waits: drops are held: the auditors are here");
    // What is no module is told meanwhile.
    host.drop_file("bad.wasm", b"no module");
    host.says("bad.wasm");
    assert_eq!(version(&host, "tally"), "(none)");
    host.ok(&["release-hold"]);
    let begin = Instant::now();
    while version(&host, "tally") != "1.0.0" {
        assert!(begin.elapsed() < HANG, "the drop was never taken");
    }
}

#[test]
fn forget_and_gc_never_take_what_is_needed() {
    let host = three();
    let objects = || std::fs::read_dir(host.root().join("state/wasmhot/app/objects")).map_or(0, Iterator::count);
    assert_eq!(objects(), 3, "in {:?}", host.json(&["status"]).1["state"]);
    for (revision, why) in [
        ("3", "what runs"),
        ("2", "`undo` of revision 3"),
        ("9", "no revision 9"),
    ] {
        let (exit, said) = host.fails(&["forget", revision, "--yes"]);
        assert_eq!(exit, 4, "{said}");
        assert!(said.contains(why), "{said}");
    }
    let (exit, _) = host.fails(&["forget", "1"]);
    assert_eq!(exit, 2, "it asks");
    // The file in the directory keeps the bytes of 1.0.0.
    host.ok(&["forget", "1", "--yes"]);
    assert_eq!(
        (
            host.json(&["releases"]).1["releases"].as_array().unwrap().len(),
            objects()
        ),
        (2, 3)
    );
    std::fs::remove_file(host.app().join("counter-1.0.0.wasm")).unwrap();
    let begin = Instant::now();
    while host.json(&["gc", "--dry-run"]).1["objects"]
        .as_array()
        .unwrap()
        .is_empty()
    {
        assert!(begin.elapsed() < HANG, "its file has gone");
    }
    assert_eq!(objects(), 3);
    assert!(
        host.ok(&["gc", "--keep", "0", "--older-than", "0ms"])
            .contains("1 file")
    );
    assert_eq!(objects(), 2, "1.1.0 is where undo goes");
    host.ok(&["undo"]);
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "5");
    let (exit, said) = host.fails(&["why", "counter@1.0.0"]);
    assert_eq!(exit, 4, "{said}");
}
