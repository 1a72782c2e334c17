//! What an upgrade costs those who call: of one large state, of many keys; and what keys that sleep cost. Each on a host of its own.

mod durable;
mod keys;
mod ledger;
mod memory;
mod plain;

use super::guest;
use std::time::Instant;
use tokio::runtime::Runtime;
use wasmhot::Host;
use wasmhot::control::protocol::{ApplyRequest, UpgradeReport};

/// What can be chosen here. It takes minutes: nothing of it is measured unless it is named.
pub(crate) const NAMES: [&str; 4] = ["ledger", "keys", "memory", "durable"];

/// A host with one module, and what its release says of it besides; and the directory that it lives in.
async fn host_of(file: &str, limits: &str) -> anyhow::Result<(Host, tempfile::TempDir)> {
    let root = tempfile::tempdir()?;
    let app = root.path().join("app");
    std::fs::create_dir(&app)?;
    std::fs::copy(guest(file), app.join(format!("{file}.wasm")))?;
    let (name, version) = file.split_once('-').expect("a name and a version");
    let release = format!(
        "format = 1\n[release]\nname = \"bench\"\nversion = \"1.0.0\"\n\
         [[modules]]\nname = {name:?}\nversion = {version:?}\n[modules.limits]\n{limits}"
    );
    std::fs::write(app.join("release.toml"), release)?;
    let host = Host::builder().source(&app).state_dir(root.path().join("state"));
    Ok((host.start().await?, root))
}

/// Applies a version, and gives the report with the times of its begin and end.
async fn apply(host: &Host, file: &str) -> (UpgradeReport, Instant, Instant) {
    let request = ApplyRequest {
        path: guest(file),
        ..ApplyRequest::default()
    };
    let begin = Instant::now();
    let report = host.apply(request).await.expect("is applied");
    (report, begin, Instant::now())
}

/// The numbers that were given as `name=1,2`.
fn given(name: &str) -> Option<Vec<usize>> {
    let given = std::env::args().find_map(|arg| Some(arg.strip_prefix(name)?.strip_prefix('=')?.to_string()));
    Some(
        given?
            .split(',')
            .map(|number| number.parse().expect("a number"))
            .collect(),
    )
}

fn one(name: &str, default: usize) -> usize {
    given(name).map_or(default, |given| given[0])
}

/// Measures what is wanted.
pub(crate) fn measure(runtime: &Runtime, wants: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    if wants("ledger") {
        for entries in given("entries").unwrap_or(vec![1_000, 100_000, 1_000_000]) {
            runtime.block_on(ledger::hand_overs(entries, ledger::times(entries)))?;
        }
    }
    if wants("keys") {
        runtime.block_on(keys::sweep(one("keys", 100_000), one("clients", keys::CLIENTS)))?;
    }
    if wants("memory") {
        runtime.block_on(memory::of(one("sleeping", 1_000_000), one("seconds", 60)))?;
    }
    if wants("durable") {
        runtime.block_on(durable::beside_none())?;
    }
    Ok(())
}
