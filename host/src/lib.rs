//! wasmhot.

mod call;
#[cfg(feature = "cli")]
pub mod cli;
pub mod control;
pub mod error;
pub mod event;
mod host;
mod instance;
pub mod intake;
mod keeper;
mod restore;
pub mod store;
mod upgrade;
pub mod value;
pub mod version;
mod versions;

pub use host::{Host, HostBuilder};

/// The Rust of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
