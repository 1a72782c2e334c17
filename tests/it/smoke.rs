//! The shortest way through the whole: a counter goes up and down, in this process and by the command line.

use crate::support::{Binary, World, guest};
use wasmhot::control::protocol::UndoRequest;

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_goes_up_and_down() {
    let world = World::of(&["counter-1.0.0"]).await;
    let value: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    assert_eq!(value, 5);
    world.apply(&guest("counter-2.0.0")).await.unwrap();
    let value: i64 = world.host.call("counter", "increment", (5_i64,)).await.unwrap();
    assert_eq!(value, 10);
    let version: String = world.host.call("counter", "version", ()).await.unwrap();
    assert_eq!(version, "2.0.0");
    world.host.undo(UndoRequest::default()).await.unwrap();
    let value: i64 = world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!(value, 10);
    let version: String = world.host.call("counter", "version", ()).await.unwrap();
    assert_eq!(version, "1.0.0");
    assert!(world.host.stop().await.not_saved.is_empty());
}

#[test]
fn a_counter_survives_a_restart_of_the_process() {
    let mut host = Binary::run(&["counter-1.0.0"], &[]);
    assert_eq!(host.ok(&["call", "counter", "increment(5)"]).trim(), "5");
    host.ok(&["apply", guest("counter-2.0.0").to_str().unwrap()]);
    assert_eq!(host.ok(&["call", "counter", "increment(2)"]).trim(), "7");
    host.ok(&["stop"]);
    assert_eq!(host.ended(), Some(0));
    let host = host.again(&[]);
    assert!(
        host.json(&["status"]).1["modules"][0]["saved_ms_ago"].is_u64(),
        "what is restored was saved"
    );
    assert_eq!(host.ok(&["call", "counter", "version()"]).trim(), "\"2.0.0\"");
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "7");
}
