//! What a call of one module to another costs (R7), beside the same two components composed into one.

use super::bare::Bare;
use super::{measure, table};
use std::path::Path;
use std::time::Instant;
use tokio::runtime::Runtime;
use wasmhot::Host;

/// Calls of the callee for each call of `run`: the way into the caller is not what is measured.
const NESTED: i32 = 200;

const CALLEE: &str = r#"(component $calc
  (core module $m (func (export "f") (param i32) (result i32) (i32.add (i32.const 1) (local.get 0))))
  (core instance $i (instantiate $m))
  (func $f (param "a" s32) (result s32) (canon lift (core func $i "f")))
  (instance $calc (export "f" (func $f)))
  (export "demo:pair/calc" (instance $calc)))"#;

const CALLER: &str = r#"(component $loop
  (import "demo:pair/calc" (instance $calc (export "f" (func (param "a" s32) (result s32)))))
  (core func $f (canon lower (func $calc "f")))
  (core module $m
    (import "calc" "f" (func $f (param i32) (result i32)))
    (func (export "run") (param i32) (result i32) (local $sum i32)
      (loop $again
        (local.set $sum (call $f (local.get $sum)))
        (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (local.get $sum)))
  (core instance $i (instantiate $m (with "calc" (instance (export "f" (func $f))))))
  (func (export "run") (param "n" s32) (result s32) (canon lift (core func $i "run"))))"#;

/// Puts the two modules where the host finds them.
pub(crate) fn put(app: &Path) -> anyhow::Result<()> {
    for (name, text) in [("calc", CALLEE), ("loop", CALLER)] {
        std::fs::write(app.join(format!("{name}-1.0.0.wasm")), wat::parse_str(text)?)?;
    }
    Ok(())
}

fn composed() -> anyhow::Result<Vec<u8>> {
    let text = format!(
        r#"(component {CALLEE} {CALLER}
          (instance $c (instantiate $calc))
          (alias export $c "demo:pair/calc" (instance $ci))
          (instance $l (instantiate $loop (with "demo:pair/calc" (instance $ci))))
          (alias export $l "run" (func $run))
          (export "run" (func $run)))"#
    );
    Ok(wat::parse_str(text)?)
}

/// Prints what a nested call costs both ways.
pub(crate) fn costs(runtime: &Runtime, host: &Host) -> anyhow::Result<()> {
    let fused = runtime.block_on(Bare::of_bytes(&composed()?));
    let mut fused = fused.map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let rows = measure(&mut [
        ("composed into one component", &mut |calls| {
            runtime.block_on(fused.run(NESTED, calls))
        }),
        ("through the router", &mut |calls| {
            runtime.block_on(async {
                let begin = Instant::now();
                for _ in 0..calls {
                    let sum: i32 = host.call("loop", "run", (NESTED,)).await.expect("adds");
                    assert_eq!(sum, NESTED);
                }
                begin.elapsed()
            })
        }),
    ]);
    let each: Vec<_> = rows.iter().map(|row| row.per(f64::from(NESTED))).collect();
    table::print("a pool's call to a pool: calc.f(1)", &each, 0);
    Ok(())
}
