//! A lounge in which callers wait for each other, version 1.0.0: calls run beside each other in its one instance (WASI 0.3).

use bindings::exports::demo::lounge::lounge::Guest;
use bindings::wasi::clocks::monotonic_clock::wait_for;
use wasmhot_guest::Stateful;

/// How long a caller sleeps before it looks again, in nanoseconds.
const LOOK_AGAIN: u64 = 1_000_000;

/// Who has come so far.
#[wasmhot_guest::state]
#[derive(Default)]
struct State {
    arrived: u32,
}

struct Lounge;

wasmhot_guest::module! {
    name: "lounge",
    world: "lounge-world",
    exports: Lounge,
    state: State,
}

fn come() -> u32 {
    State::with_mut(|state| {
        state.arrived += 1;
        state.arrived
    })
}

fn arrived() -> u32 {
    State::with(|state| state.arrived)
}

async fn until(parties: u32) {
    while arrived() < parties {
        wait_for(LOOK_AGAIN).await;
    }
}

impl Guest for Lounge {
    async fn meet(parties: u32) -> u32 {
        come();
        until(parties).await;
        arrived()
    }

    fn arrived() -> u32 {
        arrived()
    }

    fn come() -> u32 {
        come()
    }

    async fn follow(parties: u32) {
        wasmhot_guest::wit_bindgen::spawn_local(async move {
            until(parties).await;
            come();
        });
    }

    async fn fall() {
        wait_for(LOOK_AGAIN).await;
        panic!("as asked");
    }
}
