//! `module!` end to end, natively: three versions of one module, and a predecessor under another name.

use std::fs;

use wasmhot_guest::{Change, Described, Direction, Stateful, harness, migrate_from, serde_json::json};

/// 1.0.0.
mod one {
    #[wasmhot_guest::state]
    #[derive(Debug, Default, PartialEq)]
    pub(crate) struct State {
        pub(crate) count: i64,
    }

    wasmhot_guest::module! { name: "shop", version: "1.0.0", state: State }
}

/// 2.0.0.
mod two {
    #[wasmhot_guest::state]
    #[derive(Debug, Default, PartialEq)]
    pub(crate) struct State {
        pub(crate) count: i64,
        pub(crate) label: String,
    }

    wasmhot_guest::module! { name: "shop", version: "2.0.0", state: State, reads: { "1" => super::one::State }, }
}

/// 3.1.0, which reads all, writes for 1, and merges what `store` had.
mod three {
    use wasmhot_guest::{Change, Stateful};

    #[wasmhot_guest::state]
    #[derive(Debug, Default, PartialEq)]
    pub(crate) struct State {
        pub(crate) value: String,
        pub(crate) label: String,
    }

    wasmhot_guest::module! {
        name: "shop",
        version: "3.1.0",
        kind: single,
        state: State,
        reads: {
            "store@*" => super::one::State via merge,
            "^1" => super::one::State,
            "^2" => super::two::State,
        },
        writes: { "^1" => super::one::State, "^2" => super::two::State via refuse },
        health: |state: &State| if state.label == "ill" { Err("ill".into()) } else { Ok(()) },
    }

    fn merge(store: super::one::State, _: &Change) -> Result<State, String> {
        let store = super::two::State::from(store);
        State::with(|shop| {
            Ok(State {
                value: store.count.to_string(),
                label: shop.label.clone(),
            })
        })
    }

    fn refuse(_: &State, change: &Change) -> Result<super::two::State, String> {
        Err(format!("not to {}", change.to))
    }
}

impl From<one::State> for two::State {
    fn from(old: one::State) -> Self {
        Self {
            count: old.count,
            label: "none".into(),
        }
    }
}

impl From<two::State> for three::State {
    fn from(old: two::State) -> Self {
        Self {
            value: old.count.to_string(),
            label: old.label,
        }
    }
}

migrate_from!(one::State => two::State => three::State);

impl TryFrom<&three::State> for one::State {
    type Error = std::num::ParseIntError;

    fn try_from(state: &three::State) -> Result<Self, Self::Error> {
        state.value.parse().map(|count| Self { count })
    }
}

fn change(from: &str, to: &str) -> Change {
    Change::new(from, to).expect("versions")
}

#[test]
fn r02_the_newer_code_writes_the_older_format() {
    let state = three::State {
        value: "7".into(),
        label: "a".into(),
    };
    let back = harness::check_pair::<one::State, three::State>(&state);
    assert_eq!(
        back,
        three::State {
            value: "7".into(),
            label: "none".into()
        }
    );

    let unfit = three::State {
        value: "seven".into(),
        label: String::new(),
    };
    assert!(
        unfit
            .save(&change("3.1.0", "1.0.0"))
            .is_err_and(|error| error.contains("invalid digit"))
    );
    assert_eq!(state.save(&change("3.1.0", "2.0.0")), Err("not to 2.0.0".into()));
    let unknown = state.save(&change("3.1.0", "0.9.0"));
    assert_eq!(
        unknown,
        Err("shop 3.1.0 cannot write state for 0.9.0: it writes its own and ^1 and ^2".into())
    );
}

#[test]
fn r28_bytes_are_read_by_the_version_that_wrote_them() {
    let read = harness::hand_over::<one::State, three::State>(&one::State { count: 7 }, &change("1.0.0", "3.1.0"));
    assert_eq!(
        read,
        three::State {
            value: "7".into(),
            label: "none".into()
        }
    );

    let bytes = one::State { count: 7 }.save(&change("1.0.0", "1.0.0")).expect("saves");
    let as_two = two::State::read(&change("2.0.0", "2.0.0"), &bytes);
    assert!(as_two.is_err_and(|error| error.starts_with("shop 2.0.0 cannot read this state of 2.0.0: ")));
    // As what `save` writes on a downgrade is made for the reader, only a restore can bring bytes of an unknown version.
    let restore = Change {
        direction: Direction::Restore,
        ..change("4.0.0", "2.0.0")
    };
    let unknown = two::State::read(&restore, &bytes);
    assert_eq!(
        unknown,
        Err("shop 2.0.0 cannot read state of 4.0.0: it reads its own and 1".into())
    );
}

#[test]
fn bad_bytes_are_an_error_never_a_panic() {
    let restore = Change {
        direction: Direction::Restore,
        ..change("1.0.0", "3.1.0")
    };
    for length in 0..64_u8 {
        let noise: Vec<u8> = (0..length)
            .map(|byte| byte.wrapping_mul(37) ^ length.rotate_left(3))
            .collect();
        assert!(three::State::read(&restore, &noise).is_err(), "{noise:?}");
    }
}

#[test]
fn r31_a_predecessor_may_be_merged_into_the_state_so_far() {
    three::State::with_mut(|state| state.label = "kept".into());
    let bytes = one::State { count: 7 }.save(&change("1.0.0", "1.0.0")).expect("saves");
    let merged = three::State::read(&change("store@1.0.0", "3.1.0"), &bytes);
    assert_eq!(
        merged,
        Ok(three::State {
            value: "7".into(),
            label: "kept".into()
        })
    );
    let stranger = two::State::read(&change("store@1.0.0", "2.0.0"), &bytes);
    assert!(stranger.is_err_and(|error| error.contains("store@1.0.0")));
}

#[test]
fn health_is_asked_after_migrate() {
    let ill = two::State {
        count: 1,
        label: "ill".into(),
    };
    let change = change("2.0.0", "3.1.0");
    let handed_over = std::panic::catch_unwind(|| harness::hand_over::<two::State, three::State>(&ill, &change));
    assert!(handed_over.is_err());
}

#[test]
fn the_state_description_lists_the_fields() {
    let schema: wasmhot_guest::serde_json::Value =
        wasmhot_guest::serde_json::from_str(two::State::SCHEMA).expect("the schema is JSON");
    assert_eq!(
        schema,
        json!({ "type": "State", "fields": { "count": "i64", "label": "String" } })
    );
}

#[test]
fn a_released_format_does_not_change() {
    let dir = tempfile::tempdir().expect("a directory");
    let fixture = harness::write_fixture(&dir, &one::State { count: 7 });
    harness::write_fixture(&dir, &one::State { count: 7 });
    fs::write(fixture, b"something else").expect("writes");
    let changed = std::panic::catch_unwind(|| harness::write_fixture(&dir, &one::State { count: 7 }));
    assert!(changed.is_err());
}

#[test]
fn every_declared_range_needs_a_fixture() {
    let dir = tempfile::tempdir().expect("a directory");
    harness::write_fixture(
        &dir,
        &two::State {
            count: 7,
            label: "a".into(),
        },
    );
    assert!(std::panic::catch_unwind(|| harness::check_reads::<two::State>(&dir)).is_err());
    harness::write_fixture(&dir, &one::State { count: 7 });
    assert_eq!(harness::check_reads::<two::State>(&dir).len(), 2);
}

/// A module that went from CBOR to postcard.
#[cfg(feature = "postcard")]
mod packed {
    use super::{Stateful, harness, one, two};

    #[wasmhot_guest::state]
    #[derive(Debug, Default, PartialEq)]
    pub(crate) struct State {
        count: i64,
        flags: Vec<bool>,
    }

    wasmhot_guest::module! {
        name: "shop",
        version: "4.0.0",
        format: postcard,
        state: State,
        reads: { "^1" => one::State in cbor, "^2" => two::State in cbor via |old, _| Ok(State { count: old.count, flags: vec![true] }) },
        writes: { "^1" => one::State in cbor },
    }

    impl From<one::State> for State {
        fn from(old: one::State) -> Self {
            Self {
                count: old.count,
                flags: Vec::new(),
            }
        }
    }

    impl From<&State> for one::State {
        fn from(state: &State) -> Self {
            Self { count: state.count }
        }
    }

    #[test]
    fn an_entry_may_have_another_format() {
        let state = State {
            count: 7,
            flags: vec![true, false],
        };
        assert_eq!(
            state.save(&super::change("4.0.0", "4.0.0")).map(|bytes| bytes.len()),
            Ok(4)
        );
        assert_eq!(
            harness::check_pair::<one::State, State>(&state),
            State {
                count: 7,
                flags: Vec::new()
            }
        );
        let old = two::State {
            count: 7,
            label: String::new(),
        };
        let new: State = harness::hand_over(&old, &super::change("2.0.0", "4.0.0"));
        assert_eq!(new.flags, [true]);
    }
}
