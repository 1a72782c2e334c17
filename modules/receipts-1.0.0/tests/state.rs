//! What 1.0.0 writes stays readable.

use receipts_1_0_0::{Receipt, State};
use wasmhot_guest::{Stateful, harness};

fn receipt(number: u64, name: &str, amount: u64) -> Receipt {
    Receipt {
        number,
        name: name.into(),
        amount,
    }
}

#[test]
fn the_format_of_this_version_stays() {
    let state = State {
        receipts: vec![receipt(1, "ann", 100), receipt(2, "bob", 200)],
    };
    harness::write_fixture("../fixtures/receipts", &state);
    assert_eq!(harness::check_reads::<State>("../fixtures/receipts")[0].1, state);
}

#[test]
fn a_gap_is_not_healthy() {
    let state = State {
        receipts: vec![receipt(1, "ann", 100), receipt(3, "bob", 200)],
    };
    assert_eq!(state.health(), Err("receipt 3 where 2 should be".into()));
}
