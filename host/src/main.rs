//! wasmhot.
fn main() {}
