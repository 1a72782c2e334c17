//! JSON Schemas (draft 7) of the three formats, for editors: `#:schema release.schema.json` as the first line of a file.
//!
//! They are made from the tables from which the readers work, and stand in `schemas/` of this crate. A schema is more lenient than its
//! reader: it knows the shape of a version, not whether a module is declared.
//!
//! Invariants (tested):
//! - A schema has exactly the keys that the reader knows.
//! - What a reader takes, the schema takes; an unknown key is refused by both.

mod parts;

use parts::{array, module_name, object, release_name, version};
use serde_json::{Value as Json, json};

/// The schema of `release.toml`.
#[must_use]
pub fn release() -> Json {
    let release = object(
        "`[release]`",
        "Which release this is.",
        &["name", "version"],
        vec![("name", release_name()), ("version", version("Its version."))],
    );
    document(
        "release",
        "A wasmhot release: its modules and how they run.",
        &["release"],
        vec![
            ("release", release),
            ("host", parts::host()),
            ("limits", parts::limits("`[limits]`")),
            ("modules", array(&parts::module(), "The modules.")),
        ],
    )
}

/// The schema of `<module>.appup.toml`.
#[must_use]
pub fn appup() -> Json {
    let up = parts::appup_entry("`[[up]]`", "`[[up.calls]]`", "from", "From which versions.");
    let down = parts::appup_entry("`[[down]]`", "`[[down.calls]]`", "to", "To which versions.");
    document(
        "appup",
        "How a version of a module comes out of earlier ones, and goes back to them.",
        &["module"],
        vec![
            ("module", module_name("The module.")),
            (
                "version",
                version("The version to which this belongs; absent: whichever it comes with."),
            ),
            (
                "up",
                array(
                    &up,
                    "From earlier versions; the first entry that holds the version counts.",
                ),
            ),
            (
                "down",
                array(
                    &down,
                    "To earlier versions; the first entry that holds the version counts.",
                ),
            ),
        ],
    )
}

/// The schema of `relup.toml`.
#[must_use]
pub fn relup() -> Json {
    let release = object(
        "`[release]`",
        "Which release becomes which.",
        &["name", "to"],
        vec![
            ("name", release_name()),
            ("from", version("The version that has to run; absent: whatever runs.")),
            ("to", version("The version that runs afterwards.")),
        ],
    );
    document(
        "relup",
        "How a wasmhot release becomes another, and back.",
        &["release"],
        vec![
            ("release", release),
            (
                "modules",
                array(&parts::module(), "The modules that change or are new."),
            ),
            ("middle", array(&parts::middle(), "The versions that `via` names.")),
            ("up", array(&parts::relup_entry("`[[up]]`"), "What to do, there.")),
            (
                "down",
                array(
                    &parts::relup_entry("`[[down]]`"),
                    "What to do, back; absent: the defaults.",
                ),
            ),
        ],
    )
}

/// A whole document: every one says its format.
fn document(name: &str, description: &str, required: &[&str], keys: Vec<(&str, Json)>) -> Json {
    let format = json!({ "const": 1, "description": "The format of this file." });
    let keys = std::iter::once(("format", format)).chain(keys).collect();
    let required: Vec<&str> = std::iter::once("format").chain(required.iter().copied()).collect();
    let mut schema = object("the file", description, &required, keys);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["$id"] = json!(format!(
        "https://github.com/wasmhot/wasmhot/blob/main/appup/schemas/{name}.schema.json"
    ));
    schema
}

#[cfg(test)]
mod tests;
