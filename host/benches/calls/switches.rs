//! The longest call in the 100 ms around a switch of small state, against equal windows without one.

use super::guest;
use super::table::{median, quantile, time};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wasmhot::Host;
use wasmhot::control::protocol::{ApplyRequest, UpgradeReport};

/// Half of it lies before the switch.
const WINDOW: Duration = Duration::from_millis(100);
const SWITCHES: usize = 40;
const CLIENTS: usize = 4;

/// When a call began and ended.
type Call = (Instant, Instant);

async fn client(host: Host, stop: Arc<AtomicBool>) -> Vec<Call> {
    let mut calls = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let _: i64 = host.call("counter", "increment", (1_i64,)).await.expect("counts");
        calls.push((begin, Instant::now()));
        // As any client does between two calls: something else.
        tokio::task::yield_now().await;
    }
    calls
}

async fn apply(host: &Host, file: &str) -> UpgradeReport {
    let request = ApplyRequest {
        path: guest(file),
        ..ApplyRequest::default()
    };
    host.apply(request).await.expect("is applied")
}

/// The longest call that lies in a window, in nanoseconds.
fn longest(calls: &[Call], middle: Instant) -> f64 {
    let (from, to) = (middle - WINDOW / 2, middle + WINDOW / 2);
    let first = calls.partition_point(|(_, end)| *end < from);
    let inside = calls[first..].iter().take_while(|(begin, _)| *begin <= to);
    inside
        .map(|(begin, end)| (*end - *begin).as_nanos() as f64)
        .fold(0.0, f64::max)
}

pub(crate) async fn longest_calls(host: &Host) {
    // Both versions are compiled before anything is measured.
    for file in ["counter-2.0.0", "counter-1.0.0"] {
        apply(host, file).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(client(host.clone(), Arc::clone(&stop))))
        .collect();
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
    stop.store(true, Ordering::Relaxed);
    let mut calls = Vec::new();
    for client in clients {
        calls.extend(client.await.expect("ends"));
    }
    calls.sort_by_key(|(_, end)| *end);
    println!(
        "\nlongest call in {} ms, {CLIENTS} clients on counter, {} calls, {SWITCHES} switches ({waited} calls waited)",
        WINDOW.as_millis(),
        calls.len()
    );
    println!("{:<36} {:>10} {:>10} {:>10}", "", "median", "p90", "longest");
    let line = |name: &str, values: Vec<f64>| {
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
            .map(|middle| longest(&calls, *middle))
            .collect::<Vec<_>>()
    };
    line("without a switch", of(&without));
    line("around a switch", of(&around));
    line("gate closed for", gates);
}
