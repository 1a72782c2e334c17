//! A counter, version 1.0.0: it counts, and records the calls of its clients.

mod ledger;

pub use ledger::Ledger;
use wasmhot_guest::Stateful;

/// What an upgrade hands over.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The value.
    pub count: i64,
    /// The calls.
    pub ledger: Ledger,
}

struct Counter;

wasmhot_guest::module! {
    name: "counter",
    kind: single,
    world: "counter",
    exports: Counter,
    state: State,
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
            state.count = state.count.wrapping_add(by);
            state.count
        })
    }

    fn get() -> i64 {
        State::with(|state| state.count)
    }

    fn describe() -> String {
        format!("count: {}", Self::get())
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
