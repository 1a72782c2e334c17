//! What costs a state, and what is told of it: a `save` that fails (R26), a call that traps (R14).
//!
//! The promise to the other clients: they see what they had acknowledged, or `state-lost`. Only where the configuration says that an
//! older state is to be restored, or none, do they see less: then exactly as much as was saved, and event, `status` and the error of
//! the call that trapped say how much was lost.

use crate::clients::{CLIENTS, Clients, IN_FLIGHT, Survived, counts_are_exact, record, survive};
use crate::faults::{apply, patient};
use crate::support::{Binary, World, guest, until};
use std::time::Duration;
use wasmhot::control::protocol::Exit;
use wasmhot::error::{CallErrorCode, Executed};
use wasmhot::event::EventKind;
use wasmhot_appup::{LimitsSpec, OnTrap};

/// For a `save` that is to fail by it.
const SHORT: Duration = Duration::from_millis(300);
/// Calls that are made between two events.
const MORE: u64 = 200;

fn limits(on_trap: OnTrap) -> LimitsSpec {
    LimitsSpec {
        on_trap: Some(on_trap),
        // `state reset` runs into it where `save` does not end.
        save_timeout: Some(10 * SHORT),
        ..patient()
    }
}

/// A world with 64 clients that each made some calls, all of which are saved: gives how many each made.
async fn saved_world(plan: &str, limits: LimitsSpec) -> (World, Vec<u64>) {
    let world = World::hostile("1.0.0", "", |builder| builder.limits(limits)).await;
    let mut clients = Clients::start(|number, orders| record(world.host.clone(), "hostile", number, orders));
    clients.answered((CLIENTS * IN_FLIGHT) as u64).await;
    let seen = clients.stop().await;
    counts_are_exact(&world.host, "hostile", &seen).await;
    // What is handed over at a switch is at once the last saved state (R28).
    apply(&world, "1.1.0", plan, LimitsSpec::default()).await.unwrap();
    let mut saved = vec![0; CLIENTS];
    for seen in seen {
        let number: usize = seen
            .client
            .rsplit(' ')
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap();
        saved[number] = seen.acknowledged;
    }
    (world, saved)
}

/// The 64 clients go on from there.
fn go_on(world: &World, from: &[u64]) -> Clients<Survived> {
    Clients::start(|number, orders| survive(world.host.clone(), number, from[number], orders))
}

/// What each client knows of is what the module counts.
async fn all_agree(world: &World, seen: &[Survived]) {
    for seen in seen {
        let last: u64 = world
            .host
            .call("hostile", "last", (seen.client.as_str(),))
            .await
            .unwrap();
        assert_eq!(last, seen.acknowledged, "{seen:?}");
    }
}

/// Everybody was set back once, to what was saved: gives how many calls that cost.
fn set_back_to(saved: &[u64], seen: &[Survived]) -> u64 {
    let mut lost = 0;
    for seen in seen {
        let number: usize = seen
            .client
            .rsplit(' ')
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap();
        match seen.set_back[..] {
            [(from, to)] => {
                assert_eq!(to, saved[number], "{seen:?}");
                lost += from - to;
            }
            // It had not called since, or was not answered since.
            [] => {}
            _ => panic!("more than once: {seen:?}"),
        }
    }
    lost
}

fn nobody_was_set_back(seen: &[Survived]) {
    for seen in seen {
        assert!(seen.set_back.is_empty(), "{seen:?}");
    }
}

/// An upgrade to a healthy version, away from one whose `save` does `fault`.
async fn upgrade_fails(world: &World, code: &str) {
    let short = LimitsSpec {
        save_timeout: Some(SHORT),
        stuck_timeout: Some(4 * SHORT),
        ..LimitsSpec::default()
    };
    let since = world.now();
    let failure = apply(world, "1.2.0", "", short).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.exit),
        (code, Exit::CalledOff),
        "{failure}"
    );
    assert_eq!(failure.phase.as_deref(), Some("save"));
    let told = world.event_of(since, EventKind::CalledOff).await;
    assert_eq!(world.host.status().last_called_off, Some(told.message));
    assert_eq!(world.host.status().modules[0].version, "1.1.0");
}

/// A `save` that costs the old instance, and what `on_trap` makes of it.
async fn save_costs_the_state(fault: &str, code: &str, on_trap: OnTrap) {
    let (world, saved) = saved_world(&format!("save={fault}"), limits(on_trap)).await;
    let mut clients = go_on(&world, &saved);
    clients.answered(MORE).await;
    let since = world.now();
    upgrade_fails(&world, code).await;
    world.event_of(since, EventKind::Trapped).await;
    match on_trap {
        OnTrap::Fail => {
            world.event_of(since, EventKind::StateLost).await;
            assert_eq!(world.condition("hostile"), "failed (state lost)");
            clients.answered(MORE).await;
            let seen = clients.stop().await;
            nobody_was_set_back(&seen);
            assert!(seen.iter().all(|seen| seen.state_lost > 0), "{seen:?}");
            // A person brings back what was saved.
            world.host.state_restore("hostile", None).await.unwrap();
            for (number, acknowledged) in saved.iter().enumerate() {
                let last: u64 = world
                    .host
                    .call("hostile", "last", (format!("client {number}"),))
                    .await
                    .unwrap();
                assert_eq!(last, *acknowledged);
            }
            // Or takes it away: a version that cannot save keeps nobody from that.
            world.host.state_reset("hostile", None).await.unwrap();
            let total: u64 = world.host.call("hostile", "total", ()).await.unwrap();
            assert_eq!(total, 0);
        }
        OnTrap::Restore | OnTrap::Empty => {
            let restored = world.event_of(since, EventKind::Restored).await;
            assert_eq!(world.host.status().modules[0].restored, Some(restored.message.clone()));
            clients.answered(MORE).await;
            let seen = clients.stop().await;
            assert!(seen.iter().all(|seen| seen.state_lost == 0), "{seen:?}");
            all_agree(&world, &seen).await;
            if on_trap == OnTrap::Empty {
                set_back_to(&[0; CLIENTS], &seen);
            } else {
                let lost = set_back_to(&saved, &seen);
                let told = format!("{lost} calls answered since it was saved last are lost");
                assert!(
                    lost > 0 && restored.message.contains(&told),
                    "{lost}: {}",
                    restored.message
                );
            }
        }
    }
}

macro_rules! save_costs_the_state {
    ($($name:ident: $fault:literal $code:literal $on_trap:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            save_costs_the_state($fault, $code, OnTrap::$on_trap).await;
        }
    )*};
}

save_costs_the_state! {
    r26_a_save_that_traps_restores: "trap" "trapped" Restore;
    r26_a_save_that_traps_and_starts_empty: "trap" "trapped" Empty;
    r26_a_save_that_traps_and_fails: "trap" "trapped" Fail;
    r26_a_save_that_grows_without_end_restores: "grow" "trapped" Restore;
    r26_a_save_that_grows_without_end_and_fails: "grow" "trapped" Fail;
    r26_a_save_that_loops_is_interrupted_when_it_is_stuck_and_restores: "loop" "timed-out" Restore;
    r26_a_save_that_loops_is_interrupted_when_it_is_stuck_and_fails: "loop" "timed-out" Fail;
}

/// A `save` that fails but does not cost the instance: nothing is lost.
async fn save_costs_nothing(fault: &str, code: &str) {
    let (world, saved) = saved_world(&format!("save={fault}"), limits(OnTrap::Restore)).await;
    let mut clients = go_on(&world, &saved);
    clients.answered(MORE).await;
    upgrade_fails(&world, code).await;
    clients.answered(MORE).await;
    let seen = clients.stop().await;
    nobody_was_set_back(&seen);
    assert!(seen.iter().all(|seen| seen.state_lost == 0), "{seen:?}");
    all_agree(&world, &seen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r26_a_save_that_says_err_costs_nothing() {
    save_costs_nothing("err", "said-no").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r26_a_save_that_takes_too_long_ends_by_itself_and_costs_nothing() {
    save_costs_nothing("sleep:700", "timed-out").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_periodic_saves_that_say_err_are_told_and_cost_nothing() {
    let often = LimitsSpec {
        save_interval: Some(SHORT),
        ..limits(OnTrap::Restore)
    };
    let (world, saved) = saved_world("save=err", often).await;
    let since = world.now();
    let mut clients = go_on(&world, &saved);
    world.event_of(since, EventKind::SaveSkipped).await;
    until("status says that the save failed", || {
        let skipped = world.host.status().modules[0].save_skipped.clone();
        skipped.is_some_and(|why| why.contains("hostile: err"))
    })
    .await;
    clients.answered(MORE).await;
    let seen = clients.stop().await;
    nobody_was_set_back(&seen);
    all_agree(&world, &seen).await;
    // Once for each interval, not again and again.
    let told = world.host.events().since(since).0;
    let told = told.iter().filter(|event| event.kind == EventKind::SaveSkipped);
    let times: Vec<u64> = told.map(|event| event.time_ms).collect();
    let pause = u64::try_from(SHORT.as_millis()).unwrap();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= pause), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_a_periodic_save_that_traps_costs_what_was_not_saved() {
    let often = LimitsSpec {
        save_interval: Some(SHORT),
        ..limits(OnTrap::Fail)
    };
    let (world, saved) = saved_world("save=trap", often).await;
    let since = world.now();
    let clients = go_on(&world, &saved);
    world.event_of(since, EventKind::StateLost).await;
    let seen = clients.stop().await;
    nobody_was_set_back(&seen);
}

/// One of 64 clients sends a call that traps; gives the event of what became of the state, and what the others saw.
async fn one_traps(world: &World, saved: &[u64], then: EventKind) -> (String, Vec<Survived>) {
    let mut clients = go_on(world, saved);
    clients.answered(MORE).await;
    let since = world.now();
    let trapped = world
        .host
        .call::<_, Result<String, String>>("hostile", "fault", ("trap",));
    let error = trapped.await.unwrap_err();
    assert_eq!(
        (error.code, error.executed),
        (CallErrorCode::Trapped, Executed::Unknown),
        "{error}"
    );
    assert!(error.backtrace.is_some(), "{error:?}");
    let told = world.event_of(since, then).await;
    // Who sent the call is told as much as everybody else.
    let what = told.message.split(';').next().unwrap();
    assert!(error.message.contains(what), "{error}\nand the event: {what}");
    clients.answered(MORE).await;
    (told.message, clients.stop().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_with_fail_the_others_see_their_own_count_or_state_lost() {
    let (world, saved) = saved_world("", limits(OnTrap::Fail)).await;
    let (_, seen) = one_traps(&world, &saved, EventKind::StateLost).await;
    nobody_was_set_back(&seen);
    assert!(seen.iter().all(|seen| seen.state_lost > 0), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_with_a_greatest_age_the_others_see_their_own_count_or_state_lost() {
    let young = LimitsSpec {
        restore_max_age: Some(Duration::from_millis(1)),
        ..limits(OnTrap::Restore)
    };
    let (world, saved) = saved_world("", young).await;
    let (told, seen) = one_traps(&world, &saved, EventKind::StateLost).await;
    assert!(told.contains("restore_max_age"), "{told}");
    nobody_was_set_back(&seen);
    assert!(seen.iter().all(|seen| seen.state_lost > 0), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_with_restore_the_others_see_what_was_saved_and_all_are_told_how_much_is_lost() {
    let (world, saved) = saved_world("", limits(OnTrap::Restore)).await;
    let (told, seen) = one_traps(&world, &saved, EventKind::Restored).await;
    assert!(seen.iter().all(|seen| seen.state_lost == 0), "{seen:?}");
    let lost = set_back_to(&saved, &seen);
    assert!(told.contains("ago is restored"), "{told}");
    assert!(
        told.contains(&format!("{lost} calls answered since it was saved last are lost")),
        "{lost}: {told}"
    );
    assert_eq!(world.host.status().modules[0].restored, Some(told));
    all_agree(&world, &seen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_with_restore_nobody_sees_less_than_was_acknowledged_if_all_of_it_was_saved() {
    let (world, saved) = saved_world("", limits(OnTrap::Restore)).await;
    let trapped = world
        .host
        .call::<_, Result<String, String>>("hostile", "fault", ("trap",));
    let error = trapped.await.unwrap_err();
    assert!(error.message.contains("no call is lost with it"), "{error}");
    let mut clients = go_on(&world, &saved);
    clients.answered(MORE).await;
    let seen = clients.stop().await;
    nobody_was_set_back(&seen);
    all_agree(&world, &seen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_with_empty_the_others_begin_anew() {
    let (world, saved) = saved_world("", limits(OnTrap::Empty)).await;
    let (told, seen) = one_traps(&world, &saved, EventKind::Restored).await;
    assert!(told.contains("starts empty"), "{told}");
    set_back_to(&[0; CLIENTS], &seen);
    all_agree(&world, &seen).await;
}

#[test]
fn r27_a_state_that_was_left_behind_stays_behind_after_a_crash() {
    let mut host = Binary::run(&["counter-1.0.0"], &[]);
    assert_eq!(host.ok(&["call", "counter", "increment(5)"]).trim(), "5");
    host.ok(&["apply", guest("counter-1.1.0").to_str().unwrap()]);
    host.ok(&["apply", "--state", "empty", guest("counter-2.0.0").to_str().unwrap()]);
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "0");
    host.kill();
    let host = host.again(&[]);
    assert_eq!(host.ok(&["call", "counter", "get()"]).trim(), "0");
}
