//! The load: clients that call without a pause, each with a number that the guest checks, over the socket as any program would.

use crate::control::client::Client;
use crate::control::protocol::{CallRequest, Exit, Failure};
use crate::error::Executed;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// A client that was told "not executed" tries again after this.
const RETRY: Duration = Duration::from_millis(20);
/// Calls that are answered meanwhile are waited for so long, not longer.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What the clients have seen up to now.
#[derive(Default)]
pub(super) struct Counters {
    /// Calls that were answered.
    pub(super) answered: AtomicU64,
    /// Calls that failed.
    pub(super) failed: AtomicU64,
    /// The longest call since the last look, in microseconds.
    longest_us: AtomicU64,
    stop: AtomicBool,
}

/// The clients. Dropped, they end.
pub(super) struct Load {
    clients: JoinSet<Seen>,
    pub(super) counters: Arc<Counters>,
    began: Instant,
}

/// What one client has seen.
struct Seen {
    name: String,
    acknowledged: u64,
    times_us: Vec<u32>,
    failures: Vec<String>,
}

/// What all have seen, and whether the guest agrees.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Outcome {
    /// Clients.
    pub(super) clients: u64,
    /// Calls that were made.
    pub(super) calls: u64,
    /// Calls that failed.
    pub(super) failed: u64,
    /// Answered calls that the guest has not counted.
    pub(super) lost: u64,
    /// Calls that the guest has counted more often than they were answered.
    pub(super) repeated: u64,
    /// What the guest has counted.
    pub(super) counted: u64,
    /// Calls answered in a second.
    pub(super) per_second: u64,
    /// Half of the calls were not longer, in microseconds.
    pub(super) median_us: u64,
    /// 99 of 100 calls were not longer, in microseconds.
    pub(super) p99_us: u64,
    /// The longest call, in microseconds.
    pub(super) longest_us: u64,
    /// Why calls failed: the first of each client.
    pub(super) failures: Vec<String>,
}

impl Load {
    /// Starts the clients. Each has `record(its name, 1)`, `record(its name, 2)` … answered by the module `counter`.
    pub(super) fn start(client: &Client, clients: u32) -> Self {
        let counters = Arc::new(Counters::default());
        let mut set = JoinSet::new();
        for number in 1..=clients {
            set.spawn(calls(client.clone(), format!("client-{number}"), Arc::clone(&counters)));
        }
        Self {
            clients: set,
            counters,
            began: Instant::now(),
        }
    }

    /// The longest call since this was asked last.
    pub(super) fn take_longest_us(&self) -> u64 {
        self.counters.longest_us.swap(0, Ordering::Relaxed)
    }

    /// Waits until every client can have had two more answers: whatever waited at a gate has been answered then.
    pub(super) async fn moves_on(&self) -> Result<(), Failure> {
        let wanted = self.counters.answered.load(Ordering::Relaxed) + 2 * self.clients.len() as u64;
        let begin = Instant::now();
        while self.counters.answered.load(Ordering::Relaxed) < wanted {
            if begin.elapsed() > WAIT_MAX {
                return Err(Failure::new(
                    "no-answers",
                    Exit::Failed,
                    "the clients get no answers any more",
                ));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Lets every client finish its call, and compares what they have seen with what the guest has counted.
    pub(super) async fn end(mut self, client: &Client) -> Result<Outcome, Failure> {
        self.counters.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        while let Some(seen) = self.clients.join_next().await {
            all.push(seen.map_err(|error| Failure::new("internal", Exit::Bug, error.to_string()))?);
        }
        let took = self.began.elapsed();
        let failed = self.counters.failed.load(Ordering::Relaxed);
        let acknowledged: u64 = all.iter().map(|seen| seen.acknowledged).sum();
        let mut outcome = Outcome {
            clients: all.len() as u64,
            calls: acknowledged + failed,
            failed,
            counted: number(client, "total()").await?,
            per_second: acknowledged * 1000 / u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1),
            ..Outcome::default()
        };
        for seen in &all {
            let counted = number(client, &format!("last({:?})", seen.name)).await?;
            outcome.lost += seen.acknowledged.saturating_sub(counted);
            outcome.repeated += counted.saturating_sub(seen.acknowledged);
            outcome.failures.extend(seen.failures.iter().cloned());
        }
        // The total is a count of its own in the guest: it has to say the same.
        if outcome.lost == 0 && outcome.repeated == 0 {
            outcome.lost = acknowledged.saturating_sub(outcome.counted);
            outcome.repeated = outcome.counted.saturating_sub(acknowledged);
        }
        let mut times: Vec<u32> = all.into_iter().flat_map(|seen| seen.times_us).collect();
        times.sort_unstable();
        let at = |hundredths: usize| times.get((times.len() * hundredths / 100).min(times.len().max(1) - 1));
        outcome.median_us = at(50).copied().unwrap_or(0).into();
        outcome.p99_us = at(99).copied().unwrap_or(0).into();
        outcome.longest_us = at(100).copied().unwrap_or(0).into();
        Ok(outcome)
    }
}

/// A client's life.
async fn calls(client: Client, name: String, counters: Arc<Counters>) -> Seen {
    let mut seen = Seen {
        name,
        acknowledged: 0,
        times_us: Vec::new(),
        failures: Vec::new(),
    };
    while !counters.stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = record(&client, &seen.name, seen.acknowledged + 1).await;
        let took = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
        seen.times_us.push(took);
        counters.longest_us.fetch_max(took.into(), Ordering::Relaxed);
        match answer {
            Ok(()) => {
                seen.acknowledged += 1;
                counters.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(failure) => {
                counters.failed.fetch_add(1, Ordering::Relaxed);
                if seen.failures.is_empty() {
                    seen.failures.push(format!("{}: {failure}", seen.name));
                }
                let executed = failure.call.is_some_and(|call| call.executed == Executed::Unknown);
                // Nobody knows whether it was counted; the guest does, or its next answer says so.
                if executed && let Ok(last) = number(&client, &format!("last({:?})", seen.name)).await {
                    seen.acknowledged = seen.acknowledged.max(last);
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    seen
}

/// One call; that the guest refuses the number is a failure too.
async fn record(client: &Client, name: &str, sequence: u64) -> Result<(), Failure> {
    let request = CallRequest {
        module: "counter".to_string(),
        call: None,
        function: Some("record".to_string()),
        args: Some(vec![name.into(), sequence.into()]),
        deadline_ms: None,
    };
    let reply = client.call(&request).await?;
    match reply.value.get("ok") {
        Some(_) => Ok(()),
        None => Err(Failure::new(
            "refused-number",
            Exit::Failed,
            format!("the guest says {}", reply.value),
        )),
    }
}

/// What a function of the counter gives, in WAVE.
pub(super) async fn ask(client: &Client, call: &str) -> Result<String, Failure> {
    let request = CallRequest {
        module: "counter".to_string(),
        call: Some(call.to_string()),
        function: None,
        args: None,
        deadline_ms: None,
    };
    Ok(client.call(&request).await?.wave.unwrap_or_default())
}

async fn number(client: &Client, call: &str) -> Result<u64, Failure> {
    let said = ask(client, call).await?;
    said.parse()
        .map_err(|_| Failure::new("internal", Exit::Bug, format!("{call} gave {said}")))
}
