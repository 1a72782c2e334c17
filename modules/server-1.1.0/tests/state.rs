//! 1.1.0 takes over from 1.0.0, if it is told the currency, and gives back to it.

use std::collections::BTreeMap;
use std::fs;

use server_1_1_0::State;
use wasmhot_guest::{Change, Stateful, harness, serde_json::json};

const FIXTURES: &str = "../fixtures/server";

fn state() -> State {
    State {
        donors: BTreeMap::from([("ann".into(), 95), ("bob".into(), 190)]),
        total: 285,
        currency: "USD".into(),
    }
}

fn in_dollars(change: Change) -> Change {
    change.with_extra(json!({ "currency": "USD" }))
}

#[test]
fn older_states_are_read() {
    harness::write_fixture(FIXTURES, &state());
    for (version, read) in harness::check_reads_with::<State>(FIXTURES, in_dollars) {
        assert_eq!(read, state(), "{version}");
    }
}

#[test]
fn there_and_back() {
    assert_eq!(
        harness::check_pair_with::<server_1_0_0::State, State>(&state(), in_dollars),
        state()
    );
}

#[test]
fn without_the_currency_it_says_what_to_give() {
    let bytes = fs::read("../fixtures/server/1.0.0.state").expect("the fixture of 1.0.0");
    let change = Change::new("1.0.0", "1.1.0").expect("versions");
    let refused = State::read(&change, &bytes);
    assert!(refused.is_err_and(|error| error.contains(r#"extra = { currency = "USD" }"#)));
}
