//! What a lane notes of its calls, saves and losses, and how that is looked at.

use super::{Lane, LaneState, Seat};
use crate::call::frame::Frame;
use crate::error::CallError;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Lane {
    /// A call has ended. From now on its tree no longer holds the lane: the next call of that tree may come before this one's
    /// runner looks at the lane again.
    pub(in crate::call) fn note_answered(&self, frame: &Arc<Frame>) {
        frame.note_answered();
        let mut state = self.lock();
        state.unsaved_calls += 1;
        state.holders.retain(|other| !Arc::ptr_eq(other, frame));
    }

    /// The instance is lost, with what was called since the last save: so many calls.
    pub(in crate::call) fn note_lost(&self) -> u64 {
        let mut state = self.lock();
        state.holders.clear();
        let lost = state.unsaved_calls;
        state.forget_unsaved();
        lost
    }

    /// Another state has taken the place of the lost one. `unsaved`: it is not the last saved one, and is to be saved soon.
    pub(in crate::call) fn note_restored(&self, told: &str, unsaved: bool) {
        let mut state = self.lock();
        state.restored = Some(told.to_string());
        state.forget_unsaved();
        state.unsaved_calls = u64::from(unsaved);
    }

    /// A save begins, however it may end.
    pub(crate) fn note_save_tried(&self) {
        self.lock().save_tried_at = Some(Instant::now());
    }

    /// The state was saved, which took so long. Gives how many calls it has, of all that there were: these are unsaved until it is written.
    pub(in crate::call) fn note_save(&self, took: Duration) -> u64 {
        let mut state = self.lock();
        state.last_save_took = took;
        state.settled_calls + state.unsaved_calls
    }

    /// A saved state was written: the calls that it has are unsaved no more. There may be several on their way, each with the calls of those
    /// before it.
    pub(crate) fn note_stored(&self, calls: u64) {
        let mut state = self.lock();
        let stored = calls.saturating_sub(state.settled_calls).min(state.unsaved_calls);
        state.unsaved_calls -= stored;
        state.settled_calls += stored;
        state.saved_at = Some(Instant::now());
    }

    /// Whether it has calls that no saved state has. Cheap: asked of every key, ten times a second.
    pub(crate) fn has_unsaved_calls(&self) -> bool {
        self.lock().unsaved_calls > 0
    }

    /// For `status`, periodic saves and hibernation.
    pub(crate) fn figures(&self) -> LaneFigures {
        let state = self.lock();
        LaneFigures {
            waiting: state.queue.len() + state.passing.len(),
            busy: state.is_busy(),
            is_live: state.is_busy() || matches!(state.seat, Seat::Here(_)),
            instance: match &state.seat {
                Seat::Here(instance) => Some((instance.id, instance.revision, instance.memory_bytes())),
                Seat::Away | Seat::Asleep | Seat::Failed(_) => None,
            },
            failed: match &state.seat {
                Seat::Failed(error) => Some(error.clone()),
                Seat::Here(_) | Seat::Away | Seat::Asleep => None,
            },
            unsaved_calls: state.unsaved_calls,
            last_save_took: state.last_save_took,
            saved_at: state.saved_at,
            save_tried_at: state.save_tried_at,
            restored: state.restored.clone(),
        }
    }
}

impl LaneState {
    /// Another state is here: what was called before is no matter of a save any more.
    pub(super) fn forget_unsaved(&mut self) {
        self.settled_calls += std::mem::take(&mut self.unsaved_calls);
    }
}

/// A look at a lane.
#[derive(Clone, Debug)]
pub(crate) struct LaneFigures {
    pub(crate) waiting: usize,
    pub(crate) busy: bool,
    pub(crate) is_live: bool,
    /// Id, revision and memory of the idle instance.
    pub(crate) instance: Option<(u64, u64, u64)>,
    pub(crate) failed: Option<CallError>,
    /// Calls whose effect is not in the catalog yet.
    pub(crate) unsaved_calls: u64,
    pub(crate) last_save_took: Duration,
    pub(crate) saved_at: Option<Instant>,
    pub(crate) save_tried_at: Option<Instant>,
    pub(crate) restored: Option<String>,
}
