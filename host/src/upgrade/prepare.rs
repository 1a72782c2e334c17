//! Before any gate closes: new versions are made to start beside the old ones, and migrations are rehearsed. Nothing waits yet, and
//! whatever fails here leaves no trace.

use super::ahead::SentAhead;
use super::plan::{Plan, StateFrom};
use super::{Core, failed};
use crate::call::chunks::{self, Session};
use crate::call::lane::{Errand, Lane, Live};
use crate::call::routes::{Route, Routes, Target};
use crate::control::protocol::{Exit, Failure, ModuleReport, UpgradeReport};
use crate::instance::capability::config::{Values, has_secrets};
use crate::instance::{Instance, InstanceError, Template};
use crate::store::{Form, SaveReason, SavedState};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use wasmhot_appup::{Action, Checked, Kind, Limits, ModuleName, ModuleVersion, Move};

/// A saved state is good for a rehearsal if it is younger than this.
const REHEARSAL_AGE_MAX: Duration = Duration::from_secs(60);
/// Keys that are rehearsed before a switch (R33).
const KEYS_REHEARSED: usize = 1000;
/// Keys that are rehearsed at the same time.
const KEYS_AT_ONCE: usize = 16;

/// A module that moves, with everything that could be done ahead.
pub(super) struct Prepared {
    pub(super) step: Move,
    /// None for a module that goes.
    pub(super) template: Option<Arc<Template>>,
    /// An instance that has started and is healthy. The transfer takes it.
    pub(super) instance: Option<Box<Instance>>,
    /// Its state, as far as it was sent ahead.
    pub(super) ahead: Option<SentAhead>,
    /// What a stateful module will run.
    pub(super) live: Option<Arc<Live>>,
    /// How many keys a keyed module has from the switch on, as far as that is known before.
    pub(super) keys: u64,
    /// The limits for the time of the upgrade.
    pub(super) limits: Limits,
    pub(super) report: ModuleReport,
}

impl Prepared {
    pub(super) fn kind(&self) -> Option<Kind> {
        self.template.as_ref().map(|template| template.config.kind)
    }

    /// True for a module whose one instance hands its state to the next.
    pub(super) fn hands_over(&self) -> bool {
        let has_state = matches!(self.step.action, Action::Update | Action::Add | Action::Restart);
        self.kind() == Some(Kind::Single) && has_state
    }
}

/// Compiles nothing (that is done), but links, instantiates, starts and asks `health`.
pub(super) async fn prepare(
    core: &Core,
    plan: &Plan,
    old: &Routes,
    checked: &Checked,
    revision: u64,
) -> Result<Vec<Prepared>, Failure> {
    let mut prepared = Vec::new();
    for step in &plan.moves {
        let given_up = checked.given_up.iter().filter(|saved| saved.module == step.module);
        let given_up = given_up.map(|saved| saved.states).sum();
        prepared.push(prepare_one(core, plan, old, revision, step, given_up).await?);
    }
    Ok(prepared)
}

async fn prepare_one(
    core: &Core,
    plan: &Plan,
    old: &Routes,
    revision: u64,
    step: &Move,
    given_up: u64,
) -> Result<Prepared, Failure> {
    let before = old.modules.get(&step.module);
    let mut report = ModuleReport {
        module: step.module.to_string(),
        action: step.action.to_string(),
        from: before.map(|route| route.template.version.id.version.to_string()),
        ..ModuleReport::default()
    };
    let Some(desired) = plan.desired.get(&step.module).filter(|_| step.action != Action::Delete) else {
        let limits = before
            .map(|route| plan.limits(&route.template.config.limits))
            .unwrap_or_default();
        return Ok(Prepared {
            step: step.clone(),
            template: None,
            instance: None,
            ahead: None,
            live: None,
            keys: 0,
            limits,
            report,
        });
    };
    report.to = Some(desired.version.id.version.to_string());
    let mut limits = plan.limits(&desired.config.limits);
    // Keys that are given up knowingly are no reason to go back (R33).
    limits.max_failed_keys = limits.max_failed_keys.saturating_add(given_up);
    let via = core.via(plan, step)?;
    let template = core
        .versions
        .template(Arc::clone(&desired.version), desired.config.clone())
        .map_err(|error| Failure::new("link-failed", Exit::Refused, error).in_phase("prepare"))?;
    refuse_secrets(&step.module, &template.values())?;
    let template = Arc::new(template);
    let instance = started(&template, revision, &limits)
        .await
        .map_err(|error| failed(&step.module, "prepare", Exit::Failed, &error))?;
    let live = template.config.kind.keeps_state().then(|| {
        Arc::new(Live {
            template: Arc::clone(&template),
            revision,
            extra: step.extra.clone(),
            via,
            limits: limits.clone(),
        })
    });
    Ok(Prepared {
        step: step.clone(),
        template: Some(template),
        instance: Some(instance),
        ahead: None,
        live,
        keys: keys(core, before, desired.config.kind, &step.module).await,
        limits,
        report,
    })
}

/// Values that the host cannot read are no values: who starts with them finds out too late.
fn refuse_secrets(module: &ModuleName, values: &Values) -> Result<(), Failure> {
    let faults = values.faults();
    if faults.is_empty() {
        return Ok(());
    }
    let message = format!("the configuration of {module} cannot be read: {}", faults.join("; "));
    let mut failure = Failure::new("secret-unreadable", Exit::Refused, message).in_phase("prepare");
    failure.module = Some(module.to_string());
    Err(failure)
}

/// The values of modules that stay: of those that are configured otherwise, and of those whose secrets may have changed. A secret that
/// cannot be read now stays as it is where nobody has asked for another.
pub(super) fn values_of_staying(plan: &Plan, old: &Routes) -> Result<BTreeMap<ModuleName, Arc<Values>>, Failure> {
    let mut found = BTreeMap::new();
    for (name, desired) in &plan.desired {
        let moves = plan.moves.iter().any(|step| step.module == *name);
        let Some(route) = old.modules.get(name).filter(|_| !moves) else {
            continue;
        };
        let (new, before) = (&desired.config.spec, &route.template.config.spec);
        let is_other = new.config != before.config;
        if !is_other && !has_secrets(&new.config) {
            continue;
        }
        let values = Values::read(&new.config);
        match refuse_secrets(name, &values) {
            Err(failure) if is_other => return Err(failure),
            Err(_) => {}
            Ok(()) => drop(found.insert(name.clone(), Arc::new(values))),
        }
    }
    Ok(found)
}

/// The keys that a keyed module has; one that comes (back) has those that were kept of it.
async fn keys(core: &Core, before: Option<&Route>, kind: Kind, module: &ModuleName) -> u64 {
    match before.map(|route| &route.target) {
        Some(Target::Keyed(keyed)) => keyed.crowd.keys(),
        _ if kind == Kind::Keyed => core.services.states.count_keys(module).await.unwrap_or(0),
        _ => 0,
    }
}

async fn started(template: &Arc<Template>, revision: u64, limits: &Limits) -> Result<Box<Instance>, InstanceError> {
    let mut instance = template.start_within(revision, limits.start_timeout).await?;
    instance.health(limits.health_timeout).await?;
    Ok(instance)
}

/// The real migration of a copy of the state, in throw-away instances, and back. Says in the report what it came to, or why it was left
/// out; that there is no way back is a warning.
pub(super) async fn rehearse(
    core: &Core,
    plan: &Plan,
    old: &Routes,
    prepared: &mut [Prepared],
    report: &mut UpgradeReport,
) -> Result<(), Failure> {
    for item in prepared {
        let Some(live) = item
            .live
            .clone()
            .filter(|_| item.step.action == Action::Update && item.step.state_from.is_empty())
        else {
            continue;
        };
        if !item.step.via.is_empty() {
            item.report.rehearsal = Some("not rehearsed: the state goes through middle versions".to_string());
            continue;
        }
        if !matches!(plan.state_of(&item.step), StateFrom::Live) {
            continue;
        }
        let Some(route) = old.modules.get(&item.step.module) else {
            continue;
        };
        let said = match &route.target {
            Target::Single(lane) => {
                let old = &route.template.version.id;
                rehearse_lane(core, lane, &live, &item.limits, old, report).await
            }
            Target::Keyed(keyed) => {
                let mut lanes = keyed.lanes();
                lanes.truncate(KEYS_REHEARSED);
                rehearse_keys(core, &lanes, &live, &item.limits).await
            }
            Target::Pool(_) => continue,
        };
        item.report.rehearsal =
            Some(said.map_err(|error| failed(&item.step.module, "rehearse", Exit::Failed, &error))?);
    }
    Ok(())
}

/// A state to rehearse on, and how long it takes to save it.
struct ToRehearseOn {
    saved: SavedState,
    save_took: Duration,
}

/// The saved state to rehearse on: the last one if it is young, else one that is saved now, if that takes no longer than calls may
/// wait. One that another version wrote for the one that runs is read and saved by a throw-away instance of that: what the
/// live one would save is in its format, and nobody knows yet whether its `save` does well (R26).
async fn to_rehearse_on(core: &Core, lane: &Arc<Lane>, limits: &Limits) -> Result<ToRehearseOn, String> {
    let states = &core.services.states;
    let age_of = |saved: &SavedState| Duration::from_millis(crate::event::now_ms().saturating_sub(saved.tag.time_ms));
    let how = format!("`wasmhot state export {}` saves one", lane.module);
    let figures = lane.figures();
    let mut last = states.newest(&lane.module, None).await.ok().flatten();
    if Session::is_possible(lane) && figures.is_live {
        let running = lane.live.load().template.version.id.digest;
        let is_as_it_is =
            figures.unsaved_calls == 0 && last.as_ref().is_some_and(|saved| saved.tag.version.digest == running);
        if !is_as_it_is {
            // It costs calls next to nothing, however large the state is, and all that is there now is tried.
            if let Some(Err(error)) = chunks::save(lane).await {
                return Err(format!("not rehearsed: {error}"));
            }
            last = states.newest(&lane.module, None).await.ok().flatten();
        }
    }
    if let Some(saved) = last.as_ref().filter(|saved| age_of(saved) <= REHEARSAL_AGE_MAX) {
        let running = lane.live.load_full();
        let is_own = saved.tag.version.digest == running.template.version.id.digest;
        if is_own {
            return Ok(ToRehearseOn {
                saved: saved.clone(),
                save_took: figures.last_save_took,
            });
        }
        let (saved, save_took) = states.saved_by_a_copy(&running, saved, limits).await.map_err(|error| {
            format!("not rehearsed: a copy of the version that runs could not save its state: {error}")
        })?;
        return Ok(ToRehearseOn { saved, save_took });
    }
    // It has saved before, and it was quick.
    let is_quick = figures.last_save_took > Duration::ZERO && figures.last_save_took <= limits.max_pause;
    if is_quick && figures.is_live {
        let (reply, answer) = oneshot::channel();
        lane.send(Errand::Save {
            reason: SaveReason::Periodic,
            durable: true,
            reply,
        });
        if let Ok(Ok(Ok(fresh))) = tokio::time::timeout(limits.save_timeout, answer).await {
            // It is as good as a periodic save.
            if fresh.kept.written().await.is_ok() {
                lane.note_stored(fresh.calls);
            }
            return Ok(ToRehearseOn {
                saved: fresh.state,
                save_took: lane.figures().last_save_took,
            });
        }
    }
    Err(match last {
        Some(saved) => {
            let age = age_of(&saved).as_secs();
            format!("not rehearsed: the last saved state is {age} s old; {how}")
        }
        None => format!("not rehearsed: no state was saved yet; {how}"),
    })
}

async fn rehearse_lane(
    core: &Core,
    lane: &Arc<Lane>,
    live: &Live,
    limits: &Limits,
    old: &ModuleVersion,
    report: &mut UpgradeReport,
) -> Result<String, InstanceError> {
    let ToRehearseOn { saved, save_took } = match to_rehearse_on(core, lane, limits).await {
        Ok(found) => found,
        Err(why) => return Ok(why),
    };
    let mut limits = limits.clone();
    if saved.tag.form == Form::Chunks {
        // Nobody waits for what is done here with the whole of a large state.
        limits.save_timeout = limits.save_timeout.max(limits.transfer_timeout);
        limits.migrate_timeout = limits.migrate_timeout.max(limits.transfer_timeout);
    }
    let rehearsed = core.services.states.rehearse(live, &saved, &limits, old).await?;
    // Modules are handed over at the same time: the longest counts.
    let pause = save_took + rehearsed.behind_the_gate;
    report.predicted_us = report.predicted_us.max(Some(super::transfer::micros(pause)));
    let back = match rehearsed.back {
        Err(error) => {
            report.warnings.push(format!(
                "there is no way back for the state of {}: {error}; it would need `undo --state last-saved` or `empty`",
                lane.module
            ));
            ", no way back"
        }
        Ok(()) => ", and back",
    };
    let (there, size) = (rehearsed.there, saved.tag.size);
    Ok(format!("passed{back}: migrate took {there:.1?} for {size} bytes"))
}

/// R33: a sample of the keys that live is saved and migrated, and must pass.
async fn rehearse_keys(
    core: &Core,
    lanes: &[Arc<Lane>],
    live: &Live,
    limits: &Limits,
) -> Result<String, InstanceError> {
    let began = std::time::Instant::now();
    let copy = core.services.states.without_effects(live)?;
    let rehearsals = stream::iter(lanes.to_vec()).map(|lane| rehearse_key(core, lane, &copy, limits));
    let passed: usize = rehearsals
        .buffer_unordered(KEYS_AT_ONCE)
        .try_fold(0, async |passed, one| {
            // They are all of one task: others come between two of them.
            tokio::task::yield_now().await;
            Ok(passed + usize::from(one))
        })
        .await?;
    Ok(format!(
        "passed for {passed} of {} keys in {:.1?}",
        lanes.len(),
        began.elapsed()
    ))
}

/// Whether it was a rehearsal. `copy` is the version that is to come, without effects.
async fn rehearse_key(core: &Core, lane: Arc<Lane>, copy: &Live, limits: &Limits) -> Result<bool, InstanceError> {
    if !lane.figures().is_live {
        return Ok(false);
    }
    let (reply, answer) = oneshot::channel();
    // Not durable: for a thousand of them the disk would have to be waited for, by keys that go to sleep too.
    lane.send(Errand::Save {
        reason: SaveReason::Periodic,
        durable: false,
        reply,
    });
    // A key that is busy or has just gone to sleep is no reason to stop: it will be handed over in its turn.
    let Ok(Ok(Ok(fresh))) = tokio::time::timeout(limits.save_timeout, answer).await else {
        return Ok(false);
    };
    let is_another = fresh.state.tag.version.digest != copy.template.version.id.digest;
    if is_another {
        core.services.states.revive(copy, &fresh.state, limits).await?;
    }
    // It is as good as a periodic save. The next key does not wait until it is written.
    core.services.guests.spawn(async move {
        if fresh.kept.written().await.is_ok() {
            lane.note_stored(fresh.calls);
        }
    });
    Ok(is_another)
}
