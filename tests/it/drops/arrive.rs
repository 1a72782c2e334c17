//! Every way in which a file arrives: one taking and one upgrade for each content.

use super::{all_looked_at, quick, settling, told, version, world};
use crate::made::with_note;
use crate::support::{World, guest, until};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use wasmhot::event::EventKind;

/// A counter 1.0.0 at 5 in `counter.wasm`; 1.1.0 arrives in some way; then 1.1.0 runs at 5, by one taking and one upgrade.
async fn arrives(way: impl AsyncFnOnce(&World, &Path)) {
    arrives_in(World::empty(quick).await, way).await;
}

async fn arrives_in(world: World, way: impl AsyncFnOnce(&World, &Path)) {
    let file = world.app().join("counter.wasm");
    world.drop_file("counter.wasm", &std::fs::read(guest("counter-1.0.0")).unwrap());
    world.event_of(0, EventKind::Switched).await;
    let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    let since = world.now();
    way(&world, &file).await;
    world.event_of(since, EventKind::Switched).await;
    all_looked_at(&world).await;
    assert_eq!(version(&world, "counter").await, "1.1.0");
    let count: i64 = world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!(count, 5);
    for kind in [EventKind::Taken, EventKind::Switched] {
        let events = told(&world, since, kind);
        assert_eq!(events.len(), 1, "{events:#?}");
    }
    for kind in [EventKind::Refused, EventKind::CalledOff, EventKind::Pending] {
        let events = told(&world, since, kind);
        assert!(events.is_empty(), "{events:#?}");
    }
}

fn new_bytes() -> Vec<u8> {
    std::fs::read(guest("counter-1.1.0")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_renamed_into_the_directory() {
    arrives(async |world, _| world.drop_file("counter-1.1.0.wasm", &new_bytes())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_renamed_over_the_old_one() {
    arrives(async |world, _| world.drop_file("counter.wasm", &new_bytes())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_overwritten_in_place() {
    arrives(async |_, file| std::fs::write(file, new_bytes()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_copied_by_cp() {
    arrives(async |_, file| {
        let copied = Command::new("cp").arg(guest("counter-1.1.0")).arg(file).status();
        assert!(copied.unwrap().success());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_keeps_a_backup_and_writes_anew() {
    arrives(async |_, file| {
        // vim with `backupcopy=no`: a swap file, the old one renamed away, the new one written under the old name.
        let (swap, backup) = (file.with_file_name(".counter.wasm.swp"), file.with_extension("wasm~"));
        std::fs::write(&swap, b"b0VIM").unwrap();
        std::fs::rename(file, &backup).unwrap();
        std::fs::write(file, new_bytes()).unwrap();
        std::fs::remove_file(backup).unwrap();
        std::fs::remove_file(swap).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_writes_a_temporary_file_and_renames_it() {
    arrives(async |_, file| {
        let temporary = file.with_file_name(".counter.wasm.tmp");
        std::fs::write(&temporary, new_bytes()).unwrap();
        std::fs::rename(temporary, file).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_hard_linked() {
    arrives(async |world, file| {
        let made = world.outside().join("made.wasm");
        std::fs::write(&made, new_bytes()).unwrap();
        std::fs::hard_link(made, file.with_file_name("linked.wasm")).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_writer_is_waited_for() {
    // A writer that has not closed its file is waited for 50 settle times: long enough for a machine that is busy.
    let world = World::empty(settling(Duration::from_millis(400))).await;
    arrives_in(world, async |world, file| {
        let since = world.now();
        let bytes = new_bytes();
        let mut slow = File::create(file).unwrap();
        for part in bytes.chunks(bytes.len().div_ceil(4)) {
            slow.write_all(part).unwrap();
            // Another file comes to rest meanwhile: settle has passed more than once.
            all_looked_at(world).await;
            assert!(told(world, since, EventKind::Taken).is_empty());
            assert!(told(world, since, EventKind::Refused).is_empty());
        }
        drop(slow);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r36_same_bytes_are_nothing_new() {
    let world = world(&["counter-1.0.0"]).await;
    let file = world.app().join("counter-1.0.0.wasm");
    let bytes = std::fs::read(&file).unwrap();
    let since = world.now();
    // Each is looked at before the next comes.
    std::fs::write(&file, &bytes).unwrap();
    all_looked_at(&world).await;
    world.drop_file("counter-1.0.0.wasm", &bytes);
    all_looked_at(&world).await;
    world.drop_file("copy.wasm", &bytes);
    all_looked_at(&world).await;
    let touched = Command::new("touch").arg(&file).status();
    assert!(touched.unwrap().success());
    all_looked_at(&world).await;
    for kind in [
        EventKind::Taken,
        EventKind::Switched,
        EventKind::Refused,
        EventKind::Pending,
    ] {
        let events = told(&world, since, kind);
        assert!(events.is_empty(), "{events:#?}");
    }
    let ignored = told(&world, since, EventKind::Ignored);
    assert!(
        ignored.iter().all(|event| event.message.contains("counter@1.0.0")),
        "{ignored:#?}"
    );
    assert!(!ignored.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_of_the_same_version_are_another_version() {
    let world = world(&["counter-1.0.0"]).await;
    let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    let since = world.now();
    let bytes = std::fs::read(guest("counter-1.0.0")).unwrap();
    world.drop_file("counter-1.0.0.wasm", &with_note(bytes, "another build"));
    world.event_of(since, EventKind::Switched).await;
    let count: i64 = world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!(count, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn r34_of_several_files_the_highest_is_the_candidate() {
    let world = world(&["counter-2.0.0"]).await;
    let since = world.now();
    world.drop_file("counter-1.1.0.wasm", &new_bytes());
    let ignored = world.event_of(since, EventKind::Ignored).await;
    assert!(
        ignored.message.contains("1.1.0") && ignored.message.contains("2.0.0"),
        "it says which file has no effect, and why: {ignored:#?}"
    );
    all_looked_at(&world).await;
    assert_eq!(version(&world, "counter").await, "2.0.0");
    assert!(told(&world, since, EventKind::Switched).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn r34_at_a_start_the_highest_runs_and_the_rest_has_no_effect() {
    let world = world(&["counter-1.0.0", "counter-1.1.0", "counter-2.0.0", "tally-1.0.0"]).await;
    assert_eq!(version(&world, "counter").await, "2.0.0");
    all_looked_at(&world).await;
    assert_eq!(version(&world, "counter").await, "2.0.0");
    let switched = told(&world, 0, EventKind::Switched);
    assert_eq!(
        switched.len(),
        1,
        "the directory as it was found is one switch: {switched:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_goes_down_when_its_file_is_replaced_by_a_lower_one() {
    let world = world(&[]).await;
    for (step, name) in ["counter-1.0.0", "counter-2.0.0", "counter-1.0.0", "counter-1.1.0"]
        .iter()
        .enumerate()
    {
        let since = world.now();
        world.drop_file("counter.wasm", &std::fs::read(guest(name)).unwrap());
        world.event_of(since, EventKind::Switched).await;
        assert_eq!(version(&world, "counter").await, name.trim_start_matches("counter-"));
        let count: i64 = world.host.call("counter", "increment", (1_i64,)).await.unwrap();
        assert_eq!(count, i64::try_from(step).unwrap() + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_file_stops_nothing_and_the_event_says_what_does() {
    let world = world(&["counter-1.0.0"]).await;
    let since = world.now();
    std::fs::remove_file(world.app().join("counter-1.0.0.wasm")).unwrap();
    let event = world.event_of(since, EventKind::FileDeleted).await;
    assert!(event.message.contains("`wasmhot remove counter`"), "{event:#?}");
    assert_eq!(event.module.as_deref(), Some("counter"));
    assert_eq!(version(&world, "counter").await, "1.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watched_directory_is_lost_and_comes_back() {
    let world = world(&["counter-1.0.0"]).await;
    let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    let since = world.now();
    let away = world.outside().join("away");
    std::fs::rename(world.app(), &away).unwrap();
    world.event_of(since, EventKind::WatchLost).await;
    let count: i64 = world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!(count, 5, "what runs goes on");
    let since = world.now();
    std::fs::create_dir(world.app()).unwrap();
    world.event_of(since, EventKind::WatchBack).await;
    world.drop_file("counter-1.1.0.wasm", &new_bytes());
    world.event_of(since, EventKind::Switched).await;
    let count: i64 = world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!(count, 5);
    // Deleted with all that is in it, and put back as it was.
    let since = world.now();
    std::fs::remove_dir_all(world.app()).unwrap();
    world.event_of(since, EventKind::WatchLost).await;
    assert_eq!(version(&world, "counter").await, "1.1.0");
    std::fs::rename(&away, world.app()).unwrap();
    world.event_of(since, EventKind::WatchBack).await;
    until(
        "the lower version that came back with the directory is the candidate",
        || told(&world, since, EventKind::Switched).len() == 1,
    )
    .await;
    assert_eq!(version(&world, "counter").await, "1.0.0");
    let count: i64 = world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!(count, 5);
}
