//! A module calls another (R7): its import goes through the routing table of its frame's stamp.
//!
//! A failed nested call arrives as `err` where the function's result can say so, else it traps the caller (R13).

use super::frame::{DEPTH_MAX, Frame};
use super::invocation::Invocation;
use super::lane::CallResult;
use super::router::{self, Given, Sent, Waits};
use super::routes::{Found, Routes};
use crate::error::{CallError, CallErrorCode};
use crate::instance::guest::{Guest, calling_frame};
use crate::value::{Answered, Value, define_import};
use crate::version::{EngineKind, Version};
use std::sync::Arc;
use wasmhot_appup::ModuleName;
use wasmhot_appup::interface::{FunctionName, FunctionType};
use wasmtime::component::Linker;

/// A function that a version imports from another module.
struct Imported {
    name: FunctionName,
    ty: FunctionType,
    /// Where the table of the last call has what serves it.
    found: Found,
}

/// Defines every function that `version` wants of other modules.
pub(crate) fn define_imports(linker: &mut Linker<Guest>, version: &Version) -> wasmtime::Result<()> {
    for (name, ty) in &version.interface.imports {
        let imported = Arc::new(Imported {
            name: name.clone(),
            ty: ty.clone(),
            found: Found::default(),
        });
        let mut place = match &name.interface {
            Some(interface) => linker.instance(interface)?,
            None => linker.root(),
        };
        define_import(&mut place, &name.name, ty, move |store, args| {
            let refused_in = store.data().reach().effects_refused();
            let caller = match (refused_in, calling_frame(store)) {
                (None, Some(frame)) => frame,
                (refused_in, _) => {
                    let error = refused(&imported.name, refused_in.unwrap_or("this phase"));
                    return Answered::Now(deliver(Err(Box::new(error)), &imported));
                }
            };
            // Whatever else runs in the caller's instance has to wait, unless the function is async. Without concurrent calls it
            // waits anyway.
            let can_go_on = caller.template.version.engine == EngineKind::Concurrent;
            let held = (can_go_on && !imported.ty.is_async).then(|| caller.set_holds(true));
            let sent = call_nested(&caller, &imported, args);
            let waits = match sent {
                Sent::Done(answer) => {
                    held.map(|held| caller.set_holds(held));
                    return Answered::Now(deliver(answer, &imported));
                }
                Sent::Waits(waits) => waits,
            };
            let imported = Arc::clone(&imported);
            Answered::Later(Box::pin(async move {
                let answer = answered(&caller, &imported, waits).await;
                held.map(|held| caller.set_holds(held));
                deliver(answer, &imported)
            }))
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
fn deliver(answer: CallResult, imported: &Imported) -> wasmtime::Result<Option<Value>> {
    match answer {
        Ok(value) => Ok(value),
        Err(error) if imported.ty.can_report_failure() => Ok(Some(Value::Result(Err(Some(Box::new(Value::String(
            error.to_string(),
        ))))))),
        Err(error) => {
            let name = &imported.name;
            Err(wasmtime::format_err!("the nested call of `{name}` failed: {error}"))
        }
    }
}

/// Begins a call of a module.
fn call_nested(caller: &Arc<Frame>, imported: &Imported, args: Vec<Value>) -> Sent {
    let name = &caller.template.version.id.name;
    let origin = caller.origin();
    if origin.depth() > DEPTH_MAX {
        let message = format!("calls of modules are nested deeper than {DEPTH_MAX}");
        let error = CallError::not_executed(CallErrorCode::Deadlock, message).in_module(name);
        return Sent::Done(Err(Box::new(error)));
    }
    let Some(served) = caller.stamp.served(name, &imported.name, &imported.found) else {
        let error = not_served(&caller.stamp, name, &imported.name);
        return Sent::Done(Err(Box::new(error)));
    };
    let export = Arc::clone(&served.export);
    router::send(&served.route, Invocation::Function { export, args }, origin)
}

/// Waits for the answer, through as many gates as there are.
async fn answered(caller: &Frame, imported: &Imported, mut waits: Waits) -> CallResult {
    let name = &caller.template.version.id.name;
    loop {
        let (invocation, origin) = match waits.await {
            Given::Done(answer) => return answer,
            // Only a gate has been opened: a module's call stays with the version of its stamp.
            Given::Replaced(invocation, origin) => (invocation, origin),
        };
        let Some(served) = caller.stamp.served(name, &imported.name, &imported.found) else {
            return Err(Box::new(not_served(&caller.stamp, name, &imported.name)));
        };
        match router::send(&served.route, invocation, origin) {
            Sent::Done(answer) => return answer,
            Sent::Waits(again) => waits = again,
        }
    }
}

/// Why nothing serves an import of a module in this table.
fn not_served(routes: &Routes, name: &ModuleName, imported: &FunctionName) -> CallError {
    let (code, message) = match routes.wiring.link(name.as_ref(), imported) {
        None => {
            let message = format!("nothing in revision {} serves `{imported}` to {name}", routes.revision);
            (CallErrorCode::NoSuchFunction, message)
        }
        Some(link) if !routes.modules.contains_key(&link.callee) => {
            (CallErrorCode::NoSuchModule, format!("no module `{}`", link.callee))
        }
        Some(link) => {
            let message = format!("`{}` of {} cannot be called", link.function, link.callee);
            (CallErrorCode::NoSuchFunction, message)
        }
    };
    CallError::not_executed(code, message).in_module(name)
}
