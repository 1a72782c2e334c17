//! R32: `call` steps.

use super::{history, relup, version};
use crate::support::{Binary, put_guests};

fn host() -> Binary {
    // Rooms keep what the steps say; the counter moves.
    Binary::prepared(
        |app| put_guests(app, &["counter-1.0.0", "rooms-1.0.0", "tally-1.0.0"]),
        &[],
    )
}

fn said(host: &Binary) -> String {
    host.ok(&["call", "rooms", "history(\"log\")"]).trim().to_string()
}

fn say(what: &str) -> String {
    format!("{{ module = \"rooms\", function = \"say\", args = [\"log\", \"step\", \"{what}\"] }}")
}

fn step(what: &str, rest: &str) -> String {
    format!("[[up]]\ncall = {}\n{rest}\n", say(what))
}

#[test]
fn r32_steps_are_called_before_after_and_when_permanent_in_their_order() {
    let host = host();
    let steps = [
        step("later", "when = \"permanent\""),
        step("after", "when = \"after\""),
        step("one", ""),
        step("two", "when = \"before\""),
    ]
    .concat();
    let file = relup(host.root(), "2.0.0", &steps);
    host.ok(&["apply", file.to_str().unwrap(), "--probation", "1h"]);
    assert_eq!(said(&host), r#"["step: one", "step: two", "step: after"]"#);
    let told = history(&host);
    let states: Vec<_> = told.last().unwrap()["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["state"].clone())
        .collect();
    assert_eq!(states, ["waiting", "done", "done", "done"]);
    host.ok(&["permanent"]);
    assert_eq!(
        said(&host),
        r#"["step: one", "step: two", "step: after", "step: later"]"#
    );
    assert_eq!(history(&host).last().unwrap()["steps"][0]["state"], "done");
}

#[test]
fn r32_what_was_begun_is_undone_in_reverse_where_the_upgrade_does_not_happen() {
    let host = host();
    let undo = |what: &str| format!("undo = {}", say(what));
    let fails = "[[up]]\ncall = { module = \"counter\", function = \"record\", args = [\"x\"] }\n";
    let steps = [step("one", &undo("not one")), step("two", &undo("not two"))].concat();
    // The counter moves and keeps state: before the switch it is the old one that is called, and an argument is missing.
    let file = relup(host.root(), "2.0.0", &format!("{steps}{fails}"));
    let (exit, refused) = host.fails(&["apply", file.to_str().unwrap()]);
    assert_eq!(exit, 4, "{refused}");
    assert!(
        refused.contains("counter.record") && refused.contains("when = \"after\""),
        "{refused}"
    );
    assert_eq!(said(&host), "[]", "nothing was called");
    let fails = "[[up]]\ncall = { module = \"rooms\", function = \"record\", args = [\"log\", \"x\", 7] }\n";
    let file = relup(host.root(), "2.0.0", &format!("{steps}{fails}"));
    let (exit, failed) = host.fails(&["apply", file.to_str().unwrap()]);
    assert_eq!(exit, 1, "{failed}");
    assert!(
        failed.contains("rooms.record") && failed.contains("it said err"),
        "{failed}"
    );
    assert_eq!(
        said(&host),
        r#"["step: one", "step: two", "step: not two", "step: not one"]"#
    );
    assert_eq!(version(&host, "counter"), "1.0.0");
    let told = history(&host);
    let last = told.last().unwrap();
    assert_eq!(last["result"], "called-off");
    let states: Vec<_> = last["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["state"].clone())
        .collect();
    assert_eq!(states, ["undone", "undone", "failed"], "{last:#}");
}

#[test]
fn r32_a_step_that_fails_after_the_switch_leaves_it_and_exits_8() {
    let host = host();
    let fails =
        "[[up]]\ncall = { module = \"rooms\", function = \"record\", args = [\"log\", \"x\", 7] }\nwhen = \"after\"\n";
    let file = relup(host.root(), "2.0.0", fails);
    let (exit, report) = host.json(&["apply", file.to_str().unwrap()]);
    assert_eq!(exit, 8, "{report:#}");
    assert!(
        report["degraded"].as_str().unwrap().contains("rooms.record"),
        "{report:#}"
    );
    assert_eq!(version(&host, "counter"), "2.0.0");
    assert!(host.ok(&["events"]).contains("is not complete"));
}

#[test]
fn r32_a_wrong_step_is_refused_before_anything_is_done() {
    let host = host();
    let table = [
        ("{ module = \"nobody\", function = \"f\" }", "is not there then"),
        ("{ module = \"rooms\", function = \"shout\" }", "no function `shout`"),
        ("{ module = \"rooms\", function = \"say\", args = [1] }", "say"),
    ];
    for (call, why) in table {
        let steps = [step("one", ""), format!("[[up]]\ncall = {call}\n")].concat();
        let file = relup(host.root(), "2.0.0", &steps);
        let (exit, refused) = host.fails(&["apply", file.to_str().unwrap()]);
        assert_eq!(exit, 4, "{refused}");
        assert!(refused.contains(why), "{call}: {refused}");
        let (exit, dry) = host.fails(&["apply", file.to_str().unwrap(), "--dry-run"]);
        assert_eq!((exit, dry.contains(why)), (4, true), "{dry}");
    }
    assert_eq!(said(&host), "[]");
    assert_eq!(version(&host, "counter"), "1.0.0");
}
