//! A stateful module that others call. For the tests of calls between modules.

mod behaviour;

use bindings::exports::demo::chain::back;
use wasmhot_guest::Stateful;

/// What an upgrade hands over.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The hits.
    pub count: u64,
}

struct Back;

wasmhot_guest::module! {
    name: "back",
    world: "back-module",
    exports: Back,
    state: State,
}

impl back::Guest for Back {
    fn version() -> String {
        State::VERSION.into()
    }

    fn hit(by: u64) -> u64 {
        State::with_mut(|state| {
            state.count += by;
            state.count
        })
    }

    fn count() -> u64 {
        State::with(|state| state.count)
    }

    fn via() -> i32 {
        bindings::answer()
    }

    fn must(kind: String) -> u64 {
        behaviour::obey(&kind)
    }

    fn may(kind: String) -> Result<u64, String> {
        if kind == "err" {
            return Err("back: err".into());
        }
        Ok(behaviour::obey(&kind))
    }

    fn pause(milliseconds: u64) -> u64 {
        behaviour::pause(milliseconds)
    }
}
