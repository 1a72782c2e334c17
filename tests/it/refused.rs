//! What the design has and this wasmhot does not carry out yet is refused with a remedy, and nothing is lost.

use crate::support::{World, guest, put_guests};
use std::path::Path;
use wasmhot::control::protocol::{ApplyRequest, Exit, Failure, StateSource};

fn is_refused(failure: &Failure, module: &str) {
    assert_eq!(
        (failure.code.as_str(), failure.exit),
        ("not-carried-out", Exit::Refused),
        "{failure:?}"
    );
    assert_eq!(failure.module.as_deref(), Some(module));
}

async fn rooms() -> World {
    let world = World::of(&["rooms-1.0.0", "counter-1.0.0"]).await;
    let _: u64 = world.host.call("rooms", "say", ("hall", "ann", "hi")).await.unwrap();
    let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    world
}

async fn is_as_it_was(world: &World) {
    let history: Vec<String> = world.host.call("rooms", "history", ("hall",)).await.unwrap();
    assert_eq!(history, ["ann: hi"]);
    let count: i64 = world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!((count, world.host.status().revision), (5, 1));
}

fn relup(folder: &Path, name: &str, path: &str, update: &str) -> std::path::PathBuf {
    let text = format!(
        "format = 1\n[release]\nname = \"app\"\nto = \"1.0.0\"\n[[modules]]\nname = \"{name}\"\npath = \"{path}\"\n\
         [[up]]\nupdate = \"{name}\"\n{update}\n[[down]]\nupdate = \"{name}\"\n"
    );
    let file = folder.join("relup.toml");
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn r31_state_from_to_or_from_a_keyed_module_is_refused() {
    let world = rooms().await;
    let folder = world.outside();
    put_guests(&folder, &["rooms-1.1.0", "counter-1.1.0"]);
    let table = [
        ("rooms", "rooms-1.1.0.wasm", "counter"),
        ("counter", "counter-1.1.0.wasm", "rooms"),
    ];
    for (name, path, from) in table {
        let file = relup(&folder, name, path, &format!("state_from = [\"{name}\", \"{from}\"]"));
        is_refused(&world.apply(&file).await.unwrap_err(), name);
        is_as_it_was(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r27_another_state_than_the_live_one_is_refused_for_a_keyed_module() {
    let world = rooms().await;
    for state in [StateSource::Empty, StateSource::LastSaved] {
        let request = ApplyRequest {
            path: guest("rooms-1.1.0"),
            state,
            allow_lossy: true,
            ..ApplyRequest::default()
        };
        is_refused(&world.host.apply(request).await.unwrap_err(), "rooms");
        is_as_it_was(&world).await;
    }
    let folder = world.outside();
    put_guests(&folder, &["rooms-1.1.0"]);
    let file = relup(&folder, "rooms", "rooms-1.1.0.wasm", "state = \"discard\"");
    is_refused(&world.apply(&file).await.unwrap_err(), "rooms");
    is_as_it_was(&world).await;
}
