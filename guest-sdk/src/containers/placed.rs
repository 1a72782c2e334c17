//! How containers are serialised: plain in a whole state; in a head as a number, or with their entries where there is none.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::de::{self, DeserializeOwned};
use serde::ser::{self, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::chunks::table::Table;
use crate::chunks::walk::{self, Mode};
use crate::codec::Codec;

use super::encoded::Encoded;
use super::{Key, Map};

/// A container in a head.
#[derive(Serialize, Deserialize)]
enum Placed<T> {
    Container(u32),
    Inline(T),
}

/// What a container is written as.
pub(super) enum As {
    Plain,
    Container(u32),
    Inline,
}

/// Writes a container as what its part in the walk has given.
pub(super) fn write<T: Serialize, S: Serializer>(
    written: Result<As, String>,
    plain: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match written {
        Ok(As::Plain) => plain.serialize(serializer),
        Ok(As::Container(number)) => Placed::<()>::Container(number).serialize(serializer),
        Ok(As::Inline) => walk::visit(|_| Placed::Inline(plain).serialize(serializer)),
        Err(error) => Err(told(&error)),
    }
}

fn told<E: ser::Error>(error: &str) -> E {
    walk::note(error);
    E::custom(error)
}

/// What a container was read as.
pub(super) enum Read<T> {
    Plain(T),
    Table(Table),
}

pub(super) fn read<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<Read<T>, D::Error> {
    if !walk::reads() {
        return T::deserialize(deserializer).map(Read::Plain);
    }
    match Placed::<Inside<T>>::deserialize(deserializer)? {
        Placed::Inline(Inside(plain)) => Ok(Read::Plain(plain)),
        Placed::Container(number) => {
            let table = walk::visit(|mode| match mode {
                Mode::Read(given) => given.take(number),
                _ => Err("the walk was lost".into()),
            });
            table.map(Read::Table).map_err(de::Error::custom)
        }
    }
}

/// What is in a container has no places for others.
struct Inside<T>(T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Inside<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        walk::visit(|_| T::deserialize(deserializer).map(Self))
    }
}

impl<K: Key, V: Serialize + 'static, C: Codec + 'static> Map<K, V, C> {
    /// Its part in the walk that is on.
    pub(super) fn part(&self) -> Result<As, String> {
        walk::visit(|mode| match (mode, self.stands_for) {
            (Mode::Head(_), Some(number)) => Ok(As::Container(number)),
            (_, Some(_)) => Err("what `convert_back` gave was kept: it is of use in that conversion only".into()),
            (Mode::Whole | Mode::Read(_), None) => Ok(As::Plain),
            // The state of the older version is made anew for each head: only what `convert_back` gave has a number.
            (Mode::Head(head), None) if head.session.older => Ok(As::Inline),
            (Mode::Head(head), None) => match self.enlist(head, Rc::new(C::encode_into::<V>), true)? {
                Some(number) => Ok(As::Container(number)),
                None => Err("one container is written twice".into()),
            },
            (Mode::Chunk(chunk), None) => self.give(chunk).map(|()| As::Container(0)),
            (Mode::Count(count), None) => {
                count.bytes += self.left(&count.session);
                Ok(As::Container(0))
            }
            (Mode::Check, None) => self.check().map(|()| As::Container(0)),
        })
    }
}

impl<K: Key, V, C: Codec> Map<K, V, C> {
    /// Whether what came in the rest can be decoded.
    fn check(&self) -> Result<(), String> {
        let Some(encoded) = &self.encoded else { return Ok(()) };
        for at in encoded.table.of_the_rest() {
            let key = encoded.key::<C, K>(at)?;
            encoded.value(&key, at)?;
        }
        Ok(())
    }
}

/// With all its entries.
struct Plain<'a, K, V, C>(&'a Map<K, V, C>);

impl<K: Key, V: Serialize, C: Codec> Serialize for Plain<'_, K, V, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries = self.0.try_iter().map_err(|error| told::<S::Error>(&error))?;
        let mut map = serializer.serialize_map(Some(entries.len()))?;
        while let Some(entry) = entries.try_next() {
            let (key, value) = entry.map_err(|error| told::<S::Error>(&error))?;
            map.serialize_entry(&*key, &*value)?;
        }
        map.end()
    }
}

impl<K: Key, V: Serialize + 'static, C: Codec + 'static> Serialize for Map<K, V, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(self.part(), &Plain(self), serializer)
    }
}

impl<'de, K: Key, V: DeserializeOwned + 'static, C: Codec + 'static> Deserialize<'de> for Map<K, V, C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match read::<BTreeMap<K, V>, D>(deserializer)? {
            Read::Plain(live) => Self::of(live, None),
            Read::Table(table) => Self::of(BTreeMap::new(), Some(Encoded::new::<C>(table))),
        })
    }
}
