//! The part of the catalog that a sweep goes through (R33): the states of keys that other versions hold, in the order of the keys, and
//! their exchange for the same states in another form.
//!
//! Invariants:
//! - An exchange takes place only where the very state still stands that was read. Whoever has saved, removed or replaced it meanwhile was
//!   not seen by the reader, and wins.
//! - The new form has the old one's [`SaveOrder`](super::SaveOrder): it is no newer state. A save that was made before the exchange, and is
//!   written after it, replaces it.

use super::catalog::Catalog;
use super::counts::Changes;
use super::record;
use super::states::{Owner, States, bytes_of};
use super::tables::STATES;
use super::{SavedState, StoreError};
use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};
use std::ops::Bound;
use wasmhot_appup::{Digest, ModuleName};

/// Records that are looked at in one read: so many keys in a row may be swept already.
const LOOKED_AT: usize = 4096;

/// A saved state of a key, as it was read.
pub(crate) struct Asleep {
    pub(crate) state: SavedState,
    /// Its record as it stands there.
    record: Vec<u8>,
}

/// The saved states of some keys that follow each other.
pub(crate) struct Stretch {
    /// Those that another version holds.
    pub(crate) states: Vec<Asleep>,
    /// The last key that was looked at, unless it was the last of all.
    pub(crate) next: Option<String>,
}

/// A state in another form, for the one that was read.
#[derive(Debug)]
pub(crate) struct Exchange {
    old: Vec<u8>,
    pub(super) new: SavedState,
}

impl Asleep {
    /// For the same state in the format of another version.
    pub(crate) fn exchange(self, mut new: SavedState) -> Exchange {
        let tag = &self.state.tag;
        new.tag.order = tag.order;
        // It is as old as it was: keys expire by that.
        new.tag.time_ms = tag.time_ms;
        new.tag.reason = tag.reason;
        Exchange { old: self.record, new }
    }
}

impl Catalog {
    /// The states of the next keys of a module behind `after` that a version with other bytes than `live` holds, `count` of them at most.
    pub(crate) fn held_by_others(
        &self,
        module: &ModuleName,
        after: Option<&str>,
        live: &Digest,
        count: usize,
    ) -> Result<Stretch, StoreError> {
        let read = |database: &Database| -> Result<Stretch, redb::Error> {
            let transaction = database.begin_read()?;
            let table = transaction.open_table(STATES)?;
            let behind = (Bound::Excluded((module.as_str(), after)), Bound::Unbounded);
            let (mut states, mut looked_at) = (Vec::new(), 0);
            for entry in table.range::<Owner<'_>>(behind)? {
                let (place, there) = entry?;
                let (name, key) = place.value();
                if name != module.as_str() {
                    break;
                }
                looked_at += 1;
                match self.asleep(&transaction, (name, key), there.value(), live)? {
                    Ok(found) => states.extend(found),
                    // It is told again to whoever calls the key. The others have nothing to do with it.
                    Err(error) => tracing::error!("the saved state of {name} {key:?} is not handed over: {error}"),
                }
                if states.len() >= count || looked_at >= LOOKED_AT {
                    let next = key.map(str::to_owned);
                    return Ok(Stretch { states, next });
                }
            }
            Ok(Stretch { states, next: None })
        };
        self.with(read).map_err(|error| self.failed(error))
    }

    /// A state, if another version than `live` holds it.
    fn asleep(
        &self,
        transaction: &ReadTransaction,
        owner: Owner<'_>,
        there: &[u8],
        live: &Digest,
    ) -> Result<Result<Option<Asleep>, StoreError>, redb::Error> {
        let record = match record::read(self.path(), there) {
            // Only modules that are no keys have a part of their state elsewhere.
            Ok(record) if !record.tag.can_be_read_by(live) && record.tag.ahead.is_none() => record,
            Ok(_) => return Ok(Ok(None)),
            Err(error) => return Ok(Err(error)),
        };
        let bytes = bytes_of(transaction, owner, &record)?;
        let tag = record.tag_of(self.path(), owner.0, owner.1);
        let found = tag.map(|tag| {
            bytes.map(|bytes| Asleep {
                state: SavedState { tag, bytes },
                record: there.to_vec(),
            })
        });
        Ok(found)
    }
}

/// Exchanges states, with the records of the new ones in the same order.
pub(super) fn exchange_in(
    transaction: &WriteTransaction,
    exchanges: &[&Exchange],
    records: &[Vec<u8>],
    changes: &mut Changes,
) -> Result<(), redb::Error> {
    if exchanges.is_empty() {
        return Ok(());
    }
    let mut table = States::open(transaction)?;
    for (exchange, record) in exchanges.iter().zip(records) {
        let SavedState { tag, bytes } = &exchange.new;
        let owner = (tag.module.as_str(), tag.key.as_deref());
        let is_as_read = |there: Option<&[u8]>| there == Some(exchange.old.as_slice());
        if table.put_if(owner, (record, bytes), is_as_read)? {
            changes.went(owner, &exchange.old);
            changes.came(tag);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tables::{STATE_BYTES, seal};
    use super::super::{Form, SaveOrder, SaveReason, SavedStateTag};
    use super::*;
    use wasmhot_appup::ModuleVersion;

    fn name() -> ModuleName {
        ModuleName::parse("rooms").expect("a name")
    }

    fn version(minor: u8) -> ModuleVersion {
        ModuleVersion {
            name: name(),
            version: format!("1.{minor}.0").parse().expect("a version"),
            digest: Digest::from_bytes([minor; 32]),
        }
    }

    fn saved(key: Option<&str>, minor: u8, bytes: &[u8]) -> SavedState {
        let tag = SavedStateTag {
            module: name(),
            key: key.map(str::to_owned),
            version: version(minor),
            revision: 1,
            time_ms: 1,
            format: String::new(),
            size: bytes.len() as u64,
            reason: SaveReason::Periodic,
            order: SaveOrder::next(),
            written_for: None,
            form: Form::Whole,
            ahead: None,
        };
        SavedState {
            tag,
            bytes: bytes.into(),
        }
    }

    fn catalog(states: &[SavedState]) -> (tempfile::TempDir, Catalog) {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = Catalog::open(folder.path()).expect("opens");
        catalog.put_states(states, false).expect("is written");
        (folder, catalog)
    }

    fn read(catalog: &Catalog, after: Option<&str>, count: usize) -> (Vec<Asleep>, Option<String>) {
        let live = version(1).digest;
        let stretch = catalog.held_by_others(&name(), after, &live, count).expect("is read");
        (stretch.states, stretch.next)
    }

    fn keys(states: &[Asleep]) -> Vec<&str> {
        states.iter().filter_map(|read| read.state.tag.key.as_deref()).collect()
    }

    fn exchange(catalog: &Catalog, read: Vec<Asleep>) {
        let again = |read: Asleep| {
            let new = saved(read.state.tag.key.as_deref(), 1, b"exchanged");
            read.exchange(new)
        };
        let exchanges: Vec<_> = read.into_iter().map(again).collect();
        let exchanges: Vec<_> = exchanges.iter().collect();
        catalog
            .put_and_exchange::<SavedState>(&[], &exchanges, false)
            .expect("is written");
    }

    fn bytes(catalog: &Catalog, key: &str) -> Vec<u8> {
        let state = catalog.state(&name(), Some(key)).expect("is read").expect("is there");
        state.bytes.to_vec()
    }

    #[test]
    fn r33_a_sweep_reads_each_key_that_others_hold_once() {
        let mut states: Vec<_> = ["", "a", "b", "c"].map(|key| saved(Some(key), 0, b"old")).into();
        states.push(saved(Some("bb"), 1, b"live"));
        states.push(saved(None, 0, b"of the module itself"));
        let (_folder, catalog) = catalog(&states);
        let (first, next) = read(&catalog, None, 2);
        assert_eq!((keys(&first), next.as_deref()), (vec!["", "a"], Some("a")));
        let (second, next) = read(&catalog, next.as_deref(), 2);
        assert_eq!((keys(&second), next.as_deref()), (vec!["b", "c"], Some("c")));
        let (last, next) = read(&catalog, next.as_deref(), 2);
        assert_eq!((keys(&last).len(), next), (0, None));
    }

    #[test]
    fn r33_what_was_saved_meanwhile_is_not_replaced_by_another_form_of_what_was_before() {
        let states = ["early", "late", "left", "same"].map(|key| saved(Some(key), 0, b"old"));
        // Saved before the sweep reads, and written after it has exchanged.
        let late = saved(Some("late"), 0, b"saved");
        let (_folder, catalog) = catalog(&states);
        let (asleep, _) = read(&catalog, None, 100);
        catalog
            .put_states(&[saved(Some("early"), 1, b"saved")], false)
            .expect("is written");
        catalog.delete_state(&name(), Some("left")).expect("is removed");
        exchange(&catalog, asleep);
        catalog.put_states(&[late], false).expect("is written");
        assert_eq!(bytes(&catalog, "early"), b"saved");
        assert_eq!(bytes(&catalog, "late"), b"saved");
        assert_eq!(bytes(&catalog, "same"), b"exchanged");
        assert!(catalog.state(&name(), Some("left")).expect("is read").is_none());
        // It is the same state: as old as it was.
        let same = catalog
            .state(&name(), Some("same"))
            .expect("is read")
            .expect("is there");
        assert_eq!((same.tag.time_ms, same.tag.order), (1, states[3].tag.order));
        // Of what was counted, each exchange was told.
        let counts = |catalog: &Catalog| {
            let saved = catalog.saved_of(&name()).expect("is read");
            saved
                .iter()
                .map(|saved| (saved.version.clone(), saved.states))
                .collect::<Vec<_>>()
        };
        assert_eq!(counts(&catalog), [(version(0), 1), (version(1), 2)]);
        let (asleep, _) = read(&catalog, None, 100);
        exchange(&catalog, asleep);
        assert_eq!(counts(&catalog), [(version(1), 3)]);
    }

    /// As an older wasmhot has left it: the tag in JSON, and the bytes in the other table.
    fn put_as_of_old(catalog: &Catalog, state: &SavedState) {
        let owner = (state.tag.module.as_str(), state.tag.key.as_deref());
        let sealed = seal(&state.tag).expect("is sealed");
        let written = catalog.write(true, |transaction| {
            transaction.open_table(STATES)?.insert(owner, sealed.as_slice())?;
            transaction.open_table(STATE_BYTES)?.insert(owner, &*state.bytes)?;
            Ok(())
        });
        written.expect("is written");
    }

    fn beside(catalog: &Catalog) -> Vec<String> {
        let read = |database: &Database| -> Result<Vec<String>, redb::Error> {
            let table = database.begin_read()?.open_table(STATE_BYTES)?;
            let keys = table.range::<Owner<'_>>(..)?;
            keys.map(|entry| Ok(entry?.0.value().1.unwrap_or_default().to_owned()))
                .collect()
        };
        catalog.with(read).expect("is read")
    }

    #[test]
    fn states_of_an_older_wasmhot_are_read_swept_replaced_and_removed() {
        let (_folder, catalog) = catalog(&[]);
        let old = ["gone", "kept", "saved", "swept"].map(|key| saved(Some(key), 0, b"old"));
        for state in &old {
            put_as_of_old(&catalog, state);
        }
        assert_eq!(
            catalog.states_of(&name()).expect("is read"),
            old.clone().map(|state| state.tag)
        );
        assert_eq!(catalog.count_keys(&name()).expect("is read"), 4);
        let (mut asleep, _) = read(&catalog, None, 100);
        assert_eq!(keys(&asleep), ["gone", "kept", "saved", "swept"]);
        exchange(&catalog, asleep.split_off(3));
        let large = vec![7; 1 << 16];
        let now = [saved(Some("saved"), 1, b"new"), saved(Some("large"), 1, &large)];
        catalog.put_states(&now, true).expect("is written");
        assert!(catalog.delete_state(&name(), Some("gone")).expect("is removed"));
        assert_eq!(
            catalog.state(&name(), Some("kept")).expect("is read"),
            Some(old[1].clone())
        );
        assert_eq!(bytes(&catalog, "saved"), b"new");
        assert_eq!(bytes(&catalog, "swept"), b"exchanged");
        assert_eq!(bytes(&catalog, "large"), large);
        // Nothing is left of what was replaced.
        assert_eq!(beside(&catalog), ["kept", "large"]);
        let small = saved(Some("large"), 1, b"small");
        catalog.put_states(&[small], true).expect("is written");
        assert_eq!(beside(&catalog), ["kept"]);
        assert_eq!(bytes(&catalog, "large"), b"small");
        assert_eq!(catalog.count_keys(&name()).expect("is read"), 4);
        catalog.delete_states(&name()).expect("are removed");
        assert_eq!(
            (beside(&catalog).len(), catalog.count_keys(&name()).expect("is read")),
            (0, 0)
        );
    }
}
