//! The longest call in the 100 ms around a switch of small state, against equal windows without one.

use super::client::{Clients, longest};
use super::guest;
use super::table::{line, median, quantile, time};
use std::time::{Duration, Instant};
use wasmhot::Host;
use wasmhot::control::protocol::{ApplyRequest, UpgradeReport};

/// Half of it lies before the switch.
const WINDOW: Duration = Duration::from_millis(100);
const SWITCHES: usize = 40;
const CLIENTS: usize = 4;

async fn apply(host: &Host, file: &str) -> UpgradeReport {
    let request = ApplyRequest {
        path: guest(file),
        ..ApplyRequest::default()
    };
    host.apply(request).await.expect("is applied")
}

pub(crate) async fn longest_calls(host: &Host) {
    // Both versions are compiled before anything is measured.
    for file in ["counter-2.0.0", "counter-1.0.0"] {
        apply(host, file).await;
    }
    let client = host.clone();
    let clients = Clients::start(CLIENTS, move || {
        let host = client.clone();
        async move {
            let _: i64 = host.call("counter", "increment", (1_i64,)).await.expect("counts");
            true
        }
    });
    let (mut around, mut without, mut gates, mut waited) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for number in 0..SWITCHES {
        tokio::time::sleep(2 * WINDOW).await;
        without.push(Instant::now() - WINDOW / 2);
        let report = apply(host, ["counter-2.0.0", "counter-1.0.0"][number % 2]).await;
        // The gate has just been opened: its time lies in the middle.
        around.push(Instant::now() - Duration::from_micros(report.gate_us / 2));
        gates.push(report.gate_us as f64 * 1e3);
        waited += report.waited;
    }
    tokio::time::sleep(2 * WINDOW).await;
    let calls = clients.stop().await;
    println!(
        "\nlongest call in {} ms, {CLIENTS} clients on counter, {} calls, {SWITCHES} switches ({waited} calls waited)",
        WINDOW.as_millis(),
        calls.len()
    );
    println!("{:<36} {:>10} {:>10} {:>10}", "", "median", "p90", "longest");
    let row = |name: &str, values: Vec<f64>| {
        let (p90, longest) = (quantile(values.clone(), 0.9), quantile(values.clone(), 1.0));
        println!(
            "{name:<36} {:>10} {:>10} {:>10}",
            time(median(values)),
            time(p90),
            time(longest)
        );
    };
    let of = |middles: &[Instant]| {
        middles
            .iter()
            .map(|middle| longest(&calls, *middle - WINDOW / 2, *middle + WINDOW / 2))
            .collect::<Vec<_>>()
    };
    line("switch.without", median(of(&without)), "ns");
    line("switch.longest", median(of(&around)), "ns");
    line("switch.gate", median(gates.clone()), "ns");
    row("without a switch", of(&without));
    row("around a switch", of(&around));
    row("gate closed for", gates);
}
