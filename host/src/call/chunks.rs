//! A large state is taken out of its instance in chunks, between its calls (`incremental`), for an upgrade or for a periodic save.
//!
//! Invariants:
//! - One session at a time in a lane: a second would take chunks that belong to the first.
//! - Every step has its turn in the lane's queue: calls that came before it are served before it. While calls come, the steps take no
//!   more than half of the time.
//! - A session that is dropped before its end is cancelled in the guest; nothing of it is kept.

use super::lane::{Errand, Lane};
use super::runner::Runner;
use crate::instance::incremental::Chunk;
use crate::instance::{Change, Instance, InstanceError};
use crate::state::tagged;
use crate::store::chunks::{ChunkFile, frame};
use crate::store::{Form, SaveReason, SavedState, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, oneshot};
use wasmhot_appup::Kind;

/// Bytes asked for at a time: some 0.3 ms of a guest's work, which a call may have to wait for.
const CHUNK: u32 = 64 << 10;
/// Bytes that are written to the file at once.
const WRITTEN_AT_ONCE: usize = 1 << 20;
/// So few are left behind the gate: less than a chunk.
const FEW: u64 = 16 << 10;
/// Chunks that are taken after all else is on the disk: calls have gone on meanwhile, and what they have changed had better not be left
/// for behind the gate.
const LAST_CHUNKS: u32 = 4;
/// The last one is so small, or smaller.
const LAST: usize = 2 << 10;
/// A timer does not wake up any sooner: what would be paused for less is paused for later.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// Chunks in a row without fewer bytes left: calls change the state as fast as it is sent.
const WITHOUT_PROGRESS: u32 = 100;

/// A step in the lane's turn.
#[derive(Debug)]
pub(crate) enum Step {
    Begin(Change, oneshot::Sender<Result<u64, InstanceError>>),
    Next(u32, oneshot::Sender<Result<Chunk, InstanceError>>),
    /// The rest, as a saved state of the instance; and how many calls it has.
    Rest(SaveReason, oneshot::Sender<Result<(SavedState, u64), InstanceError>>),
    Cancel,
}

impl Step {
    /// Nobody is to wait for it any longer.
    pub(super) fn give_up(self, error: InstanceError) {
        // Whoever asked may be gone.
        match self {
            Step::Begin(_, reply) => drop(reply.send(Err(error))),
            Step::Next(_, reply) => drop(reply.send(Err(error))),
            Step::Rest(_, reply) => drop(reply.send(Err(error))),
            Step::Cancel => {}
        }
    }
}

impl Runner {
    /// A step of a session.
    pub(super) async fn chunk_step(&mut self, step: Step) {
        let Some(instance) = self.instance.as_mut() else {
            step.give_up(InstanceError::Unreadable("no instance is live".to_string()));
            return;
        };
        let stuck = instance.template.config.limits.stuck_timeout;
        let failed = match step {
            Step::Begin(change, reply) => told(reply, instance.begin_chunks(&change, stuck).await),
            Step::Next(bytes_max, reply) => told(reply, instance.next_chunk(bytes_max, stuck).await),
            Step::Rest(reason, reply) => {
                let rest = instance.rest_of_chunks(stuck).await;
                let state = rest.and_then(|rest| {
                    let state = in_chunks(tagged(instance, None, reason, Vec::new()), &rest.bytes)?;
                    Ok((state, self.lane.note_save(rest.took)))
                });
                told(reply, state)
            }
            Step::Cancel => instance.cancel_chunks(stuck).await.err(),
        };
        if let Some(error) = failed {
            self.lost_if_dead(&error).await;
        }
    }
}

/// Answers, and says what went wrong.
fn told<T>(
    reply: oneshot::Sender<Result<T, InstanceError>>,
    answer: Result<T, InstanceError>,
) -> Option<InstanceError> {
    let failed = answer.as_ref().err().cloned();
    // Whoever asked may be gone.
    let _ = reply.send(answer);
    failed
}

/// A tagged state, in chunks, of which this is the rest.
///
/// # Errors
/// The rest has 4 GiB or more.
pub(crate) fn in_chunks(mut state: SavedState, rest: &[u8]) -> Result<SavedState, InstanceError> {
    let mut bytes = Vec::new();
    if !frame(rest, &mut bytes) {
        return Err(too_long(rest));
    }
    state.tag.form = Form::Chunks;
    state.tag.size = bytes.len() as u64;
    state.bytes = bytes.into();
    Ok(state)
}

fn too_long(chunk: &[u8]) -> InstanceError {
    InstanceError::Contract(format!("a chunk has {} bytes: 4 GiB and more", chunk.len()))
}

/// How a session came to its last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// There is so little to send that calls hardly notice.
    Few,
    /// It does not become less: calls change the state as fast as it is sent. It takes about so long behind a gate.
    Takes(Duration),
}

/// A state on its way out of a lane's instance.
#[derive(Debug)]
pub(crate) struct Session {
    lane: Arc<Lane>,
    _alone: OwnedMutexGuard<()>,
    ended: bool,
    file: Option<ChunkFile>,
    unwritten: Vec<u8>,
    /// Bytes that were sent.
    pub(crate) sent: u64,
    /// Bytes that are left.
    pub(crate) pending: u64,
    /// Time that the guest took.
    in_guest: Duration,
    /// Time that calls have not had yet, of that which the guest took while they came.
    owed: Duration,
    calls: u64,
}

impl Session {
    /// Whether a lane's state can be taken out in chunks.
    pub(crate) fn is_possible(lane: &Lane) -> bool {
        let live = lane.live.load();
        let template = &live.template;
        template.config.kind == Kind::Single && template.version.places.incremental.is_some()
    }

    /// Begins, when the session before has ended.
    pub(crate) async fn begin(lane: &Arc<Lane>, change: &Change) -> Result<Self, InstanceError> {
        let alone = Arc::clone(&lane.chunked).lock_owned().await;
        Self::begin_alone(lane, change, alone).await
    }

    async fn begin_alone(lane: &Arc<Lane>, change: &Change, alone: OwnedMutexGuard<()>) -> Result<Self, InstanceError> {
        let file = lane.services.states.chunk_file(&lane.module);
        let file = file.map_err(|error| not_written(&error))?;
        let mut session = Self {
            lane: Arc::clone(lane),
            _alone: alone,
            ended: false,
            file: Some(file),
            unwritten: Vec::new(),
            sent: 0,
            pending: 0,
            in_guest: Duration::ZERO,
            owed: Duration::ZERO,
            calls: lane.figures().unsaved_calls,
        };
        lane.note_save_tried();
        session.pending = session.step(|reply| Step::Begin(change.clone(), reply)).await?;
        let limit = lane.live.load().template.config.limits.state_max;
        fits(limit, session.pending)?;
        Ok(session)
    }

    async fn step<T>(
        &self,
        step: impl FnOnce(oneshot::Sender<Result<T, InstanceError>>) -> Step,
    ) -> Result<T, InstanceError> {
        let (reply, answer) = oneshot::channel();
        self.lane.send(Errand::Chunks(step(reply)));
        let ended = |_| InstanceError::Unreadable("the module was removed or has failed".to_string());
        answer.await.map_err(ended)?
    }

    /// Takes chunks out, and gives each to the new instance if there is one, until few bytes are left, or no fewer. All that was sent is
    /// on the disk then, but for the last few chunks.
    pub(crate) async fn send(
        &mut self,
        change: &Change,
        mut new: Option<&mut Instance>,
        migrate_timeout: Duration,
    ) -> Result<Left, InstanceError> {
        let (mut least, mut without_progress) = (u64::MAX, 0);
        let mut taken = self.next_in_turn().await?;
        let left = loop {
            let Some(chunk) = taken else { break Left::Few };
            let is_last = self.pending <= FEW || without_progress > WITHOUT_PROGRESS;
            let accept = async {
                match &mut new {
                    Some(new) => new.accept_chunk(change, &chunk, migrate_timeout).await,
                    None => Ok(()),
                }
            };
            if is_last {
                accept.await?;
                break match self.pending <= FEW {
                    true => Left::Few,
                    false => Left::Takes(self.time_for(self.pending)),
                };
            }
            let (accepted, next) = tokio::join!(accept, self.next_in_turn());
            accepted?;
            taken = next?;
            without_progress = if self.pending < least { 0 } else { without_progress + 1 };
            least = least.min(self.pending);
        };
        self.write(true).await?;
        for _ in 0..LAST_CHUNKS {
            // It stays in memory, and goes into the catalog with the rest.
            let Some(chunk) = self.next().await? else { break };
            if let Some(new) = &mut new {
                new.accept_chunk(change, &chunk, migrate_timeout).await?;
            }
            if chunk.len() <= LAST {
                break;
            }
        }
        Ok(left)
    }

    /// Ends it in the lane's turn: the state, as far as it is not in the file, and how many calls it has.
    pub(crate) async fn rest(self, reason: SaveReason) -> Result<(SavedState, ChunkFile, u64), InstanceError> {
        let (state, calls) = self.step(|reply| Step::Rest(reason, reply)).await?;
        let (state, file) = self.end(state)?;
        Ok((state, file, calls))
    }

    /// The rest was taken. Gives the state with what was sent before; the file has to be held until the state is in the catalog.
    pub(crate) fn end(mut self, mut state: SavedState) -> Result<(SavedState, ChunkFile), InstanceError> {
        self.ended = true;
        let Some(file) = self.file.take() else {
            return Err(InstanceError::Unreadable("the state could not be written".to_string()));
        };
        let ahead = file.ahead();
        if !self.unwritten.is_empty() {
            self.unwritten.extend_from_slice(&state.bytes);
            state.tag.size = self.unwritten.len() as u64;
            state.bytes = std::mem::take(&mut self.unwritten).into();
        }
        state.tag.size += ahead.bytes;
        state.tag.ahead = (ahead.bytes > 0).then_some(ahead);
        let limit = self.lane.live.load().template.config.limits.state_max;
        fits(limit, state.tag.size)?;
        Ok((state, file))
    }

    /// Brings what was sent to its file; `synced`: and that to the disk.
    async fn write(&mut self, synced: bool) -> Result<(), InstanceError> {
        let Some(mut file) = self.file.take() else {
            return Err(InstanceError::Unreadable("the state could not be written".to_string()));
        };
        let framed = std::mem::take(&mut self.unwritten);
        let write = move || {
            file.append(&framed)?;
            if synced {
                file.sync()?;
            }
            Ok(file)
        };
        let written = self.lane.services.guests.spawn_blocking(write).await;
        let ended = |_| InstanceError::Unreadable("the host ends".to_string());
        let file = written.map_err(ended)?.map_err(|error| not_written(&error))?;
        self.file = Some(file);
        Ok(())
    }

    /// How long the guest takes for so many bytes, by what it has taken.
    fn time_for(&self, bytes: u64) -> Duration {
        let ratio = bytes as f64 / self.sent.max(1) as f64;
        // A guest may say that no end can be seen.
        Duration::try_from_secs_f64(self.in_guest.as_secs_f64() * ratio).unwrap_or(Duration::MAX)
    }

    /// As [`Session::next`]; calls that come have their turn after it.
    async fn next_in_turn(&mut self) -> Result<Option<Vec<u8>>, InstanceError> {
        let before = self.in_guest;
        let chunk = self.next().await?;
        let calls = self.lane.figures().unsaved_calls;
        if calls != std::mem::replace(&mut self.calls, calls) {
            self.owed += self.in_guest.saturating_sub(before);
            if self.owed >= PAUSE_MIN {
                tokio::time::sleep(std::mem::take(&mut self.owed)).await;
            }
        }
        Ok(chunk)
    }

    /// The next chunk, written. None if everything was sent as it stands.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, InstanceError> {
        let chunk = self.step(|reply| Step::Next(CHUNK, reply)).await?;
        self.pending = chunk.pending;
        self.in_guest += chunk.took;
        let Some(bytes) = chunk.bytes else { return Ok(None) };
        if !frame(&bytes, &mut self.unwritten) {
            return Err(too_long(&bytes));
        }
        self.sent += bytes.len() as u64;
        let limit = self.lane.live.load().template.config.limits.state_max;
        fits(limit, self.sent)?;
        if self.unwritten.len() >= WRITTEN_AT_ONCE {
            self.write(false).await?;
        }
        Ok(Some(bytes))
    }
}

fn fits(limit: u64, bytes: u64) -> Result<(), InstanceError> {
    match bytes > limit {
        true => Err(InstanceError::StateTooLarge { bytes, limit }),
        false => Ok(()),
    }
}

fn not_written(error: &StoreError) -> InstanceError {
    InstanceError::Unreadable(format!("the state cannot be written: {error}"))
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.ended {
            self.lane.send(Errand::Chunks(Step::Cancel));
        }
    }
}

/// A periodic save: pauses calls for no longer than a chunk takes. None if the state is just being taken out.
pub(crate) async fn save(lane: &Arc<Lane>) -> Option<Result<(), InstanceError>> {
    let alone = Arc::clone(&lane.chunked).try_lock_owned().ok()?;
    Some(save_alone(lane, alone).await)
}

async fn save_alone(lane: &Arc<Lane>, alone: OwnedMutexGuard<()>) -> Result<(), InstanceError> {
    let template = Arc::clone(&lane.live.load().template);
    let (change, limits) = (Lane::change_for_self(&template), &template.config.limits);
    let mut session = Session::begin_alone(lane, &change, alone).await?;
    match session.send(&change, None, limits.migrate_timeout).await? {
        Left::Takes(time) if time > limits.max_pause => {
            let said = format!("calls change the state faster than it can be saved: the rest would take {time:.1?}");
            return Err(InstanceError::Unreadable(said));
        }
        Left::Few | Left::Takes(_) => {}
    }
    let (state, file, calls) = session.rest(SaveReason::Periodic).await?;
    // Durable: else a crash could leave a state whose file has been removed.
    let written = lane.services.states.put(vec![state], true).await;
    written.map_err(|error| not_written(&error))?;
    lane.note_stored(calls);
    // Until here nobody but this knows of it.
    drop(file);
    Ok(())
}
