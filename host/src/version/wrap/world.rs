//! The world of a module that does not carry one: made up from its exports.

use super::super::contract::{HEALTH, INCREMENTAL, LIFECYCLE, LIVE, unknown_contract};
use super::name::kebab;
use super::{CoreModule, VersionError};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use wasmparser::{FuncType, ValType};

/// More than a person would call, and few enough for an encoder that searches lists.
const FUNCTIONS_MAX: usize = 1000;

/// The canonical ABI passes no more parameters than this as they are.
const PARAMS_MAX: usize = 16;

/// Functions that toolchains export for themselves.
const INTERNAL: &[&str] = &[
    "_initialize",
    "_start",
    "cabi_realloc",
    "cabi_export_realloc",
    "cabi_import_realloc",
    "canonical_abi_realloc",
    "malloc",
    "calloc",
    "realloc",
    "free",
];

/// A function of the contract: its core type, by the canonical ABI. A string or list is a pointer and a length; a result that
/// does not fit into one number is returned as a pointer.
struct Ours {
    /// The name under which it is taken too; the full name where there is no such: a function `live` or `next` is one like any other.
    short: &'static str,
    interface: &'static str,
    function: &'static str,
    params: usize,
    result: Option<ValType>,
}

impl Ours {
    /// One that returns a pointer.
    const fn new(short: &'static str, interface: &'static str, function: &'static str, params: usize) -> Self {
        Self {
            short,
            interface,
            function,
            params,
            result: Some(ValType::I32),
        }
    }

    const fn giving(self, result: Option<ValType>) -> Self {
        Self { result, ..self }
    }
}

/// A change: three strings and an enum.
const CHANGE: usize = 7;
/// A text or list.
const BYTES: usize = 2;

/// `save(change)`
const SAVE: Ours = Ours::new("save", LIFECYCLE, "save", CHANGE);
/// `migrate(change, state)`
const MIGRATE: Ours = Ours::new("migrate", LIFECYCLE, "migrate", CHANGE + BYTES);
/// `check()`
const CHECK: Ours = Ours::new("health", HEALTH, "check", 0);
/// `live(change)`
const LIVE_CALL: Ours = Ours::new("wasmhot:module/live@0.1.0#live", LIVE, "live", CHANGE);

/// The functions of `incremental`: all of them, or none.
const IN_CHUNKS: [Ours; 7] = [
    Ours::new("wasmhot:module/incremental@0.1.0#begin", INCREMENTAL, "begin", CHANGE),
    Ours::new("wasmhot:module/incremental@0.1.0#next", INCREMENTAL, "next", 1),
    Ours::new("wasmhot:module/incremental@0.1.0#pending", INCREMENTAL, "pending", 0).giving(Some(ValType::I64)),
    Ours::new("wasmhot:module/incremental@0.1.0#rest", INCREMENTAL, "rest", 0),
    Ours::new("wasmhot:module/incremental@0.1.0#cancel", INCREMENTAL, "cancel", 0).giving(None),
    Ours::new(
        "wasmhot:module/incremental@0.1.0#accept",
        INCREMENTAL,
        "accept",
        CHANGE + BYTES,
    ),
    Ours::new(
        "wasmhot:module/incremental@0.1.0#finish",
        INCREMENTAL,
        "finish",
        CHANGE + BYTES,
    ),
];

/// All functions of the contract.
fn all_ours() -> impl Iterator<Item = &'static Ours> {
    [SAVE, MIGRATE, CHECK, LIVE_CALL].iter().chain(&IN_CHUNKS)
}

/// How a module is wrapped.
pub(super) struct World {
    /// WIT text with the one world `wrapped`.
    pub(super) wit: String,
    /// Exports that get another name.
    pub(super) renames: BTreeMap<String, String>,
}

/// Makes up the world of a module.
pub(super) fn plan(module: &CoreModule, notes: &mut Vec<String>) -> Result<World, VersionError> {
    let mut world = World {
        wit: "package wasmhot:wrapped;\nworld wrapped {\n".to_owned(),
        renames: BTreeMap::new(),
    };
    for (name, _) in &module.functions {
        // R1: also in core modules.
        let item = name.strip_prefix("cabi_post_").unwrap_or(name);
        let ours = all_ours().any(|ours| ours.canonical() == item);
        if item.starts_with("wasmhot:module/") && !ours {
            return Err(unknown_contract(item));
        }
    }
    let stateful = SAVE.is_in(module) || MIGRATE.is_in(module);
    if stateful {
        world.export(&SAVE, module)?;
        world.export(&MIGRATE, module)?;
        needs_memory(module, "a stateful module")?;
        let _ = writeln!(world.wit, "  export {LIFECYCLE};");
    }
    // Without `save` and `migrate` an export `health` is a function like any other.
    let checked = module.function(&CHECK.canonical()).is_some() || (stateful && CHECK.is_in(module));
    if checked {
        world.export(&CHECK, module)?;
        needs_memory(module, "a module with a health check")?;
        let _ = writeln!(world.wit, "  export {HEALTH};");
    }
    if LIVE_CALL.is_in(module) {
        world.export(&LIVE_CALL, module)?;
        needs_memory(module, "a module with `live`")?;
        let _ = writeln!(world.wit, "  export {LIVE};");
    }
    if IN_CHUNKS.iter().any(|ours| ours.is_in(module)) {
        for ours in &IN_CHUNKS {
            world.export(ours, module)?;
        }
        needs_memory(module, "a module with `incremental`")?;
        let _ = writeln!(world.wit, "  export {INCREMENTAL};");
    }
    world.export_scalars(module, notes)?;
    world.wit.push_str("}\n");
    Ok(world)
}

impl Ours {
    fn canonical(&self) -> String {
        format!("{}#{}", self.interface, self.function)
    }

    fn is_in(&self, module: &CoreModule) -> bool {
        module.function(self.short).is_some() || module.function(&self.canonical()).is_some()
    }
}

impl World {
    /// Brings a function of the contract under its canonical name, if its type is right.
    fn export(&mut self, ours: &Ours, module: &CoreModule) -> Result<(), VersionError> {
        let canonical = ours.canonical();
        let incomplete = |why: String| Err(VersionError::IncompleteAbi { why });
        let (name, ty) = match (module.function(&canonical), module.function(ours.short)) {
            (Some(ty), _) => (canonical.as_str(), ty),
            (None, Some(ty)) => (ours.short, ty),
            (None, None) if ours.interface == INCREMENTAL => {
                return incomplete(format!(
                    "does not export `{canonical}`: who exports one function of that interface exports all"
                ));
            }
            (None, None) => {
                let other = if ours.short == "save" { "migrate" } else { "save" };
                return incomplete(format!(
                    "exports `{other}` but not `{}`: a stateful module exports both; if that is no function of \
                     wasmhot:module/lifecycle, call it otherwise",
                    ours.short
                ));
            }
        };
        let right = FuncType::new(vec![ValType::I32; ours.params], ours.result);
        if *ty != right {
            return incomplete(format!(
                "exports `{name}` with the type {}, but by the canonical ABI it is {}; if that is no function of {}, call it \
                 otherwise",
                show(ty),
                show(&right),
                ours.interface
            ));
        }
        if name == ours.short {
            self.renames.insert(ours.short.to_owned(), canonical.clone());
        }
        let post = format!("cabi_post_{}", ours.short);
        let canonical_post = format!("cabi_post_{canonical}");
        if module.function(&post).is_some() && module.function(&canonical_post).is_none() {
            self.renames.insert(post, canonical_post);
        }
        Ok(())
    }

    /// Gives every function of plain numbers a WIT name and type.
    fn export_scalars(&mut self, module: &CoreModule, notes: &mut Vec<String>) -> Result<(), VersionError> {
        let offered: Vec<_> = module
            .functions
            .iter()
            .filter(|(name, _)| !self.is_reserved(name))
            .collect();
        let exact: BTreeSet<&str> = offered
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| kebab(name).as_deref() == Some(name))
            .collect();
        let mut claims: BTreeMap<String, usize> = BTreeMap::new();
        for (name, _) in &offered {
            *claims.entry(kebab(name).unwrap_or_default()).or_default() += 1;
        }
        let mut count = 0_usize;
        for (name, ty) in offered {
            let Some(wit_name) = kebab(name) else {
                notes.push(format!(
                    "export {name:?} cannot be called: it is no name for a function"
                ));
                continue;
            };
            let is_exact = exact.contains(name.as_str());
            if !is_exact && claims.get(&wit_name).is_some_and(|claims| *claims > 1) {
                notes.push(format!(
                    "export {name:?} cannot be called: another export is called `{wit_name}` too"
                ));
                continue;
            }
            let Some(signature) = signature(ty) else {
                notes.push(format!("export {name:?} cannot be called: its type is {}", show(ty)));
                continue;
            };
            count += 1;
            if count > FUNCTIONS_MAX {
                return Err(VersionError::invalid(format!(
                    "it exports more than {FUNCTIONS_MAX} functions"
                )));
            }
            // `%`: a keyword of WIT is a name too.
            let _ = writeln!(self.wit, "  export %{wit_name}: {signature};");
            if !is_exact {
                notes.push(format!("export {name:?} is called `{wit_name}`"));
                self.renames.insert(name.clone(), wit_name);
            }
        }
        Ok(())
    }

    /// Names that are not offered as functions: those of the contract that are in use, and those of toolchains.
    fn is_reserved(&self, name: &str) -> bool {
        let in_use = |ours: &Ours| {
            name == ours.short && (self.wit.contains(ours.interface) || self.renames.contains_key(ours.short))
        };
        INTERNAL.contains(&name)
            || name.starts_with("__")
            || name.starts_with("cabi_post_")
            || name.starts_with("wasmhot:module/")
            || all_ours().any(in_use)
    }
}

/// Bytes go through memory, which the module itself hands out.
fn needs_memory(module: &CoreModule, who: &str) -> Result<(), VersionError> {
    let incomplete = |why: String| Err(VersionError::IncompleteAbi { why });
    if !module.has_memory {
        return incomplete(format!(
            "exports no memory called `memory`: {who} needs one, for its bytes and texts"
        ));
    }
    let realloc = FuncType::new([ValType::I32; 4], [ValType::I32]);
    match module.function("cabi_realloc") {
        Some(found) if *found == realloc => Ok(()),
        Some(found) => incomplete(format!(
            "exports `cabi_realloc` with the type {}, must be {}",
            show(found),
            show(&realloc)
        )),
        None => incomplete(format!(
            "exports no function `cabi_realloc` {}: {who} needs one",
            show(&realloc)
        )),
    }
}

/// The WIT type of a function of plain numbers.
fn signature(ty: &FuncType) -> Option<String> {
    if ty.params().len() > PARAMS_MAX || ty.results().len() > 1 {
        return None;
    }
    let mut text = "func(".to_owned();
    for (place, param) in ty.params().iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}p{}: {}", place + 1, scalar(*param)?);
    }
    text.push(')');
    if let Some(result) = ty.results().first() {
        let _ = write!(text, " -> {}", scalar(*result)?);
    }
    Some(text)
}

fn scalar(of: ValType) -> Option<&'static str> {
    match of {
        ValType::I32 => Some("s32"),
        ValType::I64 => Some("s64"),
        ValType::F32 => Some("f32"),
        ValType::F64 => Some("f64"),
        ValType::V128 | ValType::Ref(_) => None,
    }
}

/// `(i32, i64) -> (f32)`
fn show(ty: &FuncType) -> String {
    let list = |of: &[ValType]| of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("({}) -> ({})", list(ty.params()), list(ty.results()))
}
