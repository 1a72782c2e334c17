//! Keyed modules that are not handed over key by key: those that go, give their states to others, or leave them behind (R27, R31).
//!
//! All live keys are taken behind the gate, as the one instance of a `single` module is. Keys that sleep are in the store already.

use super::Core;
use super::old::{OldInstance, Take, save_by_task};
use super::plan::{Plan, StateFrom};
use super::prepare::Prepared;
use super::transfer::{InPhase, Transferred, micros};
use crate::instance::{Change, Instance, InstanceError};
use crate::state::{handed_over, tagged};
use crate::store::{SaveReason, SavedState, StoreError, WrittenFor};
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmhot_appup::{Action, Kind, ModuleName};

/// Keys that are saved at the same time.
const KEYS_AT_ONCE: usize = 16;

/// A keyed module that goes keeps the last state of every key.
pub(super) async fn keep_last_states(item: &mut Prepared, done: &mut Transferred) -> InPhase<()> {
    let name = item.step.module.clone();
    if item.step.purge || !done.old.keyed.contains_key(&name) {
        return Ok(());
    }
    let restore = |instance: &Instance| Change::restore(&instance.template.version.id.version);
    let saved = save_all(item, done, &name, restore, |instance, key, bytes| {
        tagged(instance, Some(key), SaveReason::Removed, bytes)
    });
    let saved = saved.await?;
    item.report.state_bytes = Some(saved.iter().map(|state| state.tag.size).sum());
    done.states.saved.extend(saved);
    Ok(())
}

/// A keyed module that stays keyed and does not take the live states: its keys begin again, or from what was saved.
pub(super) async fn leave_behind(core: &Core, plan: &Plan, item: &mut Prepared, done: &mut Transferred) -> InPhase<()> {
    if !done.old.keyed.contains_key(&item.step.module) {
        return Ok(());
    }
    // What was saved before the gate closed may still be on its way, and must not come after the switch.
    let settled = core.services.states.settled().await;
    settled.map_err(|error| ("save", unreadable(&error)))?;
    if let StateFrom::Empty = plan.state_of(&item.step) {
        done.forgotten.push(item.step.module.clone());
        item.keys = 0;
    }
    Ok(())
}

/// R31, a keyed module under another name: all states get the new name, and each key is migrated at its next call, or by the sweep,
/// with `from = "shop@1.4.0"`.
pub(super) async fn take_over(core: &Core, item: &mut Prepared, done: &mut Transferred) -> InPhase<()> {
    let name = item.step.module.clone();
    let Some(live) = item.live.clone() else { return Ok(()) };
    for from in item.step.state_from.clone() {
        let mut states = sleeping(core, &from).await?;
        let to = &live.template.version.id;
        let extra = live.extra.clone();
        let change = |instance: &Instance| Change::of_versions(&instance.template.version.id, to, &extra);
        let live_ones = save_all(item, done, &from, change, |instance, key, bytes| {
            handed_over(instance, &live, Some(key), bytes)
        });
        let live_ones = live_ones.await?;
        states.extend(live_ones.into_iter().map(|state| (state.tag.key.clone(), state)));
        item.report.state_bytes = Some(states.values().map(|state| state.tag.size).sum());
        item.keys = states.len() as u64;
        done.forgotten.push(name.clone());
        done.states.saved.extend(states.into_values().map(|mut state| {
            state.tag.module = name.clone();
            state.tag.written_for.get_or_insert_with(|| WrittenFor {
                to: to.clone(),
                extra: extra.clone(),
            });
            state
        }));
    }
    Ok(())
}

/// The states of all keys of a predecessor, each with the change that tells its key.
pub(super) async fn of_predecessor(
    core: &Core,
    item: &mut Prepared,
    done: &mut Transferred,
    from: &ModuleName,
) -> InPhase<Vec<(Change, SavedState)>> {
    let Some(live) = item.live.clone() else {
        return Ok(Vec::new());
    };
    let to = live.template.version.id.clone();
    let extra = item.step.extra.clone();
    let mut states = sleeping(core, from).await?;
    let change = |instance: &Instance| Change::of_versions(&instance.template.version.id, &to, &extra);
    let live_ones = save_all(item, done, from, change, |instance, key, bytes| {
        tagged(instance, Some(key), SaveReason::HandedOver, bytes)
    });
    let live_ones = live_ones.await?;
    states.extend(live_ones.into_iter().map(|state| (state.tag.key.clone(), state)));
    let told = states.into_values().map(|state| {
        let mut change = Change::of_versions(&state.tag.version, &to, &with_key(&extra, state.tag.key.as_deref()));
        change.from = format!("{}@{}", state.tag.version.name, state.tag.version.version);
        (change, state)
    });
    Ok(told.collect())
}

/// `extra` with the key. What is no object stands beside it.
fn with_key(extra: &serde_json::Value, key: Option<&str>) -> serde_json::Value {
    let mut told = match extra {
        serde_json::Value::Object(fields) => fields.clone(),
        serde_json::Value::Null => serde_json::Map::new(),
        other => serde_json::Map::from_iter([("extra".to_string(), other.clone())]),
    };
    told.insert("key".to_string(), key.into());
    told.into()
}

/// What the store has of the keys of a module.
async fn sleeping(core: &Core, module: &ModuleName) -> InPhase<BTreeMap<Option<String>, SavedState>> {
    // What was saved last may still be on its way.
    let settled = core.services.states.settled().await;
    settled.map_err(|error| ("save", unreadable(&error)))?;
    let (catalog, module) = (Arc::clone(&core.catalog), module.clone());
    let read = move || -> Result<_, StoreError> {
        let mut states = BTreeMap::new();
        for tag in catalog.states_of(&module)? {
            if let Some(state) = catalog.state(&module, tag.key.as_deref())? {
                states.insert(tag.key, state);
            }
        }
        Ok(states)
    };
    match core.services.guests.spawn_blocking(read).await {
        Ok(read) => read.map_err(|error| ("save", unreadable(&error))),
        Err(error) => Err(("save", unreadable(&error))),
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> InstanceError {
    InstanceError::Unreadable(error.to_string())
}

/// Saves every live key of a module. The instances are back in `done`, whatever happens.
async fn save_all(
    item: &mut Prepared,
    done: &mut Transferred,
    from: &ModuleName,
    change: impl Fn(&Instance) -> Change,
    tag: impl Fn(&Instance, &str, Vec<u8>) -> SavedState,
) -> InPhase<Vec<SavedState>> {
    let began = std::time::Instant::now();
    let limits = item.limits.clone();
    let lanes = done.old.keyed.remove(from).unwrap_or_default();
    let saves = lanes.into_iter().filter_map(|mut old| {
        let change = change(old.instance()?);
        let limits = &limits;
        Some(async move { save_by_task(limits, old, Take::Whole(change)).await })
    });
    let mut saves = stream::iter(saves).buffer_unordered(KEYS_AT_ONCE);
    let (mut states, mut lanes, mut failure) = (Vec::new(), Vec::<OldInstance>::new(), None);
    while let Some(saved) = saves.next().await {
        match saved {
            Ok((mut old, Ok(saved))) => {
                if let (Some(key), Some(instance)) = (old.key().cloned(), old.instance()) {
                    states.push(tag(instance, &key, saved.bytes));
                }
                lanes.push(old);
            }
            Ok((old, Err(error))) => {
                lanes.push(old);
                failure.get_or_insert(("save", error));
            }
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    done.old.keyed.insert(from.clone(), lanes);
    item.report.save_us = Some(item.report.save_us.unwrap_or(0) + micros(began.elapsed()));
    failure.map_or(Ok(states), Err)
}

impl Plan {
    /// Keyed modules whose live keys are all taken at once: they go, stay with other states than the live ones, or give theirs away.
    pub(super) fn taken_as_a_whole(&self, old: &wasmhot_appup::Graph) -> Vec<ModuleName> {
        let is_keyed = |name: &ModuleName| old.nodes.get(name).is_some_and(|node| node.kind == Kind::Keyed);
        let stays_keyed = |name: &ModuleName| {
            let after = self.desired.get(name);
            after.is_some_and(|after| after.config.kind == Kind::Keyed)
        };
        let leaving = self.moves.iter().filter(|step| {
            let hands_over = matches!(self.state_of(step), StateFrom::Live) && step.action == Action::Update;
            !stays_keyed(&step.module) || !hands_over
        });
        let leaving = leaving.map(|step| &step.module);
        let giving = self.moves.iter().flat_map(|step| &step.state_from);
        let mut names: Vec<_> = leaving.chain(giving).filter(|name| is_keyed(name)).cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}
