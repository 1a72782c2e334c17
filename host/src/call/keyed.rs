//! A keyed module: one lane per key, made by its first call, forgotten when the key sleeps.
//!
//! Invariants:
//! - All keys share one [`Live`]: after a switch no call of any key is run by the old version (R33).
//! - A key without a lane is in the store, or is none.

use super::crowd::Crowd;
use super::gate::Gate;
use super::lane::{Lane, Live, Seat};
use super::services::Services;
use crate::error::CallError;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use wasmhot_appup::ModuleName;

/// Lanes of sleeping keys are forgotten when there are twice as many as were left the last time, but not below this.
const LANES_MIN: usize = 1024;

/// The keys of a module.
pub(crate) struct Keyed {
    pub(crate) module: ModuleName,
    pub(crate) live: Arc<ArcSwap<Live>>,
    pub(crate) crowd: Arc<Crowd>,
    services: Arc<Services>,
    lanes: Mutex<Lanes>,
    /// Held by the sweep: keys are handed over by one at a time.
    pub(crate) sweeping: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Lanes {
    by_key: HashMap<Arc<str>, Arc<Lane>>,
    gate: Option<Arc<Gate>>,
    /// At so many lanes those of sleeping keys are forgotten.
    forget_at: usize,
    /// What calls of keys that have no lane are told: the module was removed, or the host stops.
    refuses: Option<CallError>,
}

impl Keyed {
    /// A module of which `keys` keys have a saved state.
    pub(crate) fn new(module: ModuleName, live: Arc<Live>, services: Arc<Services>, keys: u64) -> Arc<Self> {
        Arc::new(Self {
            module,
            crowd: Crowd::new(keys, live.template.config.limits.instances_max),
            live: Arc::new(ArcSwap::new(live)),
            services,
            lanes: Mutex::default(),
            sweeping: tokio::sync::Mutex::default(),
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
        if let Some(error) = &lanes.refuses {
            return Err(error.clone());
        }
        if lanes.by_key.len() >= lanes.forget_at.max(LANES_MIN) {
            lanes.forget_sleeping();
            lanes.forget_at = lanes.by_key.len() * 2;
        }
        let key: Arc<str> = key.into();
        let lane = Lane::new(
            self.module.clone(),
            Some(Arc::clone(&key)),
            Arc::clone(&self.live),
            Arc::clone(&self.services),
            Some(Arc::clone(&self.crowd)),
            Seat::Asleep,
            lanes.gate.clone(),
        );
        lanes.by_key.insert(key, Arc::clone(&lane));
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
    pub(crate) fn remove(&self, error: &CallError) {
        let lanes: Vec<_> = {
            let mut lanes = self.lock();
            lanes.refuses = Some(error.clone());
            lanes.by_key.drain().map(|(_, lane)| lane).collect()
        };
        for lane in lanes {
            lane.fail(error);
        }
    }

    /// No call of any key starts any more; errands do.
    pub(crate) fn stop_calls(&self, error: &CallError) {
        let lanes: Vec<_> = {
            let mut lanes = self.lock();
            lanes.refuses = Some(error.clone());
            lanes.by_key.values().cloned().collect()
        };
        for lane in lanes {
            lane.stop_calls(error);
        }
    }

    /// From now on calls are run by this version: each key is handed over at its next call, or by the sweep (R33).
    pub(crate) fn move_to(&self, live: Arc<Live>) {
        self.crowd.resize(live.template.config.limits.instances_max);
        self.live.store(live);
    }
}

impl Lanes {
    /// Forgets the lanes of keys that sleep and have nothing to do: a sleeping key costs nothing but its saved state.
    fn forget_sleeping(&mut self) {
        self.by_key.retain(|_, lane| {
            let figures = lane.figures();
            // Somebody who has just looked the lane up holds it too.
            figures.is_live || figures.waiting > 0 || figures.failed.is_some() || Arc::strong_count(lane) > 1
        });
    }
}

impl std::fmt::Debug for Keyed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Keyed({})", self.module)
    }
}
