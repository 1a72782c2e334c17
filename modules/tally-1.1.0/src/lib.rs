//! Functions without state, version 1.1.0: for calls that may run on any instance.

use std::hint::black_box;

struct Tally;

wasmhot_guest::module! {
    name: "tally",
    kind: pool,
    world: "tally",
    exports: Tally,
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
