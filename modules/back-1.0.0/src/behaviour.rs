//! What `back` does when it is told to, in every version.

use std::time::Duration;

/// Traps if the kind is `trap`, else gives its length.
pub(crate) fn obey(kind: &str) -> u64 {
    if kind == "trap" {
        std::process::abort();
    }
    kind.len() as u64
}

/// Keeps the instance busy, in a host call.
pub(crate) fn pause(milliseconds: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(milliseconds));
    milliseconds
}
