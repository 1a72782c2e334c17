//! The table of `docs/languages.md`: what each language costs here.

use super::ALL;
use crate::support::{HANG, World};
use std::time::{Duration, Instant};
use wasmhot_appup::LimitsSpec;

const CALLS: usize = 2000;
const LARGE: u32 = 1_000_000;

/// The middle one of many times.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn milliseconds(micros: Option<u64>) -> String {
    format!("{:.2} ms", Duration::from_micros(micros.unwrap()).as_secs_f64() * 1e3)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn what_each_language_costs() {
    println!("| language | build | size | start | call | 50 kB there and back | save 1 MB | migrate 1 MB |");
    println!("|---|---|---|---|---|---|---|---|");
    let patient = LimitsSpec {
        compile_timeout: Some(10 * HANG),
        start_timeout: Some(HANG),
        save_timeout: Some(HANG),
        migrate_timeout: Some(HANG),
        max_pause: Some(HANG),
        ..LimitsSpec::default()
    };
    for language in ALL {
        let Some(built) = tokio::task::spawn_blocking(|| language.built()).await.unwrap() else {
            continue;
        };
        let world = World::empty(|builder| builder.limits(patient.clone())).await;
        let begin = Instant::now();
        world.apply_bytes("counter-1.0.0.wasm", &built.first).await.unwrap();
        let start = begin.elapsed();
        let host = &world.host;
        let mut calls = Vec::with_capacity(CALLS);
        let mut lists = Vec::with_capacity(CALLS);
        let list = vec![7_u8; 50_000];
        for _ in 0..CALLS {
            let begin = Instant::now();
            let _: i64 = host.call("counter", "increment", (1_i64,)).await.unwrap();
            calls.push(begin.elapsed());
            let begin = Instant::now();
            let _: Vec<u8> = host.call("counter", "echo", (list.as_slice(),)).await.unwrap();
            lists.push(begin.elapsed());
        }
        let () = host.call("counter", "grow", (LARGE,)).await.unwrap();
        let report = world.apply_bytes("counter-1.1.0.wasm", &built.second).await.unwrap();
        let moved = &report.modules[0];
        println!(
            "| {} | {:.1} s | {} kB | {:.2} s | {} µs | {} µs | {} | {} |",
            language.name,
            built.took.as_secs_f64(),
            built.first.len() / 1000,
            start.as_secs_f64(),
            median(calls).as_micros(),
            median(lists).as_micros(),
            milliseconds(moved.save_us),
            milliseconds(moved.migrate_us),
        );
    }
}
