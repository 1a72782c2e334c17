//! The command line, by the real binary: exit codes, JSON, questions, what it says when something is wrong.

use crate::support::{Binary, HANG, command, ended, guest, hostile};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// No save comes between two steps of a test.
pub(crate) const NO_SAVES: [&str; 2] = ["--save-interval", "1h"];

pub(crate) fn path(of: &Path) -> &str {
    of.to_str().unwrap()
}

/// A host with the hostile guest only.
pub(crate) fn hostile_host(plan: &str, flags: &[&str]) -> Binary {
    let file = |app: &Path| app.join("hostile-1.0.0.wasm");
    Binary::prepared(|app| std::fs::write(file(app), hostile("1.0.0", plan)).unwrap(), flags)
}

/// Looks at the status until it is as wanted.
pub(crate) fn until_status(host: &Binary, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let (_, status) = host.json(&["status"]);
        if wanted(&status) {
            return status;
        }
        assert!(begin.elapsed() < HANG, "never: {what}: {status:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn exit_codes_are_those_of_the_table() {
    let host = Binary::run(&["counter-1.0.0"], &NO_SAVES);
    host.ok(&["call", "counter", "increment(5)"]);
    let garbage = host.outside("garbage.wasm", b"\0asm\x01\0\0\0garbage");
    let newer = guest("counter-2.0.0");
    let nobody = host.root().join("nobody.sock");
    let table: [(&[&str], i32); 26] = [
        (&["--help"], 0),
        (&["--version"], 0),
        (&["status"], 0),
        (&["call", "counter", "get()"], 0),
        (&["inspect", path(&newer)], 0),
        (&["apply", path(&newer), "--dry-run"], 0),
        (&["apply", path(&newer)], 0),
        (&["apply", path(&newer)], 0),
        (&["undo"], 0),
        (&["events"], 0),
        (&[], 2),
        (&["frobnicate"], 2),
        (&["call", "counter"], 2),
        (&["call", "counter", "increment", "--args", "3"], 2),
        (&["call", "counter", "increment(1)", "--args", "[3]"], 2),
        (&["apply", path(&newer), "--timeout", "3"], 2),
        (&["status", "-q", "-v"], 2),
        (&["remove", "counter"], 2),
        (&["status", "--socket", path(&nobody)], 3),
        (&["call", "counter", "get()", "--socket", path(&nobody)], 3),
        (&["call", "nobody", "get()"], 4),
        (&["call", "counter", "nothing()"], 4),
        (&["apply", "nothing.wasm"], 4),
        (&["apply", path(&garbage)], 4),
        (&["inspect", path(&garbage)], 4),
        (&["undo"], 4),
    ];
    for (args, exit) in table {
        let output = host.cli(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "wasmhot {args:?}: {said}");
        // Results on standard output, everything else on standard error.
        assert_eq!(output.stdout.is_empty(), exit != 0, "wasmhot {args:?}");
        assert_eq!(said.contains("error:"), exit != 0, "wasmhot {args:?}: {said}");
    }
}

#[test]
fn a_fault_before_the_gate_is_1_and_one_behind_it_is_7() {
    let host = hostile_host("", &NO_SAVES);
    let bad = |name: &str, version: &str, plan: &str| host.outside(name, &hostile(version, plan));
    // Nothing was saved yet, so nothing can be rehearsed: the fault is met behind the gate.
    host.ok(&["call", "hostile", "increment(5)"]);
    let (exit, said) = host.fails(&["apply", path(&bad("a.wasm", "1.1.0", "migrate=trap"))]);
    assert_eq!(exit, 7, "{said}");
    assert!(
        said.contains("migrate") && said.contains("after a gate had closed"),
        "{said}"
    );
    // Now there is something to rehearse with.
    host.ok(&["state", "export", "hostile", "-o", path(&host.root().join("state.bin"))]);
    let (exit, said) = host.fails(&["apply", path(&bad("b.wasm", "1.2.0", "migrate=trap"))]);
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("before any gate closed"), "{said}");
    let (exit, said) = host.fails(&["apply", path(&bad("c.wasm", "1.3.0", "start=trap"))]);
    assert_eq!(exit, 1, "{said}");
    assert_eq!(host.ok(&["call", "hostile", "get()"]).trim(), "5");
    let status = host.json(&["status"]).1;
    assert!(
        status["last_called_off"].as_str().unwrap().contains("1.3.0"),
        "{status:#}"
    );
}

#[test]
fn while_an_upgrade_runs_another_is_busy_and_waiting_may_end() {
    let host = hostile_host("", &NO_SAVES);
    let slow = host.outside("slow.wasm", &hostile("2.0.0", "migrate=sleep:4000"));
    let other = host.outside("other.wasm", &hostile("3.0.0", ""));
    let (exit, failure) = host.json(&["apply", path(&slow), "--timeout", "1ms"]);
    assert_eq!((exit, &failure["exit"]), (6, &json!(6)), "{failure:#}");
    let id = failure["id"].as_str().unwrap().to_string();
    until_status(&host, "the upgrade is under way", |status| status["busy"].is_string());
    let (exit, said) = host.fails(&["apply", path(&other)]);
    assert_eq!(exit, 5, "{said}");
    assert!(said.contains("hostile@2.0.0"), "it says what runs: {said}");
    assert_eq!(host.fails(&["undo"]).0, 5);
    // The same attempt again waits for the one that runs, and begins no second one.
    let (exit, report) = host.json(&["apply", path(&slow), "--id", &id]);
    assert_eq!((exit, &report["revision"]), (0, &json!(2)), "{report:#}");
    let (exit, report) = host.json(&["apply", path(&slow), "--id", &id]);
    assert_eq!((exit, &report["revision"]), (0, &json!(2)), "{report:#}");
}

#[test]
fn json_of_every_verb_carries_the_exit_code() {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    let newer = guest("counter-2.0.0");
    let file = host.root().join("state.bin");
    let table: [(&[&str], i32, &str); 17] = [
        (&["status"], 0, "modules"),
        (&["call", "counter", "increment(2)"], 0, "wave"),
        (&["call", "counter", "increment", "--args", "[3]"], 0, "value"),
        (&["versions"], 0, "versions"),
        (&["versions", "counter"], 0, "versions"),
        (&["inspect", path(&newer)], 0, "exports"),
        (&["apply", path(&newer)], 0, "gate_us"),
        (&["state", "show", "counter"], 0, "content"),
        (&["state", "export", "counter", "-o", path(&file)], 0, "bytes"),
        (&["state", "import", "counter", path(&file)], 0, "version"),
        (&["state", "restore", "counter"], 0, "version"),
        (&["state", "reset", "counter", "--yes"], 0, "version"),
        (&["undo"], 0, "revision"),
        (&["remove", "counter", "--yes"], 0, "revision"),
        (&["state", "reset", "counter"], 2, "code"),
        (&["frobnicate"], 2, "code"),
        (&["call", "counter", "get()"], 4, "code"),
    ];
    for (args, exit, field) in table {
        let (code, value) = host.json(args);
        assert_eq!((code, &value["exit"]), (exit, &json!(exit)), "{args:?}: {value:#}");
        assert!(!value[field].is_null(), "{args:?} has {field}: {value:#}");
    }
    // A stream has a line for each event.
    let lines = host.ok(&["events", "--json"]);
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        events
            .iter()
            .any(|event| event["kind"] == "removed" || event["kind"] == "switched")
    );
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    let (code, value) = host.json(&["stop"]);
    assert_eq!((code, &value["exit"]), (0, &json!(0)), "{value:#}");
}

#[test]
fn a_wrong_call_says_what_is_wrong() {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    let (exit, said) = host.fails(&["call", "counter", "incremnt(1)"]);
    assert_eq!(exit, 4);
    for line in [
        "increment: func(by: s64) -> s64",
        "version: func() -> string",
        "not executed",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let wrong: [&[&str]; 4] = [
        &["increment(\"x\")"],
        &["increment", "--args", "[\"x\"]"],
        &["record(\"ann\", -1)"],
        &["record", "--args", "[\"ann\", -1]"],
    ];
    for args in wrong {
        let (exit, said) = host.fails(&[&["call", "counter"], args].concat());
        assert_eq!(exit, 4, "{args:?}");
        let expected = if args[0].starts_with("increment") {
            ["argument 1 `by`", "s64"]
        } else {
            ["argument 2 `sequence`", "u64"]
        };
        for words in expected {
            assert!(said.contains(words), "{args:?}: {words}: {said}");
        }
    }
    let (exit, said) = host.fails(&["call", "counter", "increment", "--args", "[]"]);
    assert_eq!(exit, 4);
    assert!(said.contains("func(by: s64) -> s64"), "{said}");
}

#[test]
fn r12_a_trap_shows_the_backtrace_and_that_it_may_have_been_executed() {
    let host = hostile_host("", &[]);
    let (exit, said) = host.fails(&["call", "hostile", "fault(\"trap\")"]);
    assert_eq!(exit, 1);
    for words in [
        "hostile@1.0.0",
        "unreachable",
        "may have been executed",
        "wasm backtrace",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let frames = said
        .lines()
        .filter(|line| line.contains("hostile") && line.contains("0x"))
        .count();
    assert!(frames > 0, "frames of the guest: {said}");
    let (exit, failure) = host.json(&["call", "hostile", "fault(\"trap\")"]);
    assert_eq!(
        (exit, &failure["call"]["executed"]),
        (1, &json!("unknown")),
        "{failure:#}"
    );
    assert!(failure["call"]["backtrace"].is_string(), "{failure:#}");
}

#[test]
fn what_cannot_be_taken_back_needs_a_yes() {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    host.ok(&["call", "counter", "increment(3)"]);
    let newer = guest("counter-2.0.0");
    let asked: [&[&str]; 4] = [
        &["remove", "counter"],
        &["state", "reset", "counter"],
        &["apply", path(&newer), "--allow-lossy"],
        &["undo", "--allow-lossy"],
    ];
    for args in asked {
        let (exit, said) = host.fails(args);
        assert_eq!(exit, 2, "{args:?}: {said}");
        assert!(said.contains("--yes"), "{args:?}: {said}");
    }
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "3");
    host.ok(&["remove", "counter", "--yes"]);
    assert!(host.ok(&["status"]).contains("no modules"));
    assert_eq!(host.fails(&["call", "counter", "get()"]).0, 4);
    // Its last state is kept.
    host.ok(&["apply", path(&newer)]);
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "3");
    host.ok(&["state", "reset", "counter", "--yes"]);
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "0");
}

#[test]
fn undo_takes_the_state_that_is_asked_for() {
    let host = Binary::run(&["counter-1.0.0"], &NO_SAVES);
    host.ok(&["call", "counter", "increment(3)"]);
    let file = host.root().join("state.bin");
    host.ok(&["state", "export", "counter", "-o", path(&file)]);
    host.ok(&["call", "counter", "increment(4)"]);
    host.ok(&["apply", path(&guest("counter-2.0.0"))]);
    host.ok(&["undo", "--state", path(&file)]);
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "3");
    let (exit, said) = host.fails(&["undo", "--state", "nothing.bin"]);
    assert_eq!(exit, 4);
    assert!(said.contains("nothing.bin") && said.contains("last-saved"), "{said}");
}

#[test]
fn a_deleted_file_stops_nothing_and_the_event_says_what_does() {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    let mut events = host.stays(&["events", "-f"]);
    host.drop_file("counter-2.0.0.wasm", &std::fs::read(guest("counter-2.0.0")).unwrap());
    events.until(|line| line.contains("switched") && line.contains("2.0.0"));
    std::fs::remove_file(host.app().join("counter-2.0.0.wasm")).unwrap();
    let line = events.until(|line| line.contains("file-deleted"));
    assert!(line.contains("`wasmhot remove counter`"), "{line}");
    assert_eq!(host.ok(&["call", "counter", "version()"]).trim(), "\"2.0.0\"");
}

#[test]
fn colours_and_talk_are_as_asked_for() {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    let run = |args: &[&str]| {
        let output = host.cli(args);
        (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (plain, _) = run(&["status"]);
    assert!(!plain.contains('\x1b'), "no terminal, no colours");
    let (coloured, _) = run(&["status", "--color", "always"]);
    assert!(coloured.contains("\x1b["));
    assert!(
        run(&["call", "counter", "nothing()", "--color", "always"])
            .1
            .contains("\x1b[1;31merror:")
    );
    assert!(run(&["frobnicate", "--color", "always"]).1.contains('\x1b'));
    let mut no_color = command(host.root());
    let output = no_color.env("NO_COLOR", "1").arg("status").output().unwrap();
    assert!(!String::from_utf8(output.stdout).unwrap().contains('\x1b'));
    // Without a terminal there is no progress; -v tells what happens instead, -q nothing.
    let newer = guest("counter-2.0.0");
    let (report, talk) = run(&["apply", path(&newer)]);
    assert!(
        report.contains("counter: 1.0.0 -> 2.0.0") && talk.is_empty(),
        "{report}{talk}"
    );
    let (_, talk) = run(&["undo", "-v"]);
    assert!(talk.contains("switched"), "{talk}");
    let file = host.root().join("state.bin");
    assert!(
        run(&["state", "export", "counter", "-o", path(&file)])
            .1
            .contains("written to")
    );
    assert_eq!(run(&["state", "export", "counter", "-o", path(&file), "-q"]).1, "");
}

#[test]
fn events_end_when_nobody_reads_them_any_more() {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    let mut follow = command(host.root());
    let mut follow = follow.args(["events", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(follow.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap();
    drop(said);
    host.ok(&["apply", path(&guest("counter-2.0.0"))]);
    assert_eq!(ended(&mut follow), Some(0));
}

#[test]
fn what_cannot_be_run_is_refused_in_words() {
    let root = tempfile::tempdir().unwrap();
    let run = |source: &Path| {
        let output = command(root.path()).arg("run").arg(source).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (exit, said) = run(&root.path().join("nothing"));
    assert_eq!(exit, Some(4), "{said}");
    assert!(said.contains("nothing"), "{said}");
    let (exit, said) = run(&guest("counter-1.0.0"));
    assert_eq!(exit, Some(4), "{said}");
    assert!(said.contains("run the directory"), "{said}");
    let release = root.path().join("release.toml");
    std::fs::write(
        &release,
        "format = 1\n[release]\nname = \"shop\"\nversoin = \"1.0.0\"\n",
    )
    .unwrap();
    let (exit, said) = run(&release);
    assert_eq!(exit, Some(4), "{said}");
    assert!(
        said.contains("did you mean `version`?") && !said.contains("error: error:"),
        "{said}"
    );
}

#[test]
fn inspect_says_what_a_file_is() {
    let host = Binary::run(&[], &[]);
    let said = host.ok(&["inspect", path(&guest("server-1.0.0"))]);
    for words in [
        "server 1.0.0",
        "single, stateful",
        "application/cbor",
        "donate: func(name: string, amount: u64) -> result<u64, string>",
        "donations:app/calculator.calculate: func(amount: u64) -> u64",
        "wasi:cli/",
        "sha256 ",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (_, described) = host.json(&["inspect", path(&guest("tally-1.0.0"))]);
    assert_eq!(
        (&described["stateful"], &described["kind"]),
        (&json!(false), &json!("pool"))
    );
    assert_eq!(described["digest"].as_str().unwrap().len(), 64);
}

#[test]
fn versions_mark_what_runs() {
    let host = Binary::run(&["counter-1.0.0", "tally-1.0.0"], &[]);
    host.ok(&["apply", path(&guest("counter-2.0.0"))]);
    let said = host.ok(&["versions", "counter"]);
    let lines: Vec<&str> = said.lines().skip(1).collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[0].contains("1.0.0") && lines[0].contains("old") && !lines[0].contains('*'),
        "{said}"
    );
    assert!(lines[1].starts_with('*') && lines[1].contains("2.0.0"), "{said}");
    assert!(host.ok(&["versions"]).contains("tally"));
}
