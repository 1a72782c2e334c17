//! A state that cannot be read: the module is failed and says so, all others run, and a person can bring it back (R29).

use super::increment;
use crate::made::grumpy;
use crate::support::{Binary, World, put_guests};
use std::path::Path;
use wasmhot::error::{CallErrorCode, Executed};
use wasmhot::event::EventKind;
use wasmhot_appup::{LimitsSpec, OnTrap};

fn prepare(app: &Path) {
    put_guests(app, &["counter-1.0.0"]);
    std::fs::write(app.join("grumpy-1.0.0.wasm"), grumpy()).unwrap();
}

async fn set(world: &World, value: i64) {
    let () = world.host.call("grumpy", "set", (value,)).await.unwrap();
}

async fn get(world: &World) -> i64 {
    world.host.call("grumpy", "get", ()).await.unwrap()
}

/// Its state at 7 is exported; then it is one that it cannot read, and the host starts again.
async fn unreadable() -> (World, Vec<u8>) {
    let world = World::prepared(prepare, |builder| builder).await;
    set(&world, 7).await;
    let exported = world.host.state_export("grumpy", None).await.unwrap();
    set(&world, -1).await;
    increment(&world, 5).await;
    let world = world.restart().await;
    (world, exported)
}

async fn is_failed(world: &World) {
    assert_eq!(world.condition("grumpy"), "failed (state unreadable)");
    let error = world.host.call::<_, i64>("grumpy", "get", ()).await.unwrap_err();
    assert_eq!(
        (error.code, error.executed),
        (CallErrorCode::StateUnreadable, Executed::NotExecuted)
    );
    assert!(error.message.contains("I do not like it"), "{error}");
    assert!(error.message.contains("wasmhot state"), "it says what to do: {error}");
    assert_eq!(world.condition("counter"), "running");
    let count: i64 = world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!(count, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_an_unreadable_state_fails_its_module_and_nobody_else() {
    let (world, _) = unreadable().await;
    is_failed(&world).await;
    let event = world.event_of(0, EventKind::StateLost).await;
    assert_eq!(event.module.as_deref(), Some("grumpy"));
    // It stays so: nothing is saved over the state, and nothing empty runs beside it.
    let world = world.restart().await;
    is_failed(&world).await;
    let shown = world.host.state_show("grumpy", None).await.unwrap();
    assert_eq!((shown.size, shown.version.as_deref()), (Some(8), Some("grumpy@1.0.0")));
    let exported = world.host.state_export("grumpy", None).await.unwrap();
    assert!(exported.ends_with(&(-1_i64).to_le_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_a_restore_that_cannot_read_it_either_changes_nothing() {
    let (world, _) = unreadable().await;
    let failure = world.host.state_restore("grumpy", None).await.unwrap_err();
    assert_eq!(failure.code, "state-unreadable");
    assert!(failure.message.contains("I do not like it"), "{failure:?}");
    is_failed(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_an_import_brings_it_back() {
    let (world, exported) = unreadable().await;
    world.host.state_import("grumpy", None, exported).await.unwrap();
    assert_eq!((world.condition("grumpy").as_str(), get(&world).await), ("running", 7));
    set(&world, 8).await;
    let world = world.restart().await;
    assert_eq!((world.condition("grumpy").as_str(), get(&world).await), ("running", 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_a_reset_brings_it_back_empty() {
    let (world, _) = unreadable().await;
    world.host.state_reset("grumpy", None).await.unwrap();
    assert_eq!((world.condition("grumpy").as_str(), get(&world).await), ("running", 0));
    let world = world.restart().await;
    assert_eq!((world.condition("grumpy").as_str(), get(&world).await), ("running", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_a_lost_state_is_restored_by_hand() {
    let fail = LimitsSpec {
        on_trap: Some(OnTrap::Fail),
        ..LimitsSpec::default()
    };
    let world = World::prepared(prepare, |builder| builder.limits(fail)).await;
    set(&world, 7).await;
    world.host.state_export("grumpy", None).await.unwrap();
    set(&world, 8).await;
    let error = world.host.call::<_, ()>("grumpy", "trap", ()).await.unwrap_err();
    assert_eq!(error.code, CallErrorCode::Trapped);
    let error = world.host.call::<_, i64>("grumpy", "get", ()).await.unwrap_err();
    assert_eq!(
        (error.code, error.executed),
        (CallErrorCode::StateLost, Executed::NotExecuted),
        "{error}"
    );
    assert_eq!(world.condition("grumpy"), "failed (state lost)");
    world.host.state_restore("grumpy", None).await.unwrap();
    assert_eq!((world.condition("grumpy").as_str(), get(&world).await), ("running", 7));
}

#[test]
fn r29_the_command_line_shows_it_and_brings_it_back() {
    let mut host = Binary::prepared(prepare, &[]);
    host.ok(&["call", "grumpy", "set(7)"]);
    let file = host.root().join("seven.state");
    let file = file.to_str().unwrap();
    host.ok(&["state", "export", "grumpy", "-o", file]);
    host.ok(&["call", "grumpy", "set(-1)"]);
    host.ok(&["stop"]);
    assert_eq!(host.ended(), Some(0));
    let host = host.again(&[]);
    assert!(host.ok(&["status"]).contains("failed (state unreadable)"));
    let (exit, said) = host.fails(&["call", "grumpy", "get()"]);
    assert_eq!(exit, 1, "{said}");
    assert!(
        said.contains("I do not like it") && said.contains("not executed"),
        "{said}"
    );
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "0");
    host.ok(&["state", "import", "grumpy", file]);
    assert_eq!(host.ok(&["call", "grumpy", "get()"]).trim(), "7");
}
