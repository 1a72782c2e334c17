//! Containers for large states: a map, a sequence and a single value that an upgrade hands over in chunks, while the old version serves.
//!
//! An author writes the types and nothing else. A container notes what changes while it is handed over. In the new version its entries
//! stay encoded, as they came, until they are touched: taking over a million of them takes no longer than receiving the bytes, and a
//! conversion ([`Map::convert`]) is done entry by entry, when it is needed. That every entry *can* be converted is found before the
//! switch: the rehearsal saves the new state once, and `save` converts all.
//!
//! ```ignore
//! #[wasmhot_guest::state]
//! #[derive(Default)]
//! pub struct State {
//!     stock: Map<String, Item>,
//!     total: u64, // goes with each head: keep what is plain small
//! }
//!
//! wasmhot_guest::module! { state: State, incremental: true, reads: { "~1.0" => StateV1 }, writes: { "~1.0" => StateV1 } }
//!
//! impl From<StateV1> for State {
//!     fn from(old: StateV1) -> Self {
//!         Self { stock: old.stock.convert(), total: old.total } // Item: From<ItemV1>, or TryFrom
//!     }
//! }
//!
//! impl From<&State> for StateV1 {
//!     fn from(state: &State) -> Self {
//!         Self { stock: state.stock.convert_back(), total: state.total } // ItemV1: From<&Item>, or TryFrom
//!     }
//! }
//! ```
//!
//! In a whole state (`save`, `migrate`, fixtures) a [`Map`] is written as a map, a [`Vector`] as a sequence, a [`Cell`] as its value:
//! as `BTreeMap`, `Vec` and the value itself would be, so a module may change from those to these without another format.
//!
//! ```
//! use wasmhot_guest::{Cell, Map, Vector};
//!
//! let mut stock: Map<String, u32> = Map::new();
//! stock.insert("apple".into(), 3);
//! *stock.get_or_insert_with("pear".into(), || 0) += 2;
//! assert_eq!(stock.get("apple").as_deref(), Some(&3));
//! assert_eq!(stock.keys().map(|key| key.clone()).collect::<Vec<_>>(), ["apple", "pear"]);
//!
//! let mut log: Vector<String> = Vector::new();
//! log.push("opened".into());
//! let mut name = Cell::new(String::from("shop"));
//! name.update(|name| name.push('!'));
//! assert_eq!((log.len(), name.get().as_str()), (1, "shop!"));
//! ```

mod cell;
mod convert;
mod encoded;
mod iter;
mod map;
mod placed;
mod track;
mod vector;

pub use cell::Cell;
pub use iter::Iter;
pub use map::Map;
pub use vector::Vector;

use std::fmt;
use std::ops::Deref;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What can be a key: ordered, and written in the format of the state. Every type that fits is one.
pub trait Key: Ord + Clone + Serialize + DeserializeOwned {}

impl<K: Ord + Clone + Serialize + DeserializeOwned> Key for K {}

/// A value of a container to look at: the value itself, or one that was decoded now.
pub enum Ref<'a, T> {
    /// It lies in the container.
    Live(&'a T),
    /// It lies there encoded.
    Decoded(T),
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Live(value) => value,
            Self::Decoded(value) => value,
        }
    }
}

impl<T: Clone> Ref<'_, T> {
    /// The value, copied if it must be.
    pub fn into_owned(self) -> T {
        match self {
            Self::Live(value) => value.clone(),
            Self::Decoded(value) => value,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Ref<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

/// `the entry "a" of the map of shop::Item: …`.
fn cannot<K: Serialize, V>(key: &K, error: &str) -> String {
    let key = serde_json::to_string(key).unwrap_or_else(|_| "?".into());
    format!("the entry {key} of the map of {}: {error}", std::any::type_name::<V>())
}
