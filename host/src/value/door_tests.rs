//! The door against Wasmtime's own dynamic values, for random types and values: both ways in and both ways out, each paired
//! with each, give the same.

use super::testing::{any_type, any_typed, assert_same};
use super::{Answered, PreparedFunction, Value, define_import, types, val};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex};
use wasmhot_appup::interface::{FunctionName, FunctionType, Type};
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Config, Engine, Store};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut config = Config::new();
    config.concurrency_support(false);
    Engine::new(&config).expect("engine")
});

/// Core types that a type takes when it goes on the stack.
fn flatten(of: &Type) -> Vec<&'static str> {
    let cases = |cases: Vec<&Type>| {
        let mut joined: Vec<&'static str> = vec![];
        for flat in cases.into_iter().map(flatten) {
            for (place, ours) in flat.into_iter().enumerate() {
                match joined.get_mut(place) {
                    Some(theirs) if *theirs == ours => {}
                    Some(theirs) if matches!((*theirs, ours), ("i32", "f32") | ("f32", "i32")) => *theirs = "i32",
                    Some(theirs) => *theirs = "i64",
                    None => joined.push(ours),
                }
            }
        }
        joined.insert(0, "i32");
        joined
    };
    match of {
        Type::S64 | Type::U64 => vec!["i64"],
        Type::F32 => vec!["f32"],
        Type::F64 => vec!["f64"],
        Type::String | Type::List(_) => vec!["i32"; 2],
        Type::Record(fields) => fields.iter().flat_map(|(_, of)| flatten(of)).collect(),
        Type::Tuple(types) => types.iter().flat_map(flatten).collect(),
        Type::Variant(of) => cases(of.iter().filter_map(|(_, of)| of.as_ref()).collect()),
        Type::Option(of) => cases(vec![of]),
        Type::Result { ok, err } => cases([ok, err].into_iter().flatten().map(|of| &**of).collect()),
        _ => vec!["i32"],
    }
}

/// Writes the definitions that a type needs; gives the text to refer to it by.
fn define_type(of: &Type, out: &mut String, count: &mut usize) -> String {
    let mut part = |of: &Type| define_type(of, out, count);
    let body = match of {
        Type::List(of) => format!("list {}", part(of)),
        Type::Option(of) => format!("option {}", part(of)),
        Type::Tuple(types) => format!("tuple {}", types.iter().map(part).collect::<Vec<_>>().join(" ")),
        Type::Result { ok, err } => {
            let ok = ok.as_deref().map(&mut part).unwrap_or_default();
            format!(
                "result {ok} {}",
                err.as_deref()
                    .map(|of| format!("(error {})", part(of)))
                    .unwrap_or_default()
            )
        }
        Type::Record(fields) => {
            let fields = fields
                .iter()
                .map(|(name, of)| format!("(field \"{name}\" {})", part(of)));
            format!("record {}", fields.collect::<String>())
        }
        Type::Variant(cases) => {
            let cases = cases
                .iter()
                .map(|(name, of)| format!("(case \"{name}\" {})", of.as_ref().map(&mut part).unwrap_or_default()));
            format!("variant {}", cases.collect::<String>())
        }
        Type::Enum(names) => format!(
            "enum {}",
            names.iter().map(|name| format!("\"{name}\" ")).collect::<String>()
        ),
        Type::Flags(names) => format!(
            "flags {}",
            names.iter().map(|name| format!("\"{name}\" ")).collect::<String>()
        ),
        plain => return plain.to_string(),
    };
    let name = format!("$t{count}");
    let _ = write!(
        out,
        "(type {name} ({body}))\n(import \"t{count}\" (type {name}i (eq {name})))\n"
    );
    *count += 1;
    format!("{name}i")
}

/// A component with `relay`, which passes what it gets to its import `f` and hands back the answer.
fn relay(params: &[Type], result: Option<&Type>, encoding: &str) -> String {
    let (mut defs, mut count) = (String::new(), 0);
    let mut signature = String::new();
    for (place, of) in params.iter().enumerate() {
        let of = define_type(of, &mut defs, &mut count);
        let _ = write!(signature, "(param \"p{place}\" {of}) ");
    }
    if let Some(of) = result {
        let of = define_type(of, &mut defs, &mut count);
        let _ = write!(signature, "(result {of})");
    }
    let mut flat: Vec<_> = params.iter().flat_map(flatten).collect();
    if flat.len() > 16 {
        flat = vec!["i32"];
    }
    let answer = result.map(flatten).unwrap_or_default();
    let (flat, gets) = (
        flat.join(" "),
        (0..flat.len()).map(|n| format!("(local.get {n}) ")).collect::<String>(),
    );
    let (import, export, body) = match answer.len() {
        0 | 1 => {
            let result = answer.first().map(|of| format!("(result {of})")).unwrap_or_default();
            (
                format!("(param {flat}) {result}"),
                format!("(param {flat}) {result}"),
                format!("(call $f {gets})"),
            )
        }
        _ => {
            let body = "(local $at i32) (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 65536)))";
            let body = format!("{body} (call $f {gets} (local.get $at)) (local.get $at)");
            (
                format!("(param {flat} i32)"),
                format!("(param {flat}) (result i32)"),
                body,
            )
        }
    };
    format!(
        r#"(component
        {defs}
        (import "f" (func $f {signature}))
        (core module $memory
            (memory (export "memory") 40)
            (global $top (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $top) (i32.sub (local.get 2) (i32.const 1)))
                                        (i32.sub (i32.const 0) (local.get 2))))
                (global.set $top (i32.add (local.get $at) (local.get 3)))
                (memory.copy (local.get $at) (local.get 0) (local.get 1))
                (local.get $at)))
        (core instance $memory (instantiate $memory))
        (alias core export $memory "memory" (core memory $mem))
        (alias core export $memory "realloc" (core func $realloc))
        (core func $f (canon lower (func $f) (memory (core memory $mem)) (realloc (core func $realloc)) string-encoding={encoding}))
        (core module $m
            (import "m" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
            (import "m" "f" (func $f {import}))
            (func (export "relay") {export} {body}))
        (core instance $i (instantiate $m (with "m" (instance
            (export "f" (func $f)) (export "realloc" (func $realloc))))))
        (func (export "relay") {signature}
            (canon lift (core func $i "relay") (memory (core memory $mem)) (realloc (core func $realloc)) string-encoding={encoding})))"#
    )
}

/// What came out at the other end: the arguments there, and the answer here.
type Seen = (Vec<Value>, Option<Value>);

struct Relay {
    component: Component,
    ty: FunctionType,
    answer: Option<Value>,
}

impl Relay {
    fn linker(&self, ours: bool, seen: &Arc<Mutex<Vec<Value>>>) -> Linker<()> {
        let mut linker = Linker::<()>::new(&ENGINE);
        let (seen, answer, ty) = (Arc::clone(seen), self.answer.clone(), self.ty.clone());
        if ours {
            define_import(&mut linker.root(), "f", &self.ty, move |_, args| {
                *seen.lock().expect("lock") = args;
                Answered::Now(Ok(answer.clone()))
            })
            .expect("defined");
        } else {
            let function = move |_: wasmtime::StoreContextMut<'_, ()>, _, args: &[Val], results: &mut [Val]| {
                let args = args
                    .iter()
                    .zip(&ty.params)
                    .map(|(arg, (_, of))| val::from_val(arg, of).expect("of the type"));
                *seen.lock().expect("lock") = args.collect();
                if let (Some(answer), Some(of)) = (&answer, &ty.result) {
                    results[0] = val::to_val(answer, of);
                }
                Ok(())
            };
            linker.root().func_new("f", function).expect("defined");
        }
        linker
    }

    async fn run(&self, ours_in: bool, ours_out: bool, args: &[Value]) -> wasmtime::Result<Seen> {
        let seen = Arc::new(Mutex::new(vec![]));
        let linker = self.linker(ours_out, &seen);
        let mut store = Store::new(&ENGINE, ());
        let instance = linker.instantiate_async(&mut store, &self.component).await?;
        let answer = if ours_in {
            let name = FunctionName {
                interface: None,
                name: "relay".into(),
            };
            let relay = PreparedFunction::new(&self.component, &name)?.bind(&mut store, &instance)?;
            relay.call(&mut store, args).await?
        } else {
            let func = instance.get_func(&mut store, "relay").expect("exported");
            let args: Vec<_> = args
                .iter()
                .zip(&self.ty.params)
                .map(|(arg, (_, of))| val::to_val(arg, of))
                .collect();
            let mut results = vec![Val::Bool(false); usize::from(self.ty.result.is_some())];
            func.call_async(&mut store, &args, &mut results).await?;
            self.ty
                .result
                .as_ref()
                .map(|of| val::from_val(&results[0], of).expect("of the type"))
        };
        let seen = seen.lock().expect("lock").clone();
        Ok((seen, answer))
    }

    async fn check(&self, args: &[Value]) {
        for (ours_in, ours_out) in [(true, true), (true, false), (false, true), (false, false)] {
            let (seen, answer) = self.run(ours_in, ours_out, args).await.expect("called");
            assert_same(&Value::List(seen), &Value::List(args.to_vec()));
            assert_eq!(
                format!("{answer:?}"),
                format!("{:?}", self.answer),
                "{ours_in} {ours_out}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_pass_as_wasmtimes_own(
        params in proptest::collection::vec(any_typed::<1>(), 0..4),
        answer in proptest::option::weighted(0.9, any_typed::<1>()),
        encoding in prop::sample::select(vec!["utf8", "utf16", "latin1+utf16"]),
    ) {
        let (params, args): (Vec<_>, Vec<_>) = params.into_iter().map(|(of, [value])| (of, value)).unzip();
        let (result, answer) = answer.map(|(of, [value])| (of, value)).unzip();
        let text = relay(&params, result.as_ref(), encoding);
        let component = Component::new(&ENGINE, wat::parse_str(&text).expect(&text)).expect(&text);
        let params = params.into_iter().enumerate().map(|(place, of)| (format!("p{place}"), of)).collect();
        let ty = FunctionType { params, result, is_async: false };

        // What Wasmtime says of the component is the type that it was made from.
        let export = component.get_export(None, "relay").expect("exported").0;
        let wasmtime::component::types::ComponentItem::ComponentFunc(found) = export else { panic!("{export:?}") };
        prop_assert_eq!(&types::function_type(&found), &ty);

        let relay = Relay { component, ty, answer };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(relay.check(&args));
    }

    /// A guest that answers with whatever lies in its memory: refused, or the same value; never a panic.
    #[test]
    fn hostile_answers_are_read_as_wasmtime_reads_them(of in any_type(), bytes in hostile_bytes(), start in 0u32..80) {
        let text = hostile(&of, &bytes, start);
        let component = Component::new(&ENGINE, wat::parse_str(&text).expect(&text)).expect(&text);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let (ours, theirs) = runtime.block_on(read_both(&component, &of));
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => assert_same(&ours, &theirs),
            (Err(_), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "{ours:?} against {theirs:?}"),
        }
    }
}

/// Mostly small numbers, so that some of them are lengths and places that exist.
fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![6 => Just(0), 3 => 0u8..8, 2 => any::<u8>()], 128)
}

fn hostile(of: &Type, bytes: &[u8], start: u32) -> String {
    let (mut defs, mut count) = (String::new(), 0);
    let ty = define_type(of, &mut defs, &mut count);
    let data = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let (result, body) = match flatten(of)[..] {
        [flat] => (flat, format!("({flat}.load (i32.const {start}))")),
        _ => ("i32", format!("(i32.const {start})")),
    };
    format!(
        r#"(component {defs}
        (core module $m (memory (export "memory") 1) (data (i32.const 0) "{data}")
            (func (export "get") (result {result}) {body}))
        (core instance $i (instantiate $m))
        (func (export "get") (result {ty}) (canon lift (core func $i "get") (memory (core memory $i "memory")))))"#
    )
}

async fn read_both(component: &Component, of: &Type) -> (wasmtime::Result<Value>, wasmtime::Result<Value>) {
    let linker = Linker::<()>::new(&ENGINE);
    let mut store = Store::new(&ENGINE, ());
    let instance = linker.instantiate_async(&mut store, component).await.expect("instance");
    let name = FunctionName {
        interface: None,
        name: "get".into(),
    };
    let get = PreparedFunction::new(component, &name)
        .expect("get")
        .bind(&mut store, &instance)
        .expect("bound");
    let ours = get.call(&mut store, &[]).await.map(|value| value.expect("an answer"));
    let mut store = Store::new(&ENGINE, ());
    let instance = linker.instantiate_async(&mut store, component).await.expect("instance");
    let mut results = [Val::Bool(false)];
    let get = instance.get_func(&mut store, "get").expect("get");
    let theirs = get.call_async(&mut store, &[], &mut results).await;
    (
        ours,
        theirs.map(|()| val::from_val(&results[0], of).expect("of the type")),
    )
}
