//! Compiled code is kept: no bytes are compiled twice, and nothing that is kept is trusted further than it can be checked.

use crate::made::constant;
use crate::support::{Binary, World, guest};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use wasmhot::Host;
use wasmhot::control::protocol::{CodeStatus, GcRequest, UndoRequest};
use wasmhot::event::EventKind;

fn came(compiled: u64, from_cache: u64) -> CodeStatus {
    CodeStatus { compiled, from_cache }
}

/// Where compiled code lies beside a watched directory.
fn folder(app: &Path) -> PathBuf {
    app.with_file_name("state").join("compiled")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn faults(world: &World) -> Vec<String> {
    let told = world.host.events().since(0).0.into_iter();
    told.filter(|event| event.kind == EventKind::CacheFault)
        .map(|event| event.message)
        .collect()
}

async fn count(world: &World) -> i64 {
    world.host.call("counter", "increment", (1_i64,)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_compiled_is_not_compiled_again_after_a_restart() {
    // On both engines: the lounge is of WASI 0.3.
    let world = World::of(&["counter-1.0.0", "tally-1.0.0", "lounge-1.0.0"]).await;
    assert_eq!(world.host.status().code, came(3, 0));
    assert_eq!(count(&world).await, 1);
    let _: u32 = world.host.call("lounge", "come", ()).await.unwrap();
    let world = world.restart().await;
    assert_eq!(world.host.status().code, came(0, 3));
    assert_eq!(count(&world).await, 2);
    let _: u32 = world.host.call("lounge", "come", ()).await.unwrap();
    let sum: i64 = world.host.call("tally", "add", (40_i64, 2_i64)).await.unwrap();
    assert_eq!((sum, faults(&world)), (42, vec![]));
    let ready = world.event_of(0, EventKind::Ready).await;
    assert_eq!(ready.details, serde_json::json!({ "compiled": 0, "from_cache": 3 }));
    let folder = folder(&world.app());
    assert_eq!(files(&folder).len(), 3);
    for place in files(&folder).iter().chain([&folder]) {
        let mode = std::fs::metadata(place).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} {mode:o}", place.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_are_not_compiled_again_after_an_undo_or_under_another_name() {
    let world = World::empty(|builder| builder).await;
    // Core modules, which the host wraps; they are called what their files are called.
    world.apply_bytes("one-1.0.0.wasm", &constant(1)).await.unwrap();
    world.apply_bytes("one-2.0.0.wasm", &constant(2)).await.unwrap();
    assert_eq!(world.host.status().code.compiled, 2);
    world.host.undo(UndoRequest::default()).await.unwrap();
    world.apply_bytes("one-2.0.0.wasm", &constant(2)).await.unwrap();
    world.apply_bytes("two-1.0.0.wasm", &constant(2)).await.unwrap();
    let before = world.now();
    world.drop_file("three-1.0.0.wasm", &constant(1));
    world.event_of(before, EventKind::Switched).await;
    for (module, expected) in [("one", 2), ("two", 2), ("three", 1)] {
        let value: i32 = world.host.call(module, "value", ()).await.unwrap();
        assert_eq!(value, expected, "{module}");
    }
    assert_eq!(world.host.status().code.compiled, 2);
    assert_eq!(files(&folder(&world.app())).len(), 2);
}

/// A host whose only file of code something is done to while it is down.
async fn spoiled(world: World, what: &str, spoil: impl FnOnce(&Path)) -> World {
    let world = world
        .restart_after(|app| {
            let files = files(&folder(app));
            assert_eq!(files.len(), 1, "{what}");
            spoil(&files[0]);
        })
        .await;
    assert_eq!(world.host.status().code, came(1, 0), "{what}");
    assert_eq!(faults(&world).len(), 1, "{what}");
    // It was replaced.
    let world = world.restart().await;
    assert_eq!(
        (world.host.status().code, faults(&world)),
        (came(0, 1), vec![]),
        "{what}"
    );
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_code_is_told_compiled_anew_and_replaced() {
    let mut world = World::of(&["counter-1.0.0"]).await;
    // Places as quarters of the file, and bytes before that.
    let flips = [
        ("its first byte", 0, 0),
        ("a byte in the middle", 2, 0),
        ("the checksum", 4, 10),
        ("the last byte", 4, 1),
    ];
    for (round, (what, quarters, before)) in flips.into_iter().enumerate() {
        world = spoiled(world, what, |file| {
            let mut bytes = std::fs::read(file).unwrap();
            let place = bytes.len() * quarters / 4 - before;
            bytes[place] ^= 1;
            std::fs::write(file, bytes).unwrap();
        })
        .await;
        assert_eq!(count(&world).await, round as i64 + 1, "{what}");
    }
    let cuts = [("empty", 0, 0), ("begun", 1, 0), ("torn", 2, 0), ("a byte short", 4, 1)];
    for (what, quarters, before) in cuts {
        world = spoiled(world, what, |file| {
            let file = std::fs::File::options().write(true).open(file).unwrap();
            let whole = file.metadata().unwrap().len();
            file.set_len(whole * quarters / 4 - before).unwrap();
        })
        .await;
    }
    assert_eq!(count(&world).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_somebody_else_may_have_written_is_not_used() {
    let mut world = World::of(&["counter-1.0.0"]).await;
    for mode in [0o620, 0o602, 0o666] {
        let open = |file: &Path| std::fs::set_permissions(file, PermissionsExt::from_mode(mode)).unwrap();
        world = spoiled(world, &format!("{mode:o}"), open).await;
    }
    world = spoiled(world, "a symbolic link", |file| {
        let moved = file.parent().unwrap().with_file_name("moved");
        std::fs::rename(file, &moved).unwrap();
        symlink(moved, file).unwrap();
    })
    .await;
    if rustix::process::geteuid().is_root() {
        world = spoiled(world, "another user's", |file| chown(file, Some(12345), None).unwrap()).await;
    }
    // A folder in which others write is no place for code at all.
    let open = |app: &Path, mode| std::fs::set_permissions(folder(app), PermissionsExt::from_mode(mode)).unwrap();
    world = world.restart_after(|app| open(app, 0o777)).await;
    assert_eq!(world.host.status().code, came(1, 0));
    assert!(
        faults(&world)[0].contains("others can write in it"),
        "{:?}",
        faults(&world)
    );
    world = world.restart_after(|app| open(app, 0o700)).await;
    assert_eq!(world.host.status().code, came(0, 1));
    assert_eq!(count(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_of_other_bytes_or_of_another_compiler_is_not_used() {
    let world = World::of(&["counter-1.0.0", "tally-1.0.0"]).await;
    // Under each other's names.
    let swap = |app: &Path| {
        let files = files(&folder(app));
        let aside = app.with_file_name("aside");
        std::fs::rename(&files[0], &aside).unwrap();
        std::fs::rename(&files[1], &files[0]).unwrap();
        std::fs::rename(&aside, &files[1]).unwrap();
    };
    let world = world.restart_after(swap).await;
    assert_eq!((world.host.status().code, faults(&world).len()), (came(2, 0), 2));
    // Of another Wasmtime, or with other settings: under a name that nobody asks for.
    let rename = |app: &Path| {
        for file in files(&folder(app)) {
            std::fs::rename(&file, of_another_compiler(&file)).unwrap();
        }
    };
    let world = world.restart_after(rename).await;
    assert_eq!((world.host.status().code, faults(&world)), (came(2, 0), vec![]));
    assert_eq!(count(&world).await, 1);
    assert_eq!(files(&folder(&world.app())).len(), 4);
    world.host.gc(GcRequest::default()).await.unwrap();
    assert_eq!(files(&folder(&world.app())).len(), 2);
    assert_eq!(world.restart().await.host.status().code, came(0, 2));
}

/// The name of the same code, had another compiler made it.
fn of_another_compiler(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap().to_str().unwrap();
    let (digest, _) = name.split_once('-').unwrap();
    file.with_file_name(format!("{digest}-{}.code", "0".repeat(32)))
}

#[tokio::test(flavor = "multi_thread")]
async fn gc_forgets_the_code_of_bytes_that_are_gone() {
    let world = World::empty(|builder| builder).await;
    for version in 1..=3 {
        let name = format!("m-{version}.0.0.wasm");
        world.apply_bytes(&name, &constant(version)).await.unwrap();
    }
    let folder = folder(&world.app());
    std::fs::write(folder.join("notes.txt"), "somebody's").unwrap();
    let request = |dry_run| GcRequest {
        keep: Some(0),
        older_than_ms: Some(0),
        dry_run,
    };
    let would = world.host.gc(request(true)).await.unwrap();
    assert_eq!((would.objects.len(), files(&folder).len()), (1, 4));
    let done = world.host.gc(request(false)).await.unwrap();
    assert_eq!(
        (done.objects.len(), files(&folder).len(), done.bytes),
        (1, 3, would.bytes)
    );
    assert!(done.bytes > constant(1).len() as u64, "{done:?}");
    // What stays is what can still run.
    let world = world.restart().await;
    world.host.undo(UndoRequest::default()).await.unwrap();
    assert_eq!(world.host.status().code, came(0, 2));
}

#[test]
fn p4_kill_9_while_code_is_written_leaves_nothing_that_is_used() {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    host.ok(&["stop"]);
    let mut host = host.again_until("code-half-written", &[]);
    let newer = guest("counter-1.1.0");
    let applied = host.cli(&["apply", newer.to_str().unwrap()]);
    assert!(!applied.status.success());
    assert_eq!(host.ended(), None, "by a signal");
    let compiled = host.root().join("state/wasmhot/app/compiled");
    assert_eq!(files(&compiled).len(), 2, "the half file is there");
    let host = host.again(&[]);
    assert_eq!(files(&compiled).len(), 1, "it is swept");
    host.ok(&["apply", newer.to_str().unwrap()]);
    assert_eq!(host.ok(&["call", "counter", "version()"]).trim(), "\"1.1.0\"");
    let code = &host.json(&["status"]).1["code"];
    assert_eq!(*code, serde_json::json!({ "compiled": 1, "from_cache": 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_no_guest_gets_a_folder_that_reaches_the_state_directory() {
    let granted = [
        ("", true),
        ("", false),
        ("state", true),
        ("state/compiled", true),
        ("data/link/compiled", true),
        ("data/..", true),
        ("data", true),
    ];
    for (place, write) in granted {
        let root = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let folder = root.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            folder
        };
        let (app, state, data) = (folder("app"), folder("state"), folder("data"));
        // A detour is no way in either.
        symlink(&state, data.join("link")).unwrap();
        std::fs::copy(guest("explorer-1.0.0"), app.join("explorer-1.0.0.wasm")).unwrap();
        let granted = root.path().join(place);
        let shown = granted.display();
        let release = format!(
            "format = 1\n[release]\nname = \"r\"\nversion = \"1.0.0\"\n[[modules]]\nname = \"explorer\"\nversion = \"1.0.0\"\n\
             [modules.grants]\ndirs = [{{ host = \"{shown}\", guest = \"/data\", write = {write} }}]\n"
        );
        std::fs::write(app.join("release.toml"), release).unwrap();
        match Host::builder().source(&app).state_dir(&state).start().await {
            Ok(host) => {
                assert_eq!(granted, data, "{shown} was granted");
                host.stop().await;
            }
            Err(failure) => {
                assert_ne!(granted, data, "{failure:?}");
                let said = &failure.message;
                assert!(said.contains("the state directory of the host"), "{shown}: {said}");
            }
        }
    }
}
