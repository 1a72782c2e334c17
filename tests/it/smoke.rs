use std::path::PathBuf;
use wasmhot::Host;

fn guest(name: &str) -> PathBuf {
    PathBuf::from(env!("WASMHOT_GUESTS")).join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn counter_goes_up_and_down() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(guest("counter-1.0.0.wasm"), dir.path().join("counter-1.0.0.wasm")).unwrap();
    let host = Host::builder().source(dir.path()).start().await.unwrap();
    eprintln!("{:#?}", host.status());
    let value: i64 = host.call("counter", "increment", (5i64,)).await.unwrap();
    assert_eq!(value, 5);
    let report = host
        .apply(wasmhot::control::protocol::ApplyRequest {
            path: guest("counter-2.0.0.wasm"),
            ..Default::default()
        })
        .await
        .unwrap();
    eprintln!("{report:#?}");
    let value: i64 = host.call("counter", "increment", (5i64,)).await.unwrap();
    assert_eq!(value, 10);
    let version: String = host.call("counter", "version", ()).await.unwrap();
    assert_eq!(version, "2.0.0");
    let report = host.undo(Default::default()).await.unwrap();
    eprintln!("{report:#?}");
    let value: i64 = host.call("counter", "get", ()).await.unwrap();
    assert_eq!(value, 10);
    let version: String = host.call("counter", "version", ()).await.unwrap();
    assert_eq!(version, "1.0.0");
    eprintln!("{:#?}", host.stop().await);
}
