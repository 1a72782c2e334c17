//! What lanes and pools need of the host around them: the guest runtime, saved states, events.

use super::frame::Frame;
use super::lane::Lane;
use super::pool::Pool;
use crate::error::{CallError, CallErrorCode};
use crate::event::Events;
use crate::state::States;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, Weak};
use wasmhot_appup::{ModuleName, ModuleVersion};

/// Shared by everything that runs calls.
pub(crate) struct Services {
    /// The runtime on which guests run: never the one that serves sockets (R17).
    pub(crate) guests: tokio::runtime::Handle,
    pub(crate) events: Arc<Events>,
    pub(crate) states: States,
    /// Serialises the search for circles (R15); taken by nested calls to stateful modules only.
    circles: Mutex<()>,
    /// Keys that could not be handed over, by module.
    failed_keys: Mutex<HashMap<ModuleName, HashSet<Option<String>>>>,
    /// Pools that were replaced, as long as they live.
    old_pools: Mutex<Vec<Weak<Pool>>>,
    /// Calls made from outside, for `status`.
    pub(crate) calls: AtomicU64,
}

impl Services {
    pub(crate) fn new(guests: tokio::runtime::Handle, events: Arc<Events>, states: States) -> Arc<Self> {
        Arc::new(Self {
            guests,
            events,
            states,
            circles: Mutex::new(()),
            failed_keys: Mutex::new(HashMap::new()),
            old_pools: Mutex::default(),
            calls: AtomicU64::new(0),
        })
    }

    /// A pool drains from now on.
    pub(crate) fn note_draining(&self, pool: &Arc<Pool>) {
        let mut pools = self.old_pools.lock().expect("no panic under this lock");
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    /// Versions that drain, and the calls that still run in each.
    pub(crate) fn draining(&self) -> Vec<(ModuleVersion, u64)> {
        let pools = self.old_pools.lock().expect("no panic under this lock").clone();
        pools
            .iter()
            .filter_map(Weak::upgrade)
            .map(|pool| (pool.template.version.id.clone(), pool.running() as u64))
            .collect()
    }

    /// Pools that were replaced and still live.
    pub(crate) fn old_pools(&self) -> Vec<Arc<Pool>> {
        let pools = self.old_pools.lock().expect("no panic under this lock");
        pools.iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn note_failed_key(&self, module: &ModuleName, key: Option<&str>) {
        self.failed_keys
            .lock()
            .expect("no panic under this lock")
            .entry(module.clone())
            .or_default()
            .insert(key.map(str::to_owned));
    }

    /// The key was handed over after all.
    pub(crate) fn note_moved_key(&self, module: &ModuleName, key: Option<&str>) {
        let mut failed = self.failed_keys.lock().expect("no panic under this lock");
        if let Some(keys) = failed.get_mut(module).filter(|keys| !keys.is_empty()) {
            keys.remove(&key.map(str::to_owned));
        }
    }

    /// Keys of the module that could not be handed over since the count was last reset.
    pub(crate) fn failed_keys(&self, module: &ModuleName) -> u64 {
        self.failed_keys
            .lock()
            .expect("no panic under this lock")
            .get(module)
            .map_or(0, |keys| keys.len() as u64)
    }

    pub(crate) fn reset_failed_keys(&self, module: &ModuleName) {
        self.failed_keys
            .lock()
            .expect("no panic under this lock")
            .remove(module);
    }

    /// Notes that the caller's tree is about to wait for `lane`, unless that would close a circle of trees that wait for each other
    /// (R15).
    ///
    /// Edges of the wait-for graph: a tree waits for a lane, a lane is held by the tree whose call runs in it. The last edge of a
    /// circle is always a wait (a tree that has just got a lane does not wait), and waits are noted one at a time, so none is missed.
    pub(crate) fn wait_for(&self, caller: &Frame, lane: &Arc<Lane>) -> Result<(), CallError> {
        let tree = &caller.tree;
        let _one_at_a_time = self.circles.lock().expect("no panic under this lock");
        let mut circle = vec![lane.name()];
        let mut at = Arc::clone(lane);
        while let Some(holder) = at.holder() {
            if Arc::ptr_eq(&holder.tree, tree) {
                // The way back to the caller, inside its own tree.
                let inside = caller
                    .with_callers()
                    .take_while(|frame| !std::ptr::eq(*frame, &*holder));
                let mut inside: Vec<String> = inside.map(Frame::name).collect();
                inside.reverse();
                circle.append(&mut inside);
                circle.push(lane.name());
                let message = format!("the call would wait for itself: {}", circle.join(" → "));
                return Err(CallError::not_executed(CallErrorCode::Deadlock, message).in_module(&lane.module));
            }
            let Some(next) = holder.tree.waits_for() else { break };
            // Another's circle is not ours to report, nor to run around in.
            if circle.contains(&next.name()) {
                break;
            }
            circle.push(next.name());
            at = next;
        }
        tree.set_waits_for(Some(Arc::clone(lane)));
        Ok(())
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Services")
    }
}
