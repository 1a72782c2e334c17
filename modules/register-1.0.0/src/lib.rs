//! A register of many entries, version 1.0.0: its state is handed over in chunks, while it serves.

use std::fmt;

use wasmhot_guest::{Cell, Map, Stateful, Vector};

/// What an upgrade hands over.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// By key.
    pub entries: Map<String, Entry>,
    /// Lines.
    pub log: Vector<String>,
    /// Changed now and then.
    pub settings: Cell<Settings>,
    /// Calls of `put`.
    pub total: u64,
}

impl State {
    /// Of all keys and counts, whatever their order. It looks at every entry.
    #[must_use]
    pub fn checksum(&self) -> u64 {
        self.entries.iter().fold(0, |sum, (key, entry)| {
            // FNV-1a.
            let hash = key
                .bytes()
                .chain(entry.count.to_le_bytes())
                .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                });
            sum.wrapping_add(hash)
        })
    }
}

/// Of the register.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// What it is for.
    pub label: String,
    /// For how many entries it is meant.
    pub limit: u64,
}

/// One entry.
#[wasmhot_guest::state]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// What `put` gives.
    pub count: u64,
    /// Readable.
    pub name: String,
    /// 1.1.0 refuses the least one.
    pub rank: i32,
    /// Some fraction.
    pub weight: f64,
    /// Odd ones are.
    pub active: bool,
}

impl Entry {
    /// The one that `fill` makes.
    #[must_use]
    pub fn numbered(number: u32) -> Self {
        Self {
            count: number.into(),
            name: format!("entry {number}"),
            rank: i32::try_from(number % 100).unwrap_or_default(),
            weight: f64::from(number) / 8.0,
            active: number % 2 == 1,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            count,
            name,
            rank,
            weight,
            active,
        } = self;
        write!(
            f,
            "{name}: count {count}, rank {rank}, weight {weight}, active {active}"
        )
    }
}

struct Register;

wasmhot_guest::module! {
    name: "register",
    kind: single,
    world: "register",
    exports: Register,
    state: State,
    incremental: true,
}

impl bindings::Guest for Register {
    fn fill(n: u32) -> u32 {
        State::with_mut(|state| {
            for number in 1..=n {
                state
                    .entries
                    .insert(format!("key-{number:07}"), Entry::numbered(number));
            }
            size(state)
        })
    }

    fn put(key: String, count: u64) -> u64 {
        State::with_mut(|state| {
            state.entries.get_or_insert_with(key, Entry::default).count = count;
            state.total += 1;
            state.total
        })
    }

    fn get(key: String) -> Option<String> {
        State::with(|state| state.entries.get(&key).map(|entry| entry.to_string()))
    }

    fn drop_entry(key: String) -> bool {
        State::with_mut(|state| state.entries.remove(&key).is_some())
    }

    fn size() -> u32 {
        State::with(size)
    }

    fn total() -> u64 {
        State::with(|state| state.total)
    }

    fn note(text: String) -> u32 {
        State::with_mut(|state| {
            state.log.push(text);
            u32::try_from(state.log.len()).unwrap_or(u32::MAX)
        })
    }

    fn checksum() -> u64 {
        State::with(State::checksum)
    }

    fn label(text: String) -> String {
        State::with_mut(|state| {
            state
                .settings
                .update(|settings| std::mem::replace(&mut settings.label, text))
        })
    }

    fn break_entry(key: String) {
        State::with_mut(|state| state.entries.get_or_insert_with(key, Entry::default).rank = i32::MIN);
    }

    fn trap() {
        panic!("a trap was asked for");
    }

    fn version() -> String {
        State::VERSION.into()
    }
}

fn size(state: &State) -> u32 {
    u32::try_from(state.entries.len()).unwrap_or(u32::MAX)
}
