//! Small graphs for tests, written as text: `module(kind) version: exports; imports`.
#![expect(clippy::unwrap_used, reason = "tests")]

use crate::appup::Appup;
use crate::graph::{Graph, Node};
use crate::interface::{FunctionName, FunctionType, ModuleInterface, Type};
use crate::name::{Digest, ModuleName, ModuleVersion};
use crate::plan::{Inputs, PlanModule, PlanRelease};
use crate::settings::{Kind, LimitsSpec, ModuleSpec};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) fn name(text: &str) -> ModuleName {
    ModuleName::parse(text).unwrap()
}

/// `demo:shop/orders@1.0.0.place` or `place`.
pub(crate) fn function(text: &str) -> FunctionName {
    match text.rsplit_once('.').filter(|(interface, _)| interface.contains(':')) {
        Some((interface, name)) => FunctionName {
            interface: Some(interface.to_owned()),
            name: name.to_owned(),
        },
        None => FunctionName {
            interface: None,
            name: text.to_owned(),
        },
    }
}

/// A function type by a word: parameters before `>`, result after it.
pub(crate) fn function_type(text: &str) -> FunctionType {
    let of = |word: &str| match word {
        "string" => Type::String,
        "u32" => Type::U32,
        "u64" => Type::U64,
        "failing" => Type::Result {
            ok: None,
            err: Some(Box::new(Type::String)),
        },
        "resource" => Type::Resource,
        other => Type::Unsupported(other.to_owned()),
    };
    let (params, result) = text.split_once('>').unwrap_or((text, ""));
    let params = params.split(',').filter(|word| !word.is_empty());
    FunctionType {
        params: params
            .enumerate()
            .map(|(place, word)| (format!("p{place}"), of(word)))
            .collect(),
        result: Some(result).filter(|word| !word.is_empty()).map(of),
        is_async: false,
    }
}

/// `cart pool 1.0.0 + f(u32) - demo:shop/orders@1.0.0.place(>failing)`: exports after `+`, imports after `-`.
pub(crate) fn node(text: &str) -> Node {
    let mut words = text.split_whitespace();
    let (module, kind, version) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let kind = match kind {
        "pool" => Kind::Pool,
        "single" => Kind::Single,
        _ => Kind::Keyed,
    };
    let mut interface = ModuleInterface {
        stateful: kind.keeps_state(),
        ..ModuleInterface::default()
    };
    let mut exporting = true;
    for word in words {
        match word {
            "+" => exporting = true,
            "-" => exporting = false,
            _ => {
                let (named, of) = word.trim_end_matches(')').split_once('(').unwrap();
                let into = if exporting {
                    &mut interface.exports
                } else {
                    &mut interface.imports
                };
                into.insert(function(named), function_type(of));
            }
        }
    }
    let mut bytes = [0; 32];
    for (place, byte) in text.bytes().enumerate() {
        bytes[place % 32] = u8::wrapping_add(bytes[place % 32], byte).rotate_left(1);
    }
    Node {
        version: ModuleVersion {
            name: name(module),
            version: version.parse().unwrap(),
            digest: Digest::from_bytes(bytes),
        },
        kind,
        interface: Arc::new(interface),
        links: BTreeMap::new(),
        routes: None,
    }
}

/// One node a line.
pub(crate) fn graph(text: &str) -> Graph {
    Graph::new(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(node))
}

/// The graph with a link in it.
pub(crate) fn link(mut graph: Graph, caller: &str, import: &str, callee: &str) -> Graph {
    graph
        .nodes
        .get_mut(caller)
        .unwrap()
        .links
        .insert(import.to_owned(), name(callee));
    graph
}

/// Codes and messages, one a line.
pub(crate) fn lines<T: std::fmt::Display>(of: &[T]) -> String {
    of.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Compares a text with a checked-in file of `tests/golden`. `UPDATE_GOLDEN=1` writes the file.
#[track_caller]
pub(crate) fn golden(file: &str, text: &str) {
    checked_in(&format!("tests/golden/{file}"), text);
}

/// Compares a text with a checked-in file of this crate. `UPDATE_GOLDEN=1` writes the file.
#[track_caller]
pub(crate) fn checked_in(file: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = format!("{}\n", text.trim_end());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        return std::fs::write(path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        wanted == text,
        "{file} is not what it should be (UPDATE_GOLDEN=1 writes it):\n--- checked in\n{wanted}\n--- now\n{text}"
    );
}

/// A release of these nodes (one a line), each in a file of its own.
pub(crate) fn release(version: &str, text: &str) -> PlanRelease {
    release_of(version, graph(text))
}

/// A release of a graph.
pub(crate) fn release_of(version: &str, graph: Graph) -> PlanRelease {
    let modules = graph.nodes.into_iter().map(|(name, node)| {
        let spec = ModuleSpec {
            path: Some(format!("{name}-{}.wasm", node.version.version)),
            ..ModuleSpec::new(name.clone())
        };
        (name, PlanModule::new(node, spec))
    });
    PlanRelease {
        name: "shop".to_owned(),
        version: version.parse().unwrap(),
        limits: LimitsSpec::default(),
        modules: modules.collect(),
    }
}

/// What a plan from one release to another is made of.
pub(crate) fn inputs(old: &str, new: &str) -> Inputs {
    Inputs::new(release("1.0.0", old), release("1.1.0", new))
}

/// With the appup of a module of the new release.
pub(crate) fn with_appup(mut inputs: Inputs, module: &str, text: &str) -> Inputs {
    let appup = Appup::parse("a.appup.toml", &format!("format = 1\nmodule = \"{module}\"\n{text}"));
    inputs.new.modules.get_mut(module).unwrap().appup = Some(appup.unwrap());
    inputs
}
