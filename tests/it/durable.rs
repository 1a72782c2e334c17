//! `durability = "call"`: kill -9 loses no call that was answered.

use crate::support::{Binary, HANG, Lines, World, command, guest, hostile, put_guests, skip, tool};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmhot::control::client::Client;
use wasmhot::control::protocol::{CallRequest, Exit};
use wasmhot::error::{CallError, CallErrorCode, Executed};
use wasmhot_appup::{Durability, LimitsSpec};

const RELEASE: &str = r#"
format = 1
[release]
name = "durable"
version = "1.0.0"
[limits]
durability = "call"
save_interval = "1h"
[[modules]]
name = "counter"
path = "counter-1.0.0.wasm"
[[modules]]
name = "rooms"
path = "rooms-1.0.0.wasm"
"#;

fn durable() -> LimitsSpec {
    LimitsSpec {
        durability: Some(Durability::Call),
        ..LimitsSpec::default()
    }
}

/// Calls all the time until the host is gone. Notes the greatest number that was answered.
async fn calls(socket: std::path::PathBuf, module: &str, call: &str, answered: Arc<AtomicU64>) {
    let client = Client::new(&socket);
    let request = CallRequest {
        module: module.to_string(),
        call: Some(call.to_string()),
        function: None,
        args: None,
        deadline_ms: None,
    };
    while let Ok(answer) = client.call(&request).await {
        let number = answer.value.as_u64().unwrap();
        answered.fetch_max(number, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_call_that_was_answered() {
    let prepare = |app: &std::path::Path| {
        put_guests(app, &["counter-1.0.0", "rooms-1.0.0"]);
        std::fs::write(app.join("release.toml"), RELEASE).unwrap();
    };
    let mut host = Binary::prepared(prepare, &[]);
    let of_each = [("counter", "increment(1)".to_string(), "get()".to_string())];
    let rooms = ["attic", "hall", "kitchen"].map(|room| {
        let say = format!("say(\"{room}\", \"ann\", \"hi\")");
        ("rooms", say, format!("history(\"{room}\")"))
    });
    let of_each: Vec<_> = of_each.into_iter().chain(rooms).collect();
    let mut before = vec![0; of_each.len()];
    for round in 1..=3_u64 {
        let answered: Vec<_> = of_each.iter().map(|_| Arc::new(AtomicU64::new(0))).collect();
        let clients: Vec<_> = of_each
            .iter()
            .zip(&answered)
            .flat_map(|(one, answered)| [(one, answered), (one, answered)])
            .map(|((module, call, _), answered)| {
                let (socket, module, call) = (host.socket(), *module, call.clone());
                let answered = Arc::clone(answered);
                tokio::spawn(async move { calls(socket, module, &call, answered).await })
            })
            .collect();
        let enough = |answered: &Vec<Arc<AtomicU64>>| {
            let counts = answered.iter().zip(&before);
            counts
                .into_iter()
                .all(|(now, before)| now.load(Ordering::SeqCst) > before + 5 * round)
        };
        crate::support::until("all were answered some times", || enough(&answered)).await;
        host.kill();
        for client in clients {
            tokio::time::timeout(HANG, client).await.unwrap().unwrap();
        }
        host = host.again(&[]);
        for (place, (module, _, get)) in of_each.iter().enumerate() {
            let told = host.ok(&["call", module, get]);
            let count = match *module {
                "rooms" => told.matches("ann: hi").count() as u64,
                _ => told.trim().parse().unwrap(),
            };
            let answered = answered[place].load(Ordering::SeqCst);
            // Of each of the two clients one call may have been on its way.
            assert!(
                (answered..=answered + 2).contains(&count),
                "{module} {get}: {count}, answered {answered}"
            );
            before[place] = count;
        }
    }
}

/// The disk takes a second to refuse what a call has changed. Who reads that meanwhile changes nothing, but has seen it.
#[test]
fn who_saw_what_the_disk_did_not_take_is_not_answered_as_if_it_had() {
    let Some(mut strace) = tool("strace", "-V") else { return };
    let prepare = |app: &std::path::Path| {
        put_guests(app, &["counter-1.0.0", "rooms-1.0.0"]);
        std::fs::write(app.join("release.toml"), RELEASE).unwrap();
    };
    let host = Binary::prepared(prepare, &[]);
    assert_eq!(host.ok(&["call", "counter", "increment(1)"]).trim(), "1");
    let fault = "inject=fdatasync,fsync:error=EIO:delay_enter=1s";
    let pid = host.pid().to_string();
    let mut disk = Lines::of_talk(strace.args(["-f", "-e", "trace=fdatasync,fsync", "-e", fault, "-p", &pid]));
    let attached = disk.until(|line| line.contains("attach"));
    if !attached.contains(" attached") {
        return skip(&attached);
    }
    let mut increment = command(host.root());
    increment.args(["call", "counter", "increment(1)"]);
    let writes = increment.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let read = loop {
        let read = host.cli(&["call", "counter", "get()"]);
        // Nothing has been changed yet.
        if read.stdout.trim_ascii() != b"1" {
            break read;
        }
    };
    for output in [read, writes.wait_with_output().unwrap()] {
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("its changes are not on the disk"), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_between_such_calls_loses_none() {
    let world = World::with(&["counter-1.0.0"], |builder| builder.limits(durable())).await;
    for (round, name) in ["counter-2.0.0", "counter-1.0.0"].iter().cycle().take(6).enumerate() {
        let count: i64 = world.host.call("counter", "increment", (1_i64,)).await.unwrap();
        assert_eq!(count, round as i64 + 1);
        world.apply(&guest(name)).await.unwrap();
    }
    let status = world.host.status();
    assert_eq!(status.modules[0].unsaved_calls, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_state_cannot_be_saved_says_that_it_was_executed() {
    let settings = |builder: wasmhot::HostBuilder| builder.limits(durable());
    let world = World::hostile("1.0.0", "save=err", settings).await;
    let answer: Result<i64, CallError> = world.host.call("hostile", "increment", (1_i64,)).await;
    let error = answer.unwrap_err();
    assert_eq!(
        (error.code, error.executed),
        (CallErrorCode::NotDurable, Executed::Unknown),
        "{error:?}"
    );
    let bytes = hostile("1.0.1", "");
    let path = world.outside().join("hostile-1.0.1.wasm");
    std::fs::write(&path, bytes).unwrap();
    let applied = world.host.apply(wasmhot::control::protocol::ApplyRequest {
        path,
        state: wasmhot::control::protocol::StateSource::Empty,
        ..Default::default()
    });
    applied.await.unwrap();
    let count: i64 = world.host.call("hostile", "increment", (1_i64,)).await.unwrap();
    assert_eq!(count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_whose_answers_cannot_wait_is_refused() {
    let world = World::empty(|builder| builder.limits(durable())).await;
    for (name, why) in [
        ("lounge-1.0.0", "beside each other"),
        ("booth-1.0.0", "answers HTTP itself"),
    ] {
        let failure = world.apply(&guest(name)).await.unwrap_err();
        assert_eq!(
            (failure.exit, failure.code.as_str()),
            (Exit::Refused, "not-durable"),
            "{failure:?}"
        );
        assert!(failure.message.contains(why), "{failure:?}");
    }
    // A module without state has nothing to keep.
    world.apply(&guest("tally-1.0.0")).await.unwrap();
}
