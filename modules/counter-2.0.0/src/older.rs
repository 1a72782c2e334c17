//! The states as 1.0.0 and 1.1.0 wrote them, and the way up and down, one step after the other.

use crate::{Ledger, Signed, State};

/// 1.0.0: no label yet.
#[wasmhot_guest::state]
pub(crate) struct StateV1 {
    count: i64,
    ledger: Ledger,
}

/// 1.1.0: a plain number.
#[wasmhot_guest::state]
pub(crate) struct StateV1_1 {
    count: i64,
    label: String,
    ledger: Ledger,
}

impl From<StateV1> for StateV1_1 {
    fn from(old: StateV1) -> Self {
        Self {
            count: old.count,
            label: "count".into(),
            ledger: old.ledger,
        }
    }
}

impl From<StateV1_1> for State {
    fn from(old: StateV1_1) -> Self {
        Self {
            value: Signed::from(old.count),
            label: old.label,
            ledger: old.ledger,
        }
    }
}

wasmhot_guest::migrate_from!(StateV1 => StateV1_1 => State);

impl TryFrom<&State> for StateV1_1 {
    type Error = String;

    fn try_from(state: &State) -> Result<Self, String> {
        let count = i64::try_from(&state.value)?;
        Ok(Self {
            count,
            label: state.label.clone(),
            ledger: state.ledger.clone(),
        })
    }
}

impl TryFrom<&State> for StateV1 {
    type Error = String;

    fn try_from(state: &State) -> Result<Self, String> {
        let StateV1_1 { count, ledger, .. } = StateV1_1::try_from(state)?;
        Ok(Self { count, ledger })
    }
}
