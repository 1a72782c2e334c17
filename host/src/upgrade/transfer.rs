//! Behind the gate: `save` in the old instance, `migrate` and `health` in the new one.
//!
//! Invariant: what is taken out of a lane is an [`OldInstance`] until the switch, and what is handed over is [`HandedOver`]: however the upgrade
//! ends, they go back, or are gone (P3, R26).

use super::ahead::SentAhead;
use super::old::{OldInstance, Take, Taken, save_by_task};
use super::plan::{Plan, StateFrom};
use super::prepare::Prepared;
use super::{Core, failed, keys};
use crate::call::chunks::in_chunks;
use crate::call::lane::Live;
use crate::control::protocol::{Exit, Failure};
use crate::instance::{Change, Direction, Instance, InstanceError};
use crate::state::{States, handed_over, tagged};
use crate::store::chunks::ChunkFile;
use crate::store::{SaveReason, SavedState, SavedStateTag};
use futures_util::future::try_join_all;
use std::sync::Arc;
use std::time::Duration;
use wasmhot_appup::{Action, Kind, Limits, ModuleName, ModuleVersion};

/// What the transfer came to.
pub(super) struct Transferred {
    /// The instances of the modules as they were, for the way back and for retiring.
    pub(super) old: Taken,
    /// States to be committed with the switch.
    pub(super) states: HandedOver,
    /// Modules whose saved states go with the switch, before the new ones are written.
    pub(super) forgotten: Vec<ModuleName>,
}

/// States on their way to the commit.
pub(super) struct HandedOver {
    pub(super) saved: Vec<SavedState>,
    /// The same as states of the versions that wrote them. If the upgrade is called off they are kept: they are newer than any save
    /// before, and who knows whether the old instances answer their next call (R26).
    own: Vec<SavedState>,
    /// Where parts of these states lie.
    files: Vec<ChunkFile>,
    states: States,
}

impl HandedOver {
    /// For the commit.
    pub(super) fn take(&mut self) -> Vec<SavedState> {
        self.own.clear();
        std::mem::take(&mut self.saved)
    }
}

impl Drop for HandedOver {
    fn drop(&mut self) {
        let own = std::mem::take(&mut self.own);
        if !own.is_empty() {
            self.states.keep_with(own, std::mem::take(&mut self.files));
        }
    }
}

impl Transferred {
    fn new(core: &Core) -> Self {
        Self {
            old: Taken::default(),
            forgotten: Vec::new(),
            states: HandedOver {
                saved: Vec::new(),
                own: Vec::new(),
                files: Vec::new(),
                states: core.services.states.clone(),
            },
        }
    }

    /// The states of the modules that move as they were: written by the old versions for themselves where there are such, else what was
    /// saved last.
    pub(super) async fn before(&mut self, core: &Core) -> Vec<SavedState> {
        let mut before = self.states.own.clone();
        for state in self.states.saved.iter().filter(|state| state.tag.key.is_none()) {
            let module = &state.tag.module;
            if before.iter().all(|known| known.tag.module != *module)
                && let Ok(Some(saved)) = core.services.states.newest(module, None).await
            {
                before.push(saved);
            }
        }
        before
    }

    fn absorb(&mut self, mut other: Transferred) {
        self.old.single.append(&mut other.old.single);
        self.old.keyed.append(&mut other.old.keyed);
        self.forgotten.append(&mut other.forgotten);
        self.states.saved.append(&mut other.states.saved);
        self.states.own.append(&mut other.states.own);
        self.states.files.append(&mut other.states.files);
    }

    /// Not on a way down: then the bytes have the format of the version that is to read them.
    fn keep_own(&mut self, name: &ModuleName, change: &Change, state: &SavedState) {
        let Some(instance) = self.old.single.get_mut(name).and_then(OldInstance::instance) else {
            return;
        };
        if change.direction != Direction::Downgrade {
            let mut own = tagged(instance, None, SaveReason::Periodic, Vec::new());
            own.tag.form = state.tag.form;
            own.tag.ahead = state.tag.ahead;
            own.tag.size = state.tag.size;
            own.bytes = Arc::clone(&state.bytes);
            self.states.own.push(own);
        }
    }
}

/// Moves every state: modules that move their own at the same time, then those that take the states of others. New instances end up in
/// `prepared`, ready to serve.
pub(super) async fn transfer(
    core: &Core,
    plan: &Plan,
    prepared: &mut [Prepared],
    mut old: Taken,
) -> Result<Transferred, Failure> {
    let (own, others): (Vec<_>, Vec<_>) = prepared.iter_mut().partition(|item| item.step.state_from.is_empty());
    let moving = own.into_iter().map(|item| {
        let mut done = Transferred::new(core);
        done.old.single.extend(old.single.remove_entry(&item.step.module));
        done.old.keyed.extend(old.keyed.remove_entry(&item.step.module));
        move_one(core, plan, item, done)
    });
    let moving: Vec<_> = moving.collect();
    let mut done = Transferred::new(core);
    done.old = old;
    for moved in try_join_all(moving).await? {
        done.absorb(moved);
    }
    for item in others {
        let name = item.step.module.clone();
        let moved = match item.kind() {
            Some(Kind::Single) => take_from_others(core, item, &mut done).await,
            Some(Kind::Keyed) => keys::take_over(core, item, &mut done).await,
            Some(Kind::Pool) | None => Ok(()),
        };
        moved.map_err(|(phase, error)| failed(&name, phase, Exit::CalledOff, &error))?;
    }
    Ok(done)
}

async fn move_one(
    core: &Core,
    plan: &Plan,
    item: &mut Prepared,
    mut done: Transferred,
) -> Result<Transferred, Failure> {
    let name = item.step.module.clone();
    let moved = if item.step.action == Action::Delete || item.kind() == Some(Kind::Pool) {
        keep_last_state(item, &mut done).await?;
        keys::keep_last_states(item, &mut done).await
    } else if item.hands_over() {
        move_own_state(core, plan, item, &mut done).await
    } else {
        keys::leave_behind(core, plan, item, &mut done).await
    };
    moved.map_err(|(phase, error)| failed(&name, phase, Exit::CalledOff, &error))?;
    Ok(done)
}

/// A module that goes keeps its last state, for the day when the name comes back.
async fn keep_last_state(item: &mut Prepared, done: &mut Transferred) -> Result<(), Failure> {
    let name = item.step.module.clone();
    if item.step.purge
        || done
            .old
            .single
            .get_mut(&name)
            .is_none_or(|old| old.instance().is_none())
    {
        return Ok(());
    }
    let change = match done.old.single.get_mut(&name).and_then(OldInstance::instance) {
        Some(instance) => Change::restore(&instance.template.version.id.version),
        None => return Ok(()),
    };
    let (state, took) = save_old(&item.limits.clone(), done, &name, &change, |instance, bytes| {
        tagged(instance, None, SaveReason::Removed, bytes)
    })
    .await
    .map_err(|(phase, error)| failed(&name, phase, Exit::CalledOff, &error))?;
    item.report.state_bytes = Some(state.tag.size);
    item.report.save_us = Some(micros(took));
    done.states.saved.push(state);
    Ok(())
}

pub(super) type InPhase<T> = Result<T, (&'static str, InstanceError)>;

async fn move_own_state(core: &Core, plan: &Plan, item: &mut Prepared, done: &mut Transferred) -> InPhase<()> {
    let Some(live) = item.live.clone() else { return Ok(()) };
    let name = item.step.module.clone();
    let states = &core.services.states;
    match plan.state_of(&item.step) {
        // Without this a restart would bring back what was to be left behind.
        StateFrom::Empty => keep_new(item, done).await,
        StateFrom::File(saved) => {
            let revived = states.revive(&live, saved, &item.limits).await;
            item.instance = Some(revived.map_err(|error| ("migrate", error))?);
            item.report.state_bytes = Some(saved.tag.size);
            keep_new(item, done).await
        }
        StateFrom::Live if item.step.action == Action::Update => {
            let instance = done.old.single.get_mut(&name).and_then(OldInstance::instance);
            let Some(instance) = instance else {
                let said =
                    "there is no live state; say `--state last-saved`, `--state empty` or `--state FILE`".to_string();
                return Err(("save", InstanceError::Unreadable(said)));
            };
            let from = instance.template.version.id.clone();
            if !item.step.via.is_empty() {
                return move_through(core, item, &from, done).await;
            }
            if let Some(sent) = item.ahead.take() {
                return move_rest(core, item, sent, &live, done).await;
            }
            let change = Change::between(&from.version, &live.template.version.id.version, &item.step.extra);
            let (state, took) = save_old(&item.limits.clone(), done, &name, &change, |instance, bytes| {
                handed_over(instance, &live, None, bytes)
            })
            .await?;
            item.report.save_us = Some(micros(took));
            done.keep_own(&name, &change, &state);
            let received = receive_whole(core, item, &change, &state).await;
            done.states.saved.push(state);
            received
        }
        // A module that comes (back) takes up what was kept of it, if it can read it.
        StateFrom::Live | StateFrom::LastSaved => {
            let saved = states
                .newest(&name, None)
                .await
                .map_err(|error| ("migrate", InstanceError::Unreadable(error.to_string())))?;
            let Some(saved) = saved else { return Ok(()) };
            let revived = states.revive(&live, &saved, &item.limits).await;
            item.instance = Some(revived.map_err(|error| ("migrate", error))?);
            item.report.state_bytes = Some(saved.tag.size);
            keep_new(item, done).await
        }
    }
}

/// What was not sent ahead.
async fn move_rest(
    core: &Core,
    item: &mut Prepared,
    sent: SentAhead,
    live: &Live,
    done: &mut Transferred,
) -> InPhase<()> {
    let name = item.step.module.clone();
    let Some(old) = done.old.single.remove(&name) else {
        return Err(("save", InstanceError::Unreadable(format!("{name} has no live state"))));
    };
    let SentAhead { change, session } = sent;
    let (mut old, rest) = save_by_task(&item.limits, old, Take::Rest).await?;
    let state = rest.and_then(|rest| {
        let gone = || InstanceError::Unreadable("no live state".to_string());
        let state = handed_over(old.instance().ok_or_else(gone)?, live, None, Vec::new());
        let (state, file) = session.end(in_chunks(state, &rest.bytes)?)?;
        Ok((state, file, rest))
    });
    done.old.single.insert(name.clone(), old);
    let (state, file, rest) = state.map_err(|error| ("save", error))?;
    done.states.files.push(file);
    item.report.save_us = Some(micros(rest.took));
    done.keep_own(&name, &change, &state);
    let size = state.tag.size;
    done.states.saved.push(state);
    receive(core, item, change, Given::Rest(rest.bytes), size).await
}

/// R28: the state goes through middle versions, each in a throw-away instance, before the new version reads it.
async fn move_through(core: &Core, item: &mut Prepared, from: &ModuleVersion, done: &mut Transferred) -> InPhase<()> {
    let Some(live) = item.live.clone() else { return Ok(()) };
    let name = item.step.module.clone();
    let chain = &live.via;
    let first = &chain[0];
    let change = Change::between(&from.version, &first.0.version, &first.1);
    let (state, took) = save_old(&item.limits.clone(), done, &name, &change, |instance, bytes| {
        tagged(instance, None, SaveReason::HandedOver, bytes)
    })
    .await?;
    item.report.save_us = Some(micros(took));
    done.keep_own(&name, &change, &state);
    let states = &core.services.states;
    let bytes = states
        .through(&live, change, state.bytes.to_vec(), chain, &item.limits)
        .await;
    let (last, bytes) = bytes.map_err(|error| ("migrate", error))?;
    let passed = SavedState {
        tag: SavedStateTag {
            size: bytes.len() as u64,
            ..state.tag
        },
        bytes: bytes.into(),
    };
    let change = Change::between(&last.version, &live.template.version.id.version, &item.step.extra);
    receive_whole(core, item, &change, &passed).await?;
    keep_new(item, done).await
}

/// R31: `migrate` runs once per predecessor, with `from = "shop@1.4.0"`; for a keyed one once per key, with `extra.key`.
async fn take_from_others(core: &Core, item: &mut Prepared, done: &mut Transferred) -> InPhase<()> {
    for name in item.step.state_from.clone() {
        if done.old.keyed.contains_key(&name) {
            for (change, state) in keys::of_predecessor(core, item, done, &name).await? {
                receive_whole(core, item, &change, &state).await?;
            }
            continue;
        }
        let Some(instance) = done.old.single.get_mut(&name).and_then(OldInstance::instance) else {
            return Err((
                "save",
                InstanceError::Unreadable(format!("{name} has no live state to give")),
            ));
        };
        let Some(live) = &item.live else { return Ok(()) };
        let from = &instance.template.version.id;
        let to = &live.template.version.id;
        let mut change = Change::of_versions(from, to, &item.step.extra);
        // Also where it is the module itself that is one of several.
        change.from = format!("{}@{}", from.name, from.version);
        let (state, took) = save_old(&item.limits.clone(), done, &name, &change, |instance, bytes| {
            tagged(instance, None, SaveReason::HandedOver, bytes)
        })
        .await?;
        item.report.save_us = Some(item.report.save_us.unwrap_or(0) + micros(took));
        receive_whole(core, item, &change, &state).await?;
    }
    keep_new(item, done).await
}

/// What a new instance is given.
enum Given {
    Whole(Arc<[u8]>),
    Rest(Vec<u8>),
}

async fn receive_whole(core: &Core, item: &mut Prepared, change: &Change, state: &SavedState) -> InPhase<()> {
    let given = Given::Whole(Arc::clone(&state.bytes));
    receive(core, item, change.clone(), given, state.tag.size).await
}

/// `migrate` (or the end of it) and `health` in the new instance, by a task of its own: so several modules do it at once.
async fn receive(core: &Core, item: &mut Prepared, change: Change, given: Given, size: u64) -> InPhase<()> {
    let limits = item.limits.clone();
    let Some(mut new) = item.instance.take() else {
        return Ok(());
    };
    let receiving = core.services.guests.spawn(async move {
        let limit = limits.migrate_timeout;
        let migrated = match given {
            Given::Whole(bytes) => new.migrate(&change, &bytes, limit).await.map(drop),
            Given::Rest(rest) => new.finish_chunks(&change, &rest, limit).await,
        };
        migrated.map_err(|error| ("migrate", error))?;
        let took = new.finished_in;
        let healthy = new.health(limits.health_timeout).await;
        healthy.map_err(|error| ("health", error))?;
        Ok((new, took))
    });
    let ended = |_| {
        (
            "migrate",
            InstanceError::Unreadable("the task ended before its time".to_string()),
        )
    };
    let (new, took) = receiving.await.map_err(ended)??;
    item.instance = Some(new);
    item.report.state_bytes = Some(item.report.state_bytes.unwrap_or(0) + size);
    item.report.migrate_us = Some(item.report.migrate_us.unwrap_or(0) + micros(took));
    Ok(())
}

/// The new instance's own first saved state, where what it was made from was not written for it.
async fn keep_new(item: &mut Prepared, done: &mut Transferred) -> InPhase<()> {
    let limit = item.limits.save_timeout;
    let Some(new) = item.instance.as_mut() else {
        return Ok(());
    };
    let change = Change::restore(&new.template.version.id.version);
    let saved = new.save(&change, limit).await.map_err(|error| ("save", error))?;
    done.states
        .saved
        .push(tagged(new, None, SaveReason::HandedOver, saved.bytes));
    Ok(())
}

/// `save` in an old instance. On success, and where it said no, the instance is back in `done`.
async fn save_old(
    limits: &Limits,
    done: &mut Transferred,
    name: &ModuleName,
    change: &Change,
    tag: impl FnOnce(&Instance, Vec<u8>) -> SavedState + Send,
) -> InPhase<(SavedState, Duration)> {
    let Some(old) = done.old.single.remove(name) else {
        return Err(("save", InstanceError::Unreadable(format!("{name} has no live state"))));
    };
    let (mut old, saved) = save_by_task(limits, old, Take::Whole(change.clone())).await?;
    let tagged = saved.and_then(|saved| match old.instance() {
        Some(instance) => Ok((tag(instance, saved.bytes), saved.took)),
        None => Err(InstanceError::Unreadable("no live state".to_string())),
    });
    done.old.single.insert(name.clone(), old);
    tagged.map_err(|error| ("save", error))
}

pub(super) fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}
