//! A change is what `save` and `migrate` are told: from which version to which, which way, and what the relup says besides.

use semver::Version;
use serde_json::Value;

use crate::bindings::incremental::exports::wasmhot::module::incremental;
use crate::bindings::live::exports::wasmhot::module::live;
use crate::bindings::stateful::exports::wasmhot::module::lifecycle;

/// Which way the state goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To a newer version, or to other bytes of the same version.
    Upgrade,
    /// To an older version.
    Downgrade,
    /// Back from a saved state, after a restart of the host or a trap.
    Restore,
}

/// What is about to happen to the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The version that wrote the bytes; after a rename, split or merge with its module: `shop@1.4.0`.
    pub from: String,
    /// The version that will read them. It may equal `from`.
    pub to: String,
    /// Which way.
    pub direction: Direction,
    /// What the relup gives (`extra = …`); [`Value::Null`] where it gives nothing.
    pub extra: Value,
}

impl Change {
    /// A change without `extra`; upgrade or downgrade by the order of the two versions, as the host does it.
    ///
    /// # Errors
    /// If one of the two is no version.
    pub fn new(from: &str, to: &str) -> Result<Self, String> {
        let older = Side::parse(to)?.version < Side::parse(from)?.version;
        let direction = if older {
            Direction::Downgrade
        } else {
            Direction::Upgrade
        };
        Ok(Self {
            from: from.into(),
            to: to.into(),
            direction,
            extra: Value::Null,
        })
    }

    /// The same change with this `extra`.
    #[must_use]
    pub fn with_extra(mut self, extra: Value) -> Self {
        self.extra = extra;
        self
    }
}

/// The change as the bindings of a world have it; each world has its own type.
macro_rules! told_by {
    ($world:ident) => {
        impl TryFrom<$world::Change> for Change {
            type Error = String;

            fn try_from(change: $world::Change) -> Result<Self, String> {
                let extra = match change.extra.trim() {
                    "" => Value::Null,
                    text => serde_json::from_str(text).map_err(|error| format!("`extra` is not JSON: {error}"))?,
                };
                let direction = match change.direction {
                    $world::Direction::Upgrade => Direction::Upgrade,
                    $world::Direction::Downgrade => Direction::Downgrade,
                    $world::Direction::Restore => Direction::Restore,
                };
                Ok(Self {
                    from: change.from,
                    to: change.to,
                    direction,
                    extra,
                })
            }
        }
    };
}

told_by!(lifecycle);
told_by!(live);
told_by!(incremental);

/// One side of a change, taken apart: `1.4.0` or `shop@1.4.0`.
pub(crate) struct Side<'a> {
    pub(crate) module: Option<&'a str>,
    pub(crate) version: Version,
}

impl<'a> Side<'a> {
    /// # Errors
    /// If it is no version.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        let (module, version) = match text.split_once('@') {
            Some((module, version)) => (Some(module), version),
            None => (None, text),
        };
        let version = Version::parse(version).map_err(|error| format!("`{text}` is not a version: {error}"))?;
        Ok(Self { module, version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(extra: &str) -> Result<Change, String> {
        Change::try_from(lifecycle::Change {
            from: "1.0.0".into(),
            to: "1.1.0".into(),
            direction: lifecycle::Direction::Upgrade,
            extra: extra.into(),
        })
    }

    #[test]
    fn extra_is_json_or_nothing() {
        assert_eq!(told("null").map(|change| change.extra), Ok(Value::Null));
        assert_eq!(told("").map(|change| change.extra), Ok(Value::Null));
        assert_eq!(told(r#"{"a":1}"#).map(|change| change.extra["a"].clone()), Ok(1.into()));
        assert!(told("{").is_err_and(|error| error.starts_with("`extra` is not JSON")));
    }

    #[test]
    fn direction_follows_the_versions() {
        let direction = |from, to| Change::new(from, to).map(|change| change.direction);
        assert_eq!(direction("1.0.0", "1.1.0"), Ok(Direction::Upgrade));
        assert_eq!(direction("1.1.0", "1.1.0"), Ok(Direction::Upgrade));
        assert_eq!(direction("shop@2.0.0", "1.9.9"), Ok(Direction::Downgrade));
        assert!(direction("1.0", "1.1.0").is_err());
    }
}
