//! `wasmhot:module/live`: what a stateful module does first when it has begun to serve, with outside effects.

use crate::made::with_note;
use crate::support::{World, guest, until};
use wasmhot::control::protocol::UndoRequest;
use wasmhot::event::EventKind;

const RELEASE: &str = "format = 1\n[release]\nname = \"s\"\nversion = \"1.0.0\"\n[[modules]]\nname = \"pacer\"\nversion = \"1.0.0\"\n[modules.grants]\nkeyvalue = [\"pace\"]\n";

fn other_bytes(note: &str) -> Vec<u8> {
    with_note(std::fs::read(guest("pacer-1.0.0")).unwrap(), note)
}

async fn lives(world: &World) -> Vec<String> {
    let lives: Result<Vec<String>, String> = world.host.call("pacer", "lives", ()).await.unwrap();
    lives.unwrap()
}

async fn is_live(world: &World) -> bool {
    world.host.call("pacer", "is-live", ()).await.unwrap()
}

async fn plan(world: &World, what: &str) {
    let done: Result<(), String> = world.host.call("pacer", "plan", (what.to_owned(),)).await.unwrap();
    done.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_called_once_for_each_instance_before_its_first_call_with_effects() {
    let world = World::release(RELEASE, &["pacer-1.0.0"]).await;
    assert!(is_live(&world).await);
    let start = "Restore 1.0.0 -> 1.0.0";
    assert_eq!(lives(&world).await, [start]);
    let _: u64 = world.host.call("pacer", "tick", ()).await.unwrap();
    world.apply_bytes("pacer-1.0.0.wasm", &other_bytes("a")).await.unwrap();
    assert!(is_live(&world).await);
    assert_eq!(lives(&world).await, [start, "Upgrade 1.0.0 -> 1.0.0"]);
    let said: String = world.host.call("pacer", "in-migrate", ()).await.unwrap();
    assert!(said.contains("outside effects are refused during `migrate`"), "{said}");
    world.host.undo(UndoRequest::default()).await.unwrap();
    let world = world.restart().await;
    let all = lives(&world).await;
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(all[3], start);
    let ticks: u64 = world.host.call("pacer", "ticks", ()).await.unwrap();
    assert_eq!(ticks, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_wait_for_a_call_and_rehearsals_never_hear_of_it() {
    let world = World::release(RELEASE, &["pacer-1.0.0"]).await;
    let _: u64 = world.host.call("pacer", "tick", ()).await.unwrap();
    world.host.state_export("pacer", None).await.unwrap();
    plan(&world, "err").await;
    let since = world.now();
    let report = world.apply_bytes("pacer-1.0.0.wasm", &other_bytes("a")).await.unwrap();
    assert!(
        report.modules[0].rehearsal.as_ref().unwrap().contains("passed"),
        "{report:#?}"
    );
    // Nobody calls, and yet it is told.
    world.event_of(since, EventKind::LiveFailed).await;
    assert_eq!(lives(&world).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_err_is_told_and_takes_nothing_back() {
    let world = World::release(RELEASE, &["pacer-1.0.0"]).await;
    plan(&world, "err").await;
    let since = world.now();
    world.apply_bytes("pacer-1.0.0.wasm", &other_bytes("a")).await.unwrap();
    let told = world.event_of(since, EventKind::LiveFailed).await;
    assert!(
        told.message.contains("`live` failed: live said: as planned"),
        "{}",
        told.message
    );
    assert_eq!(
        (world.host.status().revision, world.condition("pacer").as_str()),
        (2, "running")
    );
    assert!(is_live(&world).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_in_it_costs_the_instance_not_the_state_and_is_not_repeated() {
    let world = World::release(RELEASE, &["pacer-1.0.0"]).await;
    let _: u64 = world.host.call("pacer", "tick", ()).await.unwrap();
    plan(&world, "trap").await;
    let since = world.now();
    world.apply_bytes("pacer-1.0.0.wasm", &other_bytes("a")).await.unwrap();
    world.event_of(since, EventKind::LiveFailed).await;
    world.event_of(since, EventKind::Restored).await;
    let ticks: u64 = world.host.call("pacer", "ticks", ()).await.unwrap();
    assert_eq!(ticks, 1);
    assert!(!is_live(&world).await, "the one that came after it was not told");
    let failed = world.host.events().since(since).0;
    assert_eq!(
        failed
            .iter()
            .filter(|event| event.kind == EventKind::LiveFailed)
            .count(),
        1
    );
}

/// Bells, a key each, with these lines of limits.
async fn bells(limits: &str) -> World {
    let release = format!(
        "format = 1\n[release]\nname = \"s\"\nversion = \"1.0.0\"\n[[modules]]\nname = \"bell\"\nversion = \"1.0.0\"\n[modules.limits]\n{limits}\n"
    );
    World::release(&release, &["bell-1.0.0"]).await
}

/// By what the instances of a key have gone live: it is in the state of the key.
async fn rung(world: &World, key: &str) -> Vec<String> {
    world.host.call("bell", "lives", (key,)).await.unwrap()
}

/// Other bytes of the bell; returns when all keys have been looked at.
async fn recast(world: &World) {
    let since = world.now();
    let other = with_note(std::fs::read(guest("bell-1.0.0")).unwrap(), "other");
    world.apply_bytes("bell-1.0.0.wasm", &other).await.unwrap();
    world.event_of(since, EventKind::SweepDone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_instance_of_a_key_is_told_once_also_when_it_wakes_up() {
    let world = bells("instances_max = 1").await;
    assert_eq!(rung(&world, "a").await, ["Restore"]);
    assert_eq!(rung(&world, "a").await, ["Restore"], "once");
    // The other key has its own, and sends the first to sleep.
    assert_eq!(rung(&world, "b").await, ["Restore"]);
    assert_eq!(rung(&world, "a").await, ["Restore"; 2]);
    let world = world.restart().await;
    assert_eq!(rung(&world, "a").await, ["Restore"; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_awake_is_told_of_an_upgrade_although_nobody_calls() {
    let world = bells("").await;
    for key in ["a", "b"] {
        assert_eq!(rung(&world, key).await, ["Restore"], "{key}");
    }
    recast(&world).await;
    // What it noted then is in the state that is saved at the stop.
    let world = world.restart().await;
    assert_eq!(rung(&world, "a").await, ["Restore", "Upgrade", "Restore"]);
    world.host.undo(UndoRequest::default()).await.unwrap();
    // By the sweep or by this call, whichever comes first; once.
    assert_eq!(rung(&world, "a").await, ["Restore", "Upgrade", "Restore", "Upgrade"]);
    assert_eq!(rung(&world, "a").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_sleeps_is_told_of_nothing_until_it_wakes_up() {
    let world = bells("").await;
    rung(&world, "a").await;
    let world = world.restart().await;
    recast(&world).await;
    until("it sleeps again", || {
        let instances = world.host.status().modules[0].instances;
        instances == 0
    })
    .await;
    let world = world.restart().await;
    // Migrated while nobody called, and then asleep again.
    assert_eq!(rung(&world, "a").await, ["Restore", "Restore"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_is_not_told() {
    let release = RELEASE.replace("[modules.grants]", "kind = \"pool\"\n[modules.grants]");
    let world = World::release(&release, &["pacer-1.0.0"]).await;
    assert!(!is_live(&world).await);
    assert_eq!(lives(&world).await, [""; 0]);
}
