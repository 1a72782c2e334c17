//! Cases of `release_handler_SUITE`.

use super::{add, apply, apply_on_probation, count, counter, statuses, undo, version};
use crate::made::{constant, slow_calc_of, wasm};
use crate::support::{Binary, World, guest, hostile, put_guests, until};
use std::path::PathBuf;
use wasmhot::control::protocol::{ApplyRequest, Exit, GcRequest, RemoveRequest, UndoRequest};
use wasmhot::event::EventKind;
use wasmhot_appup::LimitsSpec;

fn relup(world: &World, text: &str) -> PathBuf {
    let file = world.outside().join("relup.toml");
    std::fs::write(&file, format!("format = 1\n{text}")).unwrap();
    file
}

/// Theirs: a target system is created, installed and booted from a release
/// Ours: a host starts from a release.toml with an empty state directory; the first revision is permanent
#[tokio::test(flavor = "multi_thread")]
async fn target_system() {
    let release = "format = 1\n[release]\nname = \"p1\"\nversion = \"1.0.0\"\n[[modules]]\nname = \"counter\"\nversion = \"1.0.0\"\n";
    let world = World::release(release, &["counter-1.0.0"]).await;
    assert_eq!(world.host.status().release, "p1 1.0.0");
    assert_eq!(statuses(&world).await, ["permanent"]);
    add(&world, 1).await;
}

/// Theirs: the same under a path with αβ in it
/// Ours: release, folder and file with names that are not ASCII
#[test]
fn target_system_unicode() {
    let root = tempfile::tempdir().unwrap();
    let app = root.path().join("αβ");
    std::fs::create_dir(&app).unwrap();
    put_guests(&app, &["counter-1.0.0"]);
    let release = "format = 1\n[release]\nname = \"αβ\"\nversion = \"1.0.0\"\n[[modules]]\nname = \"counter\"\npath = \"counter-1.0.0.wasm\"\n";
    std::fs::write(app.join("release.toml"), release).unwrap();
    let mut run = crate::support::command(root.path());
    let mut host = crate::support::Lines::of_talk(run.arg("run").arg(&app).args(["--compile-timeout", "10m"]));
    let ready = host.until(|line| line.starts_with("wasmhot: ready"));
    assert!(ready.contains("release αβ 1.0.0"), "{ready}");
}

/// Theirs: G to H; a reboot goes back to G; H again and permanent; I; down to H; removed; status and values at each step
/// Ours: on probation a restart goes back; permanent; up, down, up again; status, version and state at each step
#[tokio::test(flavor = "multi_thread")]
async fn upgrade() {
    let world = counter().await;
    apply_on_probation(&world, "counter-1.1.0").await;
    assert_eq!(
        (version(&world).await.as_str(), statuses(&world).await.join(" ")),
        ("1.1.0", "boots current".into())
    );
    add(&world, 1).await;
    let world = world.restart().await;
    assert_eq!((version(&world).await.as_str(), count(&world).await), ("1.0.0", 6));
    assert_eq!(statuses(&world).await.last().unwrap(), "permanent");
    apply_on_probation(&world, "counter-1.1.0").await;
    world.host.permanent().await.unwrap();
    let world = world.restart().await;
    assert_eq!((version(&world).await.as_str(), count(&world).await), ("1.1.0", 6));
    apply(&world, "counter-2.0.0").await;
    add(&world, 1).await;
    undo(&world).await;
    assert_eq!((version(&world).await.as_str(), count(&world).await), ("1.1.0", 7));
    apply(&world, "counter-2.0.0").await;
    assert_eq!((version(&world).await.as_str(), count(&world).await), ("2.0.0", 7));
    assert_eq!(
        statuses(&world)
            .await
            .iter()
            .filter(|status| *status == "permanent")
            .count(),
        1
    );
}

/// Theirs: after remove_release files that other releases use stay, unused ones are gone
/// Ours: after forget and gc the bytes that other revisions or states need stay, unused ones are gone
#[tokio::test(flavor = "multi_thread")]
async fn upgrade_files_of_other_releases_stay() {
    let world = World::empty(|builder| builder).await;
    for name in ["counter-1.0.0", "counter-1.1.0", "counter-2.0.0"] {
        apply(&world, name).await;
    }
    let gc = GcRequest {
        keep: Some(1),
        older_than_ms: Some(0),
        dry_run: false,
    };
    let report = world.host.gc(gc.clone()).await.unwrap();
    assert_eq!(
        (report.revisions.as_slice(), report.objects.len()),
        ([1].as_slice(), 1),
        "{report:?}"
    );
    undo(&world).await;
    assert_eq!(version(&world).await, "1.1.0");
    let again = world.host.gc(gc).await.unwrap();
    assert!(again.objects.is_empty(), "2.0.0 wrote the last state: {again:?}");
}

/// Theirs: a soft purge leaves the old process running; it is told what is not purged; a third version while it lingers
/// Ours: calls end on the old version while a third one is taken; `why` names them; drain_timeout ends them
#[tokio::test(flavor = "multi_thread")]
async fn instructions() {
    let limits = LimitsSpec {
        drain_timeout: Some(std::time::Duration::from_secs(2)),
        call_deadline: Some(std::time::Duration::from_secs(300)),
        ..LimitsSpec::default()
    };
    let world = World::empty(|builder| builder.limits(limits)).await;
    world
        .apply_bytes("calc-1.0.0.wasm", &slow_calc_of(1, 100_000_000_000))
        .await
        .unwrap();
    let host = world.host.clone();
    let lingering = tokio::spawn(async move { host.call::<_, i32>("calc", "f", (1,)).await });
    until("it runs", || world.host.status().modules[0].running == 1).await;
    world.apply_bytes("calc-1.1.0.wasm", &slow_calc_of(2, 1)).await.unwrap();
    world.apply_bytes("calc-1.2.0.wasm", &slow_calc_of(3, 1)).await.unwrap();
    let why = world.host.why("calc@1.0.0").await.unwrap();
    assert_eq!((why.alive, why.calls.len()), (true, 1), "{why:?}");
    let answer: i32 = world.host.call("calc", "f", (1,)).await.unwrap();
    assert_eq!(answer, 4, "the third version answers");
    let error = lingering.await.unwrap().unwrap_err();
    assert_eq!(error.code.to_string(), "retired");
    until("it is freed", || {
        world
            .host
            .events()
            .since(0)
            .0
            .iter()
            .any(|event| event.kind == EventKind::Retired && event.version.as_deref() == Some("1.0.0"))
    })
    .await;
}

/// Theirs: one application up and down by its appup; config_change is called both ways
/// Ours: one module up and down by itself
#[tokio::test(flavor = "multi_thread")]
async fn eval_appup() {
    let world = counter().await;
    apply(&world, "counter-2.0.0").await;
    assert_eq!((version(&world).await.as_str(), count(&world).await), ("2.0.0", 5));
    apply(&world, "counter-1.0.0").await;
    assert_eq!((version(&world).await.as_str(), count(&world).await), ("1.0.0", 5));
}

/// Theirs: a suspended supervisor is an error instead of a hang
/// Ours: a module that does not get quiet calls the upgrade off in bounded time, and is named
#[tokio::test(flavor = "multi_thread")]
async fn supervisor_which_children_timeout() {
    let limits = LimitsSpec {
        quiesce_timeout: Some(std::time::Duration::from_millis(200)),
        ..LimitsSpec::default()
    };
    let world = World::hostile("1.0.0", "", |builder| builder.limits(limits)).await;
    let host = world.host.clone();
    let call = tokio::spawn(async move {
        host.call::<_, Result<String, String>>("hostile", "fault", ("sleep:5000",))
            .await
    });
    until("it runs", || world.host.status().modules[0].running == 1).await;
    let failure = world
        .apply_bytes("hostile-1.0.1.wasm", &hostile("1.0.1", ""))
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.exit),
        ("not-quiet", Exit::CalledOff),
        "{failure:?}"
    );
    assert!(call.await.unwrap().is_ok(), "no call was touched");
}

/// Theirs: which_releases with and without a status
/// Ours: releases, all and by status
#[tokio::test(flavor = "multi_thread")]
async fn release_handler_which_releases() {
    let world = counter().await;
    apply_on_probation(&world, "counter-1.1.0").await;
    assert_eq!(statuses(&world).await, ["boots", "current"]);
    let current = world.host.releases(Some("current")).await.unwrap();
    assert_eq!((current.len(), current[0].revision), (1, Some(2)));
    assert!(world.host.releases(Some("old")).await.unwrap().is_empty());
}

/// Theirs: an illegal instruction late in the relup is found before anything runs
/// Ours: all of a relup is read and checked before its first step
#[tokio::test(flavor = "multi_thread")]
async fn install_release_syntax_check() {
    let world = counter().await;
    put_guests(&world.outside(), &["counter-1.1.0"]);
    let good = "[release]\nname = \"r\"\nto = \"1.1.0\"\n[[modules]]\nname = \"counter\"\npath = \"counter-1.1.0.wasm\"\n[[up]]\nupdate = \"counter\"\n";
    for (bad, said) in [
        ("[[up]]\nsuspend = \"counter\"\n", "suspend"),
        ("[[up]]\ndelete_module = \"nobody\"\n", "nobody"),
        ("[[up]]\nupdate = \"counter\"\n", "a second instruction"),
        (
            "[[up]]\ncall = { module = \"counter\", function = \"nothing\" }\nwhen = \"permanent\"\n",
            "nothing",
        ),
    ] {
        let failure = world.apply(&relup(&world, &format!("{good}{bad}"))).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Refused, "{bad}: {failure:?}");
        assert!(failure.message.contains(said), "{bad}: {failure:?}");
        assert_eq!(
            (version(&world).await.as_str(), world.host.status().revision),
            ("1.0.0", 1)
        );
    }
    world.apply(&relup(&world, good)).await.unwrap();
}

/// Theirs: the version of a module may be a number, a tuple, a list, an atom, a string
/// Ours: versions with pre-release and build parts, and none at all
#[tokio::test(flavor = "multi_thread")]
async fn otp_2740() {
    let world = World::empty(|builder| builder).await;
    for (file, shown) in [
        ("odd-1.0.0-rc.1+build.5.wasm", "1.0.0-rc.1+build.5"),
        ("odd-1.0.0-rc.2.wasm", "1.0.0-rc.2"),
        ("odd@1.0.0.wasm", "1.0.0"),
    ] {
        world
            .apply_bytes(file, &constant(shown.len().try_into().unwrap()))
            .await
            .unwrap();
        assert_eq!(world.host.status().modules[0].version, shown);
    }
    world.apply_bytes("odd.wasm", &constant(0)).await.unwrap();
    let version = world.host.status().modules[0].version.clone();
    assert!(version.starts_with("0.0.0+") && version.len() == 18, "{version}");
}

/// Theirs: removing an application unloads its code
/// Ours: a removed module has no instance, no route and no calls
#[tokio::test(flavor = "multi_thread")]
async fn otp_2760() {
    let world = World::of(&["tally-1.0.0", "counter-1.0.0"]).await;
    let _: i64 = world.host.call("tally", "add", (1_i64, 2_i64)).await.unwrap();
    let since = world.now();
    let remove = RemoveRequest {
        module: "tally".to_string(),
        ..RemoveRequest::default()
    };
    world.host.remove(remove).await.unwrap();
    let retired = world.event_of(since, EventKind::Retired).await;
    assert_eq!(retired.module.as_deref(), Some("tally"));
    let error = world
        .host
        .call::<_, i64>("tally", "add", (1_i64, 2_i64))
        .await
        .unwrap_err();
    assert!(
        error.message.contains("no module `tally`; there are: counter"),
        "{error:?}"
    );
    assert!(!world.host.why("tally@1.0.0").await.unwrap().alive);
}

/// Theirs: an installation from another file system, with and without update_paths
/// Ours: the next version lies in another folder, and the folder of the first is gone
#[tokio::test(flavor = "multi_thread")]
async fn otp_5761() {
    let world = counter().await;
    let elsewhere = tempfile::tempdir().unwrap();
    put_guests(elsewhere.path(), &["counter-1.1.0"]);
    world.apply(&elsewhere.path().join("counter-1.1.0.wasm")).await.unwrap();
    drop(elsewhere);
    let world = world.restart().await;
    assert_eq!((version(&world).await.as_str(), count(&world).await), ("1.1.0", 5));
    let failure = world
        .apply(&world.outside().join("gone/counter.wasm"))
        .await
        .unwrap_err();
    assert!(failure.message.contains("gone/counter.wasm"), "{failure:?}");
}

/// Theirs: a new version of an application without a changed module moves paths and reloads nothing
/// Ours: a new version of a release with the same modules is a revision without a gate or a new instance
#[tokio::test(flavor = "multi_thread")]
async fn otp_9402() {
    let world = counter().await;
    let since = world.now();
    let report = world
        .apply(&relup(&world, "[release]\nname = \"r\"\nto = \"2.0.0\"\n"))
        .await
        .unwrap();
    assert_eq!(
        (report.revision, report.gate_us, report.modules.len()),
        (Some(2), 0, 0),
        "{report:?}"
    );
    assert_eq!(world.host.status().release, "r 2.0.0");
    let (events, _) = world.host.events().since(since);
    assert!(
        events
            .iter()
            .all(|event| ![EventKind::Gated, EventKind::Retired].contains(&event.kind)),
        "{events:#?}"
    );
    assert_eq!(count(&world).await, 5);
}

/// Theirs: delete_module of a module that was never loaded does not fail
/// Ours: a module that was never called is removed
#[tokio::test(flavor = "multi_thread")]
async fn otp_9417() {
    let world = World::of(&["tally-1.0.0", "rooms-1.0.0", "counter-1.0.0"]).await;
    let text = "[release]\nname = \"r\"\nto = \"2.0.0\"\n[[up]]\ndelete_module = \"tally\"\n[[up]]\ndelete_module = \"rooms\"\n[[up]]\ndelete_module = \"counter\"\n";
    world.apply(&relup(&world, text)).await.unwrap();
    assert!(world.host.status().modules.is_empty());
}

/// Many modules in one directory.
const MANY: i32 = 40;

async fn many(build: i32) -> World {
    let files: Vec<_> = (0..MANY)
        .map(|one| (format!("m{one}-1.0.{build}.wasm"), constant(one + build)))
        .collect();
    World::of_files(&files, |builder| builder).await
}

fn instructions_for(verb: &str) -> String {
    (0..MANY).map(|one| format!("[[up]]\n{verb} = \"m{one}\"\n")).collect()
}

fn modules(world: &World, build: i32) -> String {
    let modules = (0..MANY).map(|one| {
        let file = format!("m{one}-1.0.{build}.wasm");
        std::fs::write(world.outside().join(&file), constant(one + build)).unwrap();
        format!("[[modules]]\nname = \"m{one}\"\npath = \"{file}\"\n")
    });
    modules.collect()
}

/// Theirs: checking 1000 processes against many modules
/// Ours: a dry run over forty modules checks all and changes nothing
#[tokio::test(flavor = "multi_thread")]
async fn otp_9395_check_old_code() {
    let world = many(0).await;
    let text = format!(
        "[release]\nname = \"r\"\nto = \"2.0.0\"\n{}{}",
        modules(&world, 1),
        instructions_for("load_module")
    );
    let request = ApplyRequest {
        path: relup(&world, &text),
        dry_run: true,
        ..ApplyRequest::default()
    };
    let report = world.host.apply(request).await.unwrap();
    assert_eq!((report.revision, report.modules.len()), (None, 40));
    assert_eq!(world.host.status().revision, 1);
}

/// Theirs: check_install without purge keeps old code, with purge removes it
/// Ours: a dry run has no effect: no revision, no history, no version that runs
#[tokio::test(flavor = "multi_thread")]
async fn otp_9395_check_and_purge() {
    let world = counter().await;
    let request = ApplyRequest {
        path: guest("counter-2.0.0"),
        dry_run: true,
        ..ApplyRequest::default()
    };
    let before = world.host.history(None).await.unwrap().len();
    world.host.apply(request).await.unwrap();
    assert_eq!(world.host.history(None).await.unwrap().len(), before);
    assert_eq!(
        (version(&world).await.as_str(), world.host.status().revision),
        ("1.0.0", 1)
    );
}

/// Theirs: many modules are updated at once
/// Ours: forty modules move in one switch
#[tokio::test(flavor = "multi_thread")]
async fn otp_9395_update_many_mods() {
    let world = many(0).await;
    let text = format!(
        "[release]\nname = \"r\"\nto = \"2.0.0\"\n{}{}",
        modules(&world, 1),
        instructions_for("load_module")
    );
    let report = world.apply(&relup(&world, &text)).await.unwrap();
    assert_eq!(report.revision, Some(2));
    for one in 0..MANY {
        let value: i32 = world.host.call(&format!("m{one}"), "value", ()).await.unwrap();
        assert_eq!(value, one + 1);
    }
}

/// Theirs: many modules are removed at once
/// Ours: forty modules are deleted in one switch
#[tokio::test(flavor = "multi_thread")]
async fn otp_9395_rm_many_mods() {
    let world = many(0).await;
    let text = format!(
        "[release]\nname = \"r\"\nto = \"2.0.0\"\n{}",
        instructions_for("delete_module")
    );
    world.apply(&relup(&world, &text)).await.unwrap();
    assert!(world.host.status().modules.is_empty());
    undo(&world).await;
    assert_eq!(world.host.status().modules.len(), 40);
}

/// Theirs: remove_release copes with a symlink that leads in a circle
/// Ours: a symlink that leads to itself, or to the directory, is refused by name and never followed
#[tokio::test(flavor = "multi_thread")]
async fn otp_9864() {
    let world = counter().await;
    let since = world.now();
    std::os::unix::fs::symlink("circle.wasm", world.app().join("circle.wasm")).unwrap();
    std::os::unix::fs::symlink(".", world.app().join("here.wasm")).unwrap();
    for name in ["circle.wasm", "here.wasm"] {
        world
            .event(since, |event| {
                event.kind == EventKind::Refused && event.message.contains(name)
            })
            .await;
    }
    assert_eq!(count(&world).await, 5);
}

/// Theirs: a supervisor's strategy and a child's shutdown change live
/// Ours: `on_trap` and timeouts change live, with the state kept
#[tokio::test(flavor = "multi_thread")]
async fn upgrade_supervisor() {
    let world = World::hostile("1.0.0", "", |builder| builder).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    let text = "[release]\nname = \"r\"\nto = \"1.0.1\"\n[[modules]]\nname = \"hostile\"\n[modules.limits]\non_trap = \"empty\"\n";
    world.apply(&relup(&world, text)).await.unwrap();
    let value: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(value, 5);
    world
        .host
        .call::<_, Result<String, String>>("hostile", "fault", ("trap",))
        .await
        .unwrap_err();
    let value: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(value, 0, "as it says since the upgrade");
}

/// Theirs: a bad child specification in the new version takes the node down to roll back
/// Ours: a version that does not start is refused, and nothing goes down
#[tokio::test(flavor = "multi_thread")]
async fn upgrade_supervisor_fail() {
    let world = World::hostile("1.0.0", "", |builder| builder).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    for plan in ["start=trap", "health=err", "migrate=err"] {
        world
            .apply_bytes("hostile-1.0.1.wasm", &hostile("1.0.1", plan))
            .await
            .unwrap_err();
        let value: i64 = world.host.call("hostile", "get", ()).await.unwrap();
        assert_eq!((value, world.host.status().revision), (5, 1), "{plan}");
    }
}

/// Theirs: names, descriptions and environment with αβ survive an upgrade and the file on disk
/// Ours: a release of that name, and a granted variable with such a value, survive an upgrade and a restart
#[tokio::test(flavor = "multi_thread")]
async fn unicode_upgrade() {
    let release = "format = 1\n[release]\nname = \"αβ\"\nversion = \"1.0.0\"\n[[modules]]\nname = \"counter\"\npath = \"counter-1.0.0.wasm\"\n[modules.grants.env]\nGREETING = \"γειά\"\n";
    let world = World::release(release, &["counter-1.0.0"]).await;
    add(&world, 5).await;
    put_guests(&world.outside(), &["counter-1.1.0"]);
    let text = "[release]\nname = \"αβγ\"\nto = \"1.1.0\"\n[[modules]]\nname = \"counter\"\npath = \"counter-1.1.0.wasm\"\n[[up]]\nupdate = \"counter\"\n";
    world.apply(&relup(&world, text)).await.unwrap();
    let world = world.restart().await;
    assert_eq!(
        (world.host.status().release.as_str(), count(&world).await),
        ("αβγ 1.1.0", 5)
    );
    assert!(
        world.host.diff(1, 2).await.unwrap().modules[0]
            .details
            .iter()
            .all(|line| !line.starts_with("grants"))
    );
}

/// Theirs: the system is moved between boot, upgrade and downgrade, and booted by a symlink
/// Ours: the directory is moved between an upgrade and its undo, and run by a symlink
#[test]
fn move_system() {
    let root = tempfile::tempdir().unwrap();
    let first = root.path().join("first");
    std::fs::create_dir(&first).unwrap();
    put_guests(&first, &["counter-1.0.0"]);
    let state = root.path().join("kept");
    let run = |app: &std::path::Path, state: &std::path::Path| {
        let mut command = crate::support::command(root.path());
        command
            .arg("run")
            .arg(app)
            .arg("--state")
            .arg(state)
            .args(["--compile-timeout", "10m"]);
        let mut host = crate::support::Lines::of_talk(&mut command);
        host.until(|line| line.starts_with("wasmhot: ready"));
        host
    };
    let cli = |args: &[&str]| {
        let output = crate::support::command(root.path()).args(args).output().unwrap();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    };
    let mut host = run(&first, &state);
    cli(&["call", "counter", "increment(5)"]);
    cli(&["apply", guest("counter-2.0.0").to_str().unwrap()]);
    cli(&["stop"]);
    host.ended();
    let (second, moved) = (root.path().join("second"), root.path().join("moved"));
    std::fs::rename(&first, &second).unwrap();
    std::fs::rename(&state, &moved).unwrap();
    let link = root.path().join("link");
    std::os::unix::fs::symlink(&second, &link).unwrap();
    let mut host = run(&link, &moved);
    assert_eq!(cli(&["call", "counter", "describe()"]), "\"count = 5\"");
    cli(&["undo"]);
    assert_eq!(cli(&["call", "counter", "describe()"]), "\"count: 5\"");
    cli(&["stop"]);
    host.ended();
}

/// Theirs: the cases again with a root that is absolute, and one that is relative
/// Ours: run, apply and a relup by relative paths
#[test]
fn group_relative() {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    host.ok(&["call", "counter", "increment(5)"]);
    put_guests(host.root(), &["counter-1.1.0", "counter-2.0.0"]);
    let text = "format = 1\n[release]\nname = \"r\"\nto = \"2.0.0\"\n[[modules]]\nname = \"counter\"\npath = \"./counter-2.0.0.wasm\"\n[[up]]\nupdate = \"counter\"\n";
    std::fs::write(host.root().join("relup.toml"), text).unwrap();
    for file in ["counter-1.1.0.wasm", "./relup.toml"] {
        let mut apply = crate::support::command(host.root());
        let output = apply.current_dir(host.root()).args(["apply", file]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(host.ok(&["call", "counter", "describe()"]).trim(), "\"count = 5\"");
}

/// Theirs: a downgrade to a release that is not there, or that has no way, is an error
/// Ours: undo to a revision that is not kept names those that are
#[tokio::test(flavor = "multi_thread")]
async fn no_such_release() {
    let world = counter().await;
    let to = |revision| UndoRequest {
        to: Some(revision),
        ..UndoRequest::default()
    };
    let failure = world.host.undo(to(7)).await.unwrap_err();
    assert_eq!(
        (failure.exit, failure.code.as_str()),
        (Exit::Refused, "no-such-revision")
    );
    assert!(failure.message.contains("there are: 1"), "{failure:?}");
    let failure = world.host.undo(UndoRequest::default()).await.unwrap_err();
    assert_eq!(failure.code, "nothing-to-undo");
}

/// Theirs: install of what is installed already is already_installed
/// Ours: applying what runs is done at once, and is no revision
#[tokio::test(flavor = "multi_thread")]
async fn already_installed() {
    let world = counter().await;
    let report = world.apply(&guest("counter-1.0.0")).await.unwrap();
    assert_eq!(report.revision, None);
    assert!(report.warnings[0].contains("this is what runs"), "{report:?}");
    assert_eq!(world.host.status().revision, 1);
}

/// Theirs: make_permanent of what is permanent, or never installed
/// Ours: `permanent` twice is once
#[tokio::test(flavor = "multi_thread")]
async fn make_permanent_twice() {
    let world = counter().await;
    apply_on_probation(&world, "counter-1.1.0").await;
    assert!(!world.host.permanent().await.unwrap().already);
    assert!(world.host.permanent().await.unwrap().already);
    assert_eq!(statuses(&world).await, ["old", "permanent"]);
}

/// Theirs: reboot_old_release goes back by a restart and forgets the hot state
/// Ours: undo goes back without a restart and keeps it
#[tokio::test(flavor = "multi_thread")]
async fn reboot_old_release() {
    let world = counter().await;
    apply(&world, "counter-2.0.0").await;
    add(&world, 2).await;
    undo(&world).await;
    let world = world.restart().await;
    assert_eq!((version(&world).await.as_str(), count(&world).await), ("1.0.0", 7));
}

/// Theirs: remove_release of the permanent release is refused
/// Ours: forget of what runs, boots or is gone back to is refused
#[tokio::test(flavor = "multi_thread")]
async fn remove_release_permanent() {
    use wasmhot::control::protocol::ForgetRequest;
    let world = counter().await;
    apply(&world, "counter-1.1.0").await;
    for revision in [1, 2] {
        let failure = world.host.forget(ForgetRequest { revision }).await.unwrap_err();
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Refused, "needed"));
    }
    assert_eq!(statuses(&world).await.len(), 2);
}

/// Theirs: an application whose file is missing or damaged cannot be unpacked
/// Ours: a file that is no module, or a digest that is not its own, is refused before anything is done
#[tokio::test(flavor = "multi_thread")]
async fn unpack_release_file_missing() {
    let world = counter().await;
    std::fs::write(world.outside().join("counter.wasm"), wasm("(module)")).unwrap();
    let digest = "0".repeat(64);
    for (module, code) in [
        ("path = \"missing.wasm\"".to_string(), "missing.wasm"),
        (format!("path = \"counter.wasm\"\nsha256 = \"{digest}\""), "sha256"),
    ] {
        let text = format!(
            "[release]\nname = \"r\"\nto = \"2.0.0\"\n[[modules]]\nname = \"counter\"\n{module}\n[[up]]\nupdate = \"counter\"\n"
        );
        let failure = world.apply(&relup(&world, &text)).await.unwrap_err();
        assert!(
            failure.exit == Exit::Refused && failure.message.contains(code),
            "{failure:?}"
        );
    }
    assert_eq!(count(&world).await, 5);
}
