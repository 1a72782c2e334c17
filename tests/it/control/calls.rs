//! Calls, in WAVE and in JSON.

use super::{has, post};
use crate::support::{Binary, hostile};
use serde_json::json;
use std::path::Path;

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
fn r12_a_call_that_fails_says_why_and_whether_it_was_executed() {
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
