//! Entries as they came in chunks: the chunks themselves, and an index of where in them an entry stands.
//!
//! Invariant: an entry is in the index if and only if it is part of the state. A place in the index is one where [`Records`] found an
//! entry, so what stands there can be read. No entry costs an allocation of its own.

use std::hash::{BuildHasher, Hasher};
use std::rc::Rc;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::records::{self, Record, Records};

/// Where an entry stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct At {
    pub(crate) chunk: u32,
    pub(crate) offset: u32,
}

/// A place in the index. The hash stands with it, so that a growing index does not read all keys again.
#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    at: At,
}

impl Slot {
    /// What the index takes for a hash: it uses both ends.
    fn spread(&self) -> u64 {
        spread(self.hash)
    }
}

fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

/// A chunk, and how many entries of this table stand in it.
#[derive(Clone)]
struct Chunk {
    bytes: Rc<Vec<u8>>,
    entries: u32,
}

/// The encoded entries of one container.
#[derive(Clone, Default)]
pub(crate) struct Table {
    chunks: Vec<Chunk>,
    index: HashTable<Slot>,
    hasher: DefaultHashBuilder,
    /// The chunk that came last, behind the gate.
    rest: Option<u32>,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// The number that a chunk has here, or gets.
    pub(crate) fn adopt(&mut self, chunk: &Rc<Vec<u8>>, rest: bool) -> u32 {
        let known = self.chunks.last().is_some_and(|last| Rc::ptr_eq(&last.bytes, chunk));
        if !known {
            self.sweep();
            self.chunks.push(Chunk {
                bytes: Rc::clone(chunk),
                entries: 0,
            });
        }
        // Chunks are far fewer than bytes, and those are counted by `u32` in each.
        let number = u32::try_from(self.chunks.len() - 1).unwrap_or(u32::MAX);
        if rest {
            self.rest = Some(number);
        }
        number
    }

    /// Adds an entry, or puts it in the place of the one with the same key.
    pub(crate) fn put(&mut self, at: At, key: &[u8]) {
        let slot = Slot {
            hash: self.hash(key),
            at,
        };
        let Self { chunks, index, .. } = self;
        let same = |other: &Slot| other.hash == slot.hash && key_at(chunks, other.at) == key;
        let replaced = match index.entry(slot.spread(), same, Slot::spread) {
            Entry::Occupied(mut entry) => Some(std::mem::replace(entry.get_mut(), slot).at),
            Entry::Vacant(entry) => {
                entry.insert(slot);
                None
            }
        };
        if let Some(chunk) = self.chunks.get_mut(at.chunk as usize) {
            chunk.entries += 1;
        }
        if let Some(replaced) = replaced {
            self.forget(replaced);
        }
    }

    pub(crate) fn find(&self, key: &[u8]) -> Option<At> {
        let hash = self.hash(key);
        let same = |slot: &Slot| slot.hash == hash && key_at(&self.chunks, slot.at) == key;
        self.index.find(spread(hash), same).map(|slot| slot.at)
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        let hash = self.hash(key);
        let same = |slot: &Slot| slot.hash == hash && key_at(&self.chunks, slot.at) == key;
        if let Ok(entry) = self.index.find_entry(spread(hash), same) {
            let (slot, _) = entry.remove();
            self.forget(slot.at);
        }
    }

    fn hash(&self, key: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        let hash = hasher.finish();
        let [a, b, c, d, ..] = hash.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    pub(crate) fn clear(&mut self) {
        self.index.clear();
        for chunk in &mut self.chunks {
            chunk.entries = 0;
        }
        self.sweep();
    }

    /// Where the entries stand, in no order.
    pub(crate) fn places(&self) -> impl Iterator<Item = At> + '_ {
        self.index.iter().map(|slot| slot.at)
    }

    /// Key, value, and both as they stand in the chunk.
    pub(crate) fn entry(&self, at: At) -> (&[u8], &[u8], &[u8]) {
        let chunk = self.chunks.get(at.chunk as usize);
        chunk
            .and_then(|chunk| records::entry(&chunk.bytes, at.offset))
            .unwrap_or_default()
    }

    /// The first entry at or behind a place that is still one, and the place behind it. The way through all entries that goes on after
    /// the table has changed.
    pub(crate) fn next(&self, mut from: At) -> Option<(At, At)> {
        while let Some(chunk) = self.chunks.get(from.chunk as usize) {
            let mut records = Records::from(&chunk.bytes, from.offset);
            if chunk.entries > 0 {
                while let Some(Ok(record)) = records.next() {
                    if let Some(at) = self.entry_of(&record, from.chunk) {
                        let behind = At {
                            chunk: from.chunk,
                            offset: records.at(),
                        };
                        return Some((at, behind));
                    }
                }
            }
            from = At {
                chunk: from.chunk + 1,
                offset: 0,
            };
        }
        None
    }

    /// Those that came in the rest.
    pub(crate) fn of_the_rest(&self) -> impl Iterator<Item = At> + '_ {
        let chunk = self.rest;
        let bytes = chunk.and_then(|chunk| self.chunks.get(chunk as usize));
        let records = Records::from(bytes.map_or(&[], |chunk| chunk.bytes.as_slice()), 0);
        records.filter_map(move |record| self.entry_of(&record.ok()?, chunk?))
    }

    /// The place of this record in that chunk, if it is an entry and still one of this table's.
    fn entry_of(&self, record: &Record<'_>, chunk: u32) -> Option<At> {
        let Record::Entry { offset, key, .. } = *record else {
            return None;
        };
        let at = At { chunk, offset };
        (self.find(key) == Some(at)).then_some(at)
    }

    /// An entry has left the index. A chunk without entries goes, but the last one, which may just be coming.
    fn forget(&mut self, at: At) {
        let last = self.chunks.len().saturating_sub(1);
        if let Some(chunk) = self.chunks.get_mut(at.chunk as usize) {
            chunk.entries = chunk.entries.saturating_sub(1);
            if chunk.entries == 0 && at.chunk as usize != last {
                chunk.bytes = Rc::default();
            }
        }
    }

    /// Lets go of the bytes of chunks without entries; numbers stay.
    pub(crate) fn sweep(&mut self) {
        for chunk in &mut self.chunks {
            if chunk.entries == 0 {
                chunk.bytes = Rc::default();
            }
        }
    }
}

fn key_at(chunks: &[Chunk], at: At) -> &[u8] {
    let chunk = chunks.get(at.chunk as usize);
    chunk
        .and_then(|chunk| records::key(&chunk.bytes, at.offset))
        .unwrap_or_default()
}
