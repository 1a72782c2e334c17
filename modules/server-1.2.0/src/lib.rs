//! Takes donations, version 1.2.0: in any currency. So the one total became a total of each currency, what each gave likewise, and
//! `currency` became `main_currency`.

mod older;

use std::collections::BTreeMap;

use bindings::donations::app::calculator;
use older::{StateV1, StateV1_1};
use wasmhot_guest::Stateful;

/// Cents, by currency.
pub type Amounts = BTreeMap<String, u64>;

/// What an upgrade hands over.
#[wasmhot_guest::state]
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// What each gave, after fees. One amount in older versions.
    pub donors: BTreeMap<String, Amounts>,
    /// What all gave, after fees: `total`, one amount, in older versions.
    pub totals: Amounts,
    /// Of donations that name none: `currency` in 1.1.0.
    pub main_currency: String,
}

impl Default for State {
    fn default() -> Self {
        Self {
            donors: BTreeMap::new(),
            totals: Amounts::new(),
            main_currency: "EUR".into(),
        }
    }
}

impl State {
    /// Adds what is left of a donation, and gives the new total of its currency.
    fn add(&mut self, name: String, net: u64, currency: String) -> u64 {
        let given = self.donors.entry(name).or_default();
        *given.entry(currency.clone()).or_default() += net;
        let total = self.totals.entry(currency).or_default();
        *total += net;
        *total
    }

    /// What all gave in the main currency.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.totals.get(&self.main_currency).copied().unwrap_or(0)
    }

    /// `ann: 95, 20 CHF`: as in older versions, as long as there is one currency.
    fn describe(&self, name: &str, given: &Amounts) -> String {
        let main = given.get(&self.main_currency).copied().unwrap_or(0);
        let others = given.iter().filter(|(currency, _)| **currency != self.main_currency);
        let others: String = others
            .map(|(currency, amount)| format!(", {amount} {currency}"))
            .collect();
        format!("{name}: {main}{others}")
    }
}

struct Server;

wasmhot_guest::module! {
    name: "server",
    world: "server",
    exports: Server,
    state: State,
    reads: { "~1.0" => StateV1 via older::with_currency, "~1.1" => StateV1_1 },
    writes: { "~1.0" => StateV1 via older::without_currency, "~1.1" => StateV1_1 via older::in_one_currency },
    health: check,
}

/// It does not call the calculator: during a health check other modules are out of reach.
fn check(state: &State) -> Result<(), String> {
    let mut sums = Amounts::new();
    for (currency, amount) in state.donors.values().flatten() {
        *sums.entry(currency.clone()).or_default() += amount;
    }
    if sums == state.totals {
        Ok(())
    } else {
        Err(format!("{sums:?} from donors, {:?} in total", state.totals))
    }
}

fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

impl bindings::Guest for Server {
    fn donate(name: String, amount: u64) -> Result<u64, String> {
        let currency = State::with(|state| state.main_currency.clone());
        Self::donate_in(name, amount, currency)
    }

    fn donate_in(name: String, amount: u64, currency: String) -> Result<u64, String> {
        if amount == 0 {
            return Err("a donation of nothing".into());
        }
        if !is_currency(&currency) {
            return Err(format!("`{currency}` is not a currency such as EUR"));
        }
        // Asked before the state is borrowed: a call may take long.
        let fee = calculator::calculate(amount, &currency);
        let net = amount.saturating_sub(fee);
        Ok(State::with_mut(|state| state.add(name, net, currency)))
    }

    fn total() -> u64 {
        State::with(State::total)
    }

    fn totals() -> Vec<String> {
        State::with(|state| {
            let totals = state.totals.iter();
            totals
                .map(|(currency, amount)| format!("{currency}: {amount}"))
                .collect()
        })
    }

    fn donors() -> Vec<String> {
        State::with(|state| {
            let donors = state.donors.iter();
            donors.map(|(name, given)| state.describe(name, given)).collect()
        })
    }

    fn version() -> String {
        State::VERSION.into()
    }
}
