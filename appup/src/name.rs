//! Names, versions and digests: what a build of a module is called, and what it *is*.
//!
//! Invariants:
//! - A [`ModuleName`] is `[a-z][a-z0-9-]{0,62}`, whichever way it was written (R5).
//! - A [`Digest`] alone decides whether two builds are the same: name and version are labels.

use semver::BuildMetadata;
pub use semver::Version;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The longest module name, in bytes.
pub const NAME_LENGTH_MAX: usize = 63;

/// Name of a module: `[a-z][a-z0-9-]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModuleName(String);

/// SHA-256 of the bytes of a module.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// One build of a module. Displayed as `counter@1.2.0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModuleVersion {
    /// The module.
    pub name: ModuleName,
    /// Its semantic version: a label.
    pub version: Version,
    /// Its bytes: what counts.
    pub digest: Digest,
}

/// Why a text is no module name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a module name cannot be empty")]
    Empty,
    /// More than [`NAME_LENGTH_MAX`] bytes.
    #[error("a module name has at most {NAME_LENGTH_MAX} characters, this one has {length}")]
    TooLong {
        /// How many it has.
        length: usize,
    },
    /// The first character is no letter.
    #[error("a module name begins with a letter a-z, not with {character:?}")]
    BadStart {
        /// The first character.
        character: char,
    },
    /// A character that no module name may hold.
    #[error("a module name consists of a-z, 0-9 and `-`: {character:?} cannot stand in one")]
    BadCharacter {
        /// The first such character.
        character: char,
    },
}

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DigestError {
    /// Not 64 characters.
    #[error("a sha256 is written as 64 hexadecimal digits, these are {length} characters")]
    Length {
        /// How many there are.
        length: usize,
    },
    /// Not hexadecimal.
    #[error("a sha256 is written in hexadecimal digits, {character:?} is none")]
    NotHexadecimal {
        /// The first character that is no digit.
        character: char,
    },
}

impl ModuleName {
    /// Reads a name; `_` counts as `-` and upper case as lower (R5).
    ///
    /// # Errors
    /// [`NameError`], if the text is no name even so.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let Some(first) = text.chars().next() else {
            return Err(NameError::Empty);
        };
        if !first.is_ascii_alphabetic() {
            return Err(NameError::BadStart { character: first });
        }
        if let Some(character) = text
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_'))
        {
            return Err(NameError::BadCharacter { character });
        }
        if text.len() > NAME_LENGTH_MAX {
            return Err(NameError::TooLong { length: text.len() });
        }
        Ok(Self(text.to_ascii_lowercase().replace('_', "-")))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Digest {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest of which these are the bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first twelve hexadecimal digits: enough for people.
    #[must_use]
    pub fn short(&self) -> String {
        let mut hex = self.to_string();
        hex.truncate(12);
        hex
    }
}

/// Name and version from a file name without its suffix (the last two steps of R5): `counter-1.2.0` and `counter@1.2.0`
/// name both; any other stem is the name, with version `0.0.0+<12 hex of the digest>`.
///
/// # Errors
/// [`NameError`], if what is left is no module name.
pub fn from_file_stem(stem: &str, digest: &Digest) -> Result<(ModuleName, Version), NameError> {
    // The leftmost separator that works, so that `counter-1.2.0-rc.1` is `counter` and not `counter-1.2.0`.
    for (place, separator) in stem.match_indices(['@', '-']) {
        let (name, version) = (&stem[..place], &stem[place + separator.len()..]);
        if let (Ok(name), Ok(version)) = (ModuleName::parse(name), Version::parse(version)) {
            return Ok((name, version));
        }
    }
    let mut version = Version::new(0, 0, 0);
    version.build = BuildMetadata::new(&digest.short()).unwrap_or_default();
    Ok((ModuleName::parse(stem)?, version))
}

impl fmt::Display for ModuleName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.0)
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In one piece: the tags of saved states are full of them.
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        out.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Digest({self})")
    }
}

impl fmt::Display for ModuleVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}@{}", self.name, self.version)
    }
}

impl FromStr for ModuleName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        if let Some(character) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(DigestError::NotHexadecimal { character });
        }
        if text.len() != 64 {
            return Err(DigestError::Length { length: text.len() });
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = pair.iter().fold(0, |sum, digit| sum << 4 | hex_value(*digit));
        }
        Ok(Self(bytes))
    }
}

/// Value of an ASCII hexadecimal digit.
fn hex_value(digit: u8) -> u8 {
    match digit {
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => digit.wrapping_sub(b'0'),
    }
}

impl AsRef<str> for ModuleName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ModuleName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ModuleName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<ModuleName> for String {
    fn from(name: ModuleName) -> String {
        name.0
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;
    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r05_names_are_normalised() {
        assert_eq!(ModuleName::parse("My_Counter").expect("a name").as_str(), "my-counter");
        assert_eq!(ModuleName::parse(""), Err(NameError::Empty));
        assert_eq!(ModuleName::parse("1st"), Err(NameError::BadStart { character: '1' }));
        assert_eq!(ModuleName::parse("é"), Err(NameError::BadStart { character: 'é' }));
        assert_eq!(
            ModuleName::parse("a.b"),
            Err(NameError::BadCharacter { character: '.' })
        );
        assert!(ModuleName::parse(&"a".repeat(63)).is_ok());
        assert_eq!(
            ModuleName::parse(&"a".repeat(64)),
            Err(NameError::TooLong { length: 64 })
        );
    }

    #[test]
    fn r05_a_file_name_tells_name_and_version() {
        let digest = Digest::from_bytes([0x0a; 32]);
        let table = [
            ("counter-1.2.0", "counter 1.2.0"),
            ("counter@1.2.0", "counter 1.2.0"),
            ("my_app-1.2.0-rc.1+b7", "my-app 1.2.0-rc.1+b7"),
            ("Echo", "echo 0.0.0+0a0a0a0a0a0a"),
            ("web-2", "web-2 0.0.0+0a0a0a0a0a0a"),
        ];
        for (stem, wanted) in table {
            let (name, version) = from_file_stem(stem, &digest).expect(stem);
            assert_eq!(format!("{name} {version}"), wanted);
        }
        assert!(from_file_stem("counter 1", &digest).is_err());
        assert!(from_file_stem("@1.2.0", &digest).is_err());
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = Digest::from_bytes(std::array::from_fn(|place| u8::try_from(place * 7).unwrap_or(0xff)));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.to_string().to_uppercase().parse(), Ok(digest));
        assert_eq!(digest.short().len(), 12);
        assert!(digest.to_string().starts_with("00070e151c232a31383f"), "{digest}");
        assert_eq!("ab".parse::<Digest>(), Err(DigestError::Length { length: 2 }));
        assert_eq!(
            "x".parse::<Digest>(),
            Err(DigestError::NotHexadecimal { character: 'x' })
        );
        let json = serde_json::to_string(&digest).expect("serialises");
        assert_eq!(serde_json::from_str::<Digest>(&json).expect("is read"), digest);
    }
}
