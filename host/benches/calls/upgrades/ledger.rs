//! One large state gets the next version of its module while a client calls it all the time.

use super::{apply, durable, host_of, plain};
use crate::client::{Clients, chance, longest, rate};
use crate::table::{lines, median, time};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wasmhot::Host;

/// Half of it lies before the switch.
const WINDOW: Duration = Duration::from_millis(100);
/// Entries that the client touches.
const KEYS: usize = 1000;
/// Room for a million entries, and no save in between: Erlang's server is not saved either.
const LIMITS: &str = "memory_max = \"3GiB\"\nstate_max = \"1GiB\"\nsave_interval = \"1h\"\nmax_pause = \"60s\"\nsave_timeout = \"60s\"\n\
                      migrate_timeout = \"60s\"\nquiesce_timeout = \"60s\"\n";

/// How many upgrades are measured.
pub(super) fn times(entries: usize) -> usize {
    match entries {
        ..10_000 => 50,
        10_000..1_000_000 => 20,
        _ => 5,
    }
}

fn client(host: &Host, entries: usize) -> Clients {
    let keys: Arc<[String]> = (0..KEYS as u64)
        .map(|number| format!("key-{:08}", chance(number, entries) + 1))
        .collect();
    let (host, count) = (host.clone(), Arc::<AtomicU64>::default());
    Clients::start(1, move || {
        let (host, keys) = (host.clone(), Arc::clone(&keys));
        let place = chance(count.fetch_add(1, Ordering::Relaxed), KEYS);
        async move {
            let call = host.call("ledger", "touch", (keys[place].as_str(),)).await;
            let quantity: i32 = call.expect("is touched");
            quantity > 0
        }
    })
}

pub(super) async fn hand_overs(entries: usize, times: usize) -> anyhow::Result<()> {
    let (host, root) = host_of("ledger-1.0.0", LIMITS).await?;
    let size: u32 = host.call("ledger", "fill", (entries as u32,)).await?;
    assert_eq!(size as usize, entries);
    // Both versions are compiled before anything is measured.
    for file in ["ledger-1.1.0", "ledger-1.0.0"] {
        apply(&host, file).await;
    }
    let names = [
        "without",
        "longest",
        "whole",
        "gate",
        "hand-over",
        "rate-before",
        "rate-during",
    ];
    let mut measured = names.map(|_| Vec::new());
    for _ in 0..times {
        let clients = client(&host, entries);
        tokio::time::sleep(3 * WINDOW).await;
        let (report, begin, end) = apply(&host, "ledger-1.1.0").await;
        tokio::time::sleep(2 * WINDOW).await;
        let calls = clients.stop().await;
        let gate = Duration::from_micros(report.gate_us);
        let around = |middle| longest(&calls, middle - WINDOW / 2, middle + WINDOW / 2);
        let values = [
            around(begin - 3 * WINDOW / 2),
            // The gate has just been opened.
            around(end - gate / 2),
            longest(&calls, begin, end),
            gate.as_nanos() as f64,
            (end - begin).as_nanos() as f64,
            rate(&calls, begin - 2 * WINDOW, begin),
            rate(&calls, begin, end),
        ];
        for (values, value) in measured.iter_mut().zip(values) {
            values.push(value);
        }
        apply(&host, "ledger-1.0.0").await;
    }
    let size: u32 = host.call("ledger", "size", ()).await?;
    assert_eq!(size as usize, entries);
    host.stop().await;
    let plain = plain::save_and_migrate(entries, times.min(11)).await?;
    println!("\nledger with {entries} entries, {times} upgrades, one client         median");
    let without = median(measured[0].clone());
    for (name, values) in names.into_iter().zip(measured) {
        print(entries, name, values);
    }
    print(entries, "plain", plain);
    let flush = median(durable::flushes(root.path())?);
    print(entries, "without-and-flush", vec![without + flush]);
    Ok(())
}

fn print(entries: usize, name: &str, values: Vec<f64>) {
    let (title, is_rate) = match name {
        "without" => ("longest call in 100 ms without a switch", false),
        "longest" => ("longest call in the 100 ms around the switch", false),
        "without-and-flush" => ("longest call without a switch, and a flush of the disk", false),
        "whole" => ("longest call from `apply` to its end", false),
        "gate" => ("gate closed for", false),
        "hand-over" => ("`apply` from begin to end", false),
        "rate-before" => ("calls a second before", true),
        "rate-during" => ("calls a second during `apply`", true),
        _ => ("`save` and `migrate` alone, in Wasmtime", false),
    };
    let value = median(values.clone());
    let shown = if is_rate { format!("{value:.0}") } else { time(value) };
    println!("{title:<50} {shown:>12}");
    let unit = if is_rate { "1/s" } else { "ns" };
    lines(&format!("upgrade.{entries}.{name}"), values, unit);
}
