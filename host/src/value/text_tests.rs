//! The two text forms: round trips for random types and values, and what errors say.

use super::testing::{any_type, any_typed, any_value, assert_same};
use super::{FlatList, Value, check_args, json, wave};
use proptest::prelude::*;
use serde_json::json;
use wasmhot_appup::interface::{FunctionType, Type};

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_conform_to_their_types((of, [value]) in any_typed()) {
        prop_assert_eq!(value.conforms(&of), Ok(()));
    }

    #[test]
    fn wave_round_trips((of, [value]) in any_typed()) {
        let text = wave::to_string(&value, &of);
        assert_same(&wave::parse(&text, &of).expect(&text), &value);
    }

    #[test]
    fn json_round_trips((of, [value]) in any_typed()) {
        let text = json::to_json(&value, &of).to_string();
        let read = json::from_json(&serde_json::from_str(&text).expect("JSON"), &of).expect(&text);
        assert_same(&read, &value);
    }

    /// Whatever is typed, nothing panics.
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z0-9(){}\\[\\]\",:.%'\\\\ é-]{0,24}", of in any_type()) {
        let ty = FunctionType { params: vec![("it".into(), of.clone())], result: None, is_async: false };
        if let Ok(value) = wave::parse(&text, &of) {
            prop_assert_eq!(value.conforms(&of), Ok(()));
        }
        match wave::CallText::split(&text).and_then(|call| call.args(&ty)) {
            Ok(args) => prop_assert_eq!(check_args(&ty, &args), Ok(())),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn json_of_another_type_is_read_or_refused((of, [value]) in any_typed(), other in any_type()) {
        if let Ok(read) = json::from_json(&json::to_json(&value, &of), &other) {
            prop_assert_eq!(read.conforms(&other), Ok(()));
        }
    }

    #[test]
    fn arguments_round_trip(values in vec_of_typed()) {
        let params = values.iter().enumerate().map(|(place, (of, _))| (format!("p{place}"), of.clone())).collect();
        let ty = FunctionType { params, result: None, is_async: false };
        let args: Vec<_> = values.into_iter().map(|(_, value)| value).collect();
        let shown: Vec<_> = args.iter().zip(&ty.params).map(|(arg, (_, of))| wave::to_string(arg, of)).collect();
        let text = format!("a:b/c@1.0.0.f({})", shown.join(", "));
        let call = wave::CallText::split(&text).expect("a call");
        prop_assert_eq!(call.name(), "a:b/c@1.0.0.f");
        assert_same(&Value::List(call.args(&ty).expect(&text)), &Value::List(args.clone()));
        let read = json::args_from_json(&json::args_to_json(&args, &ty), &ty).expect("read");
        assert_same(&Value::List(read), &Value::List(args));
    }
}

fn vec_of_typed() -> impl Strategy<Value = Vec<(Type, Value)>> {
    let typed = any_type().prop_flat_map(|of| (Just(of.clone()), any_value(&of)));
    proptest::collection::vec(typed, 0..4)
}

fn place() -> FunctionType {
    let order = Type::Record(vec![
        ("item".into(), Type::String),
        ("counts".into(), Type::List(Box::new(Type::U8))),
    ]);
    let note = Type::Option(Box::new(Type::String));
    let params = vec![("by".into(), Type::S64), ("order".into(), order), ("note".into(), note)];
    FunctionType {
        params,
        result: None,
        is_async: false,
    }
}

fn wave_error(text: &str, ty: &FunctionType) -> String {
    wave::CallText::split(text)
        .and_then(|call| call.args(ty))
        .expect_err("refused")
        .to_string()
}

#[test]
fn calls_are_read() {
    let call = wave::CallText::split(r#" orders.place (5, {item: "tea", counts: [1, 2]})"#).expect("a call");
    assert_eq!(call.name(), "orders.place");
    let order = Value::Record(vec!["tea".into(), Value::Bytes(vec![1, 2])]);
    assert_eq!(
        call.args(&place()).expect("read"),
        [Value::S64(5), order, Value::none()]
    );

    let nothing = FunctionType {
        params: vec![],
        result: None,
        is_async: false,
    };
    for text in ["get", "get()", "get( )"] {
        let call = wave::CallText::split(text).expect("a call");
        assert_eq!((call.name(), call.args(&nothing).expect("read")), ("get", vec![]));
    }
}

#[test]
fn wave_errors_point_at_the_place() {
    let wrong = wave_error(r#"place(5, {item: "tea", counts: [1, 300]})"#, &place());
    let wanted = "argument 2 `order`.counts[1]: expected u8, found 300
    place(5, {item: \"tea\", counts: [1, 300]})
                                       ^^^";
    assert_eq!(wrong, wanted);
    let missing = wave_error("place(5, {counts: []})", &place());
    assert!(
        missing.starts_with("argument 2 `order`.item: expected string, found nothing\n"),
        "{missing}"
    );
    let few = wave_error("place(5)", &place());
    assert!(
        few.starts_with("expected 3 arguments for func(by: s64, order: record { "),
        "{few}"
    );
    assert!(few.ends_with(", found 1\n    place(5)\n         ^^^"), "{few}");
    let none = wave_error("place", &place());
    assert!(none.ends_with(", found 0\n    place\n    ^^^^^"), "{none}");
    let open = wave_error("place(5", &place());
    assert!(open.starts_with("unexpected end of input\n"), "{open}");
    assert!(wave_error("(5)", &place()).starts_with("expected a function, like increment(5)\n"));
    assert!(wave_error("two words(5)", &place()).starts_with("expected a function, like increment(5)\n"));
    // Wide characters before the place do not shift it.
    let wide = wave_error(
        "place(\"grüße\")",
        &FunctionType {
            params: place().params[..1].to_vec(),
            ..place()
        },
    );
    assert!(wide.ends_with("\n    place(\"grüße\")\n          ^^^^^^^"), "{wide}");
}

#[test]
fn json_errors_name_the_part_and_the_type() {
    let error = |args| json::args_from_json(&args, &place()).expect_err("refused").to_string();
    let order = json!({"item": "tea", "counts": []});
    assert_eq!(
        error(json!({})),
        "expected an array of arguments, found an object with nothing"
    );
    assert_eq!(
        error(json!([5, {"item": "tea", "counts": [1, -1]}])),
        "argument 2 `order`.counts[1]: expected u8, found -1"
    );
    assert_eq!(error(json!([5.5, order])), "argument 1 `by`: expected s64, found 5.5");
    assert_eq!(
        error(json!([5, {"item": 1, "counts": []}])),
        "argument 2 `order`.item: expected string, found 1"
    );
    assert_eq!(
        error(json!([5, {"counts": []}])),
        "argument 2 `order`.item: expected string, found nothing"
    );
    assert!(error(json!([5, {"item": "", "counts": [], "x": 1}])).ends_with(", found a field `x`"));
    assert!(error(json!([5])).starts_with("expected 3 arguments for func(by: s64, "));
    assert!(error(json!([1, order, null, 4])).ends_with(", found 4"));
}

#[test]
fn json_keeps_all_of_a_number() {
    for (of, value) in [
        (Type::U64, Value::U64(u64::MAX)),
        (Type::S64, Value::S64(i64::MIN)),
        (Type::F64, Value::F64(f64::NEG_INFINITY)),
        (Type::F32, Value::F32(0.1)),
        (
            Type::List(Box::new(Type::U64)),
            Value::Numbers(FlatList::U64(vec![(1 << 53) + 1])),
        ),
    ] {
        let json = json::to_json(&value, &of);
        assert_eq!(json::from_json(&json, &of), Ok(value), "{json}");
    }
    assert!(json::from_json(&json!(1e300), &Type::F32).is_err());
    assert!(json::from_json(&json!(1.0), &Type::F64).is_ok() && json::from_json(&json!(1), &Type::F64).is_ok());
}

#[test]
fn json_forms_are_as_documented() {
    let some = |of: Type| Type::Option(Box::new(of));
    let result = Type::Result {
        ok: None,
        err: Some(Box::new(Type::String)),
    };
    let shape = Type::Variant(vec![("dot".into(), None), ("circle".into(), Some(Type::F64))]);
    for (of, value, json) in [
        (some(Type::U8), Value::some(Value::U8(1)), json!(1)),
        (some(Type::U8), Value::none(), json!(null)),
        (some(some(Type::U8)), Value::some(Value::none()), json!({"some": null})),
        (some(some(Type::U8)), Value::none(), json!(null)),
        (result.clone(), Value::Result(Ok(None)), json!({"ok": null})),
        (result, Value::err("no".into()), json!({"err": "no"})),
        (shape.clone(), Value::Variant { case: 0, payload: None }, json!("dot")),
        (
            shape,
            Value::Variant {
                case: 1,
                payload: Some(Box::new(Value::F64(0.5))),
            },
            json!({"circle": 0.5}),
        ),
        (
            Type::Flags(vec!["a".into(), "b".into()]),
            Value::Flags(vec![2]),
            json!(["b"]),
        ),
    ] {
        assert_eq!(json::to_json(&value, &of), json);
        assert_eq!(json::from_json(&json, &of), Ok(value));
    }
}

#[test]
fn mismatches_say_where() {
    let ty = place();
    let wrong = |args: &[Value]| check_args(&ty, args).expect_err("refused").to_string();
    let order = |counts| Value::Record(vec!["tea".into(), counts]);
    assert_eq!(
        wrong(&[5u64.into(), order(Value::Bytes(vec![])), Value::none()]),
        "argument 1 `by`: expected s64, found u64 5"
    );
    let list = Value::List(vec![Value::U8(1)]);
    assert_eq!(
        wrong(&[5i64.into(), order(list), Value::none()]),
        "argument 2 `order`.counts: expected list<u8>, found list of 1"
    );
    let some = Value::some(Value::Char('x'));
    assert_eq!(
        wrong(&[5i64.into(), order(Value::Bytes(vec![])), some]),
        "argument 3 `note`.some: expected string, found char 'x'"
    );
    let flags = Type::Flags(vec!["a".into(), "b".into()]);
    assert!(Value::Flags(vec![4]).conforms(&flags).is_err() && Value::Flags(vec![3]).conforms(&flags).is_ok());
    assert!(Value::Enum(2).conforms(&Type::Enum(vec!["a".into()])).is_err());
}
