//! Limits that pass behind the gate: the upgrade is called off, what waited goes on with the old version (exit code 7).

use super::{ALL, By, Limits, unchanged, was_gated};
use crate::made::moody;
use crate::support::{World, hostile, until};
use std::time::Duration;
use tokio::task::JoinHandle;
use wasmhot::control::protocol::{Exit, Failure, UpgradeReport};
use wasmhot::error::CallError;
use wasmhot::event::EventKind;

type Answer<T> = JoinHandle<Result<T, CallError>>;

/// A call that runs for this long in hostile; returns when it has started.
async fn running(world: &World, kind: &str) -> Answer<Result<String, String>> {
    let (host, owned) = (world.host.clone(), kind.to_string());
    let call = tokio::spawn(async move { host.call("hostile", "fault", (owned,)).await });
    until("the call runs", || world.host.status().modules[0].running == 1).await;
    call
}

fn get(world: &World) -> Answer<i64> {
    let host = world.host.clone();
    tokio::spawn(async move { host.call("hostile", "get", ()).await })
}

/// An upgrade that is behind its gate now.
async fn gated(limits: &Limits, world: &World, plan: &str) -> JoinHandle<Result<UpgradeReport, Failure>> {
    let since = world.now();
    let (limits, host) = (limits.clone(), world.host.clone());
    let request = limits.request(world, "hostile-1.0.1.wasm", &hostile("1.0.1", plan));
    let upgrade = tokio::spawn(async move { host.apply(request).await });
    world.event_of(since, EventKind::Gated).await;
    upgrade
}

#[tokio::test(flavor = "multi_thread")]
async fn r23_quiesce_timeout_calls_the_upgrade_off_and_touches_no_call() {
    let called_off = async |by| {
        let limits = Limits::new(by, &["quiesce_timeout=200ms"]);
        let world = limits.hostile("").await;
        // Compiled before the clock of the call runs.
        let mut request = limits.request(&world, "hostile-1.0.1.wasm", &hostile("1.0.1", ""));
        request.dry_run = true;
        world.host.apply(request).await.unwrap();
        let call = running(&world, "sleep:8000").await;
        let failure = limits.apply(&world, "").await.unwrap_err();
        assert!(failure.message.contains("1 calls still ran"), "{by:?} {failure:?}");
        assert!(!call.is_finished());
        assert_eq!(call.await.unwrap().unwrap(), Ok("sleep:8000".to_string()));
        unchanged(&world, &failure, ("not-quiet", "quiesce", Exit::CalledOff)).await;
    };
    tokio::join!(called_off(By::Release), called_off(By::Run), called_off(By::Apply));
}

#[tokio::test(flavor = "multi_thread")]
async fn r26_save_timeout_calls_the_upgrade_off_and_lets_save_finish() {
    for by in ALL {
        let limits = Limits::new(by, &["save_timeout=200ms"]);
        let world = limits.hostile("save=sleep:1500").await;
        let failure = limits.apply(&world, "").await.unwrap_err();
        assert!(failure.message.contains("200ms (save_timeout)"), "{by:?} {failure:?}");
        // The next call waits for the rest of the save: it is not the upgrade's victim.
        unchanged(&world, &failure, ("timed-out", "save", Exit::CalledOff)).await;
        let (events, _) = world.host.events().since(0);
        assert!(
            events.iter().all(|event| event.kind != EventKind::Trapped),
            "{events:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r26_only_stuck_timeout_interrupts_a_save_and_the_last_saved_state_comes_back() {
    for by in ALL {
        let limits = Limits::new(by, &["save_timeout=200ms", "stuck_timeout=1s"]);
        // What 1.0.0 handed over is the last saved state of 1.0.1, which cannot save.
        let world = limits.world("hostile", &hostile("1.0.0", "")).await;
        let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
        limits.apply(&world, "save=loop").await.unwrap();
        let count: i64 = world.host.call("hostile", "increment", (3_i64,)).await.unwrap();
        assert_eq!(count, 8);
        let since = world.now();
        let request = limits.request(&world, "hostile-1.0.2.wasm", &hostile("1.0.2", ""));
        let failure = world.host.apply(request).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.exit),
            ("timed-out", Exit::CalledOff),
            "{by:?} {failure:?}"
        );
        let (events, _) = world.host.events().since(since);
        assert!(
            events.iter().all(|event| event.kind != EventKind::Trapped),
            "not interrupted yet: {events:#?}"
        );
        let trapped = world.event_of(since, EventKind::Trapped).await;
        assert_eq!(trapped.module.as_deref(), Some("hostile"));
        let restored = world.event_of(since, EventKind::Restored).await;
        assert!(
            restored.message.contains("ago is restored"),
            "its age is told: {restored:#?}"
        );
        let count: i64 = world.host.call("hostile", "get", ()).await.unwrap();
        assert_eq!(count, 5);
        let status = world.host.status();
        assert_eq!(
            (status.modules[0].version.as_str(), status.modules[0].condition.as_str()),
            ("1.0.1", "running")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r27_old_code_that_cannot_save_does_not_imprison_the_module() {
    let limits = Limits::new(By::Run, &["save_timeout=200ms", "stuck_timeout=1s"]);
    let world = limits.hostile("save=loop").await;
    let failure = limits.apply(&world, "").await.unwrap_err();
    assert_eq!(failure.code, "timed-out");
    let mut request = limits.request(&world, "hostile-1.0.1.wasm", &hostile("1.0.1", ""));
    request.state = wasmhot::control::protocol::StateSource::Empty;
    request.allow_lossy = true;
    world.event_of(0, EventKind::Restored).await;
    world.host.apply(request).await.unwrap();
    let count: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_timeout_calls_the_upgrade_off() {
    for by in ALL {
        for plan in ["migrate=loop", "migrate=block"] {
            let limits = Limits::new(by, &["migrate_timeout=300ms"]);
            let world = limits.hostile("").await;
            let failure = limits.apply(&world, plan).await.unwrap_err();
            assert!(
                failure.message.contains("300ms (migrate_timeout)"),
                "{by:?} {failure:?}"
            );
            unchanged(&world, &failure, ("timed-out", "migrate", Exit::CalledOff)).await;
            assert!(was_gated(&world));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_timeout_after_migrate_calls_the_upgrade_off() {
    for by in ALL {
        let limits = Limits::new(by, &["health_timeout=300ms"]);
        let world = limits.world("moody", &moody(1)).await;
        let _: () = world.host.call("moody", "set", (13_i64,)).await.unwrap();
        let request = limits.request(&world, "moody.wasm", &moody(2));
        let failure = world.host.apply(request).await.unwrap_err();
        assert!(failure.message.contains("health_timeout"), "{by:?} {failure:?}");
        assert_eq!(
            (failure.phase.as_deref(), failure.exit),
            (Some("health"), Exit::CalledOff),
            "{failure:?}"
        );
        let number: i64 = world.host.call("moody", "get", ()).await.unwrap();
        assert_eq!(number, 13);
        let _: () = world.host.call("moody", "set", (7_i64,)).await.unwrap();
        let request = limits.request(&world, "moody.wasm", &moody(2));
        world.host.apply(request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_max_pause_makes_the_upgrade_give_way() {
    for by in ALL {
        let limits = Limits::new(by, &["max_pause=300ms"]);
        let world = limits.hostile("").await;
        let upgrade = gated(&limits, &world, "migrate=sleep:4000").await;
        let call = get(&world);
        let failure = upgrade.await.unwrap().unwrap_err();
        assert_eq!(
            call.await.unwrap().unwrap(),
            5,
            "it waited, and was answered by the old version"
        );
        for figure in ["max_pause (300ms)", "1 calls waited", "closed for"] {
            assert!(failure.message.contains(figure), "{by:?} {failure:?}");
        }
        unchanged(&world, &failure, ("too-much-traffic", "gate", Exit::CalledOff)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_nobody_waits_so_max_pause_does_not_pass() {
    let limits = Limits::new(By::Run, &["max_pause=10ms"]);
    let world = limits.hostile("").await;
    let report = limits.apply(&world, "migrate=sleep:500").await.unwrap();
    assert_eq!(report.waited, 0);
    assert!(report.gate_us >= 500_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_a_crowded_gate_makes_the_upgrade_give_way() {
    for by in ALL {
        let limits = Limits::new(by, &["gate_queue_max=20", "max_pause=1h"]);
        let world = limits.hostile("").await;
        let upgrade = gated(&limits, &world, "migrate=sleep:4000").await;
        // 90 % of 20.
        let calls: Vec<_> = (0..18).map(|_| get(&world)).collect();
        let failure = upgrade.await.unwrap().unwrap_err();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap(), 5, "no call fails for an upgrade's sake");
        }
        assert!(failure.message.contains("gate_queue_max"), "{by:?} {failure:?}");
        unchanged(&world, &failure, ("too-much-traffic", "gate", Exit::CalledOff)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_fewer_than_90_percent_wait_for_the_new_version() {
    let limits = Limits::new(By::Apply, &["gate_queue_max=20", "max_pause=1h"]);
    let world = limits.hostile("").await;
    let upgrade = gated(&limits, &world, "migrate=sleep:1000").await;
    let calls: Vec<_> = (0..17).map(|_| get(&world)).collect();
    let report = upgrade.await.unwrap().unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 5);
    }
    assert!(report.waited <= 17, "{report:?}");
    assert!(Duration::from_micros(report.gate_us) >= Duration::from_secs(1));
}
