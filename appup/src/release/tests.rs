use super::Release;
use crate::capability::Capability;
use crate::settings::{Create, Kind, OnTrap};
use proptest::prelude::*;
use std::time::Duration;

const WHOLE: &str = r#"
format = 1
[release]
name = "shop"
version = "1.2.0"
[host]
settle = "50ms"
file_max = "8MiB"
watch = false
[limits]
call_deadline = "2s"
[[modules]]
name = "Room_Server"
version = "1.0.0"
path = "room.wasm"
sha256 = "0101010101010101010101010101010101010101010101010101010101010101"
kind = "keyed"
[modules.limits]
memory_max = "1GiB"
state_max = 4096
max_keys = 10
on_trap = "fail"
create = "explicit"
[modules.grants]
env = { LANG = "C" }
dirs = [{ host = "data", guest = "/data", write = true }]
args = ["--fast"]
sockets = ["tcp://db.internal:5432", "tcp-listen://127.0.0.1:9000"]
http = ["https://api.example.com/v1"]
keyvalue = ["carts"]
[modules.links]
"demo:shop/orders@1.0.0" = "orders"
[modules.config]
currency = "USD"
token = { env = "API_TOKEN" }
[[modules.every]]
call = 'sweep("kitchen")'
every = "1m"
[[modules.every]]
call = "tick()"
every = "never"
[[modules]]
name = "orders"
"#;

#[track_caller]
fn faults(text: &str) -> String {
    Release::parse("release.toml", text)
        .expect_err("is refused")
        .to_string()
}

/// A module table with these lines.
fn module(lines: &str) -> String {
    format!(
        "format = 1\nrelease = {{ name = \"shop\", version = \"1.0.0\" }}\n[[modules]]\nname = \"counter\"\n{lines}\n"
    )
}

#[test]
fn a_whole_release_is_read() {
    let release = Release::parse("release.toml", WHOLE).expect("is read");
    assert_eq!(
        (release.name.as_str(), release.version.to_string().as_str()),
        ("shop", "1.2.0")
    );
    assert_eq!(
        (release.host.settle(), release.host.file_max()),
        (Duration::from_millis(50), 8 << 20)
    );
    assert!(!release.host.watch() && release.host.pending_expiry() == Duration::from_secs(3600));
    assert_eq!(release.limits.call_deadline, Some(Duration::from_secs(2)));
    let [room, orders] = &release.modules[..] else {
        panic!("two modules: {:?}", release.modules)
    };
    assert_eq!(
        (room.name.as_str(), room.kind, orders.name.as_str()),
        ("room-server", Some(Kind::Keyed), "orders")
    );
    assert_eq!(
        (room.limits.memory_max, room.limits.state_max),
        (Some(1 << 30), Some(4096))
    );
    assert_eq!(
        (room.limits.on_trap, room.limits.create),
        (Some(OnTrap::Fail), Some(Create::Explicit))
    );
    assert!(room.sha256.is_some() && room.grants.dirs[0].write && room.grants.env["LANG"] == "C");
    assert_eq!(room.links["demo:shop/orders@1.0.0"].as_str(), "orders");
    assert_eq!(room.config["currency"], "USD".into());
    assert_eq!(room.config["token"].to_string(), "{ env = \"API_TOKEN\" }");
    assert_eq!(room.grants.sockets[0].to_string(), "tcp://db.internal:5432");
    assert_eq!(room.grants.http[0].to_string(), "https://api.example.com/v1");
    assert!(room.grants.keyvalue.contains("carts") && room.grants.args == ["--fast"]);
    assert!(room.grants.denied.contains(&Capability::Filesystem) == room.grants.dirs.is_empty());
    let every: Vec<_> = room
        .every
        .iter()
        .map(|one| format!("{} {}", one.call, one.every))
        .collect();
    assert_eq!(every, ["sweep(\"kitchen\") 1m", "tick() never"]);
    let json = serde_json::to_string(&release).expect("serialises");
    assert_eq!(serde_json::from_str::<Release>(&json).expect("is read"), release);
}

#[test]
fn an_unknown_key_is_refused_with_what_was_meant() {
    let text = module("[modules.limits]\nquiesce_timout = \"5s\"\n  color = 1");
    insta::assert_snapshot!(faults(&text), @r#"
    error: unknown key `quiesce_timout`
     --> release.toml:6:1
      |
    6 | quiesce_timout = "5s"
      | ^^^^^^^^^^^^^^
      = help: did you mean `quiesce_timeout`?

    error: unknown key `color`
     --> release.toml:7:3
      |
    7 |   color = 1
      |   ^^^^^
      = help: `[modules.limits]` takes here: start_timeout, health_timeout, quiesce_timeout, save_timeout, migrate_timeout, transfer_timeout, drain_timeout, stuck_timeout, compile_timeout, call_deadline, max_pause, save_interval, restore_max_age, memory_max, state_max, stack_max, instances_max, queue_max, gate_queue_max, max_keys, max_failed_keys, expire, on_trap, create, durability, tasks, instances
    "#);
}

#[test]
fn a_key_in_the_wrong_table_is_told_its_place() {
    insta::assert_snapshot!(faults(&module("max_pause = \"1s\"\nenv = {}")), @r#"
    error: unknown key `max_pause`
     --> release.toml:5:1
      |
    5 | max_pause = "1s"
      | ^^^^^^^^^
      = help: `max_pause` belongs in `[modules.limits]`

    error: unknown key `env`
     --> release.toml:6:1
      |
    6 | env = {}
      | ^^^
      = help: `env` belongs in `[modules.grants]`
    "#);
}

#[test]
fn a_duration_needs_a_unit_and_a_size_a_known_one() {
    insta::assert_snapshot!(faults(&module("[modules.limits]\nmax_pause = 5\nmemory_max = \"1GB\"\nqueue_max = -1\ninstances_max = 0\ngate_queue_max = 5000000000")), @r#"
    error: a duration needs a unit: "5s" for seconds, "5ms" for milliseconds, "5m" for minutes
     --> release.toml:6:13
      |
    6 | max_pause = 5
      |             ^
      = help: for example `max_pause = "5s"`

    error: "1GB" is no size: write a whole number and a unit, as in "64KiB", "256MiB" or "1GiB", or the number of bytes
     --> release.toml:7:14
      |
    7 | memory_max = "1GB"
      |              ^^^^^
      = help: for example `memory_max = "256MiB"`

    error: this number is too small
     --> release.toml:8:13
      |
    8 | queue_max = -1
      |             ^^
      = help: the least is 0

    error: this number is too small
     --> release.toml:9:17
      |
    9 | instances_max = 0
      |                 ^
      = help: the least is 1

    error: this number is too large
      --> release.toml:10:18
       |
    10 | gate_queue_max = 5000000000
       |                  ^^^^^^^^^^
       = help: take a smaller one
    "#);
}

#[test]
fn words_digests_versions_and_names_are_checked() {
    insta::assert_snapshot!(faults(&module("kind = \"singel\"\nsha256 = \"xyz\"\nversion = \"1.2\"\npath = 3\nlinks = { a = \"B C\" }")), @r#"
    error: `kind` cannot be "singel"
     --> release.toml:5:8
      |
    5 | kind = "singel"
      |        ^^^^^^^^
      = help: did you mean "single"?

    error: a sha256 is written in hexadecimal digits, 'x' is none
     --> release.toml:6:10
      |
    6 | sha256 = "xyz"
      |          ^^^^^
      = help: `sha256sum FILE` prints it; `wasmhot plan` writes it for you

    error: `1.2` is no version: unexpected end of input while parsing minor version number
     --> release.toml:7:11
      |
    7 | version = "1.2"
      |           ^^^^^
      = help: a version has three numbers, as in "1.2.0"

    error: expected a string, found a whole number
     --> release.toml:8:8
      |
    8 | path = 3
      |        ^
      = help: for example `path = "…"`

    error: a module name consists of a-z, 0-9 and `-`: ' ' cannot stand in one
     --> release.toml:9:15
      |
    9 | links = { a = "B C" }
      |               ^^^^^
      = help: a module name is a letter a-z, then a-z, 0-9 and `-`
    "#);
}

#[test]
fn grants_secrets_and_schedules_are_checked() {
    insta::assert_snapshot!(faults(&module("sockets = []\n[modules.grants]\nsockets = [\"db:1\", 1]\nhttp = [\"api\"]\nkeyvalue = [\"\"]\ndenied = [\"htpp\", \"keyvalue\"]\nargs = \"a\"")), @r#"
    error: unknown key `sockets`
     --> release.toml:5:1
      |
    5 | sockets = []
      | ^^^^^^^
      = help: `sockets` belongs in `[modules.grants]`

    error: "db:1" is no socket: write "tcp://db.internal:5432" to connect, "udp://10.0.0.0/8:53" to send, "tcp-listen://127.0.0.1:9000" to listen (tcp://, udp://, tcp-listen://, udp-listen://)
     --> release.toml:7:12
      |
    7 | sockets = ["db:1", 1]
      |            ^^^^^^
      = help: for example `sockets = ["tcp://db.internal:5432"]`

    error: expected a string, found a whole number
     --> release.toml:7:20
      |
    7 | sockets = ["db:1", 1]
      |                    ^
      = help: for example `sockets = ["tcp://db.internal:5432"]`

    error: "api" is no place for requests: write "https://api.example.com" or "http://127.0.0.1:8080/path"
     --> release.toml:8:9
      |
    8 | http = ["api"]
      |         ^^^^^
      = help: for example `http = ["https://api.example.com"]`

    error: "" is no name of a bucket: it has 1 to 255 bytes that can be printed
     --> release.toml:9:13
      |
    9 | keyvalue = [""]
      |             ^^
      = help: for example `keyvalue = ["carts"]`

    error: `denied` cannot be "htpp"
      --> release.toml:10:11
       |
    10 | denied = ["htpp", "keyvalue"]
       |           ^^^^^^
       = help: did you mean "http"?

    error: expected an array, found a string
      --> release.toml:11:8
       |
    11 | args = "a"
       |        ^^^
       = help: for example `args = ["--fast"]`
    "#);
    insta::assert_snapshot!(faults(&module("[modules.grants]\nkeyvalue = [\"a\"]\ndenied = [\"keyvalue\"]\n[modules.config]\na = { env = \"A\", file = \"a\" }\nb = { evn = \"A\" }\nc = 1")), @r#"
    error: `keyvalue` is granted and denied
     --> release.toml:7:1
      |
    7 | denied = ["keyvalue"]
      | ^^^^^^
      = help: leave out the one or the other

    error: a secret comes from a variable or from a file
     --> release.toml:9:5
      |
    9 | a = { env = "A", file = "a" }
      |     ^^^^^^^^^^^^^^^^^^^^^^^^^
      = help: write `{ env = "API_TOKEN" }` or `{ file = "secrets/token" }`

    error: a secret comes from a variable or from a file
      --> release.toml:10:5
       |
    10 | b = { evn = "A" }
       |     ^^^^^^^^^^^^^
       = help: write `{ env = "API_TOKEN" }` or `{ file = "secrets/token" }`

    error: unknown key `evn`
      --> release.toml:10:7
       |
    10 | b = { evn = "A" }
       |       ^^^
       = help: did you mean `env`?

    error: expected a string or a secret, found a whole number
      --> release.toml:11:5
       |
    11 | c = 1
       |     ^
       = help: for example `"c" = "…"`, or `{ env = "…" }` or `{ file = "…" }` for a secret
    "#);
    insta::assert_snapshot!(faults(&module("[[modules.every]]\ncall = \"tick()\"\n[[modules.every]]\ncall = \"tick()\"\nevery = \"1ms\"\n[[modules.every]]\ncall = \"a()\"\nevery = \"1s\"\n[[modules.every]]\ncall = \"a()\"\nevery = \"2s\"")), @r#"
    error: `[[modules.every]]` lacks `every`
     --> release.toml:5:1
      |
    5 | [[modules.every]]
      | ^^^^^^^^^^^^^^^^^
      = help: add `every = "1s"`

    error: "1ms" is too often: the least is 10ms
     --> release.toml:9:9
      |
    9 | every = "1ms"
      |         ^^^^^
      = help: for example `every = "1s"`, or `every = "never"` to end it

    error: `a()` has two schedules
      --> release.toml:14:8
       |
    14 | call = "a()"
       |        ^^^^^
       = help: keep one
    "#);
}

#[test]
fn the_format_has_to_be_known() {
    insta::assert_snapshot!(faults("[release]\nname = \"shop\"\nversion = \"1.0.0\""), @r#"
    error: the file does not say its format
     --> release.toml:1:1
      |
    1 | [release]
      | ^
      = help: write `format = 1` as the first line
    "#);
    insta::assert_snapshot!(faults("format = 2\n[release]\nname = \"shop\"\nversion = \"1.0.0\""), @r#"
    error: this format is not known
     --> release.toml:1:10
      |
    1 | format = 2
      |          ^
      = help: this wasmhot reads `format = 1`; a newer format needs a newer wasmhot
    "#);
}

#[test]
fn what_has_to_be_there_is_asked_for() {
    insta::assert_snapshot!(faults("format = 1\n[[modules]]\nkind = \"pool\"\n[release]\nname = \"a/b\""), @r#"
    error: `[[modules]]` lacks `name`
     --> release.toml:2:1
      |
    2 | [[modules]]
      | ^^^^^^^^^^^
      = help: add `name = "counter"`

    error: `[release]` lacks `version`
     --> release.toml:4:1
      |
    4 | [release]
      | ^^^^^^^^^
      = help: add `version = "1.0.0"`

    error: a release needs a short name that can be printed, without `/`
     --> release.toml:5:8
      |
    5 | name = "a/b"
      |        ^^^^^
      = help: the state directory is named after it
    "#);
    insta::assert_snapshot!(faults("format = 1"), @r#"
    error: the file lacks `release`
     --> release.toml:1:1
      |
    1 | format = 1
      | ^
      = help: add `release = { name = "…", version = "1.0.0" }`
    "#);
}

#[test]
fn a_module_is_declared_once() {
    insta::assert_snapshot!(faults(&module("[[modules]]\nname = \"Counter\"")), @r#"
    error: module `counter` is declared twice
     --> release.toml:6:8
      |
    6 | name = "Counter"
      |        ^^^^^^^^^
      = help: the first time is in line 4: keep one
    "#);
}

#[test]
fn what_is_not_toml_keeps_its_place() {
    insta::assert_snapshot!(faults("format = 1\n[release\nname = 1"), @r#"
    error: this is not TOML: unclosed table, expected `]`
     --> release.toml:2:9
      |
    2 | [release
      |         ^
    "#);
}

#[test]
fn what_is_drawn_holds_no_control_characters() {
    let text = faults("format = 1\n\"\\u001B[2J\" = 1\n[release]\nname = \"\u{7f}\u{9b}\"\nversion = \"1.0.0\"");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = Release::parse("release.toml", &text);
    }

    #[test]
    fn no_damage_to_a_release_makes_it_panic(place in 0..WHOLE.len(), length in 0_usize..40, with in "[\\[\\]{}=\",.a-z0-9\n\r\tü-]{0,6}") {
        let mut text = WHOLE.to_owned();
        text.replace_range(place..(place + length).min(WHOLE.len()), &with);
        if let Err(faults) = Release::parse("release.toml", &text) {
            prop_assert!(!faults.as_slice().is_empty());
            prop_assert!(!faults.to_string().is_empty());
        }
    }
}
