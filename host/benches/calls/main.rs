//! What a call costs on its way: bare in Wasmtime, through the library, through the control socket; and what a switch adds to it.
//!
//! `cargo bench -p wasmhot --bench calls`. Prints tables: medians of batches that take turns, so that all rows of a table have the
//! same machine. Compare rows, not runs. Names after `--` choose tables: `single`, `pool`, `keyed`, `async`, `nested`, `http`,
//! `crowds`, `switches`.

mod bare;
mod http;
mod nested;
mod switches;
mod table;

use bare::Bare;
use std::fmt::Write as _;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use table::{Row, median};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use wasmhot::Host;
use wasmhot::control::client::Client;
use wasmhot::control::protocol::CallRequest;
use wasmhot::control::server::serve;
use wasmhot::control::socket::BoundSocket;

/// Batches of each row.
const BATCHES: usize = 60;
/// How long a batch takes, about.
const BATCH: Duration = Duration::from_millis(10);

/// A guest, such as `tally-1.0.0`.
pub(crate) fn guest(name: &str) -> PathBuf {
    Path::new(env!("WASMHOT_GUESTS")).join(format!("{name}.wasm"))
}

/// Measures rows in turns: each does so many calls and says how long they took.
fn measure(rows: &mut [(&'static str, &mut dyn FnMut(u64) -> Duration)]) -> Vec<Row> {
    let mut sizes = Vec::new();
    for (_, run) in rows.iter_mut() {
        run(10);
        let once = run(20) / 20;
        sizes.push((BATCH.as_nanos() / once.as_nanos().max(1)).clamp(10, 1_000_000) as u64);
    }
    let mut times = vec![Vec::new(); rows.len()];
    for _ in 0..BATCHES {
        for (place, (_, run)) in rows.iter_mut().enumerate() {
            let took = run(sizes[place]);
            times[place].push(took.as_secs_f64() * 1e9 / sizes[place] as f64);
        }
    }
    let named = rows.iter().zip(times);
    named.map(|((name, _), times)| Row::new(name, times)).collect()
}

/// So many calls one after another, and how long they took.
fn one_after_another<F: Future<Output = ()>>(runtime: &Runtime, calls: u64, mut call: impl FnMut() -> F) -> Duration {
    runtime.block_on(async {
        let begin = Instant::now();
        for _ in 0..calls {
            call().await;
        }
        begin.elapsed()
    })
}

/// A client that keeps its connection and does nothing that it need not.
struct Kept {
    stream: UnixStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Kept {
    async fn new(socket: &Path, body: &str) -> std::io::Result<Self> {
        let head = format!(
            "POST /v1/call HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Ok(Self {
            stream: UnixStream::connect(socket).await?,
            request: [head.as_bytes(), body.as_bytes()].concat(),
            answer: vec![0; 4096],
        })
    }

    /// Answers are small: one read gives a whole one.
    async fn call(&mut self) {
        self.stream.write_all(&self.request).await.expect("writes");
        let read = self.stream.read(&mut self.answer).await.expect("reads");
        assert!(
            self.answer[..read].starts_with(b"HTTP/1.1 200"),
            "{:?}",
            &self.answer[..read]
        );
    }
}

/// The function of a kind of module that does next to nothing, for the bare call and for the host.
struct Subject {
    title: &'static str,
    file: &'static str,
    module: &'static str,
    body: &'static str,
    text: &'static str,
}

const SUBJECTS: [Subject; 3] = [
    Subject {
        title: "single: counter.increment(1)",
        file: "counter-1.0.0",
        module: "counter",
        body: r#"{"module":"counter","function":"increment","args":[1]}"#,
        text: "increment(1)",
    },
    Subject {
        title: "pool: tally.add(40, 2)",
        file: "tally-1.0.0",
        module: "tally",
        body: r#"{"module":"tally","function":"add","args":[40,2]}"#,
        text: "add(40, 2)",
    },
    Subject {
        title: "keyed: rooms.total(\"kitchen\")",
        file: "rooms-1.0.0",
        module: "rooms",
        body: r#"{"module":"rooms","function":"total","args":["kitchen"]}"#,
        text: r#"total("kitchen")"#,
    },
];

/// The guests that run, besides the two of `nested`.
const MODULES: [&str; 6] = [
    "counter-1.0.0",
    "tally-1.0.0",
    "rooms-1.0.0",
    "lounge-1.0.0",
    "page-1.0.0",
    "echo-2.0.0",
];

fn release() -> String {
    let mut toml = "format = 1\n[release]\nname = \"bench\"\nversion = \"1.0.0\"\n".to_string();
    for file in MODULES.iter().chain(&["calc-1.0.0", "loop-1.0.0"]) {
        let (name, version) = file.split_once('-').expect("a name and a version");
        let _ = writeln!(
            toml,
            "[[modules]]\nname = {name:?}\nversion = {version:?}\nhttp_calls = [\"*\"]"
        );
    }
    toml
}

async fn library(host: &Host, module: &str) {
    match module {
        "counter" => {
            let _: i64 = host.call("counter", "increment", (1_i64,)).await.expect("counts");
        }
        "tally" => {
            let _: i64 = host.call("tally", "add", (40_i64, 2_i64)).await.expect("adds");
        }
        _ => {
            let _: u64 = host.call("rooms", "total", ("kitchen",)).await.expect("tells");
        }
    }
}

fn one_subject(runtime: &Runtime, host: &Host, socket: &Path, subject: &Subject) {
    let mut sync = Bare::sync(subject.file).expect("starts");
    let mut asynchronous = runtime.block_on(Bare::asynchronous(subject.file)).expect("starts");
    let mut kept = runtime.block_on(Kept::new(socket, subject.body)).expect("connects");
    let client = Client::new(socket);
    let request = CallRequest {
        module: subject.module.to_string(),
        call: Some(subject.text.to_string()),
        function: None,
        args: None,
        deadline_ms: None,
    };
    let rows = measure(&mut [
        ("Wasmtime, call", &mut |calls| sync.calls(subject.module, calls)),
        ("Wasmtime, call_async", &mut |calls| {
            runtime.block_on(asynchronous.calls_async(subject.module, calls))
        }),
        ("library", &mut |calls| {
            one_after_another(runtime, calls, || library(host, subject.module))
        }),
        ("socket, one connection", &mut |calls| {
            runtime.block_on(async {
                let begin = Instant::now();
                for _ in 0..calls {
                    kept.call().await;
                }
                begin.elapsed()
            })
        }),
        ("socket, as the command line", &mut |calls| {
            one_after_another(runtime, calls, || async {
                client.call(&request).await.expect("answers");
            })
        }),
    ]);
    table::print(subject.title, &rows, 1);
}

/// Calls on the engine whose calls can run beside each other (WASI 0.3), one after another.
fn concurrent(runtime: &Runtime, host: &Host) {
    for (title, is_async) in [
        ("WASI 0.3, single: lounge.come()", false),
        ("WASI 0.3, single, async: lounge.meet(1)", true),
    ] {
        let mut bare = runtime.block_on(Bare::concurrent("lounge-1.0.0")).expect("starts");
        let rows = measure(&mut [
            ("Wasmtime, call_async", &mut |calls| {
                runtime.block_on(bare.lounge(is_async, calls))
            }),
            ("library", &mut |calls| {
                one_after_another(runtime, calls, || async {
                    let _: u32 = if is_async {
                        host.call("lounge", "meet", (1_u32,)).await.expect("meets")
                    } else {
                        host.call("lounge", "come", ()).await.expect("comes")
                    };
                })
            }),
        ]);
        table::print(title, &rows, 0);
    }
}

/// Eight clients at once on each kind: calls in a second.
fn crowds(runtime: &Runtime, host: &Host) {
    println!("\n8 clients at once, through the library         calls/s");
    for subject in &SUBJECTS {
        let rates = (0..9).map(|_| {
            let calls = 4000_u32;
            let begin = Instant::now();
            runtime.block_on(async {
                let clients = (0..8).map(|_| {
                    let (host, module) = (host.clone(), subject.module);
                    tokio::spawn(async move {
                        for _ in 0..calls {
                            library(&host, module).await;
                        }
                    })
                });
                for client in clients.collect::<Vec<_>>() {
                    client.await.expect("ends");
                }
            });
            f64::from(8 * calls) / begin.elapsed().as_secs_f64()
        });
        println!("{:<42} {:>12.0}", subject.title, median(rates.collect()));
    }
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let root = tempfile::tempdir()?;
    let app = root.path().join("app");
    std::fs::create_dir(&app)?;
    for file in MODULES {
        std::fs::copy(guest(file), app.join(format!("{file}.wasm")))?;
    }
    nested::put(&app)?;
    std::fs::write(app.join("release.toml"), release())?;
    let state = root.path().join("state");
    let host = runtime.block_on(Host::builder().source(&app).state_dir(state).start())?;
    let socket = root.path().join("run/host.sock");
    let bound = BoundSocket::bind(&socket)?;
    let stopped = host.clone();
    // Served by threads of its own, as `wasmhot run` does.
    let server = std::thread::spawn({
        let host = host.clone();
        move || {
            let serving = tokio::runtime::Builder::new_current_thread().enable_all().build();
            serving
                .expect("a runtime")
                .block_on(serve(bound, host, async move { stopped.stopped().await }));
        }
    });
    let chosen: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let wants = |name: &str| chosen.is_empty() || chosen.iter().any(|one| one == name);
    for subject in &SUBJECTS {
        if wants(subject.title.split(':').next().unwrap_or_default()) {
            one_subject(&runtime, &host, &socket, subject);
        }
    }
    if wants("async") {
        concurrent(&runtime, &host);
    }
    if wants("nested") {
        nested::costs(&runtime, &host)?;
    }
    if wants("http") {
        http::rates(&host)?;
    }
    if wants("crowds") {
        crowds(&runtime, &host);
    }
    if wants("switches") {
        runtime.block_on(switches::longest_calls(&host));
    }
    runtime.block_on(host.stop());
    server.join().expect("the server ends");
    Ok(())
}
