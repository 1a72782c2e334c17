use super::{Inputs, Plan, PlanModule, joint_sets, plan, split};
use crate::fixture::{golden, inputs, lines, name, node, release, with_appup};
use crate::name::ModuleName;
use crate::refusal::{RefusalCode, WarningCode};
use crate::relup::{Instruction, Relup};
use crate::settings::DirGrant;
use crate::upgrade::{Action, plan_moves};
use std::collections::BTreeSet;

#[track_caller]
fn planned(inputs: &Inputs) -> Plan {
    plan(inputs).unwrap_or_else(|refusals| panic!("{}", lines(&refusals)))
}

#[track_caller]
fn refused(inputs: &Inputs) -> String {
    lines(&plan(inputs).expect_err("is refused"))
}

/// `update a, load_module b` of one direction.
fn shown(instructions: &[Instruction]) -> String {
    let one = |one: &Instruction| format!("{} {}", one.key(), one.module());
    instructions.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A middle version of `a`, with its appup and what it reads.
fn middle(version: &str, appup: Option<&str>, reads: Option<&[&str]>) -> PlanModule {
    let mut of = release("0.0.0", &format!("a single {version}"))
        .modules
        .remove("a")
        .expect("is there");
    of.appup = appup.map(|text| {
        crate::Appup::parse("a.appup.toml", &format!("format = 1\nmodule = \"a\"\n{text}")).expect("an appup")
    });
    of.state = reads.map(|reads| crate::StateDescription {
        reads: reads.iter().map(|text| text.parse().expect("a range")).collect(),
        ..crate::StateDescription::default()
    });
    of
}

#[test]
fn everything_is_written_and_reads_back_as_the_same_moves() {
    let old = "server single 1.0.0 + place(u32)\n calculator pool 1.0.0 - place(u32)\n ledger single 1.0.0\n clock pool 1.0.0";
    let new = "server single 1.1.0 + place(u64)\n calculator pool 1.1.0 - place(u64)\n receipts pool 1.0.0\n clock pool 1.0.0";
    let inputs = with_appup(
        inputs(old, new),
        "server",
        "[[up]]\nfrom = \"~1.0\"\nupdate = \"server\"\nextra = { currency = \"USD\" }\ncalls = [{ call = { module = \"schema\", function = \"expand\" }, undo = { module = \"schema\", function = \"contract\" } }]\n[[down]]\nto = \"~1.0\"",
    );
    let plan = planned(&inputs);
    let text = plan.relup.to_toml().expect("is written");
    golden("plan/whole.toml", &text);
    let read = Relup::parse("relup.toml", &text).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(read, plan.relup);
    let moving: Vec<Instruction> = read.up.iter().filter(|one| one.key() != "call").cloned().collect();
    let moves = plan_moves(&moving, &plan.up.transition.old, &plan.up.transition.new);
    assert_eq!(moves.as_ref(), Ok(&plan.up.transition.moves));
    assert_eq!(
        plan.up.checked.gated,
        BTreeSet::from([name("calculator"), name("ledger"), name("server")])
    );
}

#[test]
fn without_appups_the_defaults_are_written() {
    let plan = planned(&inputs(
        "a single 1.0.0\n b pool 1.0.0\n c single 1.0.0",
        "a single 1.1.0\n b pool 1.1.0\n d pool 1.0.0",
    ));
    assert_eq!(
        shown(&plan.relup.up),
        "update a, load_module b, add_module d, delete_module c"
    );
    assert_eq!(
        shown(&plan.relup.down),
        "add_module c, delete_module d, load_module b, update a"
    );
}

#[test]
fn r07_a_callee_comes_first_going_up_and_last_going_down() {
    let of = |version: &str| format!("a pool {version} - b()\n b pool {version} + b() - c()\n c pool {version} + c()");
    let plan = planned(&inputs(&of("1.0.0"), &of("1.1.0")));
    assert_eq!(shown(&plan.relup.up), "load_module c, load_module b, load_module a");
    assert_eq!(shown(&plan.relup.down), "load_module a, load_module b, load_module c");
}

#[test]
fn the_appup_of_the_newer_version_describes_both_ways() {
    let says =
        "[[up]]\nfrom = \"1.0.0\"\nrestart_module = \"a\"\n[[down]]\nto = \"1.0.0\"\nupdate = \"a\"\nstate = \"empty\"";
    let forward = with_appup(inputs("a single 1.0.0", "a single 1.1.0"), "a", says);
    let plan = planned(&forward);
    assert_eq!(
        (shown(&plan.relup.up), shown(&plan.relup.down)),
        ("restart_module a".into(), "update a".into())
    );
    // A release that goes back to an older version of the module is planned by the same appup.
    let mut backward = inputs("a single 1.1.0", "a single 1.0.0");
    let appup = forward.new.modules["a"].appup.clone();
    backward.old.modules.get_mut("a").expect("is there").appup = appup;
    let plan = planned(&backward);
    assert_eq!(
        (shown(&plan.relup.up), shown(&plan.relup.down)),
        ("update a".into(), "restart_module a".into())
    );
    assert_eq!(plan.up.checked.lossy.len(), 1);
}

#[test]
fn an_appup_without_an_entry_is_refused() {
    let no_down = with_appup(
        inputs("a single 1.0.0", "a single 1.1.0"),
        "a",
        "[[up]]\nfrom = \"1.0.0\"",
    );
    golden("plan/no-entry-down.txt", &refused(&no_down));
    let mut no_up = with_appup(
        inputs("a single 1.0.0", "a single 1.1.0"),
        "a",
        "[[up]]\nfrom = \"~0.9\"\n[[up]]\nfrom = \"1.0.1\"\n[[down]]\nto = \"*\"",
    );
    no_up.middle.push(middle("1.0.2", None, None));
    golden("plan/no-entry-up.txt", &refused(&no_up));
}

#[test]
fn an_appup_of_another_module_or_version_is_refused() {
    let other = with_appup(
        inputs("a single 1.0.0", "a single 1.1.0"),
        "a",
        "version = \"1.2.0\"\n[[up]]\nfrom = \"*\"\n[[down]]\nto = \"*\"",
    );
    assert_eq!(plan(&other).expect_err("is refused")[0].code, RefusalCode::BadAppup);
    assert!(refused(&other).starts_with("The appup that comes with `a` 1.1.0 is that of `a` 1.2.0."));
    let mut other = other;
    other.new.modules.get_mut("a").expect("is there").spec.path = None;
    assert_eq!(
        plan(&other).expect_err("is refused")[0].code,
        RefusalCode::IncompleteInput
    );
}

#[test]
fn r28_a_chain_of_middle_versions_by_their_appups() {
    let mut chained = with_appup(
        inputs("a single 1.0.0", "a single 1.3.0"),
        "a",
        "[[up]]\nfrom = \"1.2.0\"\nupdate = \"a\"\nextra = 3\n[[up]]\nfrom = \"1.1.9\"\n[[down]]\nto = \"*\"",
    );
    chained.middle = vec![
        middle(
            "1.2.0",
            Some(
                "[[up]]\nfrom = \"1.1.0\"\nextra = 2\nupdate = \"a\"\ncalls = [{ call = { module = \"s\", function = \"f\" } }]",
            ),
            None,
        ),
        middle(
            "1.1.0",
            Some("[[up]]\nfrom = \"1.0.0\"\nupdate = \"a\"\nextra = 1"),
            None,
        ),
        middle("1.1.5", Some("[[up]]\nfrom = \"1.0.0\"\nrestart_module = \"a\""), None),
        middle("1.1.9", Some("[[up]]\nfrom = \"1.1.0\""), None),
    ];
    let plan = planned(&chained);
    golden("plan/chain.toml", &plan.relup.to_toml().expect("is written"));
    let via: Vec<String> = plan.up.transition.moves[0]
        .via
        .iter()
        .map(|via| format!("{} {}", via.version, via.extra))
        .collect();
    // Of the two ways of this length the one by the lower versions.
    assert_eq!(via, ["1.1.0 1", "1.1.9 null"]);
    assert!(plan.down.transition.moves[0].via.is_empty());
    golden(
        "explain/chain.txt",
        &lines(&plan.explain(crate::explain::Direction::Up)),
    );
}

#[test]
fn r28_a_chain_of_middle_versions_by_what_they_read() {
    let mut chained = inputs("a single 1.0.0", "a single 1.2.0");
    let ranges = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a range")).collect();
    chained.new.modules.get_mut("a").expect("is there").state = Some(crate::StateDescription {
        reads: ranges(&["~1.2", "~1.1"]),
        writes: ranges(&["~1.0"]),
        ..crate::StateDescription::default()
    });
    let refusals = plan(&chained).expect_err("no way");
    assert_eq!(refusals[0].code, RefusalCode::StateUnreadable);
    chained.middle.push(middle("1.1.0", None, Some(&["~1.1", "~1.0"])));
    let via = &planned(&chained).up.transition.moves[0].via;
    assert_eq!(via.len(), 1);
    assert_eq!(via[0].version.to_string(), "1.1.0");
    // What nobody described is no link of a chain.
    chained.middle = vec![middle("1.1.0", None, None)];
    assert!(plan(&chained).is_err());
}

#[test]
fn r30_the_way_back_from_a_module_that_begins_to_keep_state_is_labelled() {
    let plan = planned(&inputs("a pool 1.0.0", "a single 1.1.0"));
    assert_eq!(plan.up.checked.warnings[0].code, WarningCode::LossyWayBack);
    assert_eq!(
        plan.down.checked.lossy,
        ["the state of `a` is discarded, as its instruction says"]
    );
    let lossy = inputs("a single 1.0.0", "a pool 1.1.0");
    assert_eq!(plan_codes(&lossy), [RefusalCode::Lossy]);
}

fn plan_codes(inputs: &Inputs) -> Vec<RefusalCode> {
    plan(inputs)
        .expect_err("is refused")
        .into_iter()
        .map(|refusal| refusal.code)
        .collect()
}

#[test]
fn r30_a_way_back_that_cannot_be_gone_refuses_the_plan() {
    assert_eq!(
        plan_codes(&inputs("a single 1.0.0", "a keyed 1.1.0")),
        [RefusalCode::StateFrom, RefusalCode::StateFrom]
    );
    let refusals = plan(&inputs("a single 1.0.0", "a keyed 1.1.0")).expect_err("is refused");
    assert!(refusals[1].message.starts_with("On the way back: "), "{}", refusals[1]);
}

#[test]
fn r31_a_rename_is_planned_by_the_appup_of_what_is_new() {
    let rename = "[[up]]\nfrom = \"shop@~1.0\"\nadd_module = \"orders\"\nstate_from = [\"shop\"]\nextra = 1\n[[down]]\nto = \"shop@~1.0\"";
    let renamed = with_appup(inputs("shop single 1.0.0", "orders single 1.0.0"), "orders", rename);
    let plan = planned(&renamed);
    assert_eq!(shown(&plan.relup.up), "add_module orders, delete_module shop");
    assert_eq!(plan.up.transition.moves[0].state_from, [name("shop")]);
    assert_eq!(shown(&plan.relup.down), "add_module shop, delete_module orders");
    assert_eq!(plan.down.transition.moves[0].state_from, [name("orders")]);
    // An appup that is of other versions of the shop is not asked.
    let other = with_appup(inputs("shop single 2.0.0", "orders single 1.0.0"), "orders", rename);
    assert!(planned(&other).up.transition.moves[0].state_from.is_empty());
}

#[test]
fn other_limits_or_grants_need_a_new_instance_and_other_links_none() {
    let mut changed = inputs(
        "a single 1.0.0\n b pool 1.0.0\n c pool 1.0.0\n d pool 1.0.0",
        "a single 1.0.0\n b pool 1.0.0\n c pool 1.0.0\n d pool 1.0.0",
    );
    let new = &mut changed.new.modules;
    new.get_mut("a").expect("is there").spec.limits.queue_max = Some(7);
    new.get_mut("b").expect("is there").spec.grants.dirs.push(DirGrant {
        host: "data".into(),
        guest: "/data".into(),
        write: true,
    });
    new.get_mut("c")
        .expect("is there")
        .spec
        .config
        .insert("currency".into(), "USD".into());
    let plan = planned(&changed);
    assert_eq!(shown(&plan.relup.up), "update a, load_module b");
    assert_eq!(
        plan.relup
            .modules
            .iter()
            .map(|module| module.name.as_str())
            .collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    // Limits of the whole release are written to each module, as a relup has no other place for them.
    changed.new.limits.call_deadline = Some(std::time::Duration::from_secs(1));
    assert_eq!(
        planned(&changed).relup.modules[0].limits.call_deadline,
        changed.new.limits.call_deadline
    );
    assert_eq!(planned(&changed).up.transition.moves.len(), 4);
}

#[test]
fn nothing_to_do_is_a_plan() {
    let same = inputs("a single 1.0.0", "a single 1.0.0");
    let plan = planned(&same);
    assert!(plan.relup.up.is_empty() && plan.relup.modules.is_empty());
    assert_eq!(split(&plan), Ok(vec![plan.clone()]));
}

fn sets(plan: &Plan) -> String {
    let one = |set: &BTreeSet<ModuleName>| set.iter().map(ModuleName::as_str).collect::<Vec<_>>().join(" ");
    joint_sets(plan).iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn r22_a_plan_is_split_into_what_has_to_move_together() {
    let old = "cart pool 1.0.0 - place(u32)\n orders single 1.0.0 + place(u32)\n web pool 1.0.0\n log pool 1.0.0 + l()";
    let new = "cart pool 1.1.0 - place(u64)\n orders single 1.1.0 + place(u64)\n web pool 1.1.0 - more()\n log pool 1.1.0 + l() more()";
    let whole = planned(&inputs(old, new));
    assert_eq!(sets(&whole), "log, web, cart orders");
    let parts = split(&whole).expect("each part is a plan");
    assert_eq!(
        parts.iter().map(|part| shown(&part.relup.up)).collect::<Vec<_>>(),
        ["load_module log", "load_module web", "update orders, load_module cart"]
    );
    let versions: Vec<String> = parts.iter().map(|part| part.relup.release.to.to_string()).collect();
    assert_eq!(versions, ["1.0.0+part.1", "1.0.0+part.2", "1.1.0"]);
    assert_eq!(parts[2].up.transition.new, whole.up.transition.new);
}

#[test]
fn r22_what_goes_waits_for_whoever_calls_it() {
    let whole = planned(&inputs("a pool 1.0.0 - f()\n b pool 1.0.0 + f()", "a pool 1.1.0"));
    assert_eq!(sets(&whole), "a, b");
    let moved = planned(&inputs(
        "a pool 1.0.0 - f()\n b pool 1.0.0 + f()\n c pool 1.0.0",
        "a pool 1.0.0 - f()\n c pool 1.1.0 + f()",
    ));
    assert_eq!(sets(&moved), "c, b", "a stays linked to b until that goes");
}

#[test]
fn r31_who_shares_a_state_moves_together() {
    let text = |module: &str| {
        format!(
            "[[up]]\nfrom = \"both@*\"\nadd_module = \"{module}\"\nstate_from = [\"both\"]\n[[down]]\nto = \"both@*\"\nadd_module = \"both\"\nstate_from = [\"left\", \"right\"]"
        )
    };
    let both = inputs(
        "both single 1.0.0\n z pool 1.0.0",
        "left single 1.0.0\n right single 1.0.0\n z pool 1.1.0",
    );
    let both = with_appup(with_appup(both, "left", &text("left")), "right", &text("right"));
    let whole = planned(&both);
    assert_eq!(
        whole
            .down
            .transition
            .moves
            .iter()
            .filter(|one| one.action == Action::Add)
            .count(),
        1
    );
    assert_eq!(sets(&whole), "z, both left right");
}

#[test]
fn a_middle_version_is_named_by_its_number() {
    assert_eq!(node("a single 1.1.0").version, middle("1.1.0", None, None).node.version);
}
