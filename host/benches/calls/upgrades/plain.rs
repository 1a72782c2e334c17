//! What `save` and `migrate` take without a host around them.

use crate::bare::Bare;
use std::time::Instant;
use wasmtime::component::{ComponentType, Lower};

const LIFECYCLE: &str = "wasmhot:module/lifecycle@0.1.0";

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "the guest's type has them")]
enum Direction {
    #[component(name = "upgrade")]
    Upgrade,
    #[component(name = "downgrade")]
    Downgrade,
    #[component(name = "restore")]
    Restore,
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
struct Change {
    from: &'static str,
    to: &'static str,
    direction: Direction,
    extra: &'static str,
}

/// Both together, in nanoseconds.
pub(super) async fn save_and_migrate(entries: usize, times: usize) -> anyhow::Result<Vec<f64>> {
    let mut taken = Vec::new();
    for _ in 0..times {
        taken.push(once(entries).await.map_err(|error| anyhow::anyhow!("{error:#}"))?);
    }
    Ok(taken)
}

async fn once(entries: usize) -> wasmtime::Result<f64> {
    let change = Change {
        from: "1.0.0",
        to: "1.1.0",
        direction: Direction::Upgrade,
        extra: "null",
    };
    let mut old = Bare::asynchronous("ledger-1.0.0").await?;
    let fill = old.function::<(u32,), (u32,)>("", "fill");
    fill.call_async(&mut old.store, (entries as u32,)).await?;
    let save = old.function::<(Change,), (Result<Vec<u8>, String>,)>(LIFECYCLE, "save");
    let mut new = Bare::asynchronous("ledger-1.1.0").await?;
    let migrate = new.function::<(Change, &[u8]), (Result<(), String>,)>(LIFECYCLE, "migrate");
    // Otherwise only so many bytes are taken out of a guest at once.
    old.store.set_hostcall_fuel(usize::MAX);
    let begin = Instant::now();
    let (saved,) = save.call_async(&mut old.store, (change,)).await?;
    let saved = saved.map_err(wasmtime::Error::msg)?;
    let (migrated,) = migrate.call_async(&mut new.store, (change, &saved)).await?;
    let took = begin.elapsed();
    migrated.map_err(wasmtime::Error::msg)?;
    Ok(took.as_nanos() as f64)
}
