//! Formats, planner and checks of wasmhot: text in, values out. No I/O, no Wasmtime, no clock.

pub mod interface;
