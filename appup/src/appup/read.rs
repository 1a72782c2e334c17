//! Reads an appup.

use super::{Appup, AppupEntry};
use crate::name::ModuleName;
use crate::read::{Source, Table};
use crate::release::nearest_module;
use crate::relup::{read_calls, read_main};
use std::ops::Range;

/// The two directions: what they are called, where their ranges stand, and where their calls.
struct Way {
    key: &'static str,
    range: &'static str,
    title: &'static str,
    calls: &'static str,
    /// The range of the other direction, and what to say where it stands here.
    other: (&'static [&'static str], &'static str),
}

const UP: Way = Way {
    key: "up",
    range: "from",
    title: "`[[up]]`",
    calls: "`[[up.calls]]`",
    other: (&["to"], "`[[down]]`; `[[up]]` has `from`"),
};

const DOWN: Way = Way {
    key: "down",
    range: "to",
    title: "`[[down]]`",
    calls: "`[[down.calls]]`",
    other: (&["from"], "`[[up]]`; `[[down]]` has `to`"),
};

/// Reads the top table.
pub(super) fn read(top: &mut Table<'_>) -> Option<Appup> {
    if !top.has("module") {
        top.missing("module", "\"server\"");
    }
    let module = top.module("module");
    let version = top.version("version");
    let up = read_entries(top, module.as_ref(), &UP);
    let down = read_entries(top, module.as_ref(), &DOWN);
    Some(Appup {
        module: module?,
        version,
        up,
        down,
    })
}

fn read_entries(top: &mut Table<'_>, module: Option<&ModuleName>, way: &Way) -> Vec<AppupEntry> {
    let mut entries: Vec<AppupEntry> = Vec::new();
    for table in top.tables(way.key, way.title) {
        let source = table.source;
        let span = table.key_span(way.range);
        let Some(entry) = read_entry(table, module, way) else {
            continue;
        };
        if entries.iter().any(|earlier| earlier.versions == entry.versions) {
            let message = format!("a second entry for {}", entry.versions);
            let remedy = "the first entry that holds a version counts, so this one never would: keep one".to_owned();
            source.refuse(&span, message, remedy);
        }
        entries.push(entry);
    }
    entries
}

fn read_entry(mut table: Table<'_>, module: Option<&ModuleName>, way: &Way) -> Option<AppupEntry> {
    if !table.has(way.range) {
        table.missing(way.range, "\">=1.0.0, <1.1.0\"");
    }
    table.belongs_elsewhere(way.other.0, way.other.1);
    let versions = table.predecessor(way.range);
    let instruction = read_main(&mut table);
    let calls = read_calls(&mut table, way.calls);
    if let (Some((instruction, span)), Some(owner)) = (&instruction, module) {
        let other = versions.as_ref().and_then(|versions| versions.module.as_ref());
        check_module(table.source, instruction.module(), span, owner, other);
    }
    table.finish();
    Some(AppupEntry {
        versions: versions?,
        instruction: instruction.map(|(instruction, _)| instruction),
        calls,
    })
}

/// An entry is about the module of the appup, or about the one that its range names.
fn check_module(
    source: &Source<'_>,
    named: &ModuleName,
    span: &Range<usize>,
    owner: &ModuleName,
    other: Option<&ModuleName>,
) {
    let known: Vec<&ModuleName> = std::iter::once(owner).chain(other).collect();
    if known.contains(&named) {
        return;
    }
    let message = format!("this appup is of `{owner}`, and the entry is about `{named}`");
    let remedy = match nearest_module(named, known) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("name `{owner}`; what becomes of `{named}` stands in its own appup"),
    };
    source.refuse(span, message, remedy);
}
