//! `relup.toml`: how one release becomes another, and back.
//!
//! Where a state cannot go from the old version to the new one directly, `update` names the versions between them (R28), and their
//! files may stand beside those of the modules:
//!
//! ```toml
//! [[middle]]
//! name = "server"
//! version = "1.1.0"
//! path = "server-1.1.0.wasm"
//! sha256 = "…"
//!
//! [[up]]
//! update = "server"
//! via = ["1.1.0"]                    # or { version = "1.1.0", extra = … }
//! ```

mod instruction;
mod write;

pub use instruction::{CallSpec, Instruction, StatePolicy, Via, When};
pub(crate) use instruction::{read_calls, read_main};
pub(crate) use write::Text;

use crate::diagnostic::Diagnostics;
use crate::name::{Digest, ModuleName, Version};
use crate::read::{Source, Table};
use crate::release::{read_modules, read_name, read_version};
use crate::settings::ModuleSpec;
use serde::{Deserialize, Serialize};

/// Which release becomes which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseStep {
    /// Name of the release.
    pub name: String,
    /// The version that has to run; absent: whatever runs, compared module by module.
    #[serde(default)]
    pub from: Option<Version>,
    /// The version that runs afterwards.
    pub to: Version,
}

/// A version that only lives in throw-away instances, to pass a state on (R28). Several of one module may stand in a relup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MiddleSpec {
    /// Of which module.
    pub name: ModuleName,
    /// Which version.
    pub version: Version,
    /// Its file, relative to that of the relup; absent: the host has it.
    #[serde(default)]
    pub path: Option<String>,
    /// Digest that the file must have.
    #[serde(default)]
    pub sha256: Option<Digest>,
}

/// An upgrade between two releases, and the way back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relup {
    /// Which releases.
    pub release: ReleaseStep,
    /// The modules that change or are new.
    #[serde(default)]
    pub modules: Vec<ModuleSpec>,
    /// The versions that `via` names.
    #[serde(default)]
    pub middle: Vec<MiddleSpec>,
    /// What to do, one way.
    #[serde(default)]
    pub up: Vec<Instruction>,
    /// What to do, the other way; empty: the defaults.
    #[serde(default)]
    pub down: Vec<Instruction>,
}

impl Relup {
    /// The text of the relup: [`Relup::parse`] reads it back as the same value.
    ///
    /// # Errors
    /// If a value has no form in TOML: `null` inside an `extra` or an argument, or a number beyond 64 bits with sign.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        write::write(self)
    }

    /// Reads `relup.toml`. `file_name` is what faults call it.
    ///
    /// # Errors
    /// Every fault of the text, with its place.
    pub fn parse(file_name: &str, text: &str) -> Result<Relup, Diagnostics> {
        Source::parse(file_name, text, |top| {
            let release = top.table("release", "`[release]`");
            if !top.has("release") {
                top.missing("release", "{ name = \"…\", to = \"1.1.0\" }");
            }
            let step = release.and_then(|mut release| {
                let name = read_name(&mut release);
                let from = release.version("from");
                let to = read_version(&mut release, "to");
                release.finish();
                Some(ReleaseStep {
                    name: name?,
                    from,
                    to: to?,
                })
            });
            let modules = read_modules(top);
            let middle = read_middle(top);
            let (up, down) = instruction::read_both(top, &modules);
            Some(Relup {
                release: step?,
                modules,
                middle,
                up,
                down,
            })
        })
    }
}

/// `[[middle]]`. A version that stands there twice is a fault.
fn read_middle(top: &mut Table<'_>) -> Vec<MiddleSpec> {
    let mut middle: Vec<MiddleSpec> = Vec::new();
    for mut table in top.tables("middle", "`[[middle]]`") {
        let span = table.span();
        let source = table.source;
        if table.value("name").is_none() {
            table.missing("name", "\"counter\"");
        }
        let name = table.module("name");
        let version = read_version(&mut table, "version");
        let path = table.text("path").map(|(path, _)| path.to_owned());
        let sha256 = table.digest("sha256");
        table.finish();
        let Some((name, version)) = name.zip(version) else {
            continue;
        };
        if middle.iter().any(|one| one.name == name && one.version == version) {
            let message = format!("`{name}` {version} stands in `[[middle]]` twice");
            source.refuse(&span, message, "keep one".to_owned());
            continue;
        }
        middle.push(MiddleSpec {
            name,
            version,
            path,
            sha256,
        });
    }
    middle
}

#[cfg(test)]
pub(crate) mod tests;
