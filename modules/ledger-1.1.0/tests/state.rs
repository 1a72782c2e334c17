//! 1.1.0 takes over from 1.0.0 and gives back to it.

use ledger_1_1_0::{Entry, State};
use wasmhot_guest::harness;

#[test]
fn there_and_back() {
    let entry = Entry {
        id: 7,
        name: "ann".into(),
        quantity: -3,
        price: 0.25,
        active: true,
        discount: 0,
    };
    let state = State {
        entries: [("a".to_owned(), entry)].into_iter().collect(),
    };
    assert_eq!(harness::check_pair::<ledger_1_0_0::State, State>(&state), state);
}
