//! The side of the old version: what is still to be given of its state.

use std::rc::Rc;

use super::records;
use super::walk::{self, Chunk, Count, Head, Mode, Part, Token};
use crate::codec::Codec;
use crate::{Change, Stateful};

/// From `begin` to `rest` or `cancel`; both end it by dropping it. The containers of the state note what changes while it lives.
///
/// After an error it is of no use any more: entries may have been given to a chunk that nobody got.
pub(crate) struct Session {
    change: Change,
    token: Token,
    passes: u64,
    /// As it was given last, or when the session began.
    head: Vec<u8>,
    head_given: bool,
}

impl Session {
    /// Begins, and says about how many bytes there will be.
    ///
    /// # Errors
    /// If this version does not write what the other reads, or if no container can be given in chunks.
    pub(crate) fn begin<S: Stateful>(state: &S, change: &Change) -> Result<(Self, u64), String> {
        let token = Token {
            alive: Rc::new(()),
            older: S::writer(change)?.is_some(),
        };
        let mut session = Self {
            change: change.clone(),
            token,
            passes: 0,
            head: Vec::new(),
            head_given: false,
        };
        let (head, walked) = session.walk_head(state, true)?;
        if walked.number == 0 {
            return Err("no container of this state can be given in chunks".into());
        }
        let bytes = walked.bytes + head.len() as u64;
        session.head = head;
        Ok((session, bytes))
    }

    /// The next chunk: first every entry once, then what has changed, then the head. With 0 all that has changed, and nothing else.
    ///
    /// # Errors
    /// If something cannot be written for the other version, or if a container was replaced by another.
    pub(crate) fn next<S: Stateful>(&mut self, state: &S, bytes_max: u32) -> Result<Option<Vec<u8>>, String> {
        let chunk = match bytes_max {
            0 => self.changes(state)?,
            // However little is asked for, it is something.
            max => self.fill(state, (max as usize).max(records::empty().len() + 1))?,
        };
        Ok((!records::is_empty(&chunk)).then_some(chunk))
    }

    /// About how many bytes are left; a change that was not given yet counts as much as entries did on an average.
    pub(crate) fn pending<S: Stateful>(&mut self, state: &S) -> Result<u64, String> {
        let count = Count {
            session: self.token.clone(),
            bytes: 0,
        };
        let ((), mode) = walk_containers(state, Mode::Count(count))?;
        let entries = match mode {
            Mode::Count(count) => count.bytes,
            _ => 0,
        };
        let (head, _) = self.walk_head(state, false)?;
        let head = if self.must_give(&head) { head.len() } else { 0 };
        Ok(entries + head as u64)
    }

    /// All that is left; nothing at all, if nothing is.
    ///
    /// # Errors
    /// As [`Session::next`].
    pub(crate) fn rest<S: Stateful>(mut self, state: &S) -> Result<Vec<u8>, String> {
        let chunk = self.fill(state, usize::MAX)?;
        Ok(if records::is_empty(&chunk) { Vec::new() } else { chunk })
    }

    fn fill<S: Stateful>(&mut self, state: &S, full: usize) -> Result<Vec<u8>, String> {
        let mut chunk = records::empty();
        for part in [Part::Base, Part::Changes] {
            chunk = self.walk_part(state, part, full, chunk)?;
            if chunk.len() >= full {
                return Ok(chunk);
            }
        }
        let (head, _) = self.walk_head(state, false)?;
        if self.must_give(&head) {
            self.give(head, &mut chunk)?;
        }
        Ok(chunk)
    }

    fn changes<S: Stateful>(&mut self, state: &S) -> Result<Vec<u8>, String> {
        let mut chunk = self.walk_part(state, Part::Changes, usize::MAX, records::empty())?;
        let (head, _) = self.walk_head(state, false)?;
        if head != self.head {
            self.give(head, &mut chunk)?;
        }
        Ok(chunk)
    }

    fn must_give(&self, head: &[u8]) -> bool {
        !self.head_given || head != self.head
    }

    fn give(&mut self, head: Vec<u8>, chunk: &mut Vec<u8>) -> Result<(), String> {
        records::put_head(chunk, &head)?;
        self.head = head;
        self.head_given = true;
        Ok(())
    }

    fn walk_part<S: Stateful>(&self, state: &S, part: Part, full: usize, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        let chunk = Chunk {
            session: self.token.clone(),
            part,
            full,
            bytes,
            entry: Vec::new(),
        };
        match walk_containers(state, Mode::Chunk(chunk))? {
            ((), Mode::Chunk(chunk)) => Ok(chunk.bytes),
            _ => Err("the walk was lost".into()),
        }
    }

    /// The head is what `save` gives while containers give numbers. So an older format needs nothing of its own.
    fn walk_head<S: Stateful>(&mut self, state: &S, begin: bool) -> Result<(Vec<u8>, Head), String> {
        self.passes += 1;
        let head = Head {
            session: self.token.clone(),
            pass: self.passes,
            begin,
            number: 0,
            bytes: 0,
        };
        match walk::run(Mode::Head(head), || state.save(&self.change))? {
            (bytes, Mode::Head(head)) => Ok((bytes, head)),
            _ => Err("the walk was lost".into()),
        }
    }
}

/// Has the containers of the state itself do something, whatever the format. What else there is goes nowhere.
fn walk_containers<S: Stateful>(state: &S, mode: Mode) -> Result<((), Mode), String> {
    walk::run(mode, || S::Codec::encode(state).map(|_| ()))
}
