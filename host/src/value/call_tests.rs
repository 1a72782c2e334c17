//! The door, against small components written as text.

use super::{Answered, Mismatch, PreparedFunction, Value, define_import};
use crate::value::{FlatList, FromValue};
use wasmhot_appup::interface::{FunctionName, FunctionType, Type};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

/// A core module with an allocator, for components to lift from.
const MEMORY: &str = r#"
    (core module $memory
        (memory (export "memory") 40)
        (global $top (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $top (i32.and (i32.add (global.get $top) (i32.sub (local.get 2) (i32.const 1)))
                                      (i32.sub (i32.const 0) (local.get 2))))
            (global.get $top)
            (global.set $top (i32.add (global.get $top) (local.get 3))))
        (func (export "reset") (global.set $top (i32.const 1024))))
    (core instance $memory (instantiate $memory))
    (alias core export $memory "memory" (core memory $mem))
    (alias core export $memory "realloc" (core func $realloc))
    (alias core export $memory "reset" (core func $reset))
"#;

fn engine() -> Engine {
    let mut config = Config::new();
    config.concurrency_support(false);
    Engine::new(&config).expect("engine")
}

fn name(interface: Option<&str>, name: &str) -> FunctionName {
    FunctionName {
        interface: interface.map(str::to_owned),
        name: name.to_owned(),
    }
}

async fn call(text: &str, function: &FunctionName, args: &[Value]) -> wasmtime::Result<Option<Value>> {
    let engine = engine();
    let component = Component::new(&engine, wat::parse_str(text)?)?;
    let prepared = PreparedFunction::new(&component, function)?;
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate_async(&mut store, &component).await?;
    prepared.bind(&mut store, &instance)?.call(&mut store, args).await
}

const ADD: &str = r#"(component
    (core module $m
        (func (export "add") (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1)))
        (func (export "nothing")))
    (core instance $i (instantiate $m))
    (func $add (param "a" s64) (param "b" s64) (result s64) (canon lift (core func $i "add")))
    (func (export "nothing") (canon lift (core func $i "nothing")))
    (export "add" (func $add))
    (instance $math (export "add" (func $add)))
    (export "demo:math/sums@1.0.0" (instance $math)))"#;

#[tokio::test]
async fn bare_functions_and_functions_of_interfaces_are_called() {
    let args = [Value::S64(40), Value::S64(2)];
    let bare = call(ADD, &name(None, "add"), &args).await.expect("called");
    assert_eq!(bare, Some(Value::S64(42)));
    let inside = call(ADD, &name(Some("demo:math/sums@1.0.0"), "add"), &args)
        .await
        .expect("called");
    assert_eq!(inside, Some(Value::S64(42)));
    assert_eq!(call(ADD, &name(None, "nothing"), &[]).await.expect("called"), None);
}

#[tokio::test]
async fn unknown_functions_are_named() {
    let missing = call(ADD, &name(Some("demo:math/sums@1.0.0"), "sub"), &[])
        .await
        .expect_err("missing");
    assert_eq!(missing.to_string(), "no exported function `demo:math/sums@1.0.0.sub`");
    let interface = call(ADD, &name(None, "demo:math/sums@1.0.0"), &[])
        .await
        .expect_err("not a function");
    assert_eq!(interface.to_string(), "no exported function `demo:math/sums@1.0.0`");
}

#[tokio::test]
async fn wrong_arguments_never_reach_the_instance() {
    let engine = engine();
    let component = Component::new(&engine, wat::parse_str(ADD).expect("text")).expect("component");
    let prepared = PreparedFunction::new(&component, &name(None, "add")).expect("add");
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine)
        .instantiate_async(&mut store, &component)
        .await
        .expect("instance");
    let add = prepared.bind(&mut store, &instance).expect("bound");
    let wrong = add
        .call(&mut store, &[Value::S64(1), Value::from("2")])
        .await
        .expect_err("wrong type");
    let wrong = wrong.downcast_ref::<Mismatch>().expect("a mismatch");
    assert_eq!(wrong.to_string(), "argument 2 `b`: expected s64, found string \"2\"");
    let few = add.call(&mut store, &[Value::S64(1)]).await.expect_err("too few");
    assert_eq!(
        few.to_string(),
        "expected 2 arguments for func(a: s64, b: s64) -> s64, found 1"
    );
    // The instance still answers.
    assert_eq!(
        add.call(&mut store, &[Value::S64(1), Value::S64(2)])
            .await
            .expect("called"),
        Some(Value::S64(3))
    );
}

fn echo(ty: &str) -> String {
    format!(
        r#"(component {MEMORY}
            (core module $m
                (import "m" "memory" (memory 1))
                (func (export "echo") (param i32 i32) (result i32)
                    (i32.store (i32.const 16) (local.get 0))
                    (i32.store (i32.const 20) (local.get 1))
                    (i32.const 16)))
            (core instance $i (instantiate $m (with "m" (instance (export "memory" (memory $mem))))))
            (func (export "echo") (param "it" {ty}) (result {ty})
                (canon lift (core func $i "echo") (memory (core memory $mem)) (realloc (core func $realloc))))
        )"#
    )
}

#[tokio::test]
async fn bytes_strings_and_flat_lists_come_back() {
    for (ty, value) in [
        ("(list u8)", Value::from(vec![1u8, 2, 255])),
        ("string", Value::from("grüße 👋")),
        ("(list f64)", Value::Numbers(FlatList::F64(vec![1.5, f64::INFINITY]))),
        ("(list s16)", Value::Numbers(FlatList::S16(vec![]))),
        ("(list string)", Value::from(vec!["a", "", "ccc"])),
    ] {
        let answer = call(&echo(ty), &name(None, "echo"), std::slice::from_ref(&value)).await;
        assert_eq!(answer.expect("called"), Some(value), "{ty}");
    }
}

/// Hands what it gets to the import `twice`, and its answer back.
const RELAY: &str = r#"
    (import "demo:shop/orders" (instance $orders
        (export "place" (func (param "what" string) (param "count" u32) (result (result string (error string)))))))
    (alias export $orders "place" (func $place))
    (core func $place (canon lower (func $place) (memory (core memory $mem)) (realloc (core func $realloc))))
    (core module $m
        (import "m" "memory" (memory 1))
        (import "m" "place" (func $place (param i32 i32 i32 i32)))
        (func (export "relay") (param i32 i32 i32) (result i32)
            (call $place (local.get 0) (local.get 1) (local.get 2) (i32.const 16))
            (i32.const 16)))
    (core instance $i (instantiate $m (with "m" (instance
        (export "memory" (memory $mem)) (export "place" (func $place))))))
    (func (export "relay") (param "what" string) (param "count" u32) (result (result string (error string)))
        (canon lift (core func $i "relay") (memory (core memory $mem)) (realloc (core func $realloc))))"#;

#[tokio::test]
async fn imports_suspend_and_answer() {
    let engine = engine();
    let text = format!("(component {MEMORY} {RELAY})");
    let component = Component::new(&engine, wat::parse_str(text).expect("text")).expect("component");
    let ty = FunctionType {
        params: vec![("what".into(), Type::String), ("count".into(), Type::U32)],
        result: Some(Type::Result {
            ok: Some(Box::new(Type::String)),
            err: Some(Box::new(Type::String)),
        }),
        is_async: false,
    };
    let mut linker = Linker::<u32>::new(&engine);
    define_import(
        &mut linker.instance("demo:shop/orders").expect("instance"),
        "place",
        &ty,
        |mut store, args| {
            *store.data_mut() += 1;
            Answered::Later(Box::pin(async move {
                tokio::task::yield_now().await;
                let [Value::String(what), Value::U32(count)] = &args[..] else {
                    wasmtime::bail!("{args:?}")
                };
                Ok(Some(match count {
                    0 => Value::err("none ordered".into()),
                    _ => Value::ok(what.repeat(*count as usize).into()),
                }))
            }))
        },
    )
    .expect("defined");
    let prepared = PreparedFunction::new(&component, &name(None, "relay")).expect("relay");
    let mut store = Store::new(&engine, 0);
    let instance = linker
        .instantiate_async(&mut store, &component)
        .await
        .expect("instance");
    let relay = prepared.bind(&mut store, &instance).expect("bound");
    for (count, wanted) in [(3, Ok("teateatea".to_owned())), (0, Err("none ordered".to_owned()))] {
        let answer = relay
            .call(&mut store, &["tea".into(), Value::U32(count)])
            .await
            .expect("called");
        assert_eq!(Result::<String, String>::from_answer(answer), Ok(wanted));
    }
    assert_eq!(*store.data(), 2);
}

#[test]
fn rust_types_become_values_and_come_back() {
    use crate::value::{IntoValue, IntoValues};
    type Answer = Result<(Vec<u8>, Option<String>), String>;

    assert_eq!(
        (1i64, "x", vec![1u8], vec![2u16]).into_values(),
        [
            Value::S64(1),
            "x".into(),
            Value::Bytes(vec![1]),
            Value::Numbers(FlatList::U16(vec![2]))
        ]
    );
    let answer: Answer = Ok((vec![1, 2], Some("tea".to_owned())));
    assert_eq!(Answer::from_answer(Some(answer.clone().into_value())), Ok(answer));
    let refused: Result<(), String> = Err("no".to_owned());
    assert_eq!(
        Result::<(), String>::from_answer(Some(refused.clone().into_value())),
        Ok(refused)
    );
    assert_eq!(Result::<(), String>::from_value(Value::Result(Ok(None))), Ok(Ok(())));
    assert_eq!(<()>::from_answer(None), Ok(()));

    let wrong = Answer::from_value(Value::ok(7u8.into())).expect_err("no tuple");
    assert_eq!(wrong.to_string(), "ok: expected a tuple of 2, found u8 7");
    let wrong = Vec::<String>::from_value(vec![Value::from("a"), Value::from(true)].into()).expect_err("no string");
    assert_eq!(wrong.to_string(), "[1]: expected string, found bool true");
    assert!(u64::from_answer(None).is_err());
}
