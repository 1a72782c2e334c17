//! The tables of the formats, one function each. The `title` of an object is what the reader calls its table.

use crate::capability::Capability;
use crate::read::Word;
use crate::relup::{StatePolicy, When};
use crate::settings::table::Row;
use crate::settings::{Create, Durability, HostSettings, HttpSettings, Instances, Kind, LimitsSpec, OnTrap, Tasks};
use serde_json::{Map, Value as Json, json};

type Keys<'k> = Vec<(&'k str, Json)>;

/// A table with these keys and no others.
pub(super) fn object(title: &str, description: &str, required: &[&str], keys: Keys<'_>) -> Json {
    let properties: Map<String, Json> = keys.into_iter().map(|(key, of)| (key.to_owned(), of)).collect();
    json!({
        "title": title,
        "description": description,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

pub(super) fn array(of: &Json, description: &str) -> Json {
    json!({ "type": "array", "items": of, "description": description })
}

pub(super) fn text(description: &str) -> Json {
    json!({ "type": "string", "description": description })
}

fn flag(description: &str) -> Json {
    json!({ "type": "boolean", "description": description })
}

fn anything(description: &str) -> Json {
    json!({ "description": description })
}

fn duration(description: &str) -> Json {
    json!({ "type": "string", "description": description, "examples": ["200ms", "5s", "1m 30s", "1h"] })
}

fn size(description: &str) -> Json {
    json!({ "type": ["string", "integer"], "minimum": 0, "description": description, "examples": ["64KiB", "256MiB"] })
}

fn number(least: u8, description: &str) -> Json {
    json!({ "type": "integer", "minimum": least, "description": description })
}

fn word<W: Word>(description: &str) -> Json {
    let words: Vec<&str> = W::WORDS.iter().map(|(word, _)| *word).collect();
    json!({ "enum": words, "description": description })
}

fn texts(of: &Json, description: &str) -> Json {
    json!({ "type": "object", "additionalProperties": of, "description": description })
}

pub(super) fn module_name(description: &str) -> Json {
    json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,62}$", "description": description })
}

pub(super) fn release_name() -> Json {
    json!({ "type": "string", "minLength": 1, "maxLength": 100, "description": "Name of the release." })
}

pub(super) fn version(description: &str) -> Json {
    json!({ "type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+", "description": description, "examples": ["1.2.0"] })
}

fn range(description: &str) -> Json {
    json!({ "type": "string", "description": description, "examples": ["1.0.0", ">=1.0.0, <1.1.0", "~1.0", "shop@^1.4"] })
}

fn digest() -> Json {
    json!({ "type": "string", "pattern": "^[0-9A-Fa-f]{64}$", "description": "Digest that the file must have." })
}

/// `[host]`.
pub(super) fn host() -> Json {
    let http = object(
        "`[host.http]`",
        "Limits of what is served with `--listen`.",
        &[],
        HttpSettings::TABLE.iter().map(setting).collect(),
    );
    let of_host = HostSettings::TABLE.iter().map(setting);
    object(
        "`[host]`",
        "Settings of the host.",
        &[],
        of_host.chain([("http", http)]).collect(),
    )
}

/// One row of a table of settings.
fn setting((key, reader, about): &Row) -> (&'static str, Json) {
    let about = about.trim();
    let of = match *reader {
        "duration" => duration(about),
        "size" => size(about),
        "flag" => flag(about),
        _ => number(1, about),
    };
    (key, of)
}

/// `[limits]`, from the table of limits.
pub(super) fn limits(title: &str) -> Json {
    let limit = |(key, reader, about): &Row| {
        let about = about.trim();
        let of = match (*reader, *key) {
            ("duration", _) => duration(about),
            ("size", _) => size(about),
            ("positive", _) => number(1, about),
            ("count", _) => number(0, about),
            (_, "on_trap") => word::<OnTrap>(about),
            (_, "durability") => word::<Durability>(about),
            (_, "tasks") => word::<Tasks>(about),
            (_, "instances") => word::<Instances>(about),
            _ => word::<Create>(about),
        };
        (*key, of)
    };
    object(title, "Limits.", &[], LimitsSpec::TABLE.iter().map(limit).collect())
}

/// `[[modules]]`.
pub(super) fn module() -> Json {
    let dir = object(
        "`[[modules.grants.dirs]]`",
        "A directory of the host that the module may use.",
        &["host", "guest"],
        vec![
            ("host", text("Path on the host.")),
            ("guest", text("Path that the module sees.")),
            ("write", flag("Whether it may write there.")),
        ],
    );
    let grants = object(
        "`[modules.grants]`",
        "What the module may use of the host. Nothing, unless stated.",
        &[],
        vec![
            ("env", texts(&text("Its value."), "Environment variables.")),
            ("dirs", array(&dir, "Directories.")),
            (
                "args",
                array(&text("An argument."), "Arguments, after the module's name."),
            ),
            ("sockets", array(&socket(), "Where sockets may lead.")),
            ("http", array(&http_grant(), "Where HTTP requests may go.")),
            ("keyvalue", array(&text("A bucket."), "Buckets of the key-value store.")),
            (
                "denied",
                array(
                    &word::<Capability>("A family."),
                    "What it imports and knowingly is not granted: no new version is refused for that.",
                ),
            ),
        ],
    );
    object(
        "`[[modules]]`",
        "A module.",
        &["name"],
        vec![
            ("name", module_name("Its name.")),
            ("version", version("Its version; absent: as the file says.")),
            ("path", text("Its file, relative to this one; absent: found by name.")),
            ("sha256", digest()),
            (
                "kind",
                word::<Kind>("How its instances take calls; absent: `single` if it keeps state, else `pool`."),
            ),
            ("limits", limits("`[modules.limits]`")),
            ("grants", grants),
            (
                "links",
                texts(
                    &module_name("The module that serves it."),
                    "Imported interface or function, and the module that serves it.",
                ),
            ),
            ("config", texts(&value(), "Values of `wasi:config`.")),
            ("every", array(&every(), "Calls that the host makes by the clock.")),
            (
                "routes",
                array(
                    &route(),
                    "The HTTP requests that it answers; absent: those under its name, if it has a handler.",
                ),
            ),
            (
                "http_calls",
                array(
                    &text("A function, `*` for all."),
                    "Its functions that may be called by `POST /call/MODULE/FUNCTION`; absent: none.",
                ),
            ),
        ],
    )
}

fn socket() -> Json {
    json!({
        "type": "string",
        "description": "What for, which host, which ports.",
        "examples": ["tcp://db.internal:5432", "udp://10.0.0.0/8:53", "tcp-listen://127.0.0.1:9000"],
    })
}

fn http_grant() -> Json {
    json!({
        "type": "string",
        "description": "Scheme and host; a port and a path narrow it down.",
        "examples": ["https://api.example.com", "https://*.example.com", "http://127.0.0.1:8080/path"],
    })
}

/// A value of `wasi:config`: text, or where the host finds it.
fn value() -> Json {
    let secret = object(
        "a secret",
        "A value that the host reads and writes nowhere.",
        &[],
        vec![
            ("env", text("A variable in the environment of the host.")),
            ("file", text("A file, relative to this one.")),
        ],
    );
    json!({ "anyOf": [text("Its value."), secret] })
}

fn every() -> Json {
    object(
        "`[[modules.every]]`",
        "A call that the host makes again and again.",
        &["call", "every"],
        vec![
            (
                "call",
                json!({ "type": "string", "description": "The call.", "examples": ["tick()", "sweep(\"kitchen\", 10)"] }),
            ),
            (
                "every",
                json!({ "type": "string", "description": "How often, at least 10ms; \"never\" ends it.", "examples": ["1s", "5m", "never"] }),
            ),
        ],
    )
}

/// `[[modules.routes]]`.
fn route() -> Json {
    let path = json!({
        "type": "string", "description": "The beginning of the path, whole segments of it.",
        "examples": ["/", "/rooms/{key}/"],
    });
    object(
        "`[[modules.routes]]`",
        "HTTP requests that the module answers.",
        &["path"],
        vec![("host", text("Of this host; absent: of any.")), ("path", path)],
    )
}

/// `[[middle]]`.
pub(super) fn middle() -> Json {
    object(
        "`[[middle]]`",
        "A version that only lives in throw-away instances, to pass a state on.",
        &["name", "version"],
        vec![
            ("name", module_name("Of which module.")),
            ("version", version("Which version.")),
            ("path", text("Its file, relative to this one; absent: the host has it.")),
            ("sha256", digest()),
        ],
    )
}

fn call_spec(title: &str, description: &str) -> Json {
    object(
        title,
        description,
        &["module", "function"],
        vec![
            ("module", module_name("Of which module.")),
            ("function", text("Which function.")),
            (
                "args",
                json!({ "type": "array", "description": "With which arguments." }),
            ),
        ],
    )
}

/// The keys of a `call` step.
fn call_keys() -> Keys<'static> {
    vec![
        ("call", call_spec("`call`", "A function to call.")),
        ("undo", call_spec("`undo`", "What undoes it.")),
        ("when", word::<When>("When; absent: before anything waits.")),
    ]
}

fn extra() -> (&'static str, Json) {
    ("extra", anything("Given to `save` and `migrate`."))
}

fn state_from() -> (&'static str, Json) {
    (
        "state_from",
        array(
            &module_name("A module that keeps state."),
            "Whose state it takes; absent: its own.",
        ),
    )
}

fn via() -> Json {
    let middle = object(
        "`via`",
        "A middle version.",
        &["version"],
        vec![("version", version("Which.")), extra()],
    );
    let one = json!({ "anyOf": [version("A middle version."), middle] });
    array(&one, "The versions through which the state goes first.")
}

/// A verb, the keys that go with it, and what it does.
fn verbs() -> Vec<(&'static str, Keys<'static>, &'static str)> {
    let state = (
        "state",
        word::<StatePolicy>("From where the state comes; absent: as the upgrade as a whole says."),
    );
    vec![
        (
            "update",
            vec![extra(), state_from(), state, ("via", via())],
            "Replaces a module and hands its state over.",
        ),
        ("load_module", vec![], "Replaces a module that keeps no state."),
        ("restart_module", vec![], "Makes a new instance, without the state."),
        ("add_module", vec![extra(), state_from()], "Adds a module."),
    ]
}

/// One of several shapes. Each has its own verb, so no two fit.
fn one_of(shapes: &[Json]) -> Json {
    json!({ "oneOf": shapes })
}

/// An entry of a relup.
pub(super) fn relup_entry(title: &str) -> Json {
    let purge = vec![("purge", flag("Whether its last state goes too."))];
    let mut all = verbs();
    all.push(("delete_module", purge, "Removes a module."));
    let entry = |(verb, keys, about): (&'static str, Keys<'static>, &str)| {
        let verb_key = (verb, module_name("Which module."));
        let keys = std::iter::once(verb_key).chain(keys).collect();
        object(title, about, &[verb], keys)
    };
    let mut shapes: Vec<Json> = all.into_iter().map(entry).collect();
    shapes.push(object(title, "Calls a function.", &["call"], call_keys()));
    one_of(&shapes)
}

/// An entry of an appup: with one verb, or with none.
pub(super) fn appup_entry(title: &str, calls_title: &str, range_key: &'static str, about_range: &str) -> Json {
    let calls = object(calls_title, "A function to call.", &["call"], call_keys());
    let calls = array(&calls, "Functions to call.");
    let entry = |verb: Option<&'static str>, keys: Keys<'static>, about: &str| {
        let mut all = vec![(range_key, range(about_range)), ("calls", calls.clone())];
        all.extend(verb.map(|verb| (verb, module_name("The module."))));
        all.extend(keys);
        let required: Vec<&str> = std::iter::once(range_key).chain(verb).collect();
        object(title, about, &required, all)
    };
    let mut shapes = vec![entry(None, vec![], "The default for these versions.")];
    shapes.extend(
        verbs()
            .into_iter()
            .map(|(verb, keys, about)| entry(Some(verb), keys, about)),
    );
    one_of(&shapes)
}
