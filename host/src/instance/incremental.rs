//! The hand-over of a large state in chunks, on a running instance: the contract's `incremental`, during which outside effects are
//! refused as in `save` and `migrate` (R3).
//!
//! The chunks of a state, framed, the rest last, are its bytes in the form [`Form::Chunks`]: so they are kept, and so they are read.

use super::lifecycle::Saved;
use super::{Change, Instance, InstanceError};
use crate::store::Form;
use crate::store::chunks::chunks_in;
use crate::version::Incremental;
use std::time::{Duration, Instant};

/// What was taken out of an instance in one turn.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// None: everything was sent as it stands.
    pub(crate) bytes: Option<Vec<u8>>,
    /// About how many bytes are left to send.
    pub(crate) pending: u64,
    /// How long the guest took.
    pub(crate) took: Duration,
}

impl Instance {
    /// Old version: from now on changes are noted. Gives about how many bytes there will be.
    pub(crate) async fn begin_chunks(&mut self, change: &Change, limit: Duration) -> Result<u64, InstanceError> {
        let index = self.incremental()?.begin;
        let (said,): (Result<u64, String>,) = self.lifecycle_call("begin", index, (change.clone(),), limit).await?;
        said.map_err(|said| InstanceError::Said { phase: "begin", said })
    }

    /// Old version: the next chunk, of about so many bytes.
    pub(crate) async fn next_chunk(&mut self, bytes_max: u32, limit: Duration) -> Result<Chunk, InstanceError> {
        let Incremental { next, pending, .. } = self.incremental()?;
        let began = Instant::now();
        let (said,): (Result<Option<Vec<u8>>, String>,) =
            self.lifecycle_call("next", next, (bytes_max,), limit).await?;
        let bytes = said.map_err(|said| InstanceError::Said { phase: "next", said })?;
        let pending = match &bytes {
            Some(_) => {
                let (pending,): (u64,) = self.lifecycle_call("pending", pending, (), limit).await?;
                pending
            }
            None => 0,
        };
        Ok(Chunk {
            bytes,
            pending,
            took: began.elapsed(),
        })
    }

    /// Old version: what is left. It ends what was begun.
    pub(crate) async fn rest_of_chunks(&mut self, limit: Duration) -> Result<Saved, InstanceError> {
        let index = self.incremental()?.rest;
        let began = Instant::now();
        let room = self.make_room();
        let answer = self.lifecycle_call("rest", index, (), limit).await;
        self.end_room(room);
        let (said,): (Result<Vec<u8>, String>,) = answer?;
        let bytes = said.map_err(|said| InstanceError::Said { phase: "rest", said })?;
        Ok(Saved {
            bytes,
            took: began.elapsed(),
        })
    }

    /// Old version: it is called off.
    pub(crate) async fn cancel_chunks(&mut self, limit: Duration) -> Result<(), InstanceError> {
        let index = self.incremental()?.cancel;
        self.lifecycle_call("cancel", index, (), limit).await
    }

    /// New version: takes a chunk.
    pub(crate) async fn accept_chunk(
        &mut self,
        change: &Change,
        chunk: &[u8],
        limit: Duration,
    ) -> Result<(), InstanceError> {
        let index = self.incremental()?.accept;
        let (said,): (Result<(), String>,) = self
            .lifecycle_call("accept", index, (change.clone(), chunk), limit)
            .await?;
        said.map_err(|said| InstanceError::Said { phase: "accept", said })
    }

    /// New version: takes the rest, and has the state.
    pub(crate) async fn finish_chunks(
        &mut self,
        change: &Change,
        rest: &[u8],
        limit: Duration,
    ) -> Result<(), InstanceError> {
        let index = self.incremental()?.finish;
        let began = Instant::now();
        let (said,): (Result<(), String>,) = self
            .lifecycle_call("finish", index, (change.clone(), rest), limit)
            .await?;
        said.map_err(|said| InstanceError::Said { phase: "finish", said })?;
        self.brought_by = Some(change.clone());
        self.finished_in = began.elapsed();
        Ok(())
    }

    /// Gives a state to a fresh instance, in the form in which it was saved. Of chunks each may take as long as `limit`.
    pub(crate) async fn read_state(
        &mut self,
        change: &Change,
        (form, bytes): (Form, &[u8]),
        limit: Duration,
    ) -> Result<Duration, InstanceError> {
        if form == Form::Whole {
            return self.migrate(change, bytes, limit).await;
        }
        let began = Instant::now();
        let mut chunks = chunks_in(bytes).peekable();
        while let Some(chunk) = chunks.next() {
            let chunk = chunk.map_err(InstanceError::Unreadable)?;
            match chunks.peek() {
                Some(_) => self.accept_chunk(change, chunk, limit).await?,
                None => self.finish_chunks(change, chunk, limit).await?,
            }
        }
        self.migrated_in = began.elapsed();
        Ok(self.migrated_in)
    }

    fn incremental(&self) -> Result<Incremental, InstanceError> {
        let missing = || InstanceError::Contract("the module has no wasmhot:module/incremental interface".to_string());
        self.template.version.places.incremental.ok_or_else(missing)
    }
}
