//! The part of the catalog that tells which versions' formats the saved states are in: by their tags, without reading a state.

use super::StoreError;
use super::catalog::Catalog;
use super::tables::{STATES, open};
use redb::{Database, ReadableDatabase};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use wasmhot_appup::{ModuleName, ModuleVersion, Saved};

/// As much of a [`SavedStateTag`](super::SavedStateTag) as has to be read of each of a million keys.
#[derive(Deserialize)]
struct Format {
    version: ModuleVersion,
    #[serde(default)]
    written_for: Option<Reader>,
}

#[derive(Deserialize)]
struct Reader {
    to: ModuleVersion,
}

impl Format {
    /// The version in whose format the bytes are: on a way down that is not the one that wrote them (R2).
    fn holder(self) -> ModuleVersion {
        match self.written_for {
            Some(Reader { to }) if to.name == self.version.name && to.version < self.version.version => to,
            _ => self.version,
        }
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

    /// The saved states of a module, by the version in whose format they are. One pass over its tags.
    pub fn saved_of(&self, module: &ModuleName) -> Result<Vec<Saved>, StoreError> {
        let mut found: BTreeMap<ModuleVersion, u64> = BTreeMap::new();
        let mut damaged = None;
        let read = |database: &Database| -> Result<(), redb::Error> {
            let table = database.begin_read()?.open_table(STATES)?;
            for entry in table.range((module.as_str(), None)..)? {
                let (place, tag) = entry?;
                if place.value().0 != module.as_str() {
                    break;
                }
                match open::<Format>(self.path(), tag.value()) {
                    Ok(format) => *found.entry(format.holder()).or_default() += 1,
                    Err(error) => {
                        damaged = Some(error);
                        break;
                    }
                }
            }
            Ok(())
        };
        self.with(read).map_err(|error| self.failed(error))?;
        let of = |(version, states)| Saved {
            module: module.clone(),
            version,
            states,
        };
        damaged.map_or_else(|| Ok(found.into_iter().map(of).collect()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Form, SaveOrder, SaveReason, SavedState, SavedStateTag, WrittenFor};
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
        assert_eq!(of("a"), [(old, 4), (new.clone(), 1)]);
        assert_eq!(of("a-b"), [(other, 1)]);
        assert_eq!(of("b"), [(new, 1)]);
        assert_eq!(of("c"), []);
        let modules: Vec<_> = catalog.modules_with_states().expect("is read").into_iter().collect();
        let names: Vec<_> = modules.iter().map(ModuleName::as_str).collect();
        assert_eq!(names, ["a", "a-b", "b"]);
    }
}
