//! The plan of what goes wrong when stands in the compiled file itself, where a test overwrites it: other bytes, another version.
//!
//! It is `WASMHOT-HOSTILE:` and 64 bytes, blank at first, such as `migrate=trap;health=err`. Phases: start, call, save,
//! migrate, health (after the start), later (health after `migrate`).

use crate::fault;

const MAGIC: &[u8] = b"WASMHOT-HOSTILE:";
const LENGTH: usize = 16 + 64;

#[used]
static PLAN: [u8; LENGTH] = *b"WASMHOT-HOSTILE:                                                                ";

/// Does what the plan says for this phase: nothing, or something bad.
///
/// # Errors
/// If the plan says `err`.
pub(crate) fn reach(phase: &str) -> Result<(), String> {
    let bytes = read();
    let plan = String::from_utf8_lossy(&bytes[MAGIC.len()..]);
    let steps = plan.split(';').filter_map(|step| step.trim().split_once('='));
    match steps.rev().find(|(when, _)| *when == phase) {
        Some((_, kind)) => fault::cause(kind).map(drop),
        None => Ok(()),
    }
}

/// The bytes as they are in the file now, which the compiler must not think it knows.
#[allow(unsafe_code, reason = "only a volatile read sees what was changed after compilation")]
fn read() -> [u8; LENGTH] {
    // SAFETY: a reference to a static is valid for reads.
    unsafe { std::ptr::read_volatile(&raw const PLAN) }
}
