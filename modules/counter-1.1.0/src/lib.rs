//! A counter, version 1.1.0: the value has a label. The relup may give it (`extra = { label = "visits" }`).

mod ledger;
mod v1_0;

pub use ledger::Ledger;
use v1_0::StateV1;
use wasmhot_guest::{Change, Stateful};

/// What an upgrade hands over.
#[wasmhot_guest::state]
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The value.
    pub count: i64,
    /// What is counted. New in 1.1.0.
    pub label: String,
    /// The calls.
    pub ledger: Ledger,
}

impl Default for State {
    fn default() -> Self {
        Self {
            count: 0,
            label: "count".into(),
            ledger: Ledger::default(),
        }
    }
}

struct Counter;

wasmhot_guest::module! {
    name: "counter",
    kind: single,
    world: "counter",
    exports: Counter,
    state: State,
    reads: { "~1.0" => StateV1 via with_label },
    writes: { "~1.0" => StateV1 },
    health: check,
}

/// The label that the relup gives, if it gives one.
fn with_label(old: StateV1, change: &Change) -> Result<State, String> {
    let mut state = State::from(old);
    if let Some(label) = change.extra["label"].as_str() {
        state.label = label.into();
    }
    Ok(state)
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
            state.count = state.count.wrapping_add(by);
            state.count
        })
    }

    fn get() -> i64 {
        State::with(|state| state.count)
    }

    fn describe() -> String {
        State::with(|state| format!("{}: {}", state.label, state.count))
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
}
