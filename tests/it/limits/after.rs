//! Limits that pass after a switch, and in calls that have nothing to do with one.

use super::{ALL, By, Limits};
use crate::made::{front, slow_calc};
use crate::support::{World, guest, until};
use std::time::Duration;
use wasmhot::error::{CallErrorCode, Executed};
use wasmhot::event::EventKind;

#[tokio::test(flavor = "multi_thread")]
async fn r23_drain_timeout_interrupts_calls_from_outside_on_the_old_version() {
    for by in ALL {
        let limits = Limits::new(by, &["drain_timeout=300ms"]);
        let world = limits
            .world("tally", &std::fs::read(guest("tally-1.0.0")).unwrap())
            .await;
        let host = world.host.clone();
        let deadline = Some(Duration::from_secs(600));
        let endless = vec![wasmhot::value::Value::U64(u64::MAX)];
        let call = tokio::spawn(async move { host.call_values("tally", "spin", endless, deadline).await });
        until("the call runs", || world.host.status().modules[0].running == 1).await;
        let request = limits.request(
            &world,
            "tally-1.1.0.wasm",
            &std::fs::read(guest("tally-1.1.0")).unwrap(),
        );
        let report = world.host.apply(request).await.unwrap();
        assert_eq!((report.on_old, report.gate_us), (1, 0), "{by:?}");
        let draining = world.host.versions(Some("tally")).await.unwrap();
        assert!(
            draining
                .iter()
                .any(|known| known.status == "draining" && known.running == 1),
            "{draining:#?}"
        );
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(
            (error.code, error.executed),
            (CallErrorCode::Retired, Executed::Unknown),
            "{by:?} {error}"
        );
        assert_eq!(error.version.as_deref(), Some("1.0.0"));
        let forced = world.event_of(0, EventKind::ForcedRetire).await;
        assert_eq!(forced.details["calls"], 1, "{forced:#?}");
        world.event_of(0, EventKind::Retired).await;
        let sum: i64 = world.host.call("tally", "add", (1_i64, 2_i64)).await.unwrap();
        assert_eq!(sum, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r23_calls_made_by_modules_are_never_interrupted_for_an_upgrade() {
    let limits = Limits::new(By::Run, &["drain_timeout=100ms", "call_deadline=10m"]);
    let run = limits.spec(By::Run);
    let prepare = |app: &std::path::Path| {
        std::fs::write(app.join("front-1.0.0.wasm"), front(1, 0)).unwrap();
        std::fs::write(app.join("calc-1.0.0.wasm"), slow_calc(10)).unwrap();
    };
    let world = World::prepared(prepare, |builder| builder.limits(run)).await;
    let calls = |module: &'static str, function: &'static str| {
        let host = world.host.clone();
        tokio::spawn(async move { host.call::<_, i32>(module, function, (1_i32,)).await })
    };
    let nested = calls("front", "run");
    let calc = || {
        world
            .host
            .status()
            .modules
            .into_iter()
            .find(|found| found.module == "calc")
            .unwrap()
    };
    until("the nested call runs", || calc().running == 1).await;
    let outside = calls("calc", "f");
    until("both run", || calc().running == 2).await;
    world
        .apply_bytes("calc-1.1.0.wasm", &crate::made::calc(1, 20))
        .await
        .unwrap();
    // From then on drain_timeout has passed.
    let error = outside.await.unwrap().unwrap_err();
    assert_eq!(error.code, CallErrorCode::Retired, "{error}");
    assert_eq!(
        nested.await.unwrap().unwrap(),
        11,
        "it ended on the version on which it had begun (R20)"
    );
    let now: i32 = world.host.call("front", "run", (1_i32,)).await.unwrap();
    assert_eq!(now, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn r11_stuck_timeout_interrupts_a_call_on_a_stateful_instance() {
    for by in [By::Release, By::Run] {
        for kind in ["loop", "block"] {
            let limits = Limits::new(by, &["stuck_timeout=500ms"]);
            let world = limits.hostile("").await;
            world.host.state_export("hostile", None).await.unwrap();
            let _: i64 = world.host.call("hostile", "increment", (1_i64,)).await.unwrap();
            let answer: Result<Result<String, String>, _> = world.host.call("hostile", "fault", (kind,)).await;
            let error = answer.unwrap_err();
            assert_eq!(
                (error.code, error.executed),
                (CallErrorCode::Stuck, Executed::Unknown),
                "{by:?} {error}"
            );
            assert!(
                error.message.contains("stuck_timeout") && error.message.contains("ago is restored"),
                "{error}"
            );
            let count: i64 = world.host.call("hostile", "get", ()).await.unwrap();
            assert_eq!(count, 5);
            world.event_of(0, EventKind::Trapped).await;
            world.event_of(0, EventKind::Restored).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r11_a_deadline_ends_the_wait_and_not_the_call() {
    for by in [By::Release, By::Run] {
        let limits = Limits::new(by, &["call_deadline=200ms"]);
        let world = limits.hostile("").await;
        let answer: Result<Result<String, String>, _> = world.host.call("hostile", "fault", ("sleep:1500",)).await;
        let error = answer.unwrap_err();
        assert_eq!(
            (error.code, error.executed),
            (CallErrorCode::TimedOut, Executed::Unknown),
            "{by:?} {error}"
        );
        // Behind it in the queue: it has not begun, so it may be tried again.
        let error = world
            .host
            .call::<_, i64>("hostile", "increment", (1_i64,))
            .await
            .unwrap_err();
        assert_eq!(
            (error.code, error.executed),
            (CallErrorCode::TimedOut, Executed::NotExecuted),
            "{error}"
        );
        until("the call has ended", || world.host.status().modules[0].running == 0).await;
        let count: i64 = world.host.call("hostile", "get", ()).await.unwrap();
        assert_eq!(count, 5, "the instance is the same, and what was not executed was not");
        let (events, _) = world.host.events().since(0);
        assert!(events.iter().all(|event| event.kind != EventKind::Trapped));
    }
}
