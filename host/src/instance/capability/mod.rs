//! The capabilities that the host gives itself, or looks at closely: values, log lines, the key-value store, sockets, requests.
//!
//! Clocks and randomness are everybody's, the rest of `wasi:cli` too: there is nothing outside that they reach.

pub(crate) mod config;
mod keyvalue;
pub(super) mod logging;
pub(super) mod network;
pub(super) mod outgoing;

pub(super) use keyvalue::KeyValueAccess;

use super::guest::Guest;
use crate::version::DRAFTS;
use wasmtime::component::Linker;

/// Defines them all, over what WASI has defined.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    network::add_to_linker(linker)?;
    linker.allow_shadowing(false);
    config::add_to_linker(linker)?;
    logging::add_to_linker(linker)?;
    keyvalue::add_to_linker(linker)
}

/// The same for what WASI 0.3 has defined.
pub(crate) fn add_concurrent_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    network::add_concurrent_to_linker(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Each version of an interface that is offered, in full.
fn versions(interface: &str) -> impl Iterator<Item = String> {
    let offered = DRAFTS.iter().filter(move |(draft, _)| *draft == interface);
    let offered = offered.flat_map(|(_, versions)| versions.iter());
    offered.map(move |version| match *version {
        "" => interface.to_owned(),
        version => format!("{interface}@{version}"),
    })
}
