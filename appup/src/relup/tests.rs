use super::{CallSpec, Instruction, Relup, StatePolicy, When};
use crate::fixture::{golden, name};
use proptest::prelude::*;
use serde_json::json;

const HEAD: &str = "format = 1\nrelease = { name = \"donations\", from = \"1.0.0\", to = \"1.1.0\" }\n";
pub(crate) const WHOLE: &str = r#"
format = 1
[release]
name = "donations"
to = "1.1.0"
[[modules]]
name = "server"
[[modules]]
name = "calculator"
[[modules]]
name = "receipts"
[[up]]
call = { module = "schema", function = "expand", args = [1, "a"] }
undo = { module = "schema", function = "contract" }
when = "after"
[[up]]
update = "server"
extra = { currency = "USD", rate = 1.5, since = 2026-01-01 }
state = "last-saved"
[[up]]
load_module = "calculator"
[[up]]
add_module = "receipts"
state_from = ["server"]
[[up]]
delete_module = "ledger"
purge = true
[[up]]
restart_module = "clock"
[[down]]
add_module = "ledger"
[[down]]
delete_module = "receipts"
"#;

#[track_caller]
fn faults(text: &str) -> String {
    Relup::parse("relup.toml", &format!("{HEAD}{text}"))
        .expect_err("is refused")
        .to_string()
}

#[test]
fn a_whole_relup_is_read() {
    let relup = Relup::parse("relup.toml", WHOLE).expect("is read");
    assert_eq!(
        (relup.release.name.as_str(), relup.release.from.as_ref()),
        ("donations", None)
    );
    let undo = CallSpec {
        module: name("schema"),
        function: "contract".into(),
        args: vec![],
    };
    let wanted = [
        Instruction::Call {
            module: name("schema"),
            function: "expand".into(),
            args: vec![json!(1), json!("a")],
            when: When::After,
            undo: Some(undo),
        },
        Instruction::Update {
            module: name("server"),
            extra: json!({ "currency": "USD", "rate": 1.5, "since": "2026-01-01" }),
            state_from: vec![],
            state: Some(StatePolicy::LastSaved),
            via: vec![],
        },
        Instruction::LoadModule {
            module: name("calculator"),
        },
        Instruction::AddModule {
            module: name("receipts"),
            extra: json!(null),
            state_from: vec![name("server")],
        },
        Instruction::DeleteModule {
            module: name("ledger"),
            purge: true,
        },
        Instruction::RestartModule { module: name("clock") },
    ];
    assert_eq!(relup.up, wanted);
    assert_eq!(
        relup.down.iter().map(Instruction::key).collect::<Vec<_>>(),
        ["add_module", "delete_module"]
    );
    let json = serde_json::to_string(&relup).expect("serialises");
    assert_eq!(serde_json::from_str::<Relup>(&json).expect("is read"), relup);
}

#[test]
fn one_entry_is_one_instruction() {
    insta::assert_snapshot!(faults("[[up]]\nupdate = \"a\"\nload_module = \"a\"\n[[up]]\nupdat = \"a\""), @r#"
    error: `update` and `load_module` in one entry
     --> relup.toml:5:1
      |
    5 | load_module = "a"
      | ^^^^^^^^^^^
      = help: one entry is one instruction: make two of it

    error: this entry has no instruction
     --> relup.toml:6:1
      |
    6 | [[up]]
      | ^^^^^^
      = help: write one of update, load_module, add_module, delete_module, restart_module, call

    error: unknown key `updat`
     --> relup.toml:7:1
      |
    7 | updat = "a"
      | ^^^^^
      = help: did you mean `update`?
    "#);
}

#[test]
fn an_instruction_takes_only_its_own_keys() {
    insta::assert_snapshot!(faults("[[modules]]\nname = \"a\"\n[[up]]\nload_module = \"a\"\nextra = {}"), @r#"
    error: unknown key `extra`
     --> relup.toml:7:1
      |
    7 | extra = {}
      | ^^^^^
      = help: `[[up]]` takes here: load_module
    "#);
}

#[test]
fn instructions_name_declared_modules() {
    insta::assert_snapshot!(faults("[[modules]]\nname = \"server\"\n[[up]]\nupdate = \"sever\"\n[[up]]\nadd_module = \"x\"\n[[down]]\nupdate = \"servers\""), @r#"
    error: module `sever` is not declared in `[[modules]]`
     --> relup.toml:6:10
      |
    6 | update = "sever"
      |          ^^^^^^^
      = help: did you mean "server"?

    error: module `x` is not declared in `[[modules]]`
     --> relup.toml:8:14
      |
    8 | add_module = "x"
      |              ^^^
      = help: add `[[modules]]` with `name = "x"` and its `path`

    error: module `servers` is neither declared in `[[modules]]` nor named in `[[up]]`
      --> relup.toml:10:10
       |
    10 | update = "servers"
       |          ^^^^^^^^^
       = help: did you mean "server"?
    "#);
    insta::assert_snapshot!(faults("[[modules]]\nname = \"server\"\n[[up]]\ndelete_module = \"server\""), @r#"
    error: module `server` is declared and deleted
     --> relup.toml:6:17
      |
    6 | delete_module = "server"
      |                 ^^^^^^^^
      = help: take `server` out of `[[modules]]`, or do not delete it
    "#);
}

#[test]
fn a_module_has_one_instruction_per_direction() {
    insta::assert_snapshot!(faults("[[modules]]\nname = \"server\"\n[[up]]\nupdate = \"server\"\n[[up]]\nrestart_module = \"Server\""), @r#"
    error: a second instruction for module `server`
     --> relup.toml:8:18
      |
    8 | restart_module = "Server"
      |                  ^^^^^^^^
      = help: `update` in line 6 is the first: keep one
    "#);
}

#[test]
fn values_that_json_cannot_hold_are_refused() {
    insta::assert_snapshot!(faults("[[modules]]\nname = \"a\"\n[[up]]\nupdate = \"a\"\nextra = [nan, 99999999999999999999]\nstate_from = [\"b\", \"b\", 3]"), @r#"
    error: JSON has no such number
     --> relup.toml:7:10
      |
    7 | extra = [nan, 99999999999999999999]
      |          ^^^
      = help: write it as a string

    error: this number is too large
     --> relup.toml:7:15
      |
    7 | extra = [nan, 99999999999999999999]
      |               ^^^^^^^^^^^^^^^^^^^^
      = help: write it as a string

    error: `b` stands in `state_from` twice
     --> relup.toml:8:20
      |
    8 | state_from = ["b", "b", 3]
      |                    ^^^
      = help: name it once

    error: expected the name of a module
     --> relup.toml:8:25
      |
    8 | state_from = ["b", "b", 3]
      |                         ^
      = help: for example `state_from = ["shop"]`
    "#);
}

#[test]
fn a_call_names_module_and_function() {
    insta::assert_snapshot!(faults("[[up]]\ncall = { modul = \"a\" }\nwhen = \"befor\""), @r#"
    error: `call` lacks `module`
     --> relup.toml:4:8
      |
    4 | call = { modul = "a" }
      |        ^^^^^^^^^^^^^^^
      = help: add `module = "schema"`

    error: `call` lacks `function`
     --> relup.toml:4:8
      |
    4 | call = { modul = "a" }
      |        ^^^^^^^^^^^^^^^
      = help: add `function = "expand"`

    error: unknown key `modul`
     --> relup.toml:4:10
      |
    4 | call = { modul = "a" }
      |          ^^^^^
      = help: did you mean `module`?

    error: `when` cannot be "befor"
     --> relup.toml:5:8
      |
    5 | when = "befor"
      |        ^^^^^^^
      = help: did you mean "before"?
    "#);
}

#[test]
fn r28_an_update_may_go_via_middle_versions() {
    let text = format!(
        "{HEAD}[[modules]]\nname = \"a\"\n[[middle]]\nname = \"a\"\nversion = \"1.1.0\"\npath = \"a-1.1.0.wasm\"\nsha256 = \"{}\"\n[[up]]\nupdate = \"a\"\nvia = [\"1.1.0\", {{ version = \"1.2.0\", extra = 1 }}]\n",
        "07".repeat(32)
    );
    let relup = Relup::parse("relup.toml", &text).expect("is read");
    let Instruction::Update { via, .. } = &relup.up[0] else {
        panic!("an update: {:?}", relup.up)
    };
    assert_eq!(
        (via[0].version.to_string().as_str(), &via[1].extra),
        ("1.1.0", &json!(1))
    );
    assert_eq!(relup.middle[0].path.as_deref(), Some("a-1.1.0.wasm"));
    let written = relup.to_toml().expect("is written");
    golden("relup/via.toml", &written);
    assert_eq!(Relup::parse("relup.toml", &written).expect("is read"), relup);
    golden(
        "relup/via-faults.txt",
        &faults(
            "[[modules]]\nname = \"a\"\n[[middle]]\nname = \"a\"\n[[middle]]\nname = \"a\"\nversion = \"1.0.0\"\n[[middle]]\nname = \"A\"\nversion = \"1.0.0\"\nsha = 1\n[[up]]\nupdate = \"a\"\nvia = [\"1\"]",
        ),
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = Relup::parse("relup.toml", &format!("{HEAD}{text}"));
    }

    #[test]
    fn no_damage_to_a_relup_makes_it_panic(place in 0..WHOLE.len(), length in 0_usize..40, with in "[\\[\\]{}=\",.a-z0-9\n-]{0,6}") {
        let mut text = WHOLE.to_owned();
        text.replace_range(place..(place + length).min(WHOLE.len()), &with);
        if let Err(faults) = Relup::parse("relup.toml", &text) {
            prop_assert!(!faults.as_slice().is_empty());
        }
    }
}
