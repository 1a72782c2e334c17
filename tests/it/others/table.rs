//! `docs/others.md` is made from the programs. `WASMHOT_WRITE=1` writes it anew.

use super::programs::{CRON_SERVICE, Program};
use super::{ALL, fetched};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use wasmparser::{KnownCustom, Parser, Payload};

const HEAD: &str = "# Somebody else's programs

Real programs out of public packages, built by other people with other tools. Each is asked ten times a second while its next version is
dropped; it must answer as below before, during and after the swap, and after the way back, and no call may fail. `tests/it/others`
fetches the packages by the clients of their registries and checks the digests of the files; this table is made from that list.

*As it is*: the file itself is what is dropped. *Within*: it takes and gives texts by its memory, as its own host does that, so a
component around it says how (`tests/it/others/glue`); its bytes are one section of that component, unchanged.

| package | file | built with | says of itself | runs | asked | answers |
|---|---|---|---|---|---|---|
";

const TAIL: &str = "
`cron_component.wasm` is also called by another program of its package, `CRON_SERVICE`, which never ends: begun before the swap it stays with the
version that it began with, begun after it calls the new one.
`@arcjet/redact-wasm` asks a module of ours about each word. Where no second version is named the same file with
a section more is dropped.
";

/// Toolchains that the issue asks for at least.
const TOOLCHAINS: usize = 4;
/// Programs that run as they are.
const AS_THEY_ARE: usize = 8;

#[test]
fn the_table_is_what_the_tests_are() {
    let mut text = HEAD.to_string();
    for program in ALL {
        let Some(row) = row(program) else { return };
        text += &row;
    }
    text += &TAIL.replace("CRON_SERVICE", CRON_SERVICE.path.rsplit('/').next().unwrap());
    let toolchains: BTreeSet<_> = ALL.iter().map(|program| program.toolchain).collect();
    assert!(toolchains.len() >= TOOLCHAINS, "{toolchains:?}");
    let as_they_are: BTreeSet<_> = ALL
        .iter()
        .filter(|program| program.around.is_none())
        .map(|program| program.module)
        .collect();
    assert!(as_they_are.len() >= AS_THEY_ARE, "{as_they_are:?}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/others.md");
    if std::env::var_os("WASMHOT_WRITE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        written, text,
        "docs/others.md is out of step: WASMHOT_WRITE=1 writes it anew"
    );
}

/// `None`: the package is not to be had here.
fn row(program: &Program) -> Option<String> {
    let [bytes] = fetched([&program.old])?;
    let mut versions = program.old.version.to_owned();
    let mut file = program.old.path.rsplit('/').next().unwrap().to_owned();
    if let Some(new) = &program.new {
        if new.version != program.old.version {
            versions += &format!(" → {}", new.version);
        }
        let other = new.path.rsplit('/').next().unwrap();
        if other != file {
            file += &format!("` → `{other}");
        }
    }
    let package = format!(
        "{}, {} {versions}",
        program.old.package.name(),
        program.old.package.registry()
    );
    let (kind, said) = told(&bytes);
    let runs = if program.around.is_some() { "within" } else { "as it is" };
    let (mut calls, mut answers) = (Vec::new(), Vec::new());
    for asked in program.asked {
        let [old, new] = asked.answers;
        calls.push(cell(asked.call));
        answers.push(match (old, new) {
            ("", "") => "nothing".to_owned(),
            _ if asked.low_half => format!("{} bytes", cell(old)),
            _ if old == new => cell(old),
            _ => format!("{}, then {}", cell(old), cell(new)),
        });
    }
    let mut row = String::new();
    let (size, toolchain) = (bytes.len(), program.toolchain);
    let (calls, answers) = (calls.join("<br>"), answers.join("<br>"));
    let _ = writeln!(
        row,
        "| {package} | `{file}`, {kind}, {size} B | {toolchain} | {said} | {runs} | {calls} | {answers} |"
    );
    Some(row)
}

/// A piece of text in a cell, cut where it is long.
fn cell(text: &str) -> String {
    const LONG: usize = 120;
    let mut short: String = text.chars().take(LONG).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("`` {} ``", short.replace('|', "\\|").replace('\n', "\\n"))
}

/// What kind of file it is, and what the producers sections in it say.
fn told(bytes: &[u8]) -> (&'static str, String) {
    let (mut wasi, mut said) = (false, BTreeSet::new());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.unwrap() {
            Payload::ImportSection(section) => {
                let mut imports = section.into_imports().map(Result::unwrap);
                wasi |= imports.any(|import| import.module == "wasi_snapshot_preview1");
            }
            Payload::CustomSection(section) => {
                let KnownCustom::Producers(fields) = section.as_known() else {
                    continue;
                };
                for value in fields
                    .into_iter()
                    .flatten()
                    .flat_map(|field| field.values.into_iter().flatten())
                {
                    let version = value.version.split_whitespace().next().unwrap_or_default();
                    said.insert(format!("{} {version}", value.name).trim().to_owned());
                }
            }
            _ => {}
        }
    }
    let kind = match (Parser::is_component(bytes), wasi) {
        (true, _) => "component",
        (false, true) => "core module with WASI 0.1",
        (false, false) => "core module without imports",
    };
    let said = said.into_iter().collect::<Vec<_>>().join(", ");
    (kind, if said.is_empty() { "nothing".to_owned() } else { said })
}
