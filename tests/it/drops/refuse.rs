//! Bad files: each is refused by name, and the host serves on.

use super::{all_looked_at, told, world};
use crate::made::{constant, wasm, with_note};
use crate::support::{World, guest};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use wasmhot::event::{Event, EventKind};

/// The one refusal that names this file.
fn refusal_of(events: &[Event], file: &str) -> Event {
    let of: Vec<_> = events.iter().filter(|event| event.message.contains(file)).collect();
    assert_eq!(of.len(), 1, "{file}: {events:#?}");
    of[0].clone()
}

async fn serves(world: &World) {
    let count: i64 = world.host.call("counter", "increment", (1_i64,)).await.unwrap();
    assert!(count > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_modules_are_refused_by_name() {
    let world = world(&["counter-1.0.0"]).await;
    let good = std::fs::read(guest("counter-1.1.0")).unwrap();
    let elf = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let unknown = wasm(r#"(component (import "wasi:messaging/producer@0.2.0" (instance)))"#);
    let unknown_core = wasm(r#"(module (import "env" "now" (func (result i32))))"#);
    let future = wasm(
        r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
           (func $f (canon lift (core func $i "f"))) (instance $e (export "f" (func $f)))
           (export "wasmhot:module/lifecycle@9.0.0" (instance $e)))"#,
    );
    let precompiled = {
        let engine = wasmtime::Engine::default();
        engine.precompile_module(&constant(1)).unwrap()
    };
    let long = "x".repeat(250);
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "empty"),
        ("text", b"(module)".to_vec(), "text"),
        ("readme", b"Hello.\n".to_vec(), "not-wasm"),
        ("elf", elf[..4096].to_vec(), "not-wasm"),
        ("cut", good[..good.len() / 2].to_vec(), "truncated"),
        ("cut-early", good[..6].to_vec(), "truncated"),
        ("native", precompiled, "precompiled"),
        ("wants-http", unknown, "unknown-import"),
        ("wants-env", unknown_core, "unknown-import"),
        ("future", future, "unsupported-contract"),
        ("1st", constant(2), "bad-name"),
        ("has space", constant(3), "bad-name"),
        ("-flag", constant(4), "bad-name"),
        ("a..", constant(5), "bad-name"),
        (&long, constant(6), "bad-name"),
    ];
    let since = world.now();
    for (name, bytes, _) in &table {
        std::fs::write(world.app().join(format!("{name}.wasm")), bytes).unwrap();
    }
    all_looked_at(&world).await;
    let refused = told(&world, since, EventKind::Refused);
    for (name, _, code) in &table {
        let event = refusal_of(&refused, &format!("/{name}.wasm"));
        assert_eq!(event.details["code"], *code, "{event:#?}");
        assert!(event.message.ends_with(&format!("({code})")), "{event:#?}");
    }
    assert_eq!(refused.len(), table.len());
    assert!(told(&world, since, EventKind::Taken).is_empty());
    serves(&world).await;
    // Refused once: not tried again until the bytes change.
    let since = world.now();
    let text = world.app().join("text.wasm");
    std::fs::write(&text, b"(module)").unwrap();
    all_looked_at(&world).await;
    let refused = told(&world, since, EventKind::Refused);
    assert!(
        refusal_of(&refused, "/text.wasm").message.contains("refused before"),
        "{refused:#?}"
    );
    let since = world.now();
    std::fs::write(&text, constant(7)).unwrap();
    world.event_of(since, EventKind::Switched).await;
    let value: i32 = world.host.call("text", "value", ()).await.unwrap();
    assert_eq!(value, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_never_opened_or_followed() {
    let world = world(&["counter-1.0.0"]).await;
    let app = world.app();
    let since = world.now();
    std::fs::write(world.outside().join("good.wasm"), constant(1)).unwrap();
    symlink(world.outside().join("good.wasm"), app.join("to-good.wasm")).unwrap();
    symlink("/etc/passwd", app.join("to-secret.wasm")).unwrap();
    symlink("to-itself.wasm", app.join("to-itself.wasm")).unwrap();
    symlink("nowhere.wasm", app.join("to-nothing.wasm")).unwrap();
    std::fs::create_dir(app.join("folder.wasm")).unwrap();
    // Opened in the usual way it would hold the reader until somebody writes.
    mknodat(CWD, app.join("pipe.wasm"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(app.join("socket.wasm")).unwrap();
    let not_text = OsStr::from_bytes(b"caf\xe9.wasm");
    std::fs::write(app.join(not_text), constant(2)).unwrap();
    let codes = [
        ("to-good", "symlink"),
        ("to-secret", "symlink"),
        ("to-itself", "symlink"),
        ("to-nothing", "symlink"),
        ("folder", "directory"),
        ("pipe", "fifo"),
        ("socket", "special-file"),
        (r"caf\xe9", "name-not-unicode"),
    ];
    for (name, code) in codes {
        let file = format!("/{name}.wasm");
        let event = world
            .event(since, |event| {
                event.kind == EventKind::Refused && event.message.contains(&file)
            })
            .await;
        assert_eq!(event.details["code"], code, "{event:#?}");
    }
    all_looked_at(&world).await;
    assert_eq!(told(&world, since, EventKind::Refused).len(), codes.len());
    assert!(told(&world, since, EventKind::Taken).is_empty());
    serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wild_names_are_told_without_moving_a_cursor() {
    let world = world(&["counter-1.0.0"]).await;
    let bytes = std::fs::read(guest("counter-1.1.0")).unwrap();
    let since = world.now();
    // The module says itself who it is, so the name does not matter, but what is printed of it does.
    let names = ["\u{1b}[31mred\n", "-rf", "con", "GRÖSSE", "\u{202e}msaw"];
    for (number, name) in names.iter().enumerate() {
        let since = world.now();
        let bytes = with_note(bytes.clone(), &number.to_string());
        std::fs::write(world.app().join(format!("{name}.wasm")), bytes).unwrap();
        world.event_of(since, EventKind::Switched).await;
    }
    let (events, _) = world.host.events().since(since);
    assert!(
        events
            .iter()
            .any(|event| event.message.contains(r"\u{1b}[31mred\n.wasm")),
        "{events:#?}"
    );
    assert!(
        events.iter().any(|event| event.message.contains("/GRÖSSE.wasm")),
        "{events:#?}"
    );
    for event in events {
        let strange = |character: char| character.is_control() || character == '\u{202e}';
        assert!(!event.message.contains(strange), "{event:?}");
    }
    serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_larger_than_the_limit_is_not_read() {
    let world = World::with(&["counter-1.0.0"], |builder| {
        builder.settings(wasmhot_appup::HostSettings {
            settle: Some(super::SETTLE),
            file_max: Some(300_000),
            ..wasmhot_appup::HostSettings::default()
        })
    })
    .await;
    let since = world.now();
    std::fs::write(world.app().join("large.wasm"), vec![0_u8; 300_001]).unwrap();
    let event = world.event_of(since, EventKind::Refused).await;
    assert_eq!(event.details["code"], "too-large");
    assert!(
        event.message.contains("300001") && event.message.contains("file_max"),
        "{event:#?}"
    );
    serves(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_bad_files_that_lie_there_at_a_start_keep_nobody_from_running() {
    let world = World::prepared(
        |app| {
            std::fs::copy(guest("counter-1.0.0"), app.join("counter.wasm")).unwrap();
            std::fs::copy(guest("tally-1.0.0"), app.join("tally.wasm")).unwrap();
            std::fs::write(app.join("text.wasm"), "(module)").unwrap();
            std::fs::write(app.join("hostile.wasm"), crate::support::hostile("1.0.0", "start=trap")).unwrap();
            std::fs::write(app.join("front-1.0.0.wasm"), crate::made::front(1, 0)).unwrap();
            std::fs::write(app.join(".hidden-1.0.0.wasm"), constant(1)).unwrap();
            symlink("counter.wasm", app.join("link.wasm")).unwrap();
        },
        super::quick,
    )
    .await;
    serves(&world).await;
    let sum: i64 = world.host.call("tally", "add", (1_i64, 2_i64)).await.unwrap();
    assert_eq!(sum, 3);
    all_looked_at(&world).await;
    let modules: Vec<_> = world
        .host
        .status()
        .modules
        .into_iter()
        .map(|module| module.module)
        .collect();
    assert_eq!(modules, ["counter", "marker", "tally"]);
    let refused = told(&world, 0, EventKind::Refused);
    for (file, reason) in [("text", "(text)"), ("hostile", "trapped"), ("link", "(symlink)")] {
        let event = refusal_of(&refused, &format!("/{file}.wasm is ").replace(" is ", ""));
        assert!(event.message.contains(reason), "{event:#?}");
    }
    let pending = world.host.status().pending;
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].module, "front");
}
