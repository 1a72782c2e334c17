//! The state as 1.0.0 wrote it, and the way up and down.

use wasmhot_guest::{Cell, Map, Vector};

use crate::{Entry, Settings, State};

#[wasmhot_guest::state]
pub(crate) struct StateV1 {
    entries: Map<String, EntryV1>,
    log: Vector<String>,
    settings: Cell<Settings>,
    total: u64,
}

/// No note yet.
#[wasmhot_guest::state]
pub(crate) struct EntryV1 {
    count: u64,
    name: String,
    rank: i32,
    weight: f64,
    active: bool,
}

impl TryFrom<EntryV1> for Entry {
    type Error = String;

    fn try_from(old: EntryV1) -> Result<Self, String> {
        if old.rank == i32::MIN {
            return Err(format!("the rank {} is none", old.rank));
        }
        Ok(Self {
            count: old.count,
            name: old.name,
            rank: old.rank,
            weight: old.weight,
            active: old.active,
            note: "from 1.0".into(),
        })
    }
}

impl From<&Entry> for EntryV1 {
    fn from(entry: &Entry) -> Self {
        Self {
            count: entry.count,
            name: entry.name.clone(),
            rank: entry.rank,
            weight: entry.weight,
            active: entry.active,
        }
    }
}

impl From<StateV1> for State {
    fn from(old: StateV1) -> Self {
        Self {
            entries: old.entries.convert(),
            log: old.log,
            settings: old.settings,
            total: old.total,
        }
    }
}

impl From<&State> for StateV1 {
    fn from(state: &State) -> Self {
        Self {
            entries: state.entries.convert_back(),
            log: state.log.clone(),
            settings: state.settings.clone(),
            total: state.total,
        }
    }
}
