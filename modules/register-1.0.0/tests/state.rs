//! The format of 1.0.0 stays as it is, and a state goes to itself in chunks.

use register_1_0_0::{Entry, Settings, State};
use wasmhot_guest::{Cell, harness};

fn state() -> State {
    State {
        entries: (1..=3)
            .map(|number| (format!("key-{number}"), Entry::numbered(number)))
            .collect(),
        log: ["opened", "filled"].map(String::from).into_iter().collect(),
        settings: Cell::new(Settings {
            label: "register".into(),
            limit: 7,
        }),
        total: 42,
    }
}

#[test]
fn the_format_of_this_version_stays() {
    harness::write_fixture("../fixtures/register", &state());
    for (version, read) in harness::check_reads::<State>("../fixtures/register") {
        assert_eq!(read, state(), "{version}");
    }
}

#[test]
fn it_goes_to_itself_in_chunks() {
    let mut state = state();
    state
        .entries
        .extend((10..300).map(|number| (format!("key-{number}"), Entry::numbered(number))));
    let change = harness::between::<State, State>();
    let new: State = harness::hand_over_in_chunks(&mut state, &change, |state, step| {
        if step < 20 {
            state.entries.remove(&format!("key-{}", 10 + 14 * step));
            state.entries.insert(format!("new-{step}"), Entry::default());
            state.entries.update("key-299", |entry| entry.count += 1);
            state.total += 1;
        }
    });
    assert_eq!(new, state);
    assert_eq!(new.total, 62);
    assert_eq!(new.checksum(), state.checksum());
}
