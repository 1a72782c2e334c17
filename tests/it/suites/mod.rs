//! What the suites of others prove, proved here: each case that has a meaning in wasmhot is a test of its own, named after it.
//!
//! The first two lines above a test, `Theirs: …` and `Ours: …`, are what the table in `docs/suites.md` is made of.

mod golem;
mod release_handler;
mod systools;
mod table;

use crate::support::{World, guest};
use wasmhot::control::protocol::{ApplyRequest, UndoRequest, UpgradeReport};

/// A counter at 5.
async fn counter() -> World {
    let world = World::of(&["counter-1.0.0"]).await;
    add(&world, 5).await;
    world
}

async fn add(world: &World, by: i64) -> i64 {
    world.host.call("counter", "increment", (by,)).await.unwrap()
}

async fn count(world: &World) -> i64 {
    world.host.call("counter", "get", ()).await.unwrap()
}

async fn version(world: &World) -> String {
    world.host.call("counter", "version", ()).await.unwrap()
}

async fn apply(world: &World, name: &str) -> UpgradeReport {
    world.apply(&guest(name)).await.unwrap()
}

async fn undo(world: &World) -> UpgradeReport {
    world.host.undo(UndoRequest::default()).await.unwrap()
}

/// A counter's upgrade on probation: it is not what the host boots.
async fn apply_on_probation(world: &World, name: &str) -> UpgradeReport {
    let request = ApplyRequest {
        path: guest(name),
        probation_ms: Some(3_600_000),
        ..ApplyRequest::default()
    };
    world.host.apply(request).await.unwrap()
}

async fn statuses(world: &World) -> Vec<String> {
    let releases = world.host.releases(None).await.unwrap();
    releases.into_iter().map(|release| release.status).collect()
}
