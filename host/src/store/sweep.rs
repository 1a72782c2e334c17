//! The part of the catalog that a sweep goes through (R33): the states of keys that other versions hold, in the order of the keys, and
//! their exchange for the same states in another form.
//!
//! Invariants:
//! - An exchange takes place only where the very state still stands that was read. Whoever has saved, removed or replaced it meanwhile was
//!   not seen by the reader, and wins.
//! - The new form has the old one's [`SaveOrder`](super::SaveOrder): it is no newer state. A save that was made before the exchange, and is
//!   written after it, replaces it.

use super::catalog::Catalog;
use super::saved::{Changes, holder_of};
use super::tables::{STATE_BYTES, STATES, open};
use super::{SavedState, SavedStateTag, StoreError};
use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};
use std::ops::Bound;
use wasmhot_appup::{Digest, ModuleName, ModuleVersion};

/// Tags that are looked at in one read: so many keys in a row may be swept already.
const LOOKED_AT: usize = 4096;

/// A saved state of a key, as it was read.
pub(crate) struct Asleep {
    pub(crate) state: SavedState,
    /// Its tag as it stands there.
    sealed: Vec<u8>,
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
    holder: ModuleVersion,
    pub(super) new: SavedState,
}

impl Asleep {
    /// For the same state in the format of another version.
    pub(crate) fn exchange(&self, mut new: SavedState) -> Exchange {
        let tag = &self.state.tag;
        new.tag.order = tag.order;
        // It is as old as it was: keys expire by that.
        new.tag.time_ms = tag.time_ms;
        new.tag.reason = tag.reason;
        Exchange {
            old: self.sealed.clone(),
            holder: holder_of(tag).clone(),
            new,
        }
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
            let (tags, bytes) = (transaction.open_table(STATES)?, transaction.open_table(STATE_BYTES)?);
            let behind = (Bound::Excluded((module.as_str(), after)), Bound::Unbounded);
            // Both tables have the same keys in the same order: they are gone through together.
            let mut all_bytes = bytes.range::<(&str, Option<&str>)>(behind)?;
            let (mut states, mut looked_at) = (Vec::new(), 0);
            for entry in tags.range::<(&str, Option<&str>)>(behind)? {
                let (place, tag) = entry?;
                let (name, key) = place.value();
                if name != module.as_str() {
                    break;
                }
                let beside = all_bytes.next().transpose()?;
                looked_at += 1;
                let sealed = tag.value();
                match open::<SavedStateTag>(self.path(), sealed) {
                    // Only modules that are no keys have a part of their state elsewhere.
                    Ok(tag) if !is_held_by(&tag, live) && tag.ahead.is_none() => {
                        let beside = beside.filter(|(place, _)| place.value() == (name, key));
                        let found = match beside {
                            Some((_, bytes)) => Some(bytes.value().into()),
                            None => bytes.get((name, key))?.map(|bytes| bytes.value().into()),
                        };
                        states.extend(found.map(|bytes| Asleep {
                            state: SavedState { tag, bytes },
                            sealed: sealed.to_vec(),
                        }));
                    }
                    Ok(_) => {}
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
}

/// Whether a version with these bytes reads it without a `migrate` from another: it has written it, or it was written for that.
fn is_held_by(tag: &SavedStateTag, version: &Digest) -> bool {
    let holder = tag.written_for.as_ref().map_or(&tag.version, |written| &written.to);
    holder.digest == *version
}

/// Exchanges states, with the sealed tags of the new ones in the same order.
pub(super) fn exchange_in(
    transaction: &WriteTransaction,
    exchanges: &[&Exchange],
    tags: &[Vec<u8>],
    changes: &mut Changes,
) -> Result<(), redb::Error> {
    if exchanges.is_empty() {
        return Ok(());
    }
    let mut tag_table = transaction.open_table(STATES)?;
    let mut byte_table = transaction.open_table(STATE_BYTES)?;
    for (exchange, sealed) in exchanges.iter().zip(tags) {
        let tag = &exchange.new.tag;
        let place = (tag.module.as_str(), tag.key.as_deref());
        let is_as_read = tag_table.get(place)?.is_some_and(|there| there.value() == exchange.old);
        if is_as_read {
            changes.exchanged(&exchange.holder, tag);
            tag_table.insert(place, sealed.as_slice())?;
            byte_table.insert(place, &*exchange.new.bytes)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Form, SaveOrder, SaveReason};
    use super::*;

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

    fn exchange(catalog: &Catalog, read: &[Asleep]) {
        let exchanges: Vec<_> = read
            .iter()
            .map(|read| read.exchange(saved(read.state.tag.key.as_deref(), 1, b"exchanged")))
            .collect();
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
        exchange(&catalog, &asleep);
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
        exchange(&catalog, &asleep);
        assert_eq!(counts(&catalog), [(version(1), 3)]);
    }
}
