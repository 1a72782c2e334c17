//! `wasmhot new` writes a project that builds, runs and upgrades, in every language that has an example.

use super::{ALL, C, JAVASCRIPT, Language, RUST, ZIG, build, examples};
use crate::support::{Binary, HANG, command};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Instant;

fn new(folder: &Path, args: &[&str]) -> Output {
    command(folder)
        .arg("new")
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn new_project(folder: &Path, language: &Language) -> PathBuf {
    let made = new(folder, &["my-shop", "--lang", language.name]);
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(
        said.contains("./build.sh") && said.contains("wasmhot call my-shop 'increment(5)'"),
        "{said}"
    );
    folder.join("my-shop")
}

/// Changes one text in one file.
fn change(file: &Path, old: &str, new: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(old), "{} has no {old}", file.display());
    std::fs::write(file, text.replace(old, new)).unwrap();
}

fn drop_built(host: &Binary, file: &Path) {
    let name = file.file_name().unwrap().to_str().unwrap();
    host.drop_file(name, &std::fs::read(file).unwrap());
}

/// Asks until the answer is this: a drop takes its time.
fn until_it_says(host: &Binary, call: &str, wanted: &str) {
    let begin = Instant::now();
    loop {
        let output = host.cli(&["call", "my-shop", call]);
        let said = String::from_utf8_lossy(&output.stdout).trim().to_string();
        if said == wanted {
            return;
        }
        assert!(
            begin.elapsed() < HANG,
            "{call}: {said} {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Built, run, called; a line changed, built again, dropped: it behaves in the new way, with its state.
fn builds_runs_and_upgrades(language: &Language, source: &str, version: (&str, &str, &str)) {
    if !language.is_possible() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let project = new_project(root.path(), language);
    // What cargo makes of the dependencies is kept for the next time.
    let target = Path::new(env!("WASMHOT_GUESTS")).join("../languages/new");
    let first = build(&project, &target, "my-shop", "1.0.0");
    let host = Binary::prepared(
        |app| {
            std::fs::copy(&first, app.join("my-shop-1.0.0.wasm")).unwrap();
        },
        &[],
    );
    assert_eq!(host.ok(&["call", "my-shop", "increment(5)"]), "5\n");
    assert_eq!(host.ok(&["call", "my-shop", r#"greet("é")"#]), "\"hello, é!\"\n");
    change(&project.join(source), "hello", "howdy");
    let (file, old, new) = version;
    change(&project.join(file), old, new);
    drop_built(&host, &build(&project, &target, "my-shop", "1.1.0"));
    until_it_says(&host, r#"greet("é")"#, "\"howdy, é!\"");
    assert_eq!(host.ok(&["call", "my-shop", "increment(1)"]), "6\n");
    let versions = host.ok(&["versions", "my-shop"]);
    assert!(versions.contains("1.1.0") && versions.contains("1.0.0"), "{versions}");
}

#[test]
fn a_new_module_in_rust_builds_runs_and_upgrades() {
    let version = ("Cargo.toml", "version = \"1.0.0\"", "version = \"1.1.0\"");
    builds_runs_and_upgrades(&RUST, "src/lib.rs", version);
}

#[test]
fn a_new_module_in_c_builds_runs_and_upgrades() {
    builds_runs_and_upgrades(&C, "counter.c", ("build.sh", "version=1.0.0", "version=1.1.0"));
}

#[test]
fn a_new_module_in_zig_builds_runs_and_upgrades() {
    builds_runs_and_upgrades(&ZIG, "counter.zig", ("build.sh", "version=1.0.0", "version=1.1.0"));
}

#[test]
fn a_new_module_in_javascript_builds_runs_and_upgrades() {
    builds_runs_and_upgrades(
        &JAVASCRIPT,
        "counter.js",
        ("build.sh", "version=1.0.0", "version=1.1.0"),
    );
}

/// All files below a folder, but for what a build has made there by hand.
fn files(folder: &Path, below: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            let name = path.strip_prefix(folder).unwrap().to_path_buf();
            found.insert(name, std::fs::read(&path).unwrap());
        } else if !["build", "target", "__pycache__", "vendor"]
            .iter()
            .any(|made| path.ends_with(made))
        {
            files(folder, &path, found);
        }
    }
}

#[test]
fn a_project_is_the_example_under_another_name() {
    for language in ALL {
        let root = tempfile::tempdir().unwrap();
        let project = new_project(root.path(), language);
        let (mut written, mut example) = (BTreeMap::new(), BTreeMap::new());
        files(&project, &project, &mut written);
        let folder = examples().join(language.name);
        files(&folder, &folder, &mut example);
        assert!(
            written.keys().eq(example.keys()),
            "{}: {:?}",
            language.name,
            written.keys()
        );
        let mut differ: Vec<&Path> = Vec::new();
        for (path, content) in &written {
            if *content == example[path] {
                continue;
            }
            differ.push(path);
            let [new, old] = [content, &example[path]].map(|bytes| String::from_utf8(bytes.clone()).unwrap());
            for (new, old) in new.lines().zip(old.lines()) {
                let back = new.replace("my-shop", "counter").replace("vendor/wasmhot", "../../..");
                assert_eq!(back, old, "{}/{}", language.name, path.display());
            }
            for stale in [
                "counter-1.0.0",
                "call counter",
                "name=counter",
                "name = \"counter\"",
                "../",
            ] {
                assert!(!new.contains(stale), "{}/{} has {stale}", language.name, path.display());
            }
        }
        assert!(
            differ.contains(&Path::new("build.sh")) && differ.contains(&Path::new("README.md")),
            "{differ:?}"
        );
        // Nothing is left beside it.
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }
}

#[test]
fn what_is_there_is_left_alone_and_a_bad_name_is_refused() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("shop")).unwrap();
    let refused = new(root.path(), &["shop", "--lang", "wat"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("shop is there already"));
    assert_eq!(std::fs::read_dir(root.path().join("shop")).unwrap().count(), 0);
    for bad in [
        &["../shop", "--lang", "wat"][..],
        &["1st", "--lang", "wat"],
        &["", "--lang", "wat"],
        &["a", "--lang", "cobol"],
    ] {
        let refused = new(root.path(), bad);
        assert_eq!(refused.status.code(), Some(2), "{bad:?}");
    }
    // As everywhere: `_` counts as `-`, and upper case as lower.
    let made = command(root.path())
        .args(["new", "My_Shop", "--lang", "wat", "--json"])
        .current_dir(root.path())
        .output()
        .unwrap();
    let said: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!((&said["folder"], &said["language"]), (&"my-shop".into(), &"wat".into()));
    assert!(root.path().join("my-shop/counter.wat").is_file());
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 2);
}
