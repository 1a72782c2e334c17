//! A bell for each key: it notes when it is told that it serves.

use wasmhot_guest::{Change, Stateful};

/// What an upgrade hands over.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    lives: Vec<String>,
}

struct Bell;

wasmhot_guest::module! {
    name: "bell",
    kind: keyed,
    world: "bell",
    exports: Bell,
    state: State,
    live: live,
}

fn live(change: &Change) -> Result<(), String> {
    State::with_mut(|state| state.lives.push(format!("{:?}", change.direction)));
    Ok(())
}

impl bindings::Guest for Bell {
    fn lives(_key: String) -> Vec<String> {
        State::with(|state| state.lives.clone())
    }
}
