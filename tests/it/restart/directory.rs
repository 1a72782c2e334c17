//! What has become of a watched directory while the host was down: new files are drops, everything else is decided by the catalog
//! (R34).

use super::{increment, runs};
use crate::made::constant;
use crate::support::{World, guest, put_guests};
use wasmhot::control::protocol::UndoRequest;
use wasmhot::event::EventKind;

#[tokio::test(flavor = "multi_thread")]
async fn r34_a_higher_file_that_came_meanwhile_is_a_drop() {
    let world = World::of(&["counter-1.0.0"]).await;
    increment(&world, 5).await;
    let world = world
        .restart_after(|app| {
            put_guests(app, &["counter-1.1.0", "counter-2.0.0", "tally-1.0.0"]);
            std::fs::write(app.join("broken.wasm"), "(module)").unwrap();
        })
        .await;
    // It is done when the host is ready, in one switch.
    assert_eq!(
        (runs(&world, "counter"), runs(&world, "tally")),
        ("2.0.0".into(), "1.0.0".into())
    );
    assert_eq!(world.host.status().revision, 2);
    assert_eq!(increment(&world, 1).await, 6);
    world
        .event(0, |event| {
            event.kind == EventKind::Refused && event.message.contains("broken.wasm")
        })
        .await;
    world.host.undo(UndoRequest::default()).await.unwrap();
    assert_eq!(
        (runs(&world, "counter"), runs(&world, "tally")),
        ("1.0.0".into(), String::new())
    );
    assert_eq!(increment(&world, 1).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn r34_the_same_bytes_written_again_meanwhile_are_nothing_new() {
    let world = World::of(&["counter-1.0.0", "counter-2.0.0"]).await;
    increment(&world, 5).await;
    world.apply(&guest("counter-1.1.0")).await.unwrap();
    let world = world
        .restart_after(|app| {
            // Copied once more, and under another name.
            put_guests(app, &["counter-1.0.0", "counter-2.0.0"]);
            std::fs::copy(guest("counter-2.0.0"), app.join("again.wasm")).unwrap();
        })
        .await;
    assert_eq!(runs(&world, "counter"), "1.1.0");
    assert_eq!(world.host.status().revision, 2);
    assert_eq!(increment(&world, 1).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn r34_a_lower_file_that_came_meanwhile_has_no_effect() {
    let world = World::of(&["counter-2.0.0"]).await;
    increment(&world, 5).await;
    let world = world.restart_after(|app| put_guests(app, &["counter-1.0.0"])).await;
    assert_eq!(
        (runs(&world, "counter"), world.host.status().revision),
        ("2.0.0".into(), 1)
    );
    assert_eq!(increment(&world, 1).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn r34_a_file_that_was_deleted_meanwhile_stops_nothing() {
    let world = World::of(&["counter-1.0.0", "tally-1.0.0"]).await;
    increment(&world, 5).await;
    let world = world
        .restart_after(|app| {
            for entry in std::fs::read_dir(app).unwrap() {
                std::fs::remove_file(entry.unwrap().path()).unwrap();
            }
        })
        .await;
    assert_eq!(increment(&world, 1).await, 6);
    let sum: i64 = world.host.call("tally", "add", (1_i64, 2_i64)).await.unwrap();
    assert_eq!(sum, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn r34_a_new_file_that_fails_leaves_what_ran() {
    let world = World::hostile("1.0.0", "", |builder| builder).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    let world = world
        .restart_after(|app| {
            let bad = crate::support::hostile("1.0.1", "migrate=trap");
            std::fs::write(app.join("hostile-1.0.1.wasm"), bad).unwrap();
            std::fs::write(app.join("other-1.0.0.wasm"), constant(7)).unwrap();
        })
        .await;
    assert_eq!(
        (runs(&world, "hostile"), runs(&world, "other")),
        ("1.0.0".into(), "1.0.0".into())
    );
    let count: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(count, 5);
    let since = world.now();
    assert!(
        world
            .host
            .events()
            .since(0)
            .0
            .iter()
            .any(|event| event.kind == EventKind::Refused)
    );
    let world = world.restart().await;
    assert!(
        since > 0
            && world
                .host
                .events()
                .since(0)
                .0
                .iter()
                .all(|event| event.kind != EventKind::CalledOff)
    );
}
