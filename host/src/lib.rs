//! wasmhot.

pub mod store;
pub mod value;
pub mod version;
