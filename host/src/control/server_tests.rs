//! The server on a real socket, with a double of the host behind it.

use super::answer::Answer;
use super::client::Client;
use super::operation::{Backend, Operation, StateVerb};
use super::protocol::{ApplyRequest, CallReply, CallRequest, EventLine, Exit, Failure, Status, UpgradeReport};
use super::server::{Bounds, serve_within};
use super::socket::BoundSocket;
use crate::event::{EventKind, Events, Happening};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

#[derive(Clone, Default)]
struct Double(Arc<Inner>);

#[derive(Default)]
struct Inner {
    events: Arc<Events>,
    /// Operations that run now.
    running: AtomicUsize,
    /// Upgrades that came to their end.
    upgrades: AtomicUsize,
    /// Lets waiting operations go on.
    go: Notify,
}

struct Running(Arc<Inner>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Backend for Double {
    fn guests(&self) -> Handle {
        Handle::current()
    }

    fn events(&self) -> &Arc<Events> {
        &self.0.events
    }

    async fn run(&self, operation: Operation) -> Result<Answer, Failure> {
        self.0.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(Arc::clone(&self.0));
        match operation {
            Operation::Status => Answer::json(&Status {
                release: "shop 1.0.0".into(),
                ..Status::default()
            }),
            Operation::Call(request) if request.call.as_deref() == Some("wait()") => {
                self.0.go.notified().await;
                Answer::json(&CallReply {
                    wave: None,
                    value: serde_json::Value::Null,
                })
            }
            Operation::Call(request) if request.call.as_deref() == Some("panic()") => panic!("asked for by the test"),
            Operation::Apply(_) => {
                self.0.go.notified().await;
                self.0.upgrades.fetch_add(1, Ordering::SeqCst);
                Answer::json(&UpgradeReport::default())
            }
            Operation::State {
                verb: StateVerb::Export,
                key,
                ..
            } => Ok(Answer::File(key.unwrap_or_default().into_bytes())),
            _ => Err(Failure::new("busy", Exit::Busy, "an upgrade runs")),
        }
    }
}

struct Served {
    double: Double,
    path: PathBuf,
    stop: Arc<Notify>,
    server: JoinHandle<()>,
    _temp: tempfile::TempDir,
}

impl Served {
    fn start(bounds: Bounds) -> Self {
        let temp = tempfile::tempdir().expect("temporary directory");
        let path = temp.path().join("host.sock");
        let socket = BoundSocket::bind(&path).expect("is bound");
        let (double, stop) = (Double::default(), Arc::new(Notify::new()));
        let stopped = Arc::clone(&stop);
        let server = serve_within(bounds, socket, double.clone(), async move { stopped.notified().await });
        Self {
            double,
            path,
            stop,
            server: tokio::spawn(server),
            _temp: temp,
        }
    }

    fn client(&self) -> Client {
        Client::new(&self.path)
    }

    async fn raw(&self, bytes: &[u8]) -> UnixStream {
        let mut stream = UnixStream::connect(&self.path).await.expect("connects");
        // The server may answer and close before it has read the whole of a bad request: that is its answer's business.
        if let Err(error) = stream.write_all(bytes).await {
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "is sent");
        }
        stream
    }

    /// Sends these bytes; gives all that comes back until the server closes.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.raw(bytes).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        // A reset after the answer is an end too: not all of the request was read.
        let _ = read.expect("the server closes");
        String::from_utf8(answer).expect("is text")
    }

    async fn running(&self, count: usize) {
        let begin = Instant::now();
        while self.double.0.running.load(Ordering::SeqCst) != count {
            assert!(
                begin.elapsed() < Duration::from_secs(5),
                "waited in vain for {count} running operations"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(self) {
        self.stop.notify_one();
        self.server.await.expect("no panic");
        assert!(!self.path.exists(), "the socket is removed");
    }
}

fn call(text: &str) -> CallRequest {
    CallRequest {
        module: "a".into(),
        call: Some(text.into()),
        function: None,
        args: None,
        deadline_ms: None,
    }
}

fn short() -> Bounds {
    Bounds {
        idle: Duration::from_millis(200),
        ..Bounds::default()
    }
}

#[tokio::test]
async fn answers_and_failures_come_back_whole() {
    let served = Served::start(Bounds::default());
    assert_eq!(served.client().status().await.expect("answers").release, "shop 1.0.0");
    let failure = served
        .client()
        .versions(Some("a b"))
        .await
        .expect_err("the double is busy");
    assert_eq!((failure.code.as_str(), failure.exit), ("busy", Exit::Busy));
    let key = "k/1 ?&\u{1F600}";
    assert_eq!(
        served.client().state_export("a", Some(key)).await.expect("a file"),
        key.as_bytes()
    );
    let failure = served.client().call(&call("panic()")).await.expect_err("it panics");
    assert_eq!(failure.exit, Exit::Bug);
    let as_curl = served
        .exchange(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        as_curl.starts_with("HTTP/1.1 200 OK") && as_curl.ends_with("}\n"),
        "{as_curl}"
    );
    served.end().await;
}

#[tokio::test]
async fn malformed_requests_get_a_failure_and_harm_nobody() {
    let served = Served::start(short());
    let post = |path: &str, body: &[u8]| {
        let head = format!(
            "POST /v1/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes();
    let deep = format!(r#"{{"module":"a","function":"f","args":{}}}"#, "[".repeat(10_000));
    let too_long = b"POST /v1/call HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n{".to_vec();
    let chunks = format!("{:x}\r\n{}\r\n0\r\n\r\n", 2 << 20, "x".repeat(2 << 20));
    let chunked = format!("POST /v1/call HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    let table: Vec<(Vec<u8>, &str, &str)> = vec![
        (too_long, "413", "too-large"),
        (chunked.into_bytes(), "413", "too-large"),
        (post("call", b"{\"module\":\"\xff\"}"), "400", "bad-request"),
        (post("call", br#"{"module":"a","cal":"f()"}"#), "400", "unknown field"),
        (post("call", deep.as_bytes()), "400", "recursion limit"),
        (post("call", b"{\"module\":"), "400", "EOF"),
        (post("undo", b""), "400", "needs a body"),
        (post("calls", b"{}"), "404", "POST /v1/call"),
        (get("/v2/status"), "404", "GET /v1/status"),
        (get("/v1/call"), "405", "POST"),
        (get("/v1/versions?module=%ff"), "400", "UTF-8"),
        (get("/v1/versions?mod=a"), "400", "unknown parameter"),
        (
            b"POST /v1/call HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{".to_vec(),
            "408",
            "request-timed-out",
        ),
    ];
    for (request, status, word) in table {
        let answer = served.exchange(&request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(word),
            "{status} {word}: {answer}"
        );
    }
    for no_http in [
        &b"\0\x01\x02\xff\r\n\r\n"[..],
        b"GET /v1/status HT",
        b"",
        b"GET \xff\xfe HTTP/1.1\r\n\r\n",
    ] {
        let answer = served.exchange(no_http).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert!(served.client().status().await.is_ok());
    served.end().await;
}

#[tokio::test]
async fn r10_a_call_goes_when_its_client_goes_and_an_upgrade_stays() {
    let served = Served::start(Bounds::default());
    let client = served.client();
    let waiting = tokio::spawn(async move { client.call(&call("wait()")).await });
    served.running(1).await;
    waiting.abort();
    served.running(0).await;

    let client = served.client();
    let request = ApplyRequest {
        path: "/a.wasm".into(),
        ..ApplyRequest::default()
    };
    let waiting = tokio::spawn(async move { client.apply(&request).await });
    served.running(1).await;
    waiting.abort();
    assert!(waiting.await.expect_err("was aborted").is_cancelled());
    // Long enough for the server to see that the client has gone.
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.double.0.go.notify_one();
    served.running(0).await;
    assert_eq!(served.double.0.upgrades.load(Ordering::SeqCst), 1);
    served.end().await;
}

#[tokio::test]
async fn events_follow_and_end_with_the_server() {
    let served = Served::start(Bounds::default());
    let publish = || served.double.0.events.publish(Happening::new(EventKind::Taken, "x"));
    publish();
    publish();
    let mut kept = served.client().events(1, false).await.expect("a stream");
    assert!(matches!(kept.next().await, Ok(Some(EventLine::Event(event))) if event.sequence == 2));
    assert_eq!(kept.next().await, Ok(None));
    let mut live = served.client().events(u64::MAX, true).await.expect("a stream");
    publish();
    assert!(matches!(live.next().await, Ok(Some(EventLine::Event(event))) if event.sequence == 3));
    // A listener that goes is noticed, though nothing is sent.
    let gone = served.client().events(0, true).await.expect("a stream");
    drop(gone);
    served.end().await;
    assert_eq!(live.next().await, Ok(None));
}

#[tokio::test]
async fn an_answer_under_way_is_written_before_the_server_ends() {
    let served = Served::start(Bounds::default());
    let waits = tokio::spawn({
        let client = served.client();
        async move { client.call(&call("wait()")).await }
    });
    served.running(1).await;
    served.stop.notify_one();
    served.double.0.go.notify_one();
    assert!(waits.await.expect("ends").is_ok());
    served.server.await.expect("ends");
}

#[tokio::test]
async fn what_does_not_end_is_cut_off_after_goodbye() {
    let served = Served::start(Bounds {
        goodbye: Duration::from_millis(50),
        ..Bounds::default()
    });
    let waits = tokio::spawn({
        let client = served.client();
        async move { client.call(&call("wait()")).await }
    });
    served.running(1).await;
    served.stop.notify_one();
    // It ends, although nobody lets the call go on.
    served.server.await.expect("ends");
    assert!(waits.await.expect("ends").is_err());
}

#[tokio::test]
async fn idle_connections_keep_nobody_out() {
    let served = Served::start(Bounds {
        connections: 8,
        ..Bounds::default()
    });
    let mut idle = Vec::new();
    for _ in 0..64 {
        idle.push(served.raw(b"GET /v1/sta").await);
    }
    let busy: Vec<_> = (0..4)
        .map(|_| {
            let client = served.client();
            tokio::spawn(async move { client.call(&call("wait()")).await })
        })
        .collect();
    served.running(4).await;
    let begin = Instant::now();
    assert!(served.client().status().await.is_ok());
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    for _ in &busy {
        served.double.0.go.notify_one();
        tokio::task::yield_now().await;
    }
    served.double.0.go.notify_waiters();
    for call in busy {
        assert!(call.await.expect("no panic").is_ok());
    }
    served.end().await;
}

#[tokio::test]
async fn without_a_host_the_client_says_how_to_start_one() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let failure = Client::new(temp.path().join("host.sock"))
        .status()
        .await
        .expect_err("nobody is there");
    assert_eq!((failure.code.as_str(), failure.exit), ("not-running", Exit::NotRunning));
    assert!(failure.message.contains("wasmhot run DIR"), "{failure}");
}

/// A listener that is closed before it has taken a connection resets it, which the client may see while it still connects.
#[tokio::test]
async fn a_host_that_ends_while_one_connects_is_not_running() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let socket = temp.path().join("host.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("is bound");
    let client = Client::new(&socket);
    let mut asking = std::pin::pin!(client.status());
    tokio::select! {
        biased;
        told = &mut asking => panic!("nobody answers: {told:?}"),
        () = std::future::ready(()) => drop(listener),
    }
    let failure = asking.await.expect_err("nobody is there");
    assert_eq!(
        (failure.code.as_str(), failure.exit),
        ("not-running", Exit::NotRunning),
        "{failure}"
    );
}
