//! From a file in the watched directory, or `apply`, to the first call that the new version answers.

use super::{ROUNDS, guest, heading, median, renamed, row, start};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use wasmhot::Host;
use wasmhot::control::protocol::ApplyRequest;
use wasmhot::event::EventKind;
use wasmhot::version::{EngineKind, EngineSettings, Engines};
use wasmhot_appup::HostSettings;
use wasmtime::component::Component;

/// Some 250 kB, stateful.
const GUEST: &str = "counter-2.0.0";
const MODULE: &str = "counter";

fn version_of(round: usize) -> Vec<u8> {
    renamed(&guest(GUEST), MODULE, &format!("2.0.{round}"))
}

async fn first_call(host: &Host) {
    let _: i64 = host.call(MODULE, "get", ()).await.expect("answers");
}

fn runs(host: &Host) -> String {
    let status = host.status();
    status.modules.into_iter().map(|module| module.version).collect()
}

/// The file appears, and a call is answered by the version in it.
async fn dropped(host: &Host, app: &Path, round: usize) -> Duration {
    let name = format!("{MODULE}-2.0.{round}.wasm");
    let made = app.with_file_name(&name);
    std::fs::write(&made, version_of(round)).expect("is written");
    let newest = host.events().since(0).0.last().map_or(0, |event| event.sequence);
    let (_, mut events) = host.events().since(newest);
    let begin = Instant::now();
    std::fs::rename(&made, app.join(&name)).expect("is moved");
    while events.recv().await.expect("the host lives").kind != EventKind::Switched {}
    first_call(host).await;
    let took = begin.elapsed();
    assert_eq!(runs(host), format!("2.0.{round}"));
    took
}

async fn applied(host: &Host, path: &Path) -> Duration {
    let request = ApplyRequest {
        path: path.to_path_buf(),
        ..ApplyRequest::default()
    };
    let begin = Instant::now();
    host.apply(request).await.expect("is applied");
    first_call(host).await;
    begin.elapsed()
}

/// Times of new bytes and of known ones, beside the compiler alone.
pub(crate) fn times(runtime: &Runtime) -> wasmtime::Result<()> {
    let root = tempfile::tempdir()?;
    let (app, state, outside) = (
        root.path().join("app"),
        root.path().join("state"),
        root.path().join("outside"),
    );
    std::fs::create_dir(&app)?;
    std::fs::create_dir(&outside)?;
    std::fs::write(app.join("counter-2.0.0.wasm"), version_of(0))?;
    let (host, _) = start(runtime, &app, &state);
    let engines = Engines::new(&EngineSettings::default())?;
    let engine = engines.get(EngineKind::Plain);
    let (mut compiles, mut drops, mut applies) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let bytes = version_of(2 * round + 1);
        let begin = Instant::now();
        drop(Component::new(engine, &bytes)?);
        compiles.push(begin.elapsed());
        drops.push(runtime.block_on(dropped(&host, &app, 2 * round + 1)));
        let path = outside.join(format!("counter-2.0.{}.wasm", 2 * round + 2));
        std::fs::write(&path, version_of(2 * round + 2))?;
        applies.push(runtime.block_on(applied(&host, &path)));
    }
    runtime.block_on(host.stop());
    drop(host);
    // After a restart nothing is at hand but the file of the code.
    let mut again = Vec::new();
    for round in 0..ROUNDS {
        let (host, _) = start(runtime, &app, &state);
        let path = outside.join(format!("counter-2.0.{}.wasm", 2 * round + 2));
        again.push(runtime.block_on(applied(&host, &path)));
        runtime.block_on(host.stop());
    }
    let measure = median(compiles);
    let settle = HostSettings::default().settle();
    heading(&format!(
        "{} of {} KiB, until its first call",
        GUEST,
        guest(GUEST).len() >> 10
    ));
    row("Component::new", measure, measure);
    row("apply, never seen before", median(applies), measure);
    row("apply, seen before the host was restarted", median(again), measure);
    let dropped = median(drops);
    row("drop, never seen before", dropped, measure);
    row(
        &format!("  without the {settle:?} that a file has to rest"),
        dropped.saturating_sub(settle),
        measure,
    );
    Ok(())
}
