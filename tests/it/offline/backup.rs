//! `wasmhot backup` and `run --restore`: all that a host keeps, as it was at one moment, in another host.

use crate::support::{Binary, command, guest};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI64};

/// A counter that was upgraded, counts 8, and was copied; and the copy.
fn copied() -> (Binary, PathBuf) {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    host.ok(&["call", "counter", "increment(5)"]);
    host.ok(&["apply", guest("counter-2.0.0").to_str().unwrap()]);
    host.ok(&["call", "counter", "increment(3)"]);
    let copy = host.root().join("copy");
    let said = host.ok(&["backup", copy.to_str().unwrap()]);
    assert!(said.contains("revision 2 (app 0.0.0+2), 1 state, 2 versions"), "{said}");
    (host, copy)
}

/// A host that is to start with a copy, and does not.
fn refused(copy: &Path, state: &Path) -> Value {
    let root = tempfile::tempdir().unwrap();
    let app = root.path().join("app");
    std::fs::create_dir(&app).unwrap();
    let mut command = command(root.path());
    command
        .arg("run")
        .arg(&app)
        .arg("--state")
        .arg(state)
        .arg("--restore")
        .arg(copy);
    let output = command.arg("--json").output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(4),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_copy_runs_elsewhere_with_its_states_and_its_past() {
    let (host, copy) = copied();
    // What comes later is not in it.
    host.ok(&["call", "counter", "increment(100)"]);
    let other = Binary::prepared(|_| {}, &["--restore", copy.to_str().unwrap()]);
    assert!(other.ready.contains("revision 2"), "{}", other.ready);
    assert_eq!(other.ok(&["call", "counter", "get()"]), "8\n");
    assert_eq!(other.ok(&["call", "counter", "version()"]), "\"2.0.0\"\n");
    other.ok(&["undo"]);
    assert_eq!(other.ok(&["call", "counter", "get()"]), "8\n");
    assert_eq!(other.ok(&["call", "counter", "version()"]), "\"1.0.0\"\n");
    assert!(other.ok(&["history"]).contains("apply"));
    // Neither knows of the other.
    assert_eq!(host.ok(&["call", "counter", "get()"]), "108\n");
}

/// Ends the calls of a test, also where it fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn calls_go_on_while_it_is_copied_and_what_was_answered_before_is_in_it() {
    let host = Binary::run(&["counter-1.0.0", "rooms-1.0.0"], &[]);
    let (root, copy) = (host.root().to_path_buf(), host.root().join("copy"));
    let (stopped, answered) = (AtomicBool::new(false), AtomicI64::new(0));
    let (before, after) = std::thread::scope(|scope| {
        let stop = Stop(&stopped);
        scope.spawn(|| {
            while !stopped.load(SeqCst) {
                let output = command(&root)
                    .args(["call", "counter", "increment(1)"])
                    .output()
                    .unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                answered.fetch_add(1, SeqCst);
            }
        });
        let before = answered.load(SeqCst);
        host.ok(&["backup", copy.to_str().unwrap()]);
        // One may have been executed and not counted yet.
        let after = answered.load(SeqCst) + 1;
        drop(stop);
        (before, after)
    });
    let other = Binary::prepared(|_| {}, &["--restore", copy.to_str().unwrap()]);
    let count: i64 = other.ok(&["call", "counter", "get()"]).trim().parse().unwrap();
    assert!((before..=after).contains(&count), "{count} of {before} to {after}");
}

#[test]
fn nothing_is_replaced() {
    let (host, copy) = copied();
    let (code, said) = host.fails(&["backup", copy.to_str().unwrap()]);
    assert!(code == 4 && said.contains("there already"), "{said}");
    let nowhere = host.root().join("no/such/folder");
    let (code, said) = host.fails(&["backup", nowhere.to_str().unwrap()]);
    assert!(code == 4 && said.contains("is not there"), "{said}");
    // A state that is there stays.
    let other = Binary::prepared(|_| {}, &["--restore", copy.to_str().unwrap()]);
    other.ok(&["call", "counter", "increment(1)"]);
    other.ok(&["stop"]);
    let state = other.root().join("state/wasmhot/app");
    assert!(state.join("catalog.redb").is_file());
    let told = refused(&copy, &state);
    assert_eq!(told["code"], "state-exists", "{told}");
    let other = other.again(&[]);
    assert_eq!(other.ok(&["call", "counter", "get()"]), "9\n");
}

#[test]
fn a_damaged_copy_is_refused_and_a_whole_one_taken_after_it() {
    let (host, copy) = copied();
    let state = host.root().join("restored");
    let objects: Vec<_> = std::fs::read_dir(copy.join("objects"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let files = objects
        .into_iter()
        .chain([copy.join("catalog.redb"), copy.join("release.json")]);
    for file in files {
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() / 3]).unwrap();
        let told = refused(&copy, &state);
        assert!(told["message"].as_str().unwrap().contains("copy"), "{told}");
        std::fs::remove_file(&file).unwrap();
        let fresh = host.root().join("fresh");
        refused(&copy, &fresh);
        std::fs::remove_dir_all(&fresh).unwrap();
        std::fs::write(&file, &whole).unwrap();
        assert!(!state.join("catalog.redb").exists(), "{}", file.display());
    }
    let flags = ["--restore", copy.to_str().unwrap(), "--state", state.to_str().unwrap()];
    let other = Binary::prepared(|_| {}, &flags);
    assert_eq!(other.ok(&["call", "counter", "get()"]), "8\n");
}
