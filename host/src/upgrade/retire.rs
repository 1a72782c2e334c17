//! After the switch: what was replaced is retired. Instances are freed, old pools end their calls (R23) and are freed with the last of them
//! (`Drop` of [`Pool`]), keys are handed over in the background.

use super::old::Taken;
use super::prepare::Prepared;
use super::{Core, sweep};
use crate::call::lane::Seat;
use crate::call::pool::Pool;
use crate::call::routes::{Routes, Target};
use crate::error::{CallError, CallErrorCode};
use crate::event::{EventKind, Happening};
use std::sync::{Arc, Weak};
use std::time::Duration;
use wasmhot_appup::{Action, ModuleName};

/// After the gates are open: old pools drain, old instances are freed, keys are handed over in the background.
pub(super) fn retire_old(core: &Arc<Core>, old: &Routes, revision: u64, prepared: &[Prepared], instances: Taken) {
    // One that only gave its state to another goes back to its calls.
    let goes = |name: &ModuleName| prepared.iter().any(|item| item.step.module == *name);
    for (_, keys) in instances.keyed.into_iter().filter(|(name, _)| goes(name)) {
        keys.into_iter().for_each(|old| drop(old.retire()));
    }
    for (name, old) in instances.single.into_iter().filter(|(name, _)| goes(name)) {
        let Some(Seat::Here(instance)) = old.retire() else {
            continue;
        };
        let id = instance.template.version.id.clone();
        let made_in = instance.revision;
        // Freeing a large memory takes milliseconds.
        tokio::task::spawn_blocking(move || drop(instance));
        let message = format!("{id} is retired: its instance is freed");
        core.events.publish(
            Happening::new(EventKind::Retired, message)
                .version(&id)
                .revision(made_in)
                .details(serde_json::json!({ "module": name })),
        );
    }
    for item in prepared {
        let name = &item.step.module;
        // What waits in a lane that nothing serves any more has to be told.
        let gone = item.step.action == Action::Delete || item.kind().is_some_and(|kind| !kind.keeps_state());
        match old.modules.get(name).map(|route| &route.target) {
            Some(Target::Pool(pool)) => {
                pool.replaced();
                core.services.note_draining(pool);
                drain(core, pool, item.limits.drain_timeout);
            }
            Some(Target::Keyed(keyed)) if gone => keyed.remove(&removed(name)),
            Some(Target::Keyed(keyed)) => sweep::sweep(core, Arc::clone(keyed), revision),
            Some(Target::Single(lane)) if gone => lane.fail(&removed(name)),
            Some(Target::Single(_)) | None => {}
        }
    }
}

fn removed(name: &ModuleName) -> CallError {
    CallError::not_executed(CallErrorCode::Stopping, format!("the module {name} was removed")).in_module(name)
}

/// Interrupts the calls from outside that are still on `pool` when `drain_timeout` has passed. Calls of modules never are.
fn drain(core: &Arc<Core>, pool: &Arc<Pool>, drain_timeout: Duration) {
    let events = Arc::clone(&core.events);
    let id = pool.template.version.id.clone();
    // Weak: waiting for the end of the old version must not be what keeps it alive.
    let pool: Weak<Pool> = Arc::downgrade(pool);
    core.services.guests.spawn(async move {
        tokio::time::sleep(drain_timeout).await;
        let Some(pool) = pool.upgrade() else { return };
        let interrupted = pool.interrupt_outside();
        if interrupted > 0 {
            let message = format!("{interrupted} calls from outside still ran on {id} {drain_timeout:?} after the switch and were interrupted");
            events.publish(Happening::new(EventKind::ForcedRetire, message).version(&id).details(serde_json::json!({ "calls": interrupted })));
        }
    });
}
