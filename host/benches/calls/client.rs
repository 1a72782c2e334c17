//! Clients that call all the time and note when.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::task::JoinHandle;

/// A call: when it began and ended, and whether it was answered as it should be.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
    pub(crate) as_new: bool,
}

/// Some clients that do the same.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Call>>>,
}

impl Clients {
    /// Starts them on the current runtime. What `call` gives is whether the new version has answered.
    pub(crate) fn start<F>(count: usize, call: impl Fn() -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let stop = Arc::<AtomicBool>::default();
        let clients = (0..count).map(|_| tokio::spawn(client(call.clone(), Arc::clone(&stop))));
        Self {
            clients: clients.collect(),
            stop,
        }
    }

    /// All their calls, in the order in which they ended.
    pub(crate) async fn stop(self) -> Vec<Call> {
        self.stop.store(true, Ordering::Relaxed);
        let mut calls = Vec::new();
        for client in self.clients {
            calls.extend(client.await.expect("ends"));
        }
        calls.sort_by_key(|call| call.end);
        calls
    }
}

async fn client<F: Future<Output = bool>>(call: impl Fn() -> F, stop: Arc<AtomicBool>) -> Vec<Call> {
    let mut calls = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let as_new = call().await;
        let end = Instant::now();
        calls.push(Call { begin, end, as_new });
        // As any client does between two calls: something else.
        tokio::task::yield_now().await;
    }
    calls
}

/// The longest call that lies in a span or reaches into it, in nanoseconds.
pub(crate) fn longest(calls: &[Call], from: Instant, to: Instant) -> f64 {
    let first = calls.partition_point(|call| call.end < from);
    let inside = calls[first..].iter().filter(|call| call.begin <= to);
    inside
        .map(|call| (call.end - call.begin).as_nanos() as f64)
        .fold(0.0, f64::max)
}

/// Calls a second that ended in a span.
pub(crate) fn rate(calls: &[Call], from: Instant, to: Instant) -> f64 {
    let first = calls.partition_point(|call| call.end < from);
    let end = calls.partition_point(|call| call.end <= to);
    end.saturating_sub(first) as f64 / (to - from).as_secs_f64()
}

/// Numbers below `below` that look like chance (xorshift), another one for each count.
pub(crate) fn chance(count: u64, below: usize) -> usize {
    let mut x = count.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    (x % below as u64) as usize
}
