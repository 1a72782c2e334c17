//! Who a module is: name and version (R5), the kind it asks for, and how it describes its state (R4).

use super::VersionError;
use super::outline::{Label, Outline};
use semver::{BuildMetadata, Version};
use serde::{Deserialize, Serialize};
use wasmhot_appup::{Digest, Kind, ModuleName, StateDescription, from_file_stem};
use wasmparser::Encoding;

/// Where name and version were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameSource {
    /// The metadata sections of the component (`wasm-tools metadata add`).
    Metadata,
    /// A module inside, or the core module itself, with both a name and a version.
    InnerModule,
    /// The section `wasmhot:module` that the Rust SDK writes.
    Sdk,
    /// The name of the file had a say: the same bytes under another name may be another version. Without a version in it that is
    /// `0.0.0` with the start of the digest.
    FileName,
}

/// The custom section `wasmhot:module`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct SdkSection {
    name: String,
    version: String,
    #[serde(default)]
    kind: Option<Kind>,
}

/// Who a module is, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: ModuleName,
    pub(super) version: Version,
    pub(super) source: NameSource,
    pub(super) kind_hint: Option<Kind>,
}

impl Identity {
    /// R5, in its order.
    pub(super) fn of(outline: &Outline, file_stem: &str, digest: &Digest) -> Result<Self, VersionError> {
        let sdk = sdk_section(outline)?;
        let kind_hint = sdk.as_ref().and_then(|section| section.kind);
        let found = |(name, version), source| {
            Ok(Identity {
                name,
                version,
                source,
                kind_hint,
            })
        };
        // A compiler gives every core module a name: only with a version beside it somebody meant it.
        let (outer, own) = match outline.encoding {
            Encoding::Component => (&outline.outer, None),
            Encoding::Module => (&NOBODY, Some(&outline.outer)),
        };
        let inside = || {
            let labelled = own.into_iter().chain(&outline.inner).find_map(both);
            let labelled = labelled.map(|found| (found, NameSource::InnerModule));
            let sdk = || {
                Some((
                    parse_both(&sdk.as_ref()?.name, &sdk.as_ref()?.version)?,
                    NameSource::Sdk,
                ))
            };
            labelled.or_else(sdk)
        };
        let from_file = || {
            from_file_stem(file_stem, digest).map_err(|error| VersionError::BadName {
                why: format!("{file_stem:?} does not name a module ({error}); rename the file to NAME-VERSION.wasm"),
            })
        };
        match (&outer.name, &outer.version) {
            (None, None) => match inside() {
                Some((both, source)) => found(both, source),
                None => found(from_file()?, NameSource::FileName),
            },
            (Some(name), Some(version)) => {
                found((metadata_name(name)?, metadata_version(version)?), NameSource::Metadata)
            }
            (None, Some(version)) => {
                let inside = inside().map(|((name, _), _)| (name, NameSource::Metadata));
                let (name, source) = match inside {
                    Some(found) => found,
                    None => (from_file()?.0, NameSource::FileName),
                };
                found((name, metadata_version(version)?), source)
            }
            (Some(name), None) => {
                // A version counts only from where the same name stands beside it.
                let name = metadata_name(name)?;
                let inside = inside().map(|(both, _)| both).filter(|(other, _)| *other == name);
                let in_file = || from_file().ok().filter(|(other, _)| *other == name);
                let version = inside
                    .or_else(in_file)
                    .map_or_else(|| unversioned(digest), |(_, version)| version);
                found((name, version), NameSource::Metadata)
            }
        }
    }
}

const NOBODY: Label = Label {
    name: None,
    version: None,
};

/// Name and version of a label that has both, and legal ones.
fn both(label: &Label) -> Option<(ModuleName, Version)> {
    let name = label.name.as_deref()?;
    parse_both(name.strip_suffix(".wasm").unwrap_or(name), label.version.as_deref()?)
}

fn parse_both(name: &str, version: &str) -> Option<(ModuleName, Version)> {
    Some((ModuleName::parse(name).ok()?, Version::parse(version).ok()?))
}

fn metadata_name(name: &str) -> Result<ModuleName, VersionError> {
    ModuleName::parse(name).map_err(|error| VersionError::BadName {
        why: format!("its metadata calls it {name:?} ({error}); set another with `wasm-tools metadata add --name`"),
    })
}

fn metadata_version(version: &str) -> Result<Version, VersionError> {
    Version::parse(version).map_err(|error| VersionError::BadName {
        why: format!("its metadata gives the version {version:?} ({error}); write MAJOR.MINOR.PATCH"),
    })
}

/// `0.0.0+<12 hex>`: other bytes are another version.
fn unversioned(digest: &Digest) -> Version {
    let build = BuildMetadata::new(&digest.short()).unwrap_or_default();
    Version {
        build,
        ..Version::new(0, 0, 0)
    }
}

/// The section `wasmhot:module`. A linker appends sections of the same name to one another, so one of them may hold several
/// values: several that differ would be several modules in one file.
fn sdk_section(outline: &Outline) -> Result<Option<SdkSection>, VersionError> {
    let mut found: Option<SdkSection> = None;
    for data in &outline.sdk {
        for section in serde_json::Deserializer::from_slice(data).into_iter::<SdkSection>() {
            let section = section.map_err(|error| {
                VersionError::invalid(format!("its section wasmhot:module cannot be read: {error}"))
            })?;
            match &found {
                Some(first) if *first != section => {
                    let why = format!(
                        "it calls itself both {} and {} (sections wasmhot:module)",
                        first.name, section.name
                    );
                    return Err(VersionError::BadName { why });
                }
                _ => found = Some(section),
            }
        }
    }
    Ok(found)
}

/// The section `wasmhot:state`. One that cannot be read is an error: chains of versions rely on it.
pub(super) fn state_description(outline: &Outline) -> Result<Option<StateDescription>, VersionError> {
    let Some(data) = &outline.state else { return Ok(None) };
    StateDescription::parse(data)
        .map(Some)
        .map_err(|error| VersionError::invalid(format!("its section wasmhot:state cannot be read: {error}")))
}
