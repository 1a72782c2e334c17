//! Tests of the whole: the real library and the real binary, real Wasm, real signals.
#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

mod drops;
mod limits;
mod made;
mod restart;
mod smoke;
mod support;
