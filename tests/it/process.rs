//! The host as a process: when it is ready, signals, several of them, those who watch it.

use crate::cli::{NO_SAVES, hostile_host, path, until_status};
use crate::support::{Binary, command, guest, signal};
use rustix::process::Signal;
use serde_json::{Value, json};

#[test]
fn two_hosts_live_side_by_side() {
    let (one, other) = (
        Binary::run(&["counter-1.0.0"], &[]),
        Binary::run(&["counter-2.0.0"], &[]),
    );
    one.ok(&["call", "counter", "increment(1)"]);
    other.ok(&["call", "counter", "increment(2)"]);
    let socket = other.socket();
    // The flag goes before the variable, which `one` sets for its own.
    assert_eq!(
        one.ok(&["call", "counter", "get()", "--socket", path(&socket)]).trim(),
        "2"
    );
    assert_eq!(one.ok(&["call", "counter", "get()"]).trim(), "1");
    let mut by_variable = command(one.root());
    by_variable
        .env("WASMHOT_SOCKET", &socket)
        .args(["call", "counter", "version()"]);
    let said = by_variable.output().unwrap().stdout;
    assert_eq!(String::from_utf8(said).unwrap().trim(), "\"2.0.0\"");
    one.ok(&["stop"]);
    assert_eq!(other.ok(&["call", "counter", "get()"]).trim(), "2");
}

#[test]
fn a_second_host_on_the_same_socket_or_state_is_busy() {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    let second = |flags: &[&str]| {
        let mut command = command(host.root());
        let output = command.arg("run").arg(host.app()).args(flags).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (exit, said) = second(&["--state", path(&host.root().join("elsewhere"))]);
    assert_eq!(exit, Some(5), "{said}");
    assert!(said.contains("--socket"), "it says what to do: {said}");
    let (exit, said) = second(&["--socket", path(&host.root().join("run/second.sock"))]);
    assert_eq!(exit, Some(5), "{said}");
    assert_eq!(
        host.ok(&["call", "counter", "increment(1)"]).trim(),
        "1",
        "the first is untouched"
    );
}

#[test]
fn the_ready_line_says_what_one_needs() {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    let expected = format!(
        "wasmhot: ready: release app 0.0.0+1 (revision 1), 1 module, watching {}, socket {}",
        host.app().canonicalize().unwrap().display(),
        host.socket().display()
    );
    assert_eq!(host.ready, expected);
    let host = Binary::run(&["counter-1.0.0", "tally-1.0.0"], &[]);
    assert!(host.ready.contains(" 2 modules,"), "{}", host.ready);
    let host = Binary::run(&[], &[]);
    assert!(host.ready.contains(" (revision 0), 0 modules,"), "{}", host.ready);
}

#[test]
fn a_signal_saves_and_ends_well() {
    let mut host = Binary::run(&["counter-1.0.0"], &NO_SAVES);
    host.ok(&["call", "counter", "increment(7)"]);
    signal(host.pid(), Signal::TERM);
    assert_eq!(host.ended(), Some(0));
    assert!(!host.socket().exists(), "the socket is gone");
    let mut host = host.again(&[]);
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "7");
    signal(host.pid(), Signal::INT);
    assert_eq!(host.ended(), Some(0));
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut host = hostile_host("", &["--stuck-timeout", "1h", "--drain-timeout", "1h"]);
    let _call = host.stays(&["call", "hostile", "fault(\"block\")"]);
    until_status(&host, "the call runs", |status| status["modules"][0]["running"] == 1);
    signal(host.pid(), Signal::TERM);
    host.says("a second signal");
    signal(host.pid(), Signal::TERM);
    assert_eq!(host.ended(), Some(143));
}

#[test]
fn a_stop_that_cannot_save_is_degraded() {
    let mut host = hostile_host("save=err", &NO_SAVES);
    host.ok(&["call", "hostile", "increment(1)"]);
    let (exit, report) = host.json(&["stop"]);
    assert_eq!((exit, &report["exit"]), (8, &json!(8)), "{report:#}");
    assert!(report["not_saved"]["hostile"].is_string(), "{report:#}");
    assert_eq!(host.ended(), Some(8), "the host says the same");
}

#[test]
fn watching_prints_every_change_and_ends_with_the_host() {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    let mut watch = host.stays(&["status", "--watch"]);
    let mut programs = host.stays(&["status", "--watch", "--json"]);
    watch.until(|line| line.starts_with("counter") && line.contains("1.0.0"));
    programs.until(|line| serde_json::from_str::<Value>(line).unwrap()["revision"] == 1);
    host.drop_file("counter-2.0.0.wasm", &std::fs::read(guest("counter-2.0.0")).unwrap());
    watch.until(|line| line.starts_with("counter") && line.contains("2.0.0"));
    programs.until(|line| serde_json::from_str::<Value>(line).unwrap()["modules"][0]["version"] == "2.0.0");
    host.ok(&["stop"]);
    assert_eq!(watch.ended(), Some(0));
    assert_eq!(programs.ended(), Some(0));
    // The host lives on until the watch has ended: it must end by the signal.
    let host = Binary::run(&["counter-1.0.0"], &[]);
    let mut interrupted = host.stays(&["status", "--watch"]);
    interrupted.until(|line| line.starts_with("counter"));
    signal(interrupted.pid(), Signal::INT);
    assert_eq!(interrupted.ended(), Some(130));
    drop(host);
}

#[test]
fn a_killed_host_is_in_nobodys_way() {
    let mut host = Binary::run(&["counter-1.0.0"], &[]);
    host.kill();
    assert_eq!(host.fails(&["status"]).0, 3, "its socket is there, but nobody answers");
    let host = host.again(&[]);
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "0");
}
