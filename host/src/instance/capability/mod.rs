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
use wasmtime::component::Linker;

/// Interfaces beyond WASI 0.2, with the versions of each that modules are built against.
pub(crate) const DRAFTS: &[(&str, &[&str])] = &[
    ("wasi:config/store", config::STORE),
    ("wasi:config/runtime", config::RUNTIME),
    ("wasi:keyvalue/store", keyvalue::VERSIONS),
    ("wasi:keyvalue/atomics", keyvalue::VERSIONS),
    ("wasi:keyvalue/batch", keyvalue::VERSIONS),
    ("wasi:logging/logging", logging::VERSIONS),
];

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

/// Each version of an interface, in full.
fn versions<'v>(interface: &'v str, versions: &'v [&str]) -> impl Iterator<Item = String> + 'v {
    versions.iter().map(move |version| match *version {
        "" => interface.to_owned(),
        version => format!("{interface}@{version}"),
    })
}
