//! A file arrives: watched, waited for until it is complete, read once.
//!
//! [`watch`](self) knows the directory and `notify`; [`settle`](self) decides, without a clock of its own, when a file has come to
//! rest; [`take`](self) opens it without following or blocking on anything, and hashes the bytes it read. What the bytes are
//! is the affair of [`crate::version`].

mod run;
mod settle;
mod take;
mod watch;

pub use take::{TakeError, Taken, printable, take};
pub(crate) use watch::is_wasm;
pub use watch::{IntakeEvent, WatchError, Watcher};

#[cfg(test)]
mod tests;
