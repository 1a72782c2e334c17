//! A single value: a map with one entry.
//!
//! Invariant: the entry is there, but in what stands for a container.

use std::fmt;
use std::fmt::Display;

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::chunks::walk;
use crate::codec::{Cbor, Codec};

use super::encoded::Encoded;
use super::placed::{self, Read};
use super::{Map, Ref};

/// The key of the one entry.
const ONLY: u8 = 0;

/// A single large value: it is given again only when it has changed, and decoded only when it is asked for. See [the
/// containers](crate::containers).
///
/// `C` is the format of the value. One that came encoded and cannot be decoded makes the function that touches it panic.
pub struct Cell<T, C = Cbor> {
    value: Map<u8, T, C>,
}

impl<T> Cell<T> {
    /// A cell with this value. One of another format is made by `from`.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self::from(value)
    }
}

impl<T, C: Codec> From<T> for Cell<T, C> {
    fn from(value: T) -> Self {
        Self {
            value: Map::from_iter([(ONLY, value)]),
        }
    }
}

impl<T, C: Codec> Cell<T, C> {
    /// The value. One that is still encoded is decoded, and stays encoded.
    ///
    /// # Panics
    /// If it cannot be decoded or converted.
    #[must_use]
    pub fn get(&self) -> Ref<'_, T> {
        match self.value.get(&ONLY) {
            Some(value) => value,
            None => panic!("a conversion looks at a cell that `convert_back` gave: look at that of the newer state"),
        }
    }

    /// Puts another value in.
    pub fn set(&mut self, value: T) {
        self.value.insert(ONLY, value);
    }

    /// Changes the value.
    ///
    /// # Panics
    /// If it cannot be decoded or converted.
    pub fn update<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        match self.value.update(&ONLY, change) {
            Some(result) => result,
            None => panic!("a conversion changes a cell that `convert_back` gave: do that to the newer state"),
        }
    }
}

impl<T: 'static, C: Codec + 'static> Cell<T, C> {
    /// As [`Map::convert`].
    #[must_use]
    pub fn convert<W: TryFrom<T, Error: Display> + 'static>(self) -> Cell<W, C> {
        self.convert_with(W::try_from)
    }

    /// As [`Map::convert_with`].
    #[must_use]
    pub fn convert_with<W: 'static, E: Display>(self, convert: impl Fn(T) -> Result<W, E> + 'static) -> Cell<W, C> {
        Cell {
            value: self.value.convert_with(convert),
        }
    }

    /// As [`Map::convert_back`].
    #[must_use]
    pub fn convert_back<W>(&self) -> Cell<W, C>
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
    ) -> Cell<W, C> {
        Cell {
            value: self.value.convert_back_with(convert),
        }
    }
}

impl<T: Default, C: Codec> Default for Cell<T, C> {
    fn default() -> Self {
        Self::from(T::default())
    }
}

impl<T: Clone + Serialize + 'static, C: Codec + 'static> Clone for Cell<T, C> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
        }
    }
}

impl<T: fmt::Debug, C: Codec> fmt::Debug for Cell<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cell").field(&self.get()).finish()
    }
}

impl<T: PartialEq, C: Codec> PartialEq for Cell<T, C> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

/// The value itself.
struct Plain<'a, T, C>(&'a Map<u8, T, C>);

impl<T: Serialize, C: Codec> Serialize for Plain<'_, T, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let told = |error: String| {
            walk::note(&error);
            serde::ser::Error::custom(error)
        };
        match self.0.try_iter().map_err(told)?.try_next() {
            Some(entry) => entry.map_err(told)?.1.serialize(serializer),
            None => Err(told("the cell is empty".into())),
        }
    }
}

impl<T: Serialize + 'static, C: Codec + 'static> Serialize for Cell<T, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        placed::write(self.value.part(), &Plain(&self.value), serializer)
    }
}

impl<'de, T: DeserializeOwned + 'static, C: Codec + 'static> Deserialize<'de> for Cell<T, C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = match placed::read::<T, D>(deserializer)? {
            Read::Plain(value) => return Ok(Self::from(value)),
            Read::Table(table) => Map::of(Default::default(), Some(Encoded::new::<C>(table))),
        };
        if value.len() == 1 && value.contains_key(&ONLY) {
            return Ok(Self { value });
        }
        Err(de::Error::custom("no value came for a cell"))
    }
}
