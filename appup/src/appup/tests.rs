use super::{Appup, AppupEntry};
use crate::fixture::{golden, name};
use crate::relup::{Instruction, StatePolicy, When};
use proptest::prelude::*;
use serde_json::json;

pub(crate) const WHOLE: &str = r#"
format = 1
module = "server"
version = "1.2.0"
[[up]]
from = "1.1.0"
update = "server"
extra = { currency = "USD" }
state = "last-saved"
state_from = ["server", "shop"]
calls = [
    { call = { module = "schema", function = "expand", args = [1] }, undo = { module = "schema", function = "contract" } },
]
[[up]]
from = "shop@>=1.4, <2"
add_module = "server"
state_from = ["shop"]
[[up]]
from = "~1.0"
[[up.calls]]
call = { module = "server", function = "warm" }
when = "after"
[[down]]
to = ">=1.0.0, <1.2.0"
restart_module = "server"
[[down]]
to = "shop@>=1.4, <2"
add_module = "shop"
state_from = ["server"]
"#;

#[track_caller]
fn faults(text: &str) -> String {
    Appup::parse("server.appup.toml", text)
        .expect_err("is refused")
        .to_string()
}

fn version(text: &str) -> crate::Version {
    text.parse().expect("a version")
}

#[test]
fn a_whole_appup_is_read() {
    let appup = Appup::parse("server.appup.toml", WHOLE).expect("is read");
    assert_eq!(appup.module, name("server"));
    assert_eq!(appup.version, Some(version("1.2.0")));
    assert_eq!((appup.up.len(), appup.down.len()), (3, 2));
    let Some(Instruction::Update {
        extra,
        state,
        state_from,
        ..
    }) = &appup.up[0].instruction
    else {
        panic!("an update: {:?}", appup.up[0])
    };
    assert_eq!(*extra, json!({ "currency": "USD" }));
    assert_eq!((*state, state_from.len()), (Some(StatePolicy::LastSaved), 2));
    assert!(matches!(
        &appup.up[0].calls[..],
        [Instruction::Call {
            undo: Some(_),
            when: When::Before,
            ..
        }]
    ));
    assert!(matches!(
        &appup.up[2].calls[..],
        [Instruction::Call {
            undo: None,
            when: When::After,
            ..
        }]
    ));
    assert_eq!(appup.up[2].instruction, None);
    let json = serde_json::to_string(&appup).expect("serialises");
    assert_eq!(serde_json::from_str::<Appup>(&json).expect("is read"), appup);
}

#[test]
fn the_first_entry_that_holds_a_version_counts() {
    let text = "format = 1\nmodule = \"a\"\n[[up]]\nfrom = \"1.0.1\"\nrestart_module = \"a\"\n[[up]]\nfrom = \"~1.0\"\nload_module = \"a\"\n[[up]]\nfrom = \"b@*\"";
    let appup = Appup::parse("a.appup.toml", text).expect("is read");
    let key = |module: &str, text: &str| {
        let entry = appup.up_from(&name(module), &version(text))?;
        Some(entry.instruction.as_ref().map_or("default", Instruction::key))
    };
    assert_eq!(key("a", "1.0.1"), Some("restart_module"));
    assert_eq!(key("a", "1.0.2"), Some("load_module"));
    assert_eq!(key("a", "1.1.0"), None);
    assert_eq!(key("b", "1.1.0"), Some("default"));
    assert_eq!(appup.down_to(&name("a"), &version("1.0.1")), None);
}

#[test]
fn faults_are_drawn_under_their_line() {
    golden(
        "appup/unknown-keys.txt",
        &faults(
            "format = 1\nmodul = \"server\"\nversion = \"1.1\"\n[[up]]\nform = \"1.0.0\"\nupdat = \"server\"\n[[up]]\nto = \"1.0.0\"\n[[donw]]\nto = \"1\"",
        ),
    );
    golden(
        "appup/ranges.txt",
        &faults(
            "format = 1\nmodule = \"server\"\n[[up]]\nfrom = \">=1.0.0 <1.1\"\n[[up]]\nfrom = \"A B@1\"\n[[up]]\nfrom = 1\n[[down]]\nto = \"~1.0\"\n[[down]]\nto = \"~1.0\"",
        ),
    );
    golden(
        "appup/instructions.txt",
        &faults(
            "format = 1\nmodule = \"server\"\n[[up]]\nfrom = \"1.0.0\"\nupdate = \"sever\"\n[[up]]\nfrom = \"1.0.1\"\nupdate = \"server\"\nload_module = \"server\"\n[[up]]\nfrom = \"1.0.2\"\nload_module = \"server\"\nextra = 1\n[[up]]\nfrom = \"1.0.3\"\nupdate = \"calculator\"\ncalls = [{ cal = 1 }, { call = { module = \"a\" } }]\n[[down]]\nto = \"1.0.0\"\nupdate = \"server\"\nvia = [\"1\", 3, { vers = \"1.0.0\" }, \"1.0.5\", \"1.0.5\"]\nstate = \"life\"",
        ),
    );
    golden("appup/nothing.txt", &faults(""));
}

#[test]
fn the_example_of_the_documentation_is_read() {
    let lines = include_str!("../appup.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//!"));
    let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let example: Vec<&str> = lines
        .skip_while(|line| *line != "```toml")
        .skip(1)
        .take_while(|line| *line != "```")
        .collect();
    let appup = Appup::parse("server.appup.toml", &example.join("\n")).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((appup.up.len(), appup.down.len()), (1, 1));
}

#[test]
fn what_is_written_is_read_back() {
    let appup = Appup::parse("server.appup.toml", WHOLE).expect("is read");
    let text = appup.to_toml().expect("is written");
    golden("appup/written.toml", &text);
    assert_eq!(
        Appup::parse("server.appup.toml", &text).unwrap_or_else(|faults| panic!("{faults}")),
        appup
    );
}

fn entry() -> impl Strategy<Value = AppupEntry> {
    let ranges = prop_oneof![
        "(0|[1-9][0-9]?)\\.[0-9]\\.[0-9](-rc\\.[1-9])?(\\+b[0-9])?",
        "(>=|~|\\^|=|<)[0-9]\\.[0-9]",
        ">=[0-4]\\.0, <[5-9]\\.0",
        "(shop|cart)@\\*",
    ];
    let what = (0..5_u8, "\\PC{0,9}", any::<i64>(), any::<bool>());
    (ranges, what, 0..3_usize).prop_map(|(range, (verb, text, number, flag), calls)| {
        let module = name("server");
        let instruction = match verb {
            0 => None,
            1 => Some(Instruction::LoadModule { module }),
            2 => Some(Instruction::RestartModule { module }),
            3 => Some(Instruction::AddModule {
                module,
                extra: json!([text, number]),
                state_from: vec![name("shop")],
            }),
            _ => Some(Instruction::Update {
                module,
                extra: json!({ text.clone(): number }),
                state_from: vec![],
                state: flag.then_some(StatePolicy::Live),
                via: vec![],
            }),
        };
        let call = Instruction::Call {
            module: name("schema"),
            function: text,
            args: vec![json!(number)],
            when: if flag { When::Permanent } else { When::Before },
            undo: None,
        };
        AppupEntry {
            versions: range.parse().expect("a range"),
            instruction,
            calls: vec![call; calls],
        }
    })
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_back(up in prop::collection::vec(entry(), 0..4), down in prop::collection::vec(entry(), 0..4)) {
        let distinct = |entries: Vec<AppupEntry>| {
            let mut kept: Vec<AppupEntry> = Vec::new();
            for entry in entries {
                if kept.iter().all(|one| one.versions != entry.versions) {
                    kept.push(entry);
                }
            }
            kept
        };
        let appup = Appup { module: name("server"), version: None, up: distinct(up), down: distinct(down) };
        let text = appup.to_toml().expect("is written");
        prop_assert_eq!(Appup::parse("server.appup.toml", &text).unwrap_or_else(|faults| panic!("{faults}\n{text}")), appup);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = Appup::parse("a.appup.toml", &text);
    }

    #[test]
    fn no_damage_to_an_appup_makes_it_panic(place in 0..WHOLE.len(), length in 0_usize..40, with in "[\\[\\]{}=\",.a-z0-9\n@-]{0,6}") {
        let mut text = WHOLE.to_owned();
        text.replace_range(place..(place + length).min(WHOLE.len()), &with);
        if let Err(faults) = Appup::parse("a.appup.toml", &text) {
            prop_assert!(!faults.as_slice().is_empty());
        }
    }
}
