//! A stateful module has one value that an upgrade hands over, and knows which formats of it can be read and written.

use std::cell::RefCell;
use std::fmt::Display;
use std::thread::LocalKey;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::change::Side;
use crate::chunks::walk;
use crate::codec::Codec;
use crate::{Change, Direction, ranges};

/// A format that older versions wrote, and how to read it.
pub struct Reader<S> {
    /// The versions that wrote it.
    pub range: &'static str,
    /// From their bytes to the state.
    pub read: fn(&Change, &[u8]) -> Result<S, String>,
}

/// A format that older versions can take back, and how to write it.
pub struct Writer<S> {
    /// The versions that read it.
    pub range: &'static str,
    /// From the state to their bytes.
    pub write: fn(&S, &Change) -> Result<Vec<u8>, String>,
}

/// The state of a module. [`crate::module!`] implements it; a module's functions use [`Stateful::with`] and [`Stateful::with_mut`].
pub trait Stateful: Serialize + DeserializeOwned + 'static {
    /// The module's name.
    const NAME: &'static str;
    /// The module's version.
    const VERSION: &'static str;
    /// Formats besides the own one that can be read.
    const READS: &'static [Reader<Self>];
    /// Formats besides the own one that can be written.
    const WRITES: &'static [Writer<Self>];
    /// The own format.
    type Codec: Codec;

    /// Where the state lives. An instance has one thread, so this is one cell.
    fn cell() -> &'static LocalKey<RefCell<Self>>;

    /// Whether a module with this state can serve: after its start, and again after `migrate`.
    ///
    /// # Errors
    /// If it cannot; why.
    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    /// Reads the state.
    fn with<R>(read: impl FnOnce(&Self) -> R) -> R {
        Self::cell().with_borrow(read)
    }

    /// Changes the state. Neither [`Stateful::with`] nor this may be called inside.
    fn with_mut<R>(change: impl FnOnce(&mut Self) -> R) -> R {
        Self::cell().with_borrow_mut(change)
    }

    /// The bytes that the host is given. The state stays as it is.
    ///
    /// # Errors
    /// If this is a downgrade to a version for which this one cannot write.
    fn save(&self, change: &Change) -> Result<Vec<u8>, String> {
        walk::collecting(|| match Self::writer(change)? {
            Some(writer) => (writer.write)(self, change),
            None => Self::Codec::encode(self),
        })
    }

    /// How the state is written for the other version of a change, if not in the own format.
    ///
    /// # Errors
    /// If this is a downgrade to a version for which this one cannot write.
    #[doc(hidden)]
    fn writer(change: &Change) -> Result<Option<&'static Writer<Self>>, String> {
        let to = Side::parse(&change.to)?;
        if change.direction != Direction::Downgrade {
            return Ok(None);
        }
        let mut writers = Self::WRITES.iter();
        if let Some(writer) = writers.find(|writer| ranges::covers(writer.range, Self::NAME, &to)) {
            return Ok(Some(writer));
        }
        if ranges::same_format(Self::NAME, Self::VERSION, &to) {
            return Ok(None);
        }
        let ranges = Self::WRITES.iter().map(|writer| writer.range);
        Err(cannot::<Self>("write", "for", &change.to, ranges))
    }

    /// The state that these bytes are, by the version that wrote them.
    ///
    /// On a downgrade a version that this one does not know wrote them in the own format, or its `save` had failed.
    ///
    /// # Errors
    /// If this version does not read what that one wrote, if the bytes are damaged, or if the conversion says no.
    fn read(change: &Change, bytes: &[u8]) -> Result<Self, String> {
        let from = Side::parse(&change.from)?;
        let reader = Self::READS
            .iter()
            .find(|reader| ranges::covers(reader.range, Self::NAME, &from));
        let own = change.direction == Direction::Downgrade || ranges::same_format(Self::NAME, Self::VERSION, &from);
        let read = match reader {
            Some(reader) => walk::collecting(|| (reader.read)(change, bytes)),
            None if own => walk::collecting(|| Self::Codec::decode(bytes)),
            None => {
                let ranges = Self::READS.iter().map(|reader| reader.range);
                return Err(cannot::<Self>("read", "of", &change.from, ranges));
            }
        };
        read.map_err(|error| {
            format!(
                "{} {} cannot read this state of {}: {error}",
                Self::NAME,
                Self::VERSION,
                change.from
            )
        })
    }
}

/// `counter 1.1.0 cannot read state of 3.0.0: it reads its own and ~1.0`.
fn cannot<S: Stateful>(verb: &str, of: &str, version: &str, ranges: impl Iterator<Item = &'static str>) -> String {
    let others: String = ranges.map(|range| format!(" and {range}")).collect();
    format!(
        "{} {} cannot {verb} state {of} {version}: it {verb}s its own{others}",
        S::NAME,
        S::VERSION
    )
}

/// Reads an older format that converts by `TryFrom`.
///
/// # Errors
/// If the bytes are not an `Old`, or if the conversion says no.
pub fn convert<C: Codec, Old, S>(bytes: &[u8]) -> Result<S, String>
where
    Old: DeserializeOwned,
    S: TryFrom<Old, Error: Display>,
{
    S::try_from(C::decode(bytes)?).map_err(|error| error.to_string())
}

/// Reads an older format that converts by a function.
///
/// # Errors
/// If the bytes are not an `Old`, or if the function says no.
pub fn read_into<C: Codec, Old: DeserializeOwned, S>(
    bytes: &[u8],
    change: &Change,
    via: impl FnOnce(Old, &Change) -> Result<S, String>,
) -> Result<S, String> {
    via(C::decode(bytes)?, change)
}

/// Writes an older format that converts by `TryFrom`.
///
/// # Errors
/// If the conversion says no.
pub fn give<'a, C: Codec, Old, S>(state: &'a S) -> Result<Vec<u8>, String>
where
    Old: Serialize + TryFrom<&'a S, Error: Display>,
{
    C::encode(&Old::try_from(state).map_err(|error| error.to_string())?)
}

/// Writes an older format that converts by a function.
///
/// # Errors
/// If the function says no.
pub fn write_from<C: Codec, Old: Serialize, S>(
    state: &S,
    change: &Change,
    via: impl FnOnce(&S, &Change) -> Result<Old, String>,
) -> Result<Vec<u8>, String> {
    C::encode(&via(state, change)?)
}
