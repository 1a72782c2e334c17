//! Places in a pool, and who waits for one.

use super::Pool;
use crate::instance::Instance;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// An instance that runs nothing.
pub(super) type Idle = Option<Box<Instance>>;

/// A place in the pool, counted while it is held.
pub(super) struct Place<P: Deref<Target = Pool>> {
    pub(super) pool: P,
    pub(super) nested: bool,
    /// None once it is another's.
    pub(super) seat: Option<usize>,
    /// What is given back with it.
    pub(super) back: Idle,
}

/// A place of a call that runs on this thread.
pub(super) type PlaceHere<'a> = Place<&'a Pool>;

impl<P: Deref<Target = Pool>> Place<P> {
    /// Gives it up, and the instance back if it can run other calls.
    pub(super) fn leave(mut self, instance: Box<Instance>) {
        self.back = Some(instance).filter(|instance| instance.is_usable());
    }

    /// For a task of its own.
    pub(super) fn own(mut self, pool: &Arc<Pool>) -> Place<Arc<Pool>> {
        Place {
            pool: Arc::clone(pool),
            nested: self.nested,
            seat: self.seat.take(),
            back: None,
        }
    }
}

impl<P: Deref<Target = Pool>> Drop for Place<P> {
    fn drop(&mut self) {
        let Some(seat) = self.seat else { return };
        // Whichever gate is closed now has counted this call: at its start, or when it closed.
        let mut door = self.pool.door();
        *door.count_of(self.nested) -= 1;
        door.leave(seat);
        door.idle.extend(self.back.take());
        if let Some(gate) = door.gate.as_ref() {
            gate.leave();
        }
        drop(door);
        self.pool.places_for(self.nested).add_permits(1);
    }
}

/// Counts a waiting call for its time.
pub(super) struct Waits<'a>(&'a AtomicU32);

impl<'a> Waits<'a> {
    pub(super) fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
