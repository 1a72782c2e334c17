//! The record of a saved state, as it stands in the table of states: a million keys are a million of them, so they are small and are read
//! without being taken apart.
//!
//! The first byte says the form:
//!
//! ```text
//! 2    the tag in postcard, then the bytes of the state                     (a state of at most INSIDE_MAX bytes)
//! 3    the tag in postcard; the bytes lie in the table beside
//! {    the tag in JSON, with the format number 1; the bytes lie beside      (read, and never written: the next save replaces it)
//! ```
//!
//! The tag has no module and no key: the place of the record says them. What postcard writes depends on the order of the fields of [`Tag`],
//! of those that it holds, and of the variants of [`SaveReason`] and [`Form`]: new ones come at the end, under a new number.

use super::tables::open;
use super::{Ahead, Form, SaveOrder, SaveReason, SavedStateTag, StoreError, WrittenFor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::Path;
use wasmhot_appup::{Digest, ModuleName, ModuleVersion};

const INSIDE: u8 = 2;
const BESIDE: u8 = 3;
/// How a record in JSON begins.
const JSON: u8 = b'{';

/// A state of more bytes lies in a table of its own: listing a million keys is not to read large ones.
const INSIDE_MAX: usize = 1024;

/// A record that was read.
pub(super) struct Record<'a> {
    pub(super) tag: Tag<'a>,
    /// None: they lie beside.
    pub(super) bytes: Option<&'a [u8]>,
}

/// A [`SavedStateTag`], but for whose state it is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tag<'a> {
    #[serde(borrow)]
    version: Build<'a>,
    revision: u64,
    time_ms: u64,
    #[serde(borrow)]
    format: Cow<'a, str>,
    size: u64,
    reason: SaveReason,
    pub(super) order: SaveOrder,
    #[serde(borrow)]
    written_for: Option<Reader<'a>>,
    form: Form,
    pub(super) ahead: Option<Ahead>,
}

/// A [`WrittenFor`].
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reader<'a> {
    #[serde(borrow)]
    to: Build<'a>,
    /// In JSON.
    #[serde(borrow)]
    extra: Cow<'a, str>,
}

/// A [`ModuleVersion`] whose name and version have not been looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Build<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
    digest: [u8; 32],
}

/// A state as it is written.
pub(super) fn write(tag: &SavedStateTag, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    let is_inside = bytes.len() <= INSIDE_MAX;
    let (first, inside) = if is_inside { (INSIDE, bytes) } else { (BESIDE, &[][..]) };
    // Most tags have some hundred bytes.
    let mut record = Vec::with_capacity(192 + inside.len());
    record.push(first);
    let mut record = postcard::to_extend(&Tag::of(tag), record).map_err(StoreError::encode)?;
    record.extend_from_slice(inside);
    Ok(record)
}

/// Whether the bytes of a state lie in the table beside its record.
pub(super) fn lies_beside(record: &[u8]) -> bool {
    record.first() != Some(&INSIDE)
}

/// A record as it was written, by this wasmhot or an older one.
pub(super) fn read<'a>(path: &Path, record: &'a [u8]) -> Result<Record<'a>, StoreError> {
    let (tag, bytes) = match record {
        [JSON, ..] => (Tag::of(&open(path, record)?).into_owned(), None),
        [form @ (INSIDE | BESIDE), packed @ ..] => {
            let (tag, rest) = postcard::take_from_bytes(packed).map_err(|error| damaged(path, &error))?;
            (tag, (*form == INSIDE).then_some(rest))
        }
        [newer, ..] => {
            return Err(StoreError::NewerFormat {
                path: path.to_owned(),
                found: u32::from(*newer),
                known: u32::from(BESIDE),
            });
        }
        [] => return Err(damaged(path, &"a saved state has no tag")),
    };
    Ok(Record { tag, bytes })
}

pub(super) fn damaged(path: &Path, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

impl Record<'_> {
    /// The tag of the state of this owner.
    pub(super) fn tag_of(&self, path: &Path, module: &str, key: Option<&str>) -> Result<SavedStateTag, StoreError> {
        self.tag.opened(module, key).map_err(|why| damaged(path, &why))
    }
}

impl<'a> Tag<'a> {
    pub(super) fn of(tag: &'a SavedStateTag) -> Self {
        Self {
            version: Build::of(&tag.version),
            revision: tag.revision,
            time_ms: tag.time_ms,
            format: Cow::Borrowed(&tag.format),
            size: tag.size,
            reason: tag.reason,
            order: tag.order,
            written_for: tag.written_for.as_ref().map(|written| Reader {
                to: Build::of(&written.to),
                extra: Cow::Owned(written.extra.to_string()),
            }),
            form: tag.form,
            ahead: tag.ahead,
        }
    }

    fn into_owned(self) -> Tag<'static> {
        Tag {
            version: self.version.into_owned(),
            format: Cow::Owned(self.format.into_owned()),
            written_for: self.written_for.map(|reader| Reader {
                to: reader.to.into_owned(),
                extra: Cow::Owned(reader.extra.into_owned()),
            }),
            revision: self.revision,
            time_ms: self.time_ms,
            size: self.size,
            reason: self.reason,
            order: self.order,
            form: self.form,
            ahead: self.ahead,
        }
    }

    fn opened(&self, module: &str, key: Option<&str>) -> Result<SavedStateTag, String> {
        let written_for = self.written_for.as_ref().map(|reader| {
            let extra = serde_json::from_str(&reader.extra).map_err(|error| error.to_string())?;
            let to = reader.to.open()?;
            Ok::<_, String>(WrittenFor { to, extra })
        });
        Ok(SavedStateTag {
            module: ModuleName::parse(module).map_err(|error| error.to_string())?,
            key: key.map(str::to_owned),
            version: self.version.open()?,
            revision: self.revision,
            time_ms: self.time_ms,
            format: self.format.as_ref().to_owned(),
            size: self.size,
            reason: self.reason,
            order: self.order,
            written_for: written_for.transpose()?,
            form: self.form,
            ahead: self.ahead,
        })
    }

    /// The version in whose format the bytes are: on a way down that is not the one that wrote them (R2).
    pub(super) fn holder(&self) -> &Build<'a> {
        let to = self.written_for.as_ref().map(|reader| &reader.to);
        to.filter(|to| to.is_older_than(&self.version)).unwrap_or(&self.version)
    }

    /// Whether a version with these bytes reads it without a `migrate` from another: it has written it, or it was written for that.
    pub(super) fn can_be_read_by(&self, version: &Digest) -> bool {
        let holder = self.written_for.as_ref().map_or(&self.version, |reader| &reader.to);
        holder.digest == *version.as_bytes()
    }
}

impl<'a> Build<'a> {
    pub(super) fn of(id: &'a ModuleVersion) -> Self {
        Self {
            name: Cow::Borrowed(id.name.as_str()),
            version: Cow::Owned(id.version.to_string()),
            digest: *id.digest.as_bytes(),
        }
    }

    pub(super) fn open(&self) -> Result<ModuleVersion, String> {
        Ok(ModuleVersion {
            name: ModuleName::parse(&self.name).map_err(|error| error.to_string())?,
            version: self
                .version
                .parse()
                .map_err(|error| format!("{:?}: {error}", self.version))?,
            digest: Digest::from_bytes(self.digest),
        })
    }

    pub(super) fn into_owned(self) -> Build<'static> {
        Build {
            name: Cow::Owned(self.name.into_owned()),
            version: Cow::Owned(self.version.into_owned()),
            digest: self.digest,
        }
    }

    fn is_older_than(&self, other: &Self) -> bool {
        let version = |build: &Self| build.version.parse::<wasmhot_appup::Version>();
        self.name == other.name && matches!((version(self), version(other)), (Ok(this), Ok(that)) if this < that)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(name: &str, minor: u8) -> ModuleVersion {
        ModuleVersion {
            name: ModuleName::parse(name).expect("a name"),
            version: format!("1.{minor}.0-rc.1+b7").parse().expect("a version"),
            digest: Digest::from_bytes([minor; 32]),
        }
    }

    fn tag() -> SavedStateTag {
        SavedStateTag {
            module: ModuleName::parse("rooms").expect("a name"),
            key: Some("kitchen".to_owned()),
            version: version("rooms", 2),
            revision: 7,
            time_ms: 1_700_000_000_000,
            format: "application/cbor".to_owned(),
            size: 4,
            reason: SaveReason::Hibernated,
            order: SaveOrder {
                process: u64::MAX,
                number: 300,
            },
            written_for: Some(WrittenFor {
                to: version("rooms", 1),
                extra: serde_json::json!({ "a": [1.5, null] }),
            }),
            form: Form::Chunks,
            ahead: Some(Ahead {
                number: 3,
                bytes: 1 << 40,
            }),
        }
    }

    fn opened(record: &[u8]) -> Result<SavedStateTag, StoreError> {
        read(Path::new("catalog"), record)?.tag_of(Path::new("catalog"), "rooms", Some("kitchen"))
    }

    #[test]
    fn a_tag_is_read_as_it_was_written_and_small_states_lie_behind_it() {
        let few = vec![1; INSIDE_MAX];
        let many = vec![1; INSIDE_MAX + 1];
        for (bytes, is_beside) in [(&[][..], false), (&few, false), (&many, true)] {
            let record = write(&tag(), bytes).expect("is written");
            assert_eq!(lies_beside(&record), is_beside);
            assert_eq!(opened(&record).expect("is read"), tag());
            let read = read(Path::new("catalog"), &record).expect("is read");
            assert_eq!(read.bytes, (!is_beside).then_some(bytes));
            assert_eq!(*read.tag.holder(), Build::of(&version("rooms", 1)));
        }
    }

    /// What stands on disks: what is read of it may never change.
    #[test]
    fn records_of_each_form_are_read() {
        let digest = "02".repeat(32);
        let json = format!(
            r#"{{"format":1,"value":{{"module":"rooms","key":"kitchen","version":{{"name":"rooms","version":"1.2.0-rc.1+b7","digest":"{digest}"}},"revision":7,"time_ms":1700000000000,"format":"application/cbor","size":4,"reason":"hibernated","order":{{"process":18446744073709551615,"number":300}},"written_for":{{"to":{{"name":"rooms","version":"1.1.0-rc.1+b7","digest":"{}"}},"extra":{{"a":[1.5,null]}}}},"form":"chunks","ahead":{{"number":3,"bytes":1099511627776}}}}}}"#,
            "01".repeat(32)
        );
        assert_eq!(opened(json.as_bytes()).expect("is read"), tag());
        assert!(lies_beside(json.as_bytes()));
        let packed = [
            b"\x02\x05rooms\x0d1.2.0-rc.1+b7",
            &[2; 32][..],
            b"\x07\x80\xd0\x95\xff\xbc\x31\x10application/cbor\x04\x06",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\xac\x02",
            b"\x01\x05rooms\x0d1.1.0-rc.1+b7",
            &[1; 32],
            b"\x10{\"a\":[1.5,null]}\x01\x01\x03\x80\x80\x80\x80\x80\x20",
            b"byte",
        ]
        .concat();
        assert_eq!(opened(&packed).expect("is read"), tag());
        assert_eq!(write(&tag(), b"byte").expect("is written"), packed);
        // Older ones knew neither order nor form.
        let oldest = format!(
            r#"{{"format":1,"value":{{"module":"rooms","key":null,"version":{{"name":"rooms","version":"1.0.0","digest":"{digest}"}},"revision":1,"time_ms":1,"format":"","size":1,"reason":"periodic"}}}}"#
        );
        let oldest = opened(oldest.as_bytes()).expect("is read");
        assert_eq!((oldest.order, oldest.form), (SaveOrder::default(), Form::Whole));
    }

    #[test]
    fn what_is_cut_short_or_newer_is_refused() {
        let record = write(&tag(), b"").expect("is written");
        for cut in 0..record.len() {
            assert!(
                matches!(opened(&record[..cut]), Err(StoreError::Corrupt { .. })),
                "{cut}"
            );
        }
        assert!(matches!(opened(&[4, 0]), Err(StoreError::NewerFormat { found: 4, .. })));
        let newer = br#"{"format":2,"value":null}"#;
        assert!(matches!(opened(newer), Err(StoreError::NewerFormat { found: 2, .. })));
        // A version that is none is found when it is asked for.
        let mut strange = record;
        strange[8] = b'x';
        assert!(matches!(opened(&strange), Err(StoreError::Corrupt { .. })));
    }
}
