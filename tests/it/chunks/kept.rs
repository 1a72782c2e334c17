//! What is kept on the disk of states that go in chunks: after a trap, kill -9 at any place, in a copy.

use super::{checksum, filled};
use crate::support::{Binary, World, guest, patient, until};
use std::path::Path;
use std::process::{Command, Stdio};
use wasmhot::error::CallError;
use wasmhot_appup::LimitsSpec;

/// The files of chunks under a state directory.
fn files(root: &Path) -> Vec<String> {
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                if entry.file_name() == "chunks" {
                    let files = std::fs::read_dir(entry.path()).unwrap();
                    return files
                        .map(|file| file.unwrap().file_name().into_string().unwrap())
                        .collect();
                }
                folders.push(entry.path());
            }
        }
    }
    panic!("no folder for chunks under {}", root.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn r28_after_a_trap_the_state_that_was_handed_over_in_chunks_is_there() {
    let world = World::with(&["register-1.0.0"], |builder| builder.limits(patient())).await;
    let before = filled(&world).await;
    world.apply(&guest("register-1.1.0")).await.unwrap();
    let trapped: Result<(), CallError> = world.host.call("register", "trap", ()).await;
    assert!(trapped.unwrap_err().message.contains("restored"), "R14");
    assert_eq!(checksum(&world).await, before);
    // Also by the older version, which cannot read what the newer one has written for itself.
    let undo = wasmhot::control::protocol::UndoRequest {
        state: wasmhot::control::protocol::StateSource::LastSaved,
        ..Default::default()
    };
    world.host.undo(undo).await.unwrap();
    assert_eq!(checksum(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_periodic_saves_go_in_chunks_and_replace_each_other() {
    let limits = LimitsSpec {
        save_interval: Some(std::time::Duration::from_millis(50)),
        ..patient()
    };
    let world = World::with(&["register-1.0.0"], |builder| builder.limits(limits)).await;
    let before = filled(&world).await;
    let saved = || {
        world
            .host
            .status()
            .modules
            .iter()
            .all(|module| module.unsaved_calls == Some(0))
    };
    for round in 1..=5_u64 {
        let count: u64 = world.host.call("register", "put", ("round", round)).await.unwrap();
        assert_eq!(count, round, "calls of `put`");
        until("the state is saved", saved).await;
        let trapped: Result<(), CallError> = world.host.call("register", "trap", ()).await;
        trapped.unwrap_err();
        let found: Option<String> = world.host.call("register", "get", ("round",)).await.unwrap();
        assert!(found.unwrap().contains(&format!("count {round},")));
    }
    until("the state is saved", saved).await;
    until("one file is left", || files(world.app().parent().unwrap()).len() == 1).await;
    let _: bool = world.host.call("register", "drop-entry", ("round",)).await.unwrap();
    assert_eq!(checksum(&world).await, before);
}

/// Kills an upgrade of a large state at each of these places: gives the versions that boot.
#[test]
fn p4_killed_at_any_place_the_state_is_whole() {
    let places = [
        ("sent", "1.0.0"),
        ("gated", "1.0.0"),
        ("quiet", "1.0.0"),
        ("migrated", "1.0.0"),
        ("committed", "1.1.0"),
        ("switched", "1.1.0"),
    ];
    for (place, boots) in places {
        let mut host = Binary::run(&["register-1.0.0"], &[]);
        host.ok(&["call", "register", "fill(8000)"]);
        let before = host.ok(&["call", "register", "checksum()"]);
        // A clean stop saves.
        host.ok(&["stop"]);
        host.ended();
        let mut host = host.again_until(place, &[]);
        let mut apply: Command = crate::support::command(host.root());
        apply.arg("apply").arg(guest("register-1.1.0"));
        let mut running = apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        host.ended();
        running.wait().unwrap();
        let host = host.again(&[]);
        let status: serde_json::Value = serde_json::from_str(&host.ok(&["status", "--json"])).unwrap();
        assert_eq!(status["modules"][0]["version"], boots, "{place}: {status}");
        assert_eq!(host.ok(&["call", "register", "checksum()"]), before, "{place}");
        // What the crash left is gone: at most the file of the state that is kept.
        assert!(files(host.root()).len() <= 1, "{place}: {:?}", files(host.root()));
        host.ok(&["apply", guest("register-1.0.0").to_str().unwrap()]);
        assert_eq!(host.ok(&["call", "register", "checksum()"]), before, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_the_chunks_too() {
    let host = Binary::run(&["register-1.0.0"], &[]);
    host.ok(&["call", "register", "fill(8000)"]);
    let before = host.ok(&["call", "register", "checksum()"]);
    host.ok(&["apply", guest("register-1.1.0").to_str().unwrap()]);
    one_file_is_left(&host).await;
    let copy = host.root().join("copy");
    host.ok(&["backup", copy.to_str().unwrap()]);
    host.ok(&["call", "register", "fill(10)"]);
    let other = Binary::prepared(|_| {}, &["--restore", copy.to_str().unwrap()]);
    assert_eq!(other.ok(&["call", "register", "checksum()"]), before);
}

/// Others are swept within a second.
async fn one_file_is_left(host: &Binary) {
    until("one file is left", || files(&host.root().join("state")).len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_chunks_that_were_changed_on_the_disk_are_told_and_not_taken() {
    let mut host = Binary::run(&["register-1.0.0"], &["--save-interval", "1h"]);
    host.ok(&["call", "register", "fill(8000)"]);
    host.ok(&["apply", guest("register-1.1.0").to_str().unwrap()]);
    one_file_is_left(&host).await;
    host.kill();
    host.ended();
    let name = files(&host.root().join("state")).remove(0);
    let mut folders = vec![host.root().join("state")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false if entry.file_name().to_str() == Some(&name) => {
                    let mut bytes = std::fs::read(entry.path()).unwrap();
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    std::fs::write(entry.path(), bytes).unwrap();
                }
                false => {}
            }
        }
    }
    let host = host.again(&[]);
    let (_, said) = host.fails(&["call", "register", "size()"]);
    assert!(said.contains("damaged"), "{said}");
}
