use crate::fixture::{graph, lines, name};
use crate::graph::{Graph, Wiring};
use crate::name::ModuleName;
use crate::refusal::{Refusal, RefusalCode, WarningCode};
use crate::relup::{Instruction, Relup, StatePolicy};
use crate::upgrade::{Action, CheckOptions, Checked, Move, Transition, check, default_moves, plan_moves, undo_moves};
use std::collections::BTreeSet;

const NO_LOSS: CheckOptions = CheckOptions { allow_lossy: false };
const LOSS: CheckOptions = CheckOptions { allow_lossy: true };

/// A transition by default moves.
pub(super) fn by_default(old: &str, new: &str) -> Transition {
    let (old, new) = (graph(old), graph(new));
    let moves = default_moves(&old, &new);
    Transition::new(old, new, moves)
}

/// A transition by the entries of `[[up]]`.
pub(super) fn by(old: &str, new: &str, up: &str) -> Result<Transition, Vec<Refusal>> {
    let (old, new) = (graph(old), graph(new));
    let moves = plan_moves(&instructions(&new, up), &old, &new)?;
    Ok(Transition::new(old, new, moves))
}

fn instructions(new: &Graph, up: &str) -> Vec<Instruction> {
    let modules: String = new
        .nodes
        .keys()
        .map(|name| format!("[[modules]]\nname = \"{name}\"\n"))
        .collect();
    let text = format!("format = 1\n{modules}[release]\nname = \"a\"\nto = \"2.0.0\"\n{up}");
    Relup::parse("relup.toml", &text)
        .unwrap_or_else(|faults| panic!("{faults}"))
        .up
}

fn checked(transition: &Transition) -> Result<Checked, Vec<Refusal>> {
    check(transition, &transition.old.resolve().0, &NO_LOSS)
}

#[track_caller]
fn gated(transition: &Transition) -> String {
    let gated = checked(transition).expect("may run").gated;
    gated.iter().map(ModuleName::as_str).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn codes(transition: &Transition) -> Vec<RefusalCode> {
    checked(transition)
        .expect_err("is refused")
        .iter()
        .map(|refusal| refusal.code)
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<ModuleName> {
    names.iter().map(|text| name(text)).collect()
}

#[test]
fn default_moves_follow_bytes_and_kinds() {
    let transition = by_default(
        "a pool 1.0.0\n b single 1.0.0\n c single 1.0.0\n d pool 1.0.0\n e pool 1.0.0",
        "a pool 1.1.0\n b single 1.1.0\n c single 1.0.0\n d single 1.1.0\n f pool 1.0.0",
    );
    let moves: Vec<String> = transition
        .moves
        .iter()
        .map(|one| format!("{} {}", one.action, one.module))
        .collect();
    assert_eq!(moves, ["load a", "update b", "load d", "delete e", "add f"]);
}

#[test]
fn every_change_needs_an_instruction_that_fits() {
    let (old, new) = (
        "a pool 1.0.0\n b single 1.0.0\n e pool 1.0.0",
        "a pool 1.1.0\n b single 1.1.0\n f pool 1.0.0",
    );
    insta::assert_snapshot!(lines(&by(old, new, "").expect_err("is refused")), @r#"
    `a` changes from 1.0.0 to 1.1.0, and no instruction says how.
      help: add an entry `load_module = "a"`
    `b` changes from 1.0.0 to 1.1.0, and no instruction says how.
      help: add an entry `update = "b"`
    `e` is gone, and no instruction says how.
      help: add an entry `delete_module = "e"`
    `f` is new, and no instruction says how.
      help: add an entry `add_module = "f"`
    "#);
    let wrong = "[[up]]\nadd_module = \"a\"\n[[up]]\nload_module = \"f\"\n[[up]]\nrestart_module = \"e\"\n[[up]]\ndelete_module = \"zzz\"\n[[up]]\nupdate = \"b\"";
    insta::assert_snapshot!(lines(&by(old, new, wrong).expect_err("is refused")), @r#"
    `add_module = "a"` does not fit: `a` runs before and after.
      help: write `update = "a"` or `load_module = "a"`
    `load_module = "f"` does not fit: `f` does not run yet.
      help: write `add_module = "f"`
    `restart_module = "e"` does not fit: `e` is not part of the new release.
      help: write `delete_module = "e"`
    `delete_module = "zzz"` does not fit: `zzz` is part of neither release.
      help: take the entry out
    "#);
    let right = "[[up]]\nload_module = \"a\"\n[[up]]\nupdate = \"b\"\nextra = 1\n[[up]]\ndelete_module = \"e\"\n[[up]]\nadd_module = \"f\"";
    let transition = by(old, new, right).expect("fits");
    assert_eq!(transition.moves[1].extra, serde_json::json!(1));
    assert_eq!(gated(&transition), "b");
}

#[test]
fn an_instruction_for_what_does_not_change_is_obeyed() {
    let same = "a pool 1.0.0\n b single 1.0.0";
    let transition = by(same, same, "[[up]]\nupdate = \"b\"\n[[up]]\nupdate = \"a\"").expect("fits");
    assert_eq!(
        transition.moves.iter().map(|one| one.action).collect::<Vec<_>>(),
        [Action::Update, Action::Load]
    );
    assert_eq!(gated(&transition), "b");
    let refusals = by(same, same, "[[up]]\nupdate = \"a\"\nextra = 1").expect_err("nobody is given it");
    assert_eq!(refusals[0].code, RefusalCode::BadInstruction);
}

#[test]
fn r32_call_steps_move_nothing() {
    let step = "[[up]]\ncall = { module = \"a\", function = \"f\" }\n";
    let transition = by("a pool 1.0.0", "a pool 1.0.0", step).expect("fits");
    assert!(transition.moves.is_empty());
    let (old, new) = ("a single 1.0.0", "a single 1.1.0");
    let refusals = by(old, new, step).expect_err("nothing says how `a` changes");
    assert_eq!(refusals[0].code, RefusalCode::MissingInstruction);
    let both = format!("{step}[[up]]\nupdate = \"a\"\n{step}");
    assert_eq!(by(old, new, &both).expect("fits").moves.len(), 1);
}

#[test]
fn the_way_back_is_by_down_or_by_default() {
    let (old, new) = (graph("a single 1.1.0"), graph("a single 1.0.0"));
    assert_eq!(undo_moves(&old, &new, &[]), Ok(default_moves(&old, &new)));
    let step = Instruction::Call {
        module: name("a"),
        function: "f".to_owned(),
        args: Vec::new(),
        when: crate::relup::When::Before,
        undo: None,
    };
    assert_eq!(undo_moves(&old, &new, &[step]), Ok(default_moves(&old, &new)));
    let down = [Instruction::RestartModule { module: name("a") }];
    assert_eq!(
        undo_moves(&old, &new, &down),
        Ok(vec![Move::new(name("a"), Action::Restart)])
    );
}

#[test]
fn half_of_a_joint_move_is_refused_naming_both_types() {
    let old = "cart pool 1.0.0 - place(u32)\n orders single 1.0.0 + place(u32)";
    let transition = by_default(old, "cart pool 1.0.0 - place(u32)\n orders single 1.1.0 + place(u64)");
    assert_eq!(codes(&transition), [RefusalCode::TypeMismatch]);
    let joint = by_default(old, "cart pool 1.1.0 - place(u64)\n orders single 1.1.0 + place(u64)");
    assert_eq!(gated(&joint), "cart orders");
}

#[test]
fn a_change_without_a_move_is_refused() {
    let mut transition = by_default("a pool 1.0.0", "a pool 1.1.0");
    transition.moves.clear();
    assert_eq!(codes(&transition), [RefusalCode::MissingInstruction]);
    transition.moves = vec![Move::new(name("a"), Action::Add), Move::new(name("a"), Action::Load)];
    assert_eq!(codes(&transition), [RefusalCode::BadInstruction; 2]);
}

#[test]
fn r22_a_compatible_change_gates_only_the_module_itself() {
    let old = "web pool 1.0.0 - add(u32)\n cart pool 1.0.0 + add(u32) - place(u32)\n orders single 1.0.0 + place(u32)";
    let new =
        "web pool 1.0.0 - add(u32)\n cart pool 1.1.0 + add(u32) - place(u32)\n orders single 1.1.0 + place(u32) more()";
    assert_eq!(gated(&by_default(old, new)), "orders");
}

#[test]
fn r22_an_incompatible_change_gates_all_that_reach_the_edge_on_old_code() {
    let table = [
        // Through pools, moved or not, and through a stateful module that stays.
        ("pool 1.0.0", "pool 1.0.0", "cart orders store web"),
        ("pool 1.0.0", "pool 1.1.0", "cart orders store web"),
        ("single 1.0.0", "single 1.0.0", "cart orders store web"),
        // A stateful module that moves runs new code behind its gate: nobody before it has to wait.
        ("single 1.0.0", "single 1.1.0", "cart orders store"),
        ("keyed 1.0.0", "keyed 1.1.0", "cart orders store"),
    ];
    for (before, after, wanted) in table {
        let old = format!(
            "web pool 1.0.0 - sell(string)
             store {before} + sell(string) - add(u32)
             cart pool 1.0.0 + add(u32) - place(u32)
             orders single 1.0.0 + place(u32) look()
             side pool 1.0.0 - look()"
        );
        let new = format!(
            "web pool 1.0.0 - sell(string)
             store {after} + sell(string) - add(u32)
             cart pool 1.1.0 + add(u32) - place(u64)
             orders single 1.1.0 + place(u64) look()
             side pool 1.0.0 - look()"
        );
        assert_eq!(gated(&by_default(&old, &new)), wanted, "{before} to {after}");
    }
}

#[test]
fn r22_a_keyed_callee_is_gated_only_if_an_edge_breaks() {
    let old = "web pool 1.0.0 - say(string,u32)\n room keyed 1.0.0 + say(string,u32)";
    assert_eq!(
        gated(&by_default(
            old,
            "web pool 1.0.0 - say(string,u32)\n room keyed 1.1.0 + say(string,u32)"
        )),
        ""
    );
    assert_eq!(
        gated(&by_default(
            old,
            "web pool 1.1.0 - say(string)\n room keyed 1.1.0 + say(string)"
        )),
        "room web"
    );
}

#[test]
fn r22_a_stateful_module_that_goes_breaks_its_edges() {
    let transition = by_default("web pool 1.0.0 - a()\n one single 1.0.0 + a()", "web pool 1.1.0");
    assert_eq!(gated(&transition), "one web");
}

#[test]
fn r30_state_is_not_lost_unasked() {
    let (old, new) = ("a single 1.0.0", "a pool 1.1.0");
    let transition = by_default(old, new);
    insta::assert_snapshot!(lines(&checked(&transition).expect_err("is refused")), @r#"
    The state of `a` would be lost: its new version keeps none.
      help: allow it with `--allow-lossy`, or with `update = "a"` and `state = "discard"`
    "#);
    let allowed = check(&transition, &Wiring::default(), &LOSS).expect("may run");
    assert_eq!((allowed.lossy.len(), allowed.gated), (1, set(&["a"])));
    let discarded = by(old, new, "[[up]]\nupdate = \"a\"\nstate = \"discard\"").expect("fits");
    assert_eq!(
        (discarded.moves[0].action, discarded.moves[0].state),
        (Action::Load, Some(StatePolicy::Discard))
    );
    assert_eq!(checked(&discarded).expect("may run").lossy.len(), 1);
}

#[test]
fn r30_a_stateful_module_is_not_merely_loaded() {
    let (old, new) = ("a single 1.0.0", "a single 1.1.0");
    let loaded = by(old, new, "[[up]]\nload_module = \"a\"").expect("fits");
    insta::assert_snapshot!(lines(&checked(&loaded).expect_err("is refused")), @r#"
    `a` is loaded, but keeps state that `load_module` does not hand over.
      help: write `update = "a"` to keep the state, or `restart_module = "a"` to lose it
    "#);
    let restarted = checked(&by(old, new, "[[up]]\nrestart_module = \"a\"").expect("fits")).expect("may run");
    assert_eq!((restarted.lossy.len(), restarted.gated), (1, set(&["a"])));
}

#[test]
fn r30_beginning_to_keep_state_makes_the_way_back_lossy() {
    let fresh = checked(&by_default("a pool 1.0.0", "a single 1.1.0")).expect("may run");
    assert_eq!(
        (fresh.warnings[0].code, fresh.gated.len()),
        (WarningCode::LossyWayBack, 0)
    );
}

#[test]
fn r30_keyed_needs_state_from() {
    for (before, after) in [("single", "keyed"), ("keyed", "single")] {
        let (old, new) = (format!("a {before} 1.0.0"), format!("a {after} 1.1.0"));
        assert_eq!(codes(&by_default(&old, &new)), [RefusalCode::StateFrom]);
        let said = by(&old, &new, "[[up]]\nupdate = \"a\"\nstate_from = [\"a\"]").expect("fits");
        assert_eq!(gated(&said), "a", "{before} to {after}");
    }
    let same = by(
        "a keyed 1.0.0",
        "a keyed 1.1.0",
        "[[up]]\nupdate = \"a\"\nstate_from = [\"a\"]",
    )
    .expect("fits");
    assert_eq!(gated(&same), "");
}

#[test]
fn r31_a_rename_takes_the_predecessors_state() {
    let up = "[[up]]\nupdate = \"orders\"\nstate_from = [\"shop\"]\n[[up]]\ndelete_module = \"shop\"";
    let renamed = by("shop single 1.0.0", "orders single 1.0.0", up).expect("fits");
    assert_eq!(renamed.moves[0].action, Action::Add);
    let checked = checked(&renamed).expect("may run");
    assert_eq!((checked.gated, checked.lossy), (set(&["shop"]), vec![]));
}

#[test]
fn r31_a_split_gates_whoever_feeds_it() {
    let up = "[[up]]\nadd_module = \"left\"\nstate_from = [\"both\"]\n[[up]]\nadd_module = \"right\"\nstate_from = [\"both\"]";
    let split = by(
        "both keyed 1.0.0",
        "both keyed 1.0.0\n left single 1.0.0\n right single 1.0.0",
        up,
    )
    .expect("fits");
    assert_eq!(gated(&split), "both");
}

#[test]
fn r31_state_from_names_what_has_state_and_may_not_leave_out_ones_own() {
    let old = "a single 1.0.0\n b single 1.0.0\n p pool 1.0.0";
    let new = "a single 1.1.0\n b single 1.0.0\n p pool 1.0.0";
    let one = |from: &str| by(old, new, &format!("[[up]]\nupdate = \"a\"\nstate_from = [{from}]")).expect("fits");
    assert_eq!(gated(&one("\"a\", \"b\"")), "a b");
    assert_eq!(codes(&one("\"b\"")), [RefusalCode::Lossy]);
    assert_eq!(codes(&one("\"a\", \"p\"")), [RefusalCode::StateFrom]);
    assert_eq!(codes(&one("\"a\", \"q\"")), [RefusalCode::StateFrom]);
}

#[test]
fn a_purge_is_labelled() {
    let purged = by("a single 1.0.0", "", "[[up]]\ndelete_module = \"a\"\npurge = true").expect("fits");
    assert_eq!(checked(&purged).expect("may run").lossy.len(), 1);
    assert_eq!(
        checked(&by_default("a single 1.0.0", "")).expect("may run").lossy.len(),
        0
    );
}
