//! `durability = "call"`: a call to a stateful module is answered when what it changed is on the disk, so that a crash of the host or
//! of the machine loses no call that was answered.
//!
//! After each call the state is saved in the lane's turn, and goes to the keeper, which writes what several calls have given in one
//! transaction (group commit). The next call does not wait for that; only the answer does. A call that has changed nothing waits for
//! the state that was given before it, and fails as that does: it has seen that.

use super::lane::{CallResult, Lane};
use super::runner::Runner;
use crate::error::{CallError, CallErrorCode};
use crate::instance::InstanceError;
use crate::state::Kept;
use crate::store::SaveReason;
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmhot_appup::{Digest, Durability};

impl Runner {
    /// Whether answers wait for the disk here.
    pub(super) fn is_durable(&self) -> bool {
        let live = self.lane.live.load();
        live.template.config.limits.durability == Durability::Call
    }

    /// Answers when the state as it is now is on the disk.
    pub(super) async fn answer_durably(&mut self, answer: CallResult, reply: oneshot::Sender<CallResult>) {
        let saved = self.save_if_changed().await;
        let lane = Arc::clone(&self.lane);
        let guests = lane.services.guests.clone();
        match saved {
            Ok(written) => {
                guests.spawn(async move {
                    let kept = written.await;
                    let answer = kept.map_err(Box::new).and(answer);
                    // The client may be gone.
                    let _ = reply.send(answer);
                });
            }
            Err(error) => {
                let _ = reply.send(Err(Box::new(not_kept(&lane, &error))));
            }
        }
    }

    /// Gives the state to the keeper, unless it is the one that it has. What is given back ends when it is written.
    async fn save_if_changed(
        &mut self,
    ) -> Result<impl Future<Output = Result<(), CallError>> + Send + use<>, InstanceError> {
        let Some(instance) = self.instance.as_mut() else {
            return Err(InstanceError::Unreadable("no instance is live".to_string()));
        };
        let change = Lane::change_for_self(&instance.template);
        let stuck = instance.template.config.limits.stuck_timeout;
        let lane = Arc::clone(&self.lane);
        let states = lane.services.states.clone();
        let saved = match instance.save(&change, stuck).await {
            Ok(saved) => saved,
            Err(error) => {
                self.lost_if_dead(&error).await;
                return Err(error);
            }
        };
        let digest = Digest::of(&saved.bytes);
        let calls = lane.note_save(saved.took);
        let kept = lane.kept(&digest).unwrap_or_else(|| {
            let state = crate::state::tagged(instance, lane.key.as_deref(), SaveReason::Call, saved.bytes);
            let kept = states.keep(vec![state], true);
            lane.set_kept(Some((digest, kept.clone())));
            kept
        });
        Ok(async move {
            match kept.written().await {
                Ok(()) => {
                    lane.note_stored(calls);
                    Ok(())
                }
                Err(error) => {
                    lane.set_kept(None);
                    Err(not_kept(&lane, &error))
                }
            }
        })
    }
}

fn not_kept(lane: &Lane, error: &dyn std::fmt::Display) -> CallError {
    let message = format!(
        "the call was executed, but its changes are not on the disk (durability = \"call\"): {error}; a crash would lose them"
    );
    CallError::unknown(CallErrorCode::NotDurable, message).in_version(&lane.live.load().template.version.id)
}

impl Lane {
    /// What becomes of the state with this digest, if that is the one that the store was given last, or has given. Known where answers
    /// wait for the disk, and of keys that have not been saved since they woke up.
    pub(super) fn kept(&self, digest: &Digest) -> Option<Kept> {
        let last = self.last_kept.lock().expect("no panic under this lock");
        let (_, kept) = last.as_ref().filter(|(of, _)| of == digest)?;
        Some(kept.clone())
    }

    /// None: nobody knows.
    pub(super) fn set_kept(&self, last: Option<(Digest, Kept)>) {
        *self.last_kept.lock().expect("no panic under this lock") = last;
    }
}
