//! A sequence: a map from positions.
//!
//! Invariant: its keys are 0, 1, 2 …

use std::fmt;
use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::chunks::walk;
use crate::codec::{Cbor, Codec};

use super::encoded::Encoded;
use super::placed::{self, Read};
use super::{Map, Ref};

/// A sequence that grows and shrinks at its end, for states with many values. See [the containers](crate::containers).
///
/// `C` is the format of its values. One that came encoded and cannot be decoded makes the function that touches it panic.
pub struct Vector<T, C = Cbor> {
    values: Map<u64, T, C>,
}

impl<T> Vector<T> {
    /// An empty sequence. One of another format is made by `default`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T, C: Codec> Vector<T, C> {
    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value at a position.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<Ref<'_, T>> {
        self.values.get(&(at as u64))
    }

    /// The last value.
    #[must_use]
    pub fn last(&self) -> Option<Ref<'_, T>> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The value at a position, to be changed. It counts as changed.
    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.values.get_mut(&(at as u64))
    }

    /// Puts a value in the place of another, and gives that one.
    ///
    /// # Panics
    /// If there is none at this position.
    pub fn set(&mut self, at: usize, value: T) -> T {
        let length = self.len();
        match self.get_mut(at) {
            Some(old) => std::mem::replace(old, value),
            None => panic!("no position {at} in a vector of {length}"),
        }
    }

    /// Adds a value at the end.
    pub fn push(&mut self, value: T) {
        self.values.insert(self.len() as u64, value);
    }

    /// Takes the last value out.
    pub fn pop(&mut self) -> Option<T> {
        self.values.remove(&(self.len() as u64).checked_sub(1)?)
    }

    /// Takes out all values from a position on.
    pub fn truncate(&mut self, length: usize) {
        while self.len() > length && self.pop().is_some() {}
    }

    /// Takes out all values.
    pub fn clear(&mut self) {
        self.values.clear();
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = Ref<'_, T>> {
        self.values.values()
    }
}

impl<T: 'static, C: Codec + 'static> Vector<T, C> {
    /// As [`Map::convert`].
    #[must_use]
    pub fn convert<W: TryFrom<T, Error: Display> + 'static>(self) -> Vector<W, C> {
        self.convert_with(W::try_from)
    }

    /// As [`Map::convert_with`].
    #[must_use]
    pub fn convert_with<W: 'static, E: Display>(self, convert: impl Fn(T) -> Result<W, E> + 'static) -> Vector<W, C> {
        Vector {
            values: self.values.convert_with(convert),
        }
    }

    /// As [`Map::convert_back`].
    #[must_use]
    pub fn convert_back<W>(&self) -> Vector<W, C>
    where
        W: for<'a> TryFrom<&'a T, Error: Display> + Serialize + 'static,
    {
        self.convert_back_with(|value| W::try_from(value).map_err(|error| error.to_string()))
    }

    /// As [`Map::convert_back_with`].
    #[must_use]
    pub fn convert_back_with<W: Serialize + 'static, E: Display>(
        &self,
        convert: impl Fn(&T) -> Result<W, E> + 'static,
    ) -> Vector<W, C> {
        Vector {
            values: self.values.convert_back_with(convert),
        }
    }
}

impl<T, C: Codec> Default for Vector<T, C> {
    fn default() -> Self {
        Self { values: Map::default() }
    }
}

impl<T: Clone + Serialize + 'static, C: Codec + 'static> Clone for Vector<T, C> {
    fn clone(&self) -> Self {
        Self {
            values: self.values.clone(),
        }
    }
}

impl<T: fmt::Debug, C: Codec> fmt::Debug for Vector<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: PartialEq, C: Codec> PartialEq for Vector<T, C> {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl<T, C: Codec> FromIterator<T> for Vector<T, C> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self {
            values: (0..).zip(values).collect(),
        }
    }
}

impl<T, C: Codec> Extend<T> for Vector<T, C> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        for value in values {
            self.push(value);
        }
    }
}

/// With all its values.
struct Plain<'a, T, C>(&'a Map<u64, T, C>);

impl<T: Serialize, C: Codec> Serialize for Plain<'_, T, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let told = |error: String| {
            walk::note(&error);
            serde::ser::Error::custom(error)
        };
        let mut entries = self.0.try_iter().map_err(told)?;
        let mut sequence = serializer.serialize_seq(Some(entries.len()))?;
        while let Some(entry) = entries.try_next() {
            let (_, value) = entry.map_err(told)?;
            sequence.serialize_element(&*value)?;
        }
        sequence.end()
    }
}

impl<T: Serialize + 'static, C: Codec + 'static> Serialize for Vector<T, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        placed::write(self.values.part(), &Plain(&self.values), serializer)
    }
}

impl<'de, T: DeserializeOwned + 'static, C: Codec + 'static> Deserialize<'de> for Vector<T, C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match placed::read::<Vec<T>, D>(deserializer)? {
            Read::Plain(values) => values.into_iter().collect(),
            Read::Table(table) => Self {
                values: Map::of(Default::default(), Some(Encoded::new::<C>(table))),
            },
        })
    }
}
