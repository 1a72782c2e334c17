//! Clients that count: each sends `record(client, 1)`, `record(client, 2)`, … and the guest refuses gaps and repeats, so that a call
//! lost, run twice or out of order is an error by itself (R16).

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use wasmhot::Host;
use wasmhot::error::{CallError, CallErrorCode};

/// As many as the load test has.
pub(crate) const CLIENTS: usize = 64;

/// Calls that a client sends one after another without waiting for answers.
pub(crate) const IN_FLIGHT: usize = 4;

/// How long a client does nothing between its bursts of calls: upgrades need some of the processors too.
pub(crate) const THINKING: Duration = Duration::from_millis(100);

/// What a client saw: its name, and how many of its calls were acknowledged.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) client: String,
    pub(crate) acknowledged: u64,
}

/// Clients at work.
pub(crate) struct Clients<T = Seen> {
    stop: Arc<AtomicBool>,
    progress: Arc<AtomicU64>,
    tasks: JoinSet<T>,
}

/// What a client is told.
#[derive(Clone)]
pub(crate) struct Orders {
    stop: Arc<AtomicBool>,
    progress: Arc<AtomicU64>,
}

impl Orders {
    /// The client goes on.
    pub(crate) fn go_on(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    /// Between two bursts of calls.
    pub(crate) async fn think(&self, long: Duration) {
        tokio::time::sleep(long).await;
    }

    /// A call was answered.
    pub(crate) fn answered(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }
}

impl<T: Send + 'static> Clients<T> {
    /// [`CLIENTS`] of them; `client` is given the number of each.
    pub(crate) fn start<F>(client: impl Fn(usize, Orders) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let orders = Orders {
            stop: Arc::default(),
            progress: Arc::default(),
        };
        let mut tasks = JoinSet::new();
        for number in 0..CLIENTS {
            tasks.spawn(client(number, orders.clone()));
        }
        Self {
            stop: orders.stop,
            progress: orders.progress,
            tasks,
        }
    }

    /// Returns when so many calls more have been answered. A client that fails ends the test.
    pub(crate) async fn answered(&mut self, more: u64) {
        let wanted = self.progress.load(Ordering::Relaxed) + more;
        let begin = std::time::Instant::now();
        while self.progress.load(Ordering::Relaxed) < wanted {
            if let Some(ended) = self.tasks.try_join_next() {
                panic!("a client ended early: {:?}", ended.map(|_| ()));
            }
            assert!(begin.elapsed() < crate::support::HANG, "calls are not answered");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Stops them and gives what each of them saw.
    pub(crate) async fn stop(mut self) -> Vec<T> {
        self.stop.store(true, Ordering::Release);
        let mut seen = Vec::new();
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                seen.push(ended.unwrap());
            }
        };
        tokio::time::timeout(crate::support::HANG, all).await.unwrap();
        seen
    }
}

/// The client `number` of a `single` module: sends several calls at once, in order, and fails the test if one fails.
pub(crate) async fn record(host: Host, module: &'static str, number: usize, orders: Orders) -> Seen {
    let client = format!("client {number}");
    let mut acknowledged = 0_u64;
    while orders.go_on() {
        let call = |more| host.call::<_, Result<u64, String>>(module, "record", (client.as_str(), acknowledged + more));
        let mut calls: FuturesOrdered<_> = (1..=IN_FLIGHT as u64).map(call).collect();
        let mut answered = acknowledged;
        while let Some(answer) = calls.next().await {
            answered += 1;
            acknowledge(answer, &client, answered);
            orders.answered();
        }
        drop(calls);
        acknowledged = answered;
        orders.think(THINKING).await;
    }
    Seen { client, acknowledged }
}

/// A call that must have been counted.
pub(crate) fn acknowledge(answer: Result<Result<u64, String>, CallError>, client: &str, sequence: u64) -> u64 {
    match answer {
        Ok(Ok(total)) => total,
        Ok(Err(refused)) => panic!("the guest refused call {sequence} of {client}: {refused}"),
        Err(error) => panic!("call {sequence} of {client} failed: {error}"),
    }
}

/// The module has counted exactly what its clients know of.
pub(crate) async fn counts_are_exact(host: &Host, module: &str, seen: &[Seen]) {
    for Seen { client, acknowledged } in seen {
        let last: u64 = host.call(module, "last", (client.as_str(),)).await.unwrap();
        assert_eq!(last, *acknowledged, "{client}");
    }
    let total: u64 = host.call(module, "total", ()).await.unwrap();
    assert_eq!(total, seen.iter().map(|seen| seen.acknowledged).sum::<u64>());
}

/// What a client saw that goes on after a fault.
#[derive(Debug)]
pub(crate) struct Survived {
    pub(crate) client: String,
    /// Its calls that the module must know of at the end.
    pub(crate) acknowledged: u64,
    /// Where the module knew of less than was acknowledged: from, to.
    pub(crate) set_back: Vec<(u64, u64)>,
    /// Calls that were refused because the state is lost.
    pub(crate) state_lost: u64,
}

/// A client that goes on after a fault, one call after another, from where the module is then. Any answer but "counted", "I know of
/// fewer calls of yours" and `state-lost` fails the test.
pub(crate) async fn survive(host: Host, number: usize, begun_with: u64, orders: Orders) -> Survived {
    let mut seen = Survived {
        client: format!("client {number}"),
        acknowledged: begun_with,
        set_back: Vec::new(),
        state_lost: 0,
    };
    while orders.go_on() {
        let next = seen.acknowledged + 1;
        let answer = host.call::<_, Result<u64, String>>("hostile", "record", (seen.client.as_str(), next));
        match answer.await {
            Ok(Ok(_)) => seen.acknowledged = next,
            Ok(Err(refused)) => {
                let expected = refused
                    .split("expected ")
                    .nth(1)
                    .and_then(|rest| rest.split(',').next());
                let known = expected.and_then(|number| number.parse::<u64>().ok()).unwrap() - 1;
                seen.set_back.push((seen.acknowledged, known));
                seen.acknowledged = known;
            }
            Err(error) if error.code == CallErrorCode::StateLost => seen.state_lost += 1,
            Err(error) => panic!("call {next} of {} failed: {error}", seen.client),
        }
        orders.answered();
        orders.think(THINKING / 10).await;
    }
    seen
}
