//! State over a restart (R28, R29): by a stop, by kill -9, and what the directory or the release has become meanwhile.

mod crash;
mod directory;
mod release;
mod stop;
mod unreadable;

use crate::support::World;

/// The version that runs, as `status` says it.
fn runs(world: &World, module: &str) -> String {
    let modules = world.host.status().modules.into_iter();
    modules
        .filter(|found| found.module == module)
        .map(|found| found.version)
        .collect()
}

async fn increment(world: &World, by: i64) -> i64 {
    world.host.call("counter", "increment", (by,)).await.unwrap()
}

async fn say(world: &World, room: &str, text: &str) -> u64 {
    world.host.call("rooms", "say", (room, "ann", text)).await.unwrap()
}

async fn history(world: &World, room: &str) -> Vec<String> {
    world.host.call("rooms", "history", (room,)).await.unwrap()
}
