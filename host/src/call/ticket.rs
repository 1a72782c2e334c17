//! A ticket is the proof that a call has started: exactly one of "started" and "abandoned" ever becomes true.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const WAITING: u8 = 0;
const STARTED: u8 = 1;
const ABANDONED: u8 = 2;

/// Shared by the caller that waits and the instance that will run the call.
#[derive(Debug, Default)]
pub(crate) struct Ticket(AtomicU8);

impl Ticket {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The instance begins. False: the caller has gone, the call must not run (R10).
    pub(crate) fn start(&self) -> bool {
        self.0
            .compare_exchange(WAITING, STARTED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The caller goes. True: the call will never start. False: it has started and runs to its end.
    pub(crate) fn abandon(&self) -> bool {
        self.0
            .compare_exchange(WAITING, ABANDONED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The caller has gone before the start.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.load(Ordering::Acquire) == ABANDONED
    }
}

/// Abandons the ticket when the caller's future is dropped.
#[derive(Debug)]
pub(crate) struct AbandonOnDrop(pub(crate) Arc<Ticket>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
