//! How many calls of a module fail: of the last five minutes, and since a moment (R39).
//!
//! Five minutes are thirty slots of ten seconds. A slot is begun anew by the first call in it; a call that is counted in the moment in
//! which that happens may count for the ten seconds before, which is good enough for a rate. No call is lost to the total.

use crate::error::CallErrorCode;
use std::sync::atomic::{AtomicU64, Ordering};

const SLOTS: u64 = 30;
const SLOT_MS: u64 = 10_000;

/// The calls from outside of one module, over all its versions.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    slots: [Slot; SLOTS as usize],
    /// Of slots that were begun anew since.
    calls_before: AtomicU64,
    errors_before: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    /// Which ten seconds of that clock.
    number: AtomicU64,
    calls: AtomicU64,
    errors: AtomicU64,
}

/// So many calls, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    pub(crate) errors: u64,
}

impl Counts {
    /// Of a hundred calls; 0 where there was none.
    pub(crate) fn percent(self) -> f64 {
        if self.calls == 0 {
            0.0
        } else {
            self.errors as f64 * 100.0 / self.calls as f64
        }
    }

    fn and(self, slot: &Slot) -> Counts {
        Counts {
            calls: self.calls + slot.calls.load(Ordering::Relaxed),
            errors: self.errors + slot.errors.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn since(self, before: Counts) -> Counts {
        Counts {
            calls: self.calls.saturating_sub(before.calls),
            errors: self.errors.saturating_sub(before.errors),
        }
    }
}

/// What counts as an error of the release: the guest's fault, not the caller's.
pub(crate) fn is_error(code: CallErrorCode) -> bool {
    matches!(
        code,
        CallErrorCode::Trapped
            | CallErrorCode::TimedOut
            | CallErrorCode::Stuck
            | CallErrorCode::EffectRefused
            | CallErrorCode::StateLost
            | CallErrorCode::KeyNotMigrated
            | CallErrorCode::BadResponse
    )
}

impl Rates {
    /// A call has ended, at this time of [`coarse_ms`](crate::clock::coarse_ms).
    pub(crate) fn count(&self, now_ms: u64, is_error: bool) {
        let number = now_ms / SLOT_MS;
        let slot = &self.slots[(number % SLOTS) as usize];
        let known = slot.number.load(Ordering::Relaxed);
        if known != number
            && slot
                .number
                .compare_exchange(known, number, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            let (calls, errors) = (&self.calls_before, &self.errors_before);
            calls.fetch_add(slot.calls.swap(0, Ordering::Relaxed), Ordering::Relaxed);
            errors.fetch_add(slot.errors.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
        slot.calls.fetch_add(1, Ordering::Relaxed);
        if is_error {
            slot.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Since the module came to be here.
    pub(crate) fn total(&self) -> Counts {
        let before = Counts {
            calls: self.calls_before.load(Ordering::Relaxed),
            errors: self.errors_before.load(Ordering::Relaxed),
        };
        self.slots.iter().fold(before, Counts::and)
    }

    /// Of the last five minutes.
    pub(crate) fn recent(&self, now_ms: u64) -> Counts {
        let oldest = (now_ms / SLOT_MS).saturating_sub(SLOTS - 1);
        let fresh = self.slots.iter().filter(|slot| {
            let number = slot.number.load(Ordering::Relaxed);
            number >= oldest && slot.calls.load(Ordering::Relaxed) > 0
        });
        fresh.fold(Counts::default(), Counts::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r39_the_last_five_minutes_count() {
        let rates = Rates::default();
        for minute in 0..10 {
            rates.count(minute * 60_000, minute < 6);
        }
        let counts = |calls, errors| Counts { calls, errors };
        assert_eq!(rates.total(), counts(10, 6));
        // Minutes 5 to 9: of these only the first failed.
        assert_eq!(rates.recent(9 * 60_000 + 30_000), counts(5, 1));
        assert_eq!(rates.recent(20 * 60_000), counts(0, 0));
        assert_eq!(rates.total().since(counts(8, 6)), counts(2, 0));
        assert!((counts(200, 3).percent() - 1.5).abs() < 1e-9);
    }
}
