//! kill -9: what was saved is there, and exactly one release boots, whole (P4, R14, R28).

use crate::support::{Binary, HANG, guest, hostile, until};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Everything that was called before is saved.
fn saved(host: &Binary, modules: &[&str]) {
    let begin = Instant::now();
    loop {
        let status: serde_json::Value = serde_json::from_str(&host.ok(&["status", "--json"])).unwrap();
        let of = status["modules"].as_array().unwrap().iter();
        let open: Vec<_> = of
            .filter(|module| modules.contains(&module["module"].as_str().unwrap()))
            .map(|module| module["unsaved_calls"].as_u64().unwrap())
            .collect();
        assert_eq!(open.len(), modules.len(), "{status}");
        if open.iter().all(|calls| *calls == 0) {
            return;
        }
        assert!(begin.elapsed() < HANG, "never saved: {status}");
    }
}

#[test]
fn r14_what_was_saved_periodically_is_there_after_kill_9() {
    let flags = ["--save-interval", "50ms"];
    let mut host = Binary::run(&["counter-1.0.0", "rooms-1.0.0"], &flags);
    for round in 1..=3 {
        assert_eq!(host.ok(&["call", "counter", "increment(1)"]).trim(), round.to_string());
        for room in ["hall", "attic", "kitchen"] {
            let said = host.ok(&["call", "rooms", &format!("say(\"{room}\", \"ann\", \"hi\")")]);
            assert_eq!(said.trim(), round.to_string());
        }
        saved(&host, &["counter", "rooms"]);
        host.kill();
        host = host.again(&flags);
    }
}

#[test]
fn r28_a_switch_that_was_answered_is_there_after_kill_9_with_its_state() {
    // No periodic save comes in between: what is there was handed over.
    let flags = ["--save-interval", "1h"];
    let mut host = Binary::run(&["counter-1.0.0"], &flags);
    let mut expected = 0;
    for (round, name) in ["counter-2.0.0", "counter-1.1.0", "counter-1.0.0", "counter-2.0.0"]
        .iter()
        .enumerate()
    {
        expected += 5;
        assert_eq!(
            host.ok(&["call", "counter", "increment(5)"]).trim(),
            expected.to_string()
        );
        host.ok(&["apply", guest(name).to_str().unwrap()]);
        host.kill();
        host = host.again(&flags);
        let version = name.trim_start_matches("counter-");
        assert_eq!(
            host.ok(&["call", "counter", "version()"]).trim(),
            format!("\"{version}\""),
            "round {round}"
        );
        assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), expected.to_string());
    }
    host.ok(&["undo"]);
    host.kill();
    let host = host.again(&flags);
    assert_eq!(host.ok(&["call", "counter", "version()"]).trim(), "\"1.0.0\"");
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), expected.to_string());
}

/// Kills a host in the middle of an upgrade, when this event is told, and gives the version that boots.
fn killed_at(event: &str, plan: &str) -> String {
    let prepare = |app: &std::path::Path| std::fs::write(app.join("hostile.wasm"), hostile("1.0.0", "")).unwrap();
    let mut host = Binary::prepared(prepare, &[]);
    host.ok(&["call", "hostile", "increment(5)"]);
    // Saved, durably.
    host.ok(&[
        "state",
        "export",
        "hostile",
        "-o",
        host.root().join("state.bin").to_str().unwrap(),
    ]);
    let file = host.root().join("hostile-1.0.1.wasm");
    std::fs::write(&file, hostile("1.0.1", plan)).unwrap();
    let mut apply: Command = crate::support::command(host.root());
    apply
        .arg("apply")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut running = apply.spawn().unwrap();
    let begin = Instant::now();
    // The newest event is at the end; of the first revision there was one switch.
    let wanted = if event == "switched" { 2 } else { 1 };
    let count = |text: String| text.lines().filter(|line| line.contains(event)).count();
    while count(host.ok(&["events"])) < wanted {
        assert!(begin.elapsed() < HANG, "{event} never came");
    }
    host.kill();
    running.wait().unwrap();
    let host = host.again(&[]);
    let status: serde_json::Value = serde_json::from_str(&host.ok(&["status", "--json"])).unwrap();
    let modules = status["modules"].as_array().unwrap();
    assert_eq!(modules.len(), 1, "one, and not both: {status}");
    assert_eq!(modules[0]["condition"], "running");
    assert_eq!(host.ok(&["call", "hostile", "get()"]).trim(), "5");
    // It can be upgraded as if nothing had been.
    host.ok(&["apply", guest("hostile-1.0.0").to_str().unwrap()]);
    assert_eq!(host.ok(&["call", "hostile", "get()"]).trim(), "5");
    modules[0]["version"].as_str().unwrap().to_string()
}

#[test]
fn p4_killed_behind_the_gate_the_old_release_boots() {
    assert_eq!(killed_at("gated", "migrate=sleep:3000"), "1.0.0");
}

#[test]
fn p4_killed_before_the_gate_the_old_release_boots() {
    assert_eq!(killed_at("upgrade-begun", "start=sleep:3000"), "1.0.0");
}

#[test]
fn p4_killed_after_the_switch_the_new_release_boots() {
    assert_eq!(killed_at("switched", ""), "1.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_killed_at_any_moment_of_an_upgrade_exactly_one_release_boots() {
    let mut host = Binary::run(&["counter-1.0.0"], &[]);
    host.ok(&["call", "counter", "increment(5)"]);
    host.ok(&[
        "state",
        "export",
        "counter",
        "-o",
        host.root().join("state.bin").to_str().unwrap(),
    ]);
    for round in 0..12_u32 {
        let name = if round % 2 == 0 {
            "counter-2.0.0"
        } else {
            "counter-1.0.0"
        };
        let mut apply: Command = crate::support::command(host.root());
        apply
            .arg("apply")
            .arg(guest(name))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut running = apply.spawn().unwrap();
        // A little later each time: from before the request arrives to after its end.
        let moment = Instant::now();
        until("the moment", || moment.elapsed().as_millis() >= u128::from(round) * 25).await;
        host.kill();
        running.wait().unwrap();
        host = host.again(&[]);
        let version = host.ok(&["call", "counter", "version()"]);
        assert!(["\"1.0.0\"", "\"2.0.0\""].contains(&version.trim()), "{version}");
        assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "5", "round {round}");
    }
}

#[test]
fn a_second_host_on_the_same_state_exits_5() {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    let mut second = crate::support::command(host.root());
    let socket = host.root().join("run/second.sock");
    let output = second
        .arg("run")
        .arg(host.app())
        .arg("--socket")
        .arg(socket)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains(&host.pid().to_string()), "it names who has it: {said}");
    assert_eq!(host.ok(&["call", "counter", "increment(1)"]).trim(), "1");
    // One at the same socket, with another state.
    let mut third = crate::support::command(host.root());
    let state = host.root().join("other-state");
    let output = third
        .arg("run")
        .arg(host.app())
        .arg("--state")
        .arg(state)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert_eq!(host.ok(&["call", "counter", "increment(1)"]).trim(), "2");
}

#[test]
fn two_hosts_side_by_side_do_not_meet() {
    let one = Binary::run(&["counter-1.0.0"], &[]);
    let other = Binary::run(&["counter-1.0.0"], &[]);
    assert_eq!(one.ok(&["call", "counter", "increment(1)"]).trim(), "1");
    assert_eq!(other.ok(&["call", "counter", "increment(10)"]).trim(), "10");
    assert!(one.ready.contains(one.socket().to_str().unwrap()), "{}", one.ready);
}
