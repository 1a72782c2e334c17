//! The part of the catalog that tells which versions' formats the saved states are in: by their tags, without reading a state.
//!
//! A module's tags are looked through once, the first time that somebody asks: from then on each transaction says what it has changed.
//!
//! Invariant: what is counted is what is committed. Whoever writes states holds the counts until his transaction has ended.

use super::catalog::Catalog;
use super::record::{self, Build, Tag};
use super::states::Owner;
use super::tables::STATES;
use super::{SavedStateTag, StoreError};
use redb::{Database, ReadableDatabase};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use wasmhot_appup::{ModuleName, ModuleVersion, Saved};

/// The states of the modules that were asked for, by the version in whose format they are.
#[derive(Default)]
pub(super) struct Counts(HashMap<ModuleName, BTreeMap<ModuleVersion, Count>>);

#[derive(Clone, Copy, Default)]
struct Count {
    states: u64,
    /// Those of them that are of a key.
    keys: u64,
}

/// What a transaction does to the counts, if it is committed: one entry for all states of a kind, which may be thousands.
#[derive(Default)]
pub(super) struct Changes(Vec<Change>);

struct Change {
    module: String,
    /// In whose format they are.
    holder: Build<'static>,
    are_keys: bool,
    /// So many more, or less.
    by: i64,
}

impl Changes {
    /// A state is written.
    pub(super) fn came(&mut self, tag: &SavedStateTag) {
        self.count((tag.module.as_str(), tag.key.as_deref()), Tag::of(tag).holder(), 1);
    }

    /// What stood there is replaced or removed. A module with a record that cannot be read is not counted.
    pub(super) fn went(&mut self, owner: Owner<'_>, record: &[u8]) {
        if let Ok(record) = record::read(Path::new("catalog"), record) {
            self.count(owner, record.tag.holder(), -1);
        }
    }

    fn count(&mut self, (module, key): Owner<'_>, holder: &Build<'_>, by: i64) {
        let are_keys = key.is_some();
        let is_like =
            |change: &&mut Change| change.are_keys == are_keys && change.holder == *holder && change.module == module;
        match self.0.iter_mut().find(is_like) {
            Some(change) => change.by += by,
            None => self.0.push(Change {
                module: module.to_owned(),
                holder: holder.clone().into_owned(),
                are_keys,
                by,
            }),
        }
    }
}

impl Change {
    fn apply(self, counted: &mut BTreeMap<ModuleVersion, Count>) -> Result<(), String> {
        let holder = self.holder.open()?;
        let count = counted.entry(holder.clone()).or_default();
        count.states = count.states.saturating_add_signed(self.by);
        if self.are_keys {
            count.keys = count.keys.saturating_add_signed(self.by);
        }
        if count.states == 0 {
            counted.remove(&holder);
        }
        Ok(())
    }
}

impl Counts {
    /// A transaction was committed.
    pub(super) fn apply(&mut self, changes: Changes) {
        for change in changes.0 {
            let module = change.module.clone();
            let applied = self.0.get_mut(module.as_str()).map(|counted| change.apply(counted));
            // They are counted again when somebody asks, and what is wrong is told then.
            if let Some(Err(_)) = applied {
                self.0.remove(module.as_str());
            }
        }
    }

    /// It is not known what became of a transaction.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Catalog {
    /// The modules of which a state is saved: one look for each, however many keys it has.
    pub fn modules_with_states(&self) -> Result<BTreeSet<ModuleName>, StoreError> {
        let read = |database: &Database| -> Result<BTreeSet<ModuleName>, redb::Error> {
            let table = database.begin_read()?.open_table(STATES)?;
            let mut found = BTreeSet::new();
            let mut from = String::new();
            while let Some(entry) = table.range((from.as_str(), None)..)?.next() {
                let name = entry?.0.value().0.to_owned();
                found.extend(ModuleName::parse(&name).ok());
                // Nothing lies between a name and itself with a zero behind it but its own keys.
                from = name + "\0";
            }
            Ok(found)
        };
        self.with(read).map_err(|error| self.failed(error))
    }

    /// The saved states of a module, by the version in whose format they are.
    pub fn saved_of(&self, module: &ModuleName) -> Result<Vec<Saved>, StoreError> {
        let of = |(version, count): (&ModuleVersion, &Count)| Saved {
            module: module.clone(),
            version: version.clone(),
            states: count.states,
        };
        self.counted(module, |counted| counted.iter().map(of).collect())
    }

    /// How many keys of a module have a saved state.
    pub fn count_keys(&self, module: &ModuleName) -> Result<u64, StoreError> {
        self.counted(module, |counted| counted.values().map(|count| count.keys).sum())
    }

    fn counted<T>(
        &self,
        module: &ModuleName,
        read: impl FnOnce(&BTreeMap<ModuleVersion, Count>) -> T,
    ) -> Result<T, StoreError> {
        // Held while they are counted: nobody is to write in between.
        let mut counts = self.counts();
        if let Some(counted) = counts.0.get(module) {
            return Ok(read(counted));
        }
        let counted = self.count(module)?;
        Ok(read(counts.0.entry(module.clone()).or_insert(counted)))
    }

    /// One pass over all records of a module.
    fn count(&self, module: &ModuleName) -> Result<BTreeMap<ModuleVersion, Count>, StoreError> {
        let read = |database: &Database| -> Result<Result<Changes, StoreError>, redb::Error> {
            let table = database.begin_read()?.open_table(STATES)?;
            let mut found = Changes::default();
            for entry in table.range((module.as_str(), None)..)? {
                let (place, record) = entry?;
                let owner = place.value();
                if owner.0 != module.as_str() {
                    break;
                }
                match record::read(self.path(), record.value()) {
                    Ok(record) => found.count(owner, record.tag.holder(), 1),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok(found))
        };
        let found = self.with(read).map_err(|error| self.failed(error))??;
        let mut counted = BTreeMap::new();
        for change in found.0 {
            let applied = change.apply(&mut counted);
            applied.map_err(|why| record::damaged(self.path(), &why))?;
        }
        Ok(counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Form, SaveOrder, SaveReason, SavedState, WrittenFor};
    use wasmhot_appup::Digest;

    fn version(name: &str, version: &str) -> ModuleVersion {
        ModuleVersion {
            name: ModuleName::parse(name).expect("a name"),
            version: version.parse().expect("a version"),
            digest: Digest::from_bytes([version.len() as u8; 32]),
        }
    }

    fn state(module: &str, key: Option<&str>, by: &ModuleVersion, to: Option<&ModuleVersion>) -> SavedState {
        let written_for = to.cloned().map(|to| WrittenFor {
            to,
            extra: serde_json::Value::Null,
        });
        SavedState {
            tag: SavedStateTag {
                module: ModuleName::parse(module).expect("a name"),
                key: key.map(str::to_owned),
                version: by.clone(),
                revision: 1,
                time_ms: 1,
                format: String::new(),
                size: 1,
                reason: SaveReason::Hibernated,
                order: SaveOrder::next(),
                written_for,
                form: Form::Whole,
                ahead: None,
            },
            bytes: [1_u8].into(),
        }
    }

    #[test]
    fn r28_states_are_counted_by_the_version_in_whose_format_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = Catalog::open(folder.path()).expect("opens");
        let (old, new, other) = (version("a", "1.0.0"), version("a", "1.1.0"), version("a-b", "1.0.0"));
        let states = [
            state("a", Some(""), &old, None),
            state("a", Some("k"), &old, None),
            // On the way up they are as the old one wrote them, on the way down as the old one reads them.
            state("a", Some("l"), &old, Some(&new)),
            state("a", Some("m"), &new, Some(&old)),
            state("a", Some("n"), &new, None),
            state("a-b", None, &other, None),
            // Renamed: as the module that has gone wrote it.
            state("b", Some("k"), &new, Some(&version("b", "0.1.0"))),
        ];
        catalog.put_states(&states, true).expect("is written");
        let of = |module: &str| {
            let saved = catalog
                .saved_of(&ModuleName::parse(module).expect("a name"))
                .expect("is read");
            let saved = saved.iter().map(|saved| (saved.version.clone(), saved.states));
            saved.collect::<Vec<_>>()
        };
        assert_eq!(of("a"), [(old.clone(), 4), (new.clone(), 1)]);
        assert_eq!(of("a-b"), [(other, 1)]);
        assert_eq!(of("b"), [(new.clone(), 1)]);
        let keys = |module: &str| {
            catalog
                .count_keys(&ModuleName::parse(module).expect("a name"))
                .expect("is read")
        };
        assert_eq!((keys("a"), keys("a-b"), keys("b"), keys("c")), (5, 0, 1, 0));
        // From now on they are not looked through any more.
        let again = [
            state("a", Some("k"), &new, None),
            state("a", Some("o"), &old, None),
            state("c", Some("k"), &version("c", "1.0.0"), None),
        ];
        catalog.put_states(&again, false).expect("is written");
        let name = |module: &str| ModuleName::parse(module).expect("a name");
        assert!(catalog.delete_state(&name("a"), Some("l")).expect("is removed"));
        assert!(!catalog.delete_state(&name("a"), Some("nobody")).expect("is read"));
        catalog.delete_states(&name("b")).expect("are removed");
        assert_eq!(of("a"), [(version("a", "1.0.0"), 3), (version("a", "1.1.0"), 2)]);
        assert_eq!((keys("a"), keys("b"), keys("c")), (5, 0, 1));
        assert_eq!(of("b"), []);
        // As another process finds them that has never counted.
        drop(catalog);
        let catalog = Catalog::open(folder.path()).expect("opens");
        let counted = catalog.saved_of(&name("a")).expect("is read");
        assert_eq!(counted.iter().map(|saved| saved.states).collect::<Vec<_>>(), [3, 2]);
        let modules: Vec<_> = catalog.modules_with_states().expect("is read").into_iter().collect();
        let names: Vec<_> = modules.iter().map(ModuleName::as_str).collect();
        assert_eq!(names, ["a", "a-b", "c"]);
    }
}
