//! wasmhot.

pub mod intake;
pub mod store;
pub mod value;
pub mod version;
