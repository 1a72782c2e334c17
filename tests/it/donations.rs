//! The donations application over its three releases, every pair up and down, with calls running throughout.

use crate::support::{HANG, World, put_guests};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use tokio::task::JoinHandle;
use wasmhot::Host;
use wasmhot::control::protocol::{ApplyRequest, Exit, UndoRequest, UpgradeReport};

const CLIENTS: usize = 4;
/// What a client gives: so little that no version takes a fee of it.
const NET: u64 = 1;

/// The folder of the release files.
fn texts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../modules/donations")
}

/// A host that runs release 1.0.0, with all versions and relups beside it.
async fn world() -> World {
    let prepare = |app: &Path| {
        put_guests(
            app,
            &[
                "server-1.0.0",
                "server-1.1.0",
                "server-1.2.0",
                "calculator-1.0.0",
                "calculator-1.1.0",
                "receipts-1.0.0",
            ],
        );
        for entry in std::fs::read_dir(texts()).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, app.join(path.file_name().unwrap())).unwrap();
        }
        std::fs::copy(app.join("release-1.0.0.toml"), app.join("release.toml")).unwrap();
    };
    World::prepared(prepare, |builder| builder).await
}

async fn up(world: &World, pair: &str) -> UpgradeReport {
    let file = world.app().join(format!("relup-{pair}.toml"));
    let report = world.apply(&file).await;
    report.unwrap_or_else(|failure| panic!("{pair}: {failure:?}"))
}

async fn undo(world: &World) -> UpgradeReport {
    world.host.undo(UndoRequest::default()).await.unwrap()
}

async fn release(world: &World) -> String {
    let version: String = world.host.call("server", "version", ()).await.unwrap();
    assert_eq!(world.host.status().release, format!("donations {version}"));
    version
}

/// Clients that donate without a rest, each under a name of its own; and how often that was acknowledged.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    clients: Vec<JoinHandle<u64>>,
}

impl Load {
    fn on(world: &World) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..CLIENTS).map(|number| {
            let client = client(world.host.clone(), number, Arc::clone(&stop), Arc::clone(&acknowledged));
            tokio::spawn(client)
        });
        Self {
            clients: clients.collect(),
            stop,
            acknowledged,
        }
    }

    /// So many more calls have been acknowledged than now.
    async fn goes_on(&self, calls: u64) {
        let (begin, from) = (Instant::now(), self.acknowledged.load(Ordering::Relaxed));
        while self.acknowledged.load(Ordering::Relaxed) < from + calls {
            assert!(begin.elapsed() < HANG, "no call is answered");
            tokio::task::yield_now().await;
        }
    }

    /// What each client was acknowledged.
    async fn end(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut counts = Vec::new();
        for client in self.clients {
            counts.push(client.await.unwrap());
        }
        counts
    }
}

async fn client(host: Host, number: usize, stop: Arc<AtomicBool>, acknowledged: Arc<AtomicU64>) -> u64 {
    let (name, mut count) = (format!("client-{number}"), 0);
    while !stop.load(Ordering::Relaxed) {
        let total: Result<u64, String> = host
            .call("server", "donate", (name.as_str(), NET))
            .await
            .unwrap_or_else(|error| panic!("no call fails: {error:?}"));
        assert!(total.unwrap() >= NET);
        count += 1;
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    count
}

/// The state is what the acknowledged calls have made of it.
async fn holds(world: &World, counts: &[u64]) {
    let total: u64 = world.host.call("server", "total", ()).await.unwrap();
    assert_eq!(total, counts.iter().sum::<u64>() * NET);
    let donors: Vec<String> = world.host.call("server", "donors", ()).await.unwrap();
    let expected = counts.iter().enumerate();
    let expected: Vec<_> = expected
        .map(|(number, count)| format!("client-{number}: {}", count * NET))
        .collect();
    assert_eq!(donors, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pair_of_releases_goes_up_and_down_under_load_and_no_call_fails() {
    let world = world().await;
    let load = Load::on(&world);
    load.goes_on(50).await;
    // Each pair, the direct one and the long way, up and down again.
    for steps in [
        vec!["1.0.0-1.1.0"],
        vec!["1.0.0-1.2.0"],
        vec!["1.0.0-1.1.0", "1.1.0-1.2.0"],
    ] {
        for pair in &steps {
            up(&world, pair).await;
            assert!(pair.ends_with(&release(&world).await), "{pair}");
            load.goes_on(20).await;
        }
        for _ in &steps {
            undo(&world).await;
            load.goes_on(20).await;
        }
        assert_eq!(release(&world).await, "1.0.0");
    }
    let counts = load.end().await;
    holds(&world, &counts).await;
    let world = world.restart().await;
    holds(&world, &counts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_upgrade_right_after_another_is_rehearsed_on_the_state_of_the_version_that_runs() {
    let world = world().await;
    let _: Result<u64, String> = world.host.call("server", "donate", ("ann", NET)).await.unwrap();
    // What 1.0.0 handed over is the last saved state: 1.2.0 could not read it without the currency.
    up(&world, "1.0.0-1.1.0").await;
    let report = up(&world, "1.1.0-1.2.0").await;
    let server = report.modules.iter().find(|module| module.module == "server").unwrap();
    assert!(
        server.rehearsal.as_deref().unwrap().starts_with("passed, and back"),
        "{report:#?}"
    );
    assert!(report.predicted_us.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_that_were_deleted_are_there_when_the_module_comes_back() {
    let world = world().await;
    up(&world, "1.0.0-1.1.0").await;
    for number in 1..=3_u64 {
        let issued: Result<u64, String> = world.host.call("receipts", "issue", ("ann", NET)).await.unwrap();
        assert_eq!(issued, Ok(number));
    }
    undo(&world).await;
    assert!(world.host.call::<_, u64>("receipts", "issued", ()).await.is_err());
    up(&world, "1.0.0-1.2.0").await;
    let issued: u64 = world.host.call("receipts", "issued", ()).await.unwrap();
    assert_eq!(issued, 3);
    let total: u64 = world.host.call("server", "total", ()).await.unwrap();
    assert_eq!(total, 3 * NET);
}

#[tokio::test(flavor = "multi_thread")]
async fn directly_or_by_the_middle_the_state_is_the_same() {
    let mut states = Vec::new();
    for steps in [vec!["1.0.0-1.2.0"], vec!["1.0.0-1.1.0", "1.1.0-1.2.0"]] {
        let world = world().await;
        for name in ["ann", "bob", "ann"] {
            let _: Result<u64, String> = world.host.call("server", "donate", (name, NET)).await.unwrap();
        }
        for pair in steps {
            up(&world, pair).await;
        }
        states.push(world.host.state_show("server", None).await.unwrap().content);
    }
    assert!(states[0].is_some());
    assert_eq!(states[0], states[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_down_that_would_lose_a_currency_is_refused_and_nothing_is_lost() {
    let world = world().await;
    up(&world, "1.0.0-1.2.0").await;
    let donate = async |currency: &str| {
        let args = ("ann", NET, currency);
        let total: Result<u64, String> = world.host.call("server", "donate-in", args).await.unwrap();
        total.unwrap()
    };
    donate("CHF").await;
    let yen = donate("JPY").await;
    let before: Vec<String> = world.host.call("server", "totals", ()).await.unwrap();
    let failure = world.host.undo(UndoRequest::default()).await.unwrap_err();
    assert!(
        failure.message.contains("JPY"),
        "it names what has no rate: {failure:?}"
    );
    assert!([Exit::Failed, Exit::CalledOff].contains(&failure.exit), "{failure:?}");
    let after: Vec<String> = world.host.call("server", "totals", ()).await.unwrap();
    assert_eq!(after, before);
    assert_eq!(donate("JPY").await, yen * 2, "it serves as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relup_is_for_the_release_that_it_names() {
    let world = world().await;
    let request = ApplyRequest {
        path: world.app().join("relup-1.1.0-1.2.0.toml"),
        ..ApplyRequest::default()
    };
    let failure = world.host.apply(request).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.exit),
        ("wrong-from", Exit::Refused),
        "{failure:?}"
    );
    assert_eq!(release(&world).await, "1.0.0");
}
