//! Large states that are handed over in chunks while the old version serves (`incremental`), and saved so.

mod kept;
mod serving;

use crate::support::World;
use wasmhot::control::protocol::{ModuleReport, UpgradeReport};

/// Entries of a state that takes many chunks.
const ENTRIES: u32 = 8_000;

/// A module with so many entries, and what they come to.
async fn filled(world: &World) -> u64 {
    let size: u32 = world.host.call("register", "fill", (ENTRIES,)).await.unwrap();
    assert_eq!(size, ENTRIES);
    checksum(world).await
}

async fn checksum(world: &World) -> u64 {
    world.host.call("register", "checksum", ()).await.unwrap()
}

fn of_register(report: &UpgradeReport) -> &ModuleReport {
    report
        .modules
        .iter()
        .find(|module| module.module == "register")
        .unwrap()
}
