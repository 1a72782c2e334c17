//! The control socket: how people and programs talk to a running host.
//!
//! A request becomes an operation (pure), the operation runs on the host, its answer or [`Failure`](protocol::Failure) goes
//! back. [`server`] never runs guest code on its own threads (R17); [`client`] is what the command line uses.

mod answer;
pub mod client;
mod operation;
pub mod protocol;
pub mod server;
#[cfg(test)]
mod server_tests;
mod slots;
pub mod socket;
#[cfg(test)]
mod socket_tests;
mod stream;
mod target;
