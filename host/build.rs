//! Placeholder until the guests exist.
fn main() {}
