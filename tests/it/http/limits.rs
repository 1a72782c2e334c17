//! What a client may take: head, body, connections, time. Each has a status of its own.

use super::{Answer, Site, get, h2c, whole};
use crate::support::HANG;
use hyper::Request;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wasmhot_appup::HttpSettings;

/// All that comes until the host closes the connection.
async fn to_the_end(site: &Site, sent: &[u8]) -> String {
    let mut stream = site.tcp().await;
    stream.write_all(sent).await.unwrap();
    let mut all = Vec::new();
    let read = tokio::time::timeout(HANG, stream.read_to_end(&mut all)).await;
    read.expect("the host closes it").unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

fn long_head(bytes: usize) -> Request<super::Body> {
    let (mut parts, body) = get("/page/count").into_parts();
    parts.headers.insert("x-long", "x".repeat(bytes).parse().unwrap());
    Request::from_parts(parts, body)
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let http = HttpSettings {
        header_max: Some(16 << 10),
        ..HttpSettings::default()
    };
    let site = Site::limited(&["page-1.0.0"], http).await;
    let mut client = site.client().await;
    assert_eq!(client.ask(long_head(8_000)).await.status, 200);
    assert_eq!(client.ask(long_head(40_000)).await.status, 431);
    let mut client = h2c(site.tcp().await).await;
    let (mut parts, body) = long_head(40_000).into_parts();
    parts.uri = "http://test/page/count".parse().unwrap();
    let response = client.send_request(Request::from_parts(parts, body)).await.unwrap();
    assert_eq!(response.status().as_u16(), 431);
    assert_eq!(site.get("/page/describe").await.ok(), "1 visits");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_whether_it_says_so_or_not() {
    let http = HttpSettings {
        body_max: Some(1000),
        ..HttpSettings::default()
    };
    let site = Site::limited(&["page-1.0.0", "echo-1.0.0", "counter-1.0.0"], http).await;
    let upload = |path: &str, bytes: usize| {
        let request = Request::post(path).header("host", "test");
        request.body(whole(vec![b'x'; bytes])).unwrap()
    };
    let mut client = site.client().await;
    assert_eq!(client.ask(upload("/page/size", 1000)).await.ok(), "1000");
    assert_eq!(
        site.client().await.ask(upload("/page/size", 1001)).await.problem(413),
        "too-large"
    );
    assert_eq!(
        site.client().await.ask(upload("/echo/size", 1001)).await.problem(413),
        "too-large"
    );
    let chunk = format!("3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001));
    let chunked =
        |path: &str| format!("POST {path} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
    let said = to_the_end(&site, chunked("/page/size").as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    // A pool has begun by then: its guest sees a body that breaks.
    let mut stream = site.tcp().await;
    stream.write_all(chunked("/echo/body").as_bytes()).await.unwrap();
    let mut said = vec![0; 4096];
    let read = stream.read(&mut said).await.unwrap();
    let said = String::from_utf8_lossy(&said[..read]).into_owned();
    assert!(
        said.starts_with("HTTP/1.1 200 ") && !said.contains(&"x".repeat(1001)),
        "{said}"
    );
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_408() {
    let http = HttpSettings {
        body_timeout: Some(Duration::from_millis(100)),
        ..HttpSettings::default()
    };
    let site = Site::limited(&["page-1.0.0"], http).await;
    let slow = b"POST /page/size HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nabc";
    let said = to_the_end(&site, slow).await;
    assert!(
        said.starts_with("HTTP/1.1 408 ") && said.contains("body_timeout"),
        "{said}"
    );
    assert_eq!(site.get("/page/describe").await.ok(), "0 visits");
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let http = HttpSettings {
        idle_timeout: Some(Duration::from_millis(200)),
        ..HttpSettings::default()
    };
    let site = Site::limited(&["page-1.0.0"], http).await;
    // Silent from the first moment, silent in the middle of a head, and silent after a request.
    assert_eq!(to_the_end(&site, b"").await, "");
    assert_eq!(to_the_end(&site, b"GET /page/count HTTP/1.1\r\nho").await, "");
    let said = to_the_end(&site, b"GET /page/count HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert!(said.ends_with("\r\n\r\n1"), "{said}");
    // A request that takes longer than that is not idle.
    assert_eq!(site.get("/page/sleep?ms=600").await.ok(), "2");
    // As on HTTP/2.
    let mut client = h2c(site.tcp().await).await;
    let asked = client.send_request(get("http://test/page/sleep?ms=600")).await.unwrap();
    assert_eq!(Answer::of(asked).await.unwrap().ok(), "3");
    let closed = async {
        while client.ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, closed).await.expect("the host closes it");
}

#[tokio::test]
async fn one_connection_too_many_is_503() {
    let http = HttpSettings {
        connections_max: Some(2),
        ..HttpSettings::default()
    };
    let site = Site::limited(&["page-1.0.0"], http).await;
    let (mut one, mut two) = (site.client().await, site.client().await);
    assert_eq!(one.get("/page/count").await.ok(), "1");
    assert_eq!(two.get("/page/count").await.ok(), "2");
    assert_eq!(site.get("/page/count").await.problem(503), "too-many-connections");
    assert_eq!(one.get("/page/count").await.ok(), "3");
    drop(two);
    // The place is free when the host has seen that the client has gone.
    let again = async { while site.get("/page/describe").await.status != 200 {} };
    tokio::time::timeout(HANG, again).await.expect("a place");
}

#[tokio::test]
async fn a_response_that_does_not_fit_is_502_and_hurts_no_state() {
    let http = HttpSettings {
        response_max: Some(100_000),
        ..HttpSettings::default()
    };
    let site = Site::limited(&["page-1.0.0", "echo-1.0.0", "counter-1.0.0"], http).await;
    assert_eq!(site.get("/page/count").await.ok(), "1");
    assert_eq!(site.get("/page/big?bytes=100000").await.ok().len(), 100_000);
    let too_large = site.get("/page/big?bytes=3000000").await;
    assert_eq!(too_large.problem(502), "bad-response");
    assert!(
        too_large.body.contains("3000000 bytes") && too_large.body.contains("response_max"),
        "{too_large:?}"
    );
    assert_eq!(site.get("/page/count").await.ok(), "2");
    // A pool streams: there it bounds what is kept, not what is sent.
    assert_eq!(site.get("/echo/big?bytes=3000000").await.ok().len(), 3_000_000);
    assert_eq!(site.client().await.post("/page/size", "[]").await.ok(), "2");
}
