//! wasmhot.

pub mod store;
pub mod version;
