//! R8: what a module may reach of the host. Each capability is shown granted and denied, by a guest that uses it as programs do.

mod concurrent;
mod config;
mod files;
mod http;
mod keyvalue;
mod logging;
mod newly;
mod sockets;

use crate::support::World;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use wasmhot::control::protocol::CallRequest;
use wasmhot::event::{Event, EventKind};

/// A host with the explorer, which is granted what these lines of its module say.
async fn explorer(lines: &str) -> World {
    World::release(&release(lines), &["explorer-1.0.0"]).await
}

fn release(lines: &str) -> String {
    release_of("explorer", lines)
}

fn release_of(module: &str, lines: &str) -> String {
    format!(
        "format = 1\n[release]\nname = \"s\"\nversion = \"1.0.0\"\n[[modules]]\nname = \"{module}\"\nversion = \"1.0.0\"\n{lines}\n"
    )
}

/// What a call of the explorer gives, in WAVE.
async fn call(world: &World, call: &str) -> String {
    call_of(world, "explorer", call).await
}

async fn call_of(world: &World, module: &str, call: &str) -> String {
    let request = CallRequest {
        module: module.to_owned(),
        call: Some(call.to_owned()),
        function: None,
        args: None,
        deadline_ms: None,
    };
    world.host.call_text(request).await.unwrap().wave.unwrap_or_default()
}

/// Every denial that was told.
fn denials(world: &World) -> Vec<Event> {
    let events = world.host.events().since(0).0;
    events
        .into_iter()
        .filter(|event| event.kind == EventKind::Denied)
        .collect()
}

/// The only denial that was told to the explorer: its message, and the lines that would grant it.
fn denial(world: &World) -> (String, String) {
    denial_of(world, "explorer")
}

fn denial_of(world: &World, module: &str) -> (String, String) {
    let told = denials(world);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(
        (told[0].module.as_deref(), told[0].version.as_deref()),
        (Some(module), Some("1.0.0"))
    );
    let grant = told[0].details["grant"].as_str().unwrap_or_default();
    (told[0].message.clone(), grant.to_owned())
}

/// A server that answers each request with its path.
fn server() -> u16 {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().and_then(Result::ok).unwrap_or_default();
            while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
            let path = first.split(' ').nth(1).unwrap_or_default();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{path}",
                path.len()
            );
        }
    });
    port
}

/// A server that answers each datagram.
fn answerer() -> SocketAddr {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut asked = [0; 64];
        while let Ok((length, from)) = server.recv_from(&mut asked) {
            let _ = server.send_to(&[b"re: ", &asked[..length]].concat(), from);
        }
    });
    address
}

/// A server that greets whoever connects. It ends with the test's process.
fn greeter(greeting: &'static str) -> u16 {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let _ = stream.and_then(|mut stream| writeln!(stream, "{greeting}"));
        }
    });
    port
}

/// The event of a request that was denied names the line that would grant it, and not what stands in its query.
#[track_caller]
fn tells_of_a_request((message, grant): (String, String), port: u16) {
    assert!(
        grant.ends_with(&format!("[modules.grants]\nhttp = [\"http://127.0.0.1:{port}\"]")),
        "{grant}"
    );
    assert!(
        message.contains("was denied wasi:http: a request to") && !message.contains("s3cret"),
        "{message}"
    );
}
