//! A counter that misbehaves when and how a test wants it to: by its plan (see `plan.rs`), or in a call of `fault`.

mod fault;
mod ledger;
mod plan;

pub use ledger::Ledger;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use wasmhot_guest::serde::{Serialize, Serializer, ser::Error};
use wasmhot_guest::{Change, Stateful};

/// What an upgrade hands over.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The value.
    #[serde(serialize_with = "save")]
    pub count: i64,
    /// The calls.
    pub ledger: Ledger,
}

struct Hostile;

// It reads and writes for any version, so that tests may give copies of it any version they like.
wasmhot_guest::module! {
    name: "hostile",
    kind: single,
    world: "hostile",
    exports: Hostile,
    state: State,
    reads: { "*" => State via migrate },
    writes: { "*" => State via |state, _| Ok(state.clone()) },
    health: |_| plan::reach(if MIGRATED.load(Relaxed) { "later" } else { "health" }),
}

/// It is asked for its health after the start, and again after `migrate`.
static MIGRATED: AtomicBool = AtomicBool::new(false);

fn migrate(state: State, _: &Change) -> Result<State, String> {
    plan::reach("migrate")?;
    MIGRATED.store(true, Relaxed);
    Ok(state)
}

fn save<S: Serializer>(count: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    plan::reach("save").map_err(S::Error::custom)?;
    count.serialize(serializer)
}

/// The phase `start`: a function of this name runs when the module is instantiated, before anything else.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "the name is what makes it run")]
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    if plan::reach("start").is_err() {
        std::process::abort();
    }
}

/// The phase `call`, where a function cannot say `err`.
fn called() {
    if plan::reach("call").is_err() {
        std::process::abort();
    }
}

impl bindings::Guest for Hostile {
    fn increment(by: i64) -> i64 {
        called();
        State::with_mut(|state| {
            state.count = state.count.wrapping_add(by);
            state.count
        })
    }

    fn get() -> i64 {
        called();
        State::with(|state| state.count)
    }

    fn version() -> String {
        called();
        State::VERSION.into()
    }

    fn record(client: String, sequence: u64) -> Result<u64, String> {
        plan::reach("call")?;
        State::with_mut(|state| state.ledger.record(client, sequence))
    }

    fn total() -> u64 {
        called();
        State::with(|state| state.ledger.total)
    }

    fn last(client: String) -> u64 {
        called();
        State::with(|state| state.ledger.last(&client))
    }

    fn fault(kind: String) -> Result<String, String> {
        fault::cause(&kind)
    }
}
