mod validate;

use super::{appup, release, relup};
use crate::fixture::checked_in;
use crate::read::known_keys::{self, Keys};
use crate::{Appup, Release, Relup};
use proptest::prelude::*;
use serde_json::Value as Json;
use toml::Value as Toml;
use validate::faults;

/// A format: its schema, its reader, and texts that have all its keys.
struct Format {
    name: &'static str,
    schema: Json,
    reads: fn(&str) -> Result<(), String>,
    examples: Vec<String>,
}

const DIGEST: &str = "0101010101010101010101010101010101010101010101010101010101010101";

fn module() -> String {
    let limits = crate::LimitsSpec::TABLE
        .iter()
        .map(|(key, reader, _)| match (*reader, *key) {
            ("duration", _) => format!("{key} = \"5s\"\n"),
            ("size", _) => format!("{key} = \"1KiB\"\n"),
            (_, "on_trap") => "on_trap = \"fail\"\n".to_owned(),
            (_, "create") => "create = \"explicit\"\n".to_owned(),
            (_, "durability") => "durability = \"call\"\n".to_owned(),
            (_, "tasks") => "tasks = \"drop\"\n".to_owned(),
            (_, "instances") => "instances = \"fresh\"\n".to_owned(),
            _ => format!("{key} = 1\n"),
        });
    format!(
        "[[modules]]\nname = \"server\"\nversion = \"1.0.0\"\npath = \"a.wasm\"\nsha256 = \"{DIGEST}\"\nkind = \"keyed\"\n[modules.limits]\n{}[modules.grants]\nenv = {{ LANG = \"C\" }}\ndirs = [{{ host = \"data\", guest = \"/data\", write = true }}]\nargs = [\"--fast\"]\nsockets = [\"tcp://db:5432\"]\nhttp = [\"https://example.com/v1\"]\nkeyvalue = [\"carts\"]\ndenied = []\n[modules.links]\n\"a:b/c@1.0.0\" = \"orders\"\n[modules.config]\ncurrency = \"USD\"\ntoken = {{ env = \"TOKEN\" }}\nkey = {{ file = \"key\" }}\n[[modules.every]]\ncall = \"tick()\"\nevery = \"1s\"\n[[modules.routes]]\nhost = \"example.org\"\npath = \"/rooms/{{key}}/\"\n[[modules]]\nname = \"Orders_2\"\nroutes = []\nhttp_calls = [\"get\"]\n",
        limits.collect::<String>()
    )
}

fn http() -> String {
    let settings = crate::HttpSettings::TABLE.iter();
    let settings = settings.map(|(key, reader, _)| match *reader {
        "duration" => format!("{key} = \"5s\"\n"),
        "size" => format!("{key} = \"64KiB\"\n"),
        _ => format!("{key} = 1\n"),
    });
    settings.collect()
}

fn formats() -> [Format; 3] {
    let main = |way: &str, range: &str| {
        format!(
            "[[{way}]]\n{range} = \"1.0.0\"\nupdate = \"server\"\nextra = {{ a = [1] }}\nstate_from = [\"server\"]\nstate = \"live\"\nvia = [\"1.0.1\", {{ version = \"1.0.2\", extra = 1 }}]\n\
             [[{way}]]\n{range} = \"1.0.1\"\nload_module = \"server\"\n[[{way}]]\n{range} = \"1.0.2\"\nrestart_module = \"server\"\n\
             [[{way}]]\n{range} = \"~1.1\"\nadd_module = \"server\"\nextra = 1\nstate_from = [\"a\"]\n\
             [[{way}]]\n{range} = \"a@*\"\ncalls = [{{ call = {{ module = \"a\", function = \"f\", args = [1] }}, undo = {{ module = \"a\", function = \"f\" }}, when = \"after\" }}]\n"
        )
    };
    let instructions = |way: &str, modules: [&str; 2]| {
        let [server, orders] = modules;
        format!(
            "[[{way}]]\nupdate = \"{server}\"\nextra = {{ a = [1] }}\nstate_from = [\"a\"]\nstate = \"live\"\nvia = [\"1.0.1\", {{ version = \"1.0.2\", extra = 1 }}]\n\
             [[{way}]]\nadd_module = \"{orders}\"\nextra = 1\nstate_from = [\"a\"]\n[[{way}]]\ndelete_module = \"gone\"\npurge = true\n[[{way}]]\nrestart_module = \"clock\"\n\
             [[{way}]]\ncall = {{ module = \"clock\", function = \"f\", args = [1] }}\nundo = {{ module = \"a\", function = \"f\" }}\nwhen = \"permanent\"\n"
        )
    };
    [
        Format {
            name: "release",
            schema: release(),
            reads: |text| Release::parse("release.toml", text).map(drop).map_err(|faults| faults.to_string()),
            examples: vec![
                "format = 1\n[release]\nname = \"shop\"\nversion = \"1.0.0-rc.1\"\n".to_owned(),
                format!(
                    "format = 1\n[release]\nname = \"αβ\"\nversion = \"1.0.0\"\n[host]\nsettle = \"50ms\"\nfile_max = 4096\npending_expiry = \"1h\"\nwatch = false\n[host.http]\n{}[limits]\ncall_deadline = \"2s\"\n{}",
                    http(),
                    module()
                ),
            ],
        },
        Format {
            name: "appup",
            schema: appup(),
            reads: |text| Appup::parse("a.appup.toml", text).map(drop).map_err(|faults| faults.to_string()),
            examples: vec![
                "format = 1\nmodule = \"server\"\n".to_owned(),
                crate::appup::tests::WHOLE.to_owned(),
                format!("format = 1\nmodule = \"server\"\nversion = \"1.1.0\"\n{}{}", main("up", "from"), main("down", "to")),
            ],
        },
        Format {
            name: "relup",
            schema: relup(),
            reads: |text| Relup::parse("relup.toml", text).map(drop).map_err(|faults| faults.to_string()),
            examples: vec![
                "format = 1\nrelease = { name = \"shop\", to = \"1.0.0\" }\n".to_owned(),
                crate::relup::tests::WHOLE.to_owned(),
                format!(
                    "format = 1\nrelease = {{ name = \"shop\", from = \"1.0.0\", to = \"1.1.0\" }}\n[[middle]]\nname = \"server\"\nversion = \"1.0.1\"\npath = \"a\"\nsha256 = \"{DIGEST}\"\n{}{}[[down]]\nload_module = \"server\"\n{}",
                    module(),
                    instructions("up", ["server", "orders-2"]),
                    instructions("down", ["orders-2", "a"]).replace("\"a\"\nextra = 1", "\"gone\"\nextra = 1").replacen("[[down]]\ndelete_module = \"gone\"\npurge = true\n", "", 1),
                ),
                "format = 1\nrelease = { name = \"shop\", to = \"1.0.0\" }\n[[modules]]\nname = \"a\"\n[[up]]\nload_module = \"a\"\n[[down]]\ndelete_module = \"a\"\npurge = false\n".to_owned(),
            ],
        },
    ]
}

fn json(value: &Toml) -> Json {
    match value {
        Toml::Datetime(date) => Json::from(date.to_string()),
        Toml::Array(values) => values.iter().map(json).collect(),
        Toml::Table(table) => table.iter().map(|(key, value)| (key.clone(), json(value))).collect(),
        Toml::String(_) | Toml::Integer(_) | Toml::Float(_) | Toml::Boolean(_) => {
            serde_json::to_value(value).expect("is plain")
        }
    }
}

fn document(text: &str) -> Toml {
    Toml::Table(text.parse().expect("is TOML"))
}

/// The keys that a schema has, by the titles of its tables.
fn keys_of(schema: &Json, into: &mut Keys) {
    match schema {
        Json::Object(object) => {
            if let (Some(Json::String(title)), Some(Json::Object(properties))) =
                (object.get("title"), object.get("properties"))
            {
                let keys = into.entry(title.clone()).or_default();
                keys.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| keys_of(value, into));
        }
        Json::Array(values) => values.iter().for_each(|value| keys_of(value, into)),
        _ => {}
    }
}

#[test]
fn the_checked_in_schemas_are_those_of_the_code() {
    for Format { name, schema, .. } in formats() {
        let text = serde_json::to_string_pretty(&schema).expect("is JSON");
        checked_in(&format!("schemas/{name}.schema.json"), &text);
    }
}

#[test]
fn every_example_is_valid_and_read() {
    for Format {
        name,
        schema,
        reads,
        examples,
    } in formats()
    {
        for text in examples {
            assert_eq!(reads(&text), Ok(()), "{name}: {text}");
            assert_eq!(
                faults(&schema, &json(&document(&text))),
                Vec::<String>::new(),
                "{name}: {text}"
            );
        }
    }
}

#[test]
fn a_schema_has_the_keys_that_the_reader_knows() {
    for Format {
        name,
        schema,
        reads,
        examples,
    } in formats()
    {
        known_keys::take();
        examples.iter().for_each(|text| drop(reads(text)));
        let read = known_keys::take();
        let mut described = Keys::new();
        keys_of(&schema, &mut described);
        assert_eq!(described, read, "{name}");
    }
}

/// Every table of a document.
fn tables(value: &mut Toml, visit: &mut dyn FnMut(&mut toml::Table)) {
    match value {
        Toml::Table(table) => {
            visit(table);
            table.iter_mut().for_each(|(_, value)| tables(value, visit));
        }
        Toml::Array(values) => values.iter_mut().for_each(|value| tables(value, visit)),
        _ => {}
    }
}

#[test]
fn an_unknown_key_is_refused_by_schema_and_reader_alike() {
    let (mut refused, mut taken) = (0, 0);
    for Format {
        name,
        schema,
        reads,
        examples,
    } in formats()
    {
        for text in examples {
            let mut count = 0;
            tables(&mut document(&text), &mut |_| count += 1);
            for chosen in 0..count {
                let mut document = document(&text);
                let mut place = 0;
                tables(&mut document, &mut |table| {
                    if place == chosen {
                        table.insert("zzz".to_owned(), Toml::String("a".to_owned()));
                    }
                    place += 1;
                });
                let text = toml::to_string(&document).expect("is TOML");
                let is_read = reads(&text).is_ok();
                // Only where keys are free (links, config, environment, extra) it is taken.
                assert_eq!(faults(&schema, &json(&document)).is_empty(), is_read, "{name}: {text}");
                *(if is_read { &mut taken } else { &mut refused }) += 1;
            }
        }
    }
    assert!(refused > 30 && taken > 3, "{refused} refused, {taken} taken");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_a_reader_takes_the_schema_takes(format in 0..3_usize, example in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), length in 0_usize..30, with in "[\\[\\]{}=\",.a-z0-9\n@-]{0,6}") {
        let Format { schema, reads, examples, .. } = formats().into_iter().nth(format).expect("is one");
        let mut text = example.get(&examples).clone();
        let from = place.index(text.len());
        let is_boundary = |at: usize| text.is_char_boundary(at);
        let to = (from + length).min(text.len());
        prop_assume!(is_boundary(from) && is_boundary(to));
        text.replace_range(from..to, &with);
        if reads(&text).is_ok() {
            prop_assert_eq!(faults(&schema, &json(&document(&text))), Vec::<String>::new(), "{}", text);
        }
    }
}
