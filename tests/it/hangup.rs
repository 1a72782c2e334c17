//! Clients that hang up in the middle of their calls (R10): a call that has not started is taken out of the queue, one that has
//! started runs to its end, and each is executed once or not at all.
//!
//! Each call adds a power of four of its own, so that the value tells of every call whether it was executed, and how often.

use crate::support::{Binary, HANG, World, hostile, until};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use wasmhot::control::client::Client;
use wasmhot::control::protocol::{CallRequest, Status};

/// Calls that are made at once: as many as there are powers of four in the value.
const AT_ONCE: u32 = 31;
/// So many times, which makes more than a thousand calls.
const ROUNDS: u32 = 33;
/// Every call waits so long in the guest: there is a middle in which to hang up.
const PLAN: &str = "call=sleep:2";

/// When the client of a call hangs up: never, or after so long. A different mix in each round, the same in each run.
fn patience(round: u32, call: u32) -> Option<Duration> {
    let mixed = (round * AT_ONCE + call).wrapping_mul(2_654_435_761) >> 16;
    (!mixed.is_multiple_of(4)).then(|| Duration::from_millis(u64::from(mixed % 64)))
}

/// What became of all calls.
#[derive(Debug, Default)]
struct Tally {
    sent: u32,
    acknowledged: u32,
    executed: u32,
}

impl Tally {
    /// `value` is what is counted after a round, `acknowledged` which calls of it were answered.
    fn add(&mut self, value: i64, acknowledged: &[bool]) {
        for (call, acknowledged) in acknowledged.iter().enumerate() {
            let times = value >> (2 * call) & 3;
            assert!(times <= 1, "call {call} was executed {times} times");
            assert!(
                times == 1 || !acknowledged,
                "call {call} was acknowledged and not executed"
            );
            self.sent += 1;
            self.acknowledged += u32::from(*acknowledged);
            self.executed += u32::from(times == 1);
        }
        assert!(
            value >> (2 * acknowledged.len()) == 0,
            "more was counted than was sent: {value}"
        );
    }

    /// Some were caught in their middle, some before their start: else the test would have shown nothing.
    fn is_telling(&self) {
        println!("{self:?}");
        assert!(self.sent > 1000, "{self:?}");
        assert!(
            self.acknowledged < self.executed,
            "nobody hung up during a call: {self:?}"
        );
        assert!(
            self.executed < self.sent,
            "nobody hung up before a call started: {self:?}"
        );
    }
}

/// What a call adds.
fn power(place: u32) -> i64 {
    1 << (2 * place)
}

fn is_quiet(status: &Status) -> bool {
    status.modules.iter().all(|module| module.running + module.waiting == 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_a_dropped_future_loses_and_doubles_nothing() {
    let world = World::hostile("1.0.0", PLAN, |builder| builder).await;
    let host = &world.host;
    let mut tally = Tally::default();
    for number in 0..ROUNDS {
        let calls = (0..AT_ONCE).map(async |place| {
            let call = host.call::<_, i64>("hostile", "increment", (power(place),));
            match patience(number, place) {
                Some(patience) => match tokio::time::timeout(patience, call).await {
                    Ok(answer) => answer.map(|_| true).unwrap(),
                    Err(_hung_up) => false,
                },
                None => call.await.map(|_| true).unwrap(),
            }
        });
        let acknowledged = join_all(calls).await;
        until("the started calls have ended", || is_quiet(&host.status())).await;
        let value: i64 = host.call("hostile", "get", ()).await.unwrap();
        tally.add(value, &acknowledged);
        let zero: i64 = host.call("hostile", "increment", (-value,)).await.unwrap();
        assert_eq!(zero, 0);
    }
    tally.is_telling();
}

async fn until_status(client: &Client, wanted: impl Fn(&Status) -> bool) {
    let wait = async {
        while !wanted(&client.status().await.unwrap()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(HANG, wait).await.unwrap();
}

/// Sends a call over a connection of its own.
async fn send(host: &Binary, power: i64) -> UnixStream {
    let body = format!(r#"{{"module":"hostile","call":"increment({power})"}}"#);
    let request = format!(
        "POST /v1/call HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = UnixStream::connect(host.socket()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Waits for the answer, and hangs up when `patience` is over. True if the answer came before.
async fn answered(mut stream: UnixStream, patience: Option<Duration>) -> bool {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    match patience {
        Some(patience) => match tokio::time::timeout(patience, read).await {
            Ok(read) => read.unwrap(),
            Err(_hung_up) => return false,
        },
        None => read.await.unwrap(),
    };
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_a_client_that_hangs_up_loses_and_doubles_nothing() {
    let host = Binary::prepared(
        |app| std::fs::write(app.join("hostile-1.0.0.wasm"), hostile("1.0.0", PLAN)).unwrap(),
        &[],
    );
    let client = Client::new(host.socket());
    let call = async |call: String| -> i64 {
        let request = CallRequest {
            module: "hostile".into(),
            call: Some(call),
            function: None,
            args: None,
            deadline_ms: None,
        };
        client.call(&request).await.unwrap().wave.unwrap().parse().unwrap()
    };
    let mut tally = Tally::default();
    for number in 0..ROUNDS {
        let before = client.status().await.unwrap().calls;
        let sent = join_all((0..AT_ONCE).map(|place| send(&host, power(place)))).await;
        // All have come to the host before the first one hangs up: what it reads later would count in the next round.
        until_status(&client, |status| status.calls >= before + u64::from(AT_ONCE)).await;
        let all = (0..AT_ONCE).zip(sent);
        let acknowledged = join_all(all.map(|(place, stream)| answered(stream, patience(number, place)))).await;
        until_status(&client, is_quiet).await;
        let value = call("get()".into()).await;
        tally.add(value, &acknowledged);
        assert_eq!(call(format!("increment({})", -value)).await, 0);
    }
    tally.is_telling();
}
