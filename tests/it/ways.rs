//! States that older versions have written, and the versions through which they get to newer ones, and back (R4, R28).

use crate::made::{stepping, with_note};
use crate::support::{Binary, HANG, guest};
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}

fn say(host: &Binary, room: &str) {
    host.ok(&["call", "rooms", &format!("say(\"{room}\", \"ann\", \"hi\")")]);
}

fn history(host: &Binary, room: &str) -> String {
    host.ok(&["call", "rooms", &format!("history(\"{room}\")")])
}

/// Who wrote the saved state of a room.
fn writer(host: &Binary, room: &str) -> Value {
    host.json(&["state", "show", "rooms", "--key", room]).1["version"].clone()
}

/// All keys were looked at after the newest switch.
fn swept(host: &Binary) {
    let begin = Instant::now();
    let revision = host.json(&["status"]).1["revision"].clone();
    let is_done = || {
        let events = host.ok(&["events", "--json"]);
        let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut done = events.filter(|event| event["kind"] == "sweep-done");
        done.any(|event| event["revision"] == revision)
    };
    while !is_done() {
        assert!(begin.elapsed() < HANG, "the sweep ends");
    }
}

fn apply(host: &Binary, minor: u8) {
    host.ok(&["apply", path(&guest(&format!("rooms-1.{minor}.0")))]);
    swept(host);
}

/// The hall sleeps, with what 1.0.0 saved of it, the kitchen with what 1.1.0 saved; 1.1.0 runs.
fn asleep_since_1_0() -> Binary {
    let host = Binary::run(&["rooms-1.0.0"], &[]);
    say(&host, "hall");
    let file = host.root().join("hall.state");
    host.ok(&["state", "export", "rooms", "--key", "hall", "-o", path(&file)]);
    apply(&host, 1);
    say(&host, "kitchen");
    // As a crash right behind the switch leaves it.
    host.ok(&["state", "import", "rooms", path(&file), "--key", "hall"]);
    restarted(host)
}

fn restarted(host: Binary) -> Binary {
    host.ok(&["stop"]);
    let host = host.again(&[]);
    assert_eq!(writer(&host, "hall"), "rooms@1.0.0");
    host
}

#[test]
fn r28_a_key_that_slept_through_a_version_goes_through_it() {
    let host = asleep_since_1_0();
    // 1.2.0 reads what 1.1.0 writes, and nothing older.
    apply(&host, 2);
    for room in ["hall", "kitchen"] {
        assert_eq!(history(&host, room), "[\"ann: hi\"]\n", "{room}");
        assert_eq!(writer(&host, room), "rooms@1.2.0");
    }
}

/// 1.2.0 runs, the hall sleeps as 1.0.0 has saved it, and `gc` has been through.
fn swept_twice() -> Binary {
    let host = asleep_since_1_0();
    let hall = host.root().join("hall.state");
    apply(&host, 2);
    host.ok(&["state", "import", "rooms", path(&hall), "--key", "hall"]);
    // So that no `undo` needs 1.1.0.
    host.ok(&["apply", path(&guest("tally-1.0.0"))]);
    let host = restarted(host);
    let (_, swept) = host.json(&["gc", "--keep", "1", "--older-than", "0s"]);
    assert_eq!(swept["revisions"], serde_json::json!([1, 2]), "{swept:#}");
    host
}

#[test]
fn gc_keeps_the_versions_through_which_a_saved_state_has_to_go() {
    let host = restarted(swept_twice());
    assert_eq!(history(&host, "hall"), "[\"ann: hi\"]\n");
    // When nobody needs it any more, it goes.
    say(&host, "hall");
    host.ok(&[
        "state",
        "export",
        "rooms",
        "--key",
        "hall",
        "-o",
        path(&host.root().join("x")),
    ]);
    assert_eq!(writer(&host, "hall"), "rooms@1.2.0");
    let (_, swept) = host.json(&["gc", "--keep", "1", "--older-than", "0s"]);
    // The file of 1.0.0 still lies in the watched directory.
    assert_eq!(swept["objects"].as_array().unwrap().len(), 1, "{swept:#}");
    assert_eq!(host.fails(&["why", "rooms@1.1.0"]).0, 4);
}

/// 1.1.0 is lost; another build of 1.2.0 and a relup to it lie there.
fn lost_1_1() -> (Binary, String) {
    let host = swept_twice();
    let (_, versions) = host.json(&["versions", "rooms"]);
    let versions = versions["versions"]
        .as_array()
        .unwrap_or_else(|| panic!("{versions:#}"))
        .clone();
    let lost = versions.iter().find(|version| version["version"] == "1.1.0");
    let digest = lost.unwrap_or_else(|| panic!("{versions:#?}"))["digest"]
        .as_str()
        .unwrap()
        .to_string();
    host.ok(&["stop"]);
    let objects = host.root().join("state/wasmhot/app/objects");
    std::fs::remove_file(objects.join(format!("{digest}.wasm"))).unwrap();
    let host = host.again(&[]);
    let build = with_note(std::fs::read(guest("rooms-1.2.0")).unwrap(), "another build");
    host.outside("rooms-1.2.0.wasm", &build);
    std::fs::copy(guest("rooms-1.1.0"), host.root().join("rooms-1.1.0.wasm")).unwrap();
    let relup = "format = 1\n[release]\nname = \"app\"\nto = \"1.3.0\"\n[[modules]]\nname = \"rooms\"\npath = \"rooms-1.2.0.wasm\"\n[[up]]\nupdate = \"rooms\"\n";
    let file = host.outside("relup.toml", relup.as_bytes());
    let file = path(&file).to_string();
    (host, file)
}

#[test]
fn r04_states_that_nobody_could_read_any_more_are_told_before() {
    let (host, relup) = lost_1_1();
    let refused = host.fails(&["apply", &relup]);
    assert_eq!(refused.0, 4);
    for wanted in [
        "`rooms` 1.2.0 cannot read the saved state of 1 key, which rooms@1.0.0 has written",
        "it reads \"~1.2\", \"~1.1\"",
        "[[middle]]",
        "--allow-lossy",
    ] {
        assert!(refused.1.contains(wanted), "{wanted} in\n{}", refused.1);
    }
    assert_eq!(host.fails(&["check", &relup]), refused);
    assert_eq!(
        host.json(&["check", &relup]).1["refusals"],
        host.json(&["apply", &relup]).1["refusals"]
    );
    let file = host.root().join("rooms-1.2.0.wasm");
    assert_eq!(host.fails(&["apply", path(&file)]), refused);
    assert_eq!(history(&host, "kitchen"), "[\"ann: hi\"]\n");
    // With the version between them it can be done.
    let text = std::fs::read_to_string(&relup).unwrap();
    let middle = "[[middle]]\nname = \"rooms\"\nversion = \"1.1.0\"\npath = \"rooms-1.1.0.wasm\"\n[[up]]";
    host.outside("relup.toml", text.replace("[[up]]", middle).as_bytes());
    let checked = host.ok(&["check", &relup]);
    assert!(checked.contains("good"), "{checked}");
    host.ok(&["apply", &relup]);
    swept(&host);
    for room in ["hall", "kitchen"] {
        assert_eq!(history(&host, room), "[\"ann: hi\"]\n", "{room}");
    }
}

#[test]
fn r33_keys_that_are_given_up_knowingly_do_not_undo_the_switch() {
    let (host, relup) = lost_1_1();
    let (exit, report) = host.json(&["apply", &relup, "--allow-lossy", "--yes"]);
    assert_eq!(exit, 0, "{report:#}");
    let lossy = report["lossy"].as_array().unwrap();
    assert!(
        lossy.len() == 1 && lossy[0].as_str().unwrap().contains("1 key"),
        "{report:#}"
    );
    swept(&host);
    assert_eq!(history(&host, "kitchen"), "[\"ann: hi\"]\n");
    let (_, failure) = host.json(&["call", "rooms", "history(\"hall\")"]);
    assert_eq!(failure["code"], "key-not-migrated", "{failure:#}");
    // Its state is still there.
    assert_eq!(writer(&host, "hall"), "rooms@1.0.0");
    let (_, status) = host.json(&["status"]);
    assert_eq!(status["release"], "app 1.3.0", "{status:#}");
}

#[test]
fn r28_keys_that_live_go_through_a_version_too() {
    let host = Binary::run(&["rooms-1.0.0"], &[]);
    say(&host, "hall");
    // Known from here on.
    apply(&host, 1);
    host.ok(&["undo"]);
    swept(&host);
    say(&host, "hall");
    apply(&host, 2);
    assert_eq!(history(&host, "hall"), "[\"ann: hi\", \"ann: hi\"]\n");
    assert_eq!(writer(&host, "hall"), "rooms@1.2.0");
    host.ok(&["stop"]);
    let host = host.again(&[]);
    assert_eq!(history(&host, "hall"), "[\"ann: hi\", \"ann: hi\"]\n");
}

#[test]
fn r38_undo_to_a_revision_finds_its_way_through_the_versions_between() {
    let host = Binary::prepared(
        |app| std::fs::write(app.join("number-1.0.0.wasm"), stepping(0, 1)).unwrap(),
        &[],
    );
    let number = |host: &Binary| host.ok(&["call", "number", "get()"]).trim().parse::<i64>().unwrap();
    host.ok(&["call", "number", "set(5)"]);
    for (minor, step) in [(1, 10), (2, 100)] {
        let file = host.outside(&format!("number-1.{minor}.0.wasm"), &stepping(minor, step));
        host.ok(&["apply", path(&file)]);
    }
    assert_eq!(number(&host), 115);
    // 1.2.0 writes for 1.1.0, and that for 1.0.0: ten and one, not one.
    host.ok(&["undo", "--to", "1"]);
    assert_eq!(number(&host), 126);
    // Up again, by a file.
    host.ok(&["apply", path(&host.root().join("number-1.2.0.wasm"))]);
    assert_eq!(number(&host), 236);
    host.ok(&["stop"]);
    let host = host.again(&[]);
    assert_eq!(number(&host), 236);
    // Where the version between them is gone there is no way.
    let (_, versions) = host.json(&["versions", "number"]);
    let versions = versions["versions"].as_array().unwrap().clone();
    let middle = versions.iter().find(|version| version["version"] == "1.1.0").unwrap();
    let object = format!("state/wasmhot/app/objects/{}.wasm", middle["digest"].as_str().unwrap());
    std::fs::remove_file(host.root().join(object)).unwrap();
    let (exit, said) = host.fails(&["undo", "--to", "1"]);
    assert_eq!(exit, 4, "{said}");
    assert!(
        said.contains("`number` 1.0.0 cannot read the state of number@1.2.0 (the running version)"),
        "{said}"
    );
    assert_eq!(number(&host), 236);
}
