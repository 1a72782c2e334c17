//! After the switch: old pools end their calls (R23).

use super::Core;
use crate::call::pool::Pool;
use crate::event::{EventKind, Happening};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Interrupts the calls from outside that are still on `pool` when `drain_timeout` has passed. Calls of modules never are.
pub(super) fn drain(core: &Arc<Core>, pool: &Arc<Pool>, drain_timeout: Duration) {
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
