//! Reads `[[up]]` and `[[down]]`.

use super::{CallSpec, Instruction, StatePolicy, Via, When};
use crate::name::{ModuleName, Version};
use crate::read::{NAME_REMEDY, Source, Table, Value, Word, integer};
use crate::release::{nearest_module, read_version};
use crate::settings::ModuleSpec;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use toml::de::DeValue;

impl Word for StatePolicy {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("live", StatePolicy::Live),
        ("last-saved", StatePolicy::LastSaved),
        ("empty", StatePolicy::Empty),
        ("discard", StatePolicy::Discard),
    ];
}

impl Word for When {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("before", When::Before),
        ("after", When::After),
        ("permanent", When::Permanent),
    ];
}

/// An instruction and the place of the name it is about.
struct Placed {
    instruction: Instruction,
    span: Range<usize>,
}

/// The keys that say what an entry does.
const VERBS: [&str; 6] = [
    "update",
    "load_module",
    "add_module",
    "delete_module",
    "restart_module",
    "call",
];

/// Reads both directions, and checks that they name declared modules, each once.
pub(crate) fn read_both(top: &mut Table<'_>, modules: &[ModuleSpec]) -> (Vec<Instruction>, Vec<Instruction>) {
    let source = top.source;
    let up = read_entries(top, "up", "`[[up]]`");
    let down = read_entries(top, "down", "`[[down]]`");
    let declared: BTreeSet<&ModuleName> = modules.iter().map(|module| &module.name).collect();
    check_declared(source, &up, &declared);
    // Going back, a module that `[[up]]` deletes is added: it need not be declared.
    let moved = up.iter().map(|entry| entry.instruction.module());
    let known: BTreeSet<&ModuleName> = declared.iter().copied().chain(moved).collect();
    for entry in &down {
        let module = entry.instruction.module();
        if !known.contains(module) {
            undeclared(
                source,
                entry,
                &known,
                "neither declared in `[[modules]]` nor named in `[[up]]`",
            );
        }
    }
    for entries in [&up, &down] {
        check_once(source, entries);
    }
    let plain = |entries: Vec<Placed>| entries.into_iter().map(|entry| entry.instruction).collect();
    (plain(up), plain(down))
}

fn check_declared(source: &Source<'_>, up: &[Placed], declared: &BTreeSet<&ModuleName>) {
    for entry in up {
        let module = entry.instruction.module();
        match entry.instruction {
            Instruction::LoadModule { .. } | Instruction::Update { .. } | Instruction::AddModule { .. } => {
                if !declared.contains(module) {
                    undeclared(source, entry, declared, "not declared in `[[modules]]`");
                }
            }
            Instruction::DeleteModule { .. } => {
                if declared.contains(module) {
                    let message = format!("module `{module}` is declared and deleted");
                    let remedy = format!("take `{module}` out of `[[modules]]`, or do not delete it");
                    source.refuse(&entry.span, message, remedy);
                }
            }
            Instruction::RestartModule { .. } | Instruction::Call { .. } => {}
        }
    }
}

fn undeclared(source: &Source<'_>, entry: &Placed, known: &BTreeSet<&ModuleName>, how: &str) {
    let module = entry.instruction.module();
    let others = known.iter().copied().filter(|known| *known != module);
    let remedy = match nearest_module(module, others) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("add `[[modules]]` with `name = \"{module}\"` and its `path`"),
    };
    source.refuse(&entry.span, format!("module `{module}` is {how}"), remedy);
}

fn check_once(source: &Source<'_>, entries: &[Placed]) {
    let mut first: BTreeMap<&ModuleName, &Placed> = BTreeMap::new();
    for entry in entries {
        if matches!(entry.instruction, Instruction::Call { .. }) {
            continue;
        }
        let module = entry.instruction.module();
        if let Some(earlier) = first.get(module) {
            let message = format!("a second instruction for module `{module}`");
            let (key, line) = (earlier.instruction.key(), source.line(&earlier.span));
            source.refuse(
                &entry.span,
                message,
                format!("`{key}` in line {line} is the first: keep one"),
            );
            continue;
        }
        first.insert(module, entry);
    }
}

fn read_entries(top: &mut Table<'_>, key: &'static str, title: &'static str) -> Vec<Placed> {
    top.tables(key, title).into_iter().filter_map(read_entry).collect()
}

/// One entry: exactly one verb, and only the keys that go with it.
fn read_entry(mut table: Table<'_>) -> Option<Placed> {
    let source = table.source;
    let present: Vec<&'static str> = VERBS.into_iter().filter(|verb| table.has(verb)).collect();
    let verb = match present[..] {
        [verb] => verb,
        [] => {
            VERBS.into_iter().for_each(|verb| table.know(verb));
            let message = "this entry has no instruction";
            source.refuse(&table.span(), message, format!("write one of {}", VERBS.join(", ")));
            table.finish();
            return None;
        }
        [first, second, ..] => {
            let message = format!("`{first}` and `{second}` in one entry");
            source.refuse(
                &table.key_span(second),
                message,
                "one entry is one instruction: make two of it".to_owned(),
            );
            return None;
        }
    };
    let span = table.value(verb).map_or_else(|| table.span(), toml::Spanned::span);
    let instruction = read_instruction(&mut table, verb);
    table.finish();
    instruction.map(|instruction| Placed { instruction, span })
}

fn read_instruction(table: &mut Table<'_>, verb: &'static str) -> Option<Instruction> {
    if verb == "call" {
        return read_call(table);
    }
    let module = table.module(verb);
    Some(match verb {
        "update" => {
            let (extra, state_from, state) = (read_extra(table), read_state_from(table), table.word("state"));
            let via = read_via(table);
            Instruction::Update {
                module: module?,
                extra,
                state_from,
                state,
                via,
            }
        }
        "add_module" => {
            let (extra, state_from) = (read_extra(table), read_state_from(table));
            Instruction::AddModule {
                module: module?,
                extra,
                state_from,
            }
        }
        "delete_module" => {
            let purge = table.flag("purge").unwrap_or(false);
            Instruction::DeleteModule { module: module?, purge }
        }
        "restart_module" => Instruction::RestartModule { module: module? },
        _ => Instruction::LoadModule { module: module? },
    })
}

/// The verbs of an entry of an appup: what becomes of one module.
pub(crate) const MAIN_VERBS: [&str; 4] = ["update", "load_module", "restart_module", "add_module"];

/// The instruction of an entry of an appup, with the place of the module's name; `None` if it has none, or a faulty one.
pub(crate) fn read_main(table: &mut Table<'_>) -> Option<(Instruction, Range<usize>)> {
    let source = table.source;
    let present: Vec<&'static str> = MAIN_VERBS.into_iter().filter(|verb| table.has(verb)).collect();
    MAIN_VERBS.into_iter().for_each(|verb| table.know(verb));
    if let [first, second, ..] = present[..] {
        let message = format!("`{first}` and `{second}` in one entry");
        let remedy = "a module has one instruction: keep one of the two".to_owned();
        source.refuse(&table.key_span(second), message, remedy);
    }
    let verb = *present.first()?;
    let span = table.value(verb).map_or_else(|| table.span(), toml::Spanned::span);
    read_instruction(table, verb).map(|instruction| (instruction, span))
}

/// `calls = [{ call = …, undo = …, when = … }]` of an entry of an appup.
pub(crate) fn read_calls(table: &mut Table<'_>, title: &'static str) -> Vec<Instruction> {
    let mut calls = Vec::new();
    for mut one in table.tables("calls", title) {
        if !one.has("call") {
            one.missing("call", "{ module = \"schema\", function = \"expand\" }");
        }
        calls.extend(read_call(&mut one));
        one.finish();
    }
    calls
}

fn read_call(table: &mut Table<'_>) -> Option<Instruction> {
    let call = table.table("call", "`call`").and_then(read_call_spec);
    let undo = table.table("undo", "`undo`").and_then(read_call_spec);
    let when = table.word("when").unwrap_or_default();
    let CallSpec { module, function, args } = call?;
    Some(Instruction::Call {
        module,
        function,
        args,
        when,
        undo,
    })
}

fn read_call_spec(mut table: Table<'_>) -> Option<CallSpec> {
    for (key, example) in [("module", "\"schema\""), ("function", "\"expand\"")] {
        if !table.has(key) {
            table.missing(key, example);
        }
    }
    let (module, function) = (table.module("module"), table.text("function"));
    let source = table.source;
    let args = table
        .array("args", "`args = []`")
        .into_iter()
        .map(|value| json(source, value))
        .collect();
    table.finish();
    Some(CallSpec {
        module: module?,
        function: function?.0.to_owned(),
        args,
    })
}

fn read_extra(table: &mut Table<'_>) -> Json {
    let source = table.source;
    table.value("extra").map_or(Json::Null, |value| json(source, value))
}

/// `via = ["1.1.0", { version = "1.2.0", extra = … }]`.
fn read_via(table: &mut Table<'_>) -> Vec<Via> {
    let mut via: Vec<Via> = Vec::new();
    for value in table.array("via", VIA_EXAMPLE) {
        let Some((middle, span)) = read_middle_version(table, value) else {
            continue;
        };
        if via.iter().any(|earlier| earlier.version == middle.version) {
            let message = format!("{} stands in `via` twice", middle.version);
            table.source.refuse(&span, message, "name it once".to_owned());
        } else {
            via.push(middle);
        }
    }
    via
}

const VIA_EXAMPLE: &str = "for example `via = [\"1.1.0\"]`";

fn read_middle_version(table: &Table<'_>, value: &Value<'_>) -> Option<(Via, Range<usize>)> {
    let source = table.source;
    let span = value.span();
    if let Some(inner) = value.get_ref().as_table() {
        let mut inner = Table::new(source, inner, span.clone(), "`via`");
        let version = read_version(&mut inner, "version");
        let extra = read_extra(&mut inner);
        inner.finish();
        return Some((
            Via {
                version: version?,
                extra,
            },
            span,
        ));
    }
    let Some(text) = value.get_ref().as_str() else {
        source.refuse(&span, "expected a version of the module", VIA_EXAMPLE.to_owned());
        return None;
    };
    match Version::parse(text) {
        Ok(version) => Some((Via::new(version), span)),
        Err(error) => {
            let message = format!("`{text}` is no version: {error}");
            source.refuse(&span, message, VIA_EXAMPLE.to_owned());
            None
        }
    }
}

fn read_state_from(table: &mut Table<'_>) -> Vec<ModuleName> {
    let mut names: Vec<ModuleName> = Vec::new();
    for value in table.array("state_from", "`state_from = [\"shop\"]`") {
        let parsed = value.get_ref().as_str().map(ModuleName::parse);
        match parsed {
            Some(Ok(name)) if names.contains(&name) => {
                table.source.refuse(
                    &value.span(),
                    format!("`{name}` stands in `state_from` twice"),
                    "name it once".to_owned(),
                );
            }
            Some(Ok(name)) => names.push(name),
            Some(Err(error)) => table
                .source
                .refuse(&value.span(), error.to_string(), NAME_REMEDY.to_owned()),
            None => table.source.refuse(
                &value.span(),
                "expected the name of a module",
                "for example `state_from = [\"shop\"]`".to_owned(),
            ),
        }
    }
    names
}

/// The value as JSON. Dates become text; what JSON cannot say is a fault.
fn json(source: &Source<'_>, value: &Value<'_>) -> Json {
    let fault = |message: &str| {
        source.refuse(&value.span(), message, "write it as a string".to_owned());
        Json::Null
    };
    match value.get_ref() {
        DeValue::String(text) => Json::from(text.as_ref()),
        whole @ DeValue::Integer(_) => integer(whole).map_or_else(|| fault("this number is too large"), Json::from),
        DeValue::Float(number) => {
            let float = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            float.map_or_else(|| fault("JSON has no such number"), Json::Number)
        }
        DeValue::Boolean(flag) => Json::from(*flag),
        DeValue::Datetime(date) => Json::from(date.to_string()),
        DeValue::Array(values) => values.iter().map(|value| json(source, value)).collect(),
        DeValue::Table(table) => {
            let entry = |(key, value): (&toml::Spanned<std::borrow::Cow<'_, str>>, &Value<'_>)| {
                (key.get_ref().to_string(), json(source, value))
            };
            Json::Object(table.iter().map(entry).collect())
        }
    }
}
