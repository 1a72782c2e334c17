//! A version that newly imports the network, HTTP or the key-value store is refused, unless the release says something about that. A
//! first version, files, and the way back are not.

use crate::made::wasm;
use crate::support::World;
use wasmhot::control::protocol::{ApplyRequest, UndoRequest};
use wasmhot::event::EventKind;
use wasmhot_appup::Capability;

/// A module without state that imports these interfaces, and `value()`.
fn importing(interfaces: &[&str], value: u32) -> Vec<u8> {
    let imports: String = interfaces
        .iter()
        .map(|name| format!("(import \"{name}\" (instance))"))
        .collect();
    wasm(&format!(
        r#"(component {imports}
          (core module $m (func (export "value") (result i32) (i32.const {value})))
          (core instance $i (instantiate $m))
          (func (export "value") (result u32) (canon lift (core func $i "value"))))"#
    ))
}

const SOCKETS: &str = "wasi:sockets/tcp@0.2.0";
const HTTP: &str = "wasi:http/outgoing-handler@0.2.0";
const FILES: &str = "wasi:filesystem/types@0.2.0";

async fn value(world: &World) -> u32 {
    world.host.call("tool", "value", ()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_the_first_version_and_files_are_let_in_and_warned_of() {
    let world = World::empty(|builder| builder).await;
    let first = world
        .apply_bytes("tool-1.0.0.wasm", &importing(&[SOCKETS], 1))
        .await
        .unwrap();
    assert!(
        first
            .warnings
            .iter()
            .any(|told| told.contains("`tool` 1.0.0 imports `wasi:sockets`")),
        "{:?}",
        first.warnings
    );
    // What it had it may go on to have; what runtimes import unasked is only told.
    let second = world
        .apply_bytes("tool-1.1.0.wasm", &importing(&[SOCKETS, FILES], 2))
        .await
        .unwrap();
    assert!(
        second
            .warnings
            .iter()
            .any(|told| told.contains("imports `wasi:filesystem`")),
        "{:?}",
        second.warnings
    );
    assert_eq!(value(&world).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_what_is_newly_wanted_is_refused_with_the_lines_that_would_settle_it() {
    let world = World::empty(|builder| builder).await;
    world.apply_bytes("tool-1.0.0.wasm", &importing(&[], 1)).await.unwrap();
    let newer = importing(&[HTTP], 2);
    let refused = world.apply_bytes("tool-1.1.0.wasm", &newer).await.unwrap_err();
    assert_eq!((refused.code.as_str(), u8::from(refused.exit)), ("not-granted", 4));
    for part in [
        "`tool` 1.1.0 newly imports `wasi:http`",
        "http = [\"https://api.example.com\"]",
        "--deny http",
    ] {
        assert!(refused.message.contains(part), "{part}: {refused}");
    }
    assert_eq!(value(&world).await, 1);
    // A drop as well: it waits for somebody to settle it.
    let since = world.now();
    world.drop_file("tool-1.1.0.wasm", &newer);
    let event = world.event_of(since, EventKind::Pending).await;
    assert!(event.message.contains("newly imports `wasi:http`"), "{}", event.message);
    // Said once that it does without, it is let in, and so are its successors.
    let request = ApplyRequest {
        path: world.app().join("tool-1.1.0.wasm"),
        deny: vec![Capability::Http],
        ..ApplyRequest::default()
    };
    world.host.apply(request).await.unwrap();
    assert_eq!(value(&world).await, 2);
    world.apply_bytes("tool-1.0.5.wasm", &importing(&[], 3)).await.unwrap();
    world
        .apply_bytes("tool-1.2.0.wasm", &importing(&[HTTP], 4))
        .await
        .unwrap();
    assert_eq!(value(&world).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_the_interfaces_of_wasi_0_3_are_of_the_same_families() {
    for (interface, family) in [
        ("wasi:sockets/types@0.3.0", "`wasi:sockets`"),
        ("wasi:sockets/ip-name-lookup@0.3.0", "`wasi:sockets`"),
        ("wasi:http/client@0.3.0", "`wasi:http`"),
    ] {
        let world = World::empty(|builder| builder).await;
        world.apply_bytes("tool-1.0.0.wasm", &importing(&[], 1)).await.unwrap();
        let newer = importing(&[interface], 2);
        let refused = world.apply_bytes("tool-1.1.0.wasm", &newer).await.unwrap_err();
        assert_eq!(refused.code, "not-granted", "{interface}");
        assert!(
            refused
                .message
                .contains(&format!("`tool` 1.1.0 newly imports {family}")),
            "{refused}"
        );
        assert_eq!(value(&world).await, 1);
    }
    // What serves requests sends none.
    let world = World::empty(|builder| builder).await;
    world.apply_bytes("tool-1.0.0.wasm", &importing(&[], 1)).await.unwrap();
    let newer = importing(&["wasi:http/types@0.3.0", "wasi:clocks/monotonic-clock@0.3.0"], 2);
    world.apply_bytes("tool-1.1.0.wasm", &newer).await.unwrap();
    assert_eq!(value(&world).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_a_grant_in_the_relup_lets_it_in_and_the_way_back_is_always_open() {
    let world = World::empty(|builder| builder).await;
    world
        .apply_bytes("tool-1.0.0.wasm", &importing(&[SOCKETS], 1))
        .await
        .unwrap();
    world.apply_bytes("tool-1.1.0.wasm", &importing(&[], 2)).await.unwrap();
    // Back to a version that imports more than the one that runs.
    world.host.undo(UndoRequest::default()).await.unwrap();
    assert_eq!(value(&world).await, 1);
    std::fs::write(world.outside().join("tool-1.2.0.wasm"), importing(&[SOCKETS, HTTP], 3)).unwrap();
    let relup = "format = 1\n[release]\nname = \"app\"\nto = \"1.2.0\"\n[[modules]]\nname = \"tool\"\nversion = \"1.2.0\"\npath = \"tool-1.2.0.wasm\"\n";
    let file = world.outside().join("relup.toml");
    std::fs::write(&file, format!("{relup}[[up]]\nload_module = \"tool\"\n")).unwrap();
    assert_eq!(world.apply(&file).await.unwrap_err().code, "not-granted");
    let granting =
        format!("{relup}[modules.grants]\nhttp = [\"https://api.example.com\"]\n[[up]]\nload_module = \"tool\"\n");
    std::fs::write(&file, granting).unwrap();
    world.apply(&file).await.unwrap();
    assert_eq!(value(&world).await, 3);
}
