//! The old instances that an upgrade has in its hands: taken out of closed lanes, saved, put back or retired.
//!
//! Invariants:
//! - An instance taken out of its lane is in an [`OldInstance`] until the switch: however the upgrade ends, it goes back, or, if it
//!   died, `on_trap` is followed (P3, R26).
//! - `save` is owned by a task of its own: the upgrade stops waiting at `save_timeout`, the guest is interrupted at `stuck_timeout`.

use super::plan::Plan;
use super::prepare::Prepared;
use super::transfer::InPhase;
use crate::call::gate::Gate;
use crate::call::keyed::Keyed;
use crate::call::lane::{Lane, Seat};
use crate::call::routes::{Routes, Target};
use crate::error::{CallError, CallErrorCode};
use crate::instance::lifecycle::Saved;
use crate::instance::{Change, Instance, InstanceError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use wasmhot_appup::{Limits, ModuleName};

/// What an upgrade takes out of the modules that give state or go: their old instances. Put back where the upgrade does not happen.
#[derive(Default)]
pub(super) struct Taken {
    /// Of `single` modules.
    pub(super) single: BTreeMap<ModuleName, OldInstance>,
    /// Of all keys that live, of keyed modules that go or are left behind as a whole.
    pub(super) keyed: BTreeMap<ModuleName, Vec<OldInstance>>,
}

/// An old instance in the upgrade's hands. Dropped before [`OldInstance::retire`], it goes back to its lane.
pub(super) struct OldInstance {
    lane: Arc<Lane>,
    seat: Option<Seat>,
}

impl OldInstance {
    /// Takes the instance of a closed lane. None while a call runs there.
    fn take(lane: &Arc<Lane>) -> Option<Self> {
        let seat = Some(lane.take_seat()?);
        let lane = Arc::clone(lane);
        Some(Self { lane, seat })
    }

    /// The key that it serves, in a keyed module.
    pub(super) fn key(&self) -> Option<&Arc<str>> {
        self.lane.key.as_ref()
    }

    /// The switch has happened, and the lane stays: what it has saved is what its next call finds.
    pub(super) fn put_to_sleep(mut self) {
        drop(self.seat.take());
        self.lane.set_seat(Seat::Asleep, true);
    }

    pub(super) fn instance(&mut self) -> Option<&mut Box<Instance>> {
        match &mut self.seat {
            Some(Seat::Here(instance)) => Some(instance),
            _ => None,
        }
    }

    /// The switch has happened: it is not needed any more. Freed by the caller, when nobody waits for it.
    pub(super) fn retire(mut self) -> Option<Seat> {
        self.seat.take()
    }
}

impl Drop for OldInstance {
    fn drop(&mut self) {
        match self.seat.take() {
            Some(Seat::Here(instance)) if !instance.is_usable() => {
                let id = &instance.template.version.id;
                let error =
                    CallError::unknown(CallErrorCode::Trapped, "the instance was lost in `save`").in_version(id);
                self.lane.recover_first(error);
            }
            Some(seat) => self.lane.return_seat(seat),
            None => {}
        }
    }
}

/// Waits until all gated modules are quiet at once, and takes the instances of those that give state or go.
pub(super) async fn take_old(gate: &Gate, from: &Sources) -> Taken {
    loop {
        gate.quiet().await;
        if let Some(taken) = from.take() {
            return taken;
        }
        // A call that passes the gate has begun in between, or a save that an earlier upgrade gave up still runs.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The modules whose instances the upgrade needs: those that move, and those that give their state to others.
pub(super) struct Sources {
    single: BTreeMap<ModuleName, Arc<Lane>>,
    keyed: BTreeMap<ModuleName, Arc<Keyed>>,
}

impl Sources {
    pub(super) fn of(plan: &Plan, old: &Routes, prepared: &[Prepared]) -> Self {
        let moving = prepared.iter().map(|item| &item.step.module);
        let feeding = prepared.iter().flat_map(|item| &item.step.state_from);
        let single = moving
            .chain(feeding)
            .filter_map(|name| match &old.modules.get(name)?.target {
                Target::Single(lane) => Some((name.clone(), Arc::clone(lane))),
                Target::Pool(_) | Target::Keyed(_) => None,
            });
        let keyed = plan.taken_as_a_whole(&old.graph());
        let keyed = keyed
            .into_iter()
            .filter_map(|name| match &old.modules.get(&name)?.target {
                Target::Keyed(keyed) => Some((name, Arc::clone(keyed))),
                Target::Pool(_) | Target::Single(_) => None,
            });
        Self {
            single: single.collect(),
            keyed: keyed.collect(),
        }
    }

    /// None, with everything put back, while a call runs somewhere.
    fn take(&self) -> Option<Taken> {
        let single = self.single.iter();
        let single = single.map(|(name, lane)| Some((name.clone(), OldInstance::take(lane)?)));
        let live = |keyed: &Keyed| -> Option<Vec<OldInstance>> {
            let lanes = keyed.lanes().into_iter().filter(|lane| lane.figures().is_live);
            lanes.map(|lane| OldInstance::take(&lane)).collect()
        };
        let keyed = self
            .keyed
            .iter()
            .map(|(name, keyed)| Some((name.clone(), live(keyed)?)));
        Some(Taken {
            single: single.collect::<Option<_>>()?,
            keyed: keyed.collect::<Option<_>>()?,
        })
    }
}

/// What is taken out of an old instance.
pub(super) enum Take {
    /// What `save` gives.
    Whole(Change),
    /// What was not sent ahead.
    Rest,
}

/// `save` in an old instance, by a task of its own (R26): where it takes longer than `save_timeout` the instance goes back to its lane
/// when it has ended.
pub(super) async fn save_by_task(
    limits: &Limits,
    mut old: OldInstance,
    take: Take,
) -> InPhase<(OldInstance, Result<Saved, InstanceError>)> {
    let (limit, stuck) = (limits.save_timeout, limits.stuck_timeout);
    let (reply, answer) = oneshot::channel();
    let guests = old.lane.services.guests.clone();
    guests.spawn(async move {
        let saved = match (old.instance(), &take) {
            (Some(instance), Take::Whole(change)) => instance.save(change, stuck).await,
            (Some(instance), Take::Rest) => instance.rest_of_chunks(stuck).await,
            (None, _) => Err(InstanceError::Unreadable("no live state".to_string())),
        };
        // Nobody waits any more, or will not look: either way `old` goes back to its lane when it is dropped.
        let _ = reply.send((old, saved));
    });
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(done)) => Ok(done),
        _ => Err(("save", InstanceError::Timeout { phase: "save", limit })),
    }
}
