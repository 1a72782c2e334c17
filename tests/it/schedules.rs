//! R18: the host calls by the clock; such calls are ordinary ones.

use crate::made::with_note;
use crate::support::{World, guest, put_guests, until};
use std::path::PathBuf;
use wasmhot::control::protocol::{ScheduleStatus, UndoRequest};
use wasmhot::event::EventKind;

fn release(every: &str) -> String {
    format!(
        "format = 1\n[release]\nname = \"s\"\nversion = \"1.0.0\"\n[[modules]]\nname = \"pacer\"\nversion = \"1.0.0\"\n[modules.grants]\nkeyvalue = [\"pace\"]\n{every}\n"
    )
}

fn every(call: &str, every: &str) -> String {
    format!("[[modules.every]]\ncall = '{call}'\nevery = \"{every}\"\n")
}

async fn pacer(schedules: &str) -> World {
    World::release(&release(schedules), &["pacer-1.0.0"]).await
}

fn relup(world: &World, to: &str, module: &str, rest: &str) -> PathBuf {
    let text = format!(
        "format = 1\n[release]\nname = \"s\"\nto = \"{to}\"\n[[modules]]\nname = \"pacer\"\n{module}\n{rest}\n"
    );
    let file = world.outside().join(format!("relup-{to}.toml"));
    std::fs::write(&file, text).unwrap();
    file
}

fn schedules(world: &World) -> Vec<ScheduleStatus> {
    world
        .host
        .status()
        .modules
        .into_iter()
        .find(|module| module.module == "pacer")
        .unwrap()
        .schedules
}

async fn ticks(world: &World) -> u64 {
    world.host.call("pacer", "ticks", ()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_a_call_is_made_again_and_again_and_status_tells_of_it() {
    let world = pacer(&every("tick()", "20ms")).await;
    until("three calls", || schedules(&world)[0].calls >= 3).await;
    let shown = schedules(&world).remove(0);
    assert_eq!((shown.call.as_str(), shown.every_ms, shown.failures), ("tick()", 20, 0));
    let last: u64 = shown.last_result.unwrap().parse().unwrap();
    assert!(last >= 3 && shown.last_error.is_none() && shown.last_took_us.is_some() && shown.last_ms_ago.is_some());
    assert!(ticks(&world).await >= last);
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_schedules_survive_upgrades_with_the_state_and_go_with_their_release() {
    let world = pacer(&every("tick()", "20ms")).await;
    until("a call", || schedules(&world)[0].calls >= 1).await;
    // Other bytes of the same version: an upgrade while it ticks.
    let bytes = with_note(std::fs::read(guest("pacer-1.0.0")).unwrap(), "other bytes");
    world.apply_bytes("pacer-1.0.0.wasm", &bytes).await.unwrap();
    let before = ticks(&world).await;
    until("it goes on", || schedules(&world)[0].calls > before + 1).await;
    assert_eq!(schedules(&world)[0].failures, 0);
    // Ended by the next release, without a new instance; back with the one before.
    let report = world
        .apply(&relup(&world, "1.0.1", &every("tick()", "never"), ""))
        .await
        .unwrap();
    assert!(report.modules.is_empty(), "{report:#?}");
    assert!(schedules(&world).is_empty());
    let world = world.restart().await;
    assert!(schedules(&world).is_empty());
    world.host.undo(UndoRequest::default()).await.unwrap();
    until("it is called again", || {
        schedules(&world).first().is_some_and(|shown| shown.calls >= 1)
    })
    .await;
    let diff = world.host.diff(1, 3).await.unwrap();
    assert!(
        diff.modules[0].details.iter().any(|line| line.starts_with("every:")),
        "{diff:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_a_failure_is_an_event_once_and_the_next_call_is_made_all_the_same() {
    let world = pacer(&every("attempt(false)", "10ms")).await;
    let told = world.event_of(0, EventKind::ScheduleFailed).await;
    assert!(
        told.message.contains("`attempt(false)` of pacer") && told.message.contains("as told"),
        "{}",
        told.message
    );
    until("it goes on", || schedules(&world)[0].failures >= 5).await;
    let shown = schedules(&world).remove(0);
    assert_eq!((shown.failures, shown.last_result), (shown.calls, None));
    assert!(shown.last_error.unwrap().contains("as told"));
    let events = world.host.events().since(0).0;
    assert_eq!(
        events
            .iter()
            .filter(|event| event.kind == EventKind::ScheduleFailed)
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_a_call_that_does_not_fit_is_refused_before_anything_happens() {
    let world = pacer("").await;
    for (call, says) in [
        ("tock()", "no function `tock`"),
        ("attempt(1)", "attempt"),
        ("attempt()", "attempt"),
        ("attempt(", "attempt("),
    ] {
        let file = relup(&world, "1.0.1", &every(call, "1s"), "");
        let refused = world.apply(&file).await.unwrap_err();
        assert_eq!(
            (refused.code.as_str(), u8::from(refused.exit)),
            ("bad-schedule", 4),
            "{refused}"
        );
        assert!(
            refused.message.contains("`[[modules.every]]` of pacer calls") && refused.message.contains(says),
            "{refused}"
        );
    }
    assert_eq!(world.host.status().revision, 1);
    // A new version without the function, too.
    let world = pacer(&every("tick()", "1h")).await;
    let counter = std::fs::read(guest("counter-1.0.0")).unwrap();
    let renamed: Vec<u8> = replaced(
        counter,
        br#""name":"counter","version":"1.0.0""#,
        br#""name":"pacer",  "version":"1.0.0""#,
    );
    let refused = world.apply_bytes("pacer-1.0.0.wasm", &renamed).await.unwrap_err();
    assert_eq!(refused.code, "bad-schedule", "{refused}");
}

fn replaced(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<_> = (0..bytes.len() - from.len())
        .filter(|at| bytes[*at..].starts_with(from))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_a_keyed_module_is_called_for_the_key_that_the_call_names() {
    let toml = "format = 1\n[release]\nname = \"s\"\nversion = \"1.0.0\"\n[[modules]]\nname = \"rooms\"\nversion = \"1.0.0\"\n";
    let world = World::release(toml, &["rooms-1.0.0"]).await;
    let release = world.host.release().await.unwrap();
    let rooms = release
        .modules
        .iter()
        .find(|module| module.version.name.as_ref() == "rooms")
        .unwrap();
    let function = rooms
        .interface
        .exports
        .keys()
        .map(|name| name.name.clone())
        .find(|name| name == "say")
        .unwrap();
    let text = format!(
        "format = 1\n[release]\nname = \"s\"\nto = \"1.0.1\"\n[[modules]]\nname = \"rooms\"\n{}",
        every(&format!("{function}(\"kitchen\", \"clock\", \"tick\")"), "10ms")
    );
    let file = world.outside().join("relup.toml");
    std::fs::write(&file, text).unwrap();
    world.apply(&file).await.unwrap();
    until("it is called", || {
        world.host.status().modules[0].schedules[0].calls >= 2
    })
    .await;
    assert_eq!(world.host.status().modules[0].keys, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_times_that_pass_while_a_call_waits_are_merged() {
    let prepare = |app: &std::path::Path| {
        put_guests(app, &["hostile-1.0.0"]);
        let toml = format!(
            "format = 1\n[release]\nname = \"s\"\nversion = \"1.0.0\"\n[[modules]]\nname = \"hostile\"\nversion = \"1.0.0\"\n{}",
            every("fault(\"sleep:300\")", "10ms")
        );
        std::fs::write(app.join("release.toml"), toml).unwrap();
    };
    let world = World::prepared(prepare, |builder| builder).await;
    until("two calls", || world.host.status().modules[0].schedules[0].calls >= 2).await;
    let shown = world.host.status().modules[0].schedules[0].clone();
    assert!(shown.merged >= 20 && shown.failures == 0, "{shown:?}");
    // The host stops although it is called all the time, and nothing begins then.
    let stopped = world.host.stop().await;
    assert!(stopped.not_saved.is_empty(), "{stopped:?}");
}
