//! The gate of one upgrade: makes calls that have not started wait while instances hand over, and knows when they are quiet.
//!
//! It answers when it is asked: by `Lane::enqueue` and `Lane::close` for a module's one owner of state, or a key's, by `Pool::take_place` for a
//! pool. Several are closed and opened together by `gates.rs`.
//!
//! One gate serves all modules of an upgrade, so that "quiet" is said of all of them at once: a tree that runs in one of them may
//! still go through the others (R21).
//!
//! Invariants: `active` counts the calls (and saves) that run in the gated modules; [`Gate::quiet`] returns only when it was 0.

use super::frame::Origin;
use super::invocation::Invocation;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use wasmhot_appup::interface::ModuleInterface;
use wasmhot_appup::{Limits, ModuleName};

/// The gate of one upgrade.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The revision that the switch will make.
    pub(crate) revision: u64,
    members: BTreeSet<ModuleName>,
    /// What the modules that move will export afterwards.
    next: BTreeMap<ModuleName, Arc<ModuleInterface>>,
    /// How many calls may wait at each module, where the upgrade says so itself.
    queue_max: Option<u32>,
    closed_at: Instant,
    active: AtomicUsize,
    changed: Notify,
    waiting: AtomicU64,
    first_wait: OnceLock<Instant>,
    crowded: AtomicBool,
    opened: watch::Sender<bool>,
}

impl Gate {
    pub(crate) fn new(
        revision: u64,
        members: BTreeSet<ModuleName>,
        next: BTreeMap<ModuleName, Arc<ModuleInterface>>,
        queue_max: Option<u32>,
    ) -> Arc<Self> {
        Arc::new(Self {
            revision,
            members,
            next,
            queue_max,
            closed_at: Instant::now(),
            active: AtomicUsize::new(0),
            changed: Notify::new(),
            waiting: AtomicU64::new(0),
            first_wait: OnceLock::new(),
            crowded: AtomicBool::new(false),
            opened: watch::channel(false).0,
        })
    }

    /// The gate of a stop: no switch comes after it.
    pub(crate) fn of_stop(members: BTreeSet<ModuleName>) -> Arc<Self> {
        Self::new(u64::MAX, members, BTreeMap::new(), None)
    }

    pub(crate) fn is_of_stop(&self) -> bool {
        self.revision == u64::MAX
    }

    /// R21: a nested call passes if its tree has a started call inside the gated modules, or was stamped before the gate and
    /// could no longer call the new version.
    pub(crate) fn passes(&self, origin: &Origin, callee: &ModuleName, invocation: &Invocation) -> bool {
        // Requests come from outside only.
        let (Invocation::Function { export, .. }, Some(parent)) = (invocation, &origin.parent) else {
            return false;
        };
        if parent
            .with_callers()
            .any(|frame| self.members.contains(&frame.template.version.id.name))
        {
            return true;
        }
        let still_fits = self.next.get(callee).is_none_or(|next| {
            next.exports
                .get(&export.name)
                .is_some_and(|new| new.same_as(&export.ty))
        });
        origin.stamp.revision < self.revision && !still_fits
    }

    /// A call of a gated module runs.
    pub(crate) fn enter(&self) {
        self.active.fetch_add(1, Ordering::AcqRel);
    }

    /// It ended.
    pub(crate) fn leave(&self) {
        self.active.fetch_sub(1, Ordering::AcqRel);
        self.changed.notify_one();
    }

    /// A call waits here from now on.
    pub(crate) fn note_waiting(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.first_wait.set(Instant::now()).is_ok() {
            self.changed.notify_one();
        }
    }

    /// How many calls may wait at a module with these limits.
    pub(crate) fn bound(&self, limits: &Limits) -> usize {
        self.queue_max.unwrap_or(limits.gate_queue_max) as usize
    }

    /// So many calls wait at one module; at 90 % of the bound the upgrade gives way (R24).
    pub(crate) fn note_queue(&self, waiting: usize, bound: usize) {
        if waiting > 0 && waiting * 10 >= bound * 9 {
            self.crowded.store(true, Ordering::Release);
            self.changed.notify_one();
        }
    }

    /// Calls that run in the gated modules now.
    pub(crate) fn active(&self) -> u64 {
        self.active.load(Ordering::Acquire) as u64
    }

    /// Returns when no call runs in the gated modules. They must all be closed by then.
    pub(crate) async fn quiet(&self) {
        while self.active.load(Ordering::Acquire) != 0 {
            self.changed.notified().await;
        }
    }

    /// Returns when the upgrade must give way (R24): a queue is crowded, or a call has waited for `max_pause`.
    pub(crate) async fn pressed(&self, max_pause: Duration) -> Pressed {
        let mut poll = tokio::time::interval(Duration::from_millis(5));
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            poll.tick().await;
            if self.crowded.load(Ordering::Acquire) {
                return Pressed::Crowded;
            }
            if self.first_wait.get().is_some_and(|since| since.elapsed() >= max_pause) {
                return Pressed::Waited(max_pause);
            }
        }
    }

    /// Opens it for those who wait in [`Gate::opened`].
    pub(crate) fn open(&self) {
        self.opened.send_replace(true);
    }

    /// Returns when the gate is open again.
    pub(crate) async fn opened(&self) {
        let mut opened = self.opened.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = opened.wait_for(|open| *open).await;
    }

    /// How many calls have waited here, and how long it has been closed.
    pub(crate) fn figures(&self) -> (u64, Duration) {
        (self.waiting.load(Ordering::Relaxed), self.closed_at.elapsed())
    }
}

/// Why an upgrade gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressed {
    /// A gated module's queue is at 90 % of its bound.
    Crowded,
    /// A call has waited this long.
    Waited(Duration),
}
