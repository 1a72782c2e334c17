//! Files that fit only with another wait for it (R35).

use super::{SETTLE, all_looked_at, quick, told};
use crate::made::{calc, constant, front, trapping_calc, with_note};
use crate::support::{World, guest, until};
use std::time::Duration;
use wasmhot::HostBuilder;
use wasmhot::event::{Event, EventKind};
use wasmhot_appup::HostSettings;

/// `front` 1.0.0 calls `calc` 1.0.0 by interface 1. In their versions 2.0.0 they speak interface 2.
async fn pair(settings: impl FnOnce(HostBuilder) -> HostBuilder) -> World {
    let prepare = |app: &std::path::Path| {
        std::fs::write(app.join("front-1.0.0.wasm"), front(1, 0)).unwrap();
        std::fs::write(app.join("calc-1.0.0.wasm"), calc(1, 10)).unwrap();
    };
    let world = World::prepared(prepare, settings).await;
    assert_eq!(run(&world).await, 11);
    world
}

async fn run(world: &World) -> i32 {
    world.host.call("front", "run", (1_i32,)).await.unwrap()
}

async fn pending_of(world: &World, since: u64, module: &str) -> Event {
    let wanted = |event: &Event| event.kind == EventKind::Pending && event.module.as_deref() == Some(module);
    world.event(since, wanted).await
}

fn pending(world: &World) -> Vec<String> {
    let of = world.host.status().pending.into_iter();
    of.map(|pending| format!("{}@{}", pending.module, pending.version))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r35_what_fits_only_together_moves_in_one_switch_that_names_all_members() {
    let world = pair(quick).await;
    let before = world.host.status().revision;
    let since = world.now();
    world.drop_file("front-2.0.0.wasm", &front(2, 0));
    let waits = pending_of(&world, since, "front").await;
    assert!(
        waits.message.contains("front@2.0.0") && waits.message.contains("calc") && waits.message.contains("`f"),
        "it names caller, callee and function: {waits:#?}"
    );
    assert_eq!(pending(&world), ["front@2.0.0"]);
    let reasons = world.host.status().pending[0].reasons.join("\n");
    assert!(reasons.contains("s32"), "and the types: {reasons}");
    assert_eq!(run(&world).await, 11, "what runs goes on");
    assert_eq!(world.host.status().revision, before);
    // Something that fits alone does not wait for the pair.
    world.drop_file("other-1.0.0.wasm", &constant(1));
    let alone = world.event_of(since, EventKind::Switched).await;
    assert!(
        alone.message.contains("other") && !alone.message.contains("front"),
        "{alone:#?}"
    );
    let since = world.now();
    world.drop_file("calc-2.0.0.wasm", &calc(2, 10));
    let switched = world.event_of(since, EventKind::Switched).await;
    assert!(switched.message.contains("front 1.0.0 -> 2.0.0"), "{switched:#?}");
    assert!(switched.message.contains("calc 1.0.0 -> 2.0.0"), "{switched:#?}");
    assert_eq!(run(&world).await, 1011);
    until("nothing is pending", || pending(&world).is_empty()).await;
    all_looked_at(&world).await;
    assert_eq!(told(&world, since, EventKind::Switched).len(), 1);
    assert!(told(&world, since, EventKind::PendingEnded).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn r35_the_partner_may_come_first() {
    let world = pair(quick).await;
    let since = world.now();
    // Nobody could call it any more.
    world.drop_file("calc-2.0.0.wasm", &calc(2, 10));
    pending_of(&world, since, "calc").await;
    world.drop_file("front-2.0.0.wasm", &front(2, 0));
    world.event_of(since, EventKind::Switched).await;
    assert_eq!(run(&world).await, 1011);
    until("nothing is pending", || pending(&world).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r35_a_pending_file_is_cancelled_by_deleting_it() {
    let world = pair(quick).await;
    let since = world.now();
    world.drop_file("front-2.0.0.wasm", &front(2, 0));
    pending_of(&world, since, "front").await;
    std::fs::remove_file(world.app().join("front-2.0.0.wasm")).unwrap();
    let ended = world.event_of(since, EventKind::PendingEnded).await;
    assert!(ended.message.contains("front@2.0.0"), "{ended:#?}");
    assert!(pending(&world).is_empty());
    // Its partner finds nobody now.
    world.drop_file("calc-2.0.0.wasm", &calc(2, 10));
    pending_of(&world, since, "calc").await;
    assert_eq!(run(&world).await, 11);
    assert!(told(&world, since, EventKind::Switched).is_empty());
    assert!(told(&world, since, EventKind::FileDeleted).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn r35_a_pending_file_is_replaced_by_a_newer_drop() {
    let world = pair(quick).await;
    let since = world.now();
    world.drop_file("front-2.0.0.wasm", &front(2, 0));
    pending_of(&world, since, "front").await;
    let second = world.now();
    world.drop_file("front-2.1.0.wasm", &front(2, 100));
    let ended = world.event_of(second, EventKind::PendingEnded).await;
    assert!(
        ended.message.contains("front@2.0.0") && ended.message.contains("front@2.1.0"),
        "{ended:#?}"
    );
    pending_of(&world, second, "front").await;
    assert_eq!(pending(&world), ["front@2.1.0"]);
    // The same version in other bytes, in the same file.
    let third = world.now();
    world.drop_file("front-2.1.0.wasm", &front(2, 200));
    pending_of(&world, third, "front").await;
    assert_eq!(pending(&world), ["front@2.1.0"]);
    world.drop_file("calc-2.0.0.wasm", &calc(2, 10));
    world.event_of(third, EventKind::Switched).await;
    assert_eq!(run(&world).await, 1211);
}

#[tokio::test(flavor = "multi_thread")]
async fn r35_a_pending_file_that_becomes_something_else_waits_no_more() {
    let world = pair(quick).await;
    let since = world.now();
    world.drop_file("front.wasm", &front(2, 0));
    // A version without a number is lower than 1.0.0: it has no effect at all.
    world.event_of(since, EventKind::Ignored).await;
    world.drop_file("front-2.0.0.wasm", &front(2, 0));
    pending_of(&world, since, "front").await;
    std::fs::write(world.app().join("front-2.0.0.wasm"), "(module)").unwrap();
    world.event_of(since, EventKind::PendingEnded).await;
    world.event_of(since, EventKind::Refused).await;
    assert!(pending(&world).is_empty());
    world.drop_file("calc-2.0.0.wasm", &calc(2, 10));
    pending_of(&world, since, "calc").await;
    assert_eq!(run(&world).await, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn r35_a_pending_file_expires() {
    let world = pair(|builder| {
        builder.settings(HostSettings {
            settle: Some(SETTLE),
            pending_expiry: Some(Duration::from_millis(300)),
            ..HostSettings::default()
        })
    })
    .await;
    let since = world.now();
    world.drop_file("front-2.0.0.wasm", &front(2, 0));
    pending_of(&world, since, "front").await;
    let ended = world.event_of(since, EventKind::PendingEnded).await;
    assert!(ended.message.contains("pending_expiry"), "{ended:#?}");
    assert!(pending(&world).is_empty());
    let since = world.now();
    world.drop_file("calc-2.0.0.wasm", &calc(2, 10));
    pending_of(&world, since, "calc").await;
    assert_eq!(run(&world).await, 11, "it has waited long enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn r35_what_is_pending_is_pending_again_after_a_restart() {
    let world = pair(quick).await;
    let since = world.now();
    world.drop_file("front-2.0.0.wasm", &front(2, 0));
    pending_of(&world, since, "front").await;
    let world = world.restart_with(quick).await;
    assert_eq!(pending(&world), ["front@2.0.0"]);
    let since = world.now();
    world.drop_file("calc-2.0.0.wasm", &calc(2, 10));
    world.event_of(since, EventKind::Switched).await;
    assert_eq!(run(&world).await, 1011);
}

#[tokio::test(flavor = "multi_thread")]
async fn r35_a_member_that_fails_leaves_the_others_waiting() {
    let world = pair(quick).await;
    let since = world.now();
    world.drop_file("front-2.0.0.wasm", &front(2, 0));
    pending_of(&world, since, "front").await;
    world.drop_file("calc-2.0.0.wasm", &trapping_calc(2));
    let refused = world.event_of(since, EventKind::Refused).await;
    assert_eq!(refused.module.as_deref(), Some("calc"), "{refused:#?}");
    until("front waits again", || pending(&world) == ["front@2.0.0"]).await;
    assert_eq!(run(&world).await, 11);
    let since = world.now();
    world.drop_file("calc-2.0.1.wasm", &calc(2, 10));
    world.event_of(since, EventKind::Switched).await;
    assert_eq!(run(&world).await, 1011);
}

#[tokio::test(flavor = "multi_thread")]
async fn r35_unconnected_parts_move_one_by_one() {
    let world = pair(quick).await;
    let before = world.host.status().revision;
    let since = world.now();
    for name in ["counter-1.0.0", "tally-1.0.0"] {
        let bytes = with_note(std::fs::read(guest(name)).unwrap(), "here");
        world.drop_file(&format!("{name}.wasm"), &bytes);
    }
    all_looked_at(&world).await;
    let switched = told(&world, since, EventKind::Switched);
    assert_eq!(switched.len(), 2, "{switched:#?}");
    assert_eq!(world.host.status().revision, before + 3, "and the marker");
}
