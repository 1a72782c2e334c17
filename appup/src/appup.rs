//! `<module>.appup.toml`: how one version of a module comes out of earlier ones, and goes back to them.
//!
//! As in OTP, the appup of the *newer* version describes both ways: `[[up]]` from the versions before it, `[[down]]` to them; and
//! the first entry that holds the other version counts. An entry says what an entry of a relup says, of this one module: the planner
//! copies it. It may stand beside the module's file, or in it, as the custom section `wasmhot:appup`.
//!
//! ```toml
//! format = 1
//! module = "server"
//! version = "1.1.0"                  # optional: the version that this belongs to
//!
//! [[up]]
//! from = ">=1.0.0, <1.1.0"           # a bare "1.0.0" is exactly that version
//! update = "server"                  # or load_module, restart_module; absent: the default
//! extra = { currency = "USD" }
//! calls = [
//!     { call = { module = "schema", function = "expand" }, undo = { module = "schema", function = "contract" } },
//! ]
//!
//! [[down]]
//! to = "1.0.0"
//! update = "server"
//! ```
//!
//! A module that takes another's state (R31) names it in the range: `from = "shop@^1.4"` with `add_module = "orders"` and
//! `state_from = ["shop"]`; the way back, in the same appup, is `to = "shop@^1.4"` with `add_module = "shop"`.
//!
//! Invariants:
//! - An entry is about the module of the appup, or about the one that its range names.
//! - Of two entries with the same range the second could never count: it is a fault.

mod read;
mod write;

use crate::diagnostic::Diagnostics;
use crate::name::{ModuleName, Version};
use crate::range::Predecessor;
use crate::read::Source;
use crate::relup::Instruction;
use serde::{Deserialize, Serialize};

/// How a version of a module comes and goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appup {
    /// The module.
    pub module: ModuleName,
    /// The version of it to which this belongs; absent: whichever it comes with.
    #[serde(default)]
    pub version: Option<Version>,
    /// From earlier versions.
    #[serde(default)]
    pub up: Vec<AppupEntry>,
    /// To earlier versions.
    #[serde(default)]
    pub down: Vec<AppupEntry>,
}

/// What to do for some versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppupEntry {
    /// From which versions (`from`), or to which (`to`).
    pub versions: Predecessor,
    /// What becomes of the module; absent: the default.
    #[serde(default)]
    pub instruction: Option<Instruction>,
    /// `call` steps.
    #[serde(default)]
    pub calls: Vec<Instruction>,
}

impl Appup {
    /// Reads an appup. `file_name` is what faults call it.
    ///
    /// # Errors
    /// Every fault of the text, with its place.
    pub fn parse(file_name: &str, text: &str) -> Result<Appup, Diagnostics> {
        Source::parse(file_name, text, read::read)
    }

    /// The text of the appup: [`Appup::parse`] reads it back as the same value.
    ///
    /// # Errors
    /// As [`crate::Relup::to_toml`].
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        write::write(self)
    }

    /// The first `[[up]]` entry that holds this version of this module.
    #[must_use]
    pub fn up_from(&self, module: &ModuleName, version: &Version) -> Option<&AppupEntry> {
        self.first(&self.up, module, version)
    }

    /// The first `[[down]]` entry that holds this version of this module.
    #[must_use]
    pub fn down_to(&self, module: &ModuleName, version: &Version) -> Option<&AppupEntry> {
        self.first(&self.down, module, version)
    }

    fn first<'e>(&self, entries: &'e [AppupEntry], module: &ModuleName, version: &Version) -> Option<&'e AppupEntry> {
        entries
            .iter()
            .find(|entry| entry.versions.holds(&self.module, module, version))
    }
}

#[cfg(test)]
pub(crate) mod tests;
