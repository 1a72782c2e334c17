//! Modules with async functions (WASI 0.3): calls that run beside each other in one instance, guest tasks that outlive their calls, and
//! modules of 0.2 and 0.3 that call each other.
//!
//! The lounge (`modules/lounge-1.0.0`) lets callers wait for each other, so that nothing here depends on time.

use crate::made::{calc, wasm, with_note};
use crate::support::{World, guest, put_guests, until};
use std::time::Duration;
use wasmhot::control::protocol::{ApplyRequest, Exit, Failure, UpgradeReport};
use wasmhot::error::{CallError, CallErrorCode, Executed};
use wasmhot::event::EventKind;
use wasmhot_appup::LimitsSpec;

/// A world with the lounge, and these lines in its `[modules.limits]`.
async fn lounge(limits: &str) -> World {
    let toml = format!(
        "format = 1\n[release]\nname = \"office\"\nversion = \"1.0.0\"\n[[modules]]\nname = \"lounge\"\n\
         path = \"lounge-1.0.0.wasm\"\n[modules.limits]\n{limits}\n"
    );
    World::release(&toml, &["lounge-1.0.0"]).await
}

async fn meet(world: &World, parties: u32) -> Result<u32, CallError> {
    world.host.call("lounge", "meet", (parties,)).await
}

async fn come(world: &World) -> Result<u32, CallError> {
    world.host.call("lounge", "come", ()).await
}

async fn arrived(world: &World) -> Result<u32, CallError> {
    world.host.call("lounge", "arrived", ()).await
}

/// Returns when so many have come: whoever waits for more is waiting then.
async fn have_arrived(world: &World, parties: u32) {
    while arrived(world).await.unwrap() < parties {}
}

/// The same lounge in other bytes: an upgrade.
async fn upgrade(world: &World, quiesce: &str) -> Result<UpgradeReport, Failure> {
    let path = world.outside().join("lounge-1.0.0.wasm");
    std::fs::write(&path, with_note(std::fs::read(guest("lounge-1.0.0")).unwrap(), "other")).unwrap();
    let request = ApplyRequest {
        path,
        limits: LimitsSpec {
            quiesce_timeout: Some(wasmhot_appup::parse_duration(quiesce).unwrap()),
            max_pause: Some(Duration::from_secs(50)),
            ..LimitsSpec::default()
        },
        ..ApplyRequest::default()
    };
    world.host.apply(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn async_calls_of_one_instance_run_beside_each_other() {
    let world = lounge("").await;
    let (one, two, three) = tokio::join!(meet(&world, 3), meet(&world, 3), meet(&world, 3));
    assert_eq!((one.unwrap(), two.unwrap(), three.unwrap()), (3, 3, 3));
    let status = world.host.status();
    assert_eq!(status.modules[0].instances, 1, "one owner of state");
    // A hundred at once, and functions that are not async among them.
    let calls = (0..100).map(|_| meet(&world, 153));
    let others = async {
        for n in 0..50 {
            come(&world).await.unwrap_or_else(|error| panic!("call {n}: {error}"));
        }
    };
    let (met, ()) = tokio::join!(futures_util::future::join_all(calls), others);
    assert!(met.into_iter().all(|answer| answer.unwrap() == 153));
}

#[tokio::test(flavor = "multi_thread")]
async fn r23_an_upgrade_waits_for_async_calls_and_is_called_off_at_its_time() {
    let world = lounge("").await;
    let waits = async {
        let waiting = meet(&world, 2);
        let rest = async {
            have_arrived(&world, 1).await;
            let failure = upgrade(&world, "200ms").await.unwrap_err();
            assert_eq!(failure.exit, Exit::CalledOff, "{failure:?}");
            // Nothing is touched: the call that waits is still there, and others come to it.
            assert_eq!(come(&world).await.unwrap(), 2);
        };
        let (met, ()) = tokio::join!(waiting, rest);
        assert_eq!(met.unwrap(), 2);
    };
    waits.await;
    upgrade(&world, "5s").await.unwrap();
    assert_eq!(arrived(&world).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_quiet_only_when_its_guest_tasks_have_ended() {
    let world = lounge("").await;
    let () = world.host.call("lounge", "follow", (1_u32,)).await.unwrap();
    let failure = upgrade(&world, "200ms").await.unwrap_err();
    assert_eq!(failure.exit, Exit::CalledOff, "{failure:?}");
    // The task runs although nobody calls.
    assert_eq!(come(&world).await.unwrap(), 1);
    have_arrived(&world, 2).await;
    upgrade(&world, "20s").await.unwrap();
    assert_eq!(arrived(&world).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_drop_gives_up_guest_tasks_for_an_upgrade_but_not_calls() {
    let world = lounge("tasks = \"drop\"\nquiesce_timeout = \"1s\"").await;
    let () = world.host.call("lounge", "follow", (2_u32,)).await.unwrap();
    come(&world).await.unwrap();
    upgrade(&world, "20s").await.unwrap();
    // Nobody follows any more.
    assert_eq!(come(&world).await.unwrap(), 2);
    let waiting = meet(&world, 5);
    let rest = async {
        have_arrived(&world, 3).await;
        // What runs has the note: so this is another version. It has to wait for the call.
        let failure = world.apply(&guest("lounge-1.0.0")).await.unwrap_err();
        assert_eq!(failure.exit, Exit::CalledOff, "{failure:?}");
        come(&world).await.unwrap();
        come(&world).await.unwrap();
    };
    let (met, ()) = tokio::join!(waiting, rest);
    assert_eq!(met.unwrap(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_a_trap_takes_the_calls_beside_it_along_and_the_state_comes_back() {
    let world = lounge("").await;
    come(&world).await.unwrap();
    world.host.state_export("lounge", None).await.unwrap();
    let since = world.now();
    let waiting = meet(&world, 100);
    let rest = async {
        have_arrived(&world, 2).await;
        world.host.call::<_, ()>("lounge", "fall", ()).await.unwrap_err()
    };
    let (met, fell) = tokio::join!(waiting, rest);
    for error in [met.unwrap_err(), fell] {
        assert_eq!(
            (error.code, error.executed),
            (CallErrorCode::Trapped, Executed::Unknown),
            "{error}"
        );
    }
    world.event_of(since, EventKind::Restored).await;
    assert_eq!(arrived(&world).await.unwrap(), 1, "as it was saved");
    assert_eq!(come(&world).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn r11_a_call_that_is_stuck_is_interrupted_with_those_beside_it() {
    let world = lounge("stuck_timeout = \"500ms\"").await;
    let (one, other) = tokio::join!(meet(&world, 9), meet(&world, 9));
    let codes = [one.unwrap_err().code, other.unwrap_err().code];
    assert!(codes.contains(&CallErrorCode::Stuck), "{codes:?}");
    assert_eq!(come(&world).await.unwrap(), 1, "it began anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_waits_for_the_calls_that_run_but_not_longer_than_max_pause() {
    let world = lounge("max_pause = \"100ms\"\nsave_interval = \"1h\"").await;
    let waiting = meet(&world, 2);
    let rest = async {
        have_arrived(&world, 1).await;
        let failure = world.host.state_export("lounge", None).await.unwrap_err();
        assert!(failure.message.contains("save"), "{failure:?}");
        assert_eq!(arrived(&world).await.unwrap(), 1, "calls go on");
        come(&world).await.unwrap()
    };
    let (met, _) = tokio::join!(waiting, rest);
    assert_eq!(met.unwrap(), 2);
    world.host.state_export("lounge", None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_concurrent_module_survives_a_stop() {
    let world = lounge("").await;
    come(&world).await.unwrap();
    // A guest task does not keep the host from stopping.
    let () = world.host.call("lounge", "follow", (50_u32,)).await.unwrap();
    let world = world.restart().await;
    assert_eq!(come(&world).await.unwrap(), 2);
}

/// A component that imports something of WASI 0.3, and so runs on the engine with concurrent calls, whose `run(a)` asks `calc`, and
/// whose `add(a, b)` asks nobody.
fn modern_front() -> Vec<u8> {
    wasm(
        r#"(component
          (import "wasi:clocks/types@0.3.0" (instance))
          (import "demo:pair/calc" (instance $calc (export "f" (func (param "a" s32) (result s32)))))
          (core func $f (canon lower (func $calc "f")))
          (core module $m
            (import "calc" "f" (func $f (param i32) (result i32)))
            (func (export "run") (param i32) (result i32) (call $f (local.get 0))))
          (core instance $i (instantiate $m (with "calc" (instance (export "f" (func $f))))))
          (func (export "run") (param "a" s32) (result s32) (canon lift (core func $i "run"))))"#,
    )
}

/// A component of 0.2 that asks the lounge.
fn old_visitor() -> Vec<u8> {
    wasm(
        r#"(component
          (import "demo:lounge/lounge@1.0.0" (instance $lounge (export "come" (func (result u32)))))
          (core func $come (canon lower (func $lounge "come")))
          (core module $m
            (import "lounge" "come" (func $come (result i32)))
            (func (export "visit") (result i32) (call $come)))
          (core instance $i (instantiate $m (with "lounge" (instance (export "come" (func $come))))))
          (func (export "visit") (result u32) (canon lift (core func $i "visit"))))"#,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_of_wasi_0_2_and_0_3_call_each_other() {
    let prepare = |app: &std::path::Path| {
        put_guests(app, &["lounge-1.0.0", "porter-1.0.0"]);
        std::fs::write(app.join("modern-1.0.0.wasm"), modern_front()).unwrap();
        std::fs::write(app.join("calc-1.0.0.wasm"), calc(1, 5)).unwrap();
        std::fs::write(app.join("visitor-1.0.0.wasm"), old_visitor()).unwrap();
    };
    let world = World::prepared(prepare, |builder| builder).await;
    let sum: i32 = world.host.call("modern", "run", (1_i32,)).await.unwrap();
    assert_eq!(sum, 6, "0.3 calls 0.2");
    let visit: u32 = world.host.call("visitor", "visit", ()).await.unwrap();
    assert_eq!(visit, 1, "0.2 calls 0.3");
    let one: u32 = world.host.call("porter", "send-one", ()).await.unwrap();
    assert_eq!(one, 2, "0.3 calls 0.3");
    // One call that makes two at once: they wait for each other.
    let two: u32 = world.host.call("porter", "send-two", ()).await.unwrap();
    assert_eq!(two, 5);
    until("the places of the pool are free", || {
        world.host.status().modules.iter().all(|module| module.running == 0)
    })
    .await;
}
