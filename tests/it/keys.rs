//! Keyed modules as a whole: removed and back again, under another name, joined into one state, without their states (R27, R31).

use crate::made::{gathering, renamed};
use crate::support::{World, guest, put_guests};
use std::path::{Path, PathBuf};
use wasmhot::control::protocol::{ApplyRequest, Exit, RemoveRequest, StateSource, UpgradeReport};

/// Rooms of which the hall sleeps and the kitchen lives; and a counter.
async fn rooms() -> World {
    // Only what a test saves is saved.
    let seldom = |builder: wasmhot::HostBuilder| {
        builder.limits(wasmhot_appup::LimitsSpec {
            save_interval: Some(std::time::Duration::from_secs(3600)),
            ..crate::support::patient()
        })
    };
    let world = World::with(&["rooms-1.0.0", "counter-1.0.0"], seldom).await;
    say(&world, "rooms", "hall").await;
    let world = world.restart_with(seldom).await;
    say(&world, "rooms", "kitchen").await;
    let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    world
}

async fn say(world: &World, module: &str, room: &str) {
    let _: u64 = world.host.call(module, "say", (room, "ann", "hi")).await.unwrap();
}

async fn history(world: &World, module: &str, room: &str) -> Vec<String> {
    world.host.call(module, "history", (room,)).await.unwrap()
}

async fn is_in(world: &World, module: &str) {
    for room in ["hall", "kitchen"] {
        assert_eq!(history(world, module, room).await, ["ann: hi"], "{room}");
    }
}

fn keys(world: &World, module: &str) -> Option<u64> {
    let status = world.host.status();
    let module = status.modules.into_iter().find(|found| found.module == module);
    module.and_then(|module| module.keys)
}

fn relup(world: &World, modules: &[(&str, &str)], up: &str) -> PathBuf {
    let modules = modules
        .iter()
        .map(|(name, path)| format!("[[modules]]\nname = \"{name}\"\npath = \"{path}\"\n"));
    let modules: String = modules.collect();
    let text = format!("format = 1\n[release]\nname = \"app\"\nto = \"1.0.0\"\n{modules}{up}");
    let file = world.outside().join("relup.toml");
    std::fs::write(&file, text).unwrap();
    file
}

const RENAME: &str = "[[up]]\nadd_module = \"roams\"\nstate_from = [\"rooms\"]\n[[up]]\ndelete_module = \"rooms\"\n";

async fn rename(world: &World) -> UpgradeReport {
    std::fs::write(
        world.outside().join("roams.wasm"),
        renamed("rooms-1.0.0", "rooms", "roams"),
    )
    .unwrap();
    let file = relup(world, &[("roams", "roams.wasm")], RENAME);
    world.apply(&file).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn r31_a_keyed_module_is_renamed_with_the_states_of_all_keys() {
    let world = rooms().await;
    rename(&world).await;
    assert_eq!(keys(&world, "roams"), Some(2));
    is_in(&world, "roams").await;
    assert!(world.host.call::<_, u64>("rooms", "total", ("hall",)).await.is_err());
    say(&world, "roams", "hall").await;
    let world = world.restart().await;
    assert_eq!(history(&world, "roams", "hall").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn r31_what_was_renamed_survives_a_restart_before_any_key_was_called() {
    let world = rooms().await;
    rename(&world).await;
    let world = world.restart().await;
    assert_eq!(keys(&world, "roams"), Some(2));
    is_in(&world, "roams").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r31_a_keyed_module_may_feed_another_and_stay() {
    let world = rooms().await;
    let bytes = renamed("rooms-1.0.0", "rooms", "roams");
    std::fs::write(world.outside().join("roams.wasm"), bytes).unwrap();
    let file = relup(
        &world,
        &[("roams", "roams.wasm")],
        "[[up]]\nadd_module = \"roams\"\nstate_from = [\"rooms\"]\n",
    );
    world.apply(&file).await.unwrap();
    say(&world, "roams", "kitchen").await;
    is_in(&world, "rooms").await;
    assert_eq!(history(&world, "roams", "kitchen").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn r31_a_single_module_may_feed_another_and_stay() {
    let world = rooms().await;
    let bytes = renamed("counter-1.0.0", "counter", "kounter");
    std::fs::write(world.outside().join("kounter.wasm"), bytes).unwrap();
    let file = relup(
        &world,
        &[("kounter", "kounter.wasm")],
        "[[up]]\nadd_module = \"kounter\"\nstate_from = [\"counter\"]\n",
    );
    world.apply(&file).await.unwrap();
    for module in ["counter", "kounter"] {
        let count: i64 = world.host.call(module, "increment", (1_i64,)).await.unwrap();
        assert_eq!(count, 6, "{module}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r31_all_keys_of_a_module_are_joined_into_one_state() {
    let world = rooms().await;
    std::fs::write(world.outside().join("crowd.wasm"), gathering()).unwrap();
    let up = "[[up]]\nadd_module = \"crowd\"\nstate_from = [\"rooms\"]\n[[up]]\ndelete_module = \"rooms\"\n";
    let file = relup(&world, &[("crowd", "crowd.wasm")], up);
    world.apply(&file).await.unwrap();
    let given: i64 = world.host.call("crowd", "get", ()).await.unwrap();
    assert_eq!(given, 2, "one state for each key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyed_module_that_is_removed_keeps_what_its_live_keys_have_not_saved() {
    let world = rooms().await;
    let remove = |purge| RemoveRequest {
        module: "rooms".to_string(),
        purge,
        by: None,
    };
    world.host.remove(remove(false)).await.unwrap();
    world.apply(&guest("rooms-1.0.0")).await.unwrap();
    assert_eq!(keys(&world, "rooms"), Some(2));
    is_in(&world, "rooms").await;
    world.host.remove(remove(true)).await.unwrap();
    world.apply(&guest("rooms-1.0.0")).await.unwrap();
    assert_eq!(keys(&world, "rooms"), Some(0));
    assert!(history(&world, "rooms", "hall").await.is_empty());
}

fn with_state(state: StateSource) -> ApplyRequest {
    ApplyRequest {
        path: guest("rooms-1.1.0"),
        state,
        allow_lossy: true,
        ..ApplyRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r27_a_keyed_module_may_begin_empty() {
    let world = rooms().await;
    world.host.apply(with_state(StateSource::Empty)).await.unwrap();
    assert_eq!(keys(&world, "rooms"), Some(0));
    for room in ["hall", "kitchen"] {
        assert!(history(&world, "rooms", room).await.is_empty(), "{room}");
    }
    let world = world.restart().await;
    assert!(history(&world, "rooms", "hall").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn r27_a_keyed_module_may_go_back_to_what_was_saved() {
    let world = rooms().await;
    world.host.state_export("rooms", Some("kitchen")).await.unwrap();
    say(&world, "rooms", "kitchen").await;
    assert_eq!(history(&world, "rooms", "kitchen").await.len(), 2);
    world.host.apply(with_state(StateSource::LastSaved)).await.unwrap();
    is_in(&world, "rooms").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r31_what_cannot_be_is_refused_with_a_reason_and_nothing_is_lost() {
    let world = rooms().await;
    let folder = world.outside();
    put_guests(&folder, &["rooms-1.1.0"]);
    let from = |from: &str| format!("[[up]]\nupdate = \"rooms\"\nstate_from = [{from}]\n");
    let state = folder.join("state");
    std::fs::write(&state, world.host.state_export("rooms", Some("hall")).await.unwrap()).unwrap();
    let table = [
        (from("\"counter\""), "nobody knows which keys", StateSource::Live),
        (
            from("\"rooms\", \"counter\""),
            "nobody knows which keys",
            StateSource::Live,
        ),
        (
            "[[up]]\nupdate = \"rooms\"\n".to_string(),
            "one key",
            StateSource::File(state),
        ),
    ];
    for (up, said, source) in table {
        let path: &Path = &relup(&world, &[("rooms", "rooms-1.1.0.wasm")], &up);
        let mut request = with_state(source);
        request.path = path.to_path_buf();
        let failure = world.host.apply(request).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.exit),
            ("state-from", Exit::Refused),
            "{failure:?}"
        );
        assert!(failure.message.contains(said), "{failure:?}");
        assert_eq!(failure.module.as_deref(), Some("rooms"));
        is_in(&world, "rooms").await;
    }
}
