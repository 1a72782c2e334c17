//! `call` steps (R32): how a release prepares, finishes and clears up what modules keep outside of themselves.
//!
//! A `before` step of a stateless module that moves runs in a throw-away instance of the *new* version, which is the one that knows
//! what the new release needs, if that has the function (on the way down it is the newer one that does); all others are calls of
//! what runs. Begin and end of each are journalled before and after it, so a
//! crash in the middle makes it run again, or be undone: it must be idempotent.

use super::Core;
use super::journal::{Attempt, Step, shown};
use super::prepare::Prepared;
use crate::call::frame::{Deadline, Frame, Origin};
use crate::call::invocation::Called;
use crate::call::named::{find, find_in, wrong_argument};
use crate::call::routes::Routes;
use crate::control::protocol::{Exit, Failure};
use crate::error::{CallError, CallErrorCode};
use crate::event::{EventKind, Happening};
use crate::fault::may_be_killed_here;
use crate::instance::Template;
use crate::value::{Value, json, wave};
use crate::version::{Export, Version};
use std::sync::Arc;
use wasmhot_appup::{CallSpec, Kind, ModuleInterface, ModuleName, ModuleVersion, Node, Transition, When, Wiring};

/// The new versions that `before` steps may run: of stateless modules that move.
#[derive(Default)]
pub(crate) struct NewVersions {
    pub(crate) templates: Vec<Arc<Template>>,
    /// Who serves whom in the new release.
    pub(crate) wiring: Wiring,
}

impl NewVersions {
    pub(super) fn of(prepared: &[Prepared], wiring: &Wiring) -> Self {
        let templates = prepared.iter().filter_map(|item| item.template.clone());
        Self {
            templates: templates
                .filter(|template| template.config.kind == Kind::Pool)
                .collect(),
            wiring: wiring.clone(),
        }
    }

    /// What runs, with the links that a new version has to modules that run already and serve it with the same types.
    fn stamp(&self, name: &ModuleName, routes: &Routes) -> Arc<Routes> {
        let mut wiring = routes.wiring.clone();
        let template = self.templates.iter().find(|template| template.version.id.name == *name);
        let imports = template.map(|template| &template.version.interface.imports);
        for (imported, link) in self.wiring.links.get(name).into_iter().flatten() {
            let wanted = imports.and_then(|imports| imports.get(imported));
            let served = routes.modules.get(&link.callee);
            let served = served.and_then(|route| route.template.version.interface.exports.get(&link.function));
            if wanted
                .zip(served)
                .is_some_and(|(wanted, served)| wanted.same_as(served))
            {
                let links = wiring.links.entry(name.clone()).or_default();
                links.insert(imported.clone(), link.clone());
            }
        }
        Routes::new(
            routes.revision,
            routes.release.clone(),
            routes.release_version.clone(),
            routes.modules.clone(),
            wiring,
        )
    }
}

/// Steps that could not be carried out are refused before anything is done.
pub(crate) fn check(steps: &[Step], transition: &Transition) -> Result<(), Failure> {
    for step in steps {
        check_one(transition, step).map_err(|why| {
            let message = format!("the `call` step {}: {why}", step.shown());
            let mut failure = Failure::new("bad-step", Exit::Refused, message).in_phase("check");
            failure.module = Some(step.call.module.to_string());
            failure
        })?;
    }
    Ok(())
}

fn check_one(transition: &Transition, step: &Step) -> Result<(), String> {
    let calls = std::iter::once(&step.call).chain(&step.undo);
    for call in calls {
        let module = &call.module;
        let before = transition.old.nodes.get(module);
        let after = transition.new.nodes.get(module);
        let moves = transition.moves.iter().any(|one| one.module == *module);
        let stateless = after.filter(|after| after.kind == Kind::Pool && moves);
        let has_function = |node: &&Node| find_in(&node.version, &node.interface, &call.function).is_ok();
        let node = match step.when {
            When::Before => stateless.filter(has_function).or(before),
            When::After | When::Permanent => after,
        };
        let Some(node) = node else {
            return Err(match (step.when, after) {
                (When::Before, Some(_)) => format!(
                    "`{module}` keeps state and is new: before the switch it has none; let the step be `when = \"after\"`"
                ),
                _ => format!("`{module}` is not there then"),
            });
        };
        let keeps_state = step.when == When::Before && moves && stateless.is_none() && after.is_some();
        arguments_of(&node.version, &node.interface, call).map_err(|why| match keeps_state {
            true => format!(
                "{why}; before the switch it is the old version of `{module}` that is called, for it keeps state: if the new one is \
                 meant, let the step be `when = \"after\"`"
            ),
            false => why,
        })?;
    }
    Ok(())
}

fn arguments(version: &Version, call: &CallSpec) -> Result<(Arc<Export>, Vec<Value>), String> {
    let args = arguments_of(&version.id, &version.interface, call)?;
    let export = find(version, &call.function).map_err(|error| error.to_string())?;
    Ok((Arc::clone(export), args))
}

/// The arguments of a call, as the function wants them.
fn arguments_of(id: &ModuleVersion, interface: &ModuleInterface, call: &CallSpec) -> Result<Vec<Value>, String> {
    let (name, ty) = find_in(id, interface, &call.function).map_err(|error| error.to_string())?;
    let args = serde_json::Value::Array(call.args.clone());
    json::args_from_json(&args, ty).map_err(|error| wrong_argument(id, name, ty, &error).to_string())
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
    let has_function = |template: &Template| find(&template.version, &call.function).is_ok();
    let mut newer = new
        .templates
        .iter()
        .filter(|template| template.version.id.name == call.module);
    let answer = match newer.find(|template| has_function(template)) {
        Some(template) => call_new(core, call, template, new).await?,
        None => {
            let answer = core.router.begin(None, |routes, _| {
                let route = routes.module(call.module.as_ref())?;
                let named = arguments(&route.template.version, call)
                    .map_err(|message| CallError::not_executed(CallErrorCode::WrongArgument, message))?;
                Ok((route, named))
            });
            let answer = answer.answer().await;
            let value = answer.map_err(|error| error.to_string())?;
            let routes = core.router.routes();
            let version = routes.modules.get(&call.module).map(|route| &route.template.version);
            let ty = version.and_then(|version| find(version, &call.function).ok());
            (value, ty.and_then(|export| export.ty.result.clone()))
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
    new: &NewVersions,
) -> Result<(Option<Value>, Option<wasmhot_appup::Type>), Said> {
    let (export, args) = arguments(&template.version, call)?;
    let ty = Arc::clone(&export.ty);
    let limits = &template.config.limits;
    let routes = new.stamp(&call.module, &core.router.routes());
    let revision = routes.revision;
    let instance = template.start_within(revision, limits.start_timeout).await;
    let mut instance = instance.map_err(|error| error.to_string())?;
    let limit = limits.call_deadline;
    let origin = Origin::outside(routes, Deadline::after(limit));
    let called = Called::Function(Arc::clone(&export));
    let frame = Frame::new(origin, called, Arc::clone(template), None, revision);
    let done = core
        .services
        .guests
        .spawn(async move { tokio::time::timeout(limit, instance.call(&export, &args, &frame)).await });
    match done.await {
        Ok(Ok(answer)) => Ok((answer.map_err(|error| error.to_string())?, ty.result.clone())),
        Ok(Err(_)) => Err(format!("it was interrupted after {limit:?} (call_deadline)")),
        Err(error) => Err(error.to_string()),
    }
}
