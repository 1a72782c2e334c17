//! 1.1.0 takes over from 1.0.0, in one piece and in chunks, and gives back to it.

use std::panic::AssertUnwindSafe;

use register_1_0_0 as v1_0;
use register_1_1_0::{Entry, Settings, State};
use wasmhot_guest::{Cell, Change, Stateful, harness};

const FIXTURES: &str = "../fixtures/register";

fn old() -> v1_0::State {
    v1_0::State {
        entries: (1..=200)
            .map(|number| (format!("key-{number}"), v1_0::Entry::numbered(number)))
            .collect(),
        log: ["opened", "filled"].map(String::from).into_iter().collect(),
        settings: Cell::new(v1_0::Settings {
            label: "register".into(),
            limit: 7,
        }),
        total: 42,
    }
}

fn entry(number: u32) -> Entry {
    Entry {
        note: "from 1.0".into(),
        ..Entry::numbered(number)
    }
}

fn state() -> State {
    State {
        entries: (1..=3).map(|number| (format!("key-{number}"), entry(number))).collect(),
        log: ["opened", "filled"].map(String::from).into_iter().collect(),
        settings: Cell::new(Settings {
            label: "register".into(),
            limit: 7,
        }),
        total: 42,
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
fn there_and_back() {
    assert_eq!(harness::check_pair::<v1_0::State, State>(&state()), state());
}

#[test]
fn up_in_chunks_while_it_serves() {
    let mut old = old();
    let change = harness::between::<v1_0::State, State>();
    let mut new: State = harness::hand_over_in_chunks(&mut old, &change, |old, step| {
        if step < 30 {
            old.entries.remove(&format!("key-{}", 1 + 6 * step));
            old.entries.update("key-200", |entry| entry.count += 1);
            old.log.push(format!("step {step}"));
            old.settings.update(|settings| settings.limit += 1);
            old.total += 1;
        }
    });
    assert_eq!((new.total, new.log.len(), new.entries.len()), (72, 32, 170));
    assert_eq!(new.checksum(), old.checksum());
    assert_eq!(new.entries.get("key-2").as_deref(), Some(&entry(2)));
    assert!(!new.entries.contains_key("key-1"));
    // What is touched goes on living beside what is still encoded.
    assert_eq!(new.entries.update("key-200", |entry| entry.count), Some(230));
    assert_eq!(new.entries.remove("key-2"), Some(entry(2)));
    assert_eq!(new.entries.len(), 169);
}

#[test]
fn r02_down_in_chunks_while_it_serves() {
    let up = harness::between::<v1_0::State, State>();
    // Some entries are encoded as 1.0.0 wrote them, others live.
    let mut new: State = harness::hand_over_in_chunks(&mut old(), &up, |_, _| {});
    new.entries.insert("key-1".into(), Entry::numbered(1000));
    let down = harness::between::<State, v1_0::State>();
    let back: v1_0::State = harness::hand_over_in_chunks(&mut new, &down, |new, step| {
        if step < 10 {
            new.entries.remove(&format!("key-{}", 100 + step));
            new.settings.update(|settings| settings.limit += 1);
            new.log.pop();
            new.total += 1;
        }
    });
    assert_eq!((back.total, back.log.len(), back.entries.len()), (52, 0, 190));
    assert_eq!(back.checksum(), new.checksum());
    assert_eq!(back.settings.get().limit, 17);
    assert_eq!(back.entries.get("key-1").map(|entry| entry.count), Some(1000));
}

#[test]
fn an_entry_that_cannot_be_converted_is_found_in_the_rehearsal() {
    let mut old = old();
    old.entries.update("key-77", |entry| entry.rank = i32::MIN);
    let change = Change::new("1.0.0", "1.1.0").expect("versions");
    let said = r#"the entry "key-77" of the map of register_1_1_0::Entry: the rank -2147483648 is none"#;

    let bytes = old.save(&change).expect("saves");
    let whole = State::read(&change, &bytes);
    assert!(whole.is_err_and(|error| error.contains(said)));

    // In chunks nobody looks at it, until the new state is saved: which is what a rehearsal does.
    let handed_over = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let _: State = harness::hand_over_in_chunks(&mut old, &change, |_, _| {});
    }));
    let error = handed_over.expect_err("it is refused");
    let error = error.downcast_ref::<String>().expect("a text");
    assert!(error.contains(said), "{error}");
}
