//! Text for people: tables, sizes, times. Pure.

/// What a guest or a file's name says, without control characters: those could do anything to a terminal. Further lines are indented.
pub(super) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for character in text.trim_end().chars() {
        match character {
            '\n' | '\t' => cleaned.push(character),
            _ if character.is_control() => cleaned.extend(character.escape_default()),
            _ => cleaned.push(character),
        }
    }
    cleaned
}

/// The same, with all lines but the first indented.
pub(super) fn indented(text: &str, by: usize) -> String {
    clean(text).replace('\n', &format!("\n{:by$}", ""))
}

/// `1 module`, `2 modules`.
pub(super) fn count(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// `12,345`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `820 B`, `1.4 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // A label: what a float cannot tell apart, nobody reads.
    #[allow(clippy::cast_precision_loss, reason = "a label")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `850 µs`, `1.4 ms`, `3.2 s`, `5 min`, `3 h`, `2 d`.
pub(super) fn time(us: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", us / unit, us % unit * 10 / unit);
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", tenths(1_000)),
        1_000_000..60_000_000 => format!("{} s", tenths(1_000_000)),
        60_000_000..3_600_000_000 => format!("{} min", us / 60_000_000),
        3_600_000_000..86_400_000_000 => format!("{} h", us / 3_600_000_000),
        _ => format!("{} d", us / 86_400_000_000),
    }
}

/// `3.2 s`, of milliseconds.
pub(super) fn millis(ms: u64) -> String {
    time(ms.saturating_mul(1000))
}

/// The time of day, here.
pub(super) fn clock(ms: u64) -> String {
    local(ms, "%H:%M:%S").unwrap_or_else(|| "--:--:--".to_string())
}

/// Day and time, here.
pub(super) fn moment(ms: u64) -> String {
    local(ms, "%Y-%m-%d %H:%M:%S").unwrap_or_else(|| "(no time)".to_string())
}

fn local(ms: u64, format: &str) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::system()).strftime(format).to_string())
}

/// Columns as wide as they need to be. A heading that begins with `>` makes its column stand at the right.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let right: Vec<bool> = headings.iter().map(|heading| heading.starts_with('>')).collect();
    let first: Vec<String> = headings
        .iter()
        .map(|heading| heading.trim_start_matches('>').to_string())
        .collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&first).chain(rows).collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..first.len()).map(width).collect();
    let render = |line: &&Vec<String>| {
        let cells = line.iter().zip(&widths).zip(&right);
        let cells = cells.map(|((cell, width), right)| match right {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    lines.iter().map(render).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1 << 20), "1.0 MiB");
        assert_eq!(size(u64::MAX), "17179869184.0 GiB");
        assert_eq!(time(999), "999 µs");
        assert_eq!(time(1_590), "1.5 ms");
        assert_eq!(time(61_000_000), "1 min");
        assert_eq!(millis(u64::MAX), time(u64::MAX));
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
        assert_eq!(
            (count(1, "call"), count(0, "call")),
            ("1 call".into(), "0 calls".into())
        );
    }

    #[test]
    fn tables_have_straight_columns() {
        let rows = [vec!["a".into(), "1000".into()], vec!["bcd".into(), "1".into()]];
        assert_eq!(
            table(&["NAME", ">N"], &rows),
            ["NAME     N", "a     1000", "bcd      1"]
        );
    }

    #[test]
    fn a_guest_cannot_write_to_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\rc\n  d\n"), "a\\u{1b}[2Jb\\rc\n  d");
        assert_eq!(indented("a\nb", 2), "a\n  b");
        assert_eq!(clean("Zürich \"x\""), "Zürich \"x\"");
    }
}
