//! The switch: committed to disk first, then one pointer store; then the gates open.
//!
//! Invariants: until the commit has returned nothing has changed (P3); after the pointer store nothing can fail.

use super::Core;
use super::journal::{Attempt, Phase};
use super::old::{OldInstance, Taken};
use super::plan::{Plan, RevisionRecord};
use super::prepare::Prepared;
use super::transfer::Transferred;
use crate::call::keyed::Keyed;
use crate::call::lane::{Errand, Lane, Seat};
use crate::call::pool::Pool;
use crate::call::routes::{Route, Routes, Target};
use crate::control::protocol::{Exit, Failure};
use crate::instance::Template;
use crate::instance::capability::config::Values;
use crate::store::{Commit, FileRecord, Meta};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmhot_appup::{Digest, Kind, ModuleName, ModuleVersion, Wiring};

/// Makes the new revision durable, with the states that were handed over (R28). With probation the host still boots the release before,
/// and keeps its states as they were (R40).
pub(super) async fn commit(
    core: &Core,
    plan: &Plan,
    wiring: &Wiring,
    transferred: &mut Transferred,
    attempt: &mut Attempt,
) -> Result<(), Failure> {
    let revision = attempt.revision;
    let record = RevisionRecord::of(plan, revision, wiring);
    let on_probation = plan.options.probation.is_some();
    let before = if on_probation {
        transferred.before(core).await
    } else {
        Vec::new()
    };
    let states = transferred.states.take();
    attempt.phase = if on_probation {
        Phase::Committed
    } else {
        Phase::Permanent
    };
    attempt.note_states(&states);
    let purged = plan.moves.iter().filter(|step| step.purge);
    let mut delete_states: Vec<_> = purged.map(|step| step.module.clone()).collect();
    delete_states.append(&mut transferred.forgotten);
    let lifted = plan.lifted.clone();
    let barred: Vec<_> = plan.barred.iter().map(undone).collect();
    let old = core.meta();
    let meta = Meta {
        current: Some(revision),
        permanent: if on_probation { old.permanent } else { Some(revision) },
        release_file: plan.release_file.or(old.release_file),
        held: old.held,
        middle: old.middle,
    };
    let catalog = Arc::clone(&core.catalog);
    let (written_meta, written_attempt) = (meta.clone(), attempt.clone());
    let written = tokio::task::spawn_blocking(move || {
        catalog.commit(&Commit {
            revision,
            record: &record,
            meta: written_meta,
            states,
            attempt: Some((written_attempt.number, &written_attempt)),
            before,
            delete_states,
            lifted,
            barred,
        })
    });
    let failed = |code: &str, exit, why: &dyn std::fmt::Display| {
        Failure::new(code, exit, format!("the switch could not be written: {why}")).in_phase("commit")
    };
    let written = match written.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(failed(error.code(), Exit::CalledOff, &error)),
        Err(error) => Err(failed("internal", Exit::Bug, &error)),
    };
    match &written {
        Ok(()) => *core.meta.lock().expect("no panic under this lock") = meta,
        Err(_) => attempt.phase = Phase::Begun,
    }
    written
}

/// What the catalog notes of a version that an undo leaves.
fn undone(id: &ModuleVersion) -> (Digest, FileRecord) {
    (id.digest, FileRecord::barred(id.to_string(), "it was undone"))
}

/// The table of the new revision: what does not move stays as it is.
pub(super) fn next_routes(
    core: &Core,
    plan: &Plan,
    old: &Routes,
    revision: u64,
    wiring: Wiring,
    prepared: &mut [Prepared],
    values: &BTreeMap<ModuleName, Arc<Values>>,
) -> Arc<Routes> {
    let mut modules: BTreeMap<ModuleName, Route> = old.modules.clone();
    for item in prepared.iter_mut() {
        let name = item.step.module.clone();
        let Some(template) = item.template.clone() else {
            modules.remove(&name);
            continue;
        };
        let before = old.modules.get(&name);
        let route = Route {
            target: target_of(core, item, &template, before.map(|route| &route.target), revision),
            template,
            live: item.live.clone(),
            rates: before.map_or_else(Arc::default, |route| Arc::clone(&route.rates)),
        };
        modules.insert(name, route);
    }
    configure_staying(&mut modules, plan, prepared, values);
    Routes::new(
        revision,
        plan.release.clone(),
        plan.release_version.clone(),
        modules,
        wiring,
    )
}

/// Where calls of a module go that moves: a lane, and all keys, stay what they are.
fn target_of(
    core: &Core,
    item: &mut Prepared,
    template: &Arc<Template>,
    before: Option<&Target>,
    revision: u64,
) -> Target {
    let (name, services) = (item.step.module.clone(), Arc::clone(&core.services));
    match (template.config.kind, before, &item.live) {
        (Kind::Single, Some(Target::Single(lane)), _) => Target::Single(Arc::clone(lane)),
        (Kind::Single, _, Some(live)) => {
            let live = Arc::new(ArcSwap::new(Arc::clone(live)));
            let seat = item.instance.take().map_or(Seat::Asleep, Seat::Here);
            Target::Single(Lane::new(name, None, live, services, None, seat, None))
        }
        (Kind::Keyed, Some(Target::Keyed(keyed)), _) => Target::Keyed(Arc::clone(keyed)),
        (Kind::Keyed, _, Some(live)) => Target::Keyed(Keyed::new(name, Arc::clone(live), services, item.keys)),
        (Kind::Pool | Kind::Single | Kind::Keyed, ..) => {
            let pool = Pool::new(Arc::clone(template), revision, services, item.instance.take());
            Target::Pool(pool)
        }
    }
}

/// Modules that do not move may be configured otherwise, or have other values.
fn configure_staying(
    modules: &mut BTreeMap<ModuleName, Route>,
    plan: &Plan,
    prepared: &[Prepared],
    values: &BTreeMap<ModuleName, Arc<Values>>,
) {
    for (name, route) in modules {
        let moves = prepared.iter().any(|item| item.step.module == *name);
        let configured = plan
            .desired
            .get(name)
            .filter(|desired| !moves && desired.config.spec != route.template.config.spec);
        // Links, values and schedules need no new instance; but the next plan starts from what is written here.
        let values = values.get(name);
        if let Some(desired) = configured {
            let values = values.map_or_else(|| route.template.values(), Arc::clone);
            route.template = Arc::new(route.template.configured(desired.config.clone(), values));
        } else if let Some(values) = values {
            route.template.set_values(Arc::clone(values));
        }
    }
}

/// Puts the new instances into their seats and stores the pointer. The gates are still closed.
pub(super) fn switch(
    core: &Core,
    old: &Routes,
    next: &Arc<Routes>,
    prepared: &mut [Prepared],
    taken: &mut Taken,
) -> u64 {
    for item in prepared.iter_mut() {
        let Some(Target::Single(lane)) = next.modules.get(&item.step.module).map(|route| &route.target) else {
            continue;
        };
        if let (Some(live), Some(instance)) = (&item.live, item.instance.take()) {
            lane.live.store(Arc::clone(live));
            lane.set_seat(Seat::Here(instance), item.report.state_bytes.is_some());
        }
    }
    let on_old = running_without_gate(old, prepared);
    core.router.switch(Arc::clone(next));
    // Before the calls that wait.
    for item in prepared.iter() {
        let wants = item
            .template
            .as_ref()
            .is_some_and(|template| template.version.places.live.is_some());
        if let Some(Target::Single(lane)) = next.modules.get(&item.step.module).map(|route| &route.target)
            && wants
        {
            lane.send_first(Errand::GoLive(Arc::clone(next)));
            lane.wake_up();
        }
    }
    for item in prepared.iter() {
        if let (Some(Target::Keyed(keyed)), Some(live)) = (
            old.modules.get(&item.step.module).map(|route| &route.target),
            &item.live,
        ) {
            core.services.reset_failed_keys(&item.step.module);
            keyed.move_to(Arc::clone(live));
            if let Some(left) = taken.keyed.remove(&item.step.module) {
                keyed.crowd.set_keys(item.keys);
                left.into_iter().for_each(OldInstance::put_to_sleep);
            }
        }
    }
    on_old
}

/// Calls that run on versions that are replaced without a gate, and will end there.
fn running_without_gate(old: &Routes, prepared: &[Prepared]) -> u64 {
    let of = |item: &Prepared| match old.modules.get(&item.step.module).map(|route| &route.target) {
        Some(Target::Pool(pool)) => pool.running(),
        Some(Target::Keyed(keyed)) => keyed.lanes().iter().filter(|lane| lane.figures().busy).count(),
        Some(Target::Single(_)) | None => 0,
    };
    prepared.iter().map(of).sum::<usize>() as u64
}
