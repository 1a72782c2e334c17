//! `release.toml`: the modules of a release and how they run. The only configuration file there is.

mod grants;
mod spec;

pub(crate) use spec::{nearest_module, read_modules, read_name, read_version};

use crate::diagnostic::Diagnostics;
use crate::name::Version;
use crate::read::Source;
use crate::settings::{HostSettings, LimitsSpec, ModuleSpec};
use serde::{Deserialize, Serialize};

/// A release: a named, versioned set of modules and their configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Settings of the host.
    #[serde(default)]
    pub host: HostSettings,
    /// Limits of every module that does not state its own.
    #[serde(default)]
    pub limits: LimitsSpec,
    /// Its modules, in the order of the file.
    #[serde(default)]
    pub modules: Vec<ModuleSpec>,
}

impl Release {
    /// Reads `release.toml`. `file_name` is what faults call it.
    ///
    /// # Errors
    /// Every fault of the text, with its place.
    pub fn parse(file_name: &str, text: &str) -> Result<Release, Diagnostics> {
        Source::parse(file_name, text, |top| {
            let release = top.table("release", "`[release]`");
            if !top.has("release") {
                top.missing("release", "{ name = \"…\", version = \"1.0.0\" }");
            }
            let named = release.and_then(|mut release| {
                let (name, version) = (read_name(&mut release), read_version(&mut release, "version"));
                release.finish();
                name.zip(version)
            });
            let host = spec::read_host(top);
            let limits = spec::read_limits(top, "`[limits]`");
            let modules = read_modules(top);
            let (name, version) = named?;
            Some(Release {
                name,
                version,
                host,
                limits,
                modules,
            })
        })
    }
}

#[cfg(test)]
mod tests;
