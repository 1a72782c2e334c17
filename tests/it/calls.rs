//! Calls from outside: order (R16), deadlines (R11), keys (R9, R33), and what a trap leaves behind (R14).

use crate::made::{front, slow_calc_of, wary};
use crate::support::{HANG, World, guest, until};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wasmhot::control::protocol::{CallRequest, UndoRequest};
use wasmhot::error::{CallErrorCode, Executed};
use wasmhot::event::EventKind;
use wasmhot_appup::{Instances, LimitsSpec, OnTrap};

fn text(module: &str, call: &str, deadline: Option<Duration>) -> CallRequest {
    CallRequest {
        module: module.into(),
        call: Some(call.into()),
        function: None,
        args: None,
        deadline_ms: deadline.map(|limit| u64::try_from(limit.as_millis()).unwrap()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r11_a_deadline_interrupts_a_call_of_a_pool() {
    let world = World::of(&["tally-1.0.0"]).await;
    let call = text("tally", "spin(18446744073709551615)", Some(Duration::from_millis(100)));
    let error = world.host.call_text(call).await.unwrap_err();
    assert_eq!(
        (error.code, error.executed),
        (CallErrorCode::TimedOut, Executed::Unknown),
        "{error}"
    );
    assert!(error.message.contains("interrupted"), "{error}");
    let status = world.host.status();
    assert_eq!(status.modules[0].running, 0, "nothing runs on");
    let sum: i64 = world.host.call("tally", "add", (1_i64, 2_i64)).await.unwrap();
    assert_eq!(sum, 3);
}

/// It counts its calls in its memory, which a pool does not promise to keep.
const TICKETS: &str = r#"(module
    (global $n (mut i32) (i32.const 0))
    (func (export "next") (result i32)
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (global.get $n)))"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_a_pool_is_kept_or_fresh_for_each_call() {
    for (instances, wanted) in [(Instances::Kept, [1, 2, 3]), (Instances::Fresh, [1, 1, 1])] {
        let limits = LimitsSpec {
            instances: Some(instances),
            ..LimitsSpec::default()
        };
        let file = ("tickets-1.0.0.wasm".to_string(), wat::parse_str(TICKETS).unwrap());
        let world = World::of_files(&[file], |builder| builder.limits(limits)).await;
        for number in wanted {
            let next: i32 = world.host.call("tickets", "next", ()).await.unwrap();
            assert_eq!(next, number, "{instances:?}");
        }
        let left = u64::from(instances == Instances::Kept);
        assert_eq!(world.host.status().modules[0].instances, left, "{instances:?}");
    }
}

/// So many calls, each after a pause of several epochs. Where one thread is held up for two of them, a call may become a task.
const AFTER_A_PAUSE: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn r17_a_short_call_is_answered_on_its_callers_thread_whenever_it_comes() {
    let world = World::of(&["counter-1.0.0", "tally-1.0.0"]).await;
    let counter = world.host.function("counter", "increment");
    let tally = world.host.function("tally", "add");
    let _: i64 = counter.call((1_i64,)).await.unwrap();
    let _: i64 = tally.call((1_i64, 2_i64)).await.unwrap();
    // What becomes a task waits for these.
    let busy = std::thread::available_parallelism().unwrap().get() * 4;
    let spins = (0..busy).map(|_| {
        let host = world.host.clone();
        tokio::spawn(async move {
            host.call_text(text("tally", "spin(18446744073709551615)", Some(HANG)))
                .await
        })
    });
    let spins: Vec<_> = spins.collect();
    until("all spin", || world.host.status().modules[1].running as usize == busy).await;
    let (mut of_lane, mut of_pool) = (0, 0);
    for _ in 0..AFTER_A_PAUSE {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let mut call = std::pin::pin!(counter.call::<_, i64>((1_i64,)));
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(_) => of_lane += 1,
            Poll::Pending => drop(call.await),
        }
        let mut call = std::pin::pin!(tally.call::<_, i64>((1_i64, 2_i64)));
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(_) => of_pool += 1,
            Poll::Pending => drop(call.await),
        }
    }
    spins.iter().for_each(tokio::task::JoinHandle::abort);
    let at_once = (of_lane, of_pool);
    assert!(
        of_lane.min(of_pool) * 2 >= AFTER_A_PAUSE,
        "of {AFTER_A_PAUSE} each: {at_once:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r11_a_deadline_ends_the_callers_wait_on_a_stateful_module() {
    let world = World::hostile("1.0.0", "", |builder| builder).await;
    let call = text("hostile", r#"fault("sleep:600")"#, Some(Duration::from_millis(50)));
    let error = world.host.call_text(call).await.unwrap_err();
    assert_eq!(
        (error.code, error.executed),
        (CallErrorCode::TimedOut, Executed::Unknown),
        "{error}"
    );
    assert!(error.message.contains("may still be executed"), "{error}");
    // What waits behind it until its own deadline was not executed.
    let call = text("hostile", "increment(1)", Some(Duration::from_millis(50)));
    let error = world.host.call_text(call).await.unwrap_err();
    assert_eq!(
        (error.code, error.executed),
        (CallErrorCode::TimedOut, Executed::NotExecuted),
        "{error}"
    );
    // The call went on to its end, and the state with it.
    let value: i64 = world.host.call("hostile", "increment", (1_i64,)).await.unwrap();
    assert_eq!(value, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn r11_a_stuck_instance_is_interrupted_and_its_state_restored() {
    let limits = LimitsSpec {
        stuck_timeout: Some(Duration::from_millis(300)),
        ..LimitsSpec::default()
    };
    let world = World::hostile("1.0.0", "", |builder| builder.limits(limits)).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    world.host.state_export("hostile", None).await.unwrap();
    for kind in ["loop", "block"] {
        let since = world.now();
        let error = world
            .host
            .call::<_, Result<String, String>>("hostile", "fault", (kind,))
            .await
            .unwrap_err();
        assert_eq!(
            (error.code, error.executed),
            (CallErrorCode::Stuck, Executed::Unknown),
            "{kind}: {error}"
        );
        world.event_of(since, EventKind::Restored).await;
        let value: i64 = world.host.call("hostile", "get", ()).await.unwrap();
        assert_eq!(value, 5, "{kind}");
    }
}

async fn trapped(on_trap: OnTrap) -> (World, String) {
    let limits = LimitsSpec {
        on_trap: Some(on_trap),
        ..LimitsSpec::default()
    };
    let world = World::hostile("1.0.0", "", |builder| builder.limits(limits)).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    world.host.state_export("hostile", None).await.unwrap();
    let _: i64 = world.host.call("hostile", "increment", (2_i64,)).await.unwrap();
    let error = world
        .host
        .call::<_, Result<String, String>>("hostile", "fault", ("trap",))
        .await
        .unwrap_err();
    assert_eq!(error.code, CallErrorCode::Trapped, "{error}");
    assert!(
        error
            .backtrace
            .as_ref()
            .is_some_and(|backtrace| backtrace.contains("wasm")),
        "{error:?}"
    );
    (world, error.message)
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_a_trap_restores_the_newest_saved_state_and_tells_its_age() {
    let (world, message) = trapped(OnTrap::Restore).await;
    assert!(message.contains("ago is restored"), "{message}");
    let value: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(value, 5);
    world.event_of(0, EventKind::Restored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_or_starts_empty() {
    let (world, message) = trapped(OnTrap::Empty).await;
    assert!(message.contains("starts empty"), "{message}");
    let value: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(value, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_or_is_lost_until_somebody_restores_or_resets_it() {
    let (world, message) = trapped(OnTrap::Fail).await;
    assert!(message.contains("state is lost"), "{message}");
    let error = world.host.call::<_, i64>("hostile", "get", ()).await.unwrap_err();
    assert_eq!(
        (error.code, error.executed),
        (CallErrorCode::StateLost, Executed::NotExecuted),
        "{error}"
    );
    assert!(error.message.contains("state restore"), "{error}");
    assert_eq!(world.condition("hostile"), "failed (state lost)");
    world.host.state_restore("hostile", None).await.unwrap();
    let value: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(value, 5);
    assert_eq!(world.condition("hostile"), "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_a_state_too_old_is_not_restored_by_itself() {
    let limits = LimitsSpec {
        restore_max_age: Some(Duration::from_millis(1)),
        ..LimitsSpec::default()
    };
    let world = World::hostile("1.0.0", "", |builder| builder.limits(limits)).await;
    world.host.state_export("hostile", None).await.unwrap();
    // Two milliseconds pass in the guest, whatever else this machine does.
    let _: Result<String, String> = world.host.call("hostile", "fault", ("sleep:5",)).await.unwrap();
    let error = world
        .host
        .call::<_, Result<String, String>>("hostile", "fault", ("trap",))
        .await
        .unwrap_err();
    assert!(error.message.contains("restore_max_age"), "{error}");
    let error = world.host.call::<_, i64>("hostile", "get", ()).await.unwrap_err();
    assert_eq!(error.code, CallErrorCode::StateLost);
    world.host.state_reset("hostile", None).await.unwrap();
    let value: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(value, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn r14_stateful_modules_are_saved_every_interval_when_something_was_called() {
    let limits = LimitsSpec {
        save_interval: Some(Duration::from_millis(50)),
        ..LimitsSpec::default()
    };
    let world = World::hostile("1.0.0", "", |builder| builder.limits(limits)).await;
    let _: i64 = world.host.call("hostile", "increment", (5_i64,)).await.unwrap();
    until("it was saved", || world.host.status().modules[0].saved_ms_ago.is_some()).await;
    until("nothing is unsaved", || {
        world.host.status().modules[0].unsaved_calls == Some(0)
    })
    .await;
    let error = world
        .host
        .call::<_, Result<String, String>>("hostile", "fault", ("trap",))
        .await
        .unwrap_err();
    assert!(error.message.contains("ago is restored"), "{error}");
    let value: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(value, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn r16_calls_of_one_client_are_answered_in_order_over_upgrades() {
    let world = Arc::new(World::of(&["counter-1.0.0"]).await);
    // The guest refuses gaps and repeats; calls are sent one after another without waiting for answers.
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let name = format!("c{client}");
                for sequence in 1..=500_u64 {
                    let counted: Result<u64, String> = world
                        .host
                        .call("counter", "record", (name.clone(), sequence))
                        .await
                        .unwrap();
                    counted.unwrap();
                }
            })
        })
        .collect();
    for _ in 0..3 {
        world.apply(&guest("counter-2.0.0")).await.unwrap();
        world.host.undo(UndoRequest::default()).await.unwrap();
    }
    for client in clients {
        client.await.unwrap();
    }
    let total: u64 = world.host.call("counter", "total", ()).await.unwrap();
    assert_eq!(total, 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_full_says_so() {
    let limits = LimitsSpec {
        queue_max: Some(2),
        ..LimitsSpec::default()
    };
    let world = World::hostile("1.0.0", "", |builder| builder.limits(limits)).await;
    let host = world.host.clone();
    let long = tokio::spawn(async move {
        host.call::<_, Result<String, String>>("hostile", "fault", ("sleep:800",))
            .await
    });
    until("it runs", || world.host.status().modules[0].running == 1).await;
    let calls = (0..6).map(|_| world.host.call::<_, i64>("hostile", "increment", (1_i64,)));
    let answers = futures_util::future::join_all(calls).await;
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert_eq!(refused.len(), 4);
    for error in refused {
        assert_eq!(
            (error.code, error.executed),
            (CallErrorCode::Overloaded, Executed::NotExecuted)
        );
    }
    long.await.unwrap().unwrap().unwrap();
    let value: i64 = world.host.call("hostile", "get", ()).await.unwrap();
    assert_eq!(value, 2);
}

// ---- keyed ----

pub(crate) fn rooms(limits: &str) -> String {
    format!(
        "format = 1\n[release]\nname = \"rooms\"\nversion = \"1.0.0\"\n[[modules]]\nname = \"rooms\"\npath = \"rooms-1.0.0.wasm\"\nkind = \"keyed\"\n[modules.limits]\n{limits}\n"
    )
}

pub(crate) async fn say(world: &World, key: &str, what: &str) -> u64 {
    world.host.call("rooms", "say", (key, "ann", what)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn r09_each_key_has_a_state_of_its_own() {
    let world = World::of(&["rooms-1.0.0"]).await;
    assert_eq!(say(&world, "kitchen", "hi").await, 1);
    assert_eq!(say(&world, "cellar", "hu").await, 1);
    assert_eq!(say(&world, "kitchen", "ho").await, 2);
    let history: Vec<String> = world.host.call("rooms", "history", ("kitchen",)).await.unwrap();
    assert_eq!(history, ["ann: hi", "ann: ho"]);
    assert_eq!(world.host.status().modules[0].keys, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn r09_idle_keys_hibernate_and_are_revived_by_their_next_call() {
    let world = World::release(&rooms("instances_max = 4"), &["rooms-1.0.0"]).await;
    for round in 1..=3_u64 {
        for key in 0..40 {
            assert_eq!(say(&world, &format!("room {key}"), "hi").await, round, "key {key}");
        }
    }
    until("most sleep", || world.host.status().modules[0].instances <= 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r09_keys_are_bounded_and_may_need_to_be_made() {
    let world = World::release(&rooms("max_keys = 2"), &["rooms-1.0.0"]).await;
    say(&world, "one", "hi").await;
    say(&world, "two", "hi").await;
    let error = world
        .host
        .call::<_, u64>("rooms", "say", ("three", "ann", "hi"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code, error.executed),
        (CallErrorCode::NoSuchKey, Executed::NotExecuted),
        "{error}"
    );
    assert!(error.message.contains("max_keys"), "{error}");

    let world = World::release(&rooms("create = \"explicit\""), &["rooms-1.0.0"]).await;
    let error = world
        .host
        .call::<_, u64>("rooms", "say", ("one", "ann", "hi"))
        .await
        .unwrap_err();
    assert_eq!(error.code, CallErrorCode::NoSuchKey, "{error}");
    // Reset makes an empty one.
    world.host.state_reset("rooms", Some("one")).await.unwrap();
    assert_eq!(say(&world, "one", "hi").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn r09_a_key_without_a_call_for_long_expires() {
    let world = World::release(&rooms("expire = \"300ms\"\nsave_interval = \"50ms\""), &["rooms-1.0.0"]).await;
    assert_eq!(say(&world, "one", "hi").await, 1);
    until("it has expired", || world.host.status().modules[0].keys == Some(0)).await;
    assert_eq!(say(&world, "one", "hi").await, 1, "its state went with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn r33_after_the_switch_no_key_is_answered_by_the_old_version() {
    let world = Arc::new(World::of(&["rooms-1.0.0"]).await);
    for key in 0..50 {
        say(&world, &format!("k{key}"), "hi").await;
    }
    let since = world.now();
    world.apply(&guest("rooms-1.1.0")).await.unwrap();
    for key in 0..50 {
        let version: String = world.host.call("rooms", "version", (format!("k{key}"),)).await.unwrap();
        assert_eq!(version, "1.1.0");
        assert_eq!(say(&world, &format!("k{key}"), "ho").await, 2);
    }
    world.event_of(since, EventKind::SweepDone).await;
    // Back, and at once forth again: a new upgrade does not wait for the sweep.
    world.host.undo(UndoRequest::default()).await.unwrap();
    world.apply(&guest("rooms-1.1.0")).await.unwrap();
    for key in 0..50 {
        let version: String = world.host.call("rooms", "version", (format!("k{key}"),)).await.unwrap();
        assert_eq!(version, "1.1.0");
        assert_eq!(say(&world, &format!("k{key}"), "ho").await, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r33_sleeping_keys_are_handed_over_too() {
    let world = World::release(&rooms("instances_max = 2"), &["rooms-1.0.0"]).await;
    for key in 0..20 {
        say(&world, &format!("k{key}"), "hi").await;
    }
    world.apply(&guest("rooms-1.1.0")).await.unwrap();
    let world = world.restart().await;
    for key in 0..20 {
        assert_eq!(say(&world, &format!("k{key}"), "ho").await, 2);
    }
    let version: String = world.host.call("rooms", "version", ("k0",)).await.unwrap();
    assert_eq!(version, "1.1.0");
}

/// More keys than are read at once, of which four live at a time; clients call while the others are brought to the new version.
#[tokio::test(flavor = "multi_thread")]
async fn r33_no_call_is_lost_in_the_sweep_of_sleeping_keys() {
    const KEYS: u64 = 600;
    let world = Arc::new(World::release(&rooms("instances_max = 4"), &["rooms-1.0.0"]).await);
    let name = |key: u64| format!("k{key}");
    for key in 0..KEYS {
        say(&world, &name(key), "hi").await;
    }
    let since = world.now();
    let ended = Arc::new(AtomicBool::new(false));
    let clients = (0..4).map(|client| {
        let (world, ended) = (Arc::clone(&world), Arc::clone(&ended));
        tokio::spawn(async move {
            let mut said = BTreeMap::<u64, u64>::new();
            // Each has keys of its own, in an order that is not that of the store.
            for turn in 0_u64.. {
                let key = (turn * 4 * 7 + client) % KEYS;
                let count = said.entry(key).or_insert(1);
                *count += 1;
                assert_eq!(say(&world, &name(key), "ho").await, *count, "{key}");
                if ended.load(Ordering::Acquire) {
                    return said;
                }
            }
            said
        })
    });
    let clients: Vec<_> = clients.collect();
    world.apply(&guest("rooms-1.1.0")).await.unwrap();
    world.event_of(since, EventKind::SweepDone).await;
    ended.store(true, Ordering::Release);
    let mut said = BTreeMap::new();
    for client in clients {
        said.extend(client.await.unwrap());
    }
    let world = Arc::into_inner(world).unwrap().restart().await;
    for key in 0..KEYS {
        let shown = world.host.state_show("rooms", Some(&name(key))).await.unwrap();
        assert_eq!(shown.version.as_deref(), Some("rooms@1.1.0"), "{key}");
        let before = said.get(&key).copied().unwrap_or(1);
        assert_eq!(say(&world, &name(key), "again").await, before + 1, "{key}");
    }
}

/// The places of throw-away instances are used again and again: what one key has left there is not to be seen by the next.
#[tokio::test(flavor = "multi_thread")]
async fn r33_a_key_sees_nothing_of_the_one_before_it_in_the_sweep() {
    const KEYS: i64 = 300;
    let toml = rooms("instances_max = 2").replace("rooms", "wary");
    let prepare = |app: &std::path::Path| {
        std::fs::write(app.join("release.toml"), toml).unwrap();
        std::fs::write(app.join("wary-1.0.0.wasm"), wary(1)).unwrap();
    };
    let world = World::prepared(prepare, |builder| builder).await;
    for key in 0..KEYS {
        let set = world.host.call::<_, ()>("wary", "set", (format!("k{key}"), key));
        set.await.unwrap();
    }
    for (build, version) in [(2, "1.1.0"), (3, "1.2.0")] {
        let since = world.now();
        let file = world.outside().join(format!("wary-{version}.wasm"));
        std::fs::write(&file, wary(build)).unwrap();
        world.apply(&file).await.unwrap();
        let swept = world.event_of(since, EventKind::SweepDone).await;
        assert_eq!(swept.details["failed_keys"], 0, "{swept:?}");
    }
    for key in 0..KEYS {
        let got: i64 = world.host.call("wary", "get", (format!("k{key}"),)).await.unwrap();
        assert_eq!(got, key);
    }
}

/// There are 64 places for instances of a moment. Those beyond are made as all others are.
#[tokio::test(flavor = "multi_thread")]
async fn more_fresh_instances_than_there_are_places_for_answer_all_the_same() {
    const CALLS: i32 = 150;
    let toml = r#"
format = 1
[release]
name = "pair"
version = "1.0.0"
[[modules]]
name = "front"
path = "front-1.0.0.wasm"
[modules.limits]
instances = "fresh"
instances_max = 200
[[modules]]
name = "calc"
path = "calc-1.0.0.wasm"
[modules.limits]
instances_max = 1
"#;
    let prepare = |app: &std::path::Path| {
        std::fs::write(app.join("release.toml"), toml).unwrap();
        std::fs::write(app.join("front-1.0.0.wasm"), front(1, 1)).unwrap();
        // All calls of `front` wait here at once, for one of a few places.
        std::fs::write(app.join("calc-1.0.0.wasm"), slow_calc_of(10, 10_000_000)).unwrap();
    };
    let world = Arc::new(World::prepared(prepare, |builder| builder).await);
    let calls = (0..CALLS).map(|number| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { (number, world.host.call::<_, i32>("front", "run", (number,)).await) })
    });
    for call in calls.collect::<Vec<_>>() {
        let (number, answer) = call.await.unwrap();
        assert_eq!(answer.unwrap(), number + 11);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_many_keys_do_not_wait_for_each_other() {
    let world = World::release(
        r#"
format = 1
[release]
name = "walks"
version = "1.0.0"
[[modules]]
name = "walker"
kind = "keyed"
path = "walker-1.0.0.wasm"
[modules.links]
"demo:walker/walk" = "walker"
"#,
        &["walker-1.0.0"],
    )
    .await;
    // One key sleeps for longer than the test waits; the others answer meanwhile.
    let host = world.host.clone();
    let way: Vec<String> = Vec::new();
    let long = tokio::spawn({
        let way = way.clone();
        async move {
            host.call::<_, Result<u64, String>>("walker", "walk", ("slow", way, 3000_u64))
                .await
        }
    });
    until("it runs", || world.host.status().modules[0].running == 1).await;
    for key in 0..20 {
        let call = world
            .host
            .call::<_, Result<u64, String>>("walker", "walk", (format!("k{key}"), way.clone(), 0_u64));
        tokio::time::timeout(HANG, call).await.unwrap().unwrap().unwrap();
    }
    assert!(!long.is_finished(), "the slow one still runs");
    long.await.unwrap().unwrap().unwrap();
}
