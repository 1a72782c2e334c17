//! What a call of one module to another costs (R7), beside the same two components composed into one, and beside the least that a
//! host can do.

use super::bare::Bare;
use super::table::{self, measure};
use super::trampoline;
use std::path::Path;
use std::time::Instant;
use tokio::runtime::Runtime;
use wasmhot::Host;

/// Calls of the callee for each call of `run`: the way into the caller is not what is measured.
const NESTED: i32 = 200;

/// Adds one, and gives text and bytes back.
const CALLEE: &str = r#"(component $calc
  (core module $m
    (memory (export "memory") 2)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
    (func (export "f") (param i32) (result i32) (i32.add (i32.const 1) (local.get 0)))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0))
      (i32.store (i32.const 20) (local.get 1))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $mem))
  (alias core export $i "realloc" (core func $realloc))
  (func $f (param "a" s32) (result s32) (canon lift (core func $i "f")))
  (func $text (param "it" string) (result string)
    (canon lift (core func $i "echo") (memory (core memory $mem)) (realloc (core func $realloc))))
  (func $bytes (param "it" (list u8)) (result (list u8))
    (canon lift (core func $i "echo") (memory (core memory $mem)) (realloc (core func $realloc))))
  (instance $calc (export "f" (func $f)) (export "text" (func $text)) (export "bytes" (func $bytes)))
  (export "demo:pair/calc" (instance $calc)))"#;

/// Calls so often, and counts the kilobytes that come back.
const CALLER: &str = r#"(component $loop
  (import "demo:pair/calc" (instance $calc
    (export "f" (func (param "a" s32) (result s32)))
    (export "text" (func (param "it" string) (result string)))
    (export "bytes" (func (param "it" (list u8)) (result (list u8))))))
  (core module $memory
    (memory (export "memory") 2)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536)))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $f (canon lower (func $calc "f")))
  (core func $text (canon lower (func $calc "text") (memory (core memory $mem)) (realloc (core func $realloc))))
  (core func $bytes (canon lower (func $calc "bytes") (memory (core memory $mem)) (realloc (core func $realloc))))
  (core module $m
    (import "memory" "memory" (memory 2))
    (import "calc" "f" (func $f (param i32) (result i32)))
    (import "calc" "text" (func $text (param i32 i32 i32)))
    (import "calc" "bytes" (func $bytes (param i32 i32 i32)))
    (func (export "run") (param i32) (result i32) (local $sum i32)
      (loop $again
        (local.set $sum (call $f (local.get $sum)))
        (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (local.get $sum))
    (func (export "run-text") (param i32) (result i32) (local $sum i32)
      (loop $again
        (call $text (i32.const 1024) (i32.const 1024) (i32.const 16))
        (local.set $sum (i32.add (local.get $sum) (i32.shr_u (i32.load (i32.const 20)) (i32.const 10))))
        (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (local.get $sum))
    (func (export "run-bytes") (param i32) (result i32) (local $sum i32)
      (loop $again
        (call $bytes (i32.const 1024) (i32.const 1024) (i32.const 16))
        (local.set $sum (i32.add (local.get $sum) (i32.shr_u (i32.load (i32.const 20)) (i32.const 10))))
        (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (local.get $sum)))
  (core instance $i (instantiate $m
    (with "memory" (instance $memory))
    (with "calc" (instance (export "f" (func $f)) (export "text" (func $text)) (export "bytes" (func $bytes))))))
  (func (export "run") (param "n" s32) (result s32) (canon lift (core func $i "run")))
  (func (export "run-text") (param "n" s32) (result s32) (canon lift (core func $i "run-text")))
  (func (export "run-bytes") (param "n" s32) (result s32) (canon lift (core func $i "run-bytes"))))"#;

const FUNCTIONS: [(&str, &str, &str); 3] = [
    ("run", "nested.scalar", "a pool's call to a pool: calc.f(1)"),
    ("run-text", "nested.text-1k", "the same: calc.text(1 KiB)"),
    ("run-bytes", "nested.bytes-1k", "the same: calc.bytes(1 KiB)"),
];

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
          (alias export $l "run-text" (func $run-text))
          (alias export $l "run-bytes" (func $run-bytes))
          (export "run" (func $run))
          (export "run-text" (func $run-text))
          (export "run-bytes" (func $run-bytes)))"#
    );
    Ok(wat::parse_str(text)?)
}

/// Prints what a nested call costs in each way.
pub(crate) fn costs(runtime: &Runtime, host: &Host) -> anyhow::Result<()> {
    let started = runtime.block_on(bare());
    let (mut fused, mut sync, mut asynchronous) = started.map_err(|error| anyhow::anyhow!("{error:#}"))?;
    for (function, name, title) in FUNCTIONS {
        let rows = measure(&mut [
            ("composed into one component", &mut |calls| {
                runtime.block_on(fused.run(function, NESTED, calls))
            }),
            ("least of a host, call", &mut |calls| {
                runtime.block_on(sync.run(function, NESTED, calls))
            }),
            ("least of a host, call_async", &mut |calls| {
                runtime.block_on(asynchronous.run(function, NESTED, calls))
            }),
            ("through the router", &mut |calls| {
                runtime.block_on(async {
                    let begin = Instant::now();
                    for _ in 0..calls {
                        let sum: i32 = host.call("loop", function, (NESTED,)).await.expect("adds");
                        assert_eq!(sum, NESTED);
                    }
                    begin.elapsed()
                })
            }),
        ]);
        let each: Vec<_> = rows.iter().map(|row| row.per(f64::from(NESTED))).collect();
        table::print(name, title, &each, 2);
    }
    Ok(())
}

async fn bare() -> wasmtime::Result<(Bare, Bare, Bare)> {
    let parsed = |text| wat::parse_str(text).map_err(wasmtime::Error::from);
    let (caller, callee) = (parsed(CALLER)?, parsed(CALLEE)?);
    let composed = composed().expect("is valid");
    Ok((
        Bare::of_bytes(&composed).await?,
        trampoline::sync(&caller, &callee).await?,
        trampoline::asynchronous(&caller, &callee).await?,
    ))
}
