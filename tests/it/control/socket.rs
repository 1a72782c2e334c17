//! Who may ask, what is not understood, and the end.

use super::{ask, bytes_of, get, has, post};
use crate::support::{Binary, command};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

#[test]
fn what_is_not_understood_says_what_there_is() {
    if !has("curl") {
        return;
    }
    let host = Binary::run(&["counter-1.0.0"], &[]);
    let (status, failure) = ask(&host, "GET", "/nothing", None);
    assert_eq!(
        (status, &failure["code"], &failure["exit"]),
        (404, &json!("no-such-path"), &json!(2))
    );
    assert!(
        failure["message"].as_str().unwrap().contains("POST /v1/apply"),
        "{failure}"
    );
    let table = [
        ("GET", "/call", None, 405, "wrong-method"),
        ("POST", "/undo", None, 400, "bad-request"),
        ("POST", "/undo", Some("{\"lossy\": true}"), 400, "bad-request"),
        (
            "POST",
            "/apply",
            Some("{\"path\": \"counter.wasm\"}"),
            400,
            "bad-request",
        ),
        (
            "POST",
            "/apply",
            Some("{\"path\": \"/x.wasm\", \"limits\": {\"save_timeout\": \"5\"}}"),
            400,
            "bad-request",
        ),
        (
            "POST",
            "/apply",
            Some("{\"path\": \"/nowhere/x.wasm\"}"),
            422,
            "vanished",
        ),
        ("GET", "/status?verbose=1", None, 400, "bad-request"),
    ];
    for (method, path, body, status, code) in table {
        let (got, failure) = bytes_of(&host, method, path, body.map(str::as_bytes));
        let failure: Value = serde_json::from_slice(&failure).unwrap();
        assert_eq!(
            (got, &failure["code"]),
            (status, &json!(code)),
            "{method} {path} {body:?}: {failure}"
        );
    }
    let large = vec![b' '; (1 << 20) + 1];
    let (status, failure) = bytes_of(&host, "POST", "/call", Some(&large));
    assert_eq!(status, 413, "{}", String::from_utf8_lossy(&failure));
}

#[test]
fn stop_answers_when_everything_is_saved_and_takes_the_socket_away() {
    if !has("curl") {
        return;
    }
    let mut host = Binary::run(&["counter-1.0.0"], &[]);
    post(&host, "/call", &json!({"module": "counter", "call": "increment(5)"}));
    let (status, report) = ask(&host, "POST", "/stop", None);
    assert_eq!(
        (status, report),
        (200, json!({ "saved": 1, "not_saved": {}, "interrupted": 0 }))
    );
    assert_eq!(host.ended(), Some(0));
    assert!(!host.socket().exists());
    let host = host.again(&[]);
    assert_eq!(
        post(&host, "/call", &json!({"module": "counter", "call": "get()"})).1["value"],
        5
    );
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_socket_is_its_owners_alone() {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    assert_eq!(mode(&host.socket()), 0o600);
    assert_eq!(mode(host.socket().parent().unwrap()), 0o700);
}

/// The file modes are opened, so that only the check of who connects is left.
#[test]
fn another_user_gets_no_answer_whatever_the_modes_are() {
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout == b"0\n");
    if !is_root || !has("curl") || !has("setpriv") {
        eprintln!("SKIPPED: becoming another user takes root and setpriv");
        return;
    }
    let host = Binary::run(&["counter-1.0.0"], &[]);
    let open = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    open(host.root(), 0o755);
    open(host.socket().parent().unwrap(), 0o755);
    open(&host.socket(), 0o666);
    let mut other = Command::new("setpriv");
    other.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "curl",
        "--silent",
        "--unix-socket",
    ]);
    let output = other
        .arg(host.socket())
        .arg("http://localhost/v1/status")
        .output()
        .unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(
        get(&host, "/status")["pid"],
        host.pid(),
        "the owner is answered as before"
    );
}

#[test]
fn a_client_without_a_host_exits_3() {
    let root = tempfile::tempdir().unwrap();
    let output = command(root.path()).arg("status").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("wasmhot run"));
}
