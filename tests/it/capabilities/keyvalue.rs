//! `wasi:keyvalue`.

use super::{call, denial, denials, explorer, release};
use crate::support::{World, guest};
use wasmhot::control::protocol::BackupRequest;

const BUCKETS: &str = "[modules.grants]\nkeyvalue = [\"carts\", \"counts\"]";

#[tokio::test(flavor = "multi_thread")]
async fn r08_a_bucket_that_is_granted_can_be_used_and_no_other() {
    let world = explorer(BUCKETS).await;
    assert_eq!(call(&world, "set(\"carts\", \"ann\", \"3\")").await, "ok");
    assert_eq!(call(&world, "get(\"carts\", \"ann\")").await, "ok(some(\"3\"))");
    assert_eq!(call(&world, "get(\"counts\", \"ann\")").await, "ok(none)");
    assert_eq!(denials(&world), []);
    assert_eq!(
        call(&world, "get(\"secrets\", \"ann\")").await,
        "err(\"Error::AccessDenied\")"
    );
    let (message, grant) = denial(&world);
    assert!(
        message.contains("was denied wasi:keyvalue: the bucket \"secrets\""),
        "{message}"
    );
    assert!(grant.ends_with("[modules.grants]\nkeyvalue = [\"secrets\"]"), "{grant}");
    assert_eq!(call(&world, "delete(\"carts\", \"ann\")").await, "ok");
    assert_eq!(call(&world, "keys(\"carts\")").await, "ok([])");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_the_interface_does_what_it_says() {
    let world = explorer(BUCKETS).await;
    assert_eq!(call(&world, "increment(\"counts\", \"n\", 5)").await, "ok(5)");
    assert_eq!(call(&world, "increment(\"counts\", \"n\", -7)").await, "ok(-2)");
    call(&world, "set(\"counts\", \"text\", \"many\")").await;
    let wrong = call(&world, "increment(\"counts\", \"text\", 1)").await;
    assert!(wrong.contains("is no number"), "{wrong}");
    assert_eq!(call(&world, "swap(\"carts\", \"k\", \"one\", false)").await, "ok");
    let meddled = call(&world, "swap(\"carts\", \"k\", \"two\", true)").await;
    assert!(meddled.starts_with("err(") && meddled.contains("meddled"), "{meddled}");
    assert_eq!(call(&world, "get(\"carts\", \"k\")").await, "ok(some(\"two\"))");
    assert_eq!(call(&world, "batch(\"carts\")").await, r#"ok(["a=1", "none", "c=3"])"#);
    assert_eq!(call(&world, "keys(\"carts\")").await, r#"ok(["a", "c", "k"])"#);
    // The first draft has the same buckets.
    assert_eq!(
        call(&world, "first-draft(\"counts\")").await,
        r#"ok(["2", "draft", "first", "n", "number", "text"])"#
    );
    let long = "k".repeat(5000);
    let wrong = call(&world, &format!("set(\"carts\", \"{long}\", \"\")")).await;
    assert!(wrong.contains("a key has at most 4096 bytes, not 5000"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_are_durable_shared_by_name_and_in_a_backup() {
    let both = format!(
        "{}{BUCKETS}\n[[modules]]\nname = \"other\"\npath = \"other.wasm\"\n[modules.grants]\nkeyvalue = [\"carts\"]\n",
        release("")
    );
    let bytes = std::fs::read(guest("explorer-1.0.0")).unwrap();
    let renamed = String::from_utf8_lossy(&bytes).contains("\"name\":\"explorer\"");
    assert!(renamed, "the section that names it");
    let mut other = bytes.clone();
    let (from, to) = (
        br#""name":"explorer","version":"1.0.0""#,
        br#""name":"other",   "version":"1.0.0""#,
    );
    for at in (0..other.len() - from.len())
        .filter(|at| bytes[*at..].starts_with(from))
        .collect::<Vec<_>>()
    {
        other[at..at + to.len()].copy_from_slice(to);
    }
    let files = [
        ("release.toml".to_owned(), both.into_bytes()),
        ("explorer-1.0.0.wasm".to_owned(), bytes),
        ("other.wasm".to_owned(), other),
    ];
    let world = World::of_files(&files, |builder| builder).await;
    assert_eq!(call(&world, "set(\"carts\", \"ann\", \"3\")").await, "ok");
    let seen: Result<Option<String>, String> = world
        .host
        .call("other", "get", ("carts".to_owned(), "ann".to_owned()))
        .await
        .unwrap();
    assert_eq!(seen, Ok(Some("3".to_owned())));

    let backup = world.outside().join("backup");
    world.host.backup(BackupRequest { path: backup.clone() }).await.unwrap();
    call(&world, "set(\"carts\", \"ann\", \"4\")").await;
    let world = world.restart().await;
    assert_eq!(call(&world, "get(\"carts\", \"ann\")").await, "ok(some(\"4\"))");
    let restored = tempfile::tempdir().unwrap();
    let state = restored.path().join("state");
    let host = wasmhot::Host::builder()
        .state_dir(&state)
        .restore(&backup)
        .start()
        .await
        .unwrap();
    let kept: Result<Option<String>, String> = host
        .call("explorer", "get", ("carts".to_owned(), "ann".to_owned()))
        .await
        .unwrap();
    assert_eq!(kept, Ok(Some("3".to_owned())));
    host.stop().await;
}
