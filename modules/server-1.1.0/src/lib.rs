//! Takes donations, version 1.1.0: in a currency, which the relup gives (`extra = { currency = "USD" }`).

mod v1_0;

use std::collections::BTreeMap;

use bindings::donations::app::calculator;
use v1_0::StateV1;
use wasmhot_guest::Stateful;

/// What an upgrade hands over.
#[wasmhot_guest::state]
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// What each gave, after fees.
    pub donors: BTreeMap<String, u64>,
    /// What all gave, after fees.
    pub total: u64,
    /// Of all amounts. New in 1.1.0.
    pub currency: String,
}

impl Default for State {
    fn default() -> Self {
        Self {
            donors: BTreeMap::new(),
            total: 0,
            currency: "EUR".into(),
        }
    }
}

struct Server;

wasmhot_guest::module! {
    name: "server",
    world: "server",
    exports: Server,
    state: State,
    reads: { "~1.0" => StateV1 via v1_0::with_currency },
    writes: { "~1.0" => StateV1 },
    health: check,
}

/// It does not call the calculator: during a health check other modules are out of reach.
fn check(state: &State) -> Result<(), String> {
    let sum: u64 = state.donors.values().sum();
    if sum == state.total {
        Ok(())
    } else {
        Err(format!("{sum} from donors, {} in total", state.total))
    }
}

impl bindings::Guest for Server {
    fn donate(name: String, amount: u64) -> Result<u64, String> {
        if amount == 0 {
            return Err("a donation of nothing".into());
        }
        // Asked before the state is borrowed: a call may take long.
        let currency = State::with(|state| state.currency.clone());
        let fee = calculator::calculate(amount, &currency);
        State::with_mut(|state| {
            let net = amount.saturating_sub(fee);
            *state.donors.entry(name).or_default() += net;
            state.total += net;
            Ok(state.total)
        })
    }

    fn total() -> u64 {
        State::with(|state| state.total)
    }

    fn donors() -> Vec<String> {
        State::with(|state| {
            state
                .donors
                .iter()
                .map(|(name, amount)| format!("{name}: {amount}"))
                .collect()
        })
    }

    fn version() -> String {
        State::VERSION.into()
    }
}
