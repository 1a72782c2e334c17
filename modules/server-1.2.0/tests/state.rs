//! 1.2.0 takes over from both versions before it, and gives back to both: in one currency, whatever there was.

use std::collections::BTreeMap;
use std::fs;

use server_1_2_0::{Amounts, State};
use wasmhot_guest::{Change, Stateful, harness, serde_json::json};

const FIXTURES: &str = "../fixtures/server";

fn dollars(amount: u64) -> Amounts {
    Amounts::from([("USD".into(), amount)])
}

/// What the fixtures of all versions hold.
fn state() -> State {
    State {
        donors: BTreeMap::from([("ann".into(), dollars(95)), ("bob".into(), dollars(190))]),
        totals: dollars(285),
        main_currency: "USD".into(),
    }
}

/// 100 francs of ann's besides.
fn in_two_currencies() -> State {
    let mut state = state();
    let ann = state.donors.get_mut("ann").expect("ann gave something");
    ann.insert("CHF".into(), 100);
    state.totals.insert("CHF".into(), 100);
    state
}

fn in_dollars(change: Change) -> Change {
    change.with_extra(json!({ "currency": "USD" }))
}

fn with_a_rate(change: Change) -> Change {
    change.with_extra(json!({ "currency": "USD", "rates": { "CHF": 1080 } }))
}

#[test]
fn older_states_are_read() {
    harness::write_fixture(FIXTURES, &state());
    let states = harness::check_reads_with::<State>(FIXTURES, in_dollars);
    assert_eq!(states.len(), 3);
    for (version, read) in states {
        assert_eq!(read, state(), "{version}");
    }
}

#[test]
fn there_and_back() {
    assert_eq!(
        harness::check_pair_with::<server_1_0_0::State, State>(&state(), in_dollars),
        state()
    );
    assert_eq!(harness::check_pair::<server_1_1_0::State, State>(&state()), state());
    let fresh = State::default();
    assert_eq!(harness::check_pair::<server_1_1_0::State, State>(&fresh), fresh);
}

#[test]
fn step_by_step_is_the_same_as_at_once() {
    let first: server_1_0_0::State = harness::hand_over(&state(), &harness::between::<State, server_1_0_0::State>());
    let up = harness::between::<server_1_0_0::State, server_1_1_0::State>();
    let second: server_1_1_0::State = harness::hand_over(&first, &in_dollars(up));
    let third: State = harness::hand_over(&second, &harness::between::<server_1_1_0::State, State>());
    let directly: State = harness::hand_over(&first, &in_dollars(harness::between::<server_1_0_0::State, State>()));
    assert_eq!((&third, &directly), (&state(), &state()));
}

#[test]
fn other_currencies_are_changed_on_the_way_down() {
    let down = with_a_rate(harness::between::<State, server_1_1_0::State>());
    let old: server_1_1_0::State = harness::hand_over(&in_two_currencies(), &down);
    assert_eq!(old.donors, BTreeMap::from([("ann".into(), 203), ("bob".into(), 190)]));
    assert_eq!((old.total, old.currency.as_str()), (393, "USD"));

    let down = with_a_rate(harness::between::<State, server_1_0_0::State>());
    let old: server_1_0_0::State = harness::hand_over(&in_two_currencies(), &down);
    assert_eq!(old.total, 393);
}

#[test]
fn without_a_rate_it_says_what_to_give() {
    for older in ["1.0.0", "1.1.0"] {
        let change = Change::new("1.2.0", older).expect("versions");
        let refused = in_two_currencies().save(&change);
        assert_eq!(
            refused,
            Err(format!(
                "there are donations in CHF, and {older} knows only USD: give a rate in thousandths for the way down, \
                 extra = {{ rates = {{ CHF = 1080 }} }}"
            ))
        );
    }
}

#[test]
fn without_the_currency_it_says_what_to_give() {
    let bytes = fs::read("../fixtures/server/1.0.0.state").expect("the fixture of 1.0.0");
    let change = Change::new("1.0.0", "1.2.0").expect("versions");
    let refused = State::read(&change, &bytes);
    assert!(refused.is_err_and(|error| error.contains(r#"extra = { currency = "USD" }"#)));
}

#[test]
fn damaged_totals_are_not_healthy() {
    let mut damaged = in_two_currencies();
    damaged.totals.insert("CHF".into(), 99);
    assert!(damaged.health().is_err());
}
