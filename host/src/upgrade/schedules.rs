//! What a release says of calls by the clock (R18), checked against the functions of its modules before anything is done.

use crate::call::named::find_in;
use crate::control::protocol::{Exit, Failure};
use crate::value::wave::CallText;
use std::sync::Arc;
use wasmhot_appup::{ModuleInterface, ModuleSpec, ModuleVersion};

/// Schedules that could not be kept are refused: each call has to fit its function.
pub(crate) fn check<'m>(
    modules: impl IntoIterator<Item = (&'m ModuleVersion, &'m ModuleInterface, &'m ModuleSpec)>,
) -> Result<(), Failure> {
    for (id, interface, spec) in modules {
        for schedule in &spec.every {
            check_one(id, interface, &schedule.call).map_err(|why| {
                let message = format!(
                    "`[[modules.every]]` of {} calls `{}`: {why}; correct it, or end it by `every = \"never\"`",
                    id.name, schedule.call
                );
                let mut failure = Failure::new("bad-schedule", Exit::Refused, message).in_phase("check");
                failure.module = Some(id.name.to_string());
                failure
            })?;
        }
    }
    Ok(())
}

fn check_one(id: &ModuleVersion, interface: &ModuleInterface, text: &str) -> Result<(), String> {
    let call = CallText::split(text).map_err(|error| error.to_string())?;
    let (name, ty) = find_in(id, interface, call.name()).map_err(|error| error.message)?;
    let args = call.args(&Arc::new(ty.clone()));
    args.map(drop).map_err(|error| format!("{error}; `{name}` is {ty}"))
}
