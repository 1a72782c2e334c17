//! Modules that a test makes itself, where it needs bytes that no guest in `modules/` has.

use crate::support::guest;
use std::path::Path;

/// A component or core module from its text.
pub(crate) fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The same module in other bytes: with a section that nobody reads.
pub(crate) fn with_note(mut bytes: Vec<u8>, note: &str) -> Vec<u8> {
    let mut section = vec![u8::try_from("note".len()).unwrap()];
    section.extend_from_slice(b"note");
    section.extend_from_slice(note.as_bytes());
    assert!(section.len() < 128, "its length is one byte");
    bytes.push(0);
    bytes.push(u8::try_from(section.len()).unwrap());
    bytes.extend(section);
    bytes
}

/// A module without state; its name and version are those of its file. `value()` gives `value`.
pub(crate) fn constant(value: i32) -> Vec<u8> {
    wasm(&format!(
        r#"(module (func (export "value") (result i32) (i32.const {value})))"#
    ))
}

/// `front`: `run(a)` asks the calculator. In version 2 of the interface it says a second number, `b`, so that both must move together.
pub(crate) fn front(interface: u32, extra: i32) -> Vec<u8> {
    let (params, core, args) = match interface {
        1 => (r#"(param "a" s32)"#, "i32", "(local.get 0)"),
        _ => (
            r#"(param "a" s32) (param "b" s32)"#,
            "i32 i32",
            "(local.get 0) (i32.const 1000)",
        ),
    };
    wasm(&format!(
        r#"(component
          (import "demo:pair/calc" (instance $calc (export "f" (func {params} (result s32)))))
          (core func $f (canon lower (func $calc "f")))
          (core module $m
            (import "calc" "f" (func $f (param {core}) (result i32)))
            (func (export "run") (param i32) (result i32) (i32.add (i32.const {extra}) (call $f {args}))))
          (core instance $i (instantiate $m (with "calc" (instance (export "f" (func $f))))))
          (func (export "run") (param "a" s32) (result s32) (canon lift (core func $i "run"))))"#
    ))
}

/// `calc`: `f(a)` gives `a + add`; in version 2 of the interface `f(a, b)` gives `a + b + add`.
pub(crate) fn calc(interface: u32, add: i32) -> Vec<u8> {
    calc_with(interface, add, "")
}

/// As [`calc`], but its start code traps.
pub(crate) fn trapping_calc(interface: u32) -> Vec<u8> {
    calc_with(interface, 0, "(func $trap unreachable) (start $trap)")
}

fn calc_with(interface: u32, add: i32, code: &str) -> Vec<u8> {
    let (params, core, sum) = match interface {
        1 => (r#"(param "a" s32)"#, "i32", "(local.get 0)"),
        _ => (
            r#"(param "a" s32) (param "b" s32)"#,
            "i32 i32",
            "(i32.add (local.get 0) (local.get 1))",
        ),
    };
    wasm(&format!(
        r#"(component
          (core module $m {code}
            (func (export "f") (param {core}) (result i32) (i32.add (i32.const {add}) {sum})))
          (core instance $i (instantiate $m))
          (func $f {params} (result s32) (canon lift (core func $i "f")))
          (instance $calc (export "f" (func $f)))
          (export "demo:pair/calc" (instance $calc)))"#
    ))
}

/// A module that keeps a number, and cannot read its own state where that is negative.
pub(crate) fn grumpy() -> Vec<u8> {
    wasm(GRUMPY)
}

const GRUMPY: &str = r#"(module
          (memory (export "memory") 1)
          ;; 0 the result area, 16 the number, 64 a text, 1024 what the host gives
          (data (i32.const 64) "I do not like it")
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
            (global.set $top (i32.add (local.get $at) (local.get 3)))
            (local.get $at))
          (global $top (mut i32) (i32.const 1024))
          (func $result (param i32 i32 i32) (result i32)
            (i32.store8 (i32.const 0) (local.get 0))
            (i32.store (i32.const 4) (local.get 1))
            (i32.store (i32.const 8) (local.get 2))
            (global.set $top (i32.const 1024))
            (i32.const 0))
          (func (export "save") (param i32 i32 i32 i32 i32 i32 i32) (result i32)
            (call $result (i32.const 0) (i32.const 16) (i32.const 8)))
          (func (export "migrate") (param i32 i32 i32 i32 i32 i32 i32) (param $state i32) (param $length i32) (result i32)
            (if (result i32) (i64.lt_s (i64.load align=1 (local.get $state)) (i64.const 0))
              (then (call $result (i32.const 1) (i32.const 64) (i32.const 16)))
              (else
                (i64.store (i32.const 16) (i64.load align=1 (local.get $state)))
                (call $result (i32.const 0) (i32.const 0) (i32.const 0)))))
          (func (export "set") (param i64) (i64.store (i32.const 16) (local.get 0)))
          (func (export "trap") unreachable)
          (func (export "get") (result i64) (i64.load (i32.const 16)))
          ;; more
        )"#;

/// A module that counts the states that it was given.
pub(crate) fn gathering() -> Vec<u8> {
    let (begin, end) = ("(if (result i32) (i64.lt_s", "(func (export \"set\")");
    let (before, rest) = GRUMPY.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let counts = "(i64.store (i32.const 16) (i64.add (i64.load (i32.const 16)) (i64.const 1)))
            (call $result (i32.const 0) (i32.const 0) (i32.const 0)))";
    wasm(&format!("{before}{counts}{end}{after}"))
}

/// A module that keeps a number, and whose health check does not end while it is 13. `build` makes other bytes.
pub(crate) fn moody(build: u32) -> Vec<u8> {
    let text = GRUMPY.replace(
        ";; more",
        &format!(
            r#"(func (export "build") (result i32) (i32.const {build}))
          (func (export "health") (result i32)
            (loop $again (br_if $again (i64.eq (i64.load (i32.const 16)) (i64.const 13))))
            (call $result (i32.const 0) (i32.const 0) (i32.const 0)))"#
        ),
    );
    wasm(&text)
}

/// As [`calc`] of interface 1, but each call takes a second or two.
pub(crate) fn slow_calc(add: i32) -> Vec<u8> {
    slow_calc_of(add, 6_000_000_000)
}

/// As [`calc`] of interface 1, but each call counts down first.
pub(crate) fn slow_calc_of(add: i32, from: u64) -> Vec<u8> {
    wasm(&format!(
        r#"(component
          (core module $m
            (func (export "f") (param i32) (result i32) (local $left i64)
              (local.set $left (i64.const {from}))
              (loop $again
                (local.set $left (i64.sub (local.get $left) (i64.const 1)))
                (br_if $again (i64.ne (local.get $left) (i64.const 0))))
              (i32.add (i32.const {add}) (local.get 0))))
          (core instance $i (instantiate $m))
          (func $f (param "a" s32) (result s32) (canon lift (core func $i "f")))
          (instance $calc (export "f" (func $f)))
          (export "demo:pair/calc" (instance $calc)))"#
    ))
}

/// A guest under another name of as many letters.
pub(crate) fn renamed(file: &str, old: &str, new: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(guest(file)).unwrap();
    let [old, new] = [old, new].map(|name| format!(r#""name":"{name}""#).into_bytes());
    assert_eq!(old.len(), new.len());
    let places: Vec<usize> = (0..bytes.len() - old.len())
        .filter(|at| bytes[*at..].starts_with(&old))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + new.len()].copy_from_slice(&new);
    }
    // What the guest says that it reads is said of its own name. Without a description it is found out by trying (R4).
    let described = b"wasmhot:state";
    for at in 0..bytes.len() - described.len() {
        if bytes[at..].starts_with(described) {
            bytes[at..at + described.len()].copy_from_slice(b"nobody:states");
        }
    }
    bytes
}

/// A module that keeps a number, and adds to it with each `migrate` that is no `restore`. 1.`minor`.0 reads and writes the format of
/// the minor version before it, and no other; name and version are those of its file.
pub(crate) fn stepping(minor: u8, step: i64) -> Vec<u8> {
    let (begin, end) = ("(if (result i32) (i64.lt_s", "(func (export \"set\")");
    let (before, rest) = GRUMPY.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let migrate = format!(
        "(i64.store (i32.const 16) (i64.add (i64.load align=1 (local.get $state))
           (select (i64.const 0) (i64.const {step}) (i32.eq (local.get 4) (i32.const 2)))))
         (call $result (i32.const 0) (i32.const 0) (i32.const 0)))"
    );
    let older = minor.checked_sub(1).map(|older| format!("~1.{older}"));
    let reads: Vec<_> = std::iter::once(format!("~1.{minor}")).chain(older.clone()).collect();
    let writes: Vec<_> = older.into_iter().collect();
    let described = serde_json::json!({ "media-type": "text/plain", "reads": reads, "writes": writes });
    let described = described.to_string().replace('"', "\\\"");
    let section = format!("(@custom \"wasmhot:state\" \"{described}\")");
    wasm(&format!("{before}{migrate}{end}{after}").replace(";; more", &section))
}

/// A keyed module that keeps a number for each key, which becomes -1 where the instance that takes the state has taken another before; it
/// sees that by a global and by a byte of its memory, neither of which is part of the state. `build` makes other bytes.
pub(crate) fn wary(build: u32) -> Vec<u8> {
    let (begin, end) = ("(if (result i32) (i64.lt_s", "(func (export \"set\")");
    let (before, rest) = GRUMPY.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let migrate = r#"(i64.store (i32.const 16)
              (select (i64.const -1) (i64.load align=1 (local.get $state))
                (i32.or (global.get $taken) (i32.load8_u (i32.const 48)))))
            (global.set $taken (i32.const 1))
            (i32.store8 (i32.const 48) (i32.const 1))
            (call $result (i32.const 0) (i32.const 0) (i32.const 0)))
          (global $taken (mut i32) (i32.const 0))
          "#;
    let text = format!("{before}{migrate}{end}{after}")
        .replace(r#""save""#, r#""wasmhot:module/lifecycle@0.1.0#save""#)
        .replace(r#""migrate""#, r#""wasmhot:module/lifecycle@0.1.0#migrate""#)
        .replace(
            r#"(export "set") (param i64) (i64.store (i32.const 16) (local.get 0))"#,
            r#"(export "set") (param i32 i32 i64) (i64.store (i32.const 16) (local.get 2))"#,
        )
        .replace(r#"(export "get") (result"#, r#"(export "get") (param i32 i32) (result"#)
        .replace(r#"(func (export "trap") unreachable)"#, "");
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/wit/module.wit");
    let mut resolve = wit_parser::Resolve::default();
    resolve.push_file(&contract).unwrap();
    let wit = "package test:wary@1.0.0; world wary {
        export wasmhot:module/lifecycle@0.1.0;
        export set: func(key: string, value: s64);
        export get: func(key: string) -> s64;
    }";
    let package = resolve.push_str("wary.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("wary")).unwrap();
    let mut bytes = wasm(&text);
    let utf8 = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, utf8).unwrap();
    with_note(bytes, &format!("{build}"))
}
