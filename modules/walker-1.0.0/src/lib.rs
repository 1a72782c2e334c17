//! A keyed module that calls itself under other keys. For the tests of circles (R15) and of nested calls that fail (R13).

use bindings::demo::walker::walk as next;
use std::time::Duration;
use wasmhot_guest::Stateful;

/// What an upgrade hands over, for each key.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// How often it was visited.
    pub visits: u64,
}

struct Walker;

wasmhot_guest::module! {
    name: "walker",
    kind: keyed,
    world: "walker",
    exports: Walker,
    state: State,
}

impl bindings::exports::demo::walker::walk::Guest for Walker {
    fn walk(key: String, way: Vec<String>, milliseconds: u64) -> Result<u64, String> {
        let visits = State::with_mut(|state| {
            state.visits += 1;
            state.visits
        });
        if key.ends_with('!') {
            std::process::abort();
        }
        std::thread::sleep(Duration::from_millis(milliseconds));
        match way.split_first() {
            Some((first, rest)) => Ok(visits + next::walk(first, rest, milliseconds)?),
            None => Ok(visits),
        }
    }

    fn visits(_key: String) -> u64 {
        State::with(|state| state.visits)
    }
}
