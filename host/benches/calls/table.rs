//! Medians side by side, as tables and, with `--lines`, as lines `name value unit` between them.

use std::future::Future;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Batches of each row.
const BATCHES: usize = 60;
/// How long a batch takes, about.
const BATCH: Duration = Duration::from_millis(10);

/// Measures rows in turns: each does so many calls and says how long they took.
pub(crate) fn measure(rows: &mut [(&'static str, &mut dyn FnMut(u64) -> Duration)]) -> Vec<Row> {
    let mut sizes = Vec::new();
    for (_, run) in rows.iter_mut() {
        run(10);
        let once = run(20) / 20;
        sizes.push((BATCH.as_nanos() / once.as_nanos().max(1)).clamp(10, 1_000_000) as u64);
    }
    let mut times = vec![Vec::new(); rows.len()];
    for _ in 0..BATCHES {
        for (place, (_, run)) in rows.iter_mut().enumerate() {
            let took = run(sizes[place]);
            times[place].push(took.as_secs_f64() * 1e9 / sizes[place] as f64);
        }
    }
    let named = rows.iter().zip(times);
    named.map(|((name, _), times)| Row::new(name, times)).collect()
}

/// So many calls one after another, and how long they took.
pub(crate) fn one_after_another<F: Future<Output = ()>>(
    runtime: &Runtime,
    calls: u64,
    mut call: impl FnMut() -> F,
) -> Duration {
    runtime.block_on(async {
        let begin = Instant::now();
        for _ in 0..calls {
            call().await;
        }
        begin.elapsed()
    })
}

/// What was measured of one way to call.
pub(crate) struct Row {
    name: &'static str,
    median: f64,
    p90: f64,
    best: f64,
}

/// The share of batches that are counted as having had the machine for themselves.
const UNDISTURBED: f64 = 0.1;

impl Row {
    /// Of the times of a call in each batch, in nanoseconds.
    pub(crate) fn new(name: &'static str, times: Vec<f64>) -> Self {
        let p90 = quantile(times.clone(), 0.9);
        let best = quantile(times.clone(), UNDISTURBED);
        Self {
            name,
            best,
            median: median(times),
            p90,
        }
    }

    /// The same, for each of so many things that a call does.
    pub(crate) fn per(&self, things: f64) -> Self {
        Self {
            name: self.name,
            median: self.median / things,
            p90: self.p90 / things,
            best: self.best / things,
        }
    }
}

/// Prints rows with their ratio to the row `base`.
pub(crate) fn print(name: &str, title: &str, rows: &[Row], base: usize) {
    println!("\n{title:<36} {:>10} {:>10} {:>8}", "median", "p90", "ratio");
    for row in rows {
        let ratio = row.median / rows[base].median;
        println!(
            "{:<36} {:>10} {:>10} {ratio:>8.2}",
            row.name,
            time(row.median),
            time(row.p90)
        );
    }
    for row in rows {
        let name = format!("{name}.{}", slug(row.name));
        line(&name, row.median, "ns");
        line(&format!("{name}.best"), row.best, "ns");
    }
}

/// What programs read, if they ask for it.
pub(crate) fn line(name: &str, value: f64, unit: &str) {
    if std::env::args().any(|arg| arg == "--lines") {
        println!("{name} {value} {unit}");
    }
}

/// As [`line`], with the best of them too: what is left when other programs disturb least.
pub(crate) fn lines(name: &str, values: Vec<f64>, unit: &str) {
    let share = if unit == "1/s" { 1.0 - UNDISTURBED } else { UNDISTURBED };
    line(&format!("{name}.best"), quantile(values.clone(), share), unit);
    line(name, median(values), unit);
}

/// `Wasmtime, call_async` as `wasmtime-call-async`.
fn slug(name: &str) -> String {
    let name = name.to_lowercase();
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

/// Nanoseconds with a unit that suits them.
pub(crate) fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        ..1e3 => format!("{nanoseconds:.0} ns"),
        1e3..1e6 => format!("{:.2} us", nanoseconds / 1e3),
        _ => format!("{:.2} ms", nanoseconds / 1e6),
    }
}

pub(crate) fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

pub(crate) fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * share) as usize;
    values
        .get(place.min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}
