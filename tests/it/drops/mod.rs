//! Drops: a file arrives in the watched directory, and what becomes of it (R34 to R37).

mod arrive;
mod bar;
mod busy;
mod pending;
mod refuse;

use crate::made;
use crate::support::World;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;
use wasmhot::HostBuilder;
use wasmhot::event::{Event, EventKind};
use wasmhot_appup::HostSettings;

/// Short, so that tests are; long enough for a writer that the machine keeps waiting.
const SETTLE: Duration = Duration::from_millis(100);

fn quick(builder: HostBuilder) -> HostBuilder {
    settling(SETTLE)(builder)
}

fn settling(settle: Duration) -> impl FnOnce(HostBuilder) -> HostBuilder {
    move |builder| {
        builder.settings(HostSettings {
            settle: Some(settle),
            ..HostSettings::default()
        })
    }
}

async fn world(guests: &[&str]) -> World {
    World::with(guests, quick).await
}

/// Returns when everything that was dropped before has been looked at: drops are looked at in the order in which they came to rest,
/// so a last one that was switched to is behind them all.
async fn all_looked_at(world: &World) {
    static NEXT: AtomicI32 = AtomicI32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let since = world.now();
    world.drop_file(&format!("marker-0.0.{number}.wasm"), &made::constant(number));
    let wanted = format!("-> 0.0.{number}");
    world
        .event(since, |event| {
            event.kind == EventKind::Switched && event.message.contains("marker") && event.message.contains(&wanted)
        })
        .await;
}

/// Events of a kind after `since`, without those of the marker.
fn told(world: &World, since: u64, kind: EventKind) -> Vec<Event> {
    let (events, _) = world.host.events().since(since);
    let of = |event: &Event| event.kind == kind && !event.message.contains("marker");
    events.into_iter().filter(of).collect()
}

/// The version that runs, as `status` says it: copies of the hostile guest all say the same of themselves.
fn runs(world: &World, module: &str) -> String {
    let modules = world.host.status().modules.into_iter();
    modules
        .filter(|found| found.module == module)
        .map(|found| found.version)
        .collect()
}

async fn version(world: &World, module: &str) -> String {
    world.host.call(module, "version", ()).await.unwrap()
}
