//! Outgoing `wasi:http`.

use super::{call, denial, denials, explorer, server, tells_of_a_request};
use wasmhot::control::protocol::ApplyRequest;
use wasmhot::event::EventKind;

#[tokio::test(flavor = "multi_thread")]
async fn r08_requests_go_only_where_that_is_granted() {
    let (granted, other) = (server(), server());
    let world = explorer(&format!("[modules.grants]\nhttp = [\"http://127.0.0.1:{granted}/v1\"]")).await;
    let fetch =
        async |port: u16, path: &str| call(&world, &format!("fetch(\"http\", \"127.0.0.1:{port}\", \"{path}\")")).await;
    assert_eq!(fetch(granted, "/v1/x?y=1").await, "ok(\"200 /v1/x?y=1\")");
    assert_eq!(denials(&world), []);
    let refused = fetch(other, "/v1?token=s3cret").await;
    assert!(refused.contains("HttpRequestDenied"), "{refused}");
    tells_of_a_request(denial(&world), other);
    for path in ["/v2", "/v1/../admin", "/v1/%2e%2e/admin"] {
        let refused = fetch(granted, path).await;
        assert!(refused.contains("HttpRequestDenied"), "{path}: {refused}");
    }
    let refused = call(&world, &format!("fetch(\"https\", \"127.0.0.1:{granted}\", \"/v1\")")).await;
    assert!(refused.contains("HttpRequestDenied"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_sockets_do_not_grant_http_nor_the_other_way_round() {
    let port = server();
    let world = explorer(&format!("[modules.grants]\nsockets = [\"tcp://127.0.0.1:{port}\"]")).await;
    let refused = call(&world, &format!("fetch(\"http\", \"127.0.0.1:{port}\", \"/\")")).await;
    assert!(refused.contains("HttpRequestDenied"), "{refused}");
    let world = explorer(&format!("[modules.grants]\nhttp = [\"http://127.0.0.1:{port}\"]")).await;
    let refused = call(&world, &format!("connect(\"127.0.0.1\", {port})")).await;
    assert!(refused.contains("PermissionDenied"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r39_what_is_denied_in_probation_takes_the_release_back() {
    let port = server();
    let world = explorer(&format!("[modules.grants]\nhttp = [\"http://127.0.0.1:{port}\"]")).await;
    let text = "format = 1\n[release]\nname = \"s\"\nto = \"1.0.1\"\n[[modules]]\nname = \"explorer\"\n[modules.grants]\ndenied = [\"http\"]\n";
    let path = world.outside().join("relup.toml");
    std::fs::write(&path, text).unwrap();
    let request = ApplyRequest {
        path,
        probation_ms: Some(3_600_000),
        ..ApplyRequest::default()
    };
    world.host.apply(request).await.unwrap();
    let since = world.now();
    // Each of these calls succeeds, and yet each was denied something.
    for _ in 0..60 {
        call(&world, &format!("fetch(\"http\", \"127.0.0.1:{port}\", \"/\")")).await;
    }
    world.event_of(since, EventKind::WentBack).await;
    assert_eq!(
        call(&world, &format!("fetch(\"http\", \"127.0.0.1:{port}\", \"/a\")")).await,
        "ok(\"200 /a\")"
    );
}
