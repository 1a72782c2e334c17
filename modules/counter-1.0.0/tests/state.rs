//! What 1.0.0 writes stays readable.

use std::collections::BTreeMap;

use counter_1_0_0::{Ledger, State};
use wasmhot_guest::{Change, Direction, Stateful, harness};

fn state() -> State {
    State {
        count: -42,
        ledger: Ledger {
            total: 3,
            clients: BTreeMap::from([("ann".into(), 2), ("bob".into(), 1)]),
        },
    }
}

#[test]
fn the_format_of_this_version_stays() {
    harness::write_fixture("../fixtures/counter", &state());
    assert_eq!(harness::check_reads::<State>("../fixtures/counter").len(), 1);
}

#[test]
fn what_it_does_not_read_it_names() {
    let change = Change {
        direction: Direction::Restore,
        ..Change::new("2.0.0", "1.0.0").expect("versions")
    };
    let refused = State::read(&change, &[]);
    assert_eq!(
        refused,
        Err("counter 1.0.0 cannot read state of 2.0.0: it reads its own".into())
    );
    let change = Change::new("1.0.0", "1.0.0").expect("versions");
    assert!(
        State::read(&change, b"bad bytes")
            .is_err_and(|error| error.starts_with("counter 1.0.0 cannot read this state"))
    );
}
