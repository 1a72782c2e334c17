//! The state as 1.0.0 wrote it.

use crate::State;

/// No note yet.
#[wasmhot_guest::state]
pub(crate) struct StateV1 {
    count: u64,
}

impl From<StateV1> for State {
    fn from(old: StateV1) -> Self {
        Self {
            count: old.count,
            ..Self::default()
        }
    }
}

impl From<&State> for StateV1 {
    fn from(state: &State) -> Self {
        Self { count: state.count }
    }
}
