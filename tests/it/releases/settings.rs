//! Configuration with code: values, limits and grants go with a relup, with or without new code; none is silently dropped,
//! and undo brings the old ones back.

use crate::support::{World, guest};
use std::path::PathBuf;
use wasmhot::control::protocol::UndoRequest;

const RELEASE: &str = "format = 1\n[release]\nname = \"s\"\nversion = \"1.0.0\"\n\
     [[modules]]\nname = \"counter\"\npath = \"counter-1.0.0.wasm\"\n\
     [modules.grants.env]\nHOME = \"/one\"\n[modules.config]\ncolour = \"red\"\n";

fn relup(world: &World, to: &str, settings: &str, rest: &str) -> PathBuf {
    let text = format!(
        "format = 1\n[release]\nname = \"s\"\nto = \"{to}\"\n[[modules]]\nname = \"counter\"\n{settings}\n{rest}\n"
    );
    let file = world.outside().join(format!("relup-{to}.toml"));
    std::fs::write(&file, text).unwrap();
    file
}

/// What a revision says of the counter, as `diff` tells it.
async fn differ(world: &World, from: u64, to: u64) -> Vec<String> {
    let diff = world.host.diff(from, to).await.unwrap();
    diff.modules.into_iter().flat_map(|module| module.details).collect()
}

async fn world() -> World {
    let world = World::release(RELEASE, &["counter-1.0.0"]).await;
    let _: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    world
}

async fn count(world: &World) -> i64 {
    world.host.call("counter", "get", ()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn r38_limits_and_grants_without_new_code_are_an_upgrade_and_undo_brings_the_old_ones_back() {
    let world = world().await;
    let settings = "[modules.limits]\nsave_interval = \"1h\"\n[modules.grants.env]\nLANG = \"C\"";
    let report = world.apply(&relup(&world, "1.0.1", settings, "")).await.unwrap();
    assert_eq!(
        (report.revision, report.modules.len(), report.modules[0].action.as_str()),
        (Some(2), 1, "update")
    );
    let details = differ(&world, 1, 2).await;
    assert_eq!(details.len(), 2, "{details:?}");
    assert!(
        details
            .iter()
            .any(|line| line.contains("LANG") && line.matches("/one").count() == 2),
        "kept: {details:?}"
    );
    assert_eq!(count(&world).await, 5);
    // New code later takes them over.
    std::fs::copy(guest("counter-1.1.0"), world.outside().join("counter-1.1.0.wasm")).unwrap();
    let rest = "[[up]]\nupdate = \"counter\"";
    let file = relup(&world, "1.1.0", "path = \"counter-1.1.0.wasm\"", rest);
    world.apply(&file).await.unwrap();
    let details = differ(&world, 2, 3).await;
    assert!(
        details.iter().all(|line| line.starts_with("sha256")),
        "nothing was dropped: {details:?}"
    );
    // And undo brings the old ones back, one after another, over a restart too.
    world.host.undo(UndoRequest::default()).await.unwrap();
    let world = world.restart().await;
    world.host.undo(UndoRequest::default()).await.unwrap();
    assert!(differ(&world, 1, 5).await.is_empty());
    assert_eq!(count(&world).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_alone_restarts_nothing_and_is_kept_by_what_comes_after() {
    let world = world().await;
    let file = relup(&world, "1.0.1", "[modules.config]\nsize = \"xl\"", "");
    let report = world.apply(&file).await.unwrap();
    assert_eq!((report.revision, report.modules.len()), (Some(2), 0), "{report:#?}");
    assert_eq!(
        differ(&world, 1, 2).await,
        [r#"config: {"colour":"red"} -> {"colour":"red","size":"xl"}"#]
    );
    world.apply(&guest("counter-1.1.0")).await.unwrap();
    let details = differ(&world, 2, 3).await;
    assert!(details.iter().all(|line| line.starts_with("sha256")), "{details:?}");
    let back = UndoRequest {
        to: Some(1),
        ..UndoRequest::default()
    };
    world.host.undo(back).await.unwrap();
    assert!(differ(&world, 1, 4).await.is_empty());
    assert_eq!(count(&world).await, 5);
}
