//! What 1.0.0 writes it reads.

use ledger_1_0_0::{Entry, State};
use wasmhot_guest::{Change, Stateful};

#[test]
fn there_and_back() {
    let entry = Entry {
        id: 7,
        name: "ann".into(),
        quantity: -3,
        price: 0.25,
        active: true,
    };
    let state = State {
        entries: [("a".to_owned(), entry)].into_iter().collect(),
    };
    let change = Change::new("1.0.0", "1.0.0").expect("versions");
    let bytes = state.save(&change).expect("is written");
    assert_eq!(State::read(&change, &bytes), Ok(state));
}
