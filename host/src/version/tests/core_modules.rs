//! R6: plain core modules.

use super::*;
use wasmhot_appup::interface::FunctionName;
use wasmtime::Store;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

struct Guest(WasiCtx, ResourceTable);

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.0,
            table: &mut self.1,
        }
    }
}

/// Calls a function without parameters, in an instance that has all of WASI 0.2.
fn call<R>(version: &Version, interface: Option<&str>, function: &str) -> R
where
    R: wasmtime::component::ComponentNamedList + wasmtime::component::Lift + Send + Sync + 'static,
{
    let engine = version.component.engine();
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).expect("WASI");
    let mut store = Store::new(engine, Guest(WasiCtx::builder().build(), ResourceTable::new()));
    store.set_epoch_deadline(1000);
    let instance = linker
        .instantiate(&mut store, &version.component)
        .expect("instantiates");
    let name = FunctionName {
        interface: interface.map(str::to_owned),
        name: function.to_owned(),
    };
    let index = version
        .places
        .exports
        .get(&name)
        .unwrap_or_else(|| panic!("{function} is callable"))
        .index;
    instance
        .get_typed_func::<(), R>(&mut store, &index)
        .expect("of that type")
        .call(&mut store, ())
        .expect("returns")
}

fn text_of(version: &Version) -> Vec<String> {
    version
        .places
        .exports
        .iter()
        .map(|export| format!("{}: {}", export.name, export.ty))
        .collect()
}

#[test]
fn r06_short_names_make_a_stateful_component() {
    let version = compiled("counter-1.2.0", &wasm(COUNTER));
    assert_eq!(version.id.to_string(), "counter@1.2.0");
    assert!(version.interface.stateful && version.interface.has_health);
    assert!(version.places.lifecycle.is_some() && version.places.health.is_some());
    assert_eq!(text_of(&version), ["increment: func() -> s64"]);
    assert_eq!(call::<(i64,)>(&version, None, "increment"), (1,));
}

#[test]
fn r06_canonical_names_make_one_too() {
    let text = COUNTER
        .replace("\"save\"", "\"wasmhot:module/lifecycle@0.1.0#save\"")
        .replace(
            "\"cabi_post_save\"",
            "\"cabi_post_wasmhot:module/lifecycle@0.1.0#save\"",
        )
        .replace("\"migrate\"", "\"wasmhot:module/lifecycle@0.1.0#migrate\"")
        .replace("\"health\"", "\"wasmhot:module/health@0.1.0#check\"");
    let version = compiled("counter", &wasm(&text));
    assert!(version.interface.stateful && version.interface.has_health);
    assert_eq!(text_of(&version), ["increment: func() -> s64"]);
}

#[test]
fn r06_functions_of_numbers_can_be_called() {
    let text = r#"(module
      (func (export "add") (param i32 i64 f32 f64) (result f64) (local.get 3))
      (func (export "getValue") (result i32) (i32.const 7))
      (func (export "_tick"))
      (func (export "health") (result i32) (i32.const 1))
      (func (export "world") (result i64) (i64.const 2))
      (func (export "same_name"))
      (func (export "sameName"))
      (func (export "exact"))
      (func (export "Exact"))
      (func (export "two") (result i32 i32) (i32.const 1) (i32.const 2))
      (func (export "wide") (result v128) (v128.const i64x2 1 2))
      (func (export "malloc") (param i32) (result i32) (i32.const 0))
      (func (export "__internal"))
      (func (export "odd name"))
      (global (export "g") i32 (i32.const 1))
      (table (export "t") 1 funcref))"#;
    let bytes = wasm(text);
    let version = compiled("numbers", &bytes);
    assert_eq!(
        text_of(&version),
        [
            "add: func(p1: s32, p2: s64, p3: f32, p4: f64) -> f64",
            "exact: func()",
            "get-value: func() -> s32",
            "health: func() -> s32",
            "tick: func()",
            "world: func() -> s64",
        ]
    );
    assert!(!version.interface.stateful && version.places.health.is_none());
    assert_eq!(call::<(i32,)>(&version, None, "get-value"), (7,));
    let description = describe("numbers", &bytes).expect("is described");
    assert_eq!(description.form, CoreOrComponent::Core);
    for part in [
        "\"Exact\"",
        "\"same_name\"",
        "\"sameName\"",
        "\"two\"",
        "\"wide\"",
        "\"odd name\"",
        "\"getValue\"",
    ] {
        assert!(
            description.notes.iter().any(|note| note.contains(part)),
            "{part} in {:?}",
            description.notes
        );
    }
    assert!(
        description
            .notes
            .iter()
            .all(|note| !note.contains("malloc") && !note.contains("__internal"))
    );
}

#[test]
fn r06_a_wasi_reactor_is_initialised() {
    let text = r#"(module
      (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
      (memory (export "memory") 1)
      (global $ready (mut i32) (i32.const 0))
      (func (export "_initialize") (global.set $ready (i32.const 1)) (drop (call $random (i32.const 0) (i32.const 8))))
      (func (export "ready") (result i32) (global.get $ready)))"#;
    let version = compiled("reactor", &wasm(text));
    assert_eq!(call::<(i32,)>(&version, None, "ready"), (1,));
    assert!(
        version
            .interface
            .capabilities
            .iter()
            .any(|name| name.starts_with("wasi:random/random@0.2"))
    );
}

#[test]
fn r06_a_wasi_command_exports_run() {
    for import in [
        r#"(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))"#,
        "",
    ] {
        let text = format!(r#"(module {import} (memory (export "memory") 1) (func (export "_start")))"#);
        let version = compiled("command", &wasm(&text));
        let run = version
            .places
            .exports
            .iter()
            .map(|export| export.name.clone())
            .find(|name| name.name == "run")
            .expect("run");
        assert!(run.to_string().starts_with("wasi:cli/run@0.2"), "{run}");
        assert_eq!(
            call::<(Result<(), ()>,)>(&version, run.interface.as_deref(), "run"),
            (Ok(()),)
        );
    }
}

#[test]
fn r06_a_module_with_its_component_type_goes_through() {
    let wit = "package demo:calc; interface ops { double: func(n: u32) -> u32; } world calc { export ops; }";
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("calc.wit", wit).expect("WIT");
    let world = resolve.select_world(&[package], Some("calc")).expect("world");
    let embed = |text: &str| {
        let mut bytes = wasm(text);
        let utf8 = wit_component::StringEncoding::UTF8;
        wit_component::embed_component_metadata(&mut bytes, &resolve, world, utf8).expect("embeds");
        bytes
    };
    let double =
        r#"(func (export "demo:calc/ops#double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))"#;
    let version = compiled("calc", &embed(&format!("(module {double})")));
    assert_eq!(text_of(&version), ["demo:calc/ops.double: func(n: u32) -> u32"]);
    let error = describe("calc", &embed("(module)")).expect_err("nothing exported");
    assert_eq!(error.code(), "incomplete-abi", "{error}");
    let error = describe(
        "calc",
        &embed(&format!(r#"(module (import "env" "now" (func)) {double})"#)),
    )
    .expect_err("import");
    assert_eq!(error.code(), "unknown-import", "{error}");
    assert!(error.to_string().contains("`env"), "{error}");
}

/// The examples of the guest SDK, all of them.
#[test]
fn r06_the_wat_examples_are_taken() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/wat");
    let Ok(files) = std::fs::read_dir(examples) else { return };
    for file in files
        .flatten()
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|it| it == "wat"))
    {
        let bytes = wat::parse_file(&file).unwrap_or_else(|error| panic!("{error}"));
        let version = compiled("example", &bytes);
        let source = describe("example", &bytes).expect("is described").name_source;
        assert_eq!(source, NameSource::Sdk, "{}", file.display());
        assert!(version.places.lifecycle.is_some() && version.state.is_some() && !version.places.exports.is_empty());
    }
}
