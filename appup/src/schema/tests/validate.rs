//! Validates by the few words of JSON Schema that the schemas use. A word that it does not know makes it panic: so no schema can say
//! something that nobody checks.

use serde_json::{Map, Value as Json};

/// What is wrong with `value`, by place.
pub(super) fn faults(schema: &Json, value: &Json) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, "", &mut found);
    found
}

fn check(schema: &Json, value: &Json, place: &str, found: &mut Vec<String>) {
    let Json::Object(words) = schema else {
        panic!("no schema at {place}: {schema}")
    };
    for (word, of) in words {
        let holds = match word.as_str() {
            "title" | "description" | "examples" | "$schema" | "$id" => true,
            // Part of "properties", below.
            "additionalProperties" => true,
            "type" => types(of).any(|name| is_of(name, value)),
            "const" => value == of,
            "enum" => of.as_array().expect("an array").contains(value),
            "minimum" => value.as_i64().is_none_or(|number| Some(number) >= of.as_i64()),
            "minLength" => value
                .as_str()
                .is_none_or(|text| Some(text.chars().count() as u64) >= of.as_u64()),
            "maxLength" => value
                .as_str()
                .is_none_or(|text| Some(text.chars().count() as u64) <= of.as_u64()),
            "pattern" => value
                .as_str()
                .is_none_or(|text| matches(of.as_str().expect("a text"), text)),
            "required" => {
                let keys = of.as_array().expect("an array").iter().filter_map(Json::as_str);
                value
                    .as_object()
                    .is_none_or(|table| keys.into_iter().all(|key| table.contains_key(key)))
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(of, item, &format!("{place}[{number}]"), found);
                }
                true
            }
            "properties" => true,
            "oneOf" => shapes(of, value).count() == 1,
            "anyOf" => shapes(of, value).count() >= 1,
            unknown => panic!("the schema says `{unknown}`, which nobody checks"),
        };
        if !holds {
            found.push(format!("{place}: {word} {of}"));
        }
    }
    if let Json::Object(table) = value {
        check_table(words, table, place, found);
    }
}

fn check_table(words: &Map<String, Json>, table: &Map<String, Json>, place: &str, found: &mut Vec<String>) {
    for (key, value) in table {
        let place = format!("{place}.{key}");
        let known = words.get("properties").and_then(|properties| properties.get(key));
        match known.or_else(|| words.get("additionalProperties")) {
            Some(Json::Bool(false)) => found.push(format!("{place}: unknown")),
            Some(schema) => check(schema, value, &place, found),
            None => {}
        }
    }
}

fn shapes<'s>(of: &'s Json, value: &'s Json) -> impl Iterator<Item = &'s Json> {
    let all = of.as_array().expect("an array").iter();
    all.filter(move |shape| faults(shape, value).is_empty())
}

fn types(of: &Json) -> impl Iterator<Item = &str> {
    let many = of.as_array().into_iter().flatten().filter_map(Json::as_str);
    of.as_str().into_iter().chain(many)
}

fn is_of(name: &str, value: &Json) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        unknown => panic!("no type {unknown}"),
    }
}

/// The patterns that there are.
fn matches(pattern: &str, text: &str) -> bool {
    let of = |text: &str, fits: fn(char) -> bool| !text.is_empty() && text.chars().all(fits);
    match pattern {
        "^[A-Za-z][A-Za-z0-9_-]{0,62}$" => {
            let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
            begins && text.len() <= 63 && of(text, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        }
        "^[0-9]+\\.[0-9]+\\.[0-9]+" => {
            let mut parts = text.splitn(3, '.');
            let digits = |part: Option<&str>| part.is_some_and(|part| of(part, |c| c.is_ascii_digit()));
            let (major, minor) = (parts.next(), parts.next());
            digits(major)
                && digits(minor)
                && parts
                    .next()
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        }
        "^[0-9A-Fa-f]{64}$" => text.len() == 64 && of(text, |c| c.is_ascii_hexdigit()),
        unknown => panic!("no pattern {unknown}"),
    }
}
