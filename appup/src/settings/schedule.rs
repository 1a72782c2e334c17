//! `[[modules.every]]`: calls that the host makes by the clock (R18).

use super::units::{parse_duration, show_duration};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The shortest time between two calls: the host does other things too.
pub const EVERY_MIN: Duration = Duration::from_millis(10);

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Every {
    /// Not any more: what an earlier release said of this call is dropped.
    Never,
    /// Each time so much time has passed.
    Each(Duration),
}

/// A call that the host makes again and again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The call in WAVE: `tick()`, or `sweep("kitchen", 10)`. A module has one schedule for a text.
    pub call: String,
    /// How often.
    pub every: Every,
}

impl Schedule {
    /// These over older ones of the same module: what is not said again is not dropped.
    #[must_use]
    pub fn merge(new: &[Schedule], old: &[Schedule]) -> Vec<Schedule> {
        let stays = |known: &&Schedule| new.iter().all(|one| one.call != known.call);
        let each = |one: &&Schedule| one.every != Every::Never;
        let merged = old.iter().filter(stays).chain(new);
        merged.filter(each).cloned().collect()
    }
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "never" {
            return Ok(Every::Never);
        }
        let every = parse_duration(text).map_err(|error| error.to_string())?;
        if every < EVERY_MIN {
            return Err(format!(
                "{text:?} is too often: the least is {}",
                show_duration(EVERY_MIN)
            ));
        }
        Ok(Every::Each(every))
    }
}

impl fmt::Display for Every {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Every::Never => out.write_str("never"),
            Every::Each(every) => out.write_str(&show_duration(*every)),
        }
    }
}

impl TryFrom<String> for Every {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Every> for String {
    fn from(every: Every) -> String {
        every.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(call: &str, every: &str) -> Schedule {
        Schedule {
            call: call.to_owned(),
            every: every.parse().expect("a time"),
        }
    }

    #[test]
    fn r18_what_is_not_said_again_is_not_dropped_but_by_never() {
        let old = [schedule("tick()", "1s"), schedule("sweep()", "1m")];
        let new = [schedule("tick()", "2s"), schedule("count()", "1h")];
        let merged = Schedule::merge(&new, &old);
        assert_eq!(
            merged,
            [
                schedule("sweep()", "1m"),
                schedule("tick()", "2s"),
                schedule("count()", "1h")
            ]
        );
        assert_eq!(
            Schedule::merge(&[schedule("tick()", "never")], &old),
            [schedule("sweep()", "1m")]
        );
    }

    #[test]
    fn r18_a_time_has_a_unit_and_is_no_busy_loop() {
        assert_eq!("250ms".parse(), Ok(Every::Each(Duration::from_millis(250))));
        for (text, says) in [
            ("1", "a duration needs a unit"),
            ("0s", "the least is 10ms"),
            ("often", "is no duration"),
        ] {
            let error = text.parse::<Every>().expect_err(text);
            assert!(error.contains(says), "{error}");
        }
    }
}
