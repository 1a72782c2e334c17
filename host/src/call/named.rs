//! Calls by name: which function of a version a text means, and its arguments.

use crate::error::{CallError, CallErrorCode};
use crate::value::Value;
use crate::version::{Export, Version};
use std::sync::Arc;
use wasmhot_appup::ModuleVersion;
use wasmhot_appup::interface::{FunctionName, FunctionType, ModuleInterface};

/// A function, and arguments that fit it.
pub(crate) type Named = (Arc<Export>, Vec<Value>);

/// The one function that `typed` names, or an error that lists those there are.
pub(crate) fn find<'v>(version: &'v Version, typed: &str) -> Result<&'v Arc<Export>, CallError> {
    if let Some(export) = version.places.exports.named(typed) {
        return Ok(export);
    }
    let (name, _) = find_in(&version.id, &version.interface, typed)?;
    version.places.exports.get(name).ok_or_else(|| {
        let message = format!("the function `{name}` cannot be found in the component");
        CallError::not_executed(CallErrorCode::NoSuchFunction, message).in_version(&version.id)
    })
}

/// As [`find`], for a version of which only the interface is known.
pub(crate) fn find_in<'i>(
    id: &ModuleVersion,
    interface: &'i ModuleInterface,
    typed: &str,
) -> Result<(&'i FunctionName, &'i FunctionType), CallError> {
    let callable = |(_, ty): &(&FunctionName, &FunctionType)| !ty.cannot_cross();
    let found: Vec<_> = interface
        .find_exports(typed)
        .into_iter()
        .filter_map(|name| interface.exports.get_key_value(name))
        .filter(callable)
        .collect();
    match found.as_slice() {
        [found] => Ok(*found),
        [] => {
            let known = interface.exports.iter().filter(callable);
            let known: Vec<_> = known.map(|(name, ty)| format!("  {name}: {ty}")).collect();
            let message = format!("no function `{typed}`; there are:\n{}", known.join("\n"));
            Err(CallError::not_executed(CallErrorCode::NoSuchFunction, message).in_version(id))
        }
        several => {
            let names: Vec<_> = several.iter().map(|(name, _)| name.to_string()).collect();
            let message = format!("`{typed}` is in several interfaces; say which: {}", names.join(", "));
            Err(CallError::not_executed(CallErrorCode::NoSuchFunction, message).in_version(id))
        }
    }
}

pub(crate) fn wrong_argument(
    id: &ModuleVersion,
    name: &FunctionName,
    ty: &FunctionType,
    error: &dyn std::fmt::Display,
) -> CallError {
    let message = format!("{error}; `{name}` is {ty}");
    CallError::not_executed(CallErrorCode::WrongArgument, message).in_version(id)
}
