//! A release.toml that is as it was boots the catalog; one that has changed is applied like any release.

use super::{increment, runs};
use crate::support::{World, guest};
use std::path::Path;
use wasmhot::control::protocol::UndoRequest;
use wasmhot::event::EventKind;

const GUESTS: [&str; 5] = [
    "counter-1.0.0",
    "counter-1.1.0",
    "counter-2.0.0",
    "tally-1.0.0",
    "tally-1.1.0",
];

fn toml(version: &str, counter: &str, rest: &str) -> String {
    format!(
        r#"
        format = 1
        [release]
        name = "shop"
        version = "{version}"
        {rest}
        [[modules]]
        name = "counter"
        version = "{counter}"
        "#
    )
}

fn write(app: &Path, text: &str) {
    std::fs::write(app.join("release.toml"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_runs_what_it_says_and_not_what_lies_beside_it() {
    let world = World::release(&toml("1.0.0", "1.0.0", ""), &GUESTS).await;
    let since = world.now();
    assert_eq!(
        (runs(&world, "counter"), runs(&world, "tally")),
        ("1.0.0".into(), String::new())
    );
    assert_eq!(world.host.status().release, "shop 1.0.0");
    // A new file beside it is a drop.
    let bytes = crate::made::with_note(std::fs::read(guest("tally-1.1.0")).unwrap(), "new");
    world.drop_file("new.wasm", &bytes);
    world.event_of(since, EventKind::Switched).await;
    assert_eq!(
        (runs(&world, "counter"), runs(&world, "tally")),
        ("1.0.0".into(), "1.1.0".into())
    );
    assert_eq!(world.host.status().release, "shop 1.0.0+2");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_release_boots_the_catalog() {
    let world = World::release(&toml("1.0.0", "1.0.0", ""), &GUESTS).await;
    increment(&world, 5).await;
    world.apply(&guest("counter-2.0.0")).await.unwrap();
    let world = world.restart().await;
    assert_eq!(
        (runs(&world, "counter"), world.host.status().revision),
        ("2.0.0".into(), 2)
    );
    assert_eq!(increment(&world, 1).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_release_is_applied_and_can_be_undone() {
    let world = World::release(&toml("1.0.0", "1.0.0", ""), &GUESTS).await;
    increment(&world, 5).await;
    let tally = "[[modules]]\nname = \"tally\"\npath = \"tally-1.0.0.wasm\"";
    let world = world
        .restart_after(|app| write(app, &format!("{}\n{tally}", toml("2.0.0", "2.0.0", ""))))
        .await;
    assert_eq!(
        (runs(&world, "counter"), runs(&world, "tally")),
        ("2.0.0".into(), "1.0.0".into())
    );
    assert_eq!(
        (world.host.status().release.as_str(), world.host.status().revision),
        ("shop 2.0.0", 2)
    );
    assert_eq!(increment(&world, 1).await, 6);
    // The same file again is no other switch.
    let world = world.restart().await;
    assert_eq!(world.host.status().revision, 2);
    world.host.undo(UndoRequest::default()).await.unwrap();
    assert_eq!(
        (runs(&world, "counter"), runs(&world, "tally")),
        ("1.0.0".into(), String::new())
    );
    assert_eq!(increment(&world, 1).await, 7);
    // Undone is undone, also after a start: the file has not changed since it was applied.
    let world = world.restart().await;
    assert_eq!(
        (runs(&world, "counter"), world.host.status().release.as_str()),
        ("1.0.0".into(), "shop 1.0.0")
    );
    assert_eq!(increment(&world, 1).await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_limit_is_in_effect_after_the_start() {
    let world = World::release(&toml("1.0.0", "1.0.0", ""), &GUESTS).await;
    increment(&world, 5).await;
    // It could not even be called with so little memory.
    let world = world
        .restart_after(|app| {
            let limits = "[limits]\nqueue_max = 0\ncall_deadline = \"50ms\"";
            write(app, &toml("1.0.1", "1.0.0", limits));
        })
        .await;
    assert_eq!(
        (world.host.status().release.as_str(), world.host.status().revision),
        ("shop 1.0.1", 2)
    );
    let error = world.host.call::<_, i64>("counter", "get", ()).await.unwrap_err();
    assert_eq!(error.code, wasmhot::error::CallErrorCode::Overloaded, "{error}");
    // And gone with the next change.
    let world = world.restart_after(|app| write(app, &toml("1.0.2", "1.0.0", ""))).await;
    assert_eq!(increment(&world, 1).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_release_that_cannot_be_applied_leaves_what_ran_and_says_so() {
    let world = World::release(&toml("1.0.0", "1.0.0", ""), &GUESTS).await;
    increment(&world, 5).await;
    let world = world.restart_after(|app| write(app, &toml("2.0.0", "3.0.0", ""))).await;
    assert_eq!(
        (runs(&world, "counter"), world.host.status().release.as_str()),
        ("1.0.0".into(), "shop 1.0.0")
    );
    assert_eq!(increment(&world, 1).await, 6);
    let event = world.event_of(0, EventKind::Alarm).await;
    assert!(event.message.contains("counter-3.0.0.wasm"), "{event:#?}");
    assert!(
        world
            .host
            .status()
            .last_called_off
            .unwrap()
            .contains("counter-3.0.0.wasm")
    );
    // It is tried again at the next start.
    let world = world
        .restart_after(|app| {
            std::fs::copy(app.join("counter-2.0.0.wasm"), app.join("counter-3.0.0.wasm")).unwrap();
        })
        .await;
    let event = world.event_of(0, EventKind::Alarm).await;
    assert!(event.message.contains("it is version 2.0.0, not 3.0.0"), "{event:#?}");
    assert_eq!(increment(&world, 1).await, 7);
}
