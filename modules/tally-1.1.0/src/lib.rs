//! Functions without state, version 1.1.0: for calls that may run on any instance. It has a health check.

use std::hint::black_box;

struct Tally;

wasmhot_guest::module! {
    name: "tally",
    kind: pool,
    world: "tally",
    exports: Tally,
    health: check,
}

/// New in 1.1.0: modules without state may be asked too.
fn check() -> Result<(), String> {
    if black_box(2_u32).is_power_of_two() {
        Ok(())
    } else {
        Err("two is no power of two".into())
    }
}

impl bindings::Guest for Tally {
    fn add(a: i64, b: i64) -> i64 {
        a.wrapping_add(b)
    }

    fn version() -> String {
        env!("CARGO_PKG_VERSION").into()
    }

    fn echo_bytes(b: Vec<u8>) -> Vec<u8> {
        b
    }

    fn echo_text(t: String) -> String {
        t
    }

    fn spin(loops: u64) -> u64 {
        (0..loops).fold(0, |sum: u64, round| black_box(sum.rotate_left(5) ^ round))
    }
}
