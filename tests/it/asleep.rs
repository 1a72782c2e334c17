//! Keys that go to sleep and wake up (R9), and what a sweep leaves of them (R33).

use crate::calls::{rooms, say};
use crate::support::{World, guest, until};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use wasmhot::control::protocol::StateShown;
use wasmhot::event::EventKind;

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// One room may live at a time: this one sleeps, for another was called. What is shown of it is what the store has.
async fn asleep(world: &World, key: &str) -> StateShown {
    say(world, "another", "hi").await;
    world.host.state_show("rooms", Some(key)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn r09_a_key_that_did_not_change_is_not_written_when_it_goes_to_sleep() {
    let world = World::release(&rooms("instances_max = 1"), &["rooms-1.0.0"]).await;
    say(&world, "kitchen", "hi").await;
    let first = asleep(&world, "kitchen").await;
    assert_eq!(first.reason.as_deref(), Some("hibernated"));
    let written = first.time_ms.unwrap();
    until("the clock goes on", || now_ms() > written).await;
    let history: Vec<String> = world.host.call("rooms", "history", ("kitchen",)).await.unwrap();
    assert_eq!(history, ["ann: hi"]);
    assert_eq!(asleep(&world, "kitchen").await.time_ms, Some(written));
    say(&world, "kitchen", "ho").await;
    assert!(asleep(&world, "kitchen").await.time_ms > Some(written));
}

#[tokio::test(flavor = "multi_thread")]
async fn r33_a_key_that_was_swept_expires_when_it_would_have_without_that() {
    let world = World::release(&rooms("instances_max = 1\nexpire = \"1h\""), &["rooms-1.0.0"]).await;
    say(&world, "kitchen", "hi").await;
    let before = asleep(&world, "kitchen").await;
    let used = before.time_ms.unwrap();
    until("the clock goes on", || now_ms() > used).await;
    let since = world.now();
    world.apply(&guest("rooms-1.1.0")).await.unwrap();
    world.event_of(since, EventKind::SweepDone).await;
    let after = world.host.state_show("rooms", Some("kitchen")).await.unwrap();
    assert_eq!(after.version.as_deref(), Some("rooms@1.1.0"));
    assert_eq!(after.time_ms, Some(used));
    assert_eq!(after.reason, before.reason);
}

/// A key that is called while its state is being written stays awake, and what it has then is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn r09_keys_that_are_called_while_they_go_to_sleep_keep_everything() {
    const SAID: u64 = 300;
    let limits = "instances_max = 2\nsave_interval = \"20ms\"";
    let world = Arc::new(World::release(&rooms(limits), &["rooms-1.0.0"]).await);
    let name = |key: u64| format!("k{key}");
    let clients = (0..5).map(|key| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            for count in 1..=SAID {
                assert_eq!(say(&world, &name(key), "hi").await, count, "{key}");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let world = Arc::into_inner(world).unwrap().restart().await;
    for key in 0..5 {
        assert_eq!(say(&world, &name(key), "again").await, SAID + 1, "{key}");
    }
}
