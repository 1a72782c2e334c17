//! The catalog says what boots: its versions, its configuration, its saved states (R28, R29).

use super::load::desired;
use crate::call::keyed::Keyed;
use crate::call::lane::{Lane, Live, Seat};
use crate::call::pool::Pool;
use crate::call::routes::{Route, Routes, Target, node};
use crate::control::protocol::{Exit, Failure};
use crate::error::{CallError, CallErrorCode};
use crate::event::{EventKind, Happening};
use crate::instance::{Instance, InstanceError, Template};
use crate::upgrade::plan::{ModuleRecord, RevisionRecord};
use crate::upgrade::{Core, refused};
use arc_swap::ArcSwap;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use wasmhot_appup::{Graph, Kind, LimitsSpec, ModuleName};

/// Modules that are brought up beside each other: as many as are compiled at a time, and some to wait.
const AT_ONCE: usize = 4;

/// The routing table of a revision, with every state restored. A module whose state cannot be read is `failed`, all others run.
pub(super) async fn boot(core: &Arc<Core>, record: &RevisionRecord) -> Result<Arc<Routes>, Failure> {
    let routes = record.modules.iter().map(|module| {
        let (core, module, limits) = (Arc::clone(core), module.clone(), record.limits.clone());
        let revision = record.revision;
        async move {
            let name = module.id.name.clone();
            // Tasks of the guests' threads: what they do is mostly work.
            let guests = core.services.guests.clone();
            let route = guests.spawn(async move { bring_up(&core, module, &limits, revision).await });
            let route = route
                .await
                .map_err(|error| Failure::new("internal", Exit::Bug, error.to_string()))?;
            Ok::<_, Failure>((name, route?))
        }
    });
    let routes = stream::iter(routes.collect::<Vec<_>>()).buffered(AT_ONCE);
    let modules: BTreeMap<ModuleName, Route> = routes.try_collect().await?;
    let graph = Graph::new(modules.values().map(|route| node(&route.template)));
    let (wiring, refusals, _) = graph.resolve_from(&record.wiring);
    if !refusals.is_empty() {
        return Err(refused(refusals));
    }
    Ok(Routes::new(
        record.revision,
        record.release.clone(),
        record.version.clone(),
        modules,
        wiring,
    ))
}

async fn bring_up(core: &Core, module: ModuleRecord, limits: &LimitsSpec, revision: u64) -> Result<Route, Failure> {
    let version = core.versions.get(&module.id).await.map_err(|error| {
        let message = format!("revision {revision} needs {}: {error}", module.id);
        Failure::new("version-gone", Exit::Failed, message)
    })?;
    let desired = desired(core, version, module.spec, limits);
    let template = core
        .versions
        .template(desired.version, desired.config)
        .map_err(|error| Failure::new("link-failed", Exit::Failed, error))?;
    Ok(route(core, Arc::new(template), revision).await)
}

async fn route(core: &Core, template: Arc<Template>, revision: u64) -> Route {
    let name = template.version.id.name.clone();
    let services = Arc::clone(&core.services);
    let live = template.config.kind.keeps_state().then(|| {
        Arc::new(Live {
            template: Arc::clone(&template),
            revision,
            extra: serde_json::Value::Null,
            via: Vec::new(),
            limits: template.config.limits.clone(),
        })
    });
    let target = match (template.config.kind, &live) {
        (Kind::Single, Some(live)) => {
            let (seat, age) = seat(core, live).await;
            let live = Arc::new(ArcSwap::new(Arc::clone(live)));
            let lane = Lane::new(name, None, live, services, None, seat, None);
            if let Some(age) = age {
                lane.note_saved_before(age);
            }
            Target::Single(lane)
        }
        (Kind::Keyed, Some(live)) => {
            let keys = count_keys(core, &name).await;
            Target::Keyed(Keyed::new(name, Arc::clone(live), services, keys))
        }
        (Kind::Pool | Kind::Single | Kind::Keyed, _) => {
            let first = first_of_pool(core, &template, revision).await;
            Target::Pool(Pool::new(Arc::clone(&template), revision, services, first))
        }
    };
    Route {
        template,
        live,
        target,
        rates: Arc::default(),
    }
}

async fn count_keys(core: &Core, name: &ModuleName) -> u64 {
    core.services.states.count_keys(name).await.unwrap_or_else(|error| {
        let message = format!("the keys of {name} cannot be counted: {error}");
        core.events
            .publish(Happening::new(EventKind::Alarm, message).module(name));
        0
    })
}

/// A pool without its first instance makes one at its first call: a passing failure at the start is no reason to leave it out.
async fn first_of_pool(core: &Core, template: &Arc<Template>, revision: u64) -> Option<Box<Instance>> {
    let id = &template.version.id;
    match template.start(revision).await {
        Ok(instance) => Some(instance),
        Err(error) => {
            core.events.publish(
                Happening::new(EventKind::Alarm, format!("{id} did not start with the host: {error}")).version(id),
            );
            None
        }
    }
}

/// The instance with its restored state, and how old that is.
async fn seat(core: &Core, live: &Arc<Live>) -> (Seat, Option<Duration>) {
    match instance_with_state(core, live).await {
        Ok((instance, age)) => (Seat::Here(instance), age),
        Err(error) => {
            let id = &live.template.version.id;
            if let Some(instance) = as_before(core, live).await {
                let message = format!(
                    "what {id} should go back with cannot be read ({error}): it has the state from before the upgrade"
                );
                core.events
                    .publish(Happening::new(EventKind::Alarm, message).version(id));
                return (Seat::Here(instance), None);
            }
            let message = format!(
                "the saved state cannot be read: {error}; see `wasmhot state show {0}`, then `wasmhot state import {0} FILE` or `wasmhot state reset {0}`",
                id.name
            );
            core.events
                .publish(Happening::new(EventKind::StateLost, message.clone()).version(id));
            let error = CallError::not_executed(CallErrorCode::StateUnreadable, message).in_version(id);
            (Seat::Failed(error), None)
        }
    }
}

/// R40: after a crash in probation, where the state of the new release cannot go down, that of before is better than none.
async fn as_before(core: &Core, live: &Arc<Live>) -> Option<Box<Instance>> {
    let (catalog, module) = (Arc::clone(&core.catalog), live.template.version.id.name.clone());
    let read = tokio::task::spawn_blocking(move || catalog.state_before(&module));
    let saved = read.await.ok()?.ok()??;
    core.services.states.revive(live, &saved, &live.limits).await.ok()
}

async fn instance_with_state(
    core: &Core,
    live: &Arc<Live>,
) -> Result<(Box<Instance>, Option<Duration>), InstanceError> {
    let saved = core.services.states.newest(&live.template.version.id.name, None).await;
    match saved.map_err(|error| InstanceError::Unreadable(error.to_string()))? {
        Some(saved) => {
            let instance = core
                .services
                .states
                .revive(live, &saved, &live.template.config.limits)
                .await?;
            let message = format!(
                "the state that {} saved ({} bytes) is restored",
                saved.tag.version, saved.tag.size
            );
            core.events
                .publish(Happening::new(EventKind::Restored, message).version(&live.template.version.id));
            let age = crate::event::now_ms().saturating_sub(saved.tag.time_ms);
            Ok((instance, Some(Duration::from_millis(age))))
        }
        None => Ok((live.template.start(live.revision).await?, None)),
    }
}
