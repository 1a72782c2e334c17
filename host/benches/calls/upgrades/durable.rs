//! What it costs that a call is answered when its changes are on the disk (`durability = "call"`), beside calls that are answered at once,
//! and beside a flush of that disk.

use super::host_of;
use crate::table::{lines, median, time};
use rustix::fs::fdatasync;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Callers at once, whose changes go to the disk together.
const CALLERS: usize = 64;
const WINDOW: Duration = Duration::from_millis(500);
const ROUNDS: usize = 9;
const FLUSHES: usize = 25;

/// How long it takes until a page that was written over is on the disk of this directory: medians of these.
pub(super) fn flushes(directory: &Path) -> anyhow::Result<Vec<f64>> {
    let mut file = tempfile::tempfile_in(directory)?;
    let page = [7; 4096];
    let mut flush = || -> anyhow::Result<f64> {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&page)?;
        let begin = Instant::now();
        fdatasync(&file)?;
        Ok(begin.elapsed().as_nanos() as f64)
    };
    // The first one writes the size of the file, too.
    flush()?;
    (0..FLUSHES).map(|_| flush()).collect()
}

/// Calls a second of so many callers.
async fn rate(host: &wasmhot::Host, callers: usize) -> f64 {
    let increment = Arc::new(host.function("counter", "increment"));
    let begin = Instant::now();
    let calls = (0..callers).map(|_| {
        let increment = Arc::clone(&increment);
        tokio::spawn(async move {
            let mut calls = 0_u32;
            while begin.elapsed() < WINDOW {
                let _: i64 = increment.call((1_i64,)).await.expect("counts");
                calls += 1;
            }
            calls
        })
    });
    let mut all = 0;
    for calls in calls.collect::<Vec<_>>() {
        all += calls.await.expect("ends");
    }
    f64::from(all) / begin.elapsed().as_secs_f64()
}

pub(super) async fn beside_none() -> anyhow::Result<()> {
    let (none, root) = host_of("counter-1.0.0", "").await?;
    let (durable, _root) = host_of("counter-1.0.0", "durability = \"call\"\n").await?;
    let names = ["none-one", "one", "none-crowd", "crowd"];
    let mut measured = names.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        let rates = [
            1e9 / rate(&none, 1).await,
            1e9 / rate(&durable, 1).await,
            rate(&none, CALLERS).await,
            rate(&durable, CALLERS).await,
        ];
        for (values, rate) in measured.iter_mut().zip(rates) {
            values.push(rate);
        }
    }
    let flush = flushes(root.path())?;
    println!("\n`durability = \"call\"`: counter.increment(1)          median");
    println!("{:<50} {:>12}", "a flush of the disk", time(median(flush.clone())));
    lines("durable.flush", flush, "ns");
    for (name, values) in names.into_iter().zip(measured) {
        let value = median(values.clone());
        let (title, shown, unit) = match name {
            "none-one" => ("one caller, answered at once", time(value), "ns"),
            "one" => ("one caller, answered from the disk", time(value), "ns"),
            "none-crowd" => (
                "64 callers, answered at once: calls a second",
                format!("{value:.0}"),
                "1/s",
            ),
            _ => (
                "64 callers, answered from the disk: calls a second",
                format!("{value:.0}"),
                "1/s",
            ),
        };
        println!("{title:<50} {shown:>12}");
        lines(&format!("durable.{name}"), values, unit);
    }
    none.stop().await;
    durable.stop().await;
    Ok(())
}
