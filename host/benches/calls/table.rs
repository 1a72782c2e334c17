//! Medians side by side.

/// What was measured of one way to call.
pub(crate) struct Row {
    name: &'static str,
    median: f64,
    p90: f64,
}

impl Row {
    /// Of the times of a call in each batch, in nanoseconds.
    pub(crate) fn new(name: &'static str, times: Vec<f64>) -> Self {
        let p90 = quantile(times.clone(), 0.9);
        Self {
            name,
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
        }
    }
}

/// Prints rows with their ratio to the row `base`.
pub(crate) fn print(title: &str, rows: &[Row], base: usize) {
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
