//! What a chunk looks like: a byte for the format, then records one after the other.
//!
//! ```text
//! chunk   = 1 record*
//! record  = 0 length head                                the state without what its containers hold, in the format of the state
//!         | 1 container length key length value          an entry that is new or has changed
//!         | 2 container length key                       an entry that is no more
//!         | 3 container                                  none of the entries so far is any more
//! ```
//!
//! `container` and `length` are unsigned LEB128 of at most 32 bits. Keys and values are in the format of the container. Of two records
//! of one key, or two heads, the later one counts. Reading checks everything: bytes from elsewhere are an error, never a panic.

/// The first byte of a chunk.
const FORMAT: u8 = 1;

const HEAD: u8 = 0;
const ENTRY: u8 = 1;
const REMOVED: u8 = 2;
const CLEARED: u8 = 3;

/// One record of a chunk.
pub(crate) enum Record<'a> {
    Head(&'a [u8]),
    Entry {
        container: u32,
        /// Where its key's length stands in the chunk.
        offset: u32,
        key: &'a [u8],
    },
    Removed {
        container: u32,
        key: &'a [u8],
    },
    Cleared {
        container: u32,
    },
}

/// A chunk without records.
pub(crate) fn empty() -> Vec<u8> {
    vec![FORMAT]
}

/// Whether there is a record in it.
pub(crate) fn is_empty(chunk: &[u8]) -> bool {
    chunk.len() <= 1
}

pub(crate) fn put_head(chunk: &mut Vec<u8>, head: &[u8]) -> Result<(), String> {
    chunk.push(HEAD);
    put_bytes(chunk, head)
}

pub(crate) fn put_entry(chunk: &mut Vec<u8>, container: u32, key: &[u8], value: &[u8]) -> Result<(), String> {
    chunk.push(ENTRY);
    put_number(chunk, container);
    put_bytes(chunk, key)?;
    put_bytes(chunk, value)
}

/// An entry as it stood in a chunk before, from its key's length on.
pub(crate) fn put_encoded(chunk: &mut Vec<u8>, container: u32, encoded: &[u8]) {
    chunk.push(ENTRY);
    put_number(chunk, container);
    chunk.extend_from_slice(encoded);
}

pub(crate) fn put_removed(chunk: &mut Vec<u8>, container: u32, key: &[u8]) -> Result<(), String> {
    chunk.push(REMOVED);
    put_number(chunk, container);
    put_bytes(chunk, key)
}

pub(crate) fn put_cleared(chunk: &mut Vec<u8>, container: u32) {
    chunk.push(CLEARED);
    put_number(chunk, container);
}

fn put_bytes(chunk: &mut Vec<u8>, bytes: &[u8]) -> Result<(), String> {
    let length = u32::try_from(bytes.len()).map_err(|_| format!("{} bytes are too many for one entry", bytes.len()))?;
    put_number(chunk, length);
    chunk.extend_from_slice(bytes);
    Ok(())
}

fn put_number(chunk: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        chunk.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    chunk.push(number.to_le_bytes()[0]);
}

/// The records of a chunk, from some place on.
pub(crate) struct Records<'a> {
    chunk: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    /// # Errors
    /// If it is not a chunk of this format.
    pub(crate) fn of(chunk: &'a [u8]) -> Result<Self, String> {
        if u32::try_from(chunk.len()).is_err() {
            return Err("the chunk is longer than 4 GiB".into());
        }
        match chunk.first() {
            Some(&FORMAT) => Ok(Self { chunk, at: 1 }),
            Some(other) => Err(format!("the chunk is of format {other}, not of {FORMAT}")),
            None => Err("the chunk is empty".into()),
        }
    }

    /// From where [`Self::at`] was before.
    pub(crate) fn from(chunk: &'a [u8], at: u32) -> Self {
        Self {
            chunk,
            at: (at as usize).max(1),
        }
    }

    /// Where the next record begins.
    pub(crate) fn at(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    fn record(&mut self, kind: u8) -> Option<Record<'a>> {
        Some(match kind {
            HEAD => Record::Head(self.bytes()?),
            ENTRY => {
                let container = self.number()?;
                let offset = self.at();
                let key = self.bytes()?;
                self.bytes()?;
                Record::Entry { container, offset, key }
            }
            REMOVED => Record::Removed {
                container: self.number()?,
                key: self.bytes()?,
            },
            CLEARED => Record::Cleared {
                container: self.number()?,
            },
            _ => return None,
        })
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()? as usize;
        let bytes = self.chunk.get(self.at..)?.get(..length)?;
        self.at += length;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u32> {
        let mut number = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = *self.chunk.get(self.at)?;
            self.at += 1;
            let bits = u32::from(byte & 0x7f);
            // The fifth byte has room for four bits.
            if shift == 28 && bits > 0xf {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let begin = self.at;
        let kind = *self.chunk.get(begin)?;
        self.at += 1;
        let record = self.record(kind);
        if record.is_none() {
            // Nothing behind it can be read.
            self.at = self.chunk.len();
        }
        Some(record.ok_or_else(|| format!("the chunk is damaged at byte {begin}")))
    }
}

/// The key of such an entry as [`entry`] gives.
pub(crate) fn key(chunk: &[u8], offset: u32) -> Option<&[u8]> {
    let at = offset as usize;
    Records { chunk, at }.bytes()
}

/// Key, value, and both with their lengths, of an entry whose key's length stands here; nothing where none does.
pub(crate) fn entry(chunk: &[u8], offset: u32) -> Option<(&[u8], &[u8], &[u8])> {
    let begin = offset as usize;
    let mut records = Records { chunk, at: begin };
    let key = records.bytes()?;
    let value = records.bytes()?;
    Some((key, value, chunk.get(begin..records.at)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk() -> Vec<u8> {
        let mut chunk = empty();
        put_entry(&mut chunk, 300, b"key", &[7; 200]).expect("fits");
        put_removed(&mut chunk, 0, b"gone").expect("fits");
        put_cleared(&mut chunk, u32::MAX);
        put_head(&mut chunk, b"head").expect("fits");
        chunk
    }

    fn read(chunk: &[u8]) -> Result<usize, String> {
        let mut count = 0;
        for record in Records::of(chunk)? {
            record?;
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn what_is_put_is_read() {
        let chunk = chunk();
        let mut records = Records::of(&chunk).expect("a chunk");
        let Some(Ok(Record::Entry { container, offset, key })) = records.next() else {
            panic!("no entry")
        };
        assert_eq!((container, key), (300, b"key".as_slice()));
        let (key, value, both) = entry(&chunk, offset).expect("an entry");
        assert_eq!((key, value.len()), (b"key".as_slice(), 200));
        let mut copied = empty();
        put_encoded(&mut copied, 300, both);
        assert!(chunk.starts_with(&copied));
        assert!(matches!(
            records.next(),
            Some(Ok(Record::Removed {
                container: 0,
                key: b"gone"
            }))
        ));
        assert!(matches!(
            records.next(),
            Some(Ok(Record::Cleared { container: u32::MAX }))
        ));
        assert!(matches!(records.next(), Some(Ok(Record::Head(b"head")))));
        assert!(records.next().is_none());
    }

    #[test]
    fn bad_bytes_are_an_error_never_a_panic() {
        let chunk = chunk();
        let ends = [1, 1 + 3 + 4 + 202];
        for cut in 0..chunk.len() {
            assert!(read(&chunk[..cut]).is_err() || cut < 2 || cut >= ends[1], "{cut}");
        }
        for at in 0..chunk.len() {
            for byte in [0, 1, 2, 3, 4, 0x7f, 0x80, 0xff] {
                let mut damaged = chunk.clone();
                damaged[at] = byte;
                let _ = read(&damaged);
            }
        }
        assert!(read(&[1, 3, 0xff, 0xff, 0xff, 0xff, 0x1f]).is_err());
        assert!(read(&[2]).is_err_and(|error| error.contains("format 2")));
        assert!(entry(&chunk, u32::MAX).is_none());
    }
}
