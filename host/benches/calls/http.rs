//! Requests a second over connections that stay: what the host answers itself, beside what modules answer, and beside the same guests
//! behind the least of a server.

use super::proxy;
use super::table::{lines, median};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wasmhot::Host;
use wasmhot::http::{Listener, serve};

const CONNECTIONS: usize = 32;
/// Windows of each row; rows take turns.
const WINDOWS: usize = 7;
const WINDOW: Duration = Duration::from_millis(500);

struct Asked {
    name: &'static str,
    title: &'static str,
    server: Server,
    request: &'static str,
    status: &'static str,
}

/// Who answers.
#[derive(Clone, Copy, PartialEq)]
enum Server {
    Host,
    /// The loop of `proxy`, with a guest, and whether its instance stays.
    Proxy(&'static str, bool),
}

const ROWS: [Asked; 9] = [
    Asked {
        name: "constant",
        title: "hyper alone, a constant",
        server: Server::Proxy("page-1.0.0", true),
        request: "GET /constant HTTP/1.1\r\nhost: x\r\n\r\n",
        status: "HTTP/1.1 200",
    },
    Asked {
        name: "nobody",
        title: "the host itself (404)",
        server: Server::Host,
        request: "GET /nobody HTTP/1.1\r\nhost: x\r\n\r\n",
        status: "HTTP/1.1 404",
    },
    Asked {
        name: "call",
        title: "POST /call/counter/increment, single",
        server: Server::Host,
        request: "POST /call/counter/increment HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n[1]",
        status: "HTTP/1.1 200",
    },
    Asked {
        name: "single",
        title: "wasi:http 0.2, single: page",
        server: Server::Host,
        request: "GET /page/count HTTP/1.1\r\nhost: x\r\n\r\n",
        status: "HTTP/1.1 200",
    },
    Asked {
        name: "proxy-kept",
        title: "  the same by ProxyPre, its instance stays",
        server: Server::Proxy("page-1.0.0", true),
        request: "GET /page/count HTTP/1.1\r\nhost: x\r\n\r\n",
        status: "HTTP/1.1 200",
    },
    Asked {
        name: "pool",
        title: "wasi:http 0.2, pool: plain",
        server: Server::Host,
        request: "GET /plain/count HTTP/1.1\r\nhost: x\r\n\r\n",
        status: "HTTP/1.1 200",
    },
    Asked {
        name: "fresh",
        title: "  the same, an instance each: fresh",
        server: Server::Host,
        request: "GET /fresh/count HTTP/1.1\r\nhost: x\r\n\r\n",
        status: "HTTP/1.1 200",
    },
    Asked {
        name: "proxy-fresh",
        title: "  the same by ProxyPre, an instance each",
        server: Server::Proxy("echo-1.0.0", false),
        request: "GET /plain/count HTTP/1.1\r\nhost: x\r\n\r\n",
        status: "HTTP/1.1 200",
    },
    Asked {
        name: "p3-pool",
        title: "wasi:http 0.3, pool: echo",
        server: Server::Host,
        request: "GET /echo/count HTTP/1.1\r\nhost: x\r\n\r\n",
        status: "HTTP/1.1 200",
    },
];

/// Prints requests a second, with the share of the first row.
pub(crate) fn rates(host: &Host) -> anyhow::Result<()> {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = listener.address();
    let one_thread = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    // Served by a thread of its own, asked from this one.
    let serving = one_thread()?;
    let host = host.clone();
    std::thread::spawn(move || serving.block_on(serve(listener, host)));
    let addresses = ROWS.map(|row| match row.server {
        Server::Host => Ok(address),
        Server::Proxy(file, stays) => proxy::serve(file, stays),
    });
    let addresses = addresses.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let asking = one_thread()?;
    let mut rates = vec![Vec::new(); ROWS.len()];
    for window in 0..=WINDOWS {
        for ((row, address), rates) in ROWS.iter().zip(&addresses).zip(&mut rates) {
            let answered = asking.block_on(ask(*address, row))?;
            // The first one only warms up.
            if window > 0 {
                rates.push(answered as f64 / WINDOW.as_secs_f64());
            }
        }
    }
    println!("\n{CONNECTIONS} connections over HTTP                       requests/s    share");
    let medians: Vec<f64> = rates.iter().cloned().map(median).collect();
    for (row, rate) in ROWS.iter().zip(&medians) {
        println!("{:<42} {rate:>12.0} {:>8.2}", row.title, rate / medians[0]);
    }
    for (row, rates) in ROWS.iter().zip(rates) {
        lines(&format!("http.{}", row.name), rates, "1/s");
    }
    Ok(())
}

/// How many requests are answered in a window.
async fn ask(address: SocketAddr, row: &Asked) -> anyhow::Result<u64> {
    let end = Instant::now() + WINDOW;
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| client(address, row, end)).collect();
    let mut sum = 0;
    for answered in futures_util::future::join_all(clients).await {
        sum += answered?;
    }
    Ok(sum)
}

async fn client(address: SocketAddr, row: &Asked, end: Instant) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut answer, mut answered) = (vec![0; 4096], 0);
    while Instant::now() < end {
        stream.write_all(row.request.as_bytes()).await?;
        let mut length = 0;
        while !is_whole(&answer[..length]) {
            let read = stream.read(&mut answer[length..]).await?;
            anyhow::ensure!(read > 0, "{}: the connection ended", row.title);
            length += read;
        }
        anyhow::ensure!(
            answer.starts_with(row.status.as_bytes()),
            "{}: {}",
            row.title,
            String::from_utf8_lossy(&answer[..length])
        );
        answered += 1;
    }
    Ok(answered)
}

/// A small answer with a length, or one in chunks.
fn is_whole(answer: &[u8]) -> bool {
    let Some((head, body)) = std::str::from_utf8(answer)
        .ok()
        .and_then(|text| text.split_once("\r\n\r\n"))
    else {
        return false;
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    match length.and_then(|length| length.trim().parse::<usize>().ok()) {
        Some(length) => body.len() >= length,
        None => body.ends_with("0\r\n\r\n"),
    }
}
