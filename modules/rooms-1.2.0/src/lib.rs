//! Chat rooms, version 1.2.0: a room has a topic. It knows the format of 1.1.0, and no older one.

mod ledger;
mod v1_1;

use std::collections::BTreeSet;

pub use ledger::Ledger;
use v1_1::StateV1;
use wasmhot_guest::Stateful;

/// What an upgrade hands over, for each room.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Who said something. New in 1.1.0.
    pub people: BTreeSet<String>,
    /// What it is about. New in 1.2.0.
    pub topic: String,
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
    reads: { "~1.1" => StateV1 },
    writes: { "~1.1" => StateV1 },
}

impl bindings::Guest for Rooms {
    fn say(_key: String, who: String, text: String) -> u64 {
        State::with_mut(|state| {
            state.people.insert(who.clone());
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

    fn people(_key: String) -> Vec<String> {
        State::with(|state| state.people.iter().cloned().collect())
    }

    fn topic(_key: String) -> String {
        State::with(|state| state.topic.clone())
    }

    fn set_topic(_key: String, topic: String) {
        State::with_mut(|state| state.topic = topic);
    }
}
