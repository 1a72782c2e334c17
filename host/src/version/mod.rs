//! Bytes become a version: named, checked, compiled.
//!
//! The steps, each a file: what kind of bytes it is and what its sections say ([`outline`](self)), who it is ([`metadata`](self)),
//! a core module becomes a component ([`wrap`](self)), what it exports and imports ([`contract`](self)), and only then the
//! compiler ([`compile`], [`compile_within`]), or its work of an earlier time ([`cache`](self)). Everything before the compiler is quick also for large files and is what
//! [`describe`] shows: so a file is refused in milliseconds for anything but its machine code.

mod cache;
mod compile;
mod contract;
mod describe;
mod engine;
mod error;
mod exports;
mod metadata;
mod outline;
mod places;
mod prepare;
mod types;
mod wrap;

pub(crate) use cache::CodeCache;
pub use compile::{compile, compile_within, name_of, time_by_size};
pub(crate) use compile::{compile_anew_within, load_known};
pub(crate) use contract::DRAFTS;
pub use contract::OFFERED;
#[cfg(feature = "cli")]
pub(crate) use describe::Facts;
pub(crate) use describe::facts;
pub use describe::{CoreOrComponent, DescribedFunction, Description, describe};
pub use engine::{EPOCH, EngineKind, EngineSettings, Engines};
pub use error::VersionError;
pub use exports::{Export, Exports};
pub use metadata::NameSource;
pub(crate) use outline::APPUP;
pub use places::{HttpHandler, Incremental, Lifecycle, Places};
pub use wasmhot_appup::StateDescription;

use std::fmt;
use std::sync::Arc;
use wasmhot_appup::interface::ModuleInterface;
use wasmhot_appup::{Kind, ModuleVersion};
use wasmtime::component::Component;

/// One build of a module, ready to be instantiated.
pub struct Version {
    /// Name, semver and digest.
    pub id: ModuleVersion,
    /// What it exports and imports. Holds the functions that cannot be called from outside too (resources in their types).
    pub interface: Arc<ModuleInterface>,
    /// The kind its SDK asks for; the release decides.
    pub kind_hint: Option<Kind>,
    /// Where its name and version come from (R5).
    pub name_source: NameSource,
    /// How it describes its state (R4).
    pub state: Option<StateDescription>,
    /// The appup that it carries, as text.
    pub appup: Option<String>,
    /// Length of the file.
    pub size: u64,
    /// The engine it was compiled for.
    pub engine: EngineKind,
    /// The code.
    pub component: Component,
    /// Where its functions are in the code.
    pub places: Places,
}

impl Version {
    /// Name and version come from the file's name, so a release may call it otherwise.
    #[must_use]
    pub fn is_named_by_file(&self) -> bool {
        self.name_source == NameSource::FileName
    }

    /// The same build under the name and version that a release gives it.
    #[must_use]
    pub fn renamed(&self, id: ModuleVersion) -> Self {
        Self {
            id,
            interface: Arc::clone(&self.interface),
            kind_hint: self.kind_hint,
            name_source: self.name_source,
            state: self.state.clone(),
            appup: self.appup.clone(),
            size: self.size,
            engine: self.engine,
            component: self.component.clone(),
            places: self.places.clone(),
        }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Version")
            .field("id", &self.id)
            .field("size", &self.size)
            .field("engine", &self.engine)
            .field("exports", &self.places.exports.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
