//! The part of the catalog that tells which versions' formats the saved states are in: by their tags, without reading a state.
//!
//! A module's tags are looked through once, the first time that somebody asks: from then on each transaction says what it has changed.
//!
//! Invariant: what is counted is what is committed. Whoever writes states holds the counts until his transaction has ended.

use super::catalog::Catalog;
use super::tables::{STATES, open};
use super::{SaveOrder, SavedStateTag, StoreError};
use redb::{Database, ReadableDatabase};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use wasmhot_appup::{ModuleName, ModuleVersion, Saved};

/// As much of a [`SavedStateTag`] as has to be read of each of a million keys.
#[derive(Deserialize)]
pub(super) struct Standing {
    version: ModuleVersion,
    #[serde(default)]
    pub(super) order: SaveOrder,
    #[serde(default)]
    written_for: Option<Reader>,
}

#[derive(Deserialize)]
struct Reader {
    to: ModuleVersion,
}

impl Standing {
    pub(super) fn of(sealed: &[u8]) -> Result<Self, StoreError> {
        open(Path::new("catalog"), sealed)
    }

    fn holder(self) -> ModuleVersion {
        holder(&self.version, self.written_for.as_ref().map(|reader| &reader.to)).clone()
    }
}

/// The version in whose format a state is.
pub(super) fn holder_of(tag: &SavedStateTag) -> &ModuleVersion {
    holder(&tag.version, tag.written_for.as_ref().map(|written| &written.to))
}

/// The version in whose format the bytes are: on a way down that is not the one that wrote them (R2).
fn holder<'a>(writer: &'a ModuleVersion, reader: Option<&'a ModuleVersion>) -> &'a ModuleVersion {
    match reader {
        Some(to) if to.name == writer.name && to.version < writer.version => to,
        _ => writer,
    }
}

/// The states of the modules that were asked for, by the version in whose format they are.
#[derive(Default)]
pub(super) struct Counts(HashMap<ModuleName, BTreeMap<ModuleVersion, Count>>);

#[derive(Clone, Copy, Default)]
struct Count {
    states: u64,
    /// Those of them that are of a key.
    keys: u64,
}

/// What a transaction does to the counts, if it is committed.
#[derive(Default)]
pub(super) struct Changes(Vec<Change>);

enum Change {
    Came(ModuleName, ModuleVersion, bool),
    Went(String, ModuleVersion, bool),
    /// All of the module.
    Forgotten(ModuleName),
    /// It cannot be told what there was: they have to be counted again.
    Unknown(String),
}

impl Changes {
    /// A state is written.
    pub(super) fn came(&mut self, tag: &SavedStateTag) {
        let holder = holder_of(tag).clone();
        self.0.push(Change::Came(tag.module.clone(), holder, tag.key.is_some()));
    }

    /// A state is replaced by the same one in the format of another version.
    pub(super) fn exchanged(&mut self, old: &ModuleVersion, new: &SavedStateTag) {
        let module = new.module.as_str().to_owned();
        self.0.push(Change::Went(module, old.clone(), new.key.is_some()));
        self.came(new);
    }

    /// What stood there is replaced or removed.
    pub(super) fn went(&mut self, (module, key): (&str, Option<&str>), was: Option<Standing>) {
        let module = module.to_owned();
        self.0.push(match was {
            Some(was) => Change::Went(module, was.holder(), key.is_some()),
            None => Change::Unknown(module),
        });
    }

    /// No state of the module is left.
    pub(super) fn forgotten(&mut self, module: &ModuleName) {
        self.0.push(Change::Forgotten(module.clone()));
    }
}

impl Counts {
    /// A transaction was committed.
    pub(super) fn apply(&mut self, changes: Changes) {
        for change in changes.0 {
            match change {
                Change::Came(module, holder, is_key) => {
                    if let Some(counted) = self.0.get_mut(&module) {
                        let count = counted.entry(holder).or_default();
                        count.states += 1;
                        count.keys += u64::from(is_key);
                    }
                }
                Change::Went(module, holder, is_key) => {
                    let Some(counted) = self.0.get_mut(module.as_str()) else {
                        continue;
                    };
                    if let Some(count) = counted.get_mut(&holder) {
                        count.states = count.states.saturating_sub(1);
                        count.keys = count.keys.saturating_sub(u64::from(is_key));
                        if count.states == 0 {
                            counted.remove(&holder);
                        }
                    }
                }
                Change::Forgotten(module) => {
                    if let Some(counted) = self.0.get_mut(&module) {
                        counted.clear();
                    }
                }
                Change::Unknown(module) => drop(self.0.remove(module.as_str())),
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

    /// One pass over all tags of a module.
    fn count(&self, module: &ModuleName) -> Result<BTreeMap<ModuleVersion, Count>, StoreError> {
        let mut found = BTreeMap::<ModuleVersion, Count>::new();
        let mut damaged = None;
        let read = |database: &Database| -> Result<(), redb::Error> {
            let table = database.begin_read()?.open_table(STATES)?;
            for entry in table.range((module.as_str(), None)..)? {
                let (place, tag) = entry?;
                let (name, key) = place.value();
                if name != module.as_str() {
                    break;
                }
                match open::<Standing>(self.path(), tag.value()) {
                    Ok(standing) => {
                        let count = found.entry(standing.holder()).or_default();
                        count.states += 1;
                        count.keys += u64::from(key.is_some());
                    }
                    Err(error) => {
                        damaged = Some(error);
                        break;
                    }
                }
            }
            Ok(())
        };
        self.with(read).map_err(|error| self.failed(error))?;
        damaged.map_or(Ok(found), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Form, SaveReason, SavedState, WrittenFor};
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
