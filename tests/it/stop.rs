//! A stop under load: what was acknowledged is there after the next start, and nobody waits for ever (R28).

use crate::clients::{Clients, Orders, THINKING};
use crate::support::{HANG, World};
use std::collections::HashMap;
use wasmhot::Host;
use wasmhot::error::{CallError, CallErrorCode, Executed};
use wasmhot_appup::LimitsSpec;

/// A client that calls until the host stops: gives what was acknowledged, by function's target.
async fn until_the_stop(host: Host, number: usize, orders: Orders) -> HashMap<Option<usize>, u64> {
    let client = format!("client {number}");
    let mut seen = HashMap::<Option<usize>, u64>::new();
    for round in 0_usize.. {
        let key = (round % 5 > 0).then_some((number + round) % 50);
        let next = seen.get(&key).copied().unwrap_or(0) + 1;
        let answer: Result<Result<u64, String>, CallError> = match key {
            Some(key) => {
                let room = format!("room {key}");
                host.call("rooms", "record", (room, client.as_str(), next)).await
            }
            None => host.call("counter", "record", (client.as_str(), next)).await,
        };
        match answer {
            Ok(answer) => {
                answer.unwrap();
                seen.insert(key, next);
            }
            Err(error) => {
                assert_eq!(
                    (error.code, error.executed),
                    (CallErrorCode::Stopping, Executed::NotExecuted),
                    "{error}"
                );
                break;
            }
        }
        orders.answered();
        if round.is_multiple_of(16) {
            orders.think(THINKING / 10).await;
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn r28_a_stop_under_load_loses_nothing_that_was_acknowledged() {
    let mut world = World::of(&["counter-1.0.0", "rooms-1.0.0"]).await;
    for _ in 0..3 {
        let mut clients = Clients::start(|number, orders| until_the_stop(world.host.clone(), number, orders));
        clients.answered(1000).await;
        // `restart` stops the host first.
        world = world.restart().await;
        let seen = clients.stop().await;
        let of = |key: Option<usize>| seen.iter().filter_map(|seen| seen.get(&key)).sum::<u64>();
        let total: u64 = world.host.call("counter", "total", ()).await.unwrap();
        assert_eq!(total, of(None));
        for key in 0..50 {
            let total: u64 = world
                .host
                .call("rooms", "total", (format!("room {key}"),))
                .await
                .unwrap();
            assert_eq!(total, of(Some(key)), "room {key}");
        }
        world.host.state_reset("counter", None).await.unwrap();
        for key in 0..50 {
            world
                .host
                .state_reset("rooms", Some(&format!("room {key}")))
                .await
                .unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_for_a_place_in_a_pool_are_told_of_the_stop() {
    let limits = LimitsSpec {
        instances_max: Some(1),
        drain_timeout: Some(HANG),
        ..LimitsSpec::default()
    };
    let world = World::with(&["tally-1.0.0"], |builder| builder.limits(limits)).await;
    let call = |function: &'static str, loops: u64| {
        let host = world.host.clone();
        tokio::spawn(async move { host.call::<_, u64>("tally", function, (loops,)).await })
    };
    // Some hundred milliseconds: the others wait meanwhile.
    let long = call("spin", 1 << 27);
    let status = || world.host.status().modules.remove(0);
    crate::support::until("the long call runs", || status().running == 1).await;
    let waiting: Vec<_> = (0..8).map(|_| call("spin", 1)).collect();
    crate::support::until("eight calls wait", || status().waiting == 8).await;
    let stopped = tokio::time::timeout(HANG, world.host.stop()).await.unwrap();
    assert_eq!(stopped.interrupted, 0);
    assert!(long.await.unwrap().is_ok());
    for call in waiting {
        let answer = tokio::time::timeout(HANG, call).await.unwrap().unwrap();
        // One of them may have got the place before the gates closed.
        if let Err(error) = answer {
            assert_eq!(
                (error.code, error.executed),
                (CallErrorCode::Stopping, Executed::NotExecuted),
                "{error}"
            );
        }
    }
}
