//! What a call costs on its way: bare in Wasmtime, through the library, through the control socket; and what an upgrade adds to it.
//!
//! `cargo bench -p wasmhot --bench calls`. Prints tables: medians of batches that take turns, so that all rows of a table have the
//! same machine. Compare rows, not runs. Names after `--` choose tables: `single`, `pool`, `keyed`, `async`, `nested`, `payloads`,
//! `http`, `crowds`, `switches`; and, only if they are named, since they take minutes, `ledger` (`entries=1000,100000`), `keys`
//! (`keys=100000`), `memory` (`sleeping=1000000`, called for `seconds=60`) and `durable`. `--lines` prints what is measured for programs too.
//! `loop=single` (or `pool`, `keyed`) does nothing but call, for ten seconds: for a profiler.

mod bare;
mod client;
mod crowds;
mod http;
mod kinds;
mod nested;
mod payloads;
mod proxy;
mod socket;
mod switches;
mod table;
mod trampoline;
mod upgrades;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;
use wasm_encoder::{ComponentNameSection, ComponentSection};
use wasmhot::Host;
use wasmhot::control::server::serve;
use wasmhot::control::socket::BoundSocket;

/// A guest, such as `tally-1.0.0`.
pub(crate) fn guest(name: &str) -> PathBuf {
    Path::new(env!("WASMHOT_GUESTS")).join(format!("{name}.wasm"))
}

/// The guests that run, besides those of `nested` and [`echo_named`].
const MODULES: [&str; 7] = [
    "counter-1.0.0",
    "tally-1.0.0",
    "rooms-1.0.0",
    "lounge-1.0.0",
    "page-1.0.0",
    "echo-2.0.0",
    "mirror-1.0.0",
];

fn release() -> String {
    let mut toml = "format = 1\n[release]\nname = \"bench\"\nversion = \"1.0.0\"\n".to_string();
    for file in MODULES
        .iter()
        .chain(&["calc-1.0.0", "loop-1.0.0", "plain-1.0.0", "fresh-1.0.0"])
    {
        let (name, version) = file.split_once('-').expect("a name and a version");
        let _ = writeln!(
            toml,
            "[[modules]]\nname = {name:?}\nversion = {version:?}\nhttp_calls = [\"*\"]"
        );
        if name == "fresh" {
            toml.push_str("limits = { instances = \"fresh\" }\n");
        }
    }
    toml
}

/// A pool with a handler of WASI 0.2, beside `echo` with that of 0.3: its older version under another name.
fn echo_named(name: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = std::fs::read(guest("echo-1.0.0"))?;
    let mut names = ComponentNameSection::new();
    names.component(name);
    names.append_to_component(&mut bytes);
    Ok(bytes)
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let chosen: Vec<_> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--") && !arg.contains('='))
        .collect();
    // Nothing else while a profiler looks.
    let all = chosen.is_empty() && !std::env::args().any(|arg| arg.starts_with("loop="));
    let named = |name: &str| chosen.iter().any(|one| one == name);
    if !chosen.iter().all(|name| upgrades::NAMES.contains(&name.as_str())) || chosen.is_empty() {
        calls(&runtime, |name| all || named(name))?;
    }
    upgrades::measure(&runtime, named)
}

/// All but the upgrades, on one host.
fn calls(runtime: &Runtime, wants: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let root = tempfile::tempdir()?;
    let app = root.path().join("app");
    std::fs::create_dir(&app)?;
    for file in MODULES {
        std::fs::copy(guest(file), app.join(format!("{file}.wasm")))?;
    }
    for name in ["plain", "fresh"] {
        std::fs::write(app.join(format!("{name}-1.0.0.wasm")), echo_named(name)?)?;
    }
    nested::put(&app)?;
    std::fs::write(app.join("release.toml"), release())?;
    let state = root.path().join("state");
    let host = runtime.block_on(Host::builder().source(&app).state_dir(state).start())?;
    let socket = root.path().join("run/host.sock");
    let bound = BoundSocket::bind(&socket)?;
    let stopped = host.clone();
    // Served by threads of its own, as `wasmhot run` does.
    let server = std::thread::spawn({
        let host = host.clone();
        move || {
            let serving = tokio::runtime::Builder::new_current_thread().enable_all().build();
            serving
                .expect("a runtime")
                .block_on(serve(bound, host, async move { drop(stopped.stopped().await) }));
        }
    });
    if let Some(kind) = std::env::args().find_map(|arg| Some(arg.strip_prefix("loop=")?.to_string())) {
        kinds::over_and_over(runtime, &host, &kind);
    }
    for subject in &kinds::SUBJECTS {
        if wants(subject.kind) {
            kinds::one_subject(runtime, &host, &socket, subject);
        }
    }
    if wants("async") {
        kinds::concurrent(runtime, &host);
    }
    if wants("nested") {
        nested::costs(runtime, &host)?;
    }
    if wants("payloads") {
        payloads::costs(runtime, &host);
    }
    if wants("http") {
        http::rates(&host)?;
    }
    if wants("crowds") {
        crowds::rates(runtime, &host);
    }
    if wants("switches") {
        runtime.block_on(switches::longest_calls(&host));
    }
    runtime.block_on(host.stop());
    server.join().expect("the server ends");
    Ok(())
}
