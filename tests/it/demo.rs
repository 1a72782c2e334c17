//! `wasmhot demo`, by the real binary.

use crate::support::{Lines, command, signal};
use rustix::process::Signal;
use serde_json::{Value, json};

#[test]
fn the_demo_shows_the_main_job() {
    let root = tempfile::tempdir().unwrap();
    let mut demo = command(root.path());
    demo.args(["demo", "--json", "--pace", "300ms", "--clients", "4"])
        .env("TMPDIR", root.path());
    let output = demo.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let load = &report["load"];
    assert_eq!(
        (&load["failed"], &load["lost"], &load["repeated"]),
        (&json!(0), &json!(0), &json!(0)),
        "{report:#}"
    );
    assert_eq!(load["calls"], load["counted"], "{report:#}");
    assert!(load["calls"].as_u64().unwrap() > 0);
    let moved: Vec<_> = report["upgrades"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["report"]["origin"].as_str().unwrap(),
                one["report"]["modules"][0]["to"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(moved, [("drop", "2.0.0"), ("undo", "1.0.0")], "{report:#}");
    assert!(report["refused"].as_str().unwrap().contains("migrate"), "{report:#}");
    let left: Vec<_> = std::fs::read_dir(root.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(left.is_empty(), "it cleans up: {left:?}");
}

#[test]
fn the_demo_can_be_interrupted() {
    let root = tempfile::tempdir().unwrap();
    let mut demo = command(root.path());
    let mut demo = Lines::of_output(demo.args(["demo", "--pace", "1h"]).env("TMPDIR", root.path()));
    demo.until(|line| line.contains("without a pause"));
    signal(demo.pid(), Signal::INT);
    assert_eq!(demo.ended(), Some(130));
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0, "it cleans up");
}
