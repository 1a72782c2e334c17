//! What the compiler costs a host: a start with modules that were compiled before, and a drop until it answers.
//!
//! `cargo bench -p wasmhot --bench starts`. Prints tables: medians of rounds that take turns, so that all rows of a table have the
//! same machine. Compare rows, not runs. Names after `--` choose tables (`modules`, `drop`), a number how many modules there are.

mod bare;
mod drops;

use bare::Bare;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use wasm_encoder::{ComponentNameSection, ComponentSection, CustomSection};
use wasmhot::Host;

/// Turns of each row.
const ROUNDS: usize = 9;
/// Modules of a release, if it is not said otherwise.
const MODULES: usize = 200;

/// The bytes of a guest, such as `tally-1.0.0`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let path = Path::new(env!("WASMHOT_GUESTS")).join(format!("{name}.wasm"));
    std::fs::read(path).expect("was built")
}

/// A guest under another name and version: other bytes, so another digest, with the same code.
pub(crate) fn renamed(bytes: &[u8], name: &str, version: &str) -> Vec<u8> {
    let mut renamed = bytes.to_vec();
    let mut names = ComponentNameSection::new();
    names.component(name);
    names.append_to_component(&mut renamed);
    let section = CustomSection {
        name: "version".into(),
        data: version.as_bytes().into(),
    };
    section.append_to_component(&mut renamed);
    renamed
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A row of a table, beside the one that is the measure.
pub(crate) fn row(title: &str, time: Duration, measure: Duration) {
    let ratio = time.as_secs_f64() / measure.as_secs_f64();
    println!("{title:<60} {:>10.2} ms {ratio:>8.2}", time.as_secs_f64() * 1e3);
}

fn heading(title: &str) {
    println!("\n{title:<60} {:>13} {:>8}", "median", "ratio");
}

/// A release of so many modules that are all the same but for their names.
fn put_release(app: &Path, file: &str, count: usize) -> Vec<Vec<u8>> {
    let mut toml = "format = 1\n[release]\nname = \"bench\"\nversion = \"1.0.0\"\n".to_string();
    let bytes = guest(file);
    // The version stays: the state that it reads and writes goes by it.
    let (_, version) = file.split_once('-').expect("a name and a version");
    let modules = (0..count).map(|number| {
        let name = format!("m{number}");
        let _ = writeln!(toml, "[[modules]]\nname = {name:?}\nversion = {version:?}");
        let bytes = renamed(&bytes, &name, version);
        std::fs::write(app.join(format!("{name}-{version}.wasm")), &bytes).expect("is written");
        bytes
    });
    let modules = modules.collect();
    std::fs::write(app.join("release.toml"), toml).expect("is written");
    modules
}

/// Starts a host; gives it, and how long that took.
pub(crate) fn start(runtime: &Runtime, source: &Path, state: &Path) -> (Host, Duration) {
    let begin = Instant::now();
    let starting = Host::builder().source(source).state_dir(state).start();
    let host = runtime.block_on(starting).expect("starts");
    (host, begin.elapsed())
}

/// Many modules, compiled before: what a start costs beside the least that Wasmtime needs to have them.
fn modules(runtime: &Runtime, root: &Path, file: &str, count: usize) -> wasmtime::Result<()> {
    let (app, state): (PathBuf, PathBuf) = (root.join("app"), root.join("state"));
    std::fs::create_dir_all(&app)?;
    let files = put_release(&app, file, count);
    let (host, first) = start(runtime, &app, &state);
    runtime.block_on(host.stop());
    drop(host);
    let bare = Bare::new(&root.join("bare"), &files)?;
    let (mut loads, mut instances, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        loads.push(bare.load()?);
        instances.push(runtime.block_on(bare.load_and_instantiate())?);
        let (host, took) = start(runtime, &app, &state);
        let modules = host.status().modules;
        let running = modules.iter().filter(|module| module.condition == "running");
        assert_eq!(running.count(), count);
        assert_eq!(host.status().code.compiled, 0);
        starts.push(took);
        runtime.block_on(host.stop());
    }
    let measure = median(loads);
    heading(&format!("{count} modules of {} KiB", guest(file).len() >> 10));
    row("deserialize_file, instantiate_pre", measure, measure);
    row("the same, and an instance of each", median(instances), measure);
    row("start of a host, compiled before", median(starts), measure);
    row("start of a host, never seen before (once)", first, measure);
    Ok(())
}

fn main() -> wasmtime::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let chosen: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let count = chosen.iter().find_map(|one| one.parse().ok());
    let names: Vec<_> = chosen.iter().filter(|one| one.parse::<usize>().is_err()).collect();
    let wants = |name: &str| names.is_empty() || names.iter().any(|one| *one == name);
    if wants("modules") {
        for file in ["tally-1.0.0", "counter-2.0.0"] {
            let root = tempfile::tempdir()?;
            modules(&runtime, root.path(), file, count.unwrap_or(MODULES))?;
        }
    }
    if wants("drop") {
        drops::times(&runtime)?;
    }
    Ok(())
}
