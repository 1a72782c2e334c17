//! Faults of the content bar a digest, passing ones do not (R36).

use super::{SETTLE, all_looked_at, quick, runs, told, version, world};
use crate::support::{World, guest, hostile, until};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use wasmhot::HostBuilder;
use wasmhot::control::protocol::{ApplyRequest, Exit, UndoRequest};
use wasmhot::event::{Event, EventKind};
use wasmhot_appup::{HostSettings, LimitsSpec};

fn touch(path: &Path) {
    assert!(Command::new("touch").arg(path).status().unwrap().success());
}

/// A hostile 1.0.0 that does what it should, with 5 in it.
async fn hostile_at_5() -> World {
    let world = World::hostile("1.0.0", "", quick).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    world
}

async fn get(world: &World) -> i64 {
    world.host.call("hostile", "get", ()).await.unwrap()
}

async fn refused(world: &World, since: u64, text: &str) -> Event {
    let wanted = |event: &Event| event.kind == EventKind::Refused && event.message.contains(text);
    world.event(since, wanted).await
}

/// Drops hostile 1.0.1 with this plan: it fails, nothing changes, and it is not tried again.
async fn is_barred(plan: &str, reason: &str) {
    let world = hostile_at_5().await;
    let since = world.now();
    world.drop_file("hostile-1.0.1.wasm", &hostile("1.0.1", plan));
    let event = refused(&world, since, "hostile-1.0.1.wasm").await;
    assert!(event.message.contains(reason), "{event:#?}");
    assert!(
        event.message.contains("`wasmhot apply "),
        "it says what to do: {event:#?}"
    );
    let called_off = told(&world, since, EventKind::CalledOff);
    assert_eq!(called_off.len(), 1);
    assert!(called_off[0].message.contains(reason), "{called_off:#?}");
    assert!(world.host.status().last_called_off.unwrap().contains(reason));
    assert_eq!((runs(&world, "hostile").as_str(), get(&world).await), ("1.0.0", 5));
    // Neither by a touch, nor as a copy, nor because another file comes.
    touch(&world.app().join("hostile-1.0.1.wasm"));
    refused(&world, event.sequence, "refused before").await;
    let since = world.now();
    world.drop_file("copy.wasm", &hostile("1.0.1", plan));
    refused(&world, since, "refused before").await;
    all_looked_at(&world).await;
    assert_eq!(told(&world, event.sequence, EventKind::CalledOff).len(), 0);
    let barred = world.host.versions(Some("hostile")).await.unwrap();
    let barred = barred.iter().find(|known| known.version == "1.0.1").unwrap();
    assert_eq!(barred.status, "barred");
    assert!(barred.barred.as_ref().unwrap().contains(reason));
    // A lower one that is good is the highest of those that may run.
    let since = world.now();
    world.drop_file("hostile-0.9.9.wasm", &hostile("0.9.9", ""));
    world.event_of(since, EventKind::Ignored).await;
    std::fs::remove_file(world.app().join("hostile-1.0.0.wasm")).unwrap();
    touch(&world.app().join("hostile-0.9.9.wasm"));
    world.event_of(since, EventKind::Switched).await;
    assert_eq!((runs(&world, "hostile").as_str(), get(&world).await), ("0.9.9", 5));
    // Other bytes are another try.
    let since = world.now();
    world.drop_file("hostile-1.0.1.wasm", &hostile("1.0.1", ""));
    world.event_of(since, EventKind::Switched).await;
    assert_eq!((runs(&world, "hostile").as_str(), get(&world).await), ("1.0.1", 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn r36_a_version_whose_migrate_says_err_is_barred() {
    is_barred("migrate=err", "hostile: err").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r36_a_version_whose_migrate_traps_is_barred() {
    is_barred("migrate=trap", "unreachable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r36_a_version_that_traps_at_start_is_barred() {
    is_barred("start=trap", "unreachable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r36_a_version_that_is_not_healthy_is_barred() {
    is_barred("health=err", "hostile: err").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r36_what_fails_in_the_rehearsal_is_barred_too() {
    for plan in ["migrate=err", "migrate=trap"] {
        let world = hostile_at_5().await;
        world.host.state_export("hostile", None).await.unwrap();
        let since = world.now();
        world.drop_file("hostile-1.0.1.wasm", &hostile("1.0.1", plan));
        let event = refused(&world, since, "hostile-1.0.1.wasm").await;
        assert!(event.message.contains("not tried again"), "{event:#?}");
        assert!(told(&world, since, EventKind::Gated).is_empty());
        assert_eq!((runs(&world, "hostile").as_str(), get(&world).await), ("1.0.0", 5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r36_a_bar_survives_a_restart_and_apply_lifts_it() {
    let world = hostile_at_5().await;
    let file = world.app().join("hostile-1.0.1.wasm");
    let since = world.now();
    world.drop_file("hostile-1.0.1.wasm", &hostile("1.0.1", "migrate=err"));
    refused(&world, since, "hostile-1.0.1.wasm").await;
    let world = world.restart_with(quick).await;
    all_looked_at(&world).await;
    assert_eq!((runs(&world, "hostile").as_str(), get(&world).await), ("1.0.0", 5));
    assert!(told(&world, 0, EventKind::CalledOff).is_empty());
    // It is tried, and says itself what is wrong.
    let failure = world.apply(&file).await.unwrap_err();
    assert!(failure.message.contains("hostile: err"), "{failure:?}");
    assert_eq!(get(&world).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn r36_an_undone_version_does_not_come_back_by_itself() {
    let world = world(&["counter-1.0.0"]).await;
    let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    let since = world.now();
    let file = world.app().join("counter-2.0.0.wasm");
    world.drop_file("counter-2.0.0.wasm", &std::fs::read(guest("counter-2.0.0")).unwrap());
    world.event_of(since, EventKind::Switched).await;
    world.host.undo(UndoRequest::default()).await.unwrap();
    assert_eq!(version(&world, "counter").await, "1.0.0");
    let since = world.now();
    touch(&file);
    let event = refused(&world, since, "counter-2.0.0.wasm").await;
    assert!(event.message.contains("undone"), "{event:#?}");
    all_looked_at(&world).await;
    assert_eq!(version(&world, "counter").await, "1.0.0");
    let world = world.restart_with(quick).await;
    all_looked_at(&world).await;
    assert_eq!(version(&world, "counter").await, "1.0.0");
    // The next drop is the highest of those that may run, though a higher one lies there.
    let since = world.now();
    world.drop_file("counter-1.1.0.wasm", &std::fs::read(guest("counter-1.1.0")).unwrap());
    world.event_of(since, EventKind::Switched).await;
    assert_eq!(version(&world, "counter").await, "1.1.0");
    world.apply(&file).await.unwrap();
    assert_eq!(version(&world, "counter").await, "2.0.0");
    let count: i64 = world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!(count, 5);
    let versions = world.host.versions(Some("counter")).await.unwrap();
    assert!(versions.iter().all(|known| known.barred.is_none()), "{versions:#?}");
    // The bar is lifted for the file too: it is the highest again.
    let since = world.now();
    world.drop_file("counter-1.0.0.wasm", &std::fs::read(guest("counter-1.0.0")).unwrap());
    world.event_of(since, EventKind::Ignored).await;
    assert_eq!(version(&world, "counter").await, "2.0.0");
}

/// Has hostile 1.0.1 compiled, so that its drop does not take longer than the call that is in its way.
async fn compiled(world: &World) {
    let path = world.outside().join("hostile-1.0.1.wasm");
    std::fs::write(&path, hostile("1.0.1", "")).unwrap();
    let request = ApplyRequest {
        path,
        dry_run: true,
        ..ApplyRequest::default()
    };
    world.host.apply(request).await.unwrap();
}

/// As [`quick`], with a short wait for calls to end.
fn impatient(builder: HostBuilder) -> HostBuilder {
    quick(builder).limits(LimitsSpec {
        quiesce_timeout: Some(Duration::from_millis(100)),
        ..LimitsSpec::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn r36_a_passing_fault_is_tried_again_at_the_next_event() {
    let world = World::hostile("1.0.0", "", impatient).await;
    compiled(&world).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    let host = world.host.clone();
    // It runs until the drop has been given up: a call cannot be told when to end.
    let long = tokio::spawn(async move {
        let answer: Result<String, String> = host.call("hostile", "fault", ("sleep:8000",)).await.unwrap();
        answer
    });
    until("the call runs", || world.host.status().modules[0].running == 1).await;
    let since = world.now();
    world.drop_file("hostile-1.0.1.wasm", &hostile("1.0.1", ""));
    let waits = world.event_of(since, EventKind::Pending).await;
    assert!(waits.message.contains("quiesce_timeout"), "{waits:#?}");
    assert_eq!(world.host.status().pending.len(), 1);
    assert_eq!(
        long.await.unwrap(),
        Ok("sleep:8000".to_string()),
        "the call was not touched"
    );
    assert_eq!(version(&world, "hostile").await, "1.0.0");
    let since = world.now();
    touch(&world.app().join("hostile-1.0.1.wasm"));
    world.event_of(since, EventKind::Switched).await;
    assert_eq!((runs(&world, "hostile").as_str(), get(&world).await), ("1.0.1", 5));
    until("nothing is pending", || world.host.status().pending.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r36_any_event_tries_what_failed_for_a_passing_reason() {
    let world = World::hostile("1.0.0", "", impatient).await;
    compiled(&world).await;
    let host = world.host.clone();
    let long = tokio::spawn(async move {
        let answer: Result<String, String> = host.call("hostile", "fault", ("sleep:8000",)).await.unwrap();
        answer
    });
    until("the call runs", || world.host.status().modules[0].running == 1).await;
    let since = world.now();
    world.drop_file("hostile-1.0.1.wasm", &hostile("1.0.1", ""));
    world.event_of(since, EventKind::Pending).await;
    long.await.unwrap().unwrap();
    // The marker is no file of this module.
    all_looked_at(&world).await;
    until("it moved with the next event", || runs(&world, "hostile") == "1.0.1").await;
    assert_eq!(told(&world, since, EventKind::Pending).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn r36_a_fault_of_the_old_version_does_not_bar_the_new_one() {
    let world = World::hostile("1.0.0", "save=err", quick).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    let since = world.now();
    world.drop_file("hostile-1.0.1.wasm", &hostile("1.0.1", ""));
    let waits = world.event_of(since, EventKind::Pending).await;
    assert!(waits.message.contains("hostile: err"), "{waits:#?}");
    assert!(told(&world, since, EventKind::Refused).is_empty());
    assert_eq!((runs(&world, "hostile").as_str(), get(&world).await), ("1.0.0", 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn r36_a_compiler_that_is_out_of_time_bars_nothing() {
    let settings = |builder: HostBuilder| {
        let host = HostSettings {
            settle: Some(SETTLE),
            ..HostSettings::default()
        };
        let limits = LimitsSpec {
            compile_timeout: Some(Duration::from_nanos(1)),
            ..LimitsSpec::default()
        };
        builder.settings(host).limits(limits)
    };
    let world = World::empty(settings).await;
    let since = world.now();
    world.drop_file("counter-1.0.0.wasm", &std::fs::read(guest("counter-1.0.0")).unwrap());
    let event = refused(&world, since, "counter-1.0.0.wasm").await;
    assert_eq!(event.details["code"], "compile-timeout", "{event:#?}");
    touch(&world.app().join("counter-1.0.0.wasm"));
    let event = refused(&world, event.sequence, "counter-1.0.0.wasm").await;
    assert_eq!(
        event.details["code"], "compile-timeout",
        "it was tried again: {event:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r36_a_drop_that_needs_more_than_a_drop_says_so_and_a_relup_brings_it() {
    // The new server wants to know the currency, which only a relup can say.
    let world = world(&["server-1.0.0", "calculator-1.0.0"]).await;
    let total: Result<u64, String> = world.host.call("server", "donate", ("ann", 1000_u64)).await.unwrap();
    let total = total.unwrap();
    let since = world.now();
    for name in ["server-1.1.0", "calculator-1.1.0"] {
        world.drop_file(&format!("{name}.wasm"), &std::fs::read(guest(name)).unwrap());
    }
    let event = refused(&world, since, "server-1.1.0.wasm").await;
    assert!(event.message.contains("currency"), "{event:#?}");
    until("its partner waits", || world.host.status().pending.len() == 1).await;
    assert_eq!(world.host.status().pending[0].module, "calculator");
    let again: Result<u64, String> = world.host.call("server", "donate", ("bob", 1000_u64)).await.unwrap();
    assert_eq!(again.unwrap(), 2 * total);
    let relup = world.app().join("relup.toml");
    std::fs::write(
        &relup,
        r#"
        format = 1
        [release]
        name = "donations"
        to = "1.1.0"
        [[modules]]
        name = "server"
        path = "server-1.1.0.wasm"
        [[modules]]
        name = "calculator"
        path = "calculator-1.1.0.wasm"
        [[up]]
        update = "server"
        extra = { currency = "USD" }
        [[up]]
        load_module = "calculator"
        [[down]]
        update = "server"
        [[down]]
        load_module = "calculator"
        "#,
    )
    .unwrap();
    let report = world.apply(&relup).await.unwrap();
    assert_eq!(report.modules.len(), 2);
    assert_eq!(version(&world, "server").await, "1.1.0");
    let now: u64 = world.host.call("server", "total", ()).await.unwrap();
    assert_eq!(now, 2 * total);
    let versions = world.host.versions(Some("server")).await.unwrap();
    assert!(
        versions.iter().all(|known| known.barred.is_none()),
        "an apply lifts the bar: {versions:#?}"
    );
    until("the pending file is what runs", || {
        world.host.status().pending.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_code_says_that_nothing_waited() {
    let world = hostile_at_5().await;
    let failure = world
        .apply_bytes("hostile-1.0.1.wasm", &hostile("1.0.1", "start=trap"))
        .await
        .unwrap_err();
    assert_eq!(
        (failure.exit, failure.phase.as_deref()),
        (Exit::Failed, Some("prepare")),
        "{failure:?}"
    );
    assert!(
        failure.message.contains("wasm backtrace") || failure.message.contains("0x"),
        "{failure:?}"
    );
}
