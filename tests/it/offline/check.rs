//! `wasmhot check`: what `apply` would refuse, without a host or beside one.

use super::{Offline, put_donations};
use crate::support::Binary;

const HALF: &str = "format = 1\n[release]\nname = \"donations\"\nfrom = \"1.0.0\"\nto = \"1.1.0\"\n[[modules]]\nname = \"calculator\"\npath = \"calculator-1.1.0.wasm\"\n[[up]]\nload_module = \"calculator\"\n";

#[test]
fn half_a_joint_move_is_refused_as_apply_refuses_it() {
    let prepare = |app: &std::path::Path| {
        put_donations(app);
        std::fs::copy(app.join("release-1.0.0.toml"), app.join("release.toml")).unwrap();
        std::fs::write(app.join("half.toml"), HALF).unwrap();
    };
    let host = Binary::prepared(prepare, &[]);
    let half = host.app().join("half.toml");
    let half = half.to_str().unwrap();
    let old = host.app().join("release-1.0.0.toml");
    let applied = host.fails(&["apply", half]);
    assert_eq!(applied.0, 4);
    assert!(
        applied.1.contains("move `server` and `calculator` in one upgrade"),
        "{}",
        applied.1
    );
    assert_eq!(host.fails(&["check", half]), applied);
    assert_eq!(host.fails(&["check", half, "--from", old.to_str().unwrap()]), applied);
    // The same in JSON.
    let (_, applied) = host.json(&["apply", half]);
    let (_, checked) = host.json(&["check", half]);
    assert_eq!(applied["refusals"], checked["refusals"]);
    assert_eq!(applied["code"], checked["code"]);
}

#[test]
fn the_shipped_relups_are_good() {
    let offline = Offline::donations();
    for (from, to) in [("1.0.0", "1.1.0"), ("1.0.0", "1.2.0"), ("1.1.0", "1.2.0")] {
        let relup = format!("app/relup-{from}-{to}.toml");
        let old = format!("app/release-{from}.toml");
        let (code, checked) = offline.json(&["check", &relup, "--from", &old]);
        assert_eq!((code, &checked["exit"]), (0, &0.into()), "{checked}");
        assert!(
            checked["gated"].as_array().unwrap().contains(&"server".into()),
            "{checked}"
        );
    }
}

#[test]
fn faults_of_files_are_told_all_at_once() {
    let offline = Offline::donations();
    let zeros = "0".repeat(64);
    let relup = offline.read("app/relup-1.0.0-1.1.0.toml");
    let broken = relup.replace("\"receipts-1.0.0.wasm\"", "\"nowhere.wasm\"").replace(
        "path = \"server-1.1.0.wasm\"",
        &format!("path = \"server-1.1.0.wasm\"\nsha256 = \"{zeros}\""),
    );
    offline.write("app/broken.toml", broken);
    let said = offline.refused(&["check", "app/broken.toml", "--from", "app/release-1.0.0.toml"]);
    assert!(said.contains("server-1.1.0.wasm: its sha256 is"), "{said}");
    assert!(said.contains("nowhere.wasm: there is no such file"), "{said}");

    offline.write(
        "app/typo.toml",
        relup.replace("load_module = \"calculator\"", "load_modul = \"calculator\""),
    );
    let said = offline.refused(&["check", "app/typo.toml", "--from", "app/release-1.0.0.toml"]);
    assert!(
        said.contains("typo.toml:27:1") && said.contains("did you mean `load_module`"),
        "{said}"
    );
}

#[test]
fn the_way_back_is_checked_too() {
    let offline = Offline::donations();
    let relup = offline.read("app/relup-1.0.0-1.1.0.toml");
    let (up, _) = relup.split_once("[[down]]").unwrap();
    offline.write("app/one-way.toml", format!("{up}[[down]]\nupdate = \"server\"\n"));
    let said = offline.refused(&["check", "app/one-way.toml", "--from", "app/release-1.0.0.toml"]);
    assert!(said.contains("On the way back: `calculator`"), "{said}");
    // A step that no version has.
    let step = "[[up]]\ncall = { module = \"calculator\", function = \"expand\" }\n";
    offline.write("app/step.toml", format!("{up}{step}"));
    let said = offline.refused(&["check", "app/step.toml", "--from", "app/release-1.0.0.toml"]);
    assert!(
        said.contains("the `call` step calculator.expand()") && said.contains("no function `expand`"),
        "{said}"
    );
}

#[test]
fn what_leaves_the_state_is_warned_of() {
    let built = std::path::Path::new(env!("WASMHOT_GUESTS")).join("sqlite-1.0.0.wasm");
    if !built.is_file() {
        // It has C in it: where there is no clang for Wasm it is not built.
        return;
    }
    let offline = Offline::new();
    crate::support::put_guests(&offline.folder("app"), &["sqlite-1.0.0"]);
    let relup = "format = 1\n[release]\nname = \"app\"\nto = \"1.1.0\"\n[[modules]]\nname = \"sqlite\"\npath = \"sqlite-1.0.0.wasm\"\n[[up]]\nupdate = \"sqlite\"\n";
    let grants = "[[modules.grants.dirs]]\nhost = \"data\"\nguest = \"/data\"\n";
    offline.write("app/relup.toml", relup.replace("[[up]]", &format!("{grants}[[up]]")));
    let warnings = || {
        let (code, told) = offline.json(&["check", "app/relup.toml", "--from", "app"]);
        assert_eq!(code, 0, "{told:#}");
        let warnings = told["warnings"].as_array().unwrap().clone();
        warnings
            .iter()
            .map(|one| one.as_str().unwrap().to_string())
            .collect::<Vec<_>>()
    };
    let told = warnings();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("also writes outside of its state: wasi:filesystem"),
        "{told:?}"
    );
    assert!(told[1].contains("app/data, which is not there now"), "{told:?}");
    offline.folder("app/data");
    assert_eq!(warnings().len(), 1);
}

#[test]
fn what_is_wanted_and_not_granted_is_warned_of_and_not_refused() {
    let offline = Offline::new();
    crate::support::put_guests(&offline.folder("app"), &["counter-1.0.0"]);
    let sockets = "(component (import \"wasi:sockets/network@0.2.0\" (instance)))";
    offline.write("app/tool-1.0.0.wasm", wat::parse_str(sockets).unwrap());
    let relup = "format = 1\n[release]\nname = \"app\"\nto = \"1.1.0\"\n[[modules]]\nname = \"tool\"\npath = \"tool-1.0.0.wasm\"\n[[up]]\nadd_module = \"tool\"\n";
    offline.write("app/relup.toml", relup);
    offline.folder("old");
    std::fs::rename(
        offline.path("app/counter-1.0.0.wasm"),
        offline.path("old/counter-1.0.0.wasm"),
    )
    .unwrap();
    let (code, told) = offline.json(&["check", "app/relup.toml", "--from", "old"]);
    assert_eq!(code, 0, "{told:#}");
    let warning = told["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("imports `wasi:sockets`, which the release does not grant it"),
        "{warning}"
    );
}

#[test]
fn without_a_host_it_has_to_be_told_from_what() {
    let offline = Offline::donations();
    let (code, _, said) = offline.cli(&["check", "app/relup-1.0.0-1.1.0.toml"]);
    assert_eq!(code, 3, "{said}");
}
