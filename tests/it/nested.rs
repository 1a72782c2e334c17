//! Modules call modules: what a tree sees (P2, R20), who passes a gate (R21, R22), what a failure does (R13), circles (R15).

use crate::support::{HANG, World, guest, until};
use std::path::PathBuf;
use std::sync::Arc;
use wasmhot::control::protocol::{CallRequest, Exit};
use wasmhot::error::{CallError, CallErrorCode, Executed};
use wasmhot::event::EventKind;
use wasmhot::{Host, HostBuilder};
use wasmhot_appup::LimitsSpec;

const KEYED_WALKER: &str = r#"
format = 1
[release]
name = "walks"
version = "1.0.0"
[[modules]]
name = "walker"
kind = "keyed"
path = "walker-1.0.0.wasm"
[modules.links]
"demo:walker/walk" = "walker"
"#;

const JOINT: &str = r#"
format = 1
[release]
name = "chain"
to = "2.0.0"
[[modules]]
name = "back"
path = "back-2.0.0.wasm"
[[modules]]
name = "front"
path = "front-2.0.0.wasm"
[[up]]
update = "back"
[[up]]
load_module = "front"
[[down]]
load_module = "front"
[[down]]
update = "back"
"#;

/// A stateless module of one function, `answer`: a plain core module.
fn aide(body: &str) -> Vec<u8> {
    let text = format!(r#"(module (func (export "answer") (result i32) {body}))"#);
    wat::parse_str(text).unwrap()
}

/// `front` (pool) calls `back` (single), both call `aide` (pool).
async fn chain() -> World {
    chain_with(|builder| builder).await
}

/// Nothing gives way, however long this machine takes.
async fn patient_chain() -> World {
    let patient = LimitsSpec {
        max_pause: Some(HANG),
        quiesce_timeout: Some(HANG),
        ..LimitsSpec::default()
    };
    chain_with(|builder| builder.limits(patient)).await
}

async fn chain_with(settings: impl FnOnce(HostBuilder) -> HostBuilder) -> World {
    let files = [
        ("front-1.0.0.wasm".into(), std::fs::read(guest("front-1.0.0")).unwrap()),
        ("back-1.0.0.wasm".into(), std::fs::read(guest("back-1.0.0")).unwrap()),
        ("aide-1.0.0.wasm".into(), aide("i32.const 1")),
    ];
    World::of_files(&files, settings).await
}

/// The joint move of `front` and `back`, as a relup.
fn joint(world: &World) -> PathBuf {
    let outside = world.outside();
    for name in ["front-2.0.0", "back-2.0.0"] {
        std::fs::copy(guest(name), outside.join(format!("{name}.wasm"))).unwrap();
    }
    let path = outside.join("relup.toml");
    std::fs::write(&path, JOINT).unwrap();
    path
}

/// What the steps gave, or what `front` said.
async fn run(host: &Host, steps: &[&str]) -> Result<Result<Vec<String>, String>, CallError> {
    let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
    host.call("front", "run", (steps,)).await
}

fn running(host: &Host, module: &str) -> bool {
    let status = host.status();
    status
        .modules
        .iter()
        .any(|found| found.module == module && found.running > 0)
}

async fn walk(host: &Host, key: &str, way: &[&str], milliseconds: u64) -> Result<Result<u64, String>, CallError> {
    let way: Vec<String> = way.iter().map(ToString::to_string).collect();
    host.call("walker", "walk", (key, way, milliseconds)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn r07_modules_call_each_other_through_the_router() {
    let world = chain().await;
    let gave = run(
        &world.host,
        &["version", "back", "hit", "hit", "count", "answer", "via"],
    )
    .await;
    assert_eq!(gave.unwrap().unwrap(), ["1.0.0", "1.0.0", "1", "2", "2", "1", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn r13_a_failed_nested_call_is_an_err_where_the_type_has_one() {
    let world = chain().await;
    let said = run(&world.host, &["hit", "may:trap"]).await.unwrap().unwrap_err();
    assert!(said.contains("trapped"), "{said}");
    // The callee's own `err` is a value like any other.
    let said = run(&world.host, &["may:err"]).await.unwrap().unwrap_err();
    assert_eq!(said, "back: err");

    let world = World::release(KEYED_WALKER, &["walker-1.0.0"]).await;
    let said = walk(&world.host, "a", &["b!"], 0).await.unwrap().unwrap_err();
    assert!(said.contains("trapped"), "{said}");
    let visits: u64 = world.host.call("walker", "visits", ("a",)).await.unwrap();
    assert_eq!(visits, 1, "the caller has kept its state");
}

#[tokio::test(flavor = "multi_thread")]
async fn r13_else_it_traps_the_caller() {
    let world = chain().await;
    let error = run(&world.host, &["must:trap"]).await.unwrap_err();
    assert_eq!(
        (error.code, error.executed),
        (CallErrorCode::Trapped, Executed::Unknown),
        "{error}"
    );
    assert_eq!(error.module.as_deref(), Some("front"));
    assert!(error.message.contains("must"), "the nested call is named: {error}");
    assert!(
        run(&world.host, &["version"]).await.unwrap().is_ok(),
        "another instance serves"
    );

    // A stateful caller is lost with it, and R14 follows.
    let since = world.now();
    world
        .apply_bytes("aide-1.0.1.wasm", &aide("unreachable"))
        .await
        .unwrap();
    let error = world.host.call::<_, i32>("back", "via", ()).await.unwrap_err();
    assert_eq!(
        (error.code, error.module.as_deref()),
        (CallErrorCode::Trapped, Some("back")),
        "{error}"
    );
    world
        .event(since, |event| {
            event.kind == EventKind::Trapped && event.module.as_deref() == Some("back")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r13_check_warns_of_edges_that_cannot_report_a_failure() {
    let world = chain().await;
    let report = world.apply(&joint(&world)).await.unwrap();
    let warned = report.warnings.join("\n");
    assert!(warned.contains("back") && warned.contains("answer"), "{warned}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r15_a_tree_that_would_wait_for_itself_is_told_so() {
    let world = World::release(KEYED_WALKER, &["walker-1.0.0"]).await;
    let said = walk(&world.host, "a", &["b", "c", "b"], 0).await.unwrap().unwrap_err();
    assert!(said.contains("deadlock"), "{said}");
    assert!(
        said.contains(r#"walker "b""#) && said.contains(r#"walker "c""#),
        "names the circle: {said}"
    );
    // Nothing is left behind.
    assert_eq!(walk(&world.host, "a", &["b", "c"], 0).await.unwrap(), Ok(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn r15_of_two_trees_that_would_wait_for_each_other_one_fails() {
    let world = World::release(KEYED_WALKER, &["walker-1.0.0"]).await;
    let mut found = false;
    for _ in 0..50 {
        let (one, other) = tokio::join!(walk(&world.host, "a", &["b"], 50), walk(&world.host, "b", &["a"], 50));
        let failed: Vec<String> = [one.unwrap(), other.unwrap()]
            .into_iter()
            .filter_map(Result::err)
            .collect();
        // The one that fails lets the other go on.
        assert!(failed.len() < 2, "{failed:?}");
        if let Some(said) = failed.first() {
            assert!(said.contains("deadlock"), "{said}");
            assert!(
                said.contains(r#"walker "a""#) && said.contains(r#"walker "b""#),
                "{said}"
            );
            found = true;
            break;
        }
    }
    assert!(found, "the two never met");
}

#[tokio::test(flavor = "multi_thread")]
async fn r15_an_import_circle_with_a_single_module_is_refused() {
    let toml = KEYED_WALKER.replace("keyed", "single");
    let root = tempfile::tempdir().unwrap();
    std::fs::copy(guest("walker-1.0.0"), root.path().join("walker-1.0.0.wasm")).unwrap();
    std::fs::write(root.path().join("release.toml"), toml).unwrap();
    let failure = Host::builder()
        .source(root.path().join("release.toml"))
        .start()
        .await
        .unwrap_err();
    assert_eq!(
        (failure.exit, failure.code.as_str()),
        (Exit::Refused, "import-cycle"),
        "{failure}"
    );
    assert!(failure.message.contains("walker → walker"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r20_a_tree_sees_one_version_of_a_stateless_module() {
    let world = chain().await;
    let host = world.host.clone();
    let tree = tokio::spawn(async move { run(&host, &["answer", "until:1", "answer", "via", "version"]).await });
    until("the tree runs", || running(&world.host, "front")).await;
    world
        .apply_bytes("aide-2.0.0.wasm", &aide("i32.const 2"))
        .await
        .unwrap();
    assert_eq!(run(&world.host, &["answer", "via"]).await.unwrap().unwrap(), ["2", "2"]);
    let _: u64 = world.host.call("back", "hit", (1_u64,)).await.unwrap();
    assert_eq!(tree.await.unwrap().unwrap().unwrap(), ["1", "", "1", "1", "1.0.0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn r20_an_instance_made_later_sees_the_revision_that_made_it() {
    let world = chain().await;
    let host = world.host.clone();
    let tree = tokio::spawn(async move { run(&host, &["until:1", "answer", "via", "answer"]).await });
    until("the tree runs", || running(&world.host, "front")).await;
    // A restart of `back` in the same switch as a new `aide`: the live instance of `back` is of revision 2.
    let outside = world.outside();
    std::fs::write(outside.join("aide-2.0.0.wasm"), aide("i32.const 2")).unwrap();
    let back = std::fs::read(guest("back-1.0.0")).unwrap();
    std::fs::write(outside.join("back-1.0.0.wasm"), other_bytes(&back)).unwrap();
    let toml = r#"
format = 1
[release]
name = "chain"
to = "1.1.0"
[[modules]]
name = "back"
path = "back-1.0.0.wasm"
[[modules]]
name = "aide"
path = "aide-2.0.0.wasm"
[[up]]
update = "back"
[[up]]
load_module = "aide"
"#;
    std::fs::write(outside.join("relup.toml"), toml).unwrap();
    world.apply(&outside.join("relup.toml")).await.unwrap();
    let _: u64 = world.host.call("back", "hit", (1_u64,)).await.unwrap();
    assert_eq!(tree.await.unwrap().unwrap().unwrap(), ["", "1", "2", "1"]);
}

/// The same code with other bytes: another version by its digest.
fn other_bytes(bytes: &[u8]) -> Vec<u8> {
    // A custom section: id 0, size 3, a name of one byte, one byte.
    let mut other = bytes.to_vec();
    other.extend_from_slice(&[0, 3, 1, b'x', 0]);
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn r21_a_tree_inside_the_gated_set_passes_the_gate() {
    let world = patient_chain().await;
    let host = world.host.clone();
    // It has not hit `back` yet when the gates close, and needs the old one.
    let tree = tokio::spawn(async move { run(&host, &["pause:1", "sleep:3000", "hit", "hit", "version"]).await });
    until("the tree runs", || running(&world.host, "front")).await;
    let since = world.now();
    let relup = joint(&world);
    let applying = {
        let host = world.host.clone();
        tokio::spawn(async move {
            let request = wasmhot::control::protocol::ApplyRequest {
                path: relup,
                ..Default::default()
            };
            host.apply(request).await
        })
    };
    let gated = world.event_of(since, EventKind::Gated).await;
    assert!(
        gated.message.contains("back") && gated.message.contains("front"),
        "{gated:?}"
    );
    // R22: a new call to `front` could reach `back` by the edge that changes: it waits, and is answered by the new version.
    let late = run(&world.host, &["version", "back", "hit"]).await;
    assert_eq!(late.unwrap().unwrap(), ["2.0.0", "2.0.0", "3"]);
    assert_eq!(tree.await.unwrap().unwrap().unwrap()[2..], ["1", "2", "1.0.0"]);
    let report = applying.await.unwrap().unwrap();
    assert!(report.waited > 0 && report.on_old > 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r22_a_compatible_change_gates_only_the_module_itself() {
    let world = chain().await;
    let since = world.now();
    let back = std::fs::read(guest("back-1.0.0")).unwrap();
    world.apply_bytes("back-1.0.0.wasm", &other_bytes(&back)).await.unwrap();
    let gated = world.event_of(since, EventKind::Gated).await;
    assert!(gated.message.ends_with("wait: back"), "{gated:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r22_half_of_a_joint_move_is_refused_with_names_and_types() {
    let world = chain().await;
    for (name, types) in [
        ("back-2.0.0", ["func(by: u64)", "func(by: u64, note: string)"]),
        ("front-2.0.0", ["func(by: u64)", "func(by: u64, note: string)"]),
    ] {
        let failure = world.apply(&guest(name)).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Refused, "{failure}");
        for part in ["front", "back", "hit", types[0], types[1]] {
            assert!(failure.message.contains(part), "{part} is not in {failure}");
        }
    }
    assert_eq!(
        run(&world.host, &["version", "back"]).await.unwrap().unwrap(),
        ["1.0.0", "1.0.0"]
    );
    assert_eq!(world.host.status().revision, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn r25_a_waiting_call_that_no_longer_fits_is_told_so_and_not_executed() {
    let world = patient_chain().await;
    let request = |dry_run| wasmhot::control::protocol::ApplyRequest {
        path: joint(&world),
        dry_run,
        ..Default::default()
    };
    // Compiled before the clock of the pause runs.
    world.host.apply(request(true)).await.unwrap();
    let host = world.host.clone();
    let pause = tokio::spawn(async move { host.call::<_, u64>("back", "pause", (3000_u64,)).await });
    until("the pause runs", || running(&world.host, "back")).await;
    let since = world.now();
    let (host, request) = (world.host.clone(), request(false));
    let applying = tokio::spawn(async move { host.apply(request).await });
    world.event_of(since, EventKind::Gated).await;
    let (fits, fits_not, text) = tokio::join!(
        world.host.call::<_, String>("back", "version", ()),
        world.host.call::<_, u64>("back", "hit", (1_u64,)),
        world.host.call_text(CallRequest {
            module: "back".into(),
            call: Some("hit(1)".into()),
            function: None,
            args: None,
            deadline_ms: None,
        })
    );
    assert_eq!(fits.unwrap(), "2.0.0");
    for error in [fits_not.unwrap_err(), text.unwrap_err()] {
        assert_eq!(
            (error.code, error.executed),
            (CallErrorCode::InterfaceChanged, Executed::NotExecuted),
            "{error}"
        );
    }
    assert_eq!(pause.await.unwrap().unwrap(), 3000);
    applying.await.unwrap().unwrap();
    let count: u64 = world.host.call("back", "count", ()).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_trees_under_load_never_see_a_mix() {
    let world = Arc::new(chain().await);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (world, stop) = (Arc::clone(&world), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut calls = 0_u64;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let gave = run(&world.host, &["version", "hit", "back", "hit", "version"]).await;
                    let gave = gave.unwrap().unwrap();
                    // A tree of the old `front` is answered by the old `back` throughout: the edge changes incompatibly.
                    assert!(gave[0] == gave[2] && gave[0] == gave[4], "{gave:?}");
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    let relup = joint(&world);
    for _ in 0..5 {
        world.apply(&relup).await.unwrap();
        world.host.undo(Default::default()).await.unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut calls = 0;
    for client in clients {
        calls += client.await.unwrap();
    }
    let count: u64 = world.host.call("back", "count", ()).await.unwrap();
    assert!(calls > 0);
    assert_eq!(count, calls * 2, "every hit is counted once");
}
