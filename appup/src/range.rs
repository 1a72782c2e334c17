//! Ranges of versions: from which versions an appup goes, and which versions' state a version reads.
//!
//! Rules, the same in both places where they can be:
//! - Build metadata is no part of the order: a range does not look at it. Only an exact version with build metadata asks for it.
//! - A pre-release counts as its release, as it writes what that will write: `~1.1` holds 1.1.0-rc.1, and `<1.1.0` does not. A
//!   range that names a pre-release itself (`>=1.1.0-rc.2`) is taken at its word.
//! - `module@range` speaks of another module: of a predecessor under another name (R31).

use crate::name::{ModuleName, NameError, Version};
use semver::{Prerelease, VersionReq};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Versions from which, or to which, an entry of an appup goes. A bare version is exactly that one: `"1.0.0"` is not `"^1.0.0"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum VersionRange {
    /// This version; any build of it, unless build metadata is named.
    Exact(Version),
    /// All that fit.
    Within(VersionReq),
}

/// Versions of a module, or of the predecessor that it names: `~1.0`, `shop@>=1.4, <2`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Predecessor {
    /// The module, if it is another one.
    pub module: Option<ModuleName>,
    /// Which versions of it.
    pub versions: VersionRange,
}

/// As [`Predecessor`], where a bare version means what it means in a manifest: `"1.0.0"` is `"^1.0.0"`. State descriptions (R4)
/// are written that way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StateRange {
    /// The module, if it is another one.
    pub module: Option<ModuleName>,
    /// Which versions of it.
    pub versions: VersionReq,
}

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RangeError {
    /// Neither a version nor a range.
    #[error("`{text}` is no range of versions: {why}")]
    Range {
        /// What was there.
        text: String,
        /// What the parser said.
        why: String,
    },
    /// What stands before the `@` is no module.
    #[error("`{text}` names no module before its `@`: {why}")]
    Module {
        /// What was there.
        text: String,
        /// What is wrong with it.
        why: NameError,
    },
}

impl VersionRange {
    /// True if the version is in the range.
    #[must_use]
    pub fn holds(&self, version: &Version) -> bool {
        match self {
            VersionRange::Exact(exact) if exact.build.is_empty() => exact.cmp_precedence(version).is_eq(),
            VersionRange::Exact(exact) => exact == version,
            VersionRange::Within(range) => within(range, version),
        }
    }
}

impl Predecessor {
    /// True if these are versions of `owner` itself and hold `version` of `module`, or name `module` and hold it.
    #[must_use]
    pub fn holds(&self, owner: &ModuleName, module: &ModuleName, version: &Version) -> bool {
        self.module.as_ref().unwrap_or(owner) == module && self.versions.holds(version)
    }
}

impl StateRange {
    /// True if these are versions of `owner` itself and hold `version` of `module`, or name `module` and hold it.
    #[must_use]
    pub fn holds(&self, owner: &ModuleName, module: &ModuleName, version: &Version) -> bool {
        self.module.as_ref().unwrap_or(owner) == module && within(&self.versions, version)
    }
}

/// A pre-release counts as its release.
fn within(range: &VersionReq, version: &Version) -> bool {
    let released = || Version {
        pre: Prerelease::EMPTY,
        ..version.clone()
    };
    range.matches(version) || (!version.pre.is_empty() && range.matches(&released()))
}

/// What stands before and after the `@`.
fn split(text: &str) -> Result<(Option<ModuleName>, &str), RangeError> {
    let Some((module, range)) = text.split_once('@') else {
        return Ok((None, text));
    };
    let module = ModuleName::parse(module).map_err(|why| RangeError::Module {
        text: text.to_owned(),
        why,
    })?;
    Ok((Some(module), range))
}

fn requirement(text: &str) -> Result<VersionReq, RangeError> {
    VersionReq::parse(text).map_err(|error| RangeError::Range {
        text: text.to_owned(),
        why: error.to_string(),
    })
}

impl FromStr for VersionRange {
    type Err = RangeError;
    fn from_str(text: &str) -> Result<Self, RangeError> {
        match Version::parse(text.trim()) {
            Ok(version) => Ok(VersionRange::Exact(version)),
            Err(_) => requirement(text).map(VersionRange::Within),
        }
    }
}

impl FromStr for Predecessor {
    type Err = RangeError;
    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (module, versions) = split(text)?;
        let versions = versions.parse()?;
        Ok(Self { module, versions })
    }
}

impl FromStr for StateRange {
    type Err = RangeError;
    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (module, versions) = split(text)?;
        let versions = requirement(versions)?;
        Ok(Self { module, versions })
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VersionRange::Exact(version) => version.fmt(out),
            VersionRange::Within(range) => range.fmt(out),
        }
    }
}

/// `module@`, if there is one, and the range.
fn show(out: &mut fmt::Formatter<'_>, module: Option<&ModuleName>, range: &dyn fmt::Display) -> fmt::Result {
    match module {
        Some(module) => write!(out, "{module}@{range}"),
        None => range.fmt(out),
    }
}

impl fmt::Display for Predecessor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(out, self.module.as_ref(), &self.versions)
    }
}

impl fmt::Display for StateRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(out, self.module.as_ref(), &self.versions)
    }
}

/// Reading and writing as text, for serde.
macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl TryFrom<String> for $type {
            type Error = RangeError;
            fn try_from(text: String) -> Result<Self, RangeError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(range: $type) -> String {
                range.to_string()
            }
        }
    )*};
}

as_text!(VersionRange, Predecessor, StateRange);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::name;

    fn version(text: &str) -> Version {
        Version::parse(text).expect("a version")
    }

    #[test]
    fn r04_a_range_holds_what_people_would_think() {
        let table = [
            ("1.0.0", "1.0.0", true),
            ("1.0.0", "1.0.1", false),
            ("1.0.0", "1.0.0+b7", true),
            ("1.0.0+b7", "1.0.0", false),
            ("1.0.0+b7", "1.0.0+b7", true),
            ("1.0.0", "1.0.0-rc.1", false),
            ("1.0.0-rc.1", "1.0.0-rc.1", true),
            (">=1.0.0, <1.1.0", "1.0.9", true),
            (">=1.0.0, <1.1.0", "1.1.0", false),
            (">=1.0.0, <1.1.0", "1.1.0-rc.1", false),
            (">=1.0.0, <1.1.0", "1.0.5-rc.1", true),
            (">=1.1.0-rc.2", "1.1.0-rc.1", true),
            (">=1.1.0-rc.2, <1.1.0", "1.1.0-rc.3", true),
            (">=1.1.0-rc.2, <1.1.0", "1.1.0-rc.1", false),
            ("~1.0", "1.0.7+abc", true),
            ("1.0", "1.9.0", true),
            ("=1.0", "1.0.3", true),
            ("*", "0.0.0+4f0cc1a8e2b1", true),
            ("*", "2.0.0-rc.1", true),
        ];
        for (range, held, wanted) in table {
            let range: VersionRange = range.parse().expect("a range");
            assert_eq!(range.holds(&version(held)), wanted, "{held} in {range}");
        }
    }

    #[test]
    fn r31_a_range_may_speak_of_another_module() {
        let (orders, shop) = (name("orders"), name("shop"));
        let range: Predecessor = "Shop@>=1.4, <2".parse().expect("a range");
        assert!(range.holds(&orders, &shop, &version("1.5.0")));
        assert!(!range.holds(&orders, &orders, &version("1.5.0")));
        assert_eq!(range.to_string(), "shop@>=1.4, <2");
        let bare: StateRange = "1.0.0".parse().expect("a range");
        assert!(bare.holds(&orders, &orders, &version("1.3.0")), "as in a manifest");
        assert!(!bare.holds(&orders, &shop, &version("1.0.0")));
    }

    #[test]
    fn what_is_no_range_says_why() {
        for text in ["", "one", "1.0.0 - 2.0.0", "@1", "a b@1", ">=1.0.0 <2"] {
            let error = text.parse::<Predecessor>().expect_err(text);
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn a_range_is_read_as_it_is_written() {
        for text in ["1.0.0-rc.1+b", ">=1.0, <2", "shop@~1.2", "*", "1.*"] {
            let range: Predecessor = text.parse().expect("a range");
            assert_eq!(range.to_string().parse(), Ok(range.clone()));
            let json = serde_json::to_string(&range).expect("serialises");
            assert_eq!(serde_json::from_str::<Predecessor>(&json).expect("is read"), range);
        }
    }
}
