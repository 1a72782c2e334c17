//! How a key wakes up, and the one state of a module after its instance was lost: an instance of the live version is made from the newest
//! saved state.
//!
//! Invariants:
//! - What cannot be read stays as it is, and its caller is told (R29); never an empty instance in its place.
//! - An instance of a key has a place first (R9).

use super::crowd::Place;
use super::lane::{Lane, Live};
use super::runner::Runner;
use crate::error::{CallError, CallErrorCode};
use crate::event::{EventKind, Happening};
use crate::instance::InstanceError;
use crate::state::Kept;
use crate::store::{Form, SavedState, StoreError};
use std::sync::Arc;
use wasmhot_appup::{Create, Digest};

impl Runner {
    /// Makes sure that an instance of the live version is here.
    pub(super) async fn bring_up(&mut self, live: &Arc<Live>) -> Result<(), CallError> {
        // Never back: a call that was stamped before the switch may come after one that was stamped behind it.
        let is_live = self
            .instance
            .as_ref()
            .map(|instance| Arc::ptr_eq(&instance.template, &live.template) || instance.revision > live.revision);
        match is_live {
            Some(true) => Ok(()),
            Some(false) => self.hand_over(live).await,
            None => self.wake(live).await,
        }
    }

    /// Makes an instance from the newest saved state, or an empty one where there is none.
    async fn wake(&mut self, live: &Arc<Live>) -> Result<(), CallError> {
        let id = &live.template.version.id;
        let states = &self.lane.services.states;
        let key = self.lane.key.as_deref();
        let saved = states.newest(&self.lane.module, key).await;
        let saved = saved.map_err(|error| unreadable(&error).in_version(id))?;
        let place = place_for(&self.lane, live, saved.is_none()).await?;
        let stored = saved.as_ref().and_then(|saved| as_stored(live, saved));
        let made = match saved {
            Some(saved) => states.revive(live, &saved, &live.limits).await,
            None if key.is_some() && live.template.config.limits.create == Create::Explicit => {
                let message = format!(
                    "there is no key {:?}, and `create = \"explicit\"` makes none by a call",
                    key.unwrap_or_default()
                );
                return Err(CallError::not_executed(CallErrorCode::NoSuchKey, message).in_version(id));
            }
            None => live.template.start(live.revision).await,
        };
        match made {
            Ok(mut instance) => {
                instance.place = place;
                self.instance = Some(instance);
                self.lane.set_kept(stored.map(|digest| (digest, Kept::read())));
                // It has what the store has: no save is due before `save_interval` has passed.
                self.lane.note_save_tried();
                Ok(())
            }
            Err(error) => Err(self.not_awake(live, &error)),
        }
    }

    fn not_awake(&self, live: &Live, error: &InstanceError) -> CallError {
        let id = &live.template.version.id;
        let code = match (&self.lane.key, error) {
            (Some(_), InstanceError::Said { .. } | InstanceError::Unreadable(_)) => CallErrorCode::KeyNotMigrated,
            (None, InstanceError::Said { .. } | InstanceError::Unreadable(_)) => CallErrorCode::StateUnreadable,
            _ => CallErrorCode::NoCapacity,
        };
        let message = format!("{} cannot be brought up: {error}", self.lane.name());
        self.lane
            .services
            .events
            .publish(Happening::new(EventKind::KeyNotMigrated, message.clone()).version(id));
        CallError::not_executed(code, message).in_version(id)
    }
}

/// The digest of the state of a key, where it need not be written again if it is still the same when the key goes to sleep: the live version
/// itself has written it, and nobody asks how old it is.
fn as_stored(live: &Live, saved: &SavedState) -> Option<Digest> {
    let (id, limits) = (&live.template.version.id, &live.template.config.limits);
    let tag = &saved.tag;
    let is_own = tag.version == *id && tag.written_for.is_none() && tag.form == Form::Whole;
    let age_counts = limits.expire.is_some() || limits.restore_max_age.is_some();
    (tag.key.is_some() && is_own && !age_counts).then(|| Digest::of(&saved.bytes))
}

/// Where a key's instance may live (R9). A key that is new counts from now on.
async fn place_for(lane: &Arc<Lane>, live: &Live, is_new: bool) -> Result<Option<Place>, CallError> {
    let Some(crowd) = &lane.crowd else { return Ok(None) };
    let limits = &live.template.config.limits;
    let id = &live.template.version.id;
    if is_new && limits.create == Create::Call && !crowd.add_key(limits.max_keys) {
        let message = format!(
            "{} has {} keys and may have no more (max_keys)",
            id.name, limits.max_keys
        );
        return Err(CallError::not_executed(CallErrorCode::NoSuchKey, message).in_version(id));
    }
    match tokio::time::timeout(limits.start_timeout, crowd.enter(lane)).await {
        Ok(place) => Ok(place),
        Err(_) => {
            if is_new {
                crowd.remove_key();
            }
            let message = format!(
                "{} instances of {} are busy (instances_max), and none became free within start_timeout ({:?})",
                limits.instances_max, id.name, limits.start_timeout
            );
            Err(CallError::not_executed(CallErrorCode::NoCapacity, message).in_version(id))
        }
    }
}

fn unreadable(error: &StoreError) -> CallError {
    let message = format!("the saved state cannot be read from disk: {error}");
    CallError::not_executed(CallErrorCode::StateUnreadable, message)
}
