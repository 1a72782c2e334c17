//! `call` steps (R32): how a release prepares, finishes and clears up what modules keep outside of themselves.
//!
//! A `before` step of a stateless module that moves runs in a throw-away instance of the *new* version, which is the one that knows
//! what the new release needs; all others are calls of what runs. Begin and end of each are journalled before and after it, so a
//! crash in the middle makes it run again, or be undone: it must be idempotent.

use super::Core;
use super::journal::{Attempt, Step, may_be_killed_here, shown};
use super::plan::Plan;
use super::prepare::Prepared;
use crate::call::frame::{Frame, Origin};
use crate::call::named::{find, wrong_argument};
use crate::call::routes::Routes;
use crate::control::protocol::{Exit, Failure};
use crate::event::{EventKind, Happening};
use crate::instance::Template;
use crate::value::{Value, json, wave};
use std::sync::Arc;
use std::time::Instant;
use wasmhot_appup::{CallSpec, Kind, ModuleName, When};

/// The new versions that `before` steps may run: of stateless modules that move.
pub(crate) type NewVersions = Vec<(ModuleName, Arc<Template>)>;

/// What `before` steps of this upgrade may run.
pub(super) fn new_versions(prepared: &[Prepared]) -> NewVersions {
    let templates = prepared.iter().filter_map(|item| item.template.as_ref());
    let stateless = templates.filter(|template| template.config.kind == Kind::Pool);
    stateless
        .map(|template| (template.version.id.name.clone(), Arc::clone(template)))
        .collect()
}

/// Steps that could not be carried out are refused before anything is done.
pub(super) fn check(plan: &Plan, old: &Routes) -> Result<(), Failure> {
    for step in &plan.steps {
        let module = &step.call.module;
        let moves = plan.moves.iter().any(|one| one.module == *module);
        let after = plan.desired.get(module);
        let stateless = after.is_some_and(|after| after.config.kind == Kind::Pool);
        let why = match step.when {
            When::Before if moves && stateless => None,
            When::Before if moves && after.is_some() => Some(
                "keeps state and moves: before the switch its new version has none; let the step be `when = \"after\"`",
            ),
            When::Before if old.modules.contains_key(module) => None,
            When::After | When::Permanent if after.is_some() => None,
            _ => Some("is not there then"),
        };
        let version = match step.when {
            When::Before if !moves => old.modules.get(module).map(|route| &route.template.version),
            _ => after.map(|after| &after.version),
        };
        let fits = |call: &CallSpec| version.map_or(Ok(()), |version| arguments(version, call).map(drop));
        let wrong = why.map(ToString::to_string).or_else(|| {
            let calls = std::iter::once(&step.call).chain(step.undo.as_ref().filter(|undo| undo.module == *module));
            calls.filter_map(|call| fits(call).err()).next()
        });
        if let Some(why) = wrong {
            let message = format!("the `call` step {}: `{module}` {why}", shown(&step.call));
            let mut failure = Failure::new("bad-step", Exit::Refused, message).in_phase("check");
            failure.module = Some(module.to_string());
            return Err(failure);
        }
    }
    Ok(())
}

type Arguments = (
    wasmhot_appup::FunctionName,
    Arc<wasmhot_appup::FunctionType>,
    Vec<Value>,
);

fn arguments(version: &crate::version::Version, call: &CallSpec) -> Result<Arguments, String> {
    let (name, ty) = find(version, &call.function).map_err(|error| error.to_string())?;
    let args = serde_json::Value::Array(call.args.clone());
    let args =
        json::args_from_json(&args, &ty).map_err(|error| wrong_argument(version, &name, &ty, &error).to_string())?;
    Ok((name, ty, args))
}

/// Carries out the steps of one kind in their order; stops at the first that fails.
pub(super) async fn run(core: &Core, attempt: &mut Attempt, when: When, new: &NewVersions) -> Result<(), Failure> {
    let due = |step: &Step| step.when == when && step.ended_ms.is_none();
    let places: Vec<_> = (0..attempt.steps.len())
        .filter(|place| due(&attempt.steps[*place]))
        .collect();
    for place in places {
        run_one(core, attempt, place, new).await?;
    }
    Ok(())
}

/// Carries out one step, journalled.
pub(super) async fn run_one(
    core: &Core,
    attempt: &mut Attempt,
    place: usize,
    new: &NewVersions,
) -> Result<(), Failure> {
    let call = attempt.steps[place].call.clone();
    attempt.steps[place].began_ms = Some(crate::event::now_ms());
    let written = core.journal.write(attempt).await;
    written.map_err(|error| failed(&call, &format!("could not be written down: {error}")))?;
    may_be_killed_here("step-begun");
    let done = call_one(core, &call, new).await;
    may_be_killed_here("step-done");
    attempt.steps[place].ended_ms = done.is_ok().then(crate::event::now_ms);
    attempt.steps[place].failed = done.as_ref().err().cloned();
    let written = core.journal.write(attempt).await;
    may_be_killed_here("step-ended");
    done.map_err(|error| failed(&call, &error))?;
    written.map_err(|error| failed(&call, &format!("could not be written down: {error}")))?;
    let message = format!("step {}", shown(&call));
    core.events.publish(
        Happening::new(EventKind::StepDone, message)
            .module(&call.module)
            .revision(attempt.revision),
    );
    Ok(())
}

fn failed(call: &CallSpec, why: &str) -> Failure {
    let message = format!("the `call` step {}: {why}", shown(call));
    let mut failure = Failure::new("step-failed", Exit::Failed, message).in_phase("steps");
    failure.module = Some(call.module.to_string());
    failure
}

/// Undoes what was begun, the last first. What cannot be undone is told as an alarm: somebody has to look after it.
pub(crate) async fn undo(core: &Core, attempt: &mut Attempt, new: &NewVersions) {
    for place in (0..attempt.steps.len()).rev() {
        let step = attempt.steps[place].clone();
        let (true, Some(call)) = (step.is_to_be_undone(), &step.undo) else {
            continue;
        };
        match call_one(core, call, new).await {
            Ok(()) => {
                attempt.steps[place].undone_ms = Some(crate::event::now_ms());
                if let Err(error) = core.journal.write(attempt).await {
                    tracing::error!(
                        "that {} is undone could not be written down: {error}",
                        shown(&step.call)
                    );
                }
                let message = format!("step {} is undone by {}", shown(&step.call), shown(call));
                core.events
                    .publish(Happening::new(EventKind::StepDone, message).module(&call.module));
            }
            Err(error) => {
                let message = format!(
                    "the step {} could not be undone by {}: {error}; it was begun, and the upgrade did not happen",
                    shown(&step.call),
                    shown(call)
                );
                core.events
                    .publish(Happening::new(EventKind::Alarm, message).module(&call.module));
            }
        }
    }
}

/// What a step says that fails.
type Said = String;

async fn call_one(core: &Core, call: &CallSpec, new: &NewVersions) -> Result<(), Said> {
    let answer = match new.iter().find(|(name, _)| *name == call.module) {
        Some((_, template)) => call_new(core, call, template).await?,
        None => {
            let deadline = None;
            let prepare = |route: &crate::call::routes::Route| {
                arguments(&route.template.version, call).map_err(|message| {
                    let code = crate::error::CallErrorCode::WrongArgument;
                    crate::error::CallError::not_executed(code, message)
                })
            };
            let answer = core.router.call(&call.module, deadline, prepare).await;
            let value = answer.map_err(|error| error.to_string())?;
            let routes = core.router.routes();
            let version = routes.modules.get(&call.module).map(|route| &route.template.version);
            let ty = version.and_then(|version| find(version, &call.function).ok());
            (value, ty.and_then(|(_, ty)| ty.result.clone()))
        }
    };
    match answer {
        (Some(Value::Result(Err(why))), ty) => Err(format!(
            "it said err{}",
            why.zip(ty).map_or(String::new(), |(why, ty)| said(&why, &ty))
        )),
        _ => Ok(()),
    }
}

fn said(why: &Value, result: &wasmhot_appup::Type) -> String {
    match result {
        wasmhot_appup::Type::Result { err: Some(ty), .. } => format!(": {}", wave::to_string(why, ty)),
        _ => String::new(),
    }
}

/// In a throw-away instance of the new version. What it calls of other modules is what runs now.
async fn call_new(
    core: &Core,
    call: &CallSpec,
    template: &Arc<Template>,
) -> Result<(Option<Value>, Option<wasmhot_appup::Type>), Said> {
    let (name, ty, args) = arguments(&template.version, call)?;
    let limits = &template.config.limits;
    let routes = core.router.routes();
    let revision = routes.revision;
    let instance = template.start_within(revision, limits.start_timeout).await;
    let mut instance = instance.map_err(|error| error.to_string())?;
    let deadline = Instant::now() + limits.call_deadline;
    let frame = Frame::new(Origin::outside(routes, deadline), Arc::clone(template), None, revision);
    let limit = limits.call_deadline;
    let done = core
        .services
        .guests
        .spawn(async move { tokio::time::timeout(limit, instance.call(&name, &args, frame)).await });
    match done.await {
        Ok(Ok(answer)) => Ok((answer.map_err(|error| error.to_string())?, ty.result.clone())),
        Ok(Err(_)) => Err(format!("it was interrupted after {limit:?} (call_deadline)")),
        Err(error) => Err(error.to_string()),
    }
}
