//! How many connections there may be at once, and who has to go when one more comes.
//!
//! Invariant: a connection with a request on it is never closed for another; one that only sits there is, so that a thousand idle
//! clients do not keep one out that has something to ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long a connection may sit there before it gives way: long enough to send a request after connecting.
const GRACE: Duration = Duration::from_millis(250);

/// Places for connections.
#[derive(Debug)]
pub(super) struct Slots {
    max: usize,
    table: Mutex<Table>,
    freed: Notify,
}

/// The connections that are open, by numbers that are given out once.
#[derive(Debug, Default)]
struct Table {
    given_out: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    busy: bool,
    since: Instant,
    evict: Arc<Notify>,
}

/// The place of one connection.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    id: u64,
    evict: Arc<Notify>,
}

/// A request runs, or its answer is on its way.
#[derive(Debug)]
pub(super) struct Busy {
    slots: Arc<Slots>,
    id: u64,
}

impl Slots {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            table: Mutex::default(),
            freed: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no panic under this lock")
    }

    /// Waits for a place; asks the connection that has been idle longest to go.
    pub(super) async fn take(self: &Arc<Self>) -> Slot {
        loop {
            let freed = self.freed.notified();
            if let Some(slot) = self.try_take() {
                return slot;
            }
            // Woken by a place that became free, or later, when a connection has been idle for long enough.
            let _ = tokio::time::timeout(GRACE / 4, freed).await;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Slot> {
        let mut table = self.lock();
        let Table { given_out, open } = &mut *table;
        if open.len() >= self.max {
            let idle = open.values().filter(|open| !open.busy && open.since.elapsed() >= GRACE);
            if let Some(oldest) = idle.min_by_key(|open| open.since) {
                oldest.evict.notify_one();
            }
            return None;
        }
        *given_out += 1;
        let evict = Arc::new(Notify::new());
        open.insert(
            *given_out,
            Open {
                busy: false,
                since: Instant::now(),
                evict: Arc::clone(&evict),
            },
        );
        Some(Slot {
            slots: Arc::clone(self),
            id: *given_out,
            evict,
        })
    }

    fn set_busy(&self, id: u64, busy: bool) {
        if let Some(open) = self.lock().open.get_mut(&id) {
            open.busy = busy;
            open.since = Instant::now();
        }
    }
}

impl Slot {
    /// Marks the connection as one with a request on it.
    pub(super) fn busy(&self) -> Busy {
        self.slots.set_busy(self.id, true);
        Busy {
            slots: Arc::clone(&self.slots),
            id: self.id,
        }
    }

    /// Returns when the connection is to be closed in favour of another.
    pub(super) async fn evicted(&self) {
        loop {
            self.evict.notified().await;
            if self.slots.lock().open.get(&self.id).is_none_or(|open| !open.busy) {
                return;
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.slots.set_busy(self.id, false);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().open.remove(&self.id);
        self.slots.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn idle_ones_give_way_and_busy_ones_do_not() {
        let slots = Slots::new(2);
        let (first, second) = (slots.take().await, slots.take().await);
        let busy = first.busy();
        let third = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.take().await }
        });
        second.evicted().await;
        assert!(!third.is_finished());
        drop(second);
        let third = third.await.expect("gets the place");
        let _third_busy = third.busy();
        let fourth = tokio::time::timeout(GRACE * 2, slots.take()).await;
        assert!(fourth.is_err(), "both places are in use");
        drop(busy);
        tokio::select! {
            () = first.evicted() => {}
            _ = slots.take() => panic!("nobody has gone yet"),
        }
    }
}
