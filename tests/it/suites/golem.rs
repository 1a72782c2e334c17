//! Cases of Golem's `hot_update.rs` and `revert.rs`. What Golem calls an automatic update replays the past on new code; here there is one
//! way: the state is handed over.

use super::{add, apply, count, counter, undo, version};
use crate::support::{World, guest, hostile, until};
use wasmhot::control::protocol::{ApplyRequest, Exit, StateSource, UndoRequest};

async fn hostile_at_5() -> World {
    let world = World::hostile("1.0.0", "", |builder| builder).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    world
}

async fn value(world: &World) -> i64 {
    world.host.call("hostile", "get", ()).await.unwrap()
}

/// An upgrade while a call runs: the call ends on the old version, the next is answered by the new one.
async fn while_running(plan: &str) -> (World, Result<Option<u64>, String>) {
    let world = hostile_at_5().await;
    let host = world.host.clone();
    let call = tokio::spawn(async move {
        host.call::<_, Result<String, String>>("hostile", "fault", ("sleep:300",))
            .await
    });
    until("it runs", || world.host.status().modules[0].running == 1).await;
    let applied = world.apply_bytes("hostile-1.0.1.wasm", &hostile("1.0.1", plan)).await;
    assert!(call.await.unwrap().is_ok(), "the call that ran is answered");
    (
        world,
        applied.map(|report| report.revision).map_err(|failure| failure.message),
    )
}

/// Theirs: an update of a running worker
/// Ours: an upgrade while a call runs: that call is answered, the state is handed over
#[tokio::test(flavor = "multi_thread")]
async fn auto_update_on_running() {
    let (world, applied) = while_running("").await;
    assert_eq!(applied, Ok(Some(2)));
    assert_eq!(
        (value(&world).await, world.host.status().modules[0].version.as_str()),
        (5, "1.0.1")
    );
}

/// Theirs: an update of an idle worker
/// Ours: an upgrade while nothing is called
#[tokio::test(flavor = "multi_thread")]
async fn auto_update_on_idle() {
    let world = counter().await;
    apply(&world, "counter-1.1.0").await;
    assert_eq!((version(&world).await.as_str(), count(&world).await), ("1.1.0", 5));
}

/// Theirs: an update that fails leaves an idle worker on the old version
/// Ours: so here
#[tokio::test(flavor = "multi_thread")]
async fn failing_auto_update_on_idle() {
    let world = hostile_at_5().await;
    let failed = world
        .apply_bytes("hostile-1.0.1.wasm", &hostile("1.0.1", "migrate=trap"))
        .await
        .unwrap_err();
    assert!(failed.message.contains("migrate"), "{failed:?}");
    assert_eq!(
        (value(&world).await, world.host.status().modules[0].version.as_str()),
        (5, "1.0.0")
    );
}

/// Theirs: an update after a history that the new code would have had too
/// Ours: a version with other code and the same state
#[tokio::test(flavor = "multi_thread")]
async fn auto_update_on_idle_with_non_diverging_history() {
    let world = hostile_at_5().await;
    for _ in 0..20 {
        let _: i64 = world.host.call("hostile", "increment", (1_i64,)).await.unwrap();
    }
    world
        .apply_bytes("hostile-1.0.1.wasm", &hostile("1.0.1", ""))
        .await
        .unwrap();
    assert_eq!(value(&world).await, 25);
}

/// Theirs: an update that fails leaves a running worker on the old version
/// Ours: and the call that runs is answered
#[tokio::test(flavor = "multi_thread")]
async fn failing_auto_update_on_running() {
    let (world, applied) = while_running("migrate=err").await;
    assert!(applied.unwrap_err().contains("migrate"));
    assert_eq!(
        (value(&world).await, world.host.status().modules[0].version.as_str()),
        (5, "1.0.0")
    );
}

/// Theirs: an update by snapshot
/// Ours: the state takes another form: a field is renamed and retyped
#[tokio::test(flavor = "multi_thread")]
async fn manual_update_on_idle() {
    let world = counter().await;
    apply(&world, "counter-2.0.0").await;
    let described: String = world.host.call("counter", "describe", ()).await.unwrap();
    assert_eq!(described, "count = 5");
}

/// Theirs: old code without a save function cannot be updated by snapshot
/// Ours: old code that cannot save is replaced with the last saved state, or empty, if that is asked for
#[tokio::test(flavor = "multi_thread")]
async fn manual_update_on_idle_without_save_snapshot() {
    let world = World::hostile("1.0.0", "save=err", |builder| builder).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    let failure = world
        .apply_bytes("hostile-1.0.1.wasm", &hostile("1.0.1", ""))
        .await
        .unwrap_err();
    assert_eq!(failure.phase.as_deref(), Some("save"), "{failure:?}");
    assert_eq!(value(&world).await, 5);
    let request = ApplyRequest {
        path: world.outside().join("hostile-1.0.1.wasm"),
        state: StateSource::Empty,
        allow_lossy: true,
        ..ApplyRequest::default()
    };
    world.host.apply(request).await.unwrap();
    assert_eq!(value(&world).await, 0);
}

/// Theirs: an update of a running worker, then one by snapshot
/// Ours: an upgrade while a call runs, then another
#[tokio::test(flavor = "multi_thread")]
async fn auto_update_on_running_followed_by_manual() {
    let (world, applied) = while_running("").await;
    assert_eq!(applied, Ok(Some(2)));
    world
        .apply_bytes("hostile-1.0.2.wasm", &hostile("1.0.2", ""))
        .await
        .unwrap();
    assert_eq!(
        (value(&world).await, world.host.status().modules[0].version.as_str()),
        (5, "1.0.2")
    );
}

/// Theirs: the new version cannot load the snapshot
/// Ours: `migrate` says err: nothing has changed, and the reason is told
#[tokio::test(flavor = "multi_thread")]
async fn manual_update_on_idle_with_failing_load() {
    let world = hostile_at_5().await;
    let failure = world
        .apply_bytes("hostile-1.0.1.wasm", &hostile("1.0.1", "migrate=err"))
        .await
        .unwrap_err();
    assert!([Exit::Failed, Exit::CalledOff].contains(&failure.exit), "{failure:?}");
    assert!(world.host.status().last_called_off.unwrap().contains("migrate"));
    assert_eq!(value(&world).await, 5);
}

/// Theirs: an update to a version that does not exist
/// Ours: a file that is not there
#[tokio::test(flavor = "multi_thread")]
async fn auto_update_on_idle_to_non_existing() {
    let world = counter().await;
    let failure = world
        .apply(&world.outside().join("counter-9.0.0.wasm"))
        .await
        .unwrap_err();
    assert!(
        failure.exit == Exit::Refused && failure.message.contains("counter-9.0.0.wasm"),
        "{failure:?}"
    );
    assert_eq!((version(&world).await.as_str(), count(&world).await), ("1.0.0", 5));
}

/// Theirs: a worker is invoked after an update by snapshot and a restart of the executor
/// Ours: the same, with what was written in between
#[tokio::test(flavor = "multi_thread")]
async fn agent_can_be_invoked_after_manual_snapshot_update_and_restart() {
    let world = counter().await;
    apply(&world, "counter-2.0.0").await;
    add(&world, 1).await;
    let world = world.restart().await;
    assert_eq!((version(&world).await.as_str(), add(&world, 1).await), ("2.0.0", 7));
}

/// Theirs: an update is reverted: the worker is on the old version with the state of before
/// Ours: it is undone: on the old version with the state of now; or, if that is asked for, with the one saved last
#[tokio::test(flavor = "multi_thread")]
async fn revert_auto_update() {
    let world = counter().await;
    apply(&world, "counter-2.0.0").await;
    add(&world, 3).await;
    undo(&world).await;
    assert_eq!((version(&world).await.as_str(), count(&world).await), ("1.0.0", 8));
    world.apply(&guest("counter-2.0.0")).await.unwrap();
    let back = UndoRequest {
        state: StateSource::LastSaved,
        ..UndoRequest::default()
    };
    world.host.undo(back).await.unwrap();
    assert_eq!((version(&world).await.as_str(), count(&world).await), ("1.0.0", 8));
}

/// Theirs: two updates by snapshot, one after the other
/// Ours: the same
#[tokio::test(flavor = "multi_thread")]
async fn manual_update_on_idle_twice() {
    let world = counter().await;
    apply(&world, "counter-1.1.0").await;
    apply(&world, "counter-2.0.0").await;
    assert_eq!((version(&world).await.as_str(), count(&world).await), ("2.0.0", 5));
}

/// Theirs: an update by snapshot to an earlier version
/// Ours: an older version is applied: the newer one writes the format that it reads
#[tokio::test(flavor = "multi_thread")]
async fn manual_update_on_idle_to_earlier_component() {
    let world = World::of(&["counter-2.0.0"]).await;
    add(&world, 5).await;
    apply(&world, "counter-1.0.0").await;
    assert_eq!((version(&world).await.as_str(), count(&world).await), ("1.0.0", 5));
}

/// Theirs: an automatic update after one by snapshot
/// Ours: another build of the same version, after an upgrade
#[tokio::test(flavor = "multi_thread")]
async fn auto_update_on_idle_after_manual_update() {
    let world = hostile_at_5().await;
    world
        .apply_bytes("hostile-1.0.1.wasm", &hostile("1.0.1", ""))
        .await
        .unwrap();
    world
        .apply_bytes("hostile-1.0.1.wasm", &hostile("1.0.1", "stay"))
        .await
        .unwrap();
    assert_eq!((value(&world).await, world.host.status().revision), (5, 3));
}
