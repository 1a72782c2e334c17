//! A ledger, version 1.1.0: its entries have one field more.

mod v1_0;

use v1_0::StateV1;
use wasmhot_guest::{Map, Stateful};

/// What an upgrade hands over.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// By key.
    pub entries: Map<String, Entry>,
}

/// One line.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Its number.
    pub id: u64,
    /// Whose it is.
    pub name: String,
    /// How many.
    pub quantity: i32,
    /// Of one.
    pub price: f64,
    /// Whether it counts.
    pub active: bool,
    /// In percent. New in 1.1.0.
    pub discount: u32,
}

impl Entry {
    fn numbered(id: u32) -> Self {
        Self {
            id: id.into(),
            name: format!("customer number {id}"),
            quantity: (id % 1000) as i32,
            price: f64::from(id) * 0.25,
            active: id.is_multiple_of(3),
            discount: 0,
        }
    }
}

struct Ledger;

wasmhot_guest::module! {
    name: "ledger",
    kind: single,
    world: "ledger",
    exports: Ledger,
    state: State,
    incremental: true,
    reads: { "~1.0" => StateV1 },
    writes: { "~1.0" => StateV1 },
}

impl bindings::Guest for Ledger {
    fn fill(n: u32) -> u32 {
        State::with_mut(|state| {
            state.entries = (1..=n)
                .map(|id| (format!("key-{id:08}"), Entry::numbered(id)))
                .collect();
        });
        Self::size()
    }

    fn size() -> u32 {
        State::with(|state| state.entries.len() as u32)
    }

    fn get(key: String) -> Option<i32> {
        State::with(|state| state.entries.get(&key).map(|entry| entry.quantity))
    }

    fn touch(key: String) -> i32 {
        State::with_mut(|state| {
            let entry = state.entries.get_or_insert_with(key, Entry::default);
            entry.quantity = entry.quantity.wrapping_add(1);
            entry.quantity
        })
    }

    fn version() -> String {
        State::VERSION.into()
    }
}
