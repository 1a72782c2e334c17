//! wasmhot.
