//! Who may change the release, and when: the upgrade lock, by those who want it.
//!
//! | who | waits for | is refused by |
//! |---|---|---|
//! | `apply`, `remove`, a change of a state by hand: [`lock`] | whoever holds it for a moment | an upgrade that runs, a probation (R37) |
//! | `permanent`, `undo`, `gc`, `backup`: [`back_lock`] | the same | an upgrade that runs |
//! | a drop: [`wait_for_lock`] | upgrades, the end of a probation, `release-hold` | nothing |

use super::Inner;
use crate::control::protocol::{Exit, Failure};
use crate::upgrade::UpgradeLock;
use std::time::Instant;

/// The upgrade lock, or what keeps it (R37): an upgrade that runs, or a probation. Whoever holds it for a moment is waited for.
pub(super) async fn lock(inner: &Inner) -> Result<UpgradeLock<'_>, Failure> {
    let lock = back_lock(inner).await?;
    match inner.core.probation.borrow().as_ref() {
        None => Ok(lock),
        Some(probation) => {
            let left = probation.ends.saturating_duration_since(Instant::now());
            Err(busy_with(&format!(
                "revision {} ({}) is on probation for another {left:.0?}: `wasmhot permanent` or `wasmhot undo` ends that",
                probation.attempt.revision, probation.attempt.to_release
            )))
        }
    }
}

/// The upgrade lock for what may be done in probation: `permanent`, and going back.
pub(super) async fn back_lock(inner: &Inner) -> Result<UpgradeLock<'_>, Failure> {
    let mut busy = inner.core.busy.subscribe();
    tokio::select! {
        biased;
        lock = free_lock(inner) => lock,
        what = busy.wait_for(Option::is_some) => {
            let what = what.ok().and_then(|what| what.clone()).unwrap_or_default();
            Err(busy_with(&format!(
                "an upgrade is running: {what}; try again when it has ended (`wasmhot status` shows it)"
            )))
        }
    }
}

async fn free_lock(inner: &Inner) -> Result<UpgradeLock<'_>, Failure> {
    let lock = inner.core.upgrading.lock().await;
    if inner.stopping.load(std::sync::atomic::Ordering::Acquire) {
        return Err(Failure::new(
            "stopping",
            Exit::Failed,
            "the host is stopping: nothing was done; try again when it runs",
        ));
    }
    Ok(lock)
}

/// The upgrade lock for a drop: it waits for whatever upgrade runs, for the end of a probation, and until nobody holds drops.
pub(super) async fn wait_for_lock(inner: &Inner) -> Result<UpgradeLock<'_>, Failure> {
    loop {
        not_held(inner).await;
        let mut probation = inner.core.probation.subscribe();
        // The sender lives as long as the host.
        let _ = probation.wait_for(Option::is_none).await;
        let lock = free_lock(inner).await?;
        if inner.core.probation.borrow().is_none() && inner.core.held.borrow().is_none() {
            return Ok(lock);
        }
    }
}

/// Returns when nobody holds drops and applies any more.
pub(super) async fn not_held(inner: &Inner) {
    let mut held = inner.core.held.subscribe();
    let _ = held.wait_for(Option::is_none).await;
}

/// What is asked for cannot be done at this moment.
pub(super) fn busy_with(what: &str) -> Failure {
    Failure::new("busy", Exit::Busy, what)
}
