//! `wrk`, which knows nothing of wasmhot, against a page that keeps state, over fifty upgrades; once alone, and once beside a client
//! that reads a byte a second. No request may fail, and no connection may break.
//!
//! On a machine without `wrk` this is skipped, loudly; where `CI` is set that is a failure.

use crate::support::{Binary, HANG, ended, signal, tool};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const UPGRADES: usize = 50;
const CONNECTIONS: u64 = 8;
/// What the slow client asks for: more than the system takes ahead of it.
const SLOW_BYTES: usize = 7_000_000;

/// The number before a word, such as 123 in `  123 requests in 4.5s`.
fn number(said: &str, before: &str) -> Option<u64> {
    let (head, _) = said.split_once(before)?;
    head.split_whitespace().last()?.parse().ok()
}

fn storm(host: &Binary, wrk: &mut Command) {
    let address = host.ready.rsplit("http://").next().unwrap().to_string();
    let connections = CONNECTIONS.to_string();
    let url = format!("http://{address}/page/count");
    let mut running = wrk
        .args(["-t2", "-c", &connections, "-d", "600s", "--timeout", "60s", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let calls = || host.json(&["status"]).1["calls"].as_u64().unwrap();
    let mut seen = calls();
    let begin = Instant::now();
    let (new, mut longest) = (crate::support::guest("page-1.1.0"), 0);
    for upgrade in 0..UPGRADES {
        // Each upgrade meets requests.
        let wanted = seen + 50;
        while seen < wanted {
            assert!(begin.elapsed() < HANG * 10, "no requests come");
            seen = calls();
        }
        let path = new.to_str().unwrap();
        let args: &[&str] = if upgrade % 2 == 0 { &["apply", path] } else { &["undo"] };
        let (exit, report) = host.json(args);
        assert_eq!(exit, 0, "{report}");
        longest = longest.max(report["gate_us"].as_u64().unwrap());
    }
    signal(running.id(), Signal::INT);
    assert_eq!(ended(&mut running), Some(0));
    let (mut said, mut complaints) = (String::new(), String::new());
    running.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    running.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    println!("{said}{complaints}longest gate: {longest} us");
    assert!(
        !said.contains("Socket errors") && !said.contains("Non-2xx"),
        "{said}{complaints}"
    );
    let answered = number(&said, " requests in ").unwrap();
    assert!(answered > 50 * UPGRADES as u64, "{said}");
    // Each was counted once. Those that were under way at the end were not waited for.
    let status = host.json(&["status"]).1;
    let (_, revisions) = host.json(&["releases"]);
    assert_eq!(
        revisions.as_array().or(revisions["releases"].as_array()).unwrap().len(),
        UPGRADES + 1
    );
    let mut stream = TcpStream::connect(&address).unwrap();
    stream
        .write_all(b"GET /page/describe HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut described = String::new();
    stream.read_to_string(&mut described).unwrap();
    let visits = number(&described, " visits").unwrap();
    assert!(
        (answered..=answered + CONNECTIONS).contains(&visits),
        "{answered} answered, {described}"
    );
    // None was closed and made anew; wrk tries one before it begins.
    let taken = status["http"]["connections"].as_u64().unwrap();
    assert!(taken <= CONNECTIONS + 2, "{taken} connections");
}

fn page() -> Binary {
    Binary::run(&["page-1.0.0"], &["--listen", "127.0.0.1:0"])
}

#[test]
fn p1_wrk_over_fifty_upgrades_sees_no_failed_request_and_no_broken_connection() {
    let Some(mut wrk) = tool("wrk", "-v") else { return };
    storm(&page(), &mut wrk);
}

#[test]
fn r19_so_it_is_beside_a_client_that_reads_a_byte_a_second() {
    let Some(mut wrk) = tool("wrk", "-v") else { return };
    let host = page();
    let address = host.ready.rsplit("http://").next().unwrap().to_string();
    let done = Arc::new(AtomicBool::new(false));
    let slow = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let mut stream = TcpStream::connect(address).unwrap();
            let request =
                format!("GET /page/big?bytes={SLOW_BYTES} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut bytes = Vec::new();
            while !done.load(Ordering::Acquire) {
                let mut one = [0];
                stream.read_exact(&mut one).unwrap();
                bytes.push(one[0]);
                std::thread::sleep(Duration::from_secs(1));
            }
            let slowly = bytes.len();
            stream.read_to_end(&mut bytes).unwrap();
            (slowly, bytes)
        }
    });
    storm(&host, &mut wrk);
    done.store(true, Ordering::Release);
    let (slowly, bytes) = slow.join().unwrap();
    assert!(slowly > 1, "{slowly}");
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    assert_eq!(bytes.len() - head - 4, SLOW_BYTES, "its response is whole");
}
