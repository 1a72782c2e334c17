//! How a version describes its state (R4): the custom section `wasmhot:state`, in JSON.
//!
//! Invariants:
//! - Nothing here guesses: what is not described is not judged. Whoever has no description is found out by trying.
//! - A version reads what it wrote itself, whatever its description says.

use crate::name::ModuleVersion;
use crate::range::StateRange;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::fmt;

/// The custom section `wasmhot:state`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StateDescription {
    /// Media type of the bytes.
    #[serde(alias = "media_type")]
    pub media_type: String,
    /// Versions whose state this one can read.
    #[serde(default)]
    pub reads: Vec<StateRange>,
    /// Older versions for which it can write (R2).
    #[serde(default)]
    pub writes: Vec<StateRange>,
    /// What the state looks like. The fields of a record are compared; the rest is for people and tools.
    #[serde(default)]
    pub schema: Json,
}

impl StateDescription {
    /// Reads the section.
    ///
    /// # Errors
    /// If it is not JSON, or not of this form.
    pub fn parse(section: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(section)
    }

    /// True if `owner`, which this describes, can read what `writer` wrote.
    #[must_use]
    pub fn can_read(&self, owner: &ModuleVersion, writer: &ModuleVersion) -> bool {
        owner.digest == writer.digest || self.reader(owner, writer).is_some()
    }

    /// True if `owner`, which this describes, can write what `reader` reads (R2).
    #[must_use]
    pub fn can_write_for(&self, owner: &ModuleVersion, reader: &ModuleVersion) -> bool {
        self.writes
            .iter()
            .any(|range| range.holds(&owner.name, &reader.name, &reader.version))
    }

    /// True if an entry of `reads` is there for the format of `writer` and not for the version's own: the author thought of a
    /// conversion.
    #[must_use]
    pub fn converts(&self, owner: &ModuleVersion, writer: &ModuleVersion) -> bool {
        self.reader(owner, writer)
            .is_some_and(|range| !range.holds(&owner.name, &owner.name, &owner.version))
    }

    /// The first entry that fits is the one that is taken, as in the guest SDK.
    fn reader(&self, owner: &ModuleVersion, writer: &ModuleVersion) -> Option<&StateRange> {
        self.reads
            .iter()
            .find(|range| range.holds(&owner.name, &writer.name, &writer.version))
    }

    /// The fields that `newer` has no more, as far as both schemas name their fields.
    #[must_use]
    pub fn fields_lost_in(&self, newer: &StateDescription) -> Vec<String> {
        match (fields(&self.schema), fields(&newer.schema)) {
            (Some(before), Some(after)) => before.difference(&after).map(|field| (*field).to_owned()).collect(),
            _ => Vec::new(),
        }
    }

    /// The ranges that it reads, as text.
    #[must_use]
    pub fn shown_reads(&self) -> String {
        if self.reads.is_empty() {
            return "nothing but its own".to_owned();
        }
        let shown: Vec<String> = self.reads.iter().map(|range| format!("\"{range}\"")).collect();
        shown.join(", ")
    }
}

/// The fields of a record: of the Rust SDK (`{"type": …, "fields": {…}}`), of a JSON Schema (`{"properties": {…}}`), or of a plain
/// table of names and types. Of an enum, its variants. `None` where the schema names none.
fn fields(schema: &Json) -> Option<BTreeSet<&str>> {
    let table = schema.as_object()?;
    let named = ["fields", "variants", "properties"];
    let inner = named.into_iter().find_map(|key| table.get(key));
    let described = table.contains_key("type") || table.contains_key("$schema");
    let table = match inner {
        Some(inner) => inner.as_object()?,
        None if described => return None,
        None => table,
    };
    Some(table.keys().map(String::as_str).collect())
}

impl fmt::Display for StateDescription {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, reads {}", self.media_type, self.shown_reads())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::node;
    use serde_json::json;

    fn described(text: &str) -> StateDescription {
        StateDescription::parse(text.as_bytes()).expect("is read")
    }

    fn version(text: &str) -> ModuleVersion {
        let (module, version) = text.split_once('@').expect("a version");
        node(&format!("{module} single {version}")).version
    }

    #[test]
    fn r04_reads_and_writes_say_whose_state() {
        let state = described(
            r#"{"media-type":"application/cbor","reads":["~1.2",">=1.0, <1.2","shop@^1.4"],"writes":["1.1"],"schema":{"n":"u64"}}"#,
        );
        let owner = version("orders@1.2.0");
        for (writer, read, converted) in [
            ("orders@1.2.5", true, false),
            ("orders@1.1.0", true, true),
            ("orders@0.9.0", false, false),
            ("orders@1.3.0", false, false),
            ("shop@1.9.0", true, true),
            ("cart@1.2.0", false, false),
            ("orders@1.2.0-rc.1", true, false),
        ] {
            assert_eq!(state.can_read(&owner, &version(writer)), read, "{writer}");
            assert_eq!(state.converts(&owner, &version(writer)), converted, "{writer}");
        }
        assert!(state.can_write_for(&owner, &version("orders@1.1.0")));
        assert!(!state.can_write_for(&owner, &version("orders@1.0.0")));
        assert_eq!(state.shown_reads(), r#""~1.2", ">=1.0, <1.2", "shop@^1.4""#);
        let text = serde_json::to_string(&state).expect("serialises");
        assert_eq!(described(&text), state);
    }

    #[test]
    fn r04_its_own_bytes_are_always_read() {
        let state = described(r#"{"media_type":"text/plain"}"#);
        let owner = version("orders@1.2.0");
        assert!(state.can_read(&owner, &owner));
        assert!(!state.can_read(&owner, &version("orders@1.1.0")));
        assert_eq!(state.shown_reads(), "nothing but its own");
        assert!(StateDescription::parse(b"{").is_err());
    }

    #[test]
    fn lost_fields_show_in_each_form_of_schema() {
        let of = |schema: Json| StateDescription {
            schema,
            ..StateDescription::default()
        };
        let forms: [fn(Json) -> Json; 3] = [
            |fields| json!({ "type": "State", "fields": fields }),
            |fields| json!({ "$schema": "…", "type": "object", "properties": fields }),
            |fields| fields,
        ];
        for form in forms {
            let before = of(form(json!({ "a": "u32", "b": "u32", "c": "u32" })));
            let after = of(form(json!({ "b": "u64", "d": "u32" })));
            assert_eq!(before.fields_lost_in(&after), ["a", "c"]);
        }
        let unnamed = of(json!({ "type": "State", "fields": ["u32"] }));
        for other in [
            json!(null),
            json!({ "type": "string" }),
            json!({ "fields": { "a": 1 } }),
        ] {
            assert!(unnamed.fields_lost_in(&of(other.clone())).is_empty());
            assert!(of(other).fields_lost_in(&unnamed).is_empty());
        }
    }
}
