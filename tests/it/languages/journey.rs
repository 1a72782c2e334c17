//! A running counter changes its language, with its state, under load: Rust, Go, Python, C, JavaScript, and back.

use super::{C, GO, JAVASCRIPT, Language, PYTHON, RUST, patient};
use crate::clients::{Clients, Orders};
use crate::support::{HANG, World};
use std::time::Duration;
use wasmhot::Host;
use wasmhot::event::EventKind;

/// Where it goes; the version is that of the file's name, except that Rust's says its own.
static WAY: [(&Language, &str); 5] = [
    (&RUST, "1.0.0"),
    (&GO, "1.1.0"),
    (&PYTHON, "1.2.0"),
    (&C, "1.3.0"),
    (&JAVASCRIPT, "1.4.0"),
];

/// Python's runtime imports sockets, which the versions before it did not: such a version is taken only if the release says how it is meant.
const RELEASE: &str = r#"
format = 1
[release]
name = "journey"
version = "1.0.0"
[[modules]]
name = "counter"
path = "counter-1.0.0.wasm"
[modules.grants]
denied = ["sockets"]
"#;

/// Calls that are answered between two changes.
const MORE: u64 = 300;

/// A client that never rests for long; gives the counts that it was answered.
async fn count(host: Host, orders: Orders) -> Vec<i64> {
    let mut counts = Vec::new();
    while orders.go_on() {
        counts.push(host.call("counter", "increment", (1_i64,)).await.unwrap());
        orders.answered();
        orders.think(Duration::from_millis(20)).await;
    }
    counts
}

async fn drop_it(world: &World, file: &str, bytes: &[u8]) {
    let since = world.now();
    world.drop_file(file, bytes);
    world
        .event_within(10 * HANG, since, |event| {
            assert_ne!(event.kind, EventKind::CalledOff, "{}", event.message);
            assert_ne!(event.kind, EventKind::Refused, "{}", event.message);
            event.kind == EventKind::Switched
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_changes_its_language_under_load_and_no_call_is_lost() {
    let built = tokio::task::spawn_blocking(|| WAY.map(|(language, _)| language.built()))
        .await
        .unwrap();
    let steps: Vec<(String, &[u8])> = built
        .iter()
        .zip(&WAY)
        .filter_map(|(built, (_, version))| Some((format!("counter-{version}.wasm"), built.as_ref()?.first.as_slice())))
        .collect();
    if steps.len() < WAY.len() {
        return;
    }
    let (file, bytes) = &steps[0];
    let release = ("release.toml".to_string(), RELEASE.as_bytes().to_vec());
    let world = World::of_files(&[(file.clone(), bytes.to_vec()), release], |builder| {
        builder.limits(patient())
    })
    .await;
    let host = &world.host;
    let () = host.call("counter", "grow", (1000_u32,)).await.unwrap();
    let mut clients = Clients::start(|_, orders| count(host.clone(), orders));
    clients.answered(MORE).await;
    for (file, bytes) in &steps[1..] {
        drop_it(&world, file, bytes).await;
        clients.answered(MORE).await;
    }
    for (file, bytes) in steps.iter().rev().skip(1) {
        let report = world.apply_bytes(file, bytes).await.unwrap();
        assert_eq!(report.modules[0].action, "update", "{report:#?}");
        clients.answered(MORE).await;
    }
    let mut counts: Vec<i64> = clients.stop().await.into_iter().flatten().collect();
    counts.sort_unstable();
    let calls = i64::try_from(counts.len()).unwrap();
    assert!(counts.iter().copied().eq(1..=calls), "each count was answered once");
    let last: i64 = host.call("counter", "get", ()).await.unwrap();
    assert_eq!(last, calls);
    let status = host.status();
    assert_eq!(status.modules[0].version, "1.0.0");
    // What only one language has written has gone through all of them.
    let exported = host.state_export("counter", None).await.unwrap();
    let note: Vec<u8> = (b'a'..=b'z').cycle().take(1000).collect();
    assert!(exported.windows(note.len()).any(|window| window == note));
}
