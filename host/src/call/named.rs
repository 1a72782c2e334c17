//! Calls by name: which function of a version a text means, and its arguments.

use crate::control::protocol::CallRequest;
use crate::error::{CallError, CallErrorCode};
use crate::value::{Value, json, wave};
use crate::version::Version;
use std::sync::Arc;
use wasmhot_appup::ModuleVersion;
use wasmhot_appup::interface::{FunctionName, FunctionType, ModuleInterface};

/// A function, its type, and arguments that fit it.
pub(crate) type Named = (FunctionName, Arc<FunctionType>, Vec<Value>);

/// The one function that `typed` names, or an error that lists those there are.
pub(crate) fn find(version: &Version, typed: &str) -> Result<(FunctionName, Arc<FunctionType>), CallError> {
    let (name, ty) = find_in(&version.id, &version.interface, typed)?;
    let export = version.exports.get(name);
    let ty = export.map_or_else(|| Arc::new(ty.clone()), |export| Arc::clone(&export.ty));
    Ok((name.clone(), ty))
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

/// Function and arguments of a call in text, read for this version.
pub(crate) fn read_call(version: &Version, request: &CallRequest) -> Result<Named, CallError> {
    let id = &version.id;
    let wrong = |message: String| CallError::not_executed(CallErrorCode::WrongArgument, message).in_version(id);
    match (&request.call, &request.function) {
        (Some(text), None) => {
            let call = wave::CallText::split(text).map_err(|error| wrong(error.to_string()))?;
            let (name, ty) = find(version, call.name())?;
            let args = call
                .args(&ty)
                .map_err(|error| wrong(format!("{error}\n`{name}` is {ty}")))?;
            Ok((name, ty, args))
        }
        (None, Some(function)) => {
            let (name, ty) = find(version, function)?;
            let args = serde_json::Value::Array(request.args.clone().unwrap_or_default());
            let args = json::args_from_json(&args, &ty).map_err(|error| wrong_argument(id, &name, &ty, &error))?;
            Ok((name, ty, args))
        }
        _ => Err(wrong(
            "a call is either `call` (WAVE text) or `function` with `args` (a JSON array)".to_string(),
        )),
    }
}
