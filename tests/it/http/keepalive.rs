//! A connection and the bodies on it outlive upgrades: no request fails, none is executed twice, none is lost.

use super::{Answer, Body, Client, Site, get, h2c, other_bytes, page, whole};
use crate::support::{HANG, until};
use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::Request;
use hyper::body::Frame;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::mpsc;
use wasmhot::control::protocol::UndoRequest;

/// A body that is written bit by bit, and the request that has it.
fn upload(path: &str) -> (mpsc::UnboundedSender<&'static str>, Request<Body>) {
    let (parts, mut taken) = mpsc::unbounded_channel::<&'static str>();
    let frames = futures_util::stream::poll_fn(move |context| {
        let part = std::task::ready!(taken.poll_recv(context));
        std::task::Poll::Ready(part.map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from(part)))))
    });
    let body = StreamBody::new(SyncStream(frames)).boxed();
    let request = Request::post(path).header("host", "test").body(body).unwrap();
    (parts, request)
}

/// Polled by one at a time, as every stream is.
struct SyncStream<S>(S);

impl<S: futures_util::Stream + Unpin> futures_util::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        std::pin::Pin::new(&mut self.0).poll_next(context)
    }
}

/// Numbers its requests: the page refuses gaps and repeats.
async fn number(mut client: Client, name: &str, stop: &AtomicBool, answered: &AtomicU64) -> u64 {
    let mut n = 0;
    while !stop.load(Ordering::Acquire) {
        n += 1;
        let answer = client.get(&format!("/page/record?client={name}&n={n}")).await;
        assert_eq!(answer.status, 200, "{name} {n}: {answer:?}");
        answered.fetch_add(1, Ordering::AcqRel);
    }
    n
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_no_request_fails_and_no_connection_breaks_over_twenty_upgrades() {
    twenty_upgrades("1.1.0").await;
}

/// From the handler of WASI 0.2 to that of 0.3 and back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_the_handlers_of_both_wasi_take_over_from_each_other_under_load() {
    twenty_upgrades("2.0.0").await;
}

async fn twenty_upgrades(other: &str) {
    let site = Site::of(&["page-1.0.0"]).await;
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = Vec::new();
    for name in ["ann", "bob", "cis", "dan"] {
        let (client, stop, answered) = (site.client().await, Arc::clone(&stop), Arc::clone(&answered));
        clients.push(tokio::spawn(
            async move { number(client, name, &stop, &answered).await },
        ));
    }
    for upgrade in 0..20 {
        // Each upgrade meets requests, and requests meet each version.
        let before = answered.load(Ordering::Acquire);
        until("requests are answered", || {
            answered.load(Ordering::Acquire) > before + 20
        })
        .await;
        let report = match upgrade % 2 {
            0 => site.world.apply(&page(other)).await,
            _ => site.world.host.undo(UndoRequest::default()).await,
        };
        report.unwrap();
    }
    stop.store(true, Ordering::Release);
    let mut sent = 0;
    for client in clients {
        sent += client.await.unwrap();
    }
    assert!(sent > 400, "{sent}");
    let total = site.get("/page/record?client=eve&n=1").await.ok();
    assert_eq!(total, (sent + 1).to_string());
}

#[tokio::test]
async fn r19_an_upload_that_is_under_way_neither_holds_the_instance_nor_breaks_over_a_switch() {
    let site = Site::of(&["page-1.0.0"]).await;
    let mut client = site.client().await;
    let (parts, request) = upload("/page/body");
    parts.send("one ").unwrap();
    let uploading = tokio::spawn(async move { (client.ask(request).await, client) });
    // The page answers others meanwhile, and changes its version.
    assert_eq!(site.get("/page/version").await.ok(), "1.0.0");
    let report = site.world.apply(&page("1.1.0")).await.unwrap();
    assert_eq!(report.revision, Some(2));
    assert_eq!(site.get("/page/version").await.ok(), "1.1.0");
    parts.send("two").unwrap();
    drop(parts);
    let (answer, mut client) = tokio::time::timeout(HANG, uploading).await.unwrap().unwrap();
    assert_eq!(answer.ok(), "one two");
    // The same connection.
    assert_eq!(client.get("/page/version").await.ok(), "1.1.0");
}

#[tokio::test]
async fn a_stream_through_a_pool_goes_on_over_a_switch() {
    goes_on_over_a_switch("echo-1.0.0").await;
    goes_on_over_a_switch("echo-2.0.0").await;
}

async fn goes_on_over_a_switch(echo: &str) {
    let site = Site::of(&[echo, "counter-1.0.0"]).await;
    let mut client = site.client().await;
    let (parts, request) = upload("/echo/echo");
    parts.send("one ").unwrap();
    // The response begins before the request ends.
    let mut response = client.send(request).await.unwrap();
    let first = response.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&first[..], b"one ");
    site.world
        .apply_bytes(&format!("{echo}.wasm"), &other_bytes(echo, 1))
        .await
        .unwrap();
    parts.send("two").unwrap();
    drop(parts);
    let rest = response.collect().await.unwrap().to_bytes();
    assert_eq!(&rest[..], b"two");
    assert_eq!(client.get("/echo/pass-on?by=2").await.ok(), "2");
}

#[tokio::test]
async fn h2c_has_many_requests_on_one_connection() {
    let site = Site::of(&["page-1.0.0", "echo-1.0.0", "counter-1.0.0"]).await;
    let client = h2c(site.tcp().await).await;
    let target = |path: &str| format!("http://test{path}");
    let mut asked = Vec::new();
    for _ in 0..20 {
        let mut client = client.clone();
        asked.push(async move { client.send_request(get(&target("/page/count"))).await });
    }
    let mut counted = Vec::new();
    for response in futures_util::future::join_all(asked).await {
        let answer = Answer::of(response.unwrap()).await.unwrap();
        counted.push(answer.ok().parse::<u64>().unwrap());
    }
    counted.sort_unstable();
    assert_eq!(counted, (1..=20).collect::<Vec<_>>());
    site.world.apply(&page("1.1.0")).await.unwrap();
    let mut client = client;
    let request = Request::post(target("/echo/echo")).body(whole("over h2")).unwrap();
    let echoed = Answer::of(client.send_request(request).await.unwrap()).await.unwrap();
    assert_eq!(echoed.ok(), "over h2");
    let described = client.send_request(get(&target("/page/describe"))).await.unwrap();
    assert_eq!(Answer::of(described).await.unwrap().ok(), "page: 20 visits");
}

#[tokio::test]
async fn r10_a_client_that_goes_loses_only_its_answer() {
    let site = Site::of(&["page-1.0.0"]).await;
    let mut client = site.client().await;
    let gone = tokio::spawn(async move { client.send(get("/page/sleep?ms=300")).await.map(drop) });
    until("the call runs", || site.world.host.status().modules[0].running == 1).await;
    gone.abort();
    // Waits for its turn behind the call that nobody waits for.
    assert_eq!(site.get("/page/describe").await.ok(), "1 visits");
    assert_eq!(site.world.condition("page"), "running");
}
