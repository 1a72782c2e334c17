//! Cases of `systools_SUITE` (relups) and `systools_rc_SUITE` (the translation of appups). OTP's literal orders are golden files in
//! `appup/tests/golden`.

use std::collections::BTreeMap;
use std::sync::Arc;
use wasmhot_appup::plan::{Inputs, PlanModule, PlanRelease, plan};
use wasmhot_appup::{
    Appup, Digest, Kind, ModuleInterface, ModuleName, ModuleSpec, ModuleVersion, Node, Relup, Version,
};

fn module(name: &str, version: &str, appup: Option<&str>) -> PlanModule {
    let stateful = Arc::new(ModuleInterface {
        stateful: true,
        ..ModuleInterface::default()
    });
    let name = ModuleName::parse(name).unwrap();
    let id = ModuleVersion {
        name: name.clone(),
        version: Version::parse(version).unwrap(),
        digest: Digest::from_bytes([u8::try_from(version.len() + usize::from(version.as_bytes()[2])).unwrap(); 32]),
    };
    PlanModule {
        node: Node {
            version: id,
            kind: Kind::Single,
            interface: stateful,
            links: BTreeMap::new(),
            routes: None,
        },
        spec: ModuleSpec {
            path: Some(format!("{name}-{version}.wasm")),
            ..ModuleSpec::new(name)
        },
        appup: appup.map(|text| Appup::parse("a.appup.toml", text).unwrap_or_else(|faults| panic!("{faults}"))),
        state: None,
    }
}

fn release(version: &str, modules: Vec<PlanModule>) -> PlanRelease {
    PlanRelease {
        name: "r".to_string(),
        version: Version::parse(version).unwrap(),
        limits: wasmhot_appup::LimitsSpec::default(),
        modules: modules
            .into_iter()
            .map(|module| (module.node.version.name.clone(), module))
            .collect(),
    }
}

const APPUP: &str = "format = 1\nmodule = \"db\"\nversion = \"1.2.0\"\n[[up]]\nfrom = \"~1.0\"\nupdate = \"db\"\nextra = { fast = true }\n[[down]]\nto = \"~1.0\"\nupdate = \"db\"\n";

fn inputs(from: &str, appup: Option<&str>) -> Inputs {
    let old = release("1.0.0", vec![module("db", from, None), module("gone", "1.0.0", None)]);
    let new = release("1.1.0", vec![module("db", "1.2.0", appup), module("fe", "2.0.0", None)]);
    Inputs::new(old, new)
}

fn text(relup: &Relup) -> String {
    relup.to_toml().unwrap()
}

/// Theirs: a relup is made from two releases and the appups of what changed
/// Ours: adds, updates with `extra`, deletes, both ways; and it is read back as itself
#[test]
fn normal_relup() {
    let made = plan(&inputs("1.0.3", Some(APPUP))).unwrap();
    let keys = |instructions: &[wasmhot_appup::Instruction]| -> Vec<String> {
        let mut keys: Vec<_> = instructions
            .iter()
            .map(|one| format!("{} {}", one.key(), one.module()))
            .collect();
        keys.sort();
        keys
    };
    assert_eq!(
        keys(&made.relup.up),
        ["add_module fe", "delete_module gone", "update db"]
    );
    assert_eq!(
        keys(&made.relup.down),
        ["add_module gone", "delete_module fe", "update db"]
    );
    let written = text(&made.relup);
    assert!(written.contains("fast = true"), "{written}");
    assert_eq!(Relup::parse("relup.toml", &written).unwrap(), made.relup);
}

/// Theirs: a relup that cannot be made: an appup that has no entry for the version
/// Ours: the same, with the module, the versions and what would help
#[test]
fn abnormal_relup() {
    let refusals = plan(&inputs("0.9.0", Some(APPUP))).unwrap_err();
    let said: String = refusals.iter().map(ToString::to_string).collect();
    assert!(
        said.contains("db") && said.contains("0.9.0") && said.contains("help:"),
        "{said}"
    );
    assert_eq!(refusals[0].code.to_string(), "no-appup-entry");
}

/// Theirs: without an appup there is no relup
/// Ours: without an appup the default holds: what keeps state is updated
#[test]
fn no_appup_relup() {
    let made = plan(&inputs("0.9.0", None)).unwrap();
    assert!(text(&made.relup).contains("update = \"db\""));
}

/// Theirs: a malformed appup is told
/// Ours: with file, line, column, the line itself and what was meant
#[test]
fn bad_appup_relup() {
    let faults = Appup::parse("db.appup.toml", &APPUP.replace("update = ", "udpate = "))
        .unwrap_err()
        .to_string();
    assert!(
        faults.contains("db.appup.toml:6:1") && faults.contains("udpate") && faults.contains("`update`"),
        "{faults}"
    );
}

/// Theirs: versions in an appup may be patterns
/// Ours: they may be ranges; the first entry that holds counts
#[test]
fn regexp_relup() {
    let appup = "format = 1\nmodule = \"db\"\n[[up]]\nfrom = \"1.0.3\"\nupdate = \"db\"\nextra = 3\n[[up]]\nfrom = \">=1.0, <1.2\"\nupdate = \"db\"\nextra = 0\n[[down]]\nto = \"*\"\nupdate = \"db\"\n";
    for (from, extra) in [("1.0.3", "extra = 3"), ("1.0.4", "extra = 0"), ("1.1.9", "extra = 0")] {
        let written = text(&plan(&inputs(from, Some(appup))).unwrap().relup);
        assert!(written.contains(extra), "{from}: {written}");
    }
    assert!(plan(&inputs("0.1.0", Some(appup))).is_err());
}

/// Theirs: the same from the appup of an upgrade script
/// Ours: a middle version is gone through where no entry leads there directly, in one upgrade
#[test]
fn otp_10463_upgrade_script_regexp() {
    let to = |version: &str, from: &str| {
        format!(
            "format = 1\nmodule = \"db\"\nversion = \"{version}\"\n[[up]]\nfrom = \"{from}\"\nupdate = \"db\"\n[[down]]\nto = \"{from}\"\nupdate = \"db\"\n"
        )
    };
    let mut inputs = inputs("1.0.3", Some(&to("1.2.0", "~1.1")));
    assert!(plan(&inputs).is_err(), "nothing leads from 1.0 to 1.2");
    inputs.middle.push(module("db", "1.1.0", Some(&to("1.1.0", "~1.0"))));
    let made = plan(&inputs).unwrap();
    let written = text(&made.relup);
    assert!(
        written.contains("via = [\"1.1.0\"]") && written.contains("[[middle]]"),
        "{written}"
    );
}

/// Theirs: malformed scripts are refused, two that are well formed are not
/// Ours: so are malformed relups, each at its place
#[test]
fn syntax_check() {
    let good = "format = 1\n[release]\nname = \"r\"\nto = \"1.1.0\"\n[[modules]]\nname = \"a\"\npath = \"a.wasm\"\n[[up]]\nupdate = \"a\"\n";
    assert!(Relup::parse("relup.toml", good).is_ok());
    assert!(Relup::parse("relup.toml", &good.replace("update", "load_module")).is_ok());
    for (bad, said) in [
        (good.replace("format = 1", "format = 2"), "1:"),
        (good.replace("to = \"1.1.0\"", "to = \"one\""), "4:"),
        (good.replace("name = \"a\"", "name = \"A B\""), "6:"),
        (good.replace("update = \"a\"", "update = \"b\""), "9:"),
        (good.replace("update = \"a\"", "update = 1"), "9:"),
        (
            good.replace("update = \"a\"", "update = \"a\"\nload_module = \"a\""),
            "10:",
        ),
        (good.replace("update = \"a\"", "point_of_no_return = true"), "9:"),
        (good.replace("[[up]]", "[[upp]]"), "8:"),
        (good.replace("[release]", "[relase]"), "2:"),
        (format!("{good}[[up]]\nupdate = \"a\"\n"), "11:"),
        (format!("{good}when = \"after\"\n"), "10:"),
        (format!("{good}[[up]]\ncall = {{ module = \"a\" }}\n"), "11:"),
        (
            format!("{good}[[up]]\ncall = {{ module = \"a\", function = \"f\" }}\nwhen = \"later\"\n"),
            "12:",
        ),
        (
            good.replace("path = \"a.wasm\"", "path = \"a.wasm\"\nsha256 = \"12\""),
            "8:",
        ),
        ("format = 1\n[[up]\n".to_string(), "2:"),
    ] {
        let faults = Relup::parse("relup.toml", &bad).expect_err(&bad).to_string();
        assert!(
            faults.contains(&format!("relup.toml:{said}")),
            "{said} in {faults}\n{bad}"
        );
    }
}

/// Theirs: add, remove and restart of applications are translated
/// Ours: `plan --explain` prints OTP's orders for what is added, updated and removed
#[test]
fn translate_app() {
    use wasmhot_appup::explain::Direction;
    let made = plan(&inputs("1.0.3", Some(APPUP))).unwrap();
    let steps: String = made
        .explain(Direction::Up)
        .iter()
        .map(|step| format!("{step}\n"))
        .collect();
    let at = |what: &str| steps.find(what).unwrap_or_else(|| panic!("{what} in\n{steps}"));
    assert!(at("point_of_no_return") < at("suspend"), "{steps}");
    assert!(
        at("suspend") < at("code_change") && at("code_change") < at("resume"),
        "{steps}"
    );
    let down: String = made
        .explain(Direction::Down)
        .iter()
        .map(|step| format!("{step}\n"))
        .collect();
    assert!(down.contains("code_change") && down.contains("down"), "{down}");
}
