//! How a key goes to sleep (R9), or is forgotten.
//!
//! Invariants:
//! - An instance goes only when the store has the state that it has now: nothing was called since that was saved.
//! - No call waits until a state is written: it is run by the instance, which stays for the time being.

use super::lane::{Errand, Lane};
use super::runner::Runner;
use crate::clock::coarse_ms;
use crate::instance::Moment;
use crate::state::tagged;
use crate::store::SaveReason;
use std::sync::Arc;

impl Runner {
    /// Saves a key that nobody waits for. Its instance goes at once, where that is what the store has already; else when it is written.
    pub(super) async fn hibernate(&mut self) {
        if !self.lane.is_done() {
            return;
        }
        let Some(instance) = self.instance.as_mut().filter(|instance| !instance.falls_asleep()) else {
            return;
        };
        let change = Lane::change_for_self(&instance.template);
        let stuck = instance.template.config.limits.stuck_timeout;
        self.lane.note_save_tried();
        let saved = match instance.save(&change, stuck).await {
            Ok(saved) => saved,
            Err(error) => {
                self.lost_if_dead(&error).await;
                return self.stays_awake();
            }
        };
        let lane = Arc::clone(&self.lane);
        let calls = lane.note_save(saved.took);
        let kept = match lane.kept(&wasmhot_appup::Digest::of(&saved.bytes)) {
            Some(kept) if kept.is_written() => {
                lane.note_stored(calls);
                return self.fall_asleep();
            }
            Some(kept) => kept,
            None => {
                // What the store has is not what the key woke up with any more.
                lane.set_kept(None);
                let state = tagged(instance, lane.key.as_deref(), SaveReason::Hibernated, saved.bytes);
                // A second later is early enough for the disk.
                lane.services.states.keep(vec![state], false)
            }
        };
        if instance.is_concurrent() {
            // What its tasks do meanwhile nobody counts: they have to wait.
            match kept.written().await {
                Ok(()) => {
                    lane.note_stored(calls);
                    self.fall_asleep();
                }
                Err(_) => self.stays_awake(),
            }
            return;
        }
        let moment = instance.begin_to_fall_asleep();
        lane.services.guests.clone().spawn(async move {
            let is_written = kept.written().await.is_ok();
            if is_written {
                lane.note_stored(calls);
            }
            lane.send(Errand::FallAsleep { moment, is_written });
        });
    }

    /// The state of that moment is written, or could not be.
    pub(super) fn asleep_since(&mut self, moment: Moment, is_written: bool) {
        let Some(instance) = self.instance.as_mut() else { return };
        match instance.moment() == moment {
            true => {
                instance.stop_falling_asleep();
                if is_written {
                    self.fall_asleep();
                } else {
                    self.stays_awake();
                }
            }
            // It was called meanwhile, and may have been saved again since.
            false if instance.falls_asleep() => {}
            false => self.stays_awake(),
        }
    }

    /// The store has the state that the instance has.
    fn fall_asleep(&mut self) {
        if self.lane.is_done() {
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
