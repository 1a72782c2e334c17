//! What the keys of a module share: how many there are, how many of them are awake, and who goes to sleep for the next one (R9).
//!
//! Whom: the "second chance" algorithm (Corbató 1968). Awake keys stand in a circle; one that was called since it was looked at
//! last is passed over once.
//!
//! Invariants: at most `instances_max` instances live at once, those of an upgrade's throw-away instances aside; a place is held by
//! the instance itself, so that it is free when the instance is.

use super::lane::{Errand, Lane};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many keys are looked at for one that can go to sleep.
const LOOKS: usize = 64;

/// The place of a live instance.
pub(crate) type Place = OwnedSemaphorePermit;

/// The keys of a module, as a whole.
pub(crate) struct Crowd {
    places: Arc<Semaphore>,
    size: AtomicUsize,
    waiting: AtomicUsize,
    awake: Mutex<VecDeque<Awake>>,
    keys: AtomicU64,
    /// When the store was last looked through for keys to forget.
    looked_ms: AtomicU64,
}

struct Awake {
    lane: Weak<Lane>,
    /// When it was last used, as it was when it was looked at last.
    used_ms: u64,
}

impl Crowd {
    /// Of a module that has `keys` keys, and may have `instances_max` instances.
    pub(crate) fn new(keys: u64, instances_max: u32) -> Arc<Self> {
        let size = (instances_max as usize).max(1);
        Arc::new(Self {
            places: Arc::new(Semaphore::new(size)),
            size: AtomicUsize::new(size),
            waiting: AtomicUsize::new(0),
            awake: Mutex::default(),
            keys: AtomicU64::new(keys),
            looked_ms: AtomicU64::new(0),
        })
    }

    /// A new version may have another number of instances. Places that are taken are given up as they become free.
    pub(crate) fn resize(&self, instances_max: u32) {
        let wanted = (instances_max as usize).max(1);
        let size = self.size.load(Ordering::Acquire);
        if wanted > size {
            self.places.add_permits(wanted - size);
            self.size.store(wanted, Ordering::Release);
        } else {
            let forgotten = self.places.forget_permits(size - wanted);
            self.size.store(size - forgotten, Ordering::Release);
        }
    }

    /// A place for an instance of this key. Waits until one is free; keys that nobody calls make room.
    pub(crate) async fn enter(&self, lane: &Arc<Lane>) -> Option<Place> {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                let _waits = Waits::new(&self.waiting);
                self.make_room();
                Arc::clone(&self.places).acquire_owned().await.ok()?
            }
        };
        self.stays(lane);
        // Room for the next ones is made before they come: an eighth of the places, or one. So many can be waiting for the disk.
        let spare = (self.size.load(Ordering::Relaxed) / 8).max(1);
        if self.places.available_permits() < spare {
            self.make_room();
        }
        Some(place)
    }

    /// This key is awake: it may be chosen to go to sleep from now on.
    pub(crate) fn stays(&self, lane: &Arc<Lane>) {
        let awake = Awake {
            lane: Arc::downgrade(lane),
            used_ms: lane.last_used_ms(),
        };
        self.awake.lock().expect("no panic under this lock").push_back(awake);
    }

    /// True while somebody waits for a place: a key that has nothing to do should make room.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Sends one idle key to sleep, if there is one.
    fn make_room(&self) {
        let chosen = {
            let mut awake = self.awake.lock().expect("no panic under this lock");
            let looks = awake.len().min(LOOKS);
            (0..looks).find_map(|_| {
                let mut next = awake.pop_front()?;
                let lane = next.lane.upgrade()?;
                let figures = lane.figures();
                if !figures.is_live {
                    return None;
                }
                let used_ms = lane.last_used_ms();
                if figures.instance.is_some() && (next.used_ms == used_ms || self.is_full()) {
                    return Some(lane);
                }
                next.used_ms = used_ms;
                awake.push_back(next);
                None
            })
        };
        if let Some(lane) = chosen {
            lane.send(Errand::Hibernate);
        }
    }

    /// How many keys there are, asleep or awake.
    pub(crate) fn keys(&self) -> u64 {
        self.keys.load(Ordering::Acquire)
    }

    /// There are so many keys from now on.
    pub(crate) fn set_keys(&self, keys: u64) {
        self.keys.store(keys, Ordering::Release);
    }

    /// One more key, unless there are `max` already.
    pub(crate) fn add_key(&self, max: u64) -> bool {
        let add = |keys: u64| (keys < max).then_some(keys + 1);
        self.keys.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).is_ok()
    }

    /// Whether the store should be looked through for expired keys now: after each half of `after_ms`, but once a minute at most.
    pub(crate) fn is_time_to_look(&self, now_ms: u64, after_ms: u64) -> bool {
        let last = self.looked_ms.load(Ordering::Acquire);
        let due = now_ms.saturating_sub(last) >= (after_ms / 2).max(60_000);
        if due {
            self.looked_ms.store(now_ms, Ordering::Release);
        }
        due
    }

    /// One less.
    pub(crate) fn remove_key(&self) {
        let _ = self
            .keys
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |keys| keys.checked_sub(1));
    }
}

struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl std::fmt::Debug for Crowd {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Crowd({} keys)", self.keys())
    }
}
