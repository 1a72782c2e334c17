//! The host stops: requests that are under way are answered, then connections are closed.

use super::{Client, Site, get};
use crate::support::{Binary, HANG, until};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn what_is_under_way_is_answered_and_idle_connections_are_closed() {
    let mut site = Site::of(&["page-1.0.0", "echo-1.0.0", "counter-1.0.0"]).await;
    let (mut idle, mut client, mut pool) = (site.tcp().await, site.client().await, site.client().await);
    let page = tokio::spawn(async move { client.get("/page/sleep?ms=400").await.ok() });
    let echo = tokio::spawn(async move { pool.get("/echo/parts?count=4&bytes=10&ms=100").await.ok() });
    until("both run", || site.running() == 2).await;
    let report = site.world.host.stop().await;
    assert_eq!((report.interrupted, report.not_saved.len()), (0, 0), "{report:?}");
    assert_eq!(page.await.unwrap(), "1");
    assert_eq!(echo.await.unwrap().len(), 40);
    let mut nothing = Vec::new();
    let closed = tokio::time::timeout(HANG, idle.read_to_end(&mut nothing)).await;
    closed.expect("it is closed").unwrap();
    assert_eq!(nothing, b"");
    tokio::time::timeout(HANG, &mut site.served)
        .await
        .expect("it ends")
        .unwrap();
    assert!(TcpStream::connect(site.address).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn the_command_ends_with_its_last_response() {
    let mut host = Binary::run(&["page-1.0.0"], &["--listen", "127.0.0.1:0"]);
    let address = host.ready.rsplit("http://").next().unwrap().to_string();
    let mut client = Client::new(TcpStream::connect(&address).await.unwrap()).await;
    assert_eq!(client.get("/page/count").await.ok(), "1");
    let under_way = tokio::spawn(async move { client.send(get("/page/sleep?ms=500")).await });
    let runs = || host.json(&["status"]).1["modules"][0]["running"] == 1;
    until("it runs", runs).await;
    host.ok(&["stop"]);
    assert_eq!(host.ended(), Some(0));
    let answer = super::Answer::of(under_way.await.unwrap().unwrap()).await.unwrap();
    assert_eq!(answer.ok(), "2");
}
