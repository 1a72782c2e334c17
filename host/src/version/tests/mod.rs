//! Files that are refused, files that are taken, and what is said of them.

mod core_modules;
mod identity;
mod refusals;
mod timing;

use super::*;

/// Text to bytes.
fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn engines() -> Engines {
    Engines::new(&EngineSettings::default()).expect("engines")
}

/// Compiles, and compares what was said before with what Wasmtime sees afterwards.
fn compiled(stem: &str, bytes: &[u8]) -> Version {
    let engines = engines();
    let version = compile(&engines, stem, bytes).unwrap_or_else(|error| panic!("{stem}: {error}"));
    let engine = engines.get(version.engine);
    for (name, ty) in &version.interface.exports {
        let instance = name.interface.as_deref().map(|interface| {
            version
                .component
                .get_export_index(None, interface)
                .expect("the interface is exported")
        });
        let (item, _) = version
            .component
            .get_export(instance.as_ref(), name.name.as_str())
            .expect("is exported");
        let wasmtime::component::types::ComponentItem::ComponentFunc(function) = item else {
            panic!("{name} is no function")
        };
        assert_eq!(crate::value::types::function_type(&function), *ty, "{name}");
    }
    let imports = version.component.component_type();
    for (name, ty) in &version.interface.imports {
        let Some(interface) = &name.interface else { continue };
        let found = imports.get_import(engine, interface).expect("is imported");
        let wasmtime::component::types::ComponentItem::ComponentInstance(instance) = found.ty else {
            panic!("{name} is no instance")
        };
        let function = instance.get_export(engine, &name.name).expect("is in the instance");
        let wasmtime::component::types::ComponentItem::ComponentFunc(function) = function.ty else {
            panic!("{name} is no function")
        };
        assert_eq!(crate::value::types::function_type(&function), *ty, "{name}");
    }
    version
}

/// A stateful module by the short names.
const COUNTER: &str = r#"(module
  (memory (export "memory") 1)
  (global $n (mut i64) (i64.const 0))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "increment") (result i64)
    (global.set $n (i64.add (global.get $n) (i64.const 1))) (global.get $n))
  (func (export "save") (param i32 i32 i32 i32 i32 i32 i32) (result i32)
    (i64.store (i32.const 64) (global.get $n))
    (i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 64))
    (i32.store (i32.const 24) (i32.const 8)) (i32.const 16))
  (func (export "cabi_post_save") (param i32))
  (func (export "migrate") (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (global.set $n (i64.load (local.get 7))) (i32.store (i32.const 16) (i32.const 0)) (i32.const 16))
  (func (export "health") (result i32) (i32.store (i32.const 16) (i32.const 0)) (i32.const 16)))"#;
