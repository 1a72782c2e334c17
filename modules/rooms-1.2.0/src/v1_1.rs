//! The state as 1.1.0 wrote it.

use crate::{Ledger, Message, State};
use std::collections::BTreeSet;

/// A room had no topic.
#[wasmhot_guest::state]
pub(crate) struct StateV1 {
    messages: Vec<Message>,
    people: BTreeSet<String>,
    ledger: Ledger,
}

impl From<StateV1> for State {
    fn from(old: StateV1) -> Self {
        Self {
            messages: old.messages,
            people: old.people,
            topic: String::new(),
            ledger: old.ledger,
        }
    }
}

impl From<&State> for StateV1 {
    fn from(state: &State) -> Self {
        Self {
            messages: state.messages.clone(),
            people: state.people.clone(),
            ledger: state.ledger.clone(),
        }
    }
}
