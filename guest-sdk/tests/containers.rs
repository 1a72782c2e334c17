//! Containers as an author uses them: beside plain maps, as part of a state, over versions, and what is said where something is wrong.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use wasmhot_guest::codec::{Cbor, Codec};
use wasmhot_guest::{Cell, Change, Map, Stateful, Vector, harness};

/// 1.0.0: plain.
mod plain {
    use std::collections::BTreeMap;

    #[wasmhot_guest::state]
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(crate) struct State {
        pub(crate) stock: BTreeMap<String, BTreeMap<u8, i64>>,
        pub(crate) log: Vec<String>,
        pub(crate) name: String,
    }

    wasmhot_guest::module! { name: "shop", version: "1.0.0", state: State, incremental: true }
}

/// 1.0.1, which keeps the format: containers, one of them with others in its entries.
mod held {
    use wasmhot_guest::{Cell, Map, Vector};

    #[wasmhot_guest::state]
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(crate) struct State {
        pub(crate) stock: Map<String, Map<u8, i64>>,
        pub(crate) log: Vector<String>,
        pub(crate) name: Cell<String>,
    }

    wasmhot_guest::module! { name: "shop", version: "1.0.1", state: State, incremental: true }
}

/// 1.1.0: its way back looks at what it must not look at, or has no container.
mod curious {
    use std::cell::Cell as Flag;

    use wasmhot_guest::{Cell, Map};

    thread_local! {
        pub(crate) static LOOKS: Flag<bool> = const { Flag::new(false) };
    }

    #[wasmhot_guest::state]
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(crate) struct State {
        pub(crate) stock: Map<String, Map<u8, i64>>,
        pub(crate) log: Vec<String>,
        pub(crate) name: Cell<String>,
    }

    wasmhot_guest::module! {
        name: "shop",
        version: "1.1.0",
        state: State,
        incremental: true,
        writes: { "~1.0" => super::held::State },
    }

    impl From<&State> for super::held::State {
        fn from(state: &State) -> Self {
            let stock = state.stock.clone();
            let first = LOOKS.get().then(|| stock.len().to_string());
            Self {
                stock,
                log: first.iter().chain(&state.log).cloned().collect(),
                name: state.name.clone(),
            }
        }
    }
}

fn held() -> held::State {
    let stock = (0..50_u8).map(|item| {
        (
            format!("item-{item}"),
            [(item, -1), (item + 1, 2)].into_iter().collect(),
        )
    });
    held::State {
        stock: stock.collect(),
        log: ["a", "b"].map(String::from).into_iter().collect(),
        name: Cell::new("shop".into()),
    }
}

fn change(from: &str, to: &str) -> Change {
    Change::new(from, to).expect("versions")
}

#[test]
fn containers_are_written_as_plain_maps_and_sequences_are() {
    let map = BTreeMap::from([("a".to_owned(), 1), ("ü".to_owned(), -300)]);
    let held: Map<String, i64> = map.clone().into();
    assert_eq!(Cbor::encode(&held), Cbor::encode(&map));
    assert_eq!(Cbor::decode(&Cbor::encode(&map).expect("encodes")), Ok(held));

    let sequence = vec![Some("a".to_owned()), None];
    let held: Vector<_> = sequence.iter().cloned().collect();
    assert_eq!(Cbor::encode(&held), Cbor::encode(&sequence));
    assert_eq!(Cbor::decode(&Cbor::encode(&sequence).expect("encodes")), Ok(held));

    let held = Cell::new(sequence.clone());
    assert_eq!(Cbor::encode(&held), Cbor::encode(&sequence));
    assert_eq!(Cbor::decode(&Cbor::encode(&sequence).expect("encodes")), Ok(held));
}

#[test]
fn a_module_may_change_from_plain_maps_to_containers_and_back() {
    let there: plain::State = harness::hand_over(&held(), &change("1.0.1", "1.0.0"));
    let back: held::State = harness::hand_over(&there, &change("1.0.0", "1.0.1"));
    assert_eq!(back, held());
    assert_eq!(there.stock["item-7"], BTreeMap::from([(7, -1), (8, 2)]));
}

#[test]
fn containers_in_entries_go_with_them() {
    let mut state = held();
    let to_itself = harness::between::<held::State, held::State>();
    let new: held::State = harness::hand_over_in_chunks(&mut state, &to_itself, |state, step| {
        if step < 5 {
            state.stock.update("item-49", |items| items.insert(200, 1));
            state.stock.remove(&format!("item-{step}"));
        }
    });
    assert_eq!(new, state);
    assert_eq!(new.stock.get("item-49").map(|items| items.len()), Some(3));
    // What came encoded goes on as it came.
    let mut new = new;
    let newer: held::State = harness::hand_over_in_chunks(&mut new, &to_itself, |_, _| {});
    assert_eq!(newer, state);
}

#[test]
fn a_state_without_containers_is_saved_in_one_piece() {
    let refused = std::panic::catch_unwind(|| {
        let mut state = plain::State::default();
        let _: plain::State = harness::hand_over_in_chunks(&mut state, &change("1.0.0", "1.0.0"), |_, _| {});
    });
    assert!(said(refused).contains("no container of this state can be given in chunks"));
}

#[test]
fn a_container_that_is_replaced_calls_the_hand_over_off() {
    let mut state = held();
    let refused = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let _: held::State = harness::hand_over_in_chunks(&mut state, &change("1.0.1", "1.0.1"), |state, step| {
            if step == 2 {
                state.stock = Map::new();
            }
        });
    }));
    assert!(said(refused).contains("was replaced while its state was handed over"));
    // The module serves on, and the next hand-over is a new one.
    let new: held::State = harness::hand_over_in_chunks(&mut state, &change("1.0.1", "1.0.1"), |_, _| {});
    assert!(new.stock.is_empty());
}

#[test]
fn r02_a_way_back_gives_chunks_without_looking() {
    let mut state = curious::State {
        stock: held().stock,
        log: vec!["plain".into()],
        name: Cell::new("shop".into()),
    };
    let down = change("1.1.0", "1.0.1");
    let old: held::State = harness::hand_over_in_chunks(&mut state, &down, |state, step| {
        if step < 9 {
            state.stock.update("item-3", |items| items.clear());
            state.log.push(format!("{step}"));
            state.name.update(|name| name.push('!'));
        }
    });
    assert_eq!(old.stock, state.stock);
    assert_eq!(old.log.len(), 10);
    assert_eq!(old.name.get().len(), 13);

    curious::LOOKS.set(true);
    let whole: held::State = harness::hand_over(&state, &down);
    assert_eq!(whole.log.get(0).as_deref(), Some(&"50".to_owned()));
    let refused = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let _: held::State = harness::hand_over_in_chunks(&mut state, &down, |_, _| {});
    }));
    assert!(said(refused).contains("a conversion looks at the entries"));
}

#[test]
fn a_map_is_used_like_any_other() {
    let mut map: Map<String, u32> = [("b".to_owned(), 2), ("a".to_owned(), 1)].into_iter().collect();
    assert_eq!(map.insert("a".into(), 3), Some(1));
    assert_eq!(*map.get_or_insert_with("c".into(), || 4), 4);
    assert_eq!(map.update("b", |value| *value *= 2), Some(()));
    assert_eq!(map.update("z", |_| ()), None);
    assert!(map.contains_key("c") && !map.contains_key("z"));
    assert_eq!(format!("{map:?}"), r#"{"a": 3, "b": 4, "c": 4}"#);
    assert_eq!(map.values().map(|value| *value).sum::<u32>(), 11);
    map.retain(|key, value| key != "a" && *value == 4);
    assert_eq!((map.remove("a"), map.remove("b"), map.len()), (None, Some(4), 1));
    map.clear();
    assert!(map.is_empty() && map == Map::default());

    let mut vector: Vector<u8> = (0..5).collect();
    assert_eq!(
        (vector.pop(), vector.set(0, 9), vector.last().as_deref()),
        (Some(4), 0, Some(&3))
    );
    vector.truncate(2);
    vector.extend([7]);
    assert_eq!(format!("{vector:?}"), "[9, 1, 7]");
    assert!(vector.get(3).is_none() && vector.get_mut(3).is_none());
    vector.clear();
    assert_eq!((vector.pop(), vector.last()), (None, None));
}

#[test]
fn an_entry_that_cannot_be_converted_is_named_when_it_is_touched() {
    let change = change("1.0.1", "1.0.1");
    let state: held::State = harness::hand_over_in_chunks(&mut held(), &change, |_, _| {});
    let converted = state
        .stock
        .convert_with(|items: Map<u8, i64>| items.get(&7).map(|item| *item).ok_or("no seven"));
    assert_eq!(converted.get("item-6").as_deref(), Some(&2));
    let touched = std::panic::catch_unwind(AssertUnwindSafe(|| converted.get("item-9").is_some()));
    assert!(said(touched).contains(r#"the entry "item-9" of the map of i64: no seven"#));
    assert!(Cbor::encode(&converted).is_err());
    // Its own type reads it still.
    assert!(held().save(&change).is_ok());
}

fn said<T>(result: Result<T, Box<dyn std::any::Any + Send>>) -> String {
    let error = result.err().expect("it is refused");
    error.downcast_ref::<String>().cloned().unwrap_or_default()
}

/// Another format of the state, and of one container in a state.
#[cfg(feature = "postcard")]
mod packed {
    use wasmhot_guest::codec::Postcard;
    use wasmhot_guest::{Cell, Map, Vector, harness};

    #[wasmhot_guest::state]
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(crate) struct State {
        pub(crate) stock: Map<u32, Option<String>, Postcard>,
        pub(crate) log: Vector<String>,
        pub(crate) name: Cell<String, Postcard>,
    }

    wasmhot_guest::module! { name: "shop", version: "2.0.0", format: postcard, state: State, incremental: true }

    #[test]
    fn a_container_has_a_format_of_its_own() {
        let mut state = State {
            stock: (0..300)
                .map(|item| (item, (item % 2 == 0).then(|| item.to_string())))
                .collect(),
            log: ["a".to_owned()].into_iter().collect(),
            name: Cell::from("shop".to_owned()),
        };
        let change = harness::between::<State, State>();
        let mut new: State = harness::hand_over_in_chunks(&mut state, &change, |state, step| {
            if step < 4 {
                state.stock.insert(step as u32, None);
            }
        });
        assert_eq!(new, state);
        assert_eq!(new.stock.remove(&298), Some(Some("298".into())));
    }
}
