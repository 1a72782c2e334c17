//! While an upgrade runs, drops wait and other changes are refused (R37).

use super::{quick, runs, told};
use crate::support::{Binary, World, guest, hostile, until};
use std::path::PathBuf;
use std::process::Stdio;
use wasmhot::control::protocol::{ApplyRequest, Exit, Failure, GcRequest, RemoveRequest, UndoRequest, UpgradeReport};
use wasmhot::event::{Event, EventKind};

/// Its `migrate` takes as long as a person would notice, and less than `migrate_timeout`.
fn slow() -> Vec<u8> {
    hostile("1.0.1", "migrate=sleep:2500")
}

/// An upgrade of hostile that takes its time behind the gate.
async fn upgrading(world: &World) -> tokio::task::JoinHandle<Result<UpgradeReport, Failure>> {
    let since = world.now();
    let path = world.outside().join("hostile-1.0.1.wasm");
    std::fs::write(&path, slow()).unwrap();
    let host = world.host.clone();
    let request = ApplyRequest {
        path,
        ..ApplyRequest::default()
    };
    let running = tokio::spawn(async move { host.apply(request).await });
    world.event_of(since, EventKind::Gated).await;
    running
}

fn is_busy<T: std::fmt::Debug>(answer: Result<T, Failure>) {
    let failure = answer.unwrap_err();
    assert_eq!(
        (failure.exit, failure.code.as_str()),
        (Exit::Busy, "busy"),
        "{failure:?}"
    );
    assert!(
        failure.message.contains("hostile@1.0.1"),
        "it names what runs: {failure:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r37_drops_wait_and_changing_verbs_are_refused_while_an_upgrade_runs() {
    let world = World::hostile("1.0.0", "", quick).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    let since = world.now();
    let running = upgrading(&world).await;
    world.drop_file("tally-1.0.0.wasm", &std::fs::read(guest("tally-1.0.0")).unwrap());
    is_busy(world.apply(&guest("counter-1.0.0")).await);
    is_busy(world.host.undo(UndoRequest::default()).await);
    let remove = RemoveRequest {
        module: "hostile".to_string(),
        ..RemoveRequest::default()
    };
    is_busy(world.host.remove(remove).await);
    is_busy(world.host.state_reset("hostile", None).await);
    is_busy(world.host.state_restore("hostile", None).await);
    assert!(world.host.status().busy.unwrap().contains("hostile@1.0.1"));
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.modules.len(), 1);
    let tally = |event: &Event| event.kind == EventKind::Switched && event.message.contains("tally");
    world.event(since, tally).await;
    let switched: Vec<_> = told(&world, since, EventKind::Switched);
    assert!(
        switched[0].message.contains("hostile"),
        "the drop waited: {switched:#?}"
    );
    assert_eq!(runs(&world, "hostile"), "1.0.1");
    let count: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(count, 5);
    until("nothing is busy", || world.host.status().busy.is_none()).await;
}

/// An upgrade of hostile that takes its time before any gate closes, and before it has the lock.
async fn preparing(world: &World) -> tokio::task::JoinHandle<Result<UpgradeReport, Failure>> {
    let since = world.now();
    let path = world.outside().join("hostile-1.0.1.wasm");
    std::fs::write(&path, hostile("1.0.1", "start=sleep:2500")).unwrap();
    let host = world.host.clone();
    let request = ApplyRequest {
        path,
        ..ApplyRequest::default()
    };
    let running = tokio::spawn(async move { host.apply(request).await });
    world.event_of(since, EventKind::UpgradeBegun).await;
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn r37_preparing_holds_no_lock_and_an_outdated_plan_is_made_anew() {
    let world = World::hostile("1.0.0", "", quick).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    let running = preparing(&world).await;
    let other = world.apply(&guest("counter-1.0.0")).await.unwrap();
    assert!(!running.is_finished());
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.revision, other.revision.map(|before| before + 1));
    assert_eq!(runs(&world, "hostile"), "1.0.1");
    assert_eq!(runs(&world, "counter"), "1.0.0");
    let count: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(count, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn r37_a_drop_that_is_prepared_gives_way_and_is_looked_at_again() {
    let world = World::hostile("1.0.0", "", quick).await;
    let since = world.now();
    world.drop_file("hostile-1.0.1.wasm", &hostile("1.0.1", "start=sleep:2500"));
    world.event_of(since, EventKind::UpgradeBegun).await;
    world.apply(&guest("counter-1.0.0")).await.unwrap();
    let hostile = |event: &Event| event.kind == EventKind::Switched && event.message.contains("hostile");
    world.event(since, hostile).await;
    assert_eq!(
        (runs(&world, "hostile"), runs(&world, "counter")),
        ("1.0.1".to_string(), "1.0.0".to_string())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn gc_while_an_upgrade_is_prepared_never_leaves_a_revision_without_its_bytes() {
    let world = World::hostile("1.0.0", "", quick).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    let running = preparing(&world).await;
    let swept = world.host.gc(GcRequest::default()).await.unwrap();
    assert_eq!(swept.objects.len(), 1, "nothing names it yet: {swept:?}");
    let failure = running.await.unwrap().unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.exit),
        ("bytes-gone", Exit::Busy),
        "{failure:?}"
    );
    assert_eq!(runs(&world, "hostile"), "1.0.0");
    preparing(&world).await.await.unwrap().unwrap();
    let world = world.restart_with(quick).await;
    assert_eq!(runs(&world, "hostile"), "1.0.1");
    let count: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(count, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_is_prepared_when_the_host_stops_does_not_happen() {
    let world = World::hostile("1.0.0", "", quick).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    let running = preparing(&world).await;
    world.host.stop().await;
    let failure = running.await.unwrap().unwrap_err();
    assert_eq!(failure.code, "stopping", "{failure:?}");
    let world = world.restart_with(quick).await;
    assert_eq!(runs(&world, "hostile"), "1.0.0");
    let count: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(count, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn r37_a_stop_waits_for_the_upgrade_that_runs() {
    let world = World::hostile("1.0.0", "", quick).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    let running = upgrading(&world).await;
    let stopped = world.host.stop().await;
    assert!(stopped.not_saved.is_empty(), "{stopped:?}");
    running.await.unwrap().unwrap();
    let world = world.restart_with(quick).await;
    assert_eq!(runs(&world, "hostile"), "1.0.1");
    let count: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(count, 5);
}

#[test]
fn r37_the_command_line_exits_5_and_names_the_upgrade() {
    let host = Binary::prepared(
        |app| std::fs::write(app.join("hostile-1.0.0.wasm"), hostile("1.0.0", "")).unwrap(),
        &[],
    );
    host.ok(&["call", "hostile", "increment(5)"]);
    let file: PathBuf = host.root().join("hostile-1.0.1.wasm");
    std::fs::write(&file, slow()).unwrap();
    let mut apply = crate::support::command(host.root());
    apply
        .arg("apply")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut running = apply.spawn().unwrap();
    let begin = std::time::Instant::now();
    while !host.ok(&["events"]).contains("gated") {
        assert!(begin.elapsed() < crate::support::HANG, "the gate never closed");
    }
    let (exit, said) = host.fails(&["apply", guest("counter-1.0.0").to_str().unwrap()]);
    assert_eq!(exit, 5, "{said}");
    assert!(said.contains("hostile@1.0.1"), "{said}");
    let (exit, said) = host.fails(&["undo"]);
    assert_eq!(exit, 5, "{said}");
    assert!(running.wait().unwrap().success());
    assert_eq!(host.ok(&["call", "hostile", "get()"]).trim(), "5");
}
