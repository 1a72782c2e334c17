//! Requests and calls that come in crowds, in pieces, or whose clients do not wait for them.

use super::{Site, h2c, post};
use crate::support::{HANG, World, guest, until};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wasmhot_appup::{HostSettings, HttpSettings};

const RELEASE: &str = "format = 1\n[release]\nname = \"site\"\nversion = \"1.0.0\"\n\
     [[modules]]\nname = \"counter\"\nversion = \"1.0.0\"\nhttp_calls = [\"increment\"]\n";

async fn counter(http: HttpSettings) -> Site {
    let settings = HostSettings {
        http,
        ..HostSettings::default()
    };
    let files = [
        ("release.toml".to_string(), RELEASE.into()),
        (
            "counter-1.0.0.wasm".to_string(),
            std::fs::read(guest("counter-1.0.0")).unwrap(),
        ),
    ];
    Site::serving(World::of_files(&files, |builder| builder.settings(settings)).await)
}

/// A call whose body comes in so many pieces, each of which is on the way alone.
async fn in_pieces(stream: &mut TcpStream, head: &str, pieces: &[&str]) -> String {
    stream.set_nodelay(true).unwrap();
    let head = format!(
        "POST /call/counter/increment HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n{head}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for piece in pieces {
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.write_all(piece.as_bytes()).await.unwrap();
    }
    let mut said = vec![0; 4096];
    let read = tokio::time::timeout(HANG, stream.read(&mut said)).await;
    let read = read.expect("an answer").unwrap();
    String::from_utf8_lossy(&said[..read]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_calls_is_answered_each_once() {
    let site = counter(HttpSettings::default()).await;
    let (clients, calls) = (32, 40);
    let mut crowd = Vec::new();
    for _ in 0..clients {
        let mut client = site.client().await;
        crowd.push(tokio::spawn(async move {
            let mut last = 0;
            for _ in 0..calls {
                let now: u64 = client
                    .post("/call/counter/increment", "[1]")
                    .await
                    .ok()
                    .trim()
                    .parse()
                    .unwrap();
                assert!(now > last, "{now} after {last}");
                last = now;
            }
            last
        }));
    }
    let mut last = 0;
    for client in crowd {
        last = last.max(client.await.unwrap());
    }
    assert_eq!(last, clients * calls);
}

#[tokio::test]
async fn a_body_may_come_in_pieces() {
    let site = counter(HttpSettings::default()).await;
    let mut stream = site.tcp().await;
    let said = in_pieces(&mut stream, "content-length: 3", &["[", "4", "]"]).await;
    assert!(
        said.starts_with("HTTP/1.1 200 ") && said.ends_with("\r\n\r\n4\n"),
        "{said}"
    );
    // On the same connection, in chunks.
    let chunks = ["1\r\n[\r\n", "2\r\n5]\r\n", "0\r\n\r\n"];
    let said = in_pieces(&mut stream, "transfer-encoding: chunked", &chunks).await;
    assert!(
        said.starts_with("HTTP/1.1 200 ") && said.ends_with("\r\n\r\n9\n"),
        "{said}"
    );
    let mut client = h2c(site.tcp().await).await;
    let response = client
        .send_request(post("http://test/call/counter/increment", "[1]"))
        .await;
    assert_eq!(super::Answer::of(response.unwrap()).await.unwrap().ok(), "10\n");
}

#[tokio::test]
async fn the_body_of_a_call_has_a_size_and_a_time() {
    let site = counter(HttpSettings {
        body_max: Some(100),
        body_timeout: Some(Duration::from_millis(100)),
        ..HttpSettings::default()
    })
    .await;
    let mut stream = site.tcp().await;
    let long = format!("65\r\n{}\r\n0\r\n\r\n", " ".repeat(0x65));
    let said = in_pieces(&mut stream, "transfer-encoding: chunked", &[&long]).await;
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    let said = in_pieces(&mut site.tcp().await, "content-length: 101", &["["]).await;
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    let said = in_pieces(&mut site.tcp().await, "content-length: 3", &["["]).await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    let called = site.client().await.post("/call/counter/increment", "[1]").await;
    assert_eq!(called.ok(), "1\n");
}

#[tokio::test]
async fn what_is_not_granted_is_not_described_by_a_wrong_argument() {
    let site = counter(HttpSettings::default()).await;
    let mut client = site.client().await;
    for arguments in ["[]", "[\"x\"]", "[1, 2, 3]"] {
        let refused = client.post("/call/counter/get", arguments).await;
        assert_eq!(refused.problem(403), "not-granted", "{arguments}");
        assert!(!refused.body.contains("func"), "{refused:?}");
    }
    let wrong = client.post("/call/counter/increment", "[\"x\"]").await;
    assert_eq!(wrong.problem(400), "wrong-argument");
}

#[tokio::test]
async fn r10_a_request_whose_client_leaves_before_it_starts_is_not_executed() {
    let http = HttpSettings {
        connections_max: Some(2),
        ..HttpSettings::default()
    };
    let site = Site::limited(&["page-1.0.0"], http).await;
    let mut client = site.client().await;
    let first = tokio::spawn(async move { client.get("/page/sleep?ms=1500").await.ok() });
    let page = || site.world.host.status().modules.remove(0);
    until("the first runs", || page().running == 1).await;
    let mut leaves = site.tcp().await;
    let request = b"GET /page/count HTTP/1.1\r\nhost: test\r\n\r\n";
    leaves.write_all(request).await.unwrap();
    until("the second waits", || page().waiting == 1).await;
    drop(leaves);
    // Its place is free when the host has seen that it has gone.
    let noticed = async { while site.get("/nobody").await.status != 404 {} };
    tokio::time::timeout(HANG, noticed).await.expect("a place");
    assert_eq!(page().running, 1, "the first still runs");
    assert_eq!(first.await.unwrap(), "1");
    assert_eq!(site.get("/page/describe").await.ok(), "1 visits");
}
