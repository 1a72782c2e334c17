//! The load test: under the calls of 64 clients each kind of module is upgraded twenty times, up and down, by drop and by apply.

use crate::clients::{CLIENTS, Clients, IN_FLIGHT, Orders, Seen, THINKING, acknowledge, counts_are_exact, record};
use crate::made::with_note;
use crate::support::{self, HANG, World, guest};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use wasmhot::Host;
use wasmhot::control::protocol::{UndoRequest, UpgradeReport};
use wasmhot::event::EventKind;
use wasmhot_appup::{HostSettings, LimitsSpec};

/// Upgrades of each module: up, down, up …
const UPGRADES: usize = 20;
/// Keys of the keyed module.
const KEYS: usize = 1000;
/// A call of the pool that takes long, so that switches come while it is under way.
const LONG_CALL: Duration = Duration::from_millis(30);

/// On a slow machine nothing may be called off for its slowness.
fn patient() -> LimitsSpec {
    LimitsSpec {
        drain_timeout: Some(HANG),
        ..support::patient()
    }
}

/// A module of the test and where it goes.
struct Module {
    name: &'static str,
    low: &'static str,
    high: &'static str,
    /// What its upgrades reported.
    reports: Vec<UpgradeReport>,
}

impl Module {
    fn new(name: &'static str, low: &'static str, high: &'static str) -> Self {
        Self {
            name,
            low,
            high,
            reports: Vec::new(),
        }
    }

    fn waited(&self) -> u64 {
        self.reports.iter().map(|report| report.waited).sum()
    }

    fn on_old(&self) -> u64 {
        self.reports.iter().map(|report| report.on_old).sum()
    }
}

/// Up by a drop or by apply, down by apply or by undo.
async fn up_and_down(world: &World, module: &mut Module, round: usize) {
    let by_drop = round.is_multiple_of(2);
    let up = if by_drop {
        let since = world.now();
        // The same version in other bytes: a drop of it is something new.
        let bytes = with_note(std::fs::read(guest(module.high)).unwrap(), &format!("{}", round % 4));
        world.drop_file(&format!("{}-next.wasm", module.name), &bytes);
        let switched = world
            .event(since, |event| {
                assert_ne!(event.kind, EventKind::CalledOff, "{}", event.message);
                event.kind == EventKind::Switched
            })
            .await;
        serde_json::from_value(switched.details).unwrap()
    } else {
        world.apply(&guest(module.high)).await.unwrap()
    };
    assert_eq!(up.origin, if by_drop { "drop" } else { "apply" });
    assert_eq!(version(&up), module.high);
    let down = if by_drop {
        world.apply(&guest(module.low)).await.unwrap()
    } else {
        world.host.undo(UndoRequest::default()).await.unwrap()
    };
    assert_eq!(version(&down), module.low);
    module.reports.extend([up, down]);
}

/// The version that an upgrade of one module led to.
fn version(report: &UpgradeReport) -> String {
    let [module] = &report.modules[..] else {
        panic!("one module moves: {report:#?}")
    };
    format!("{}-{}", module.module, module.to.as_deref().unwrap())
}

/// A client of the keyed module: goes round all keys, beginning at one of its own. Gives what was acknowledged, by key.
async fn record_in_rooms(host: Host, number: usize, orders: Orders) -> HashMap<usize, u64> {
    let client = format!("client {number}");
    let mut seen = HashMap::<usize, u64>::new();
    let mut key = number * KEYS / CLIENTS;
    while orders.go_on() {
        let burst = (0..IN_FLIGHT).map(|more| {
            let key = (key + more) % KEYS;
            let (room, sequence) = (format!("room {key}"), seen.get(&key).copied().unwrap_or(0) + 1);
            let (host, client) = (&host, client.as_str());
            async move {
                (
                    key,
                    sequence,
                    host.call("rooms", "record", (room, client, sequence)).await,
                )
            }
        });
        for (key, sequence, answer) in join_all(burst).await {
            acknowledge(answer, &client, sequence);
            seen.insert(key, sequence);
            orders.answered();
        }
        key = (key + IN_FLIGHT) % KEYS;
        orders.think(THINKING / 4).await;
    }
    seen
}

/// A client of the pool: what it sends comes back. The first one only makes calls that take long.
async fn echo(host: Host, number: usize, long: u64, orders: Orders) -> u64 {
    let mut sequence = 0_u64;
    while orders.go_on() {
        sequence += 1;
        if number == 0 {
            let _: u64 = host.call("tally", "spin", (long,)).await.unwrap();
            orders.think(LONG_CALL).await;
        } else {
            let sent = format!("client {number}, call {sequence}");
            let back: String = host.call("tally", "echo-text", (sent.as_str(),)).await.unwrap();
            assert_eq!(back, sent);
            orders.think(THINKING).await;
        }
        orders.answered();
    }
    sequence
}

/// The argument with which `spin` takes about [`LONG_CALL`] here.
async fn long_call(host: &Host) -> u64 {
    let mut loops = 1 << 16;
    loop {
        let begin = Instant::now();
        let _: u64 = host.call("tally", "spin", (loops,)).await.unwrap();
        if begin.elapsed() >= LONG_CALL {
            return loops;
        }
        loops *= 2;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_no_call_is_lost_doubled_or_out_of_order_over_twenty_upgrades_of_each_kind_under_load() {
    let guests = ["counter-1.0.0", "tally-1.0.0", "rooms-1.0.0"];
    let settings = HostSettings {
        settle: Some(Duration::from_millis(20)),
        ..HostSettings::default()
    };
    let world = World::with(&guests, |builder| builder.limits(patient()).settings(settings)).await;
    let host = &world.host;
    let long = long_call(host).await;

    let mut single = Clients::start(|number, orders| record(host.clone(), "counter", number, orders));
    let mut pool = Clients::start(|number, orders| echo(host.clone(), number, long, orders));
    let mut keyed = Clients::start(|number, orders| record_in_rooms(host.clone(), number, orders));
    // All keys live before the first upgrade.
    keyed.answered(2 * KEYS as u64).await;

    let mut modules = [
        Module::new("counter", "counter-1.0.0", "counter-2.0.0"),
        Module::new("tally", "tally-1.0.0", "tally-1.1.0"),
        Module::new("rooms", "rooms-1.0.0", "rooms-1.1.0"),
    ];
    for round in 0..UPGRADES / 2 {
        for module in &mut modules {
            up_and_down(&world, module, round).await;
        }
        // The load goes on between upgrades, on every kind.
        single.answered(10).await;
        pool.answered(10).await;
        keyed.answered(10).await;
    }

    let seen: Vec<Seen> = single.stop().await;
    counts_are_exact(host, "counter", &seen).await;
    let echoed: u64 = pool.stop().await.iter().sum();
    let rooms = keyed.stop().await;
    let mut in_rooms = 0;
    for key in 0..KEYS {
        let acknowledged: u64 = rooms.iter().filter_map(|seen| seen.get(&key)).sum();
        let total: u64 = host.call("rooms", "total", (format!("room {key}"),)).await.unwrap();
        assert_eq!(total, acknowledged, "room {key}");
        in_rooms += total;
    }
    let counted: u64 = seen.iter().map(|seen| seen.acknowledged).sum();
    println!("calls: {counted} single, {echoed} pool, {in_rooms} keyed");
    for module in &modules {
        let of = |figure: fn(&UpgradeReport) -> u64| module.reports.iter().map(figure).collect::<Vec<_>>();
        println!("{}: waited {:?}", module.name, of(|report| report.waited));
        println!("{}: on the old version {:?}", module.name, of(|report| report.on_old));
        assert_eq!(module.reports.len(), UPGRADES);
        assert!(module.on_old() > 0, "no upgrade of {} met a running call", module.name);
    }
    // Only a single module has a gate: a pool's old calls end where they are, and a key is handed over at its next call (R33).
    let [single, pool, keyed] = &modules;
    assert!(single.waited() > 0, "no call ever waited at the gate");
    assert_eq!((pool.waited(), keyed.waited()), (0, 0));
    let failed = host
        .status()
        .modules
        .iter()
        .filter_map(|module| module.failed_keys)
        .sum::<u64>();
    assert_eq!(failed, 0);
}
