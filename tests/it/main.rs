//! Tests of the whole: the real library and the real binary, real Wasm, real signals.
mod smoke;
