//! The entries of a container that nobody has touched since they came, and the way from their bytes to a value.

use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::chunks::table::{At, Table};
use crate::codec::Codec;

use super::{Key, cannot};

/// From the bytes of a value to the value; after conversions, through all of them.
pub(super) type Decode<V> = Rc<dyn Fn(&[u8]) -> Result<V, String>>;

pub(super) struct Encoded<V> {
    pub(super) table: Table,
    pub(super) decode: Decode<V>,
    /// No conversion lies between: the bytes are what `V` would be written as.
    pub(super) own: bool,
}

impl<V> Clone for Encoded<V> {
    fn clone(&self) -> Self {
        Self {
            table: self.table.clone(),
            decode: Rc::clone(&self.decode),
            own: self.own,
        }
    }
}

impl<V: DeserializeOwned + 'static> Encoded<V> {
    pub(super) fn new<C: Codec + 'static>(table: Table) -> Self {
        Self {
            table,
            decode: Rc::new(C::decode::<V>),
            own: true,
        }
    }
}

impl<V> Encoded<V> {
    /// Where the entry of this key stands.
    pub(super) fn find<C: Codec, Q: Serialize + ?Sized>(&self, key: &Q) -> Option<At> {
        if self.table.len() == 0 {
            return None;
        }
        // What cannot be written was not written.
        self.table.find(&C::encode(&key).ok()?)
    }

    pub(super) fn key<C: Codec, K: Key>(&self, at: At) -> Result<K, String> {
        let (key, _, _) = self.table.entry(at);
        C::decode(key).map_err(|error| format!("a key of the map of {}: {error}", std::any::type_name::<V>()))
    }

    pub(super) fn value<K: Serialize>(&self, key: &K, at: At) -> Result<V, String> {
        let (_, value, _) = self.table.entry(at);
        (self.decode)(value).map_err(|error| cannot::<K, V>(key, &error))
    }

    /// The entry, which is one of these no longer.
    pub(super) fn take<C: Codec, K: Key>(&mut self, at: At) -> Result<(K, V), String> {
        let key = self.key::<C, K>(at)?;
        let value = self.value(&key, at)?;
        let (bytes, _, _) = self.table.entry(at);
        let bytes = bytes.to_vec();
        self.table.remove(&bytes);
        Ok((key, value))
    }
}
