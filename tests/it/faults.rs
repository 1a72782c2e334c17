//! Faulty versions under load: whatever fails before a switch costs no call and no state (P3), and the reason is told.
//!
//! A `save` that fails is the exception (R26): what it costs is in `losses.rs`.

use crate::clients::{Clients, counts_are_exact, record};
use crate::support::{HANG, World, hostile};
use std::time::Duration;
use wasmhot::control::protocol::{ApplyRequest, Exit, Failure};
use wasmhot::event::EventKind;
use wasmhot_appup::{HostSettings, LimitsSpec};

/// For those steps that are to fail by it.
const SHORT: Duration = Duration::from_millis(300);
/// Calls that must go on being answered after each fault.
const MORE: u64 = 200;

/// What goes wrong, and the code with which an upgrade tells it.
const FAULTS: [(&str, &str); 5] = [
    ("trap", "trapped"),
    ("grow", "trapped"),
    ("loop", "timed-out"),
    ("block", "timed-out"),
    ("err", "said-no"),
];

/// The host's limits: only what a test wants to fail, fails.
pub(crate) fn patient() -> LimitsSpec {
    LimitsSpec {
        call_deadline: Some(HANG),
        max_pause: Some(HANG),
        quiesce_timeout: Some(HANG),
        save_timeout: Some(HANG),
        memory_max: Some(16 << 20),
        // A periodic save would let the fault be found in a rehearsal, where another test looks for it.
        save_interval: Some(Duration::from_secs(3600)),
        ..LimitsSpec::default()
    }
}

/// Applies a version of the hostile guest under these limits.
pub(crate) async fn apply(world: &World, version: &str, plan: &str, limits: LimitsSpec) -> Result<(), Failure> {
    let path = world.outside().join(format!("hostile-{version}.wasm"));
    std::fs::write(&path, hostile(version, plan)).unwrap();
    let request = ApplyRequest {
        path,
        limits,
        ..ApplyRequest::default()
    };
    world.host.apply(request).await.map(|_| ())
}

/// The fault was told in `status` and `events`, and the old version runs.
async fn is_told(world: &World, since: u64, phase: &str, code: &str) {
    let told = world.event_of(since, EventKind::CalledOff).await;
    assert_eq!(told.details["phase"], phase, "{}", told.message);
    assert_eq!(told.details["code"], code, "{}", told.message);
    let status = world.host.status();
    assert_eq!(status.last_called_off.as_ref(), Some(&told.message));
    let [module] = &status.modules[..] else {
        panic!("{status:#?}")
    };
    assert_eq!(
        (module.version.as_str(), module.condition.as_str()),
        ("1.0.0", "running")
    );
}

/// Under the load of 64 clients a healthy version meets one that does `fault` in `phase`. `short` is the limit that a fault without
/// end runs into; `told` is the phase of the upgrade in which it fails.
async fn before_the_gate(phase: &str, faults: &[(&str, &str)], short: LimitsSpec) {
    let world = World::hostile("1.0.0", "", |builder| builder.limits(patient())).await;
    let mut clients = Clients::start(|number, orders| record(world.host.clone(), "hostile", number, orders));
    clients.answered(MORE).await;
    for (fault, code) in faults {
        let since = world.now();
        let failure = apply(&world, "1.1.0", &format!("{phase}={fault}"), short.clone())
            .await
            .unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.exit),
            (*code, Exit::Failed),
            "{fault}: {failure}"
        );
        is_told(&world, since, "prepare", code).await;
        // Nothing waited: no gate was closed.
        let kept = world.host.events().since(since).0;
        assert!(
            kept.iter().all(|event| event.kind != EventKind::Gated),
            "{fault}: {kept:#?}"
        );
        clients.answered(MORE).await;
    }
    let seen = clients.stop().await;
    counts_are_exact(&world.host, "hostile", &seen).await;
}

/// As [`before_the_gate`], for what fails behind the gate.
async fn behind_the_gate(phase: &str, told: &str, fault: &str, code: &str, short: LimitsSpec) {
    let world = World::hostile("1.0.0", "", |builder| builder.limits(patient())).await;
    let mut clients = Clients::start(|number, orders| record(world.host.clone(), "hostile", number, orders));
    clients.answered(MORE).await;
    let since = world.now();
    let plan = format!("{phase}={fault}");
    let failure = apply(&world, "1.1.0", &plan, short.clone()).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.exit),
        (code, Exit::CalledOff),
        "{failure}"
    );
    is_told(&world, since, told, code).await;
    world.event_of(since, EventKind::Gated).await;
    clients.answered(MORE).await;
    // What the old version saved was kept (R26), so the next one is found out in its rehearsal, where nothing waits.
    let since = world.now();
    let failure = apply(&world, "1.2.0", &plan, short).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.exit), (code, Exit::Failed), "{failure}");
    is_told(&world, since, "rehearse", code).await;
    clients.answered(MORE).await;
    // And the old version is as able as ever to hand over.
    apply(&world, "1.3.0", "", LimitsSpec::default()).await.unwrap();
    clients.answered(MORE).await;
    let seen = clients.stop().await;
    counts_are_exact(&world.host, "hostile", &seen).await;
    assert_eq!(world.host.status().modules[0].version, "1.3.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_start_that_fails_costs_nothing() {
    let short = LimitsSpec {
        start_timeout: Some(SHORT),
        ..LimitsSpec::default()
    };
    // A start has no way to say `err`: it aborts.
    let faults = FAULTS.map(|(fault, code)| (fault, if fault == "err" { "trapped" } else { code }));
    before_the_gate("start", &faults, short).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_version_that_is_not_healthy_costs_nothing() {
    let short = LimitsSpec {
        health_timeout: Some(SHORT),
        ..LimitsSpec::default()
    };
    before_the_gate("health", &FAULTS, short).await;
}

macro_rules! behind_the_gate {
    ($($name:ident: $phase:literal $told:literal $fault:literal $code:literal $limit:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let short = LimitsSpec {
                $limit: Some(SHORT),
                ..LimitsSpec::default()
            };
            behind_the_gate($phase, $told, $fault, $code, short).await;
        }
    )*};
}

behind_the_gate! {
    p3_a_migrate_that_traps: "migrate" "migrate" "trap" "trapped" migrate_timeout;
    p3_a_migrate_that_grows_without_end: "migrate" "migrate" "grow" "trapped" migrate_timeout;
    p3_a_migrate_that_loops: "migrate" "migrate" "loop" "timed-out" migrate_timeout;
    p3_a_migrate_that_blocks: "migrate" "migrate" "block" "timed-out" migrate_timeout;
    p3_a_migrate_that_says_err: "migrate" "migrate" "err" "said-no" migrate_timeout;
    p3_a_health_that_traps_after_migrate: "later" "health" "trap" "trapped" health_timeout;
    p3_a_health_that_loops_after_migrate: "later" "health" "loop" "timed-out" health_timeout;
    p3_a_health_that_says_err_after_migrate: "later" "health" "err" "said-no" health_timeout;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_faulty_drop_under_load_costs_nothing_and_is_told() {
    let settings = HostSettings {
        settle: Some(Duration::from_millis(20)),
        ..HostSettings::default()
    };
    let world = World::hostile("1.0.0", "", |builder| builder.limits(patient()).settings(settings)).await;
    let mut clients = Clients::start(|number, orders| record(world.host.clone(), "hostile", number, orders));
    clients.answered(MORE).await;
    for (plan, phase) in [
        ("start=trap", "prepare"),
        ("health=err", "prepare"),
        ("migrate=trap", "migrate"),
    ] {
        let since = world.now();
        world.drop_file("hostile-1.1.0.wasm", &hostile("1.1.0", plan));
        let code = if plan == "health=err" { "said-no" } else { "trapped" };
        is_told(&world, since, phase, code).await;
        clients.answered(MORE).await;
    }
    let seen = clients.stop().await;
    counts_are_exact(&world.host, "hostile", &seen).await;
}
