//! The state as 1.0.0 wrote it.

use crate::{Ledger, State};

/// No label yet.
#[wasmhot_guest::state]
pub(crate) struct StateV1 {
    count: i64,
    ledger: Ledger,
}

impl From<StateV1> for State {
    fn from(old: StateV1) -> Self {
        Self {
            count: old.count,
            ledger: old.ledger,
            ..Self::default()
        }
    }
}

impl From<&State> for StateV1 {
    fn from(state: &State) -> Self {
        Self {
            count: state.count,
            ledger: state.ledger.clone(),
        }
    }
}
