//! What the hand-over of a million entries costs, through the very exports that the host calls.
//!
//! Run it with `--release -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use register_1_0_0 as v1_0;
use register_1_1_0::State;
use wasmhot_guest::Stateful;
use wasmhot_guest::bindings::Incremental;
use wasmhot_guest::bindings::incremental::exports::wasmhot::module::incremental::{Change, Direction, Guest};

const ENTRIES: u32 = 1_000_000;
const CHUNK: u32 = 1 << 20;

type Old = Incremental<v1_0::State>;
type New = Incremental<State>;

fn change() -> Change {
    Change {
        from: "1.0.0".into(),
        to: "1.1.0".into(),
        direction: Direction::Upgrade,
        extra: "null".into(),
    }
}

/// In time of the processor, where the system tells: others may be at work too.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> (T, Duration) {
    let (begin, before) = (Instant::now(), processor());
    let result = work();
    let taken = match (before, processor()) {
        (Some(before), Some(after)) => after.saturating_sub(before),
        _ => begin.elapsed(),
    };
    println!(
        "{what}: {taken:?}, {} ns per entry",
        taken.as_nanos() / u128::from(ENTRIES)
    );
    (result, taken)
}

fn processor() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    told.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

#[test]
#[ignore = "a measurement"]
fn a_million_entries() {
    v1_0::State::with_mut(|state| {
        state.entries = (1..=ENTRIES)
            .map(|number| (format!("key-{number:07}"), v1_0::Entry::numbered(number)))
            .collect();
    });
    let (estimate, _) = timed("begin", || Old::begin(change()).expect("begins"));
    let mut chunks = Vec::new();
    timed("next, all", || {
        while let Some(chunk) = Old::next(CHUNK).expect("gives") {
            chunks.push(chunk);
        }
    });
    let bytes: usize = chunks.iter().map(Vec::len).sum();
    println!("{bytes} bytes in {} chunks, {estimate} estimated", chunks.len());
    v1_0::State::with_mut(|state| {
        for number in 1..=1000 {
            state
                .entries
                .update(&format!("key-{number:07}"), |entry| entry.count += 1);
        }
    });
    println!("pending {}", Old::pending());
    let (rest, _) = timed("rest of 1,000", || Old::rest().expect("gives"));
    timed("accept, all", || {
        for chunk in chunks {
            New::accept(change(), chunk).expect("accepts");
        }
    });
    let ((), finish) = timed("finish", || New::finish(change(), rest).expect("finishes"));
    assert!(finish < Duration::from_millis(100), "{finish:?}");
    let (sum, _) = timed("checksum, all decoded", || State::with(State::checksum));
    assert_eq!(sum, v1_0::State::with(v1_0::State::checksum));
    timed("save, all converted", || {
        let change = wasmhot_guest::Change::new("1.1.0", "1.1.0").expect("versions");
        State::with(|state| state.save(&change)).expect("saves").len()
    });
}
