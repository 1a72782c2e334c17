//! Many keys get the next version of their module while clients call them: the switch is at once, then a sweep hands over key by key.

use super::{apply, host_of};
use crate::client::{Clients, chance, longest, rate};
use crate::table::{line, time};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use wasmhot::Host;
use wasmhot::event::EventKind;

/// Unless `clients=` says otherwise.
pub(super) const CLIENTS: usize = 4;
/// How long clients call before the upgrade.
const BEFORE: Duration = Duration::from_secs(1);
const NEW: &str = "rooms-1.1.0";

/// Makes keys with a state of some hundred bytes.
pub(super) async fn fill(host: &Host, keys: usize) -> anyhow::Result<()> {
    let next = Arc::<AtomicU64>::default();
    let fillers = (0..CLIENTS).map(|_| {
        let (host, next) = (host.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed) as usize;
                if number >= keys {
                    return;
                }
                let said = (key(number), "ann", "x".repeat(50));
                let _: u64 = host.call("rooms", "say", said).await.expect("is said");
            }
        })
    });
    for filler in fillers.collect::<Vec<_>>() {
        filler.await?;
    }
    Ok(())
}

pub(super) fn key(number: usize) -> String {
    format!("room-{number}")
}

/// Waits for an event, and says when it was.
pub(super) fn when(host: &Host, kind: EventKind) -> impl Future<Output = Instant> + Send + use<> {
    let events = Arc::clone(host.events());
    let newest = events.since(0).0.last().map_or(0, |event| event.sequence);
    async move {
        let (mut known, mut news) = events.since(newest);
        while known.iter().all(|event| event.kind != kind) {
            match news.recv().await {
                Ok(event) => known.push(event),
                // Too many at once: those that are kept are looked at again.
                Err(_) => (known, news) = events.since(newest),
            }
        }
        Instant::now()
    }
}

pub(super) async fn sweep(keys: usize, callers: usize) -> anyhow::Result<()> {
    let (host, _root) = host_of("rooms-1.0.0", "").await?;
    // The new version is compiled before anything is measured.
    for file in [NEW, "rooms-1.0.0"] {
        apply(&host, file).await;
    }
    let begin = Instant::now();
    fill(&host, keys).await?;
    let filled = begin.elapsed();
    let (called, count) = (host.clone(), Arc::<AtomicU64>::default());
    let clients = Clients::start(callers, move || {
        let (host, count) = (called.clone(), Arc::clone(&count));
        async move {
            let key = key(chance(count.fetch_add(1, Ordering::Relaxed), keys));
            let version: String = host.call("rooms", "version", (key,)).await.expect("answers");
            version == "1.1.0"
        }
    });
    tokio::time::sleep(BEFORE).await;
    let switched = tokio::spawn(when(&host, EventKind::Switched));
    let swept = tokio::spawn(when(&host, EventKind::SweepDone));
    let (_, begin, _) = apply(&host, NEW).await;
    let switched = switched.await?;
    let busy = processor_time()?;
    let swept = swept.await?;
    let busy = processor_time()? - busy;
    let calls = clients.stop().await;
    let late = calls.iter().filter(|call| call.begin > switched && !call.as_new);
    let late = late.count();
    let cores = std::thread::available_parallelism()?.get() as f64;
    let swept_rate = keys as f64 / (swept - switched).as_secs_f64() / cores;
    println!("\nrooms with {keys} keys, made in {filled:.1?}; {callers} clients");
    let rows = [
        ("longest call before", "without", longest(&calls, begin - BEFORE, begin)),
        (
            "longest call from `apply` to the end of the sweep",
            "longest",
            longest(&calls, begin, swept),
        ),
        (
            "from `apply` to the switch",
            "switch",
            (switched - begin).as_nanos() as f64,
        ),
        ("sweep", "sweep", (swept - switched).as_nanos() as f64),
    ];
    for (title, name, value) in rows {
        println!("{title:<50} {:>12}", time(value));
        line(&format!("keys.{keys}.{name}"), value, "ns");
    }
    let (events, _) = host.events().since(0);
    let done = events.iter().rev().find(|event| event.kind == EventKind::SweepDone);
    let failed = done.and_then(|event| event.details.get("failed_keys")?.as_f64());
    let rows = [
        (
            "calls a second before",
            "rate-before",
            rate(&calls, begin - BEFORE, begin),
        ),
        (
            "calls a second in the sweep",
            "rate-during",
            rate(&calls, switched, swept),
        ),
        ("keys swept a second and core", "sweep-rate", swept_rate),
        (
            "keys swept a second of processor time",
            "sweep-cpu-rate",
            keys as f64 / busy.as_secs_f64(),
        ),
        (
            "calls after the switch answered by the old version",
            "late",
            late as f64,
        ),
        (
            "keys that could not be handed over",
            "failed",
            failed.unwrap_or(f64::NAN),
        ),
    ];
    for (title, name, value) in rows {
        println!("{title:<50} {value:>12.0}");
        line(&format!("keys.{keys}.{name}"), value, "1/s");
    }
    host.stop().await;
    Ok(())
}

/// What this process has used of the processors, clients and all.
fn processor_time() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Behind the name, which may have spaces in it: `utime` and `stime`, in hundredths of a second.
    let (_, fields) = stat.rsplit_once(") ").ok_or_else(|| anyhow::anyhow!("no fields"))?;
    let times = fields.split(' ').skip(11).take(2);
    let ticks = times.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}
