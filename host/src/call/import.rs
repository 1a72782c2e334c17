//! A module calls another (R7): its import goes through the routing table of its frame's stamp.
//!
//! A failed nested call arrives as `err` where the function's result can say so, else it traps the caller (R13).

use super::frame::{DEPTH_MAX, Frame};
use super::invocation::Invocation;
use super::router;
use crate::error::{CallError, CallErrorCode};
use crate::instance::guest::{Guest, calling_frame};
use crate::value::{Value, define_import};
use crate::version::Version;
use std::sync::Arc;
use wasmhot_appup::interface::{FunctionName, FunctionType};
use wasmtime::component::Linker;

/// Defines every function that `version` wants of other modules.
pub(crate) fn define_imports(linker: &mut Linker<Guest>, version: &Version) -> wasmtime::Result<()> {
    for (name, ty) in &version.interface.imports {
        let (imported, ty) = (Arc::new(name.clone()), Arc::new(ty.clone()));
        let mut place = match &name.interface {
            Some(interface) => linker.instance(interface)?,
            None => linker.root(),
        };
        let signature = Arc::clone(&ty);
        define_import(&mut place, &name.name, &signature, move |store, args| {
            let refused_in = store.data().reach().effects_refused();
            let caller = match (refused_in, calling_frame(store)) {
                (None, Some(frame)) => Ok(frame),
                (Some(phase), _) => Err(refused(&imported, phase)),
                (None, None) => Err(refused(&imported, "this phase")),
            };
            let (imported, ty) = (Arc::clone(&imported), Arc::clone(&ty));
            Box::pin(async move {
                let answer = match caller {
                    Ok(caller) => {
                        // Whatever else runs in the caller's instance has to wait, unless the function is async.
                        let held = (!ty.is_async).then(|| caller.set_holds(true));
                        let answer = call_nested(&caller, &imported, args).await;
                        held.map(|held| caller.set_holds(held));
                        answer
                    }
                    Err(error) => Err(error),
                };
                deliver(answer, &imported, &ty)
            })
        })?;
    }
    Ok(())
}

fn refused(imported: &FunctionName, phase: &str) -> CallError {
    CallError::not_executed(
        CallErrorCode::EffectRefused,
        format!("`{imported}` may not be called during {phase}: outside effects are refused there"),
    )
}

/// R13: an error that the result type can carry is a value like any other; one that it cannot carry traps the caller.
fn deliver(
    answer: Result<Option<Value>, CallError>,
    imported: &FunctionName,
    ty: &FunctionType,
) -> wasmtime::Result<Option<Value>> {
    match answer {
        Ok(value) => Ok(value),
        Err(error) if ty.can_report_failure() => Ok(Some(Value::Result(Err(Some(Box::new(Value::String(
            error.to_string(),
        ))))))),
        Err(error) => Err(wasmtime::format_err!("the nested call of `{imported}` failed: {error}")),
    }
}

async fn call_nested(
    caller: &Arc<Frame>,
    imported: &FunctionName,
    args: Vec<Value>,
) -> Result<Option<Value>, CallError> {
    let name = &caller.template.version.id.name;
    let origin = caller.origin();
    if origin.depth() > DEPTH_MAX {
        let message = format!("calls of modules are nested deeper than {DEPTH_MAX}");
        return Err(CallError::not_executed(CallErrorCode::Deadlock, message).in_module(name));
    }
    let Some(link) = caller.stamp.wiring.link(name.as_ref(), imported) else {
        let message = format!(
            "nothing in revision {} serves `{imported}` to {name}",
            caller.stamp.revision
        );
        return Err(CallError::not_executed(CallErrorCode::NoSuchFunction, message).in_module(name));
    };
    let Some(route) = caller.stamp.modules.get(&link.callee) else {
        return Err(
            CallError::not_executed(CallErrorCode::NoSuchModule, format!("no module `{}`", link.callee))
                .in_module(name),
        );
    };
    let Some(export) = route.template.version.exports.get(&link.function) else {
        let message = format!("`{}` of {} cannot be called", link.function, link.callee);
        return Err(CallError::not_executed(CallErrorCode::NoSuchFunction, message).in_module(name));
    };
    let invocation = Invocation::Function {
        export: Arc::clone(export),
        args,
    };
    router::dispatch(route, invocation, origin).await
}
