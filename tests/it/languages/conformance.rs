//! The same checks for each language, on one host for each: what is slow (a Python is 18 MB of code) is compiled once.

use super::{ASSEMBLYSCRIPT, C, GO, JAVASCRIPT, Language, PYTHON, RUST, WAT, ZIG};
use crate::support::{HANG, World};
use std::time::Duration;
use wasmhot::Host;
use wasmhot::control::protocol::CallRequest;
use wasmhot::error::{CallErrorCode, Executed};
use wasmhot::event::EventKind;
use wasmhot::value::Value;
use wasmhot_appup::LimitsSpec;

const MEMORY_MAX: u64 = 192 << 20;
const LARGE: u32 = 5_000_000;
/// More than [`MEMORY_MAX`].
const TOO_LARGE: u32 = 400_000_000;

/// Calls in WAVE, and what they answer: every type of the contract, one after another on a new counter.
const TALK: [(&str, &str); 20] = [
    ("increment(5)", "5"),
    ("increment(-8)", "-3"),
    ("get()", "-3"),
    (r#"greet("é😀")"#, r#""hello, é😀!""#),
    (r#"greet("")"#, r#""hello, !""#),
    ("summarize()", "{count: -3, even: false, half: -1.5}"),
    (r#"take(note(""))"#, r#"err("a note is not empty")"#),
    (r#"take(note("né😀"))"#, "ok"),
    ("take(add(3))", "ok"),
    ("summarize()", r#"{count: 0, even: true, half: 0, note: some("né😀")}"#),
    ("take(set(-9007199254740991))", "ok"),
    ("get()", "-9007199254740991"),
    ("take(clear)", "ok"),
    ("summarize()", "{count: 0, even: true, half: 0}"),
    (
        "mirror({small: 255, signed: -32768, medium: 4294967295, large: 9007199254740991, single: 1.5, double: -2.25, letter: '😀', flag: true})",
        "{small: 255, signed: -32768, medium: 4294967295, large: 9007199254740991, single: 1.5, double: -2.25, letter: '😀', flag: true}",
    ),
    ("echo([])", "[]"),
    ("echo([0, 127, 128, 255])", "[0, 127, 128, 255]"),
    ("grow(0)", ""),
    ("summarize()", r#"{count: 0, even: true, half: 0, note: some("")}"#),
    ("take(clear)", "ok"),
];

/// Bytes that are no state, or none of this module.
const BAD: [(&str, &[u8]); 14] = [
    ("nothing", b""),
    ("text", b"no state"),
    ("an array", b"\x82\x65count\x00"),
    ("an empty map", b"\xa0"),
    ("cut short", b"\xa2\x65count\x05\x64note\x63ab"),
    ("a part is missing", b"\xa1\x64note\xf6"),
    ("one part twice, and one is missing", b"\xa2\x65count\x05\x65count\x05"),
    ("an unknown part", b"\xa3\x65count\x05\x64note\xf6\x64else\x01"),
    ("bytes left over", b"\xa2\x65count\x05\x64note\xf6\x00"),
    ("a text for a number", b"\xa2\x65count\x61a\x64note\xf6"),
    ("a number for a text", b"\xa2\x65count\x05\x64note\x05"),
    ("not UTF-8", b"\xa2\x65count\x05\x64note\x62\xc3\x28"),
    (
        "a length that lies",
        b"\xa2\x65count\x05\x64note\x7b\x7f\xff\xff\xff\xff\xff\xff\xff",
    ),
    (
        "a number beyond s64",
        b"\xa2\x65count\x1b\xff\xff\xff\xff\xff\xff\xff\xff\x64note\xf6",
    ),
];

/// States as other writers of CBOR would write them, and what they are.
const GOOD: [(&[u8], &str); 4] = [
    (b"\xa2\x65count\x05\x64note\xf6", "{count: 5, even: false, half: 2.5}"),
    (
        b"\xa2\x64note\x66\xc3\xa9\xf0\x9f\x98\x80\x65count\x38\x63",
        r#"{count: -100, even: true, half: -50, note: some("é😀")}"#,
    ),
    (
        b"\xa2\x65count\x1a\x00\x01\x86\xa0\x64note\x78\x01a",
        r#"{count: 100000, even: true, half: 50000, note: some("a")}"#,
    ),
    (
        b"\xa2\x78\x05count\x19\x01\x00\x79\x00\x04note\x7a\x00\x00\x00\x02hi",
        r#"{count: 256, even: true, half: 128, note: some("hi")}"#,
    ),
];

fn limits() -> LimitsSpec {
    LimitsSpec {
        // For the call that never ends.
        stuck_timeout: Some(Duration::from_secs(5)),
        // Saved is what this test saves.
        save_interval: Some(60 * HANG),
        memory_max: Some(MEMORY_MAX),
        ..super::patient()
    }
}

async fn keeps_the_contract(language: &'static Language) {
    let Some(built) = tokio::task::spawn_blocking(|| language.built()).await.unwrap() else {
        return;
    };
    let first = ("counter-1.0.0.wasm".to_string(), built.first.clone());
    let world = World::of_files(&[first], |builder| builder.limits(limits())).await;
    let host = &world.host;
    talks(host).await;
    gives_back_large_lists(host).await;
    let state = saves_a_large_state(host).await;
    moves(&world, "1.1.0", &built.second, &state, "howdy").await;
    serves_on(host, "howdy").await;
    moves(&world, "1.0.0", &built.first, &state, "hello").await;
    serves_on(host, "hello").await;
    refuses_bad_states(host).await;
    reads_good_states(host).await;
    traps_and_is_restored(&world).await;
    ends_at_its_limits(&world).await;
}

async fn answer(host: &Host, call: &str) -> String {
    let request = CallRequest {
        module: "counter".into(),
        call: Some(call.into()),
        function: None,
        args: None,
        deadline_ms: None,
    };
    match host.call_text(request).await {
        Ok(reply) => reply.wave.unwrap_or_default(),
        Err(error) => panic!("{call}: {error}"),
    }
}

async fn count(host: &Host) -> i64 {
    host.call("counter", "get", ()).await.unwrap()
}

async fn set(host: &Host, count: i64) {
    assert_eq!(answer(host, &format!("take(set({count}))")).await, "ok");
}

async fn talks(host: &Host) {
    for (call, expected) in TALK {
        assert_eq!(answer(host, call).await, expected, "{call}");
    }
}

async fn gives_back_large_lists(host: &Host) {
    let numbers = (0..50_200_u32).map(|place| place.wrapping_mul(2_654_435_761).to_be_bytes()[0]);
    let bytes: Vec<u8> = numbers.collect();
    for round in 0..200 {
        let sent = &bytes[round..][..50_000];
        let back: Vec<u8> = host.call("counter", "echo", (sent,)).await.unwrap();
        assert!(back == sent, "list {round} came back otherwise");
    }
}

/// As values: the text of a large one takes long to write.
async fn summary(host: &Host) -> Option<Value> {
    host.call_values("counter", "summarize", Vec::new(), None)
        .await
        .unwrap()
}

/// Saved it is, and the instance serves on.
async fn saves_a_large_state(host: &Host) -> Value {
    set(host, -42).await;
    let () = host.call("counter", "grow", (LARGE,)).await.unwrap();
    for _ in 0..3 {
        let exported = host.state_export("counter", None).await.unwrap();
        assert!(exported.len() > LARGE as usize);
    }
    let now: i64 = host.call("counter", "increment", (1_i64,)).await.unwrap();
    assert_eq!(now, -41);
    let note: String = ('a'..='z').cycle().take(LARGE as usize).collect();
    let note = Value::some(Value::String(note));
    let expected = Value::Record(vec![Value::S64(-41), Value::Bool(false), Value::F64(-20.5), note]);
    assert!(summary(host).await.as_ref() == Some(&expected), "`save` has changed it");
    expected
}

/// To another version, which has the state, and greets in its way.
async fn moves(world: &World, version: &str, bytes: &[u8], expected: &Value, greeting: &str) {
    let report = world
        .apply_bytes(&format!("counter-{version}.wasm"), bytes)
        .await
        .unwrap();
    assert_eq!(report.modules[0].action, "update", "{report:#?}");
    assert!(report.modules[0].state_bytes > Some(LARGE.into()), "{report:#?}");
    let host = &world.host;
    assert!(
        summary(host).await.as_ref() == Some(expected),
        "{version} has another state"
    );
    assert_eq!(answer(host, r#"greet("é")"#).await, format!(r#""{greeting}, é!""#));
}

/// What a language does with memory shows after many calls only.
async fn serves_on(host: &Host, greeting: &str) {
    for call in 1..=2000_i64 {
        let now: i64 = host.call("counter", "increment", (1_i64,)).await.unwrap();
        assert_eq!(now, call - 41);
        if call % 10 == 0 {
            let name = "x".repeat(1000);
            let greeted: String = host.call("counter", "greet", (name.as_str(),)).await.unwrap();
            assert_eq!(greeted, format!("{greeting}, {name}!"));
        }
    }
    gives_back_large_lists(host).await;
    set(host, -41).await;
}

/// An exported state that says that this version has written these bytes.
async fn forged(host: &Host, version: &str, bytes: &[u8]) -> Vec<u8> {
    let exported = host.state_export("counter", None).await.unwrap();
    let end = exported.iter().position(|byte| *byte == b'\n').unwrap();
    let mut header: serde_json::Value = serde_json::from_slice(&exported[..end]).unwrap();
    header["tag"]["size"] = bytes.len().into();
    assert_eq!(header["tag"]["version"]["version"], "1.0.0");
    if version != "1.0.0" {
        header["tag"]["version"]["version"] = version.into();
        header["tag"]["version"]["digest"] = "0".repeat(64).into();
    }
    let mut file = serde_json::to_vec(&header).unwrap();
    file.push(b'\n');
    file.extend(bytes);
    file
}

async fn refuses_bad_states(host: &Host) {
    set(host, 12).await;
    // 0.9.0 may have had any format, so it is not read even if it looks familiar.
    let of_others = ("of another version", "0.9.0", GOOD[0].0);
    for (what, version, bytes) in BAD
        .map(|(what, bytes)| (what, "1.0.0", bytes))
        .into_iter()
        .chain([of_others])
    {
        let file = forged(host, version, bytes).await;
        let failure = host.state_import("counter", None, file).await.unwrap_err();
        assert_eq!(failure.code, "state-unreadable", "{what}: {failure}");
        assert!(
            failure.message.contains("migrate said"),
            "{what}: it did not say no, but: {failure}"
        );
        assert_eq!(count(host).await, 12, "{what}");
    }
}

async fn reads_good_states(host: &Host) {
    for (bytes, expected) in GOOD {
        let file = forged(host, "1.0.0", bytes).await;
        host.state_import("counter", None, file).await.unwrap();
        assert_eq!(answer(host, "summarize()").await, expected);
    }
}

/// A call that fails with this code, may have been executed, and costs what was not saved.
async fn fails(world: &World, function: &str, args: Vec<Value>, code: CallErrorCode) {
    let host = &world.host;
    set(host, 30).await;
    host.state_export("counter", None).await.unwrap();
    set(host, 31).await;
    let since = world.now();
    let error = host.call_values("counter", function, args, None).await.unwrap_err();
    assert_eq!(
        (error.code, error.executed),
        (code, Executed::Unknown),
        "{function}: {error}"
    );
    world.event_of(since, EventKind::Restored).await;
    assert_eq!(count(host).await, 30, "after {function}");
    assert_eq!(answer(host, r#"greet("é")"#).await, r#""hello, é!""#);
}

async fn traps_and_is_restored(world: &World) {
    for _ in 0..2 {
        fails(world, "fail", Vec::new(), CallErrorCode::Trapped).await;
    }
}

async fn ends_at_its_limits(world: &World) {
    let size = vec![Value::U32(TOO_LARGE)];
    fails(world, "grow", size, CallErrorCode::Trapped).await;
    fails(world, "spin", Vec::new(), CallErrorCode::Stuck).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_keeps_the_contract() {
    keeps_the_contract(&RUST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c_keeps_the_contract() {
    keeps_the_contract(&C).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zig_keeps_the_contract() {
    keeps_the_contract(&ZIG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go_keeps_the_contract() {
    keeps_the_contract(&GO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_keeps_the_contract() {
    keeps_the_contract(&JAVASCRIPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_keeps_the_contract() {
    keeps_the_contract(&PYTHON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn assemblyscript_keeps_the_contract() {
    keeps_the_contract(&ASSEMBLYSCRIPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wat_keeps_the_contract() {
    keeps_the_contract(&WAT).await;
}
