//! Durations and sizes as people write them. A number without a unit is never a duration: nobody can tell what it means.

use std::time::Duration;
use thiserror::Error;

/// Why a text is no duration or no size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnitError {
    /// `"5"`
    #[error(
        "a duration needs a unit: \"{number}s\" for seconds, \"{number}ms\" for milliseconds, \"{number}m\" for minutes"
    )]
    NoUnit {
        /// The number that was there.
        number: String,
    },
    /// Anything else that is no duration.
    #[error("{text:?} is no duration: write a number and a unit, as in \"200ms\", \"5s\", \"1m\" or \"1h\"")]
    Duration {
        /// What was there.
        text: String,
    },
    /// Anything that is no size.
    #[error(
        "{text:?} is no size: write a whole number and a unit, as in \"64KiB\", \"256MiB\" or \"1GiB\", or the number of bytes"
    )]
    Size {
        /// What was there.
        text: String,
    },
}

/// Reads `200ms`, `5s`, `1m`, `1h`, and sums of them (`1m 30s`).
///
/// # Errors
/// [`UnitError::NoUnit`] for a bare number, [`UnitError::Duration`] for anything else that is no duration.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let text = text.trim();
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '_')) {
        return Err(UnitError::NoUnit {
            number: text.to_owned(),
        });
    }
    humantime::parse_duration(text).map_err(|_| UnitError::Duration { text: text.to_owned() })
}

/// Reads `64KiB`, `256MiB`, `1GiB`, `10B`, `2TiB`, and a bare number of bytes.
///
/// # Errors
/// [`UnitError::Size`], also for what does not fit in 64 bits.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let shift = match unit.trim_start() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => u32::MAX,
    };
    let factor = 1_u64.checked_shl(shift);
    let size = number
        .parse::<u64>()
        .ok()
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor));
    size.ok_or_else(|| UnitError::Size { text: text.to_owned() })
}

/// The duration as [`parse_duration`] reads it.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// The size as [`parse_size`] reads it, exactly: `256MiB`, `1000B`.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = |&(shift, _): &(u32, &str)| bytes != 0 && bytes.trailing_zeros() >= shift;
    match units.into_iter().find(whole) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

/// `Option<Duration>` as text.
pub(crate) mod duration {
    use super::{Duration, parse_duration, show_duration};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "serde asks for a reference to the field")]
    pub(crate) fn serialize<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        value.map(show_duration).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| parse_duration(&text))
            .transpose()
            .map_err(D::Error::custom)
    }
}

/// `Option<u64>` bytes: written as text, read as text or number.
pub(crate) mod size {
    use super::{parse_size, show_size};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Bytes(u64),
        Text(String),
    }

    #[expect(clippy::ref_option, reason = "serde asks for a reference to the field")]
    pub(crate) fn serialize<S: Serializer>(value: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        value.map(show_size).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        match Option::<Size>::deserialize(from)? {
            None => Ok(None),
            Some(Size::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Size::Text(text)) => parse_size(&text).map(Some).map_err(D::Error::custom),
        }
    }
}

/// Anything that needs no care: there so that the table of limits has the same shape in every row.
pub(crate) mod plain {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde asks for a reference to the field")]
    pub(crate) fn serialize<T: Serialize, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        value.serialize(to)
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
        Option::deserialize(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        let table = [
            ("200ms", 200),
            ("5s", 5000),
            ("1m", 60_000),
            ("1h", 3_600_000),
            ("1m 30s", 90_000),
        ];
        for (text, milliseconds) in table {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(text), Ok(duration));
            assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }
        assert_eq!(parse_duration("5"), Err(UnitError::NoUnit { number: "5".into() }));
        assert_eq!(parse_duration("0"), Err(UnitError::NoUnit { number: "0".into() }));
        for text in ["", "s", "-5s", "5 parsecs", "99999999999999999999h"] {
            assert_eq!(parse_duration(text), Err(UnitError::Duration { text: text.into() }));
        }
    }

    #[test]
    fn sizes_are_exact() {
        let table = [
            ("0B", 0),
            ("10B", 10),
            ("64KiB", 1 << 16),
            ("256MiB", 1 << 28),
            ("1GiB", 1 << 30),
            ("3TiB", 3 << 40),
        ];
        for (text, bytes) in table {
            assert_eq!(parse_size(text), Ok(bytes));
            assert_eq!(show_size(bytes), text);
        }
        assert_eq!(parse_size("4096"), Ok(4096));
        for text in ["", "MiB", "1.5GiB", "1MB", "-1", "16777216TiB", "1 2"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
