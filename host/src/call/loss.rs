//! What becomes of a stateful module whose instance is lost (R14): the state that was saved last, an empty one, or none.

use super::lane::{Lane, Live};
use super::runner::Runner;
use crate::error::{CallError, CallErrorCode};
use crate::event::{EventKind, Happening};
use crate::instance::{Instance, InstanceError};
use std::sync::Arc;
use std::time::Duration;
use wasmhot_appup::OnTrap;

impl Runner {
    /// R14: the memory of the instance is gone. What comes next is decided by `on_trap`; the error tells what it was.
    pub(super) async fn lost(&mut self, mut error: CallError) -> CallError {
        let Some(mut dead) = self.instance.take() else {
            return error;
        };
        let id = dead.template.version.id.clone();
        self.place = dead.place.take();
        drop(dead);
        self.lane.set_kept(None);
        let details = serde_json::json!({ "backtrace": error.backtrace, "lane": self.lane.name() });
        let services = &self.lane.services;
        services.events.publish(
            Happening::new(EventKind::Trapped, error.message.clone())
                .version(&id)
                .details(details),
        );
        error.message = format!("{}; {}", error.message, self.bring_back().await);
        error
    }

    /// As [`Runner::lost`], where the instance was asked for its state and may have died of that.
    pub(super) async fn lost_if_dead(&mut self, error: &InstanceError) {
        let Some(instance) = self.instance.as_ref().filter(|instance| !instance.is_usable()) else {
            return;
        };
        let id = instance.template.version.id.clone();
        let error = CallError::not_executed(CallErrorCode::Trapped, error.to_string()).in_version(&id);
        self.lost(error).await;
    }

    /// As [`Runner::lost`], where an upgrade has found the instance dead (R26).
    pub(super) async fn recover(&mut self, error: CallError) {
        let details = serde_json::json!({ "backtrace": error.backtrace, "lane": self.lane.name() });
        self.lane.services.events.publish(
            Happening::new(EventKind::Trapped, error.message)
                .module(&self.lane.module)
                .details(details),
        );
        self.bring_back().await;
    }

    /// What `on_trap` says, done; and told in a few words.
    async fn bring_back(&mut self) -> String {
        let live = self.lane.live.load_full();
        let services = Arc::clone(&self.lane.services);
        let id = live.template.version.id.clone();
        let limits = &live.template.config.limits;
        let lost = match self.lane.note_lost() {
            0 => "no call is lost with it".to_string(),
            calls => format!("{calls} calls answered since it was saved last are lost"),
        };
        let (outcome, message) = match limits.on_trap {
            OnTrap::Fail => (None, "the state is lost (on_trap = \"fail\")".to_string()),
            OnTrap::Empty => (
                Some(live.template.start(live.revision).await),
                "the state is lost; it starts empty (on_trap = \"empty\")".to_string(),
            ),
            OnTrap::Restore => restore(&self.lane, &live).await,
        };
        let message = match limits.on_trap {
            OnTrap::Restore => format!("{message}; {lost}"),
            OnTrap::Fail | OnTrap::Empty => message,
        };
        match outcome {
            Some(Ok(mut instance)) => {
                instance.place = self.place.take();
                self.instance = Some(instance);
                self.lane.note_restored(&message, limits.on_trap == OnTrap::Empty);
                services
                    .events
                    .publish(Happening::new(EventKind::Restored, message.clone()).version(&id));
            }
            Some(Err(failure)) => self.give_up(&id, &format!("{message}, which failed: {failure}")),
            None => self.give_up(&id, &message),
        }
        self.place = None;
        message
    }

    fn give_up(&self, id: &wasmhot_appup::ModuleVersion, message: &str) {
        let key = self
            .lane
            .key
            .as_ref()
            .map_or(String::new(), |key| format!(" --key {key:?}"));
        let whose = format!("{}{key}", id.name);
        let message = format!(
            "{message}; `wasmhot state restore {whose}` takes the newest saved state, `wasmhot state reset {whose}` starts empty"
        );
        // Before it is told: whoever hears of it and looks finds it so.
        self.lane
            .fail(&CallError::not_executed(CallErrorCode::StateLost, message.clone()).in_version(id));
        self.lane
            .services
            .events
            .publish(Happening::new(EventKind::StateLost, message).version(id));
    }
}

/// An instance with the newest saved state, if it is young enough; and what that means in words.
async fn restore(lane: &Lane, live: &Arc<Live>) -> (Option<Result<Box<Instance>, InstanceError>>, String) {
    let services = &lane.services;
    let limits = &live.template.config.limits;
    let too_old = |age: Duration| {
        let is_too_old = limits.restore_max_age.is_some_and(|limit| age > limit);
        is_too_old.then(|| format!("the newest saved state is {age:?} old, older than restore_max_age"))
    };
    // What this lane has saved last may still be on its way. If it cannot be written, there is an older one.
    let _ = services.states.settled().await;
    let saved = match services.states.newest(&lane.module, lane.key.as_deref()).await {
        Ok(Some(saved)) => saved,
        // The state that it had at first needs no saving.
        Ok(None) => {
            let age = lane.made_at.elapsed();
            return match too_old(age) {
                Some(why) => (None, why),
                None => (
                    Some(live.template.start(live.revision).await),
                    format!("no state was saved yet: it starts empty, as it did {age:.1?} ago"),
                ),
            };
        }
        Err(error) => return (None, format!("the saved state cannot be read from disk: {error}")),
    };
    let age = Duration::from_millis(crate::event::now_ms().saturating_sub(saved.tag.time_ms));
    if let Some(why) = too_old(age) {
        return (None, why);
    }
    (
        Some(services.states.revive(live, &saved, limits).await),
        format!("the state of {age:?} ago is restored"),
    )
}
