//! What 1.0.0 writes stays readable.

use std::collections::BTreeMap;

use rooms_1_0_0::{Ledger, Message, State};
use wasmhot_guest::harness;

fn state() -> State {
    let messages = vec![Message {
        who: "ann".into(),
        text: "grüezi".into(),
    }];
    let ledger = Ledger {
        total: 3,
        clients: BTreeMap::from([("ann".into(), 2), ("bob".into(), 1)]),
    };
    State { messages, ledger }
}

#[test]
fn states_are_read() {
    harness::write_fixture("../fixtures/rooms", &state());
    for (version, read) in harness::check_reads::<State>("../fixtures/rooms") {
        assert_eq!(read, state(), "{version}");
    }
}
