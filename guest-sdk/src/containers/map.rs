//! An ordered map.
//!
//! Invariant: a key is among the live entries or among the encoded ones, never among both; and every change of an entry goes through
//! [`Map::note`].

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;

use crate::chunks::walk;
use crate::codec::{Cbor, Codec};

use super::encoded::Encoded;
use super::track::Tracking;
use super::{Iter, Key, Ref};

/// An ordered map, for states with many entries. See [the containers](crate::containers).
///
/// It is used like a `BTreeMap`; what it gives to look at is a [`Ref`]. `C` is the format of its entries, [`Cbor`] unless another is named.
///
/// An entry that came encoded and cannot be decoded or converted makes the function that touches it panic, with a message that names
/// the entry.
pub struct Map<K, V, C = Cbor> {
    pub(super) live: BTreeMap<K, V>,
    pub(super) encoded: Option<Encoded<V>>,
    /// While it is handed over.
    pub(super) tracking: RefCell<Option<Box<Tracking<K, V>>>>,
    /// It stands for a container of the newer version, under this number, and has no entries itself.
    pub(super) stands_for: Option<u32>,
    pub(super) codec: PhantomData<fn() -> C>,
}

impl<K: Key, V> Map<K, V> {
    /// An empty map. One of another format is made by `default`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<K: Key, V, C: Codec> Map<K, V, C> {
    pub(super) fn of(live: BTreeMap<K, V>, encoded: Option<Encoded<V>>) -> Self {
        Self {
            live,
            encoded,
            tracking: RefCell::new(None),
            stands_for: None,
            codec: PhantomData,
        }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.must_be_here();
        self.live.len() + self.encoded.as_ref().map_or(0, |encoded| encoded.table.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is an entry of this key. Nothing is decoded.
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Ord + Serialize + ?Sized,
    {
        self.must_be_here();
        let encoded = self.encoded.as_ref();
        self.live.contains_key(key) || encoded.is_some_and(|encoded| encoded.find::<C, Q>(key).is_some())
    }

    /// The value of a key. One that is still encoded is decoded, and stays encoded.
    pub fn get<Q>(&self, key: &Q) -> Option<Ref<'_, V>>
    where
        K: Borrow<Q>,
        Q: Ord + Serialize + ?Sized,
    {
        self.must_be_here();
        if let Some(value) = self.live.get(key) {
            return Some(Ref::Live(value));
        }
        let encoded = self.encoded.as_ref()?;
        let at = encoded.find::<C, Q>(key)?;
        Some(Ref::Decoded(had(encoded.value(&key, at))))
    }

    /// The value of a key, to be changed. It counts as changed.
    pub fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Ord + Serialize + ?Sized,
    {
        self.make_live(key);
        let (known, _) = self.live.get_key_value(key)?;
        Tracking::note(&mut self.tracking, known);
        self.live.get_mut(key)
    }

    /// Gives a key a value, and gives the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let encoded = self.take_encoded(&key).map(|(_, value)| value);
        Tracking::note(&mut self.tracking, &key);
        self.live.insert(key, value).or(encoded)
    }

    /// Takes an entry out.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Ord + Serialize + ?Sized,
    {
        let (key, value) = match self.take_encoded(key) {
            Some(entry) => entry,
            None => self.live.remove_entry(key)?,
        };
        Tracking::note(&mut self.tracking, &key);
        Some(value)
    }

    /// The value of a key, to be changed; the one that is given, if it has none.
    pub fn get_or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        self.make_live(&key);
        Tracking::note(&mut self.tracking, &key);
        self.live.entry(key).or_insert_with(value)
    }

    /// Changes the value of a key, if it has one.
    pub fn update<Q, R>(&mut self, key: &Q, change: impl FnOnce(&mut V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Ord + Serialize + ?Sized,
    {
        self.get_mut(key).map(change)
    }

    /// Takes out all entries that do not fit. It looks at all.
    pub fn retain(&mut self, mut fits: impl FnMut(&K, &V) -> bool) {
        let unfit: Vec<K> = self
            .iter()
            .filter(|(key, value)| !fits(key, value))
            .map(|(key, _)| key.into_owned())
            .collect();
        for key in unfit {
            self.remove(&key);
        }
    }

    /// Takes out all entries.
    pub fn clear(&mut self) {
        self.must_be_here();
        self.live.clear();
        self.encoded = None;
        Tracking::note_clear(&mut self.tracking);
    }

    /// The entries in the order of their keys. With encoded ones it first decodes their keys.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, K, V> {
        had(self.try_iter())
    }

    /// The keys in order.
    pub fn keys(&self) -> impl Iterator<Item = Ref<'_, K>> {
        self.iter().map(|(key, _)| key)
    }

    /// The values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = Ref<'_, V>> {
        self.iter().map(|(_, value)| value)
    }

    pub(super) fn try_iter(&self) -> Result<Iter<'_, K, V>, String> {
        self.must_be_here();
        Iter::new::<C>(self.live.iter(), self.encoded.as_ref())
    }

    fn make_live<Q: Serialize + ?Sized>(&mut self, key: &Q) {
        if let Some((key, value)) = self.take_encoded(key) {
            self.live.insert(key, value);
        }
    }

    fn take_encoded<Q: Serialize + ?Sized>(&mut self, key: &Q) -> Option<(K, V)> {
        self.must_be_here();
        let encoded = self.encoded.as_mut()?;
        let at = encoded.find::<C, Q>(key)?;
        Some(had(encoded.take::<C, K>(at)))
    }

    /// Entries that are asked for where there is only a number: an answer would be wrong.
    pub(super) fn must_be_here(&self) {
        if self.stands_for.is_some() {
            walk::fault("a conversion looks at the entries that `convert_back` gave: look at those of the newer state");
        }
    }
}

/// R14: an entry that cannot be had is a trap.
fn had<T>(result: Result<T, String>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

impl<K: Key, V, C: Codec> Default for Map<K, V, C> {
    fn default() -> Self {
        Self::of(BTreeMap::new(), None)
    }
}

impl<K: Key + fmt::Debug, V: fmt::Debug, C: Codec> fmt::Debug for Map<K, V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Key, V: PartialEq, C: Codec> PartialEq for Map<K, V, C> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<K: Key, V, C: Codec> FromIterator<(K, V)> for Map<K, V, C> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self::of(entries.into_iter().collect(), None)
    }
}

impl<K: Key, V, C: Codec> From<BTreeMap<K, V>> for Map<K, V, C> {
    fn from(entries: BTreeMap<K, V>) -> Self {
        Self::of(entries, None)
    }
}

impl<K: Key, V, C: Codec> Extend<(K, V)> for Map<K, V, C> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<'a, K: Key, V, C: Codec> IntoIterator for &'a Map<K, V, C> {
    type Item = (Ref<'a, K>, Ref<'a, V>);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}
