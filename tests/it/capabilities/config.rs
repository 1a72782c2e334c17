//! `wasi:config`: values, and secrets that are written nowhere.

use super::{call, explorer, release};
use crate::support::World;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use wasmhot::control::protocol::{BackupRequest, UndoRequest};

const SECRET: &str = "s3cret-that-nobody-else-has";

fn relup(world: &World, to: &str, lines: &str) -> std::path::PathBuf {
    let text =
        format!("format = 1\n[release]\nname = \"s\"\nto = \"{to}\"\n[[modules]]\nname = \"explorer\"\n{lines}\n");
    let file = world.outside().join(format!("relup-{to}.toml"));
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_seen_by_both_interfaces() {
    let world = explorer("[modules.config]\ncolour = \"red\"\nsize = \"xl\"").await;
    assert_eq!(call(&world, "value(\"colour\")").await, "ok(some(\"red\"))");
    assert_eq!(call(&world, "value-at-runtime(\"colour\")").await, "ok(some(\"red\"))");
    assert_eq!(call(&world, "value(\"shape\")").await, "ok(none)");
    assert_eq!(call(&world, "values()").await, r#"ok(["colour=red", "size=xl"])"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_alone_restarts_nothing_the_running_instance_sees_it_and_undo_brings_the_old_one_back() {
    let world = explorer("[modules.config]\ncolour = \"red\"").await;
    call(&world, "values()").await;
    let report = world
        .apply(&relup(&world, "1.0.1", "[modules.config]\ncolour = \"blue\""))
        .await
        .unwrap();
    assert!(report.modules.is_empty() && report.revision == Some(2), "{report:#?}");
    assert_eq!(call(&world, "value(\"colour\")").await, "ok(some(\"blue\"))");
    let status = world.host.status();
    assert_eq!(status.modules[0].since_revision, 1, "the same instances");
    world.host.undo(UndoRequest::default()).await.unwrap();
    assert_eq!(call(&world, "value(\"colour\")").await, "ok(some(\"red\"))");
    let world = world.restart().await;
    assert_eq!(call(&world, "value(\"colour\")").await, "ok(some(\"red\"))");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_sees_the_values_of_its_begin() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let world = explorer(&format!(
        "[modules.grants]\nsockets = [\"tcp://127.0.0.1:{port}\"]\n[modules.config]\ncolour = \"red\""
    ))
    .await;
    let host = world.host.clone();
    let during = tokio::spawn(async move {
        let twice: Result<Vec<String>, String> = host
            .call(
                "explorer",
                "value-twice",
                ("colour".to_owned(), "127.0.0.1".to_owned(), port),
            )
            .await
            .unwrap();
        twice
    });
    // It is in the middle of its call, and stays there until this is dropped.
    let (stream, _) = tokio::task::spawn_blocking(move || server.accept().unwrap())
        .await
        .unwrap();
    world
        .apply(&relup(&world, "1.0.1", "[modules.config]\ncolour = \"blue\""))
        .await
        .unwrap();
    assert_eq!(call(&world, "value(\"colour\")").await, "ok(some(\"blue\"))");
    drop(stream);
    assert_eq!(during.await.unwrap().unwrap(), ["red", "red"]);
}

/// All bytes of all files under a folder.
fn all_bytes(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(all_bytes(&path));
        } else if path.extension().is_none_or(|extension| extension != "wasm") {
            std::fs::File::open(&path).unwrap().read_to_end(&mut all).unwrap();
        }
    }
    all
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_goes_to_the_guest_and_nowhere_else() {
    let prepare = |app: &Path| {
        crate::support::put_guests(app, &["explorer-1.0.0"]);
        std::fs::create_dir(app.join("secrets")).unwrap();
        std::fs::write(app.join("secrets/token"), format!("{SECRET}\n")).unwrap();
        let lines = "[modules.config]\ntoken = { file = \"secrets/token\" }\npath = { env = \"PATH\" }";
        std::fs::write(app.join("release.toml"), release(lines)).unwrap();
    };
    let world = World::prepared(prepare, |builder| builder).await;
    assert_eq!(
        call(&world, "value(\"token\")").await,
        format!("ok(some(\"{SECRET}\"))")
    );
    let path = call(&world, "value(\"path\")").await;
    assert!(path.contains(&std::env::var("PATH").unwrap()), "{path}");
    world
        .apply(&relup(&world, "1.0.1", "[modules.config]\ncolour = \"red\""))
        .await
        .unwrap();
    let backup = world.outside().join("backup");
    world.host.backup(BackupRequest { path: backup.clone() }).await.unwrap();

    let told = [
        serde_json::to_string(&world.host.status()).unwrap(),
        serde_json::to_string(&world.host.history(None).await.unwrap()).unwrap(),
        serde_json::to_string(&world.host.diff(1, 2).await.unwrap()).unwrap(),
        serde_json::to_string(&world.host.release().await.unwrap()).unwrap(),
        serde_json::to_string(&world.host.events().since(0).0).unwrap(),
    ];
    for told in &told {
        assert!(!told.contains(SECRET), "{told}");
    }
    assert!(told[2].contains("secrets/token"), "the reference is told: {}", told[2]);
    assert!(!holds(&all_bytes(&backup), SECRET));
    let state = world.host.status().state.unwrap();
    world.host.stop().await;
    let kept = all_bytes(&state);
    assert!(!holds(&kept, SECRET));
    assert!(holds(&kept, "secrets/token"), "the reference is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_read_is_refused_and_one_that_has_changed_is_read_at_the_next_apply() {
    let world = explorer("").await;
    let file = world.outside().join("token");
    let lines = "[modules.config]\ntoken = { file = \"token\" }";
    let refused = world.apply(&relup(&world, "1.0.1", lines)).await.unwrap_err();
    assert_eq!(
        (refused.code.as_str(), u8::from(refused.exit)),
        ("secret-unreadable", 4)
    );
    assert!(
        refused.message.contains("the configuration of explorer") && refused.message.contains("token"),
        "{refused}"
    );
    assert_eq!(world.host.status().revision, 1);

    std::fs::write(&file, "one").unwrap();
    world.apply(&relup(&world, "1.0.1", lines)).await.unwrap();
    assert_eq!(call(&world, "value(\"token\")").await, "ok(some(\"one\"))");
    // The same again is nothing to do, unless the secret is another one.
    let again = world.apply(&relup(&world, "1.0.1", lines)).await.unwrap();
    assert_eq!(again.revision, None);
    std::fs::write(&file, "two").unwrap();
    let rotated = world.apply(&relup(&world, "1.0.1", lines)).await.unwrap();
    assert!(
        rotated.revision == Some(3) && rotated.modules.is_empty(),
        "{rotated:#?}"
    );
    assert_eq!(call(&world, "value(\"token\")").await, "ok(some(\"two\"))");
    // Gone at a restart, the host starts, and the guest is told why it has none.
    let world = world
        .restart_after(|app| std::fs::remove_file(app.parent().unwrap().join("outside/token")).unwrap())
        .await;
    let value = call(&world, "value(\"token\")").await;
    assert!(value.starts_with("err(") && value.contains("outside/token"), "{value}");
}

#[test]
fn a_missing_variable_is_named_when_the_host_starts_with_a_release() {
    let lines = "[modules.config]\ntoken = { env = \"WASMHOT_TEST_NO_SUCH_VARIABLE\" }";
    let root = tempfile::tempdir().unwrap();
    crate::support::put_guests(root.path(), &["explorer-1.0.0"]);
    std::fs::write(root.path().join("release.toml"), release(lines)).unwrap();
    let state = root.path().join("state");
    let output = crate::support::command(root.path())
        .args(["run", root.path().to_str().unwrap(), "--state", state.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains("`token = { env = \"WASMHOT_TEST_NO_SUCH_VARIABLE\" }`: the host has no such variable"),
        "{said}"
    );
}
