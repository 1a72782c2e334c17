//! What upgrades and the host do to a lane: the gate is closed and opened, the seat is taken, filled and given back.

use super::{Errand, Lane, Seat, Work};
use crate::call::gate::Gate;
use crate::error::CallError;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Lane {
    /// Closes the gate: from now on only calls that it lets pass start here.
    pub(crate) fn close(&self, gate: &Arc<Gate>) {
        let mut state = self.lock();
        if state.is_busy() {
            gate.enter();
        }
        // What waits already and may pass, passes: its tree would never end otherwise (R21).
        let (passing, waiting) = std::mem::take(&mut state.queue)
            .into_iter()
            .partition(|work| matches!(work, Work::Call(job) if self.passes(gate, job)));
        state.passing = passing;
        state.queue = waiting;
        for work in &state.queue {
            if matches!(work, Work::Call(_)) {
                gate.note_waiting();
            }
        }
        state.gate = Some(Arc::clone(gate));
        self.changed.notify_one();
    }

    /// Takes the seat out of a closed, idle lane. `None` while a call runs.
    pub(crate) fn take_seat(&self) -> Option<Seat> {
        let mut state = self.lock();
        if state.is_busy() || !state.passing.is_empty() || matches!(state.seat, Seat::Away) {
            return None;
        }
        Some(std::mem::replace(&mut state.seat, Seat::Away))
    }

    /// Puts a seat in, where an upgrade or a person decided so. `saved`: its state is the last saved one too (R28). Does not open
    /// the gate.
    pub(crate) fn set_seat(&self, seat: Seat, saved: bool) {
        self.set_kept(None);
        let mut state = self.lock();
        state.seat = seat;
        state.forget_unsaved();
        // Another version: how long it takes to save is not known yet.
        state.last_save_took = Duration::ZERO;
        state.restored = None;
        if saved {
            state.saved_at = Some(Instant::now());
        }
    }

    /// Its instance has a state that was saved so long ago.
    pub(crate) fn note_saved_before(&self, age: Duration) {
        self.lock().saved_at = Instant::now().checked_sub(age);
    }

    /// Gives back what [`Lane::take_seat`] took: the upgrade did not happen. What may start, starts.
    pub(crate) fn return_seat(self: &Arc<Self>, seat: Seat) {
        let runner = {
            let mut state = self.lock();
            state.seat = seat;
            self.runner_if_idle(&mut state)
        };
        if let Some(runner) = runner {
            self.services.guests.spawn(runner.run());
        }
    }

    /// The instance died in an upgrade's hands: before anything else runs here, `on_trap` is followed.
    pub(crate) fn recover_first(self: &Arc<Self>, error: CallError) {
        // Before the calls that pass a gate, too: else one of them would wake the module without a word about its loss.
        self.lock().passing.push_front(Work::Errand(Errand::Recover(error)));
        self.return_seat(Seat::Asleep);
    }

    /// Opens the gate; what waited starts, in order.
    pub(crate) fn open(self: &Arc<Self>) {
        let (runner, failed) = {
            let mut state = self.lock();
            state.gate = None;
            // What passed the gate comes first: its trees hold other lanes.
            let passing = std::mem::take(&mut state.passing);
            for work in passing.into_iter().rev() {
                state.queue.push_front(work);
            }
            let failed = match &state.seat {
                Seat::Failed(error) => Some(error.clone()),
                Seat::Here(_) | Seat::Away | Seat::Asleep => None,
            };
            (self.runner_if_idle(&mut state), failed)
        };
        if let Some(error) = failed {
            self.fail(&error);
        }
        if let Some(runner) = runner {
            self.services.guests.spawn(runner.run());
        }
    }
}
