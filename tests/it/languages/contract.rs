//! The examples say the same: one interface, one contract of the host, one way to build.

use super::{ALL, examples};
use std::path::Path;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_example_has_the_same_interface_and_the_contract_as_it_is() {
    let contract = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/wit/module.wit"));
    let interface = read(&examples().join("rust/wit/counter.wit"));
    let world = read(&examples().join("c/wit/world.wit"));
    for language in ALL {
        let wit = examples().join(language.name).join("wit");
        assert_eq!(read(&wit.join("counter.wit")), interface, "{}", language.name);
        // The Rust SDK adds the contract by itself.
        if language.name != "rust" {
            assert_eq!(read(&wit.join("world.wit")), world, "{}", language.name);
            let copy = read(&wit.join("deps/wasmhot-module/module.wit"));
            assert_eq!(copy, contract, "{}", language.name);
        }
    }
}

#[test]
fn every_example_is_tested_and_told_of() {
    let mut folders: Vec<String> = std::fs::read_dir(examples())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut names = ALL.map(|language| language.name).to_vec();
    names.sort_unstable();
    assert_eq!(folders, names);
    let told = read(&examples().join("../../docs/languages.md"));
    for name in names {
        assert!(
            told.contains(&format!("modules/languages/{name}")),
            "docs/languages.md says nothing of {name}"
        );
        let readme = read(&examples().join(name).join("README.md"));
        assert!(
            readme.contains("./build.sh") && readme.contains("counter-1.0.0.wasm"),
            "{name}"
        );
    }
}
