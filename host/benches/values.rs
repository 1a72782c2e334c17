//! What a call costs: typed at compile time, by values typed at run time, and by Wasmtime's own dynamic values.
//!
//! `cargo bench -p wasmhot --bench values`

use criterion::{Criterion, criterion_group, criterion_main};
use std::time::{Duration, Instant};
use wasmhot::value::{Answered, Function, PreparedFunction, Value, define_import};
use wasmhot_appup::interface::{FunctionName, FunctionType, Type};
use wasmtime::component::{Component, ComponentNamedList, Instance, Lift, Linker, Lower, Val};
use wasmtime::{Config, Engine, Store};

/// Adds, echoes bytes, and echoes what its import makes of bytes.
const GUEST: &str = r#"(component
    (import "f" (func $f (param "it" (list u8)) (result (list u8))))
    (core module $memory
        (memory (export "memory") 40)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536)))
    (core instance $memory (instantiate $memory))
    (alias core export $memory "memory" (core memory $mem))
    (alias core export $memory "realloc" (core func $realloc))
    (core func $f (canon lower (func $f) (memory (core memory $mem)) (realloc (core func $realloc))))
    (core module $m
        (import "m" "memory" (memory 1))
        (import "m" "f" (func $f (param i32 i32 i32)))
        (func (export "add") (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1)))
        (func (export "echo") (param i32 i32) (result i32)
            (i32.store (i32.const 16) (local.get 0))
            (i32.store (i32.const 20) (local.get 1))
            (i32.const 16))
        (func (export "relay") (param i32 i32) (result i32)
            (call $f (local.get 0) (local.get 1) (i32.const 16))
            (i32.const 16)))
    (core instance $i (instantiate $m (with "m" (instance (export "memory" (memory $mem)) (export "f" (func $f))))))
    (func (export "add") (param "a" s64) (param "b" s64) (result s64) (canon lift (core func $i "add")))
    (func (export "echo") (param "it" (list u8)) (result (list u8))
        (canon lift (core func $i "echo") (memory (core memory $mem)) (realloc (core func $realloc))))
    (func (export "relay") (param "it" (list u8)) (result (list u8))
        (canon lift (core func $i "relay") (memory (core memory $mem)) (realloc (core func $realloc)))))"#;

/// How the host defines the guest's import.
#[derive(Clone, Copy)]
enum Import {
    Typed,
    Values,
    Val,
}

struct Guest {
    runtime: tokio::runtime::Runtime,
    component: Component,
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    fn new(import: Import) -> wasmtime::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let mut config = Config::new();
        config.concurrency_support(false);
        let engine = Engine::new(&config)?;
        let component = Component::new(&engine, wat::parse_str(GUEST)?)?;
        let mut linker = Linker::<()>::new(&engine);
        match import {
            Import::Typed => linker
                .root()
                .func_wrap_async("f", |_, (it,): (Vec<u8>,)| Box::new(async { Ok((it,)) }))?,
            Import::Values => {
                let bytes = Type::List(Box::new(Type::U8));
                let params = vec![("it".to_owned(), bytes.clone())];
                let ty = FunctionType {
                    params,
                    result: Some(bytes),
                    is_async: false,
                };
                define_import(&mut linker.root(), "f", &ty, |_, mut args| {
                    Answered::Now(Ok(args.pop()))
                })?;
            }
            Import::Val => linker.root().func_new_async("f", |_, _, params, results| {
                results[0] = params[0].clone();
                Box::new(async { Ok(()) })
            })?,
        }
        let mut store = Store::new(&engine, ());
        let instance = runtime.block_on(linker.instantiate_async(&mut store, &component))?;
        Ok(Guest {
            runtime,
            component,
            store,
            instance,
        })
    }

    fn function(&mut self, name: &str) -> wasmtime::Result<Function> {
        let name = FunctionName {
            interface: None,
            name: name.to_owned(),
        };
        PreparedFunction::new(&self.component, &name)?.bind(&mut self.store, &self.instance)
    }

    fn typed<P, R>(&mut self, name: &str, calls: u64, args: impl Fn() -> P) -> Duration
    where
        P: ComponentNamedList + Lower + Copy,
        R: ComponentNamedList + Lift + 'static,
    {
        let function = self
            .instance
            .get_typed_func::<P, R>(&mut self.store, name)
            .expect("exported");
        self.runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..calls {
                std::hint::black_box(function.call_async(&mut self.store, args()).await.expect("called"));
            }
            start.elapsed()
        })
    }

    fn values(&mut self, name: &str, calls: u64, args: &[Value]) -> Duration {
        let function = self.function(name).expect("exported");
        self.runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..calls {
                std::hint::black_box(function.call(&mut self.store, args).await.expect("called"));
            }
            start.elapsed()
        })
    }

    fn val(&mut self, name: &str, calls: u64, args: &[Val]) -> Duration {
        let function = self.instance.get_func(&mut self.store, name).expect("exported");
        self.runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..calls {
                let mut results = [Val::Bool(false)];
                function
                    .call_async(&mut self.store, args, &mut results)
                    .await
                    .expect("called");
                std::hint::black_box(results);
            }
            start.elapsed()
        })
    }
}

fn add(criterion: &mut Criterion) {
    let mut guest = Guest::new(Import::Values).expect("guest");
    let mut group = criterion.benchmark_group("add");
    group.bench_function("typed", |b| {
        b.iter_custom(|calls| guest.typed::<(i64, i64), (i64,)>("add", calls, || (40, 2)));
    });
    let args = [Value::S64(40), Value::S64(2)];
    group.bench_function("values", |b| b.iter_custom(|calls| guest.values("add", calls, &args)));
    let args = [Val::S64(40), Val::S64(2)];
    group.bench_function("val", |b| b.iter_custom(|calls| guest.val("add", calls, &args)));
    group.finish();
}

fn echo(criterion: &mut Criterion) {
    let mut guest = Guest::new(Import::Values).expect("guest");
    for size in [100, 1 << 10, 64 << 10] {
        let mut group = criterion.benchmark_group(format!("echo list<u8>, {size} bytes"));
        let bytes = vec![7; size];
        group.bench_function("typed", |b| {
            b.iter_custom(|calls| guest.typed::<(&[u8],), (Vec<u8>,)>("echo", calls, || (bytes.as_slice(),)));
        });
        let args = [Value::Bytes(bytes.clone())];
        group.bench_function("values", |b| b.iter_custom(|calls| guest.values("echo", calls, &args)));
        let args = [Val::List(bytes.iter().copied().map(Val::U8).collect())];
        group.bench_function("val", |b| b.iter_custom(|calls| guest.val("echo", calls, &args)));
        group.finish();
    }
}

fn relay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo list<u8> through an import, 1024 bytes");
    let bytes = vec![7; 1 << 10];
    let mut guest = Guest::new(Import::Typed).expect("guest");
    group.bench_function("typed", |b| {
        b.iter_custom(|calls| guest.typed::<(&[u8],), (Vec<u8>,)>("relay", calls, || (bytes.as_slice(),)));
    });
    let mut guest = Guest::new(Import::Values).expect("guest");
    let args = [Value::Bytes(bytes.clone())];
    group.bench_function("values", |b| b.iter_custom(|calls| guest.values("relay", calls, &args)));
    let mut guest = Guest::new(Import::Val).expect("guest");
    let args = [Val::List(bytes.iter().copied().map(Val::U8).collect())];
    group.bench_function("val", |b| b.iter_custom(|calls| guest.val("relay", calls, &args)));
    group.finish();
}

criterion_group!(benches, add, echo, relay);
criterion_main!(benches);
