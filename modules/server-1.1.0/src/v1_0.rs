//! The state as 1.0.0 wrote it: amounts without a currency.

use std::collections::BTreeMap;

use wasmhot_guest::Change;

use crate::State;

/// No currency yet.
#[wasmhot_guest::state]
pub(crate) struct StateV1 {
    donors: BTreeMap<String, u64>,
    total: u64,
}

/// Nobody but the operator knows in which currency the old amounts are: there is no default.
pub(crate) fn with_currency(old: StateV1, change: &Change) -> Result<State, String> {
    let currency = change.extra["currency"]
        .as_str()
        .ok_or(r#"give the currency: extra = { currency = "USD" }"#)?;
    Ok(State {
        donors: old.donors,
        total: old.total,
        currency: currency.into(),
    })
}

impl From<&State> for StateV1 {
    fn from(state: &State) -> Self {
        Self {
            donors: state.donors.clone(),
            total: state.total,
        }
    }
}
