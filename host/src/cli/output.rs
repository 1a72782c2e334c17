//! What is printed: results on standard output, talk on standard error.

use crate::control::protocol::Failure;
use serde::Serialize;
use std::io::Write;

/// A line of a result. A reader that has gone is no fault of ours.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A line for the person.
pub(super) fn talk(text: &str) {
    let _ = writeln!(std::io::stderr(), "wasmhot: {text}");
}

/// A result for programs.
pub(super) fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(&text),
        Err(error) => talk(&error.to_string()),
    }
}

/// A failure: with `--json` on standard output, `exit` in it.
pub(super) fn failure(failure: &Failure, as_json: bool) {
    if as_json {
        json(failure);
    } else {
        let _ = writeln!(std::io::stderr(), "error: {}", failure.message);
    }
}
