//! The control socket as anybody's program sees it: with curl, by the protocol that `wasmhot::control::protocol` documents.

use crate::made::{calc, front};
use crate::support::{Binary, command, guest, hostile};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whether a program is here. Where it is not the test says so and does nothing; in CI it fails, for there it must not be missing.
fn has(program: &str) -> bool {
    let here = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok();
    assert!(here || std::env::var_os("CI").is_none(), "{program} is not installed");
    if !here {
        eprintln!("SKIPPED: {program} is not installed");
    }
    here
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

#[test]
fn calls_in_wave_and_in_json() {
    if !has("curl") {
        return;
    }
    let host = Binary::run(&["counter-2.0.0", "tally-1.0.0", "rooms-1.0.0"], &[]);
    let table = [
        (
            json!({"module": "counter", "call": "increment(5)"}),
            json!({"wave": "5", "value": 5}),
        ),
        (
            json!({"module": "counter", "function": "increment", "args": [-2]}),
            json!({"wave": "3", "value": 3}),
        ),
        (
            json!({"module": "counter", "function": "get"}),
            json!({"wave": "3", "value": 3}),
        ),
        (
            json!({"module": "counter", "call": "record(\"ann\", 1)"}),
            json!({"wave": "ok(1)", "value": {"ok": 1}}),
        ),
        (
            json!({"module": "counter", "function": "record", "args": ["ann", 3], "deadline_ms": 60_000}),
            json!({"wave": "err(\"ann: expected 2, got 3\")", "value": {"err": "ann: expected 2, got 3"}}),
        ),
        (
            json!({"module": "counter", "call": "clients()"}),
            json!({"wave": "[\"ann\"]", "value": ["ann"]}),
        ),
        (
            json!({"module": "tally", "function": "echo-bytes", "args": [[0, 1, 255]]}),
            json!({"wave": "[0, 1, 255]", "value": [0, 1, 255]}),
        ),
        (
            json!({"module": "tally", "call": "echo-text(\"größe \\\"x\\\"\")"}),
            json!({"wave": "\"größe \\\"x\\\"\"", "value": "größe \"x\""}),
        ),
        (
            json!({"module": "rooms", "call": "say(\"hall\", \"ann\", \"hi\")"}),
            json!({"wave": "1", "value": 1}),
        ),
    ];
    for (request, wanted) in table {
        assert_eq!(post(&host, "/call", &request), (200, wanted), "{request}");
    }
}

#[test]
fn a_call_that_fails_says_why_and_whether_it_was_executed() {
    if !has("curl") {
        return;
    }
    let prepare = |app: &Path| std::fs::write(app.join("hostile.wasm"), hostile("1.0.0", "")).unwrap();
    let host = Binary::prepared(prepare, &[]);
    let table = [
        (
            json!({"module": "counter", "call": "get()"}),
            404,
            "no-such-module",
            "not-executed",
            4,
        ),
        (
            json!({"module": "hostile", "call": "set(1)"}),
            404,
            "no-such-function",
            "not-executed",
            4,
        ),
        (
            json!({"module": "hostile", "call": "increment(\"a\")"}),
            400,
            "wrong-argument",
            "not-executed",
            4,
        ),
        (
            json!({"module": "hostile", "function": "increment", "args": [1.5]}),
            400,
            "wrong-argument",
            "not-executed",
            4,
        ),
        (
            json!({"module": "hostile", "call": "get()", "function": "get"}),
            400,
            "wrong-argument",
            "not-executed",
            4,
        ),
        (
            json!({"module": "hostile", "call": "fault(\"trap\")"}),
            422,
            "trapped",
            "unknown",
            1,
        ),
        (
            json!({"module": "hostile", "call": "fault(\"sleep:3000\")", "deadline_ms": 50}),
            504,
            "timed-out",
            "unknown",
            6,
        ),
        (
            json!({"module": "hostile", "call": "get()", "deadline_ms": 50}),
            504,
            "timed-out",
            "not-executed",
            1,
        ),
    ];
    for (request, status, code, executed, exit) in table {
        let (got, failure) = post(&host, "/call", &request);
        assert_eq!(
            (got, &failure["code"], &failure["exit"]),
            (status, &json!(code), &json!(exit)),
            "{failure}"
        );
        assert_eq!(failure["call"]["executed"], executed, "{failure}");
        if code == "trapped" {
            assert!(
                failure["call"]["backtrace"].as_str().unwrap().contains("hostile"),
                "{failure}"
            );
        }
    }
}

#[test]
fn an_upgrade_from_beginning_to_end() {
    if !has("curl") {
        return;
    }
    let host = Binary::run(&["counter-1.0.0"], &[]);
    post(&host, "/call", &json!({"module": "counter", "call": "increment(5)"}));
    let apply = json!({ "path": guest("counter-2.0.0"), "dry_run": true, "limits": { "migrate_timeout": "2s" } });
    let (status, report) = post(&host, "/apply", &apply);
    assert_eq!((status, &report["revision"]), (200, &Value::Null), "{report}");
    let apply = json!({ "path": guest("counter-2.0.0"), "id": "first", "state": "live" });
    let (status, report) = post(&host, "/apply", &apply);
    assert_eq!(
        (status, &report["revision"], &report["origin"]),
        (200, &json!(2), &json!("apply")),
        "{report}"
    );
    assert_eq!(report["modules"][0]["to"], "2.0.0");
    assert_eq!(post(&host, "/apply", &apply), (200, report), "the same attempt");
    let versions = get(&host, "/versions?module=counter");
    let of: Vec<_> = versions
        .as_array()
        .unwrap()
        .iter()
        .map(|known| (&known["version"], &known["status"]))
        .collect();
    assert_eq!(
        of,
        [(&json!("1.0.0"), &json!("old")), (&json!("2.0.0"), &json!("current"))]
    );
    let (status, report) = post(&host, "/undo", &json!({}));
    assert_eq!((status, &report["revision"]), (200, &json!(3)), "{report}");
    let (_, reply) = post(&host, "/call", &json!({"module": "counter", "call": "get()"}));
    assert_eq!(reply["value"], 5);
    let (status, failure) = post(&host, "/undo", &json!({}));
    assert_eq!(
        (status, &failure["code"], &failure["exit"]),
        (422, &json!("nothing-to-undo"), &json!(4)),
        "{failure}"
    );
    let (status, report) = post(&host, "/remove", &json!({ "module": "counter" }));
    assert_eq!(
        (status, &report["modules"][0]["action"]),
        (200, &json!("delete")),
        "{report}"
    );
    assert_eq!(get(&host, "/status")["modules"], json!([]));
}

#[test]
fn half_of_a_joint_move_is_refused_with_caller_callee_function_and_types() {
    if !has("curl") {
        return;
    }
    let prepare = |app: &Path| {
        std::fs::write(app.join("front-1.0.0.wasm"), front(1, 0)).unwrap();
        std::fs::write(app.join("calc-1.0.0.wasm"), calc(1, 10)).unwrap();
    };
    let host = Binary::prepared(prepare, &[]);
    let path = host.outside("calc-2.0.0.wasm", &calc(2, 10));
    let (status, failure) = post(&host, "/apply", &json!({ "path": path }));
    assert_eq!(
        (status, &failure["exit"], &failure["phase"]),
        (422, &json!(4), &json!("check")),
        "{failure}"
    );
    let refusal = &failure["refusals"][0];
    assert_eq!(refusal["code"], "type-mismatch");
    assert!(!refusal["remedy"].is_null(), "{refusal}");
    for part in ["front", "calc", "calc.f`", "a: s32) -> s32", "a: s32, b: s32) -> s32"] {
        assert!(refusal["message"].as_str().unwrap().contains(part), "{part}: {refusal}");
    }
    let (_, reply) = post(&host, "/call", &json!({"module": "front", "call": "run(1)"}));
    assert_eq!(reply["value"], 11);
}

#[test]
fn events_are_lines_that_can_be_followed() {
    if !has("curl") {
        return;
    }
    let host = Binary::run(&["counter-1.0.0"], &[]);
    let (status, kept) = bytes_of(&host, "GET", "/events?since=0", None);
    assert_eq!(status, 200);
    let kept = String::from_utf8(kept).unwrap();
    let events: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence"], number + 1);
        assert!(event["time_ms"].is_u64() && event["message"].is_string(), "{event}");
    }
    assert!(events.iter().any(|event| event["kind"] == "ready"), "{kept}");
    let since = events.len();
    let mut following = curl(&host, "GET", &format!("/events?since={since}&follow=true"));
    let mut following = following.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    host.ok(&["apply", guest("counter-2.0.0").to_str().unwrap()]);
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "switched") {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(event["sequence"], since + kinds.len() + 1, "without gap or repeat");
        kinds.push(event["kind"].as_str().unwrap().to_string());
    }
    assert_eq!(kinds, ["upgrade-begun", "gated", "switched"]);
    // The stream ends with the host.
    host.ok(&["stop"]);
    assert!(lines.map(Result::unwrap).last().unwrap().contains("stopping"));
    assert!(following.wait().unwrap().success());
}

#[test]
fn states_go_out_and_come_in_as_files() {
    if !has("curl") {
        return;
    }
    let host = Binary::run(&["counter-1.0.0", "rooms-1.0.0"], &[]);
    post(&host, "/call", &json!({"module": "counter", "call": "increment(5)"}));
    let (status, file) = bytes_of(&host, "GET", "/state/counter/export", None);
    assert_eq!(status, 200);
    let header: Value = serde_json::from_slice(file.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(
        (&header["wasmhot-state"], &header["tag"]["module"]),
        (&json!(1), &json!("counter")),
        "{header}"
    );
    let shown = get(&host, "/state/counter");
    assert_eq!(
        (&shown["content"]["count"], &shown["version"]),
        (&json!(5), &json!("counter@1.0.0")),
        "{shown}"
    );
    let value = || post(&host, "/call", &json!({"module": "counter", "call": "get()"})).1["value"].clone();
    assert_eq!(ask(&host, "POST", "/state/counter/reset", None).0, 200);
    assert_eq!(value(), 0);
    let (status, shown) = bytes_of(&host, "POST", "/state/counter/import", Some(&file));
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&shown));
    assert_eq!(value(), 5);
    post(&host, "/call", &json!({"module": "counter", "call": "increment(1)"}));
    assert_eq!(ask(&host, "POST", "/state/counter/restore", None).0, 200);
    assert_eq!(value(), 5);
    // Keys may be any text.
    post(
        &host,
        "/call",
        &json!({"module": "rooms", "function": "say", "args": ["große halle/1?", "ann", "hi"]}),
    );
    let shown = get(&host, "/state/rooms?key=gro%C3%9Fe%20halle%2F1%3F");
    assert_eq!(shown["content"]["messages"][0]["text"], "hi", "{shown}");
    assert_eq!(get(&host, "/state/rooms")["keys"], json!(["große halle/1?"]));
    let (status, failure) = bytes_of(&host, "POST", "/state/counter/import", Some(b"no state"));
    let failure: Value = serde_json::from_slice(&failure).unwrap();
    assert_eq!((status, &failure["code"]), (422, &json!("not-a-state")), "{failure}");
}

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
