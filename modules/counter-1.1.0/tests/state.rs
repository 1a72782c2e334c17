//! 1.1.0 takes over from 1.0.0 and gives back to it.

use std::collections::BTreeMap;

use counter_1_1_0::{Ledger, State};
use wasmhot_guest::{Change, Stateful, harness, serde_json::json};

const FIXTURES: &str = "../fixtures/counter";

fn state() -> State {
    State {
        count: -42,
        label: "count".into(),
        ledger: Ledger {
            total: 3,
            clients: BTreeMap::from([("ann".into(), 2), ("bob".into(), 1)]),
        },
    }
}

#[test]
fn older_states_are_read() {
    harness::write_fixture(FIXTURES, &state());
    let states = harness::check_reads::<State>(FIXTURES);
    assert_eq!(states.len(), 2);
    for (version, read) in states {
        assert_eq!(read, state(), "{version}");
    }
}

#[test]
fn the_label_comes_from_the_relup() {
    let labelled = |change: Change| change.with_extra(json!({ "label": "visits" }));
    let states = harness::check_reads_with::<State>(FIXTURES, labelled);
    assert_eq!(states[0].1.label, "visits");
}

#[test]
fn there_and_back() {
    assert_eq!(harness::check_pair::<counter_1_0_0::State, State>(&state()), state());
}

#[test]
fn it_writes_only_for_what_it_knows() {
    let change = Change::new("1.1.0", "0.9.0").expect("versions");
    let refused = state().save(&change);
    assert_eq!(
        refused,
        Err("counter 1.1.0 cannot write state for 0.9.0: it writes its own and ~1.0".into())
    );
}
