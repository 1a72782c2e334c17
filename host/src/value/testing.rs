//! Random types, and random values of them.

use super::{FlatList, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use wasmhot_appup::interface::Type;

/// Names, with those that WAVE reads as something else.
const NAMES: [&str; 10] = ["a", "b-c", "some", "none", "ok", "err", "true", "inf", "nan", "x2"];

fn names(most: usize) -> impl Strategy<Value = Vec<String>> {
    subsequence(NAMES.to_vec(), 1..=most).prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn plain_type() -> impl Strategy<Value = Type> {
    use Type::{Bool, Char, F32, F64, S8, S16, S32, S64, String, U8, U16, U32, U64};
    prop_oneof![
        8 => prop::sample::select(vec![Bool, S8, U8, S16, U16, S32, U32, S64, U64, F32, F64, Char, String]),
        1 => names(10).prop_map(Type::Enum),
        1 => names(10).prop_map(Type::Flags),
        // More than a byte of cases, and as many flags as there may be.
        1 => Just(Type::Enum((0..300).map(|case| format!("c{case}")).collect())),
        1 => Just(Type::Flags((0..32).map(|flag| format!("f{flag}")).collect())),
    ]
}

/// Any type that has values, up to four levels deep.
pub(super) fn any_type() -> impl Strategy<Value = Type> {
    plain_type().prop_recursive(4, 24, 4, |of| {
        let some = of.clone().prop_map(Some);
        let maybe = || prop_oneof![Just(None), some.clone()];
        let boxed = |of: Option<Type>| of.map(Box::new);
        prop_oneof![
            3 => of.clone().prop_map(|of| Type::List(Box::new(of))),
            1 => vec(of.clone(), 1..20).prop_map(Type::Tuple),
            2 => names(5).prop_flat_map({
                let of = of.clone();
                move |names| vec(of.clone(), names.len()).prop_map(move |of| Type::Record(names.iter().cloned().zip(of).collect()))
            }),
            2 => names(5).prop_flat_map({
                let maybe = maybe();
                move |names| vec(maybe.clone(), names.len()).prop_map(move |of| Type::Variant(names.iter().cloned().zip(of).collect()))
            }),
            2 => of.prop_map(|of| Type::Option(Box::new(of))),
            2 => (maybe(), maybe()).prop_map(move |(ok, err)| Type::Result { ok: boxed(ok), err: boxed(err) }),
        ]
    })
}

/// Any value of a type.
pub(super) fn any_value(of: &Type) -> BoxedStrategy<Value> {
    macro_rules! numbers {
        ($kind:ident, $number:expr) => {
            vec($number, 0..9)
                .prop_map(|list| Value::Numbers(FlatList::$kind(list)))
                .boxed()
        };
    }
    match of {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::S8 => any::<i8>().prop_map(Value::S8).boxed(),
        Type::U8 => any::<u8>().prop_map(Value::U8).boxed(),
        Type::S16 => any::<i16>().prop_map(Value::S16).boxed(),
        Type::U16 => any::<u16>().prop_map(Value::U16).boxed(),
        Type::S32 => any::<i32>().prop_map(Value::S32).boxed(),
        Type::U32 => any::<u32>().prop_map(Value::U32).boxed(),
        Type::S64 => any::<i64>().prop_map(Value::S64).boxed(),
        Type::U64 => any::<u64>().prop_map(Value::U64).boxed(),
        Type::F32 => prop::num::f32::ANY.prop_map(Value::F32).boxed(),
        Type::F64 => prop::num::f64::ANY.prop_map(Value::F64).boxed(),
        Type::Char => any::<char>().prop_map(Value::Char).boxed(),
        Type::String => any::<String>().prop_map(Value::String).boxed(),
        Type::List(of) => match **of {
            Type::U8 => vec(any::<u8>(), 0..40).prop_map(Value::Bytes).boxed(),
            Type::S8 => numbers!(S8, any::<i8>()),
            Type::S16 => numbers!(S16, any::<i16>()),
            Type::U16 => numbers!(U16, any::<u16>()),
            Type::S32 => numbers!(S32, any::<i32>()),
            Type::U32 => numbers!(U32, any::<u32>()),
            Type::S64 => numbers!(S64, any::<i64>()),
            Type::U64 => numbers!(U64, any::<u64>()),
            Type::F32 => numbers!(F32, prop::num::f32::ANY),
            Type::F64 => numbers!(F64, prop::num::f64::ANY),
            _ => vec(any_value(of), 0..5).prop_map(Value::List).boxed(),
        },
        Type::Record(fields) => parts(fields.iter().map(|(_, of)| of)).prop_map(Value::Record).boxed(),
        Type::Tuple(types) => parts(types.iter()).prop_map(Value::Tuple).boxed(),
        Type::Variant(cases) => prop::sample::select((0..cases.len()).collect::<Vec<_>>())
            .prop_flat_map({
                let cases = cases.clone();
                move |case| {
                    let number = u32::try_from(case).expect("few cases");
                    payload(cases[case].1.as_ref()).prop_map(move |payload| Value::Variant { case: number, payload })
                }
            })
            .boxed(),
        Type::Enum(cases) => (0..u32::try_from(cases.len()).expect("few cases"))
            .prop_map(Value::Enum)
            .boxed(),
        Type::Option(of) => prop_oneof![Just(Value::none()), payload(Some(&**of)).prop_map(Value::Option)].boxed(),
        Type::Result { ok, err } => prop_oneof![
            payload(ok.as_deref()).prop_map(|part| Value::Result(Ok(part))),
            payload(err.as_deref()).prop_map(|part| Value::Result(Err(part))),
        ]
        .boxed(),
        Type::Flags(names) => {
            let mask = u32::MAX >> (32 - names.len());
            any::<u32>()
                .prop_map(move |word| Value::Flags(vec![word & mask]))
                .boxed()
        }
        Type::Resource | Type::Unsupported(_) => unreachable!("not generated"),
    }
}

fn parts<'a>(types: impl Iterator<Item = &'a Type>) -> BoxedStrategy<Vec<Value>> {
    types.map(any_value).collect::<Vec<_>>().boxed()
}

fn payload(of: Option<&Type>) -> BoxedStrategy<Option<Box<Value>>> {
    match of {
        Some(of) => any_value(of).prop_map(|value| Some(Box::new(value))).boxed(),
        None => Just(None).boxed(),
    }
}

/// A type with values of it.
pub(super) fn any_typed<const N: usize>() -> impl Strategy<Value = (Type, [Value; N])> {
    any_type().prop_flat_map(|of| {
        let values = vec(any_value(&of), N).prop_map(|values| values.try_into().expect("as many as asked for"));
        (Just(of), values)
    })
}

/// Equality that takes NaN for equal to itself, and tells zero from minus zero.
#[track_caller]
pub(super) fn assert_same(left: &Value, right: &Value) {
    assert_eq!(format!("{left:?}"), format!("{right:?}"));
}
