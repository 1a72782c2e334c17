//! What a module exports and imports, as plain values: the host reads them out of a component, everything here compares them.
//!
//! Invariants:
//! - Two [`Type`]s are equal exactly when the component model lets a value of the one pass as the other: structural equality,
//!   field order included. Parameter *names* do not count ([`FunctionType::same_as`]).
//! - A resource never equals another module's resource, so [`Type::Resource`] may not cross modules at all.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A type of the component model.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// `bool`
    Bool,
    /// `s8`
    S8,
    /// `u8`
    U8,
    /// `s16`
    S16,
    /// `u16`
    U16,
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `s64`
    S64,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<T>`
    List(Box<Type>),
    /// A record: fields in order.
    Record(Vec<(String, Type)>),
    /// `tuple<…>`
    Tuple(Vec<Type>),
    /// A variant: cases in order.
    Variant(Vec<(String, Option<Type>)>),
    /// An enum: cases in order.
    Enum(Vec<String>),
    /// `option<T>`
    Option(Box<Type>),
    /// `result<T, E>`
    Result {
        /// Type of the `ok` case, if it has one.
        ok: Option<Box<Type>>,
        /// Type of the `err` case, if it has one.
        err: Option<Box<Type>>,
    },
    /// Flags: names in order.
    Flags(Vec<String>),
    /// An owned or borrowed handle to a resource. Resources do not cross modules (R7).
    Resource,
    /// A type that values cannot be built for here (`stream`, `future`, `map`, …), by its WIT name.
    Unsupported(String),
}

/// Parameters and result of a function.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FunctionType {
    /// Names and types of the parameters.
    pub params: Vec<(String, Type)>,
    /// Type of the result, if there is one.
    pub result: Option<Type>,
    /// `async func`: calls may overlap inside one instance (WASI 0.3).
    #[serde(default)]
    pub is_async: bool,
}

/// The name of an exported or imported function: bare (`increment`) or in an interface (`demo:shop/orders@1.0.0` . `place`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FunctionName {
    /// The interface, in full, with its version where it has one.
    pub interface: Option<String>,
    /// The function.
    pub name: String,
}

/// All that matters of a module to its callers, its callees and the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleInterface {
    /// Functions that can be called, without those of `wasmhot:module` and WASI.
    #[serde(with = "pairs")]
    pub exports: BTreeMap<FunctionName, FunctionType>,
    /// Functions wanted of other modules (imports that are not WASI).
    #[serde(with = "pairs")]
    pub imports: BTreeMap<FunctionName, FunctionType>,
    /// Standard interfaces wanted of the host, in full (`wasi:clocks/wall-clock@0.2.6`).
    pub capabilities: BTreeSet<String>,
    /// Exports `wasmhot:module/lifecycle`.
    pub stateful: bool,
    /// Exports `wasmhot:module/health`.
    pub has_health: bool,
}

impl Type {
    /// True if a resource, stream or other thing that cannot be copied from store to store stands anywhere in the type.
    #[must_use]
    pub fn cannot_cross(&self) -> bool {
        match self {
            Type::Resource | Type::Unsupported(_) => true,
            Type::List(of) | Type::Option(of) => of.cannot_cross(),
            Type::Record(fields) => fields.iter().any(|(_, of)| of.cannot_cross()),
            Type::Tuple(of) => of.iter().any(Type::cannot_cross),
            Type::Variant(cases) => cases.iter().any(|(_, of)| of.as_ref().is_some_and(Type::cannot_cross)),
            Type::Result { ok, err } => [ok, err].into_iter().flatten().any(|of| of.cannot_cross()),
            Type::Bool
            | Type::S8
            | Type::U8
            | Type::S16
            | Type::U16
            | Type::S32
            | Type::U32
            | Type::S64
            | Type::U64
            | Type::F32
            | Type::F64
            | Type::Char
            | Type::String
            | Type::Enum(_)
            | Type::Flags(_) => false,
        }
    }
}

impl FunctionType {
    /// Equality as the component model has it: types in order, names of parameters ignored.
    #[must_use]
    pub fn same_as(&self, other: &FunctionType) -> bool {
        self.is_async == other.is_async
            && self.result == other.result
            && self.params.len() == other.params.len()
            && self
                .params
                .iter()
                .zip(&other.params)
                .all(|((_, ours), (_, theirs))| ours == theirs)
    }

    /// True if the result has an error case of type `string`, which the host can build for a failed nested call (R13).
    #[must_use]
    pub fn can_report_failure(&self) -> bool {
        matches!(&self.result, Some(Type::Result { err: Some(err), .. }) if **err == Type::String)
    }

    /// True if a resource or stream stands in the signature.
    #[must_use]
    pub fn cannot_cross(&self) -> bool {
        self.params.iter().any(|(_, of)| of.cannot_cross()) || self.result.as_ref().is_some_and(Type::cannot_cross)
    }
}

impl ModuleInterface {
    /// The exported functions that `typed` names: `increment`, `orders.place`, `demo:shop/orders.place` or
    /// `demo:shop/orders@1.0.0.place`. More than one only where a bare name is ambiguous.
    #[must_use]
    pub fn find_exports(&self, typed: &str) -> Vec<&FunctionName> {
        let (interface, name) = match typed.rsplit_once('.') {
            Some((interface, name)) => (Some(interface), name),
            None => (None, typed),
        };
        let fits = |export: &&FunctionName| {
            export.name == name
                && interface
                    .is_none_or(|wanted| export.interface.as_deref().is_some_and(|full| is_called(full, wanted)))
        };
        let found: Vec<_> = self.exports.keys().filter(fits).collect();
        match found
            .iter()
            .find(|export| interface.is_none() && export.interface.is_none())
        {
            Some(bare) => vec![*bare],
            None => found,
        }
    }
}

/// Does `wanted` name the interface `full` (`demo:shop/orders@1.0.0`): in full, without version, or by its last word?
fn is_called(full: &str, wanted: &str) -> bool {
    let unversioned = full.split('@').next().unwrap_or(full);
    full == wanted || unversioned == wanted || unversioned.rsplit('/').next() == Some(wanted)
}

impl fmt::Display for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |out: &mut fmt::Formatter<'_>, of: &[Type]| {
            for (place, of) in of.iter().enumerate() {
                write!(out, "{}{of}", if place == 0 { "" } else { ", " })?;
            }
            Ok(())
        };
        match self {
            Type::Bool => out.write_str("bool"),
            Type::S8 => out.write_str("s8"),
            Type::U8 => out.write_str("u8"),
            Type::S16 => out.write_str("s16"),
            Type::U16 => out.write_str("u16"),
            Type::S32 => out.write_str("s32"),
            Type::U32 => out.write_str("u32"),
            Type::S64 => out.write_str("s64"),
            Type::U64 => out.write_str("u64"),
            Type::F32 => out.write_str("f32"),
            Type::F64 => out.write_str("f64"),
            Type::Char => out.write_str("char"),
            Type::String => out.write_str("string"),
            Type::List(of) => write!(out, "list<{of}>"),
            Type::Option(of) => write!(out, "option<{of}>"),
            Type::Tuple(of) => {
                out.write_str("tuple<")?;
                list(out, of)?;
                out.write_str(">")
            }
            Type::Record(fields) => {
                out.write_str("record { ")?;
                for (place, (name, of)) in fields.iter().enumerate() {
                    write!(out, "{}{name}: {of}", if place == 0 { "" } else { ", " })?;
                }
                out.write_str(" }")
            }
            Type::Variant(cases) => {
                out.write_str("variant { ")?;
                for (place, (name, of)) in cases.iter().enumerate() {
                    write!(out, "{}{name}", if place == 0 { "" } else { ", " })?;
                    if let Some(of) = of {
                        write!(out, "({of})")?;
                    }
                }
                out.write_str(" }")
            }
            Type::Enum(cases) => write!(out, "enum {{ {} }}", cases.join(", ")),
            Type::Flags(names) => write!(out, "flags {{ {} }}", names.join(", ")),
            Type::Result { ok: None, err: None } => out.write_str("result"),
            Type::Result {
                ok: Some(ok),
                err: None,
            } => write!(out, "result<{ok}>"),
            Type::Result {
                ok: None,
                err: Some(err),
            } => write!(out, "result<_, {err}>"),
            Type::Result {
                ok: Some(ok),
                err: Some(err),
            } => write!(out, "result<{ok}, {err}>"),
            Type::Resource => out.write_str("resource"),
            Type::Unsupported(name) => out.write_str(name),
        }
    }
}

impl fmt::Display for FunctionType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.is_async { "async func(" } else { "func(" })?;
        for (place, (name, of)) in self.params.iter().enumerate() {
            write!(out, "{}{name}: {of}", if place == 0 { "" } else { ", " })?;
        }
        out.write_str(")")?;
        match &self.result {
            Some(result) => write!(out, " -> {result}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => write!(out, "{interface}.{}", self.name),
            None => out.write_str(&self.name),
        }
    }
}

/// JSON has no maps with structured keys: written as a list of pairs.
mod pairs {
    use super::{BTreeMap, FunctionName, FunctionType};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<FunctionName, FunctionType>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<FunctionName, FunctionType>, D::Error> {
        Ok(Vec::<(FunctionName, FunctionType)>::deserialize(from)?
            .into_iter()
            .collect())
    }
}
