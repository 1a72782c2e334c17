//! Call trees and their frames: who called whom, under which stamp (R20), and until when.
//!
//! Invariants: a frame's stamp is never older than its caller's; a tree's deadline is that of the call from outside.

use super::invocation::Called;
use super::lane::Lane;
use super::routes::Routes;
use crate::clock::coarse_ms;
use crate::instance::Template;
use crate::version::EngineKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Calls that modules make for each other may be this deep.
pub(crate) const DEPTH_MAX: u32 = 64;

/// When the caller of a tree stops waiting.
#[derive(Debug)]
pub(crate) struct Deadline {
    after: Duration,
    at: OnceLock<Instant>,
}

impl Deadline {
    /// So long after the first one has to wait: most calls never do, and need not know the time. Guest code that computes has to wait
    /// within two epochs.
    pub(crate) fn after(limit: Duration) -> Self {
        Self {
            after: limit,
            at: OnceLock::new(),
        }
    }

    /// At this moment.
    pub(crate) fn at_moment(at: Instant) -> Self {
        Self {
            after: Duration::ZERO,
            at: at.into(),
        }
    }

    fn at(&self) -> Instant {
        *self.at.get_or_init(|| Instant::now() + self.after)
    }
}

/// A call from outside and all calls that modules make for it.
#[derive(Debug)]
pub(crate) struct Tree {
    /// When the call from outside came, by [`coarse_ms`].
    pub(crate) began_ms: u64,
    deadline: Deadline,
    /// The lane in whose queue the tree's newest call waits, for finding circles (R15).
    waits_for: Mutex<Option<Arc<Lane>>>,
    denied: AtomicBool,
}

impl Tree {
    pub(crate) fn new(deadline: Deadline) -> Arc<Self> {
        Arc::new(Self {
            began_ms: coarse_ms(),
            deadline,
            waits_for: Mutex::new(None),
            denied: AtomicBool::new(false),
        })
    }

    /// When its caller stops waiting.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline.at()
    }

    /// One of its calls was denied something outside: it counts as failed in a probation (R39).
    pub(crate) fn note_denied(&self) {
        self.denied.store(true, Ordering::Relaxed);
    }

    pub(crate) fn was_denied(&self) -> bool {
        self.denied.load(Ordering::Relaxed)
    }

    pub(crate) fn waits_for(&self) -> Option<Arc<Lane>> {
        self.waits_for.lock().expect("no panic under this lock").clone()
    }

    pub(crate) fn set_waits_for(&self, lane: Option<Arc<Lane>>) {
        *self.waits_for.lock().expect("no panic under this lock") = lane;
    }
}

/// One started call of a tree.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The tree it belongs to.
    pub(crate) tree: Arc<Tree>,
    /// The revision whose stateless modules it sees.
    pub(crate) stamp: Arc<Routes>,
    /// What was called.
    pub(crate) called: Called,
    /// What it runs.
    pub(crate) template: Arc<Template>,
    /// For which key, in a keyed module.
    pub(crate) key: Option<Arc<str>>,
    /// Who called, if a module did.
    pub(crate) parent: Option<Arc<Frame>>,
    depth: u32,
    /// Nothing else runs in its instance while it waits: so unless its function is async, and none of its calls holds the store.
    holds: AtomicBool,
    /// It has answered. A guest task of it may still run (WASI 0.3).
    has_answered: AtomicBool,
}

impl Frame {
    /// A frame of an instance that was made in `made_in`: the greater of the caller's stamp and that revision (R20).
    pub(crate) fn new(
        origin: Origin,
        called: Called,
        template: Arc<Template>,
        key: Option<Arc<str>>,
        made_in: u64,
    ) -> Arc<Self> {
        let depth = origin.depth();
        let Origin { tree, stamp, parent } = origin;
        let stamp = if made_in > stamp.revision {
            stamp.forward_to(made_in)
        } else {
            stamp
        };
        Arc::new(Self {
            tree,
            stamp,
            called,
            template,
            key,
            parent,
            depth,
            holds: AtomicBool::new(true),
            has_answered: AtomicBool::new(false),
        })
    }

    /// Whether others have to wait until it has answered (R15).
    pub(crate) fn holds(&self) -> bool {
        self.holds.load(Ordering::Acquire)
    }

    /// From now on it holds its instance, or no more; says whether it did before.
    pub(crate) fn set_holds(&self, holds: bool) -> bool {
        self.holds.swap(holds, Ordering::AcqRel)
    }

    pub(crate) fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Acquire)
    }

    pub(crate) fn note_answered(&self) {
        self.has_answered.store(true, Ordering::Release);
    }

    /// `counter`, or `rooms "kitchen"`.
    pub(crate) fn name(&self) -> String {
        let module = &self.template.version.id.name;
        match &self.key {
            Some(key) => format!("{module} {key:?}"),
            None => module.to_string(),
        }
    }

    /// This frame and its callers, innermost first.
    pub(crate) fn with_callers(&self) -> impl Iterator<Item = &Frame> {
        std::iter::successors(Some(self), |frame| frame.parent.as_deref())
    }

    /// What a nested call of this frame comes from. A guest task that has outlived the call makes calls with a deadline of their own.
    pub(crate) fn origin(self: &Arc<Self>) -> Origin {
        let tree = if self.has_answered() {
            Tree::new(Deadline::after(self.template.config.limits.call_deadline))
        } else {
            Arc::clone(&self.tree)
        };
        Origin {
            tree,
            stamp: Arc::clone(&self.stamp),
            parent: Some(Arc::clone(self)),
        }
    }
}

/// Where a call comes from: its tree, the stamp of its caller, and the calling frame if a module calls.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) tree: Arc<Tree>,
    pub(crate) stamp: Arc<Routes>,
    pub(crate) parent: Option<Arc<Frame>>,
}

impl Origin {
    /// A call from outside, stamped with the revision of now.
    pub(crate) fn outside(stamp: Arc<Routes>, deadline: Deadline) -> Self {
        Self {
            tree: Tree::new(deadline),
            stamp,
            parent: None,
        }
    }

    /// How many calls of modules lead here.
    pub(crate) fn depth(&self) -> u32 {
        self.parent.as_ref().map_or(0, |parent| parent.depth + 1)
    }

    /// Whether the caller's thread may begin the call. Wasmtime does not run one store inside of another where calls run beside each
    /// other.
    pub(crate) fn can_begin_here(&self) -> bool {
        let mut callers = self.parent.iter().flat_map(|parent| parent.with_callers());
        !callers.any(|frame| frame.template.version.engine == EngineKind::Concurrent)
    }

    /// True for a call that a module makes.
    pub(crate) fn is_nested(&self) -> bool {
        self.parent.is_some()
    }
}
