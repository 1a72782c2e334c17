//! Is called by the clock, and opens anew what an upgrade could not bring along: here, an entry in a bucket.

use bindings::wasi::keyvalue::store::{self, Bucket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use wasmhot_guest::{Change, Stateful};

/// What an upgrade hands over.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    ticks: u64,
    /// What the key-value store said to `migrate`.
    in_migrate: String,
}

struct Pacer;

wasmhot_guest::module! {
    name: "pacer",
    kind: single,
    world: "pacer",
    exports: Pacer,
    state: State,
    reads: { "*" => State via migrate },
    writes: { "*" => State via |state, _| Ok(state.clone()) },
    live: live,
}

static LIVE: AtomicBool = AtomicBool::new(false);

fn migrate(state: State, _: &Change) -> Result<State, String> {
    let in_migrate = match bucket().and_then(|bucket| bucket.set("migrated", b"yes").map_err(said)) {
        Ok(()) => "done".to_owned(),
        Err(error) => error,
    };
    Ok(State { in_migrate, ..state })
}

/// Adds a line to those of before.
fn live(change: &Change) -> Result<(), String> {
    let bucket = bucket()?;
    let mut lives = bucket.get("lives").map_err(said)?.unwrap_or_default();
    lives.extend(format!("{:?} {} -> {}\n", change.direction, change.from, change.to).as_bytes());
    bucket.set("lives", &lives).map_err(said)?;
    LIVE.store(true, Relaxed);
    match bucket.get("plan").map_err(said)?.as_deref() {
        Some(b"err") => Err("as planned".to_owned()),
        Some(b"trap") => panic!("as planned"),
        _ => Ok(()),
    }
}

fn bucket() -> Result<Bucket, String> {
    store::open("pace").map_err(said)
}

fn said(error: store::Error) -> String {
    format!("{error:?}")
}

impl bindings::Guest for Pacer {
    fn tick() -> u64 {
        State::with_mut(|state| {
            state.ticks += 1;
            state.ticks
        })
    }

    fn ticks() -> u64 {
        State::with(|state| state.ticks)
    }

    fn lives() -> Result<Vec<String>, String> {
        let lives = bucket()?.get("lives").map_err(said)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&lives).lines().map(str::to_owned).collect())
    }

    fn in_migrate() -> String {
        State::with(|state| state.in_migrate.clone())
    }

    fn is_live() -> bool {
        LIVE.load(Relaxed)
    }

    fn plan(what: String) -> Result<(), String> {
        bucket()?.set("plan", what.as_bytes()).map_err(said)
    }

    fn attempt(succeed: bool) -> Result<u64, String> {
        let ticks = Self::tick();
        if succeed { Ok(ticks) } else { Err("as told".to_owned()) }
    }
}
