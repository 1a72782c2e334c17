//! As 1.0.0, but a hit wants a note.

#[path = "../../back-1.0.0/src/behaviour.rs"]
mod behaviour;
mod v1_0;

use bindings::exports::demo::chain::back;
use v1_0::StateV1;
use wasmhot_guest::Stateful;

/// What an upgrade hands over.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The hits.
    pub count: u64,
    /// The last note. New in 2.0.0.
    pub note: String,
}

struct Back;

wasmhot_guest::module! {
    name: "back",
    world: "back-module",
    exports: Back,
    state: State,
    reads: { "~1.0" => StateV1 },
    writes: { "~1.0" => StateV1 },
}

impl back::Guest for Back {
    fn version() -> String {
        State::VERSION.into()
    }

    fn hit(by: u64, note: String) -> u64 {
        State::with_mut(|state| {
            state.count += by;
            state.note = note;
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
