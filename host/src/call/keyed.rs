//! A keyed module: one lane per key, made by its first call, put to sleep when too many are live.
//!
//! Invariants:
//! - All keys share one [`Live`]: after a switch no call of any key is run by the old version (R33).
//! - At most about `instances_max` instances live at once; what has gone to sleep is in the store.

use super::gate::Gate;
use super::lane::{Errand, Lane, Live, Seat};
use super::services::Services;
use crate::error::{CallError, CallErrorCode};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use wasmhot_appup::ModuleName;

/// How many idle keys are looked at for the one that has slept longest.
const SAMPLE: usize = 32;

/// The keys of a module.
pub(crate) struct Keyed {
    pub(crate) module: ModuleName,
    pub(crate) live: Arc<ArcSwap<Live>>,
    services: Arc<Services>,
    lanes: Mutex<Lanes>,
}

#[derive(Default)]
struct Lanes {
    by_key: HashMap<Arc<str>, Arc<Lane>>,
    gate: Option<Arc<Gate>>,
    /// Where the search for somebody to put to sleep goes on.
    clock_hand: usize,
    removed: bool,
}

impl Keyed {
    pub(crate) fn new(module: ModuleName, live: Arc<Live>, services: Arc<Services>) -> Arc<Self> {
        Arc::new(Self {
            module,
            live: Arc::new(ArcSwap::new(live)),
            services,
            lanes: Mutex::default(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lanes> {
        self.lanes.lock().expect("no panic under this lock")
    }

    /// The lane of a key.
    pub(crate) fn lane(&self, key: &str) -> Result<Arc<Lane>, CallError> {
        let mut lanes = self.lock();
        if let Some(lane) = lanes.by_key.get(key) {
            return Ok(Arc::clone(lane));
        }
        let live = self.live.load();
        let limits = &live.template.config.limits;
        let id = &live.template.version.id;
        if lanes.removed {
            return Err(CallError::not_executed(CallErrorCode::Stopping, "the module was removed").in_version(id));
        }
        if lanes.by_key.len() as u64 >= limits.max_keys {
            let message = format!(
                "{} has {} keys and may have no more (max_keys)",
                self.module, limits.max_keys
            );
            return Err(CallError::not_executed(CallErrorCode::NoSuchKey, message).in_version(id));
        }
        let key: Arc<str> = key.into();
        let lane = Lane::new(
            self.module.clone(),
            Some(Arc::clone(&key)),
            Arc::clone(&self.live),
            Arc::clone(&self.services),
            Seat::Asleep,
            lanes.gate.clone(),
        );
        lanes.by_key.insert(key, Arc::clone(&lane));
        let sleeper = (lanes.by_key.len() > limits.instances_max as usize)
            .then(|| lanes.sleeper())
            .flatten();
        drop(lanes);
        if let Some(sleeper) = sleeper {
            sleeper.send(Errand::Hibernate);
        }
        Ok(lane)
    }

    /// Every lane there is now.
    pub(crate) fn lanes(&self) -> Vec<Arc<Lane>> {
        self.lock().by_key.values().cloned().collect()
    }

    /// The lane of a key, if it has one.
    pub(crate) fn existing(&self, key: &str) -> Option<Arc<Lane>> {
        self.lock().by_key.get(key).cloned()
    }

    /// Closes the gate of a joint move for every key, and for keys to come.
    pub(crate) fn close(&self, gate: &Arc<Gate>) {
        let mut lanes = self.lock();
        lanes.gate = Some(Arc::clone(gate));
        for lane in lanes.by_key.values() {
            lane.close(gate);
        }
    }

    /// Opens it again.
    pub(crate) fn open(&self) {
        let lanes: Vec<_> = {
            let mut lanes = self.lock();
            lanes.gate = None;
            lanes.by_key.values().cloned().collect()
        };
        for lane in lanes {
            lane.open();
        }
    }

    /// Takes every key away, for good or until a module of this name comes back.
    pub(crate) fn remove(&self) -> Vec<Arc<Lane>> {
        let mut lanes = self.lock();
        lanes.removed = true;
        lanes.by_key.drain().map(|(_, lane)| lane).collect()
    }

    /// Forgets the lanes of keys that sleep and have nothing to do: a sleeping key costs nothing but its saved state.
    pub(crate) fn forget_sleeping(&self) {
        self.lock().by_key.retain(|_, lane| {
            let figures = lane.figures();
            // Somebody who has just looked the lane up holds it too.
            figures.is_live || figures.waiting > 0 || figures.failed.is_some() || Arc::strong_count(lane) > 1
        });
    }
}

impl Lanes {
    /// Of a few idle keys the one that nobody has called for the longest time.
    fn sleeper(&mut self) -> Option<Arc<Lane>> {
        let count = self.by_key.len();
        self.clock_hand = (self.clock_hand + SAMPLE) % count.max(1);
        let candidates = self
            .by_key
            .values()
            .skip(self.clock_hand.min(count.saturating_sub(SAMPLE)))
            .take(SAMPLE);
        let idle = candidates.filter(|lane| {
            let figures = lane.figures();
            figures.instance.is_some() && figures.waiting == 0
        });
        idle.min_by_key(|lane| lane.last_used_ms()).cloned()
    }
}

impl std::fmt::Debug for Keyed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Keyed({})", self.module)
    }
}
