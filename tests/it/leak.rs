//! Upgrades leave nothing behind: after a thousand the process is as large as after ten.

use crate::support::{Binary, HANG, guest};
use futures_util::future::join_all;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wasmhot::control::client::Client;
use wasmhot::control::protocol::{ApplyRequest, CallRequest};

const UPGRADES: usize = 1000;
/// The measure is taken after so many.
const FIRST: usize = 10;

/// What a process has of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    threads: usize,
    descriptors: usize,
    mappings: usize,
    instances: u64,
    resident_kib: u64,
}

impl Size {
    async fn of(host: &Binary, client: &Client) -> Self {
        let process = PathBuf::from("/proc").join(host.pid().to_string());
        let count = |name: &str| std::fs::read_dir(process.join(name)).unwrap().count();
        let status = std::fs::read_to_string(process.join("status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let resident = resident.trim().strip_suffix(" kB").unwrap();
        let modules = client.status().await.unwrap().modules;
        Self {
            threads: count("task"),
            descriptors: count("fd"),
            mappings: std::fs::read_to_string(process.join("maps")).unwrap().lines().count(),
            instances: modules.iter().map(|module| module.instances).sum(),
            resident_kib: resident.parse().unwrap(),
        }
    }
}

async fn upgrade(client: &Client, path: &Path) {
    let request = ApplyRequest {
        path: path.to_path_buf(),
        ..ApplyRequest::default()
    };
    client.apply(&request).await.unwrap();
}

async fn dry_run(client: &Client, path: &Path) {
    let request = ApplyRequest {
        path: path.to_path_buf(),
        dry_run: true,
        ..ApplyRequest::default()
    };
    client.apply(&request).await.unwrap();
}

async fn record(client: &Client, sequence: usize) {
    let request = CallRequest {
        module: "counter".into(),
        call: Some(format!("record(\"client\", {sequence})")),
        function: None,
        args: None,
        deadline_ms: None,
    };
    let counted = client.call(&request).await.unwrap().wave;
    assert_eq!(counted, Some(format!("ok({sequence})")));
}

/// Idle threads leave after ten seconds: what is left when nothing has changed for longer than that.
async fn at_rest(host: &Binary, client: &Client) -> Size {
    let (begin, mut since, mut last) = (Instant::now(), Instant::now(), Size::of(host, client).await);
    while since.elapsed() < Duration::from_secs(12) {
        assert!(begin.elapsed() < HANG, "never at rest: {last:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = Size::of(host, client).await;
        if (now.threads, now.mappings) != (last.threads, last.mappings) {
            since = Instant::now();
        }
        last = now;
    }
    last
}

#[tokio::test]
async fn a_thousand_upgrades_leave_nothing_behind() {
    let host = Binary::run(&["counter-1.0.0"], &[]);
    let client = Client::new(host.socket());
    let versions = [guest("counter-2.0.0"), guest("counter-1.0.0")];
    // More threads at once than any upgrade needs: what the allocator sets aside for a thread it keeps when the thread has gone.
    for _ in 0..10 {
        join_all((0..8).map(|_| client.versions(None))).await;
        join_all((0..8).map(|_| dry_run(&client, &versions[0]))).await;
    }
    let mut first = None;
    for done in 1..=UPGRADES {
        upgrade(&client, &versions[(done - 1) % 2]).await;
        record(&client, done).await;
        if done == FIRST {
            first = Some(at_rest(&host, &client).await);
        }
    }
    let (first, last) = (first.unwrap(), at_rest(&host, &client).await);
    println!("after {FIRST} upgrades {first:?}, after {UPGRADES} {last:?}");
    let but_for_memory = |size: Size| Size {
        resident_kib: 0,
        ..size
    };
    assert_eq!(but_for_memory(first), but_for_memory(last));
    assert!(
        last.resident_kib * 10 <= first.resident_kib * 11,
        "{first:?}, then {last:?}"
    );
}
