//! `wasmhot plan`: from two releases to a relup that a host takes.

use super::{Offline, put_donations};
use crate::support::{Binary, guest, hostile, put_guests};
use std::path::Path;

fn release(version: &str) -> String {
    format!("app/release-{version}.toml")
}

/// A host that runs a release of donations.
pub(super) fn running(version: &str) -> Binary {
    let file = format!("release-{version}.toml");
    let prepare = |app: &Path| {
        put_donations(app);
        // The directory runs what this file says.
        std::fs::rename(app.join(&file), app.join("release.toml")).unwrap();
    };
    Binary::prepared(prepare, &[])
}

#[test]
fn what_is_planned_is_applied_up_and_undone() {
    let offline = Offline::donations();
    for (from, to) in [("1.0.0", "1.1.0"), ("1.1.0", "1.2.0")] {
        let file = format!("plans/{from}-{to}.toml");
        offline.folder("plans");
        let said = offline.ok(&["plan", &release(from), &release(to), "-o", &file]);
        assert!(said.contains(&format!("donations {from} -> donations {to}")), "{said}");
        offline.ok(&["check", &file, "--from", &release(from)]);
    }
    let relup = offline.read("plans/1.0.0-1.1.0.toml");
    for wanted in [
        "path = \"../app/server-1.1.0.wasm\"",
        "sha256 = \"",
        "currency = \"USD\"",
        "add_module = \"receipts\"",
        "delete_module = \"receipts\"",
    ] {
        assert!(relup.contains(wanted), "{wanted} in\n{relup}");
    }

    let host = running("1.0.0");
    host.ok(&["call", "server", "donate(\"ann\", 1000)"]);
    for plan in ["1.0.0-1.1.0", "1.1.0-1.2.0"] {
        let file = offline.path(&format!("plans/{plan}.toml"));
        host.ok(&["apply", file.to_str().unwrap()]);
    }
    assert_eq!(
        host.ok(&["call", "server", "donate-in(\"ann\", 100, \"CHF\")"]),
        "ok(93)\n"
    );
    host.ok(&["undo"]);
    host.ok(&["undo"]);
    assert_eq!(host.ok(&["call", "server", "donors()"]).matches("ann: ").count(), 1);
    let (_, status) = host.json(&["status"]);
    let modules = status["modules"].as_array().unwrap();
    assert!(modules.iter().all(|module| module["module"] != "receipts"), "{status}");
}

#[test]
fn both_steps_in_one_plan_know_the_extra_of_each() {
    let offline = Offline::donations();
    let relup = offline.ok(&["plan", &release("1.0.0"), &release("1.2.0")]);
    assert!(relup.contains("currency = \"USD\""), "{relup}");
    assert!(relup.contains("rates"), "{relup}");
    // Without a file it is printed, with paths from here.
    assert!(relup.contains("path = \"app/server-1.2.0.wasm\""), "{relup}");
}

#[test]
fn r28_a_version_between_them_passes_the_state_on() {
    let offline = Offline::donations();
    // 1.2.0 knows 1.1.0 only, which lies in the same folder and knows 1.0.0.
    let appup = offline.read("app/server-1.2.0.appup.toml");
    let (head, rest) = appup.split_once("[[up]]\nfrom = \"~1.0\"").unwrap();
    let (_, down) = rest.split_once("[[down]]").unwrap();
    let down = down.replace(">=1.0.0, <1.2.0", "~1.1");
    offline.write("app/server-1.2.0.appup.toml", format!("{head}[[down]]{down}"));
    let relup = offline.path("relup.toml");
    offline.ok(&["plan", &release("1.0.0"), &release("1.2.0"), "-o", "relup.toml"]);
    offline.ok(&["check", "relup.toml", "--from", &release("1.0.0")]);
    let text = offline.read("relup.toml");
    for wanted in ["[[middle]]", "path = \"app/server-1.1.0.wasm\"", "via = "] {
        assert!(text.contains(wanted), "{wanted} in\n{text}");
    }
    let host = running("1.0.0");
    host.ok(&["call", "server", "donate(\"ann\", 1000)"]);
    host.ok(&["apply", relup.to_str().unwrap()]);
    assert_eq!(host.ok(&["call", "server", "donors()"]), "[\"ann: 950\"]\n");
    host.ok(&["undo"]);
    assert_eq!(host.ok(&["call", "server", "donors()"]), "[\"ann: 950\"]\n");
    // Without the version between them there is no way.
    std::fs::remove_file(offline.path("app/server-1.1.0.wasm")).unwrap();
    let said = offline.refused(&["plan", &release("1.0.0"), &release("1.2.0")]);
    assert!(said.contains("has no `[[up]]` entry for 1.0.0"), "{said}");
}

#[test]
fn what_runs_is_planned_from() {
    let host = running("1.0.0");
    let new = host.app().join("release-1.1.0.toml");
    let file = host.root().join("relup.toml");
    let said = host.ok(&["plan", "current", new.to_str().unwrap(), "-o", file.to_str().unwrap()]);
    assert!(
        said.contains("donations 1.0.0 -> donations 1.1.0: receipts, then calculator + server"),
        "{said}"
    );
    let said = host.ok(&["check", file.to_str().unwrap()]);
    assert!(said.contains("good, up and down"), "{said}");
    host.ok(&["apply", file.to_str().unwrap()]);
    // Now it goes from another release than the one that runs.
    let (exit, said) = host.fails(&["check", file.to_str().unwrap()]);
    let (applied, told) = host.fails(&["apply", file.to_str().unwrap()]);
    assert_eq!((exit, &said), (applied, &told));
    assert!(said.contains("but release 1.1.0 runs"), "{said}");
    // And back is planned too, with the appups that lie beside the modules.
    let old = host.app().join("release.toml");
    let back = host.ok(&["plan", "current", old.to_str().unwrap()]);
    assert!(back.contains("to = \"1.0.0\""), "{back}");
}

#[test]
fn it_is_explained_and_split() {
    let offline = Offline::donations();
    let explained = offline.ok(&["plan", &release("1.0.0"), &release("1.1.0"), "--explain"]);
    let (up, down) = explained.split_once("\ndown\n").unwrap();
    for step in [
        "point_of_no_return",
        "code_change up [server]",
        "load calculator",
        "start [receipts]",
    ] {
        assert!(up.contains(step), "{step} in\n{explained}");
    }
    assert!(down.contains("code_change down [server]"), "{explained}");

    let (code, split) = offline.json(&[
        "plan",
        &release("1.0.0"),
        &release("1.1.0"),
        "--split",
        "-o",
        "relup.toml",
    ]);
    assert_eq!((code, split["parts"].as_array().unwrap().len()), (0, 2), "{split}");
    assert!(!offline.path("relup.toml").exists());
    let host = running("1.0.0");
    for part in ["relup-1.toml", "relup-2.toml"] {
        host.ok(&["apply", offline.path(part).to_str().unwrap()]);
    }
    let (_, status) = host.json(&["status"]);
    assert_eq!(status["release"], "donations 1.1.0");
}

#[test]
fn directories_without_a_release_are_planned_too() {
    let offline = Offline::new();
    put_guests(&offline.folder("old"), &["counter-1.0.0"]);
    // Of two versions the higher one counts; the other may stand between.
    put_guests(&offline.folder("new"), &["counter-1.1.0", "counter-2.0.0"]);
    let relup = offline.ok(&["plan", "old", "new"]);
    assert!(relup.contains("path = \"new/counter-2.0.0.wasm\""), "{relup}");
    assert!(relup.contains("update = \"counter\""), "{relup}");
}

#[test]
fn every_refusal_is_told_with_its_help() {
    let offline = Offline::donations();
    // The appup of 1.1.0 knows no 1.0.0 any more.
    let appup = offline.read("app/server-1.1.0.appup.toml").replace("~1.0", "~0.9");
    offline.write("app/server-1.1.0.appup.toml", appup);
    let said = offline.refused(&["plan", &release("1.0.0"), &release("1.1.0")]);
    for wanted in [
        "`server` goes from 1.0.0 to 1.1.0, but the appup of 1.1.0 has no `[[up]]` entry for 1.0.0",
        "help: add an entry `[[up]]`",
        "On the way back: ",
    ] {
        assert!(said.contains(wanted), "{wanted} in\n{said}");
    }
    let (code, told) = offline.json(&["plan", &release("1.0.0"), &release("1.1.0")]);
    assert_eq!(
        (code, &told["code"], told["refusals"].as_array().unwrap().len()),
        (4, &"no-appup-entry".into(), 2)
    );

    // An appup with a typing error says where.
    offline.write(
        "app/server-1.1.0.appup.toml",
        "format = 1\nmodule = \"server\"\n[[upp]]\nfrom = \"1.0.0\"\n",
    );
    let said = offline.refused(&["plan", &release("1.0.0"), &release("1.1.0")]);
    assert!(said.contains("server-1.1.0.appup.toml:3:3"), "{said}");
    assert!(said.contains("`up`"), "{said}");
}

#[test]
fn a_release_that_is_not_what_it_says_is_refused() {
    let offline = Offline::new();
    put_guests(&offline.folder("app"), &["counter-1.0.0", "counter-1.1.0"]);
    let text = |module: &str| {
        format!(
            "format = 1\n[release]\nname = \"app\"\nversion = \"1.0.0\"\n[[modules]]\nname = \"counter\"\n{module}\n"
        )
    };
    let zeros = "0".repeat(64);
    let table = [
        (
            format!("path = \"counter-1.0.0.wasm\"\nsha256 = \"{zeros}\""),
            "its sha256 is",
        ),
        (
            "path = \"counter-1.0.0.wasm\"\nversion = \"1.0.1\"".to_string(),
            "it is version 1.0.0, not 1.0.1",
        ),
        (
            "path = \"nowhere.wasm\"".to_string(),
            "nowhere.wasm: there is no such file",
        ),
        ("path = \"release.toml\"".to_string(), "release.toml"),
        ("pathh = \"counter-1.0.0.wasm\"".to_string(), "release.toml:7:1"),
    ];
    for (module, wanted) in table {
        offline.write("app/release.toml", text(&module));
        let said = offline.refused(&["plan", "app", "app"]);
        assert!(said.contains(wanted), "{wanted} in\n{said}");
    }
    let said = offline.refused(&["plan", "app", "app"]);
    assert!(said.contains("did you mean `path`"), "{said}");
    let said = offline.refused(&["plan", "app", "elsewhere"]);
    assert!(
        said.contains("elsewhere: there is no such file or directory") || said.contains("release.toml:7:1"),
        "{said}"
    );
}

#[test]
fn an_appup_inside_the_module_counts_and_is_shown() {
    let offline = Offline::new();
    put_guests(&offline.folder("old"), &["counter-1.0.0"]);
    offline.folder("new");
    let appup = "format = 1\nmodule = \"counter\"\n[[up]]\nfrom = \"~1.0\"\nupdate = \"counter\"\nextra = { hello = 5 }\n[[down]]\nto = \"~1.0\"\n";
    offline.write("counter.appup.toml", appup);
    let file = guest("counter-1.1.0");
    offline.ok(&[
        "pack",
        file.to_str().unwrap(),
        "--appup",
        "counter.appup.toml",
        "-o",
        "new/counter-1.1.0.wasm",
    ]);
    let shown = offline.ok(&["inspect", "new/counter-1.1.0.wasm"]);
    assert!(shown.contains("appup         up from ~1.0; down to ~1.0"), "{shown}");
    let relup = offline.ok(&["plan", "old", "new"]);
    assert!(relup.contains("hello = 5"), "{relup}");
    // It is still a module, and its bytes are others: another version.
    let host = Binary::run(&["counter-1.0.0"], &[]);
    host.ok(&["call", "counter", "increment(3)"]);
    host.ok(&["apply", offline.path("new/counter-1.1.0.wasm").to_str().unwrap()]);
    assert_eq!(host.ok(&["call", "counter", "get()"]), "3\n");
    // One that is in it already is replaced.
    offline.write("counter.appup.toml", appup.replace("hello", "again"));
    offline.ok(&[
        "pack",
        "new/counter-1.1.0.wasm",
        "--appup",
        "counter.appup.toml",
        "-o",
        "new/counter-1.1.0.wasm",
    ]);
    let relup = offline.ok(&["plan", "old", "new"]);
    assert!(relup.contains("again = 5") && !relup.contains("hello"), "{relup}");
    // Somebody else's is refused.
    let said = offline.refused(&[
        "pack",
        guest("tally-1.0.0").to_str().unwrap(),
        "--appup",
        "counter.appup.toml",
        "-o",
        "x.wasm",
    ]);
    assert!(said.contains("is that of `counter`"), "{said}");
    assert!(!offline.path("x.wasm").exists());
}

#[test]
fn state_that_would_be_lost_is_refused() {
    let offline = Offline::new();
    offline.folder("old");
    offline.folder("new");
    offline.write("old/hostile-1.0.0.wasm", hostile("1.0.0", ""));
    let pool = "format = 1\n[release]\nname = \"app\"\nversion = \"1.1.0\"\n[[modules]]\nname = \"hostile\"\npath = \"hostile.wasm\"\nkind = \"pool\"\n";
    offline.write("new/release.toml", pool);
    offline.write("new/hostile.wasm", hostile("1.1.0", ""));
    let said = offline.refused(&["plan", "old", "new"]);
    assert!(said.contains("--allow-lossy") || said.contains("discard"), "{said}");
    offline.ok(&["plan", "old", "new", "--allow-lossy"]);
}
