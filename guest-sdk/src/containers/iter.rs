//! The way through a map in the order of its keys: live and encoded entries, merged.

use std::cmp::Ordering;
use std::collections::btree_map;
use std::iter::Peekable;
use std::vec;

use crate::chunks::table::At;
use crate::codec::Codec;

use super::encoded::Encoded;
use super::{Key, Ref};

/// The entries of a [`super::Map`]. Encoded ones are decoded as they come.
///
/// # Panics
/// At an entry that cannot be decoded or converted.
pub struct Iter<'a, K, V> {
    live: Peekable<btree_map::Iter<'a, K, V>>,
    keys: Peekable<vec::IntoIter<(K, At)>>,
    encoded: Option<&'a Encoded<V>>,
    left: usize,
}

type Entry<'a, K, V> = (Ref<'a, K>, Ref<'a, V>);

impl<'a, K: Key, V> Iter<'a, K, V> {
    /// # Errors
    /// If a key cannot be decoded.
    pub(super) fn new<C: Codec>(
        live: btree_map::Iter<'a, K, V>,
        encoded: Option<&'a Encoded<V>>,
    ) -> Result<Self, String> {
        let mut keys = Vec::new();
        if let Some(encoded) = encoded {
            keys.reserve_exact(encoded.table.len());
            for at in encoded.table.places() {
                keys.push((encoded.key::<C, K>(at)?, at));
            }
            keys.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        }
        Ok(Self {
            left: live.len() + keys.len(),
            live: live.peekable(),
            keys: keys.into_iter().peekable(),
            encoded,
        })
    }

    /// The next entry, or why it cannot be decoded.
    pub(super) fn try_next(&mut self) -> Option<Result<Entry<'a, K, V>, String>> {
        let live_first = match (self.live.peek(), self.keys.peek()) {
            (Some((live, _)), Some((encoded, _))) => (*live).cmp(encoded) == Ordering::Less,
            (live, _) => live.is_some(),
        };
        self.left = self.left.saturating_sub(1);
        if live_first {
            let (key, value) = self.live.next()?;
            return Some(Ok((Ref::Live(key), Ref::Live(value))));
        }
        let (key, at) = self.keys.next()?;
        let value = self.encoded?.value(&key, at);
        Some(value.map(|value| (Ref::Decoded(key), Ref::Decoded(value))))
    }
}

impl<'a, K: Key, V> Iterator for Iter<'a, K, V> {
    type Item = Entry<'a, K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        self.try_next()
            .map(|entry| entry.unwrap_or_else(|error| panic!("{error}")))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K: Key, V> ExactSizeIterator for Iter<'_, K, V> {}
