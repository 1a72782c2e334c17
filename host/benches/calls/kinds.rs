//! What a call of each kind of module costs on its way: bare in Wasmtime, through the library, through the control socket.

use super::bare::Bare;
use super::socket::Kept;
use super::table::{self, measure, one_after_another};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use wasmhot::control::client::Client;
use wasmhot::control::protocol::CallRequest;
use wasmhot::{Host, ModuleFunction};

/// The function of a kind of module that does next to nothing, for the bare call and for the host.
pub(crate) struct Subject {
    pub(crate) kind: &'static str,
    pub(crate) title: &'static str,
    file: &'static str,
    pub(crate) module: &'static str,
    body: &'static str,
    text: &'static str,
}

pub(crate) const SUBJECTS: [Subject; 3] = [
    Subject {
        kind: "single",
        title: "single: counter.increment(1)",
        file: "counter-1.0.0",
        module: "counter",
        body: r#"{"module":"counter","function":"increment","args":[1]}"#,
        text: "increment(1)",
    },
    Subject {
        kind: "pool",
        title: "pool: tally.add(40, 2)",
        file: "tally-1.0.0",
        module: "tally",
        body: r#"{"module":"tally","function":"add","args":[40,2]}"#,
        text: "add(40, 2)",
    },
    Subject {
        kind: "keyed",
        title: "keyed: rooms.total(\"kitchen\")",
        file: "rooms-1.0.0",
        module: "rooms",
        body: r#"{"module":"rooms","function":"total","args":["kitchen"]}"#,
        text: r#"total("kitchen")"#,
    },
];

/// How long [`over_and_over`] takes.
const PROFILED: Duration = Duration::from_secs(10);

impl Subject {
    /// Its function, as those who call it often have it.
    pub(crate) fn function(&self, host: &Host) -> ModuleFunction {
        let name = self.text.split('(').next().expect("a call in text");
        host.function(self.module, name)
    }
}

pub(crate) async fn library(function: &ModuleFunction, module: &str) {
    match module {
        "counter" => {
            let _: i64 = function.call((1_i64,)).await.expect("counts");
        }
        "tally" => {
            let _: i64 = function.call((40_i64, 2_i64)).await.expect("adds");
        }
        _ => {
            let _: u64 = function.call(("kitchen",)).await.expect("tells");
        }
    }
}

async fn library_by_name(host: &Host, module: &str) {
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

pub(crate) fn one_subject(runtime: &Runtime, host: &Host, socket: &Path, subject: &Subject) {
    let mut sync = Bare::sync(subject.file).expect("starts");
    let mut asynchronous = runtime.block_on(Bare::asynchronous(subject.file)).expect("starts");
    let mut kept = runtime.block_on(Kept::new(socket, subject.body)).expect("connects");
    let client = Client::new(socket);
    let function = subject.function(host);
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
            one_after_another(runtime, calls, || library(&function, subject.module))
        }),
        ("library, by name", &mut |calls| {
            one_after_another(runtime, calls, || library_by_name(host, subject.module))
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
    table::print(&format!("calls.{}", subject.kind), subject.title, &rows, 1);
}

/// Library calls of one kind of module and nothing else, for a profiler.
pub(crate) fn over_and_over(runtime: &Runtime, host: &Host, kind: &str) {
    let subject = SUBJECTS.iter().find(|subject| subject.kind == kind);
    let subject = subject.expect("a kind of module");
    let (module, function) = (subject.module, subject.function(host));
    let begin = Instant::now();
    let mut calls = 0_u32;
    while begin.elapsed() < PROFILED {
        one_after_another(runtime, 1000, || library(&function, module));
        calls += 1000;
    }
    println!(
        "{kind}: {}",
        table::time(begin.elapsed().as_nanos() as f64 / f64::from(calls))
    );
}

/// Calls on the engine whose calls can run beside each other (WASI 0.3), one after another.
pub(crate) fn concurrent(runtime: &Runtime, host: &Host) {
    for (name, title, is_async) in [
        ("calls.p3", "WASI 0.3, single: lounge.come()", false),
        ("calls.p3-async", "WASI 0.3, single, async: lounge.meet(1)", true),
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
        table::print(name, title, &rows, 0);
    }
}
