//! Limits that pass before any gate closes: nothing waits, and nothing changes (exit code 1).

use super::{ALL, By, Limits, unchanged, was_gated};
use crate::support::{World, guest, hostile};
use std::time::{Duration, Instant};
use wasmhot::control::protocol::Exit;
use wasmhot::event::EventKind;
use wasmhot_appup::HostSettings;

#[tokio::test(flavor = "multi_thread")]
async fn settle_is_how_long_a_file_must_be_quiet() {
    let settle = Duration::from_millis(700);
    let release = "format = 1\n[release]\nname = \"s\"\nversion = \"1.0.0\"\n[host]\nsettle = \"700ms\"\n";
    let by_release = World::release(release, &[]).await;
    let by_run = World::empty(|builder| {
        builder.settings(HostSettings {
            settle: Some(settle),
            ..HostSettings::default()
        })
    })
    .await;
    for world in [by_release, by_run] {
        let since = world.now();
        let dropped = Instant::now();
        world.drop_file("tally.wasm", &std::fs::read(guest("tally-1.0.0")).unwrap());
        world.event_of(since, EventKind::Taken).await;
        assert!(dropped.elapsed() >= settle);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compile_timeout_refuses_the_file_and_bars_nothing() {
    for by in [By::Run, By::Apply] {
        let limits = Limits::new(by, &["compile_timeout=1ns"]);
        // An empty release: with this limit nothing could ever be compiled.
        let run = limits.spec(By::Run);
        let world = World::empty(|builder| builder.limits(run)).await;
        let request = limits.request(&world, "hostile-1.0.1.wasm", &hostile("1.0.1", ""));
        let failure = world.host.apply(request).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.exit),
            ("compile-timeout", Exit::Failed),
            "{by:?} {failure:?}"
        );
        assert!(
            failure.message.contains("1ns") && failure.message.contains("compile_timeout"),
            "{failure:?}"
        );
        assert!(!failure.content_at_fault);
        assert_eq!(world.host.status().revision, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compile_timeout_of_a_release_and_of_a_module() {
    let release = |limits: &str, of_module: &str| {
        format!(
            "format = 1\n[release]\nname = \"s\"\nversion = \"2.0.0\"\n{limits}\n\
             [[modules]]\nname = \"counter\"\npath = \"counter-2.0.0.wasm\"\n{of_module}\n"
        )
    };
    let tables = [
        release("[limits]\ncompile_timeout = \"1ns\"", ""),
        release("", "[modules.limits]\ncompile_timeout = \"1ns\""),
        // The module's word goes before the release's.
        release(
            "[limits]\ncompile_timeout = \"1h\"",
            "[modules.limits]\ncompile_timeout = \"1ns\"",
        ),
    ];
    for text in tables {
        let first = release("", "").replace("2.0.0", "1.0.0");
        let world = World::release(&first, &["counter-1.0.0", "counter-2.0.0"]).await;
        let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
        let world = world
            .restart_after(|app| std::fs::write(app.join("release.toml"), &text).unwrap())
            .await;
        let event = world.event_of(0, EventKind::Alarm).await;
        assert_eq!(event.details["code"], "compile-timeout", "{event:#?}\n{text}");
        let count: i64 = world.host.call("counter", "get", ()).await.unwrap();
        assert_eq!(count, 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compile_timeout_of_a_module_counts_for_its_drops_and_for_apply() {
    let release = "format = 1\n[release]\nname = \"s\"\nversion = \"1.0.0\"\n[limits]\ncompile_timeout = \"1h\"\n\
         [[modules]]\nname = \"counter\"\npath = \"counter-1.0.0.wasm\"\n";
    let world = World::release(release, &["counter-1.0.0"]).await;
    let relup = world.outside().join("relup.toml");
    std::fs::copy(guest("counter-1.0.0"), world.outside().join("counter-1.0.0.wasm")).unwrap();
    // The same bytes, which are compiled already.
    let text = "format = 1\n[release]\nname = \"s\"\nto = \"1.0.1\"\n\
         [[modules]]\nname = \"counter\"\npath = \"counter-1.0.0.wasm\"\n[modules.limits]\ncompile_timeout = \"1ns\"\n\
         [[up]]\nupdate = \"counter\"\n";
    std::fs::write(&relup, text).unwrap();
    world.apply(&relup).await.unwrap();
    let failure = world.apply(&guest("counter-1.1.0")).await.unwrap_err();
    assert_eq!(failure.code, "compile-timeout", "{failure:?}");
    let since = world.now();
    world.drop_file("counter-1.1.0.wasm", &std::fs::read(guest("counter-1.1.0")).unwrap());
    let refused = world.event_of(since, EventKind::Refused).await;
    assert_eq!(refused.details["code"], "compile-timeout", "{refused:#?}");
    // Another module has the limit of the release.
    world.apply(&guest("tally-1.0.0")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn start_timeout_ends_the_upgrade_before_anything_waits() {
    for by in ALL {
        for plan in ["start=loop", "start=block"] {
            let limits = Limits::new(by, &["start_timeout=300ms"]);
            let world = limits.hostile("").await;
            let failure = limits.apply(&world, plan).await.unwrap_err();
            assert!(failure.message.contains("start_timeout"), "{by:?} {failure:?}");
            unchanged(&world, &failure, ("timed-out", "prepare", Exit::Failed)).await;
            assert!(!was_gated(&world));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_timeout_ends_the_upgrade_before_anything_waits() {
    for by in ALL {
        let limits = Limits::new(by, &["health_timeout=300ms"]);
        let world = limits.hostile("").await;
        let failure = limits.apply(&world, "health=loop").await.unwrap_err();
        assert!(failure.message.contains("health_timeout"), "{by:?} {failure:?}");
        unchanged(&world, &failure, ("timed-out", "prepare", Exit::Failed)).await;
        assert!(!was_gated(&world));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_timeout_passes_in_the_rehearsal_first() {
    for by in ALL {
        for plan in ["migrate=loop", "migrate=block"] {
            let limits = Limits::new(by, &["migrate_timeout=300ms"]);
            let world = limits.hostile("").await;
            world.host.state_export("hostile", None).await.unwrap();
            let failure = limits.apply(&world, plan).await.unwrap_err();
            assert!(
                failure.message.contains("300ms (migrate_timeout)"),
                "{by:?} {failure:?}"
            );
            unchanged(&world, &failure, ("timed-out", "rehearse", Exit::Failed)).await;
            assert!(!was_gated(&world), "nothing waits for a rehearsal");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passing_limit_does_not_bar_a_drop() {
    let limits = Limits::new(By::Run, &["start_timeout=300ms"]);
    let world = limits.hostile("").await;
    let since = world.now();
    world.drop_file("hostile-1.0.1.wasm", &hostile("1.0.1", "start=loop"));
    let pending = world.event_of(since, EventKind::Pending).await;
    assert!(pending.message.contains("start_timeout"), "{pending:#?}");
    let versions = world.host.versions(None).await.unwrap();
    assert!(versions.iter().all(|known| known.barred.is_none()), "{versions:#?}");
}
