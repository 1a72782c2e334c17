//! The states as 1.0.0 and 1.1.0 wrote them, and the way up and down.
//!
//! Up, an amount becomes an amount of the one currency. Down, other currencies have no place: they are changed into the main one at
//! the rates that the relup gives for the way down, and without a rate the way down is refused. Nothing is dropped.

use std::collections::BTreeMap;

use wasmhot_guest::Change;

use crate::{Amounts, State};

/// 1.0.0: amounts without a currency.
#[wasmhot_guest::state]
pub(crate) struct StateV1 {
    donors: BTreeMap<String, u64>,
    total: u64,
}

/// 1.1.0: one currency.
#[wasmhot_guest::state]
pub(crate) struct StateV1_1 {
    donors: BTreeMap<String, u64>,
    total: u64,
    currency: String,
}

impl From<StateV1_1> for State {
    fn from(old: StateV1_1) -> Self {
        let StateV1_1 {
            donors,
            total,
            currency,
        } = old;
        let amounts = |amount| Amounts::from([(currency.clone(), amount)]);
        // Without donors there is no currency yet in which there could be a total.
        let totals = if donors.is_empty() {
            Amounts::new()
        } else {
            amounts(total)
        };
        Self {
            donors: donors
                .into_iter()
                .map(|(name, amount)| (name, amounts(amount)))
                .collect(),
            totals,
            main_currency: currency,
        }
    }
}

/// As 1.1.0 does it: nobody but the operator knows in which currency the amounts of 1.0.0 are.
pub(crate) fn with_currency(old: StateV1, change: &Change) -> Result<State, String> {
    let currency = change.extra["currency"]
        .as_str()
        .ok_or(r#"give the currency: extra = { currency = "USD" }"#)?;
    let StateV1 { donors, total } = old;
    let old = StateV1_1 {
        donors,
        total,
        currency: currency.into(),
    };
    Ok(old.into())
}

/// Each donor's amounts become one; the total is theirs, so that rounding cannot part the two.
pub(crate) fn in_one_currency(state: &State, change: &Change) -> Result<StateV1_1, String> {
    let mut donors = BTreeMap::new();
    for (name, given) in &state.donors {
        let mut sum = 0_u64;
        for (currency, amount) in given {
            sum += in_main_currency(state, currency, *amount, change)?;
        }
        donors.insert(name.clone(), sum);
    }
    Ok(StateV1_1 {
        total: donors.values().sum(),
        donors,
        currency: state.main_currency.clone(),
    })
}

pub(crate) fn without_currency(state: &State, change: &Change) -> Result<StateV1, String> {
    let StateV1_1 { donors, total, .. } = in_one_currency(state, change)?;
    Ok(StateV1 { donors, total })
}

/// Rates are thousandths, as is all that is counted here: `rates = { CHF = 1080 }` makes 108 of 100.
fn in_main_currency(state: &State, currency: &str, amount: u64, change: &Change) -> Result<u64, String> {
    let main = &state.main_currency;
    if currency == main {
        return Ok(amount);
    }
    let rate = change.extra["rates"][currency].as_u64().ok_or_else(|| {
        let to = &change.to;
        format!(
            "there are donations in {currency}, and {to} knows only {main}: give a rate in thousandths for the way down, \
             extra = {{ rates = {{ {currency} = 1080 }} }}"
        )
    })?;
    let exact = u128::from(amount) * u128::from(rate) / 1000;
    u64::try_from(exact).map_err(|_| format!("{amount} {currency} are too many {main}"))
}
