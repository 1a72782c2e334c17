//! Upgrades, events and states.

use super::{ask, bytes_of, curl, get, has, post};
use crate::made::{calc, front};
use crate::support::{Binary, guest};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

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
