//! While it serves: no call fails, none is lost, and calls wait for the rest only.

use super::{ENTRIES, checksum, filled, of_register};
use crate::support::{World, guest, patient};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wasmhot::control::protocol::{Exit, UndoRequest};
use wasmhot::error::CallError;
use wasmhot_appup::LimitsSpec;

async fn world() -> World {
    World::with(&["register-1.0.0"], |builder| builder.limits(patient())).await
}

async fn put(world: &World, key: &str, count: u64) -> u64 {
    world.host.call("register", "put", (key, count)).await.unwrap()
}

async fn get(world: &World, key: &str) -> Option<String> {
    world.host.call("register", "get", (key,)).await.unwrap()
}

/// Makes entries, changes and removes them all the time, until it is told to stop. Gives what it has left behind: the counts of
/// keys, none for those that are gone; and how many calls to `put` it made.
async fn busy(host: wasmhot::Host, name: usize, stop: Arc<AtomicBool>) -> (BTreeMap<String, Option<u64>>, u64) {
    let (mut left, mut puts) = (BTreeMap::new(), 0);
    let mut turn = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        // Each client has keys of its own; some lie between those that were there, spread over all of them.
        let key = match turn % 3 {
            0 => format!("key-{:07}-{name}", (turn * 7919) % u64::from(ENTRIES)),
            _ => format!("new-{name}-{}", turn % 500),
        };
        if turn.is_multiple_of(7) {
            let _: bool = host.call("register", "drop-entry", (key.as_str(),)).await.unwrap();
            left.insert(key, None);
        } else {
            let _: u64 = host.call("register", "put", (key.as_str(), turn)).await.unwrap();
            puts += 1;
            left.insert(key, Some(turn));
        }
        tokio::task::yield_now().await;
    }
    (left, puts)
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_a_large_state_goes_up_and_down_in_chunks_under_load() {
    let world = world().await;
    filled(&world).await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..3)
        .map(|name| tokio::spawn(busy(world.host.clone(), name, Arc::clone(&stop))))
        .collect();
    for round in 0..2 {
        let report = world.apply(&guest("register-1.1.0")).await.unwrap();
        let module = of_register(&report);
        let (bytes, ahead) = (module.state_bytes.unwrap(), module.ahead_bytes.unwrap());
        assert!(
            ahead * 10 > bytes * 9,
            "round {round}: all but the rest went ahead: {module:?}"
        );
        assert!(
            module.rehearsal.as_deref().unwrap().starts_with("passed, and back"),
            "{module:?}"
        );
        let report = world.host.undo(UndoRequest::default()).await.unwrap();
        let module = of_register(&report);
        assert!(
            module.ahead_bytes.unwrap() * 10 > module.state_bytes.unwrap() * 9,
            "{module:?}"
        );
    }
    world.apply(&guest("register-1.1.0")).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let (mut left, mut puts) = (BTreeMap::new(), 0);
    for client in clients {
        let (of_one, made) = client.await.unwrap();
        left.extend(of_one);
        puts += made;
    }
    let total: u64 = world.host.call("register", "total", ()).await.unwrap();
    assert_eq!(total, puts, "each call counts once");
    for (key, count) in &left {
        let found = get(&world, key).await;
        match count {
            Some(count) => assert!(
                found
                    .as_ref()
                    .is_some_and(|text| text.contains(&format!("count {count},"))),
                "{key}: {found:?}, not {count}"
            ),
            None => assert_eq!(found, None, "{key}"),
        }
    }
    let alive = left.values().filter(|count| count.is_some()).count();
    let size: u32 = world.host.call("register", "size", ()).await.unwrap();
    assert_eq!(size as usize, ENTRIES as usize + alive);
}

/// Puts and removes a few entries of its own over and over, until it is told to stop: what it did, in order.
async fn one_after_another(host: wasmhot::Host, name: usize, stop: Arc<AtomicBool>) -> Vec<(String, Option<u64>)> {
    let mut done = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let turn = done.len() as u64;
        let key = format!("own-{name}-{}", turn * 7 % 50);
        if turn.is_multiple_of(3) {
            let _: bool = host.call("register", "drop-entry", (key.as_str(),)).await.unwrap();
            done.push((key, None));
        } else {
            let _: u64 = host.call("register", "put", (key.as_str(), turn)).await.unwrap();
            done.push((key, Some(turn)));
        }
    }
    done
}

/// Whether `found` is what some number of these first changes leaves behind.
fn is_some_moment(done: &[(String, Option<u64>)], found: &BTreeMap<String, u64>) -> bool {
    let mut then = BTreeMap::new();
    then == *found
        || done.iter().any(|(key, count)| {
            match count {
                Some(count) => then.insert(key.clone(), *count),
                None => then.remove(key),
            };
            then == *found
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn r28_what_is_on_the_disk_after_an_upgrade_under_load_is_the_state_of_one_moment() {
    let world = world().await;
    filled(&world).await;
    for round in ["register-1.1.0", "register-1.0.0"] {
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..3)
            .map(|name| tokio::spawn(one_after_another(world.host.clone(), name, Arc::clone(&stop))))
            .collect();
        world.apply(&guest(round)).await.unwrap();
        stop.store(true, Ordering::Relaxed);
        let mut changes = Vec::new();
        for client in clients {
            changes.push(client.await.unwrap());
        }
        // Back to what was handed over.
        let trapped: Result<(), CallError> = world.host.call("register", "trap", ()).await;
        trapped.unwrap_err();
        for (name, done) in changes.iter().enumerate() {
            let mut found = BTreeMap::new();
            for number in 0..50 {
                let key = format!("own-{name}-{number}");
                if let Some(text) = get(&world, &key).await {
                    let (_, count) = text.split_once("count ").unwrap();
                    found.insert(key, count.split(',').next().unwrap().parse().unwrap());
                }
            }
            assert!(is_some_moment(done, &found), "{round}, client {name}: {found:?}");
            for key in found.keys() {
                let _: bool = world
                    .host
                    .call("register", "drop-entry", (key.as_str(),))
                    .await
                    .unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_nobody_touches_are_the_same_after_an_upgrade_a_restart_and_an_undo() {
    let world = world().await;
    let before = filled(&world).await;
    let _: u32 = world.host.call("register", "note", ("first",)).await.unwrap();
    world.apply(&guest("register-1.1.0")).await.unwrap();
    assert_eq!(checksum(&world).await, before);
    // Saved as it came, most of it still in the format of 1.0.0.
    let world = world.restart_with(|builder| builder.limits(patient())).await;
    assert_eq!(checksum(&world).await, before);
    world.host.undo(UndoRequest::default()).await.unwrap();
    assert_eq!(checksum(&world).await, before);
    let length: u32 = world.host.call("register", "note", ("second",)).await.unwrap();
    assert_eq!(length, 2, "the log went along");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_cannot_be_converted_is_found_before_the_switch() {
    let world = world().await;
    let before = filled(&world).await;
    put(&world, "odd", 1).await;
    let () = world.host.call("register", "break-entry", ("odd",)).await.unwrap();
    let failure = world.apply(&guest("register-1.1.0")).await.unwrap_err();
    assert_eq!(
        (failure.exit, failure.phase.as_deref()),
        (Exit::Failed, Some("rehearse")),
        "{failure:?}"
    );
    assert!(failure.message.contains("odd"), "it names the entry: {failure:?}");
    assert_eq!(world.host.status().revision, 1);
    let _: bool = world.host.call("register", "drop-entry", ("odd",)).await.unwrap();
    assert_eq!(checksum(&world).await, before);
    let path = world.outside().join("again.wasm");
    std::fs::copy(guest("register-1.1.0"), &path).unwrap();
    world.apply(&path).await.unwrap();
    assert_eq!(checksum(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_missed_calls_the_upgrade_off_and_loses_nothing() {
    let world = world().await;
    let before = filled(&world).await;
    let apply = async |limits: LimitsSpec| {
        let request = wasmhot::control::protocol::ApplyRequest {
            path: guest("register-1.1.0"),
            limits,
            ..Default::default()
        };
        world.host.apply(request).await
    };
    let short = LimitsSpec {
        transfer_timeout: Some(Duration::from_millis(1)),
        ..LimitsSpec::default()
    };
    let failure = apply(short).await.unwrap_err();
    assert_eq!(
        (failure.exit, failure.phase.as_deref()),
        (Exit::CalledOff, Some("transfer")),
        "{failure:?}"
    );
    assert!(failure.message.contains("transfer_timeout"), "{failure:?}");
    assert_eq!(put(&world, "later", 7).await, 1, "its first");
    // What the first one had begun is forgotten.
    apply(LimitsSpec::default()).await.unwrap();
    let _: bool = world.host.call("register", "drop-entry", ("later",)).await.unwrap();
    assert_eq!(checksum(&world).await, before);
}
