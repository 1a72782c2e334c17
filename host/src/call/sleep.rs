//! How a key goes to sleep (R9), or is forgotten.
//!
//! Invariants:
//! - An instance goes only when the store has the state that it has now: nothing was called since that was saved.
//! - No call waits until a state is written: it is run by the instance, which stays for the time being.

use super::lane::{Errand, Lane};
use super::runner::Runner;
use crate::clock::coarse_ms;
use crate::instance::lifecycle::Saved;
use crate::restore::tagged;
use crate::store::SaveReason;
use std::sync::Arc;

/// An instance as it was when its state was taken for the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    instance: u64,
    calls: u64,
}

impl Runner {
    /// Saves a key that nobody waits for. Its instance goes at once, where that is what the store has already; else when it is written.
    pub(super) async fn hibernate(&mut self) {
        if self.instance.is_none() || !self.lane.is_done() {
            return;
        }
        let Some((moment, saved)) = self.save_for_sleep().await else {
            return self.stays_awake();
        };
        let Some(instance) = self.instance.as_ref() else { return };
        let lane = Arc::clone(&self.lane);
        let calls = lane.note_save(saved.took);
        if lane.has_kept(&crate::version::digest(&saved.bytes)) {
            lane.note_stored(calls);
            return self.fall_asleep(moment);
        }
        // What the store has is not what the key woke up with any more.
        lane.set_kept(None);
        let state = tagged(instance, lane.key.as_deref(), SaveReason::Hibernated, saved.bytes);
        // A second later is early enough for the disk.
        let kept = lane.services.states.keep(vec![state], false);
        if instance.is_concurrent() {
            // What its tasks do meanwhile nobody counts: they have to wait.
            match kept.written().await {
                Ok(()) => {
                    lane.note_stored(calls);
                    self.fall_asleep(moment);
                }
                Err(_) => self.stays_awake(),
            }
            return;
        }
        lane.services.guests.clone().spawn(async move {
            let written = kept.written().await;
            if written.is_ok() {
                lane.note_stored(calls);
            }
            lane.send(Errand::FallAsleep(written.is_ok().then_some(moment)));
        });
    }

    /// The state of that moment is written. None: it could not be.
    pub(super) fn asleep_since(&mut self, moment: Option<Moment>) {
        match moment {
            Some(moment) => self.fall_asleep(moment),
            None => self.stays_awake(),
        }
    }

    fn fall_asleep(&mut self, stored: Moment) {
        let now = self.instance.as_ref().map(|instance| Moment {
            instance: instance.id,
            calls: instance.calls_begun(),
        });
        if now == Some(stored) && self.lane.is_done() {
            self.instance = None;
        } else {
            self.stays_awake();
        }
    }

    /// It may be chosen to go to sleep again.
    fn stays_awake(&self) {
        if let Some(crowd) = self.lane.crowd.as_ref().filter(|_| self.instance.is_some()) {
            crowd.stays(&self.lane);
        }
    }

    async fn save_for_sleep(&mut self) -> Option<(Moment, Saved)> {
        let instance = self.instance.as_mut()?;
        let change = Lane::change_for_self(&instance.template);
        let stuck = instance.template.config.limits.stuck_timeout;
        self.lane.note_save_tried();
        match instance.save(&change, stuck).await {
            Ok(saved) => {
                let moment = Moment {
                    instance: instance.id,
                    calls: instance.calls_begun(),
                };
                Some((moment, saved))
            }
            Err(error) => {
                self.lost_if_dead(&error).await;
                None
            }
        }
    }

    /// R9: nobody has called for so long. The key is gone with its state.
    pub(super) async fn expire(&mut self, after_ms: u64) {
        let idle_ms = coarse_ms().saturating_sub(self.lane.last_used_ms());
        let Some(key) = self
            .lane
            .key
            .clone()
            .filter(|_| idle_ms >= after_ms && self.lane.is_done())
        else {
            return;
        };
        match self.lane.services.states.delete(&self.lane.module, &key).await {
            Ok(was_there) => {
                let was_here = self.instance.take().is_some();
                if let Some(crowd) = self.lane.crowd.as_ref().filter(|_| was_here || was_there) {
                    crowd.remove_key();
                }
            }
            Err(error) => tracing::error!("the state of {} could not be deleted: {error}", self.lane.name()),
        }
    }
}
