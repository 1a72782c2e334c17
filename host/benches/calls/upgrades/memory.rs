//! Very many keys, of which a thousand random ones are called each second.

use super::keys::{fill, key, when};
use super::{apply, host_of};
use crate::client::{Clients, chance, longest};
use crate::table::{line, median, time};
use crate::{bare, guest};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use wasmhot::Host;
use wasmhot::event::EventKind;

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(1);
/// Keys that are woken up one by one.
const WOKEN: usize = 1000;
/// Half of it lies before the switch.
const WINDOW: Duration = Duration::from_millis(100);
const SWITCHES: usize = 6;

pub(super) async fn of(keys: usize, seconds: usize) -> anyhow::Result<()> {
    let (host, _root) = host_of("rooms-1.0.0", "").await?;
    fill(&host, 1).await?;
    // Both versions are compiled before anything is measured.
    for file in ["rooms-1.1.0", "rooms-1.0.0"] {
        apply(&host, file).await;
    }
    let with_one = around_switches(&host).await;
    let begin = Instant::now();
    fill(&host, keys).await?;
    println!("\nrooms with {keys} keys, made in {:.1?}", begin.elapsed());
    let waits = load(&host, keys, seconds).await?;
    let resident = resident()?;
    let woken = woken(&host, keys).await;
    let fresh = bare::fresh_calls(&std::fs::read(guest("rooms-1.0.0"))?, WOKEN).await;
    let fresh = fresh.map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let with_all = around_switches(&host).await;
    println!("1000 calls a second for {seconds} s");
    println!("{:<50} {:>10.2} GiB", "resident", resident / f64::from(1 << 30));
    line("memory.resident", resident, "B");
    for (title, name, value) in [
        ("median wait of such a call", "wait", median(waits)),
        ("waking a key, one caller", "woken", median(woken)),
        ("a fresh instance and its call, in Wasmtime", "fresh", median(fresh)),
        ("longest call around a switch with one key", "switch-one", with_one),
        ("longest call around a switch with all", "switch-all", with_all),
    ] {
        println!("{title:<50} {:>14}", time(value));
        line(&format!("memory.{name}"), value, "ns");
    }
    host.stop().await;
    Ok(())
}

/// The longest call of a key that is awake in the 100 ms around a switch.
async fn around_switches(host: &Host) -> f64 {
    let mut longest_calls = Vec::new();
    for number in 0..SWITCHES {
        let called = host.clone();
        let clients = Clients::start(1, move || {
            let host = called.clone();
            async move { total(&host, 0).await > 0.0 }
        });
        tokio::time::sleep(WINDOW).await;
        let switched = tokio::spawn(when(host, EventKind::Switched));
        apply(host, ["rooms-1.1.0", "rooms-1.0.0"][number % 2]).await;
        let switched = switched.await.expect("ends");
        tokio::time::sleep(WINDOW).await;
        let calls = clients.stop().await;
        longest_calls.push(longest(&calls, switched - WINDOW / 2, switched + WINDOW / 2));
    }
    median(longest_calls)
}

async fn total(host: &Host, number: usize) -> f64 {
    let begin = Instant::now();
    let _: u64 = host.call("rooms", "total", (key(number),)).await.expect("tells");
    begin.elapsed().as_nanos() as f64
}

/// How long calls took that come at fixed times, whether those before have ended or not.
async fn load(host: &Host, keys: usize, seconds: usize) -> anyhow::Result<Vec<f64>> {
    let mut calls = JoinSet::new();
    let mut clock = tokio::time::interval(PAUSE);
    for number in 0..seconds as u64 * 1000 {
        clock.tick().await;
        let host = host.clone();
        calls.spawn(async move { total(&host, chance(number, keys)).await });
    }
    Ok(calls.join_all().await)
}

/// Calls of one key after another, nearly all of which sleep.
async fn woken(host: &Host, keys: usize) -> Vec<f64> {
    let mut times = Vec::new();
    for number in 0..WOKEN as u64 {
        times.push(total(host, chance(u64::MAX / 2 + number, keys)).await);
    }
    times
}

/// What the process holds in memory, in bytes.
fn resident() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: f64 = kib.ok_or_else(|| anyhow::anyhow!("no VmRSS"))?.parse()?;
    Ok(kib * 1024.0)
}
