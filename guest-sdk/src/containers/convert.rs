//! From the entries of one version to those of another, both ways, without looking at all of them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::rc::Rc;

use serde::Serialize;

use crate::chunks::walk::{self, Mode};
use crate::codec::Codec;

use super::encoded::Encoded;
use super::track::Write;
use super::{Key, Map, cannot};

impl<K: Key, V: 'static, C: Codec + 'static> Map<K, V, C> {
    /// The same entries with values of a newer type: `entries: old.entries.convert()`.
    ///
    /// Encoded entries stay so, and are converted when they are touched; others are converted now. In a `From` or `TryFrom` between
    /// states one that cannot be converted makes the reading fail; anywhere else, it panics.
    #[must_use]
    pub fn convert<W: TryFrom<V, Error: Display> + 'static>(self) -> Map<K, W, C> {
        self.convert_with(W::try_from)
    }

    /// [`Map::convert`] with a function.
    #[must_use]
    pub fn convert_with<W: 'static, E: Display>(self, convert: impl Fn(V) -> Result<W, E> + 'static) -> Map<K, W, C> {
        self.must_be_here();
        let mut live = BTreeMap::new();
        for (key, value) in self.live {
            match convert(value) {
                Ok(value) => {
                    live.insert(key, value);
                }
                Err(error) => walk::fault(&cannot::<K, W>(&key, &error.to_string())),
            }
        }
        let encoded = self.encoded.map(|Encoded { table, decode, .. }| Encoded {
            table,
            decode: Rc::new(move |bytes: &[u8]| convert(decode(bytes)?).map_err(|error| error.to_string())),
            own: false,
        });
        Map::of(live, encoded)
    }

    /// The same entries with values of an older type, for the way back: `entries: state.entries.convert_back()`.
    ///
    /// While a state is handed over in chunks nothing is converted here: what is given stands for this container, and cannot be
    /// looked at. An entry that cannot be converted makes the saving fail; where nothing is saved, it panics.
    #[must_use]
    pub fn convert_back<W>(&self) -> Map<K, W, C>
    where
        W: for<'a> TryFrom<&'a V, Error: Display> + Serialize + 'static,
    {
        self.convert_back_with(|value| W::try_from(value).map_err(|error| error.to_string()))
    }

    /// [`Map::convert_back`] with a function.
    #[must_use]
    pub fn convert_back_with<W: Serialize + 'static, E: Display>(
        &self,
        convert: impl Fn(&V) -> Result<W, E> + 'static,
    ) -> Map<K, W, C> {
        let convert = Rc::new(convert);
        let each = Rc::clone(&convert);
        let write: Write<V> =
            Rc::new(move |value, bytes| C::encode_into(&each(value).map_err(|error| error.to_string())?, bytes));
        self.back(write, false, || self.convert_all(&*convert))
    }

    /// What stands for this container, where there is a head of an older version to be made; else all entries.
    fn back<W>(&self, write: Write<V>, own: bool, all: impl FnOnce() -> Result<Map<K, W, C>, String>) -> Map<K, W, C> {
        self.must_be_here();
        let number = walk::visit(|mode| match mode {
            Mode::Head(head) if head.session.older => self.enlist(head, write, own),
            _ => Ok(None),
        });
        let map = match number {
            Ok(None) => walk::visit(|_| all()),
            Ok(stands_for) => Ok(Map {
                stands_for,
                ..Map::default()
            }),
            Err(error) => Err(error),
        };
        map.unwrap_or_else(|error| {
            walk::fault(&error);
            Map::default()
        })
    }

    fn convert_all<W, E: Display>(&self, convert: impl Fn(&V) -> Result<W, E>) -> Result<Map<K, W, C>, String> {
        let mut entries = self.try_iter()?;
        let mut live = BTreeMap::new();
        while let Some(entry) = entries.try_next() {
            let (key, value) = entry?;
            let value = convert(&value).map_err(|error| cannot::<K, V>(&key, &error.to_string()))?;
            live.insert(key.into_owned(), value);
        }
        Ok(Map::of(live, None))
    }
}

/// The copy is another container: it is not part of a hand-over that has begun. In a conversion to an older version it is what
/// [`Map::convert_back`] gives.
impl<K: Key, V: Clone + Serialize + 'static, C: Codec + 'static> Clone for Map<K, V, C> {
    fn clone(&self) -> Self {
        self.back(Rc::new(C::encode_into::<V>), true, || {
            Ok(Self::of(self.live.clone(), self.encoded.clone()))
        })
    }
}
