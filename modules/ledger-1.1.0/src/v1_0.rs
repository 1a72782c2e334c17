//! The state as 1.0.0 wrote it.

use crate::{Entry, State};
use wasmhot_guest::Map;

#[wasmhot_guest::state]
pub(crate) struct StateV1 {
    entries: Map<String, EntryV1>,
}

#[wasmhot_guest::state]
struct EntryV1 {
    id: u64,
    name: String,
    quantity: i32,
    price: f64,
    active: bool,
}

impl From<StateV1> for State {
    fn from(old: StateV1) -> Self {
        Self {
            entries: old.entries.convert(),
        }
    }
}

impl From<EntryV1> for Entry {
    fn from(old: EntryV1) -> Self {
        Self {
            id: old.id,
            name: old.name,
            quantity: old.quantity,
            price: old.price,
            active: old.active,
            discount: 0,
        }
    }
}

impl From<&State> for StateV1 {
    fn from(state: &State) -> Self {
        Self {
            entries: state.entries.convert_back(),
        }
    }
}

impl From<&Entry> for EntryV1 {
    fn from(entry: &Entry) -> Self {
        Self {
            id: entry.id,
            name: entry.name.clone(),
            quantity: entry.quantity,
            price: entry.price,
            active: entry.active,
        }
    }
}
