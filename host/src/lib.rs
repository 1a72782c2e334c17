//! wasmhot.

pub mod value;
