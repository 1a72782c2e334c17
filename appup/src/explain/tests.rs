//! The orders that OTP's own tests ask for (`systools_rc_SUITE:translate`), as far as they have a meaning here. In OTP the word
//! `DepMods` says who is suspended with whom; here it is an edge that no longer fits (R22).

use super::{Direction, Step};
use crate::fixture::{golden, inputs, lines, with_appup};
use crate::plan::{Inputs, Plan, plan};
use std::fmt::Write;

#[track_caller]
fn planned(inputs: &Inputs) -> Plan {
    plan(inputs).unwrap_or_else(|refusals| panic!("{}", lines(&refusals)))
}

/// Compares both directions with a file.
#[track_caller]
fn explained(file: &str, inputs: &Inputs) {
    let plan = planned(inputs);
    let mut text = String::new();
    for direction in [Direction::Up, Direction::Down] {
        writeln!(text, "# {direction}\n{}\n", lines(&plan.explain(direction))).expect("is written");
    }
    golden(&format!("explain/{file}.txt"), &text);
}

#[test]
fn update_soft() {
    // Nobody waits for a module without state.
    explained("update-soft", &inputs("foo pool 1.0.0", "foo pool 1.1.0"));
}

#[test]
fn update_soft_suspended() {
    // A caller that keeps its bytes waits too, where an edge from it breaks: that is OTP's `suspend[foo] load resume[foo]`.
    let old = "foo pool 1.0.0 - b(u32)\n bar single 1.0.0 + b(u32)";
    let new = "foo pool 1.1.0 - b(u64)\n bar single 1.1.0 + b(u64)";
    let discarding = with_appup(
        inputs(old, new),
        "bar",
        "[[up]]\nfrom = \"1.0.0\"\nrestart_module = \"bar\"\n[[down]]\nto = \"1.0.0\"\nrestart_module = \"bar\"",
    );
    explained("update-soft-suspended", &discarding);
}

#[test]
fn update_advanced() {
    explained("update-advanced", &inputs("foo single 1.0.0", "foo single 1.1.0"));
}

#[test]
fn foo_depends_on_bar() {
    let old = "foo pool 1.0.0 - b(u32)\n bar single 1.0.0 + b(u32)";
    let new = "foo pool 1.1.0 - b(u64)\n bar single 1.1.0 + b(u64)";
    explained("foo-dep-bar", &inputs(old, new));
}

#[test]
fn foo_depends_on_bar_and_baz_and_baz_on_bar() {
    let of = |version: &str, of: &str| {
        format!(
            "foo pool {version} - b({of}) z({of})\n baz single {version} + z({of}) - b({of})\n bar single {version} + b({of})"
        )
    };
    explained("foo-dep-bar-baz", &inputs(&of("1.0.0", "u32"), &of("1.1.0", "u64")));
}

#[test]
fn foo_and_bar_in_a_circle() {
    let of = |version: &str| format!("foo pool {version} + f() - b()\n bar pool {version} + b() - f()");
    explained("circular", &inputs(&of("1.0.0"), &of("1.1.0")));
    // Keyed modules may form a circle too (R15), and wait where their edges break.
    let of = |version: &str, of: &str| {
        format!(
            "foo keyed {version} + f(string,{of}) - b(string,{of})\n bar keyed {version} + b(string,{of}) - f(string,{of})"
        )
    };
    explained("circular-keyed", &inputs(&of("1.0.0", "u32"), &of("1.1.0", "u64")));
}

#[test]
fn add_and_remove_an_application() {
    // Down is removal.
    explained(
        "add-application",
        &inputs("b pool 1.0.0", "b pool 1.0.0\n a single 1.0.0"),
    );
    explained(
        "remove-application",
        &inputs("b pool 1.0.0\n a single 1.0.0", "b pool 1.0.0"),
    );
}

#[test]
fn restart_an_application() {
    let both = "[[up]]\nfrom = \"*\"\nrestart_module = \"a\"\n[[down]]\nto = \"*\"\nrestart_module = \"a\"";
    explained(
        "restart-application",
        &with_appup(inputs("a single 1.0.0", "a single 1.1.0"), "a", both),
    );
}

#[test]
fn r33_a_keyed_module_changes_key_by_key() {
    explained("per-key", &inputs("room keyed 1.0.0", "room keyed 1.1.0"));
}

#[test]
fn r31_a_rename_hands_over_to_what_is_new() {
    let rename = "[[up]]\nfrom = \"shop@~1.0\"\nadd_module = \"orders\"\nstate_from = [\"shop\"]\n[[down]]\nto = \"shop@~1.0\"\nadd_module = \"shop\"\nstate_from = [\"orders\"]";
    let inputs = with_appup(inputs("shop single 1.0.0", "orders single 1.0.0"), "orders", rename);
    explained("rename", &inputs);
}

#[test]
fn r32_calls_stand_at_their_time() {
    let calls = "[[up]]\nfrom = \"1.0.0\"
        calls = [
            { call = { module = \"s\", function = \"clean\" }, when = \"permanent\" },
            { call = { module = \"s\", function = \"expand\", args = [1, \"a\"] }, undo = { module = \"s\", function = \"contract\" } },
            { call = { module = \"a\", function = \"warm\" }, when = \"after\" },
        ]
        [[down]]\nto = \"1.0.0\"\ncalls = [{ call = { module = \"s\", function = \"contract\" }, when = \"after\" }]";
    let inputs = with_appup(
        inputs("a single 1.0.0\n s pool 1.0.0", "a single 1.1.0\n s pool 1.0.0"),
        "a",
        calls,
    );
    explained("calls", &inputs);
}

#[test]
fn steps_survive_json() {
    let plan = planned(&inputs(
        "a single 1.0.0\n b pool 1.0.0",
        "a single 1.1.0\n c pool 1.0.0",
    ));
    let steps = plan.explain(Direction::Up);
    let json = serde_json::to_string(&steps).expect("serialises");
    assert_eq!(serde_json::from_str::<Vec<Step>>(&json).expect("is read"), steps);
}
