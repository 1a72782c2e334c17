//! The guests that the binary carries, and how a bad one is made of a hostile one.

use crate::control::protocol::{Exit, Failure};

/// A guest of `modules/`, as it was built with this binary.
macro_rules! guest {
    ($name:literal) => {
        include_bytes!(concat!(env!("WASMHOT_GUESTS"), "/", $name, ".wasm"))
    };
}

/// Counts, and records the calls of its clients.
pub(super) const COUNTER_1: &[u8] = guest!("counter-1.0.0");
/// Its value has another name and another type.
pub(super) const COUNTER_2: &[u8] = guest!("counter-2.0.0");
/// A counter that misbehaves by its plan.
const HOSTILE: &[u8] = guest!("hostile-1.0.0");

/// What stands before the plan (see `modules/hostile-1.0.0/src/plan.rs`), and how long that is.
const PLAN: &[u8] = b"WASMHOT-HOSTILE:";
const PLAN_LENGTH: usize = 64;

/// The hostile guest as a counter 3.0.0 whose `migrate` traps. Only bytes of the same length are put in the place of others.
pub(super) fn bad_counter() -> Result<Vec<u8>, Failure> {
    let mut bytes = HOSTILE.to_vec();
    let plan = format!("{:<PLAN_LENGTH$}", "migrate=trap");
    let at = places(&bytes, PLAN);
    let [at] = at[..] else {
        return Err(unknown());
    };
    let plan_at = at + PLAN.len();
    bytes
        .get_mut(plan_at..plan_at + PLAN_LENGTH)
        .ok_or_else(unknown)?
        .copy_from_slice(plan.as_bytes());
    replace(&mut bytes, br#""name":"hostile""#, br#""name":"counter""#)?;
    replace(&mut bytes, br#""version":"1.0.0""#, br#""version":"3.0.0""#)?;
    Ok(bytes)
}

fn unknown() -> Failure {
    Failure::new(
        "internal",
        Exit::Bug,
        "the hostile guest does not look as this demo expects",
    )
}

fn places(bytes: &[u8], text: &[u8]) -> Vec<usize> {
    let found = bytes.windows(text.len()).enumerate();
    found.filter(|(_, window)| *window == text).map(|(at, _)| at).collect()
}

fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) -> Result<(), Failure> {
    let places = places(bytes, old);
    if places.is_empty() || old.len() != new.len() {
        return Err(unknown());
    }
    for at in places {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bad_counter_is_a_counter() {
        let bytes = bad_counter().expect("is made");
        let described = crate::version::describe("anything", &bytes).expect("is a module");
        assert_eq!(
            (described.name.to_string(), described.version.to_string()),
            ("counter".into(), "3.0.0".into())
        );
        assert!(described.stateful);
    }
}
