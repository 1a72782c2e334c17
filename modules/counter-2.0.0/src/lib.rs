//! A counter, version 2.0.0: its value has another name and another type, and there is one function more.

mod ledger;
mod older;

pub use ledger::Ledger;
use older::{StateV1, StateV1_1};
use wasmhot_guest::Stateful;

/// What an upgrade hands over.
#[wasmhot_guest::state]
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The value: `count` in older versions.
    pub value: Signed,
    /// What is counted.
    pub label: String,
    /// The calls.
    pub ledger: Ledger,
}

/// A number as sign and magnitude: wider than the `i64` of older versions, so that the way back may fail.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signed {
    /// Below zero.
    pub negative: bool,
    /// Without its sign.
    pub magnitude: u64,
}

impl From<i64> for Signed {
    fn from(value: i64) -> Self {
        Self {
            negative: value < 0,
            magnitude: value.unsigned_abs(),
        }
    }
}

impl TryFrom<&Signed> for i64 {
    type Error = String;

    fn try_from(value: &Signed) -> Result<Self, String> {
        let signed = if value.negative {
            -i128::from(value.magnitude)
        } else {
            i128::from(value.magnitude)
        };
        Self::try_from(signed).map_err(|_| format!("{signed} is too large for older versions"))
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            value: Signed::default(),
            label: "count".into(),
            ledger: Ledger::default(),
        }
    }
}

impl State {
    fn get(&self) -> i64 {
        i64::try_from(&self.value).unwrap_or(i64::MAX)
    }
}

struct Counter;

wasmhot_guest::module! {
    name: "counter",
    kind: single,
    world: "counter",
    exports: Counter,
    state: State,
    reads: { "~1.0" => StateV1, "~1.1" => StateV1_1 },
    writes: { "~1.0" => StateV1, "~1.1" => StateV1_1 },
    health: check,
}

fn check(state: &State) -> Result<(), String> {
    let sum: u64 = state.ledger.clients.values().sum();
    if sum == state.ledger.total {
        Ok(())
    } else {
        Err(format!("{sum} calls of clients, {} in total", state.ledger.total))
    }
}

impl bindings::Guest for Counter {
    fn increment(by: i64) -> i64 {
        State::with_mut(|state| {
            let value = state.get().wrapping_add(by);
            state.value = value.into();
            value
        })
    }

    fn get() -> i64 {
        State::with(State::get)
    }

    fn describe() -> String {
        State::with(|state| format!("{} = {}", state.label, state.get()))
    }

    fn version() -> String {
        State::VERSION.into()
    }

    fn record(client: String, sequence: u64) -> Result<u64, String> {
        State::with_mut(|state| state.ledger.record(client, sequence))
    }

    fn total() -> u64 {
        State::with(|state| state.ledger.total)
    }

    fn last(client: String) -> u64 {
        State::with(|state| state.ledger.last(&client))
    }

    fn clients() -> Vec<String> {
        State::with(|state| state.ledger.clients.keys().cloned().collect())
    }
}
