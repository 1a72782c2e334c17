//! 2.0.0 takes over from both versions before it, and gives back to both.

use std::collections::BTreeMap;

use counter_2_0_0::{Ledger, Signed, State};
use wasmhot_guest::{Change, Stateful, harness};

const FIXTURES: &str = "../fixtures/counter";

fn state() -> State {
    State {
        value: Signed::from(-42),
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
    assert_eq!(states.len(), 3);
    for (version, read) in states {
        assert_eq!(read, state(), "{version}");
    }
}

#[test]
fn there_and_back() {
    assert_eq!(harness::check_pair::<counter_1_0_0::State, State>(&state()), state());
    assert_eq!(harness::check_pair::<counter_1_1_0::State, State>(&state()), state());
}

#[test]
fn a_value_that_does_not_fit_is_refused_on_the_way_back() {
    let large = State {
        value: Signed {
            negative: false,
            magnitude: u64::MAX,
        },
        ..state()
    };
    let change = Change::new("2.0.0", "1.1.0").expect("versions");
    assert_eq!(
        large.save(&change),
        Err("18446744073709551615 is too large for older versions".into())
    );
}
