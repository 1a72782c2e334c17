//! Slow clients (R19): whoever takes his response slowly, or not at all, holds no instance.

use super::{Client, Site, page};
use crate::support::until;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use wasmhot_appup::HttpSettings;

/// A connection that takes little ahead.
async fn small(site: &Site) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(site.address).await.unwrap()
}

async fn ask(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// Everything until the end of a response of so many bytes.
async fn body(stream: &mut TcpStream, length: usize) -> usize {
    let mut all = Vec::new();
    loop {
        let head = all.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(head) = head
            && all.len() >= head + 4 + length
        {
            return all.len() - head - 4;
        }
        let read = stream.read_buf(&mut all).await.unwrap();
        assert!(read > 0, "broken after {} bytes", all.len());
    }
}

#[tokio::test]
async fn r19_a_client_that_reads_nothing_does_not_hold_the_instance() {
    holds_nothing("1.0.0", "1.1.0").await;
    holds_nothing("2.0.0", "1.0.0").await;
}

async fn holds_nothing(from: &str, to: &str) {
    let site = Site::of(&[&format!("page-{from}")]).await;
    let mut slow = small(&site).await;
    let length = 7_000_000;
    ask(&mut slow, &format!("/page/parts?count=7&bytes={}", length / 7)).await;
    let mut first = [0; 9];
    slow.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 ");
    // Most of the response is still to be sent, and the page is free.
    assert_eq!(site.get("/page/count").await.ok(), "1");
    site.world.apply(&page(to)).await.unwrap();
    assert_eq!(site.get("/page/version").await.ok(), to);
    assert_eq!(body(&mut slow, length).await, length);
    // And the connection is good for more.
    let mut client = Client::new(slow).await;
    assert_eq!(client.get("/page/count").await.ok(), "2");
}

#[tokio::test]
async fn a_pool_s_instance_is_free_when_what_is_left_fits_the_buffer() {
    free_when_it_fits("echo-1.0.0").await;
    free_when_it_fits("echo-2.0.0").await;
}

async fn free_when_it_fits(echo: &str) {
    let site = Site::of(&[echo, "counter-1.0.0"]).await;
    let mut slow = small(&site).await;
    let (count, bytes) = (60, 100_000);
    ask(&mut slow, &format!("/echo/parts?count={count}&bytes={bytes}")).await;
    let mut first = [0; 9];
    slow.read_exact(&mut first).await.unwrap();
    until("the guest is done", || site.running() == 0).await;
    // Chunked: the parts and what frames them.
    assert!(body(&mut slow, count * bytes).await >= count * bytes);
}

#[tokio::test]
async fn a_client_that_takes_nothing_for_too_long_is_cut_off() {
    cut_off("echo-1.0.0").await;
    cut_off("echo-2.0.0").await;
}

async fn cut_off(echo: &str) {
    let http = HttpSettings {
        send_timeout: Some(Duration::from_millis(200)),
        response_max: Some(100_000),
        ..HttpSettings::default()
    };
    let site = Site::limited(&[echo, "counter-1.0.0"], http).await;
    let mut slow = small(&site).await;
    ask(&mut slow, "/echo/parts?count=1000&bytes=100000").await;
    let mut first = [0; 9];
    slow.read_exact(&mut first).await.unwrap();
    until("the guest is let go", || site.running() == 0).await;
    let mut rest = Vec::new();
    // An end, or a reset: never the whole.
    let _ = slow.read_to_end(&mut rest).await;
    assert!(rest.len() < 100_000_000, "{}", rest.len());
    // It was the client's fault, and nobody else notices.
    assert_eq!(site.get("/echo/pass-on?by=1").await.ok(), "1");
}
