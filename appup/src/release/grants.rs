//! What a module may use of the host, the values it is given, and the calls it gets by the clock.

use crate::capability::Capability;
use crate::read::{Table, Word};
use crate::settings::{ConfigValue, DirGrant, Every, Grants, Schedule};
use std::collections::{BTreeMap, BTreeSet};

impl Word for Capability {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("filesystem", Capability::Filesystem),
        ("sockets", Capability::Sockets),
        ("http", Capability::Http),
        ("keyvalue", Capability::Keyvalue),
    ];
}

/// The longest name of a bucket, in bytes.
const BUCKET_MAX: usize = 255;

/// `[modules.grants]`.
pub(super) fn read_grants(module: &mut Table<'_>) -> Grants {
    let Some(mut table) = module.table("grants", "`[modules.grants]`") else {
        return Grants::default();
    };
    let env = table.texts("env", "`[modules.grants.env]`", |text| Ok(text.to_owned()));
    let dirs = table.tables("dirs", "`[[modules.grants.dirs]]`");
    let grants = Grants {
        env,
        dirs: dirs.into_iter().filter_map(read_dir).collect(),
        args: table.list("args", "`args = [\"--fast\"]`", |text| Ok(text.to_owned())),
        sockets: table.list("sockets", "`sockets = [\"tcp://db.internal:5432\"]`", str::parse),
        http: table.list("http", "`http = [\"https://api.example.com\"]`", str::parse),
        keyvalue: table
            .list("keyvalue", "`keyvalue = [\"carts\"]`", bucket)
            .into_iter()
            .collect(),
        denied: table.words("denied").into_iter().collect(),
    };
    let granted = grants.capabilities();
    let both: BTreeSet<_> = grants.denied.intersection(&granted).copied().collect();
    if let Some((word, _)) = Capability::WORDS.iter().find(|(_, family)| both.contains(family)) {
        let remedy = "leave out the one or the other".to_owned();
        table.source.refuse(
            &table.key_span("denied"),
            format!("`{word}` is granted and denied"),
            remedy,
        );
    }
    table.finish();
    grants
}

fn bucket(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > BUCKET_MAX || text.chars().any(char::is_control) {
        return Err(format!(
            "{text:?} is no name of a bucket: it has 1 to {BUCKET_MAX} bytes that can be printed"
        ));
    }
    Ok(text.to_owned())
}

fn read_dir(mut table: Table<'_>) -> Option<DirGrant> {
    let (host, guest) = (table.text("host"), table.text("guest"));
    for (key, example) in [("host", "\"data\""), ("guest", "\"/data\"")] {
        if table.value(key).is_none() {
            table.missing(key, example);
        }
    }
    let write = table.flag("write").unwrap_or(false);
    table.finish();
    let ((host, _), (guest, _)) = host.zip(guest)?;
    Some(DirGrant {
        host: host.to_owned(),
        guest: guest.to_owned(),
        write,
    })
}

/// `[modules.config]`.
pub(super) fn read_config(module: &mut Table<'_>) -> BTreeMap<String, ConfigValue> {
    let mut values = BTreeMap::new();
    let Some(mut table) = module.table("config", "`[modules.config]`") else {
        return values;
    };
    for (name, _, value) in table.entries() {
        let found = match (value.get_ref().as_str(), value.get_ref().as_table()) {
            (Some(text), _) => Some(ConfigValue::Text(text.to_owned())),
            (None, Some(inner)) => read_secret(Table::new(table.source, inner, value.span(), "a secret")),
            (None, None) => {
                let example =
                    format!("`\"{name}\" = \"…\"`, or `{{ env = \"…\" }}` or `{{ file = \"…\" }}` for a secret");
                table.expected(value, "a string or a secret", &example);
                None
            }
        };
        values.extend(found.map(|found| (name.to_owned(), found)));
    }
    values
}

fn read_secret(mut table: Table<'_>) -> Option<ConfigValue> {
    let (env, file) = (table.text("env"), table.text("file"));
    let found = match (env, file) {
        (Some((env, _)), None) if !env.is_empty() && !env.contains(['=', '\0']) => {
            Some(ConfigValue::Env { env: env.to_owned() })
        }
        (None, Some((file, _))) if !file.is_empty() && !file.contains('\0') => {
            Some(ConfigValue::File { file: file.to_owned() })
        }
        _ => {
            let remedy = "write `{ env = \"API_TOKEN\" }` or `{ file = \"secrets/token\" }`".to_owned();
            table
                .source
                .refuse(&table.span(), "a secret comes from a variable or from a file", remedy);
            None
        }
    };
    table.finish();
    found
}

/// `[[modules.every]]`. A call that stands there twice is a fault.
pub(super) fn read_every(module: &mut Table<'_>) -> Vec<Schedule> {
    let mut schedules: Vec<Schedule> = Vec::new();
    for mut table in module.tables("every", "`[[modules.every]]`") {
        for (key, example) in [("call", "\"tick()\""), ("every", "\"1s\"")] {
            if table.value(key).is_none() {
                table.missing(key, example);
            }
        }
        let call = table.text("call");
        let every = table.parsed(
            "every",
            Some("for example `every = \"1s\"`, or `every = \"never\"` to end it"),
            str::parse::<Every>,
        );
        if let (Some((call, span)), Some(every)) = (call, every) {
            let call = call.trim().to_owned();
            if schedules.iter().any(|known| known.call == call) {
                let remedy = "keep one".to_owned();
                table
                    .source
                    .refuse(&span, format!("`{call}` has two schedules"), remedy);
            }
            schedules.push(Schedule { call, every });
        }
        table.finish();
    }
    schedules
}
