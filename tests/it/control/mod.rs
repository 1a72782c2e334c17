//! The control socket as anybody's program sees it: with curl, by the protocol that `wasmhot::control::protocol` documents.

mod calls;
mod socket;
mod upgrades;

use crate::support::{Binary, tool};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

/// Whether a program is here.
fn has(program: &str) -> bool {
    tool(program, "--version").is_some()
}

fn curl(host: &Binary, method: &str, path: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--no-buffer", "--unix-socket"]);
    curl.arg(host.socket()).args(["--request", method]);
    curl.arg(format!("http://localhost/v1{path}"));
    curl
}

/// A request; gives the HTTP status and the body.
fn bytes_of(host: &Binary, method: &str, path: &str, body: Option<&[u8]>) -> (u16, Vec<u8>) {
    let mut curl = curl(host, method, path);
    curl.args(["--write-out", "\n%{http_code}"]);
    if body.is_some() {
        curl.args(["--data-binary", "@-"]);
    }
    let mut curl = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // Whatever curl has not read when it ends is of no interest.
    let _ = curl.stdin.take().unwrap().write_all(body.unwrap_or_default());
    let output = curl.wait_with_output().unwrap();
    assert!(output.status.success(), "curl: {}", output.status);
    let end = output.stdout.iter().rposition(|byte| *byte == b'\n').unwrap();
    let status = std::str::from_utf8(&output.stdout[end + 1..]).unwrap();
    (status.parse().unwrap(), output.stdout[..end].to_vec())
}

fn ask(host: &Binary, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let body = body.map(Value::to_string);
    let (status, answer) = bytes_of(host, method, path, body.as_ref().map(String::as_bytes));
    let answer = String::from_utf8(answer).unwrap();
    (
        status,
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{path}: {error}: {answer}")),
    )
}

fn get(host: &Binary, path: &str) -> Value {
    let (status, answer) = ask(host, "GET", path, None);
    assert_eq!(status, 200, "{answer}");
    answer
}

fn post(host: &Binary, path: &str, body: &Value) -> (u16, Value) {
    ask(host, "POST", path, Some(body))
}

#[test]
fn status_is_what_the_command_line_shows() {
    if !has("curl") {
        return;
    }
    let host = Binary::run(&["counter-1.0.0", "tally-1.0.0", "rooms-1.0.0"], &[]);
    let mut status = get(&host, "/status");
    assert_eq!(status["pid"], host.pid());
    assert_eq!(
        (&status["revision"], &status["release"]),
        (&json!(1), &json!("app 0.0.0+1"))
    );
    let kinds: Vec<_> = status["modules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|module| &module["kind"])
        .collect();
    assert_eq!(kinds, ["single", "keyed", "pool"]);
    let (_, mut shown) = host.json(&["status"]);
    for status in [&mut status, &mut shown] {
        status["uptime_ms"].take();
        // Only the command line has one.
        status["exit"].take();
    }
    assert_eq!(status, shown);
}
