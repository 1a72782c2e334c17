//! 1.2.0 takes over from 1.1.0 and gives back to it, without the topic.

use std::collections::{BTreeMap, BTreeSet};

use rooms_1_2_0::{Ledger, Message, State};
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
    State {
        messages,
        people: BTreeSet::from(["ann".into()]),
        topic: "dinner".into(),
        ledger,
    }
}

fn without_topic() -> State {
    State {
        topic: String::new(),
        ..state()
    }
}

#[test]
fn states_are_read() {
    harness::write_fixture("../fixtures/rooms", &state());
    for (version, read) in harness::check_reads::<State>("../fixtures/rooms") {
        let expected = if version.minor == 2 { state() } else { without_topic() };
        assert_eq!(read, expected, "{version}");
    }
}

#[test]
fn there_and_back() {
    let back = harness::check_pair::<rooms_1_1_0::State, State>(&state());
    assert_eq!(back, without_topic());
}
