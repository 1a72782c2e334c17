//! A counter that keeps its state when its code changes. What it exports is written in `wit/`.

use bindings::exports::example::app::counter::{Guest, Scalars, Step, Summary};
use wasmhot_guest::{Change, Stateful};

/// What the old version saves and the new one migrates. `save` and `migrate` are made from it: one CBOR map.
#[wasmhot_guest::state]
#[derive(Clone, Default)]
pub struct State {
    count: i64,
    note: Option<String>,
}

struct Counter;

wasmhot_guest::module! {
    world: "module",
    exports: Counter,
    state: State,
    reads: { "^1" => State },
    writes: { "^1" => State via same },
    health: check,
}

/// All versions 1.x have the same format.
fn same(state: &State, _: &Change) -> Result<State, String> {
    Ok(state.clone())
}

/// Asked before a version gets calls.
fn check(_: &State) -> Result<(), String> {
    Ok(())
}

impl Guest for Counter {
    fn increment(by: i64) -> i64 {
        State::with_mut(|state| {
            state.count = state.count.wrapping_add(by);
            state.count
        })
    }

    fn get() -> i64 {
        State::with(|state| state.count)
    }

    fn greet(name: String) -> String {
        format!("hello, {name}!")
    }

    #[allow(clippy::cast_precision_loss, reason = "the half of a count is about right")]
    fn summarize() -> Summary {
        State::with(|state| Summary {
            count: state.count,
            even: state.count % 2 == 0,
            half: state.count as f64 / 2.0,
            note: state.note.clone(),
        })
    }

    fn take(step: Step) -> Result<(), String> {
        State::with_mut(|state| {
            match step {
                Step::Add(by) => state.count = state.count.wrapping_add(by),
                Step::Set(to) => state.count = to,
                Step::Note(note) if note.is_empty() => return Err("a note is not empty".into()),
                Step::Note(note) => state.note = Some(note),
                Step::Clear => *state = State::default(),
            }
            Ok(())
        })
    }

    fn mirror(scalars: Scalars) -> Scalars {
        scalars
    }

    fn echo(bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    fn grow(length: u32) {
        let note = ('a'..='z').cycle().take(length as usize).collect();
        State::with_mut(|state| state.note = Some(note));
    }

    fn fail() {
        panic!("as asked");
    }

    fn spin() {
        loop {
            std::hint::spin_loop();
        }
    }
}
