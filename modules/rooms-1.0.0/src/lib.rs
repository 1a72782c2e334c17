//! Chat rooms, version 1.0.0. The module is keyed: an instance is one room, and its state that room's.

mod ledger;

pub use ledger::Ledger;
use wasmhot_guest::Stateful;

/// What an upgrade hands over, for each room.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// The calls.
    pub ledger: Ledger,
}

/// What was said.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// By whom.
    pub who: String,
    /// What.
    pub text: String,
}

struct Rooms;

wasmhot_guest::module! {
    name: "rooms",
    kind: keyed,
    world: "rooms",
    exports: Rooms,
    state: State,
}

impl bindings::Guest for Rooms {
    fn say(_key: String, who: String, text: String) -> u64 {
        State::with_mut(|state| {
            state.messages.push(Message { who, text });
            state.messages.len() as u64
        })
    }

    fn history(_key: String) -> Vec<String> {
        State::with(|state| {
            state
                .messages
                .iter()
                .map(|message| format!("{}: {}", message.who, message.text))
                .collect()
        })
    }

    fn record(_key: String, client: String, sequence: u64) -> Result<u64, String> {
        State::with_mut(|state| state.ledger.record(client, sequence))
    }

    fn total(_key: String) -> u64 {
        State::with(|state| state.ledger.total)
    }

    fn version(_key: String) -> String {
        State::VERSION.into()
    }
}
