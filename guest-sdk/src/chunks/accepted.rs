//! What has come of a state so far: encoded entries by the number of their container, and the last head.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::records::{Record, Records};
use super::table::{At, Table};
use super::walk::{self, Mode};
use crate::codec::Codec;
use crate::{Change, Stateful};

/// The side of the new version.
#[derive(Default)]
pub(crate) struct Accepted {
    tables: BTreeMap<u32, Table>,
    head: Option<Vec<u8>>,
}

impl Accepted {
    /// Takes a chunk. Its entries are not decoded.
    ///
    /// # Errors
    /// If it is damaged. What came until now is of no use then.
    pub(crate) fn accept(&mut self, chunk: Vec<u8>) -> Result<(), String> {
        self.take(chunk, false).map(|_| ())
    }

    /// The state. Its cost does not depend on how many entries there are, but on how many came in the rest: those are looked at.
    ///
    /// # Errors
    /// If the rest is damaged, if there was no head, if the state cannot be read, or if an entry of the rest cannot be.
    pub(crate) fn finish<S: Stateful>(mut self, change: &Change, rest: Vec<u8>) -> Result<S, String> {
        let to_check = !rest.is_empty() && self.take(rest, true)?;
        let head = self.head.take().ok_or("no chunk had the head of the state")?;
        let given = Given {
            tables: self.tables,
            taken: BTreeSet::new(),
        };
        let (state, _) = walk::run(Mode::Read(given), || S::read(change, &head))?;
        if to_check {
            walk::run(Mode::Check, || S::Codec::encode(&state))?;
        }
        Ok(state)
    }

    /// Says whether there were entries in it.
    fn take(&mut self, chunk: Vec<u8>, rest: bool) -> Result<bool, String> {
        let chunk = Rc::new(chunk);
        let mut entries = false;
        for record in Records::of(&chunk)? {
            match record? {
                Record::Head(head) => self.head = Some(head.to_vec()),
                Record::Entry { container, offset, key } => {
                    entries = true;
                    let table = self.tables.entry(container).or_default();
                    let chunk = table.adopt(&chunk, rest);
                    table.put(At { chunk, offset }, key);
                }
                Record::Removed { container, key } => {
                    if let Some(table) = self.tables.get_mut(&container) {
                        table.remove(key);
                    }
                }
                Record::Cleared { container } => {
                    if let Some(table) = self.tables.get_mut(&container) {
                        table.clear();
                    }
                }
            }
        }
        Ok(entries)
    }
}

/// The tables, while the head is read.
pub(crate) struct Given {
    tables: BTreeMap<u32, Table>,
    taken: BTreeSet<u32>,
}

impl Given {
    /// That of a container. One of which no entry came is empty.
    pub(crate) fn take(&mut self, container: u32) -> Result<Table, String> {
        if !self.taken.insert(container) {
            return Err(format!("the head has container {container} twice"));
        }
        let mut table = self.tables.remove(&container).unwrap_or_default();
        table.sweep();
        Ok(table)
    }
}
