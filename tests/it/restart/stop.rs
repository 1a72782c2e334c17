//! `stop` saves everything, and a start on the same state directory restores it.

use super::{history, increment, runs, say};
use crate::support::{World, guest};
use wasmhot::control::protocol::{RemoveRequest, UndoRequest};
use wasmhot::event::EventKind;
use wasmhot_appup::LimitsSpec;

const GUESTS: [&str; 3] = ["counter-1.0.0", "rooms-1.0.0", "tally-1.0.0"];

async fn tally_works(world: &World) {
    let sum: i64 = world.host.call("tally", "add", (1_i64, 2_i64)).await.unwrap();
    assert_eq!(sum, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn r28_a_stop_and_a_start_keep_every_state() {
    let mut world = World::of(&GUESTS).await;
    for round in 1..=3_i64 {
        assert_eq!(increment(&world, 1).await, round);
        for room in ["hall", "kitchen", "attic"] {
            assert_eq!(say(&world, room, "hello").await, u64::try_from(round).unwrap());
        }
        tally_works(&world).await;
        let revision = world.host.status().revision;
        world = world.restart().await;
        assert_eq!(world.host.status().revision, revision, "a start is no switch");
        let restored = world.event_of(0, EventKind::Restored).await;
        assert_eq!(restored.module.as_deref(), Some("counter"));
    }
    assert_eq!(history(&world, "attic").await.len(), 3);
    // What is not called between two starts is not lost either.
    let world = world.restart().await.restart().await;
    assert_eq!(increment(&world, 0).await, 3);
    assert_eq!(history(&world, "hall").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn r28_after_an_upgrade_the_new_version_boots_with_its_state() {
    let world = World::of(&GUESTS).await;
    increment(&world, 5).await;
    for number in 0..40 {
        say(&world, &format!("room {number}"), "hello").await;
    }
    for name in ["counter-2.0.0", "tally-1.1.0", "rooms-1.1.0"] {
        world.apply(&guest(name)).await.unwrap();
    }
    // At once: of most rooms the sweep has not been done.
    let world = world.restart().await;
    for (module, version) in [("counter", "2.0.0"), ("tally", "1.1.0"), ("rooms", "1.1.0")] {
        assert_eq!(runs(&world, module), version);
    }
    assert_eq!(increment(&world, 1).await, 6);
    for number in 0..40 {
        let room = format!("room {number}");
        assert_eq!(history(&world, &room).await, ["ann: hello"]);
        let people: Vec<String> = world.host.call("rooms", "people", (room.as_str(),)).await.unwrap();
        assert_eq!(people, ["ann"]);
    }
    tally_works(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r28_after_an_undo_the_old_version_boots_with_the_live_state() {
    let world = World::of(&GUESTS).await;
    increment(&world, 5).await;
    say(&world, "hall", "one").await;
    world.apply(&guest("counter-2.0.0")).await.unwrap();
    world.apply(&guest("rooms-1.1.0")).await.unwrap();
    increment(&world, 5).await;
    say(&world, "hall", "two").await;
    say(&world, "attic", "three").await;
    world.host.undo(UndoRequest::default()).await.unwrap();
    world.host.undo(UndoRequest::default()).await.unwrap();
    let world = world.restart().await;
    assert_eq!(
        (runs(&world, "counter"), runs(&world, "rooms")),
        ("1.0.0".into(), "1.0.0".into())
    );
    assert_eq!(increment(&world, 1).await, 11);
    assert_eq!(history(&world, "hall").await, ["ann: one", "ann: two"]);
    assert_eq!(history(&world, "attic").await, ["ann: three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn r09_keys_that_sleep_are_kept_over_a_restart() {
    // Two rooms may live at a time: the others sleep.
    let few = LimitsSpec {
        instances_max: Some(2),
        ..LimitsSpec::default()
    };
    let world = World::with(&["rooms-1.0.0"], |builder| builder.limits(few)).await;
    for round in 1..=3 {
        for number in 0..12 {
            assert_eq!(say(&world, &format!("room {number}"), "hello").await, round);
        }
    }
    let world = world.restart().await;
    for number in 0..12 {
        assert_eq!(history(&world, &format!("room {number}")).await.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_module_takes_up_its_state_when_it_comes_back() {
    let world = World::of(&["counter-1.0.0", "tally-1.0.0"]).await;
    increment(&world, 5).await;
    let remove = |purge| RemoveRequest {
        module: "counter".to_string(),
        purge,
        by: None,
    };
    world.host.remove(remove(false)).await.unwrap();
    let world = world.restart().await;
    assert_eq!(
        runs(&world, "counter"),
        "",
        "its file lies there, but nothing that lies there moves anything"
    );
    world.apply(&guest("counter-2.0.0")).await.unwrap();
    assert_eq!(increment(&world, 1).await, 6);
    world.host.remove(remove(true)).await.unwrap();
    let world = world.restart().await;
    world.apply(&guest("counter-1.0.0")).await.unwrap();
    assert_eq!(increment(&world, 1).await, 1);
}
