//! What a map knows of the session that hands it over: how far it is, and what has changed.
//!
//! Invariant: an entry that the other side does not have as it stands lies ahead of the way through the base, or is among the changed.
//! A changed one is live, or is no more.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::rc::{Rc, Weak};

use crate::chunks::records;
use crate::chunks::table::At;
use crate::chunks::walk::{Chunk, Head, Part, Token};
use crate::codec::Codec;

use super::{Key, Map, cannot};

/// How many entries are written to guess the length of all.
const SAMPLE: usize = 16;

/// From a value to the bytes that the other version reads, at the end of others.
pub(super) type Write<V> = Rc<dyn Fn(&V, &mut Vec<u8>) -> Result<(), String>>;

pub(super) struct Tracking<K, V> {
    session: Weak<()>,
    number: u32,
    /// The last walk that met it.
    pass: u64,
    write: Write<V>,
    /// What is written is the own format: bytes that came in it go on as they are.
    own: bool,
    base: Base<K>,
    changed: BTreeSet<K>,
    cleared: bool,
    /// About how many bytes an entry has.
    mean: u64,
    /// How many entries of the base were given.
    given: usize,
}

/// The way through all entries; it goes on wherever entries have come or gone in between.
enum Base<K> {
    /// Behind this key of the live ones.
    Live(Option<K>),
    Encoded(At),
    Done,
}

impl<K: Key, V> Tracking<K, V> {
    /// An entry has changed, or come, or gone.
    pub(super) fn note(tracking: &mut RefCell<Option<Box<Self>>>, key: &K) {
        if let Some(tracking) = Self::active(tracking)
            && !tracking.changed.contains(key)
        {
            tracking.changed.insert(key.clone());
        }
    }

    /// All entries have gone.
    pub(super) fn note_clear(tracking: &mut RefCell<Option<Box<Self>>>) {
        if let Some(tracking) = Self::active(tracking) {
            tracking.changed.clear();
            tracking.cleared = true;
            tracking.base = Base::Done;
        }
    }

    /// A session that has ended is forgotten, with all that was noted for it.
    fn active(tracking: &mut RefCell<Option<Box<Self>>>) -> Option<&mut Box<Self>> {
        let tracking = tracking.get_mut();
        if tracking.as_ref()?.session.strong_count() == 0 {
            *tracking = None;
        }
        tracking.as_mut()
    }

    fn is_of(&self, session: &Token) -> bool {
        std::ptr::eq(self.session.as_ptr(), Rc::as_ptr(&session.alive))
    }
}

impl<K: Key, V, C: Codec> Map<K, V, C> {
    /// Its number in this session; it gets one when the session begins. None where it was met in this walk already.
    pub(super) fn enlist(&self, head: &mut Head, write: Write<V>, own: bool) -> Result<Option<u32>, String> {
        let mut slot = self.tracking.borrow_mut();
        if let Some(tracking) = slot.as_deref_mut().filter(|known| known.is_of(&head.session)) {
            let first = tracking.pass != head.pass;
            tracking.pass = head.pass;
            return Ok(first.then_some(tracking.number));
        }
        if !head.begin {
            return Err(self.replaced());
        }
        let mean = self.mean(&write);
        let number = head.number;
        head.number += 1;
        head.bytes += mean * self.len() as u64;
        *slot = Some(Box::new(Tracking {
            session: Rc::downgrade(&head.session.alive),
            number,
            pass: head.pass,
            write,
            own,
            base: Base::Live(None),
            changed: BTreeSet::new(),
            cleared: false,
            mean,
            given: 0,
        }));
        Ok(Some(number))
    }

    /// Its part of a chunk.
    pub(super) fn give(&self, chunk: &mut Chunk) -> Result<(), String> {
        let mut slot = self.tracking.borrow_mut();
        let known = slot.as_deref_mut().filter(|known| known.is_of(&chunk.session));
        match (known, chunk.part) {
            (Some(tracking), Part::Base) => self.give_base(tracking, chunk),
            (Some(tracking), Part::Changes) => self.give_changes(tracking, chunk),
            // The older version need not have all of the newer one's.
            (None, _) if chunk.session.older => Ok(()),
            (None, _) => Err(self.replaced()),
        }
    }

    /// About how many bytes there are to give.
    pub(super) fn left(&self, session: &Token) -> u64 {
        let slot = self.tracking.borrow();
        let Some(tracking) = slot.as_deref().filter(|known| known.is_of(session)) else {
            return 0;
        };
        let base = match tracking.base {
            Base::Done => 0,
            _ => self.len().saturating_sub(tracking.given),
        };
        (base + tracking.changed.len()) as u64 * tracking.mean + u64::from(tracking.cleared) * 2
    }

    fn give_base(&self, tracking: &mut Tracking<K, V>, chunk: &mut Chunk) -> Result<(), String> {
        if let Base::Live(behind) = &mut tracking.base {
            let from = behind.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut last: Option<&K> = None;
            for (key, value) in self.live.range((from, Bound::Unbounded)) {
                if chunk.bytes.len() >= chunk.full {
                    *behind = last.cloned().or(behind.take());
                    return Ok(());
                }
                last = Some(key);
                // What has changed is given with the changes.
                if !tracking.changed.contains(key) {
                    Self::put(tracking.number, &tracking.write, chunk, key, value)?;
                    tracking.given += 1;
                }
            }
            tracking.base = Base::Encoded(At::default());
        }
        while let Base::Encoded(from) = tracking.base {
            if chunk.bytes.len() >= chunk.full {
                return Ok(());
            }
            match self.encoded.as_ref().and_then(|encoded| encoded.table.next(from)) {
                Some((at, behind)) => {
                    self.give_encoded(tracking, chunk, at)?;
                    tracking.given += 1;
                    tracking.base = Base::Encoded(behind);
                }
                None => tracking.base = Base::Done,
            }
        }
        Ok(())
    }

    fn give_encoded(&self, tracking: &Tracking<K, V>, chunk: &mut Chunk, at: At) -> Result<(), String> {
        let Some(encoded) = &self.encoded else { return Ok(()) };
        let (_, _, both) = encoded.table.entry(at);
        if tracking.own && encoded.own {
            records::put_encoded(&mut chunk.bytes, tracking.number, both);
            return Ok(());
        }
        let known = encoded.key::<C, K>(at)?;
        let value = encoded.value(&known, at)?;
        Self::put(tracking.number, &tracking.write, chunk, &known, &value)
    }

    fn put(number: u32, write: &Write<V>, chunk: &mut Chunk, key: &K, value: &V) -> Result<(), String> {
        chunk.entry.clear();
        C::encode_into(key, &mut chunk.entry)?;
        let length = chunk.entry.len();
        write(value, &mut chunk.entry).map_err(|error| cannot::<K, V>(key, &error))?;
        let (key, value) = chunk.entry.split_at(length);
        records::put_entry(&mut chunk.bytes, number, key, value)
    }

    fn give_changes(&self, tracking: &mut Tracking<K, V>, chunk: &mut Chunk) -> Result<(), String> {
        if std::mem::take(&mut tracking.cleared) {
            records::put_cleared(&mut chunk.bytes, tracking.number);
        }
        while chunk.bytes.len() < chunk.full {
            let Some(key) = tracking.changed.pop_first() else {
                return Ok(());
            };
            match self.live.get(&key) {
                Some(value) => Self::put(tracking.number, &tracking.write, chunk, &key, value)?,
                None => records::put_removed(&mut chunk.bytes, tracking.number, &C::encode(&key)?)?,
            }
        }
        Ok(())
    }

    /// About how many bytes an entry has in a chunk, by the first ones.
    fn mean(&self, write: &Write<V>) -> u64 {
        let lengths = self.live.iter().take(SAMPLE).map(|(key, value)| {
            let mut bytes = Vec::new();
            // What cannot be written is found when it is to be given.
            let _ = C::encode_into(key, &mut bytes).and_then(|()| write(value, &mut bytes));
            bytes.len() + 4
        });
        let encoded = self.encoded.as_ref();
        let encoded = encoded.into_iter().flat_map(|encoded| {
            let places = encoded.table.places().take(SAMPLE);
            places.map(|at| encoded.table.entry(at).2.len() + 2)
        });
        let (sum, count) = lengths
            .chain(encoded)
            .fold((0, 0), |(sum, count), length| (sum + length as u64, count + 1));
        sum / count.max(1)
    }

    fn replaced(&self) -> String {
        let value = std::any::type_name::<V>();
        format!("the container of {value} was replaced while its state was handed over")
    }
}
