//! The state as 1.0.0 wrote it.

use crate::{Ledger, Message, State};

/// Who spoke stands in the messages only.
#[wasmhot_guest::state]
pub(crate) struct StateV1 {
    messages: Vec<Message>,
    ledger: Ledger,
}

impl From<StateV1> for State {
    fn from(old: StateV1) -> Self {
        let people = old.messages.iter().map(|message| message.who.clone()).collect();
        Self {
            messages: old.messages,
            people,
            ledger: old.ledger,
        }
    }
}

impl From<&State> for StateV1 {
    fn from(state: &State) -> Self {
        Self {
            messages: state.messages.clone(),
            ledger: state.ledger.clone(),
        }
    }
}
