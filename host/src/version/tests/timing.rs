//! Compiling with a time limit.

use super::*;
use std::time::{Duration, Instant};
use wasmhot_appup::Digest;

/// Takes Cranelift a while even on a fast machine: one long function.
fn slow() -> Arc<[u8]> {
    let body = "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 3)) (i32.const 7)))".repeat(60_000);
    wasm(&format!(
        r#"(module (func (export "f") (param i32) (result i32) {body} (local.get 0)))"#
    ))
    .into()
}

#[test]
fn time_grows_with_size_up_to_a_bound() {
    let table = [
        (0, 10),
        (1, 11),
        (1 << 20, 15),
        (10 << 20, 60),
        (64 << 20, 180),
        (u64::MAX, 180),
    ];
    for (size, seconds) in table {
        assert_eq!(time_by_size(size), Duration::from_secs(seconds), "{size}");
    }
}

#[tokio::test]
async fn a_timeout_is_told_at_once_and_bars_nothing() {
    let engines = Arc::new(engines());
    let begun = Instant::now();
    let slow = slow();
    let error = compile_within(
        engines.clone(),
        "slow",
        slow.clone(),
        Digest::of(&slow),
        Some(Duration::from_millis(1)),
    )
    .await;
    let error = error.expect_err("too slow");
    assert_eq!((error.code(), error.is_permanent()), ("compile-timeout", false));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // The abandoned thread has given its place away.
    assert_eq!(
        (
            engines.compiling.available_permits(),
            engines.abandoned.available_permits()
        ),
        (2, 1)
    );
    let counter: Arc<[u8]> = wasm(COUNTER).into();
    let version = compile_within(
        engines.clone(),
        "counter-1.0.0",
        counter.clone(),
        Digest::of(&counter),
        None,
    )
    .await
    .expect("compiles");
    assert_eq!(version.id.to_string(), "counter@1.0.0");
    while engines.abandoned.available_permits() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(120));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// For the hand: every `*.wasm` under the directory named in SAMPLES is described and compiled, with times.
#[test]
#[ignore = "measures"]
fn measure_samples() {
    let Ok(dir) = std::env::var("SAMPLES") else { return };
    for file in std::fs::read_dir(dir).expect("a directory").flatten() {
        let path = file.path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        let bytes = std::fs::read(&path).expect("reads");
        let begun = Instant::now();
        match describe(stem, &bytes) {
            Err(error) => eprintln!("{stem}: {}: {error}", error.code()),
            Ok(description) => {
                let described = begun.elapsed();
                let version = compiled(stem, &bytes);
                eprintln!(
                    "{stem}: {} by {:?}, {} bytes, described in {described:?}, compiled in {:?}, {} functions, {:?}",
                    version.id,
                    description.name_source,
                    bytes.len(),
                    begun.elapsed() - described,
                    version.places.exports.len(),
                    description.notes
                );
            }
        }
    }
}
