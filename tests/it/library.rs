//! The library as a program uses it: errors that say what would be right, events, several tasks at once.

use crate::support::{World, guest};
use wasmhot::Host;
use wasmhot::control::protocol::{ApplyRequest, CallRequest};
use wasmhot::error::{CallError, CallErrorCode, Executed};
use wasmhot::value::Value;

async fn fails(world: &World, module: &str, function: &str, args: Vec<Value>) -> CallError {
    let error = world.host.call_values(module, function, args, None).await.unwrap_err();
    assert_eq!(error.executed, Executed::NotExecuted, "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_module_is_answered_with_those_there_are() {
    let world = World::of(&["counter-1.0.0", "tally-1.0.0"]).await;
    let error = fails(&world, "conter", "get", vec![]).await;
    assert_eq!(error.code, CallErrorCode::NoSuchModule);
    assert!(
        error.message.contains("`conter`") && error.message.contains("counter, tally"),
        "{error}"
    );
    let error = fails(&world, "no name", "get", vec![]).await;
    assert_eq!(error.code, CallErrorCode::NoSuchModule);
    let empty = Host::builder().start().await.unwrap();
    let error = empty.call::<_, i64>("counter", "get", ()).await.unwrap_err();
    assert!(error.message.contains("there are none"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_function_is_answered_with_those_there_are_and_their_types() {
    let world = World::of(&["counter-1.0.0", "calculator-1.0.0"]).await;
    let error = fails(&world, "counter", "incremnt", vec![]).await;
    assert_eq!(error.code, CallErrorCode::NoSuchFunction);
    assert_eq!(
        (error.module.as_deref(), error.version.as_deref()),
        (Some("counter"), Some("1.0.0"))
    );
    for function in [
        "increment: func(by: s64) -> s64",
        "get: func() -> s64",
        "record: func(client: string, sequence: u64) -> result<u64, string>",
    ] {
        assert!(error.message.contains(function), "{function}: {error}");
    }
    assert!(
        !error.message.contains("migrate"),
        "what is the host's is not offered: {error}"
    );
    // In an interface: by name, with the interface, with the interface in full.
    for function in [
        "calculate",
        "calculator.calculate",
        "donations:app/calculator.calculate",
    ] {
        let fee: u64 = world.host.call("calculator", function, (1000_u64,)).await.unwrap();
        assert_eq!(fee, 50, "{function}");
    }
    let error = fails(&world, "calculator", "other.calculate", vec![]).await;
    assert!(
        error
            .message
            .contains("donations:app/calculator.calculate: func(amount: u64) -> u64"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_argument_says_which_and_what_type_was_expected() {
    let world = World::of(&["counter-1.0.0", "tally-1.0.0"]).await;
    let table: [(&str, &str, Vec<Value>, &[&str]); 6] = [
        (
            "counter",
            "increment",
            vec![Value::String("a".into())],
            &["`by`", "s64", "string"],
        ),
        ("counter", "increment", vec![Value::U64(1)], &["`by`", "s64", "u64"]),
        ("counter", "increment", vec![], &["1", "0", "func(by: s64)"]),
        ("counter", "get", vec![Value::S64(1)], &["0", "1", "func()"]),
        (
            "counter",
            "record",
            vec![Value::String("ann".into()), Value::String("1".into())],
            &["`sequence`", "u64", "string"],
        ),
        (
            "tally",
            "add",
            vec![Value::S64(1), Value::Bool(true)],
            &["`b`", "s64", "bool"],
        ),
    ];
    for (module, function, args, parts) in table {
        let error = fails(&world, module, function, args).await;
        assert_eq!(error.code, CallErrorCode::WrongArgument);
        for part in parts {
            assert!(error.message.contains(part), "{part}: {error}");
        }
    }
    // In text.
    let texts = [
        ("increment(\"a\")", &["`by`", "s64"][..]),
        ("increment(9223372036854775808)", &["s64"]),
        ("increment(1, 2)", &["func(by: s64)"]),
        ("record(\"ann\", -1)", &["`sequence`", "u64"]),
        ("increment(", &["increment("]),
    ];
    for (call, parts) in texts {
        let request = CallRequest {
            module: "counter".to_string(),
            call: Some(call.to_string()),
            function: None,
            args: None,
            deadline_ms: None,
        };
        let error = world.host.call_text(request).await.unwrap_err();
        assert_eq!(
            (error.code, error.executed),
            (CallErrorCode::WrongArgument, Executed::NotExecuted),
            "{error}"
        );
        for part in parts {
            assert!(error.message.contains(part), "{part}: {error}");
        }
    }
    let count: i64 = world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_of_another_type_is_an_error_after_the_call() {
    let world = World::of(&["counter-1.0.0"]).await;
    let error = world
        .host
        .call::<_, String>("counter", "increment", (5_i64,))
        .await
        .unwrap_err();
    assert_eq!(error.executed, Executed::Unknown, "{error}");
    let count: i64 = world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!(count, 5, "it was executed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_has_the_backtrace_of_the_guest() {
    let world = World::hostile("1.0.0", "", |builder| builder).await;
    let answer = world
        .host
        .call::<_, Result<String, String>>("hostile", "fault", ("trap",))
        .await;
    let error = answer.unwrap_err();
    assert_eq!(
        (error.code, error.executed),
        (CallErrorCode::Trapped, Executed::Unknown)
    );
    let backtrace = error.backtrace.clone().unwrap();
    assert!(backtrace.contains("fault"), "names of functions: {backtrace}");
    assert!(error.to_string().contains("hostile@1.0.0") && error.to_string().contains(&backtrace));
}

/// A program without the watch, without a state directory, on a runtime of one thread.
#[tokio::test]
async fn a_host_can_be_started_empty_and_filled_by_hand() {
    let host = Host::builder().start().await.unwrap();
    assert_eq!(
        (host.status().revision, host.status().directory, host.status().state),
        (0, None, None)
    );
    let request = |name: &str| ApplyRequest {
        path: guest(name),
        ..ApplyRequest::default()
    };
    host.apply(request("counter-1.0.0")).await.unwrap();
    host.apply(request("tally-1.0.0")).await.unwrap();
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let host = host.clone();
            tokio::spawn(async move { host.call::<_, i64>("counter", "increment", (1_i64,)).await })
        })
        .collect();
    let report = host.apply(request("counter-2.0.0")).await.unwrap();
    assert_eq!(report.modules[0].to.as_deref(), Some("2.0.0"));
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let count: i64 = host.call("counter", "get", ()).await.unwrap();
    assert_eq!(count, 100);
    host.stop().await;
    let error = host.call::<_, i64>("counter", "get", ()).await.unwrap_err();
    assert_eq!(
        (error.code, error.executed),
        (CallErrorCode::Stopping, Executed::NotExecuted)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_was_looked_up_follows_its_module() {
    let world = World::of(&["counter-1.0.0"]).await;
    let version = world.host.function("counter", "version");
    let increment = world.host.function("counter", "increment");
    let later = world.host.function("tally", "add");
    assert_eq!(version.call::<_, String>(()).await.unwrap(), "1.0.0");
    assert_eq!(increment.call::<_, i64>((2_i64,)).await.unwrap(), 2);
    let error = later.call::<_, i64>((1_i64, 2_i64)).await.unwrap_err();
    assert_eq!(
        (error.code, error.executed),
        (CallErrorCode::NoSuchModule, Executed::NotExecuted)
    );
    // Another module comes before it in the table, and the functions of the new version are others.
    for file in ["counter-2.0.0", "calculator-1.0.0", "tally-1.0.0"] {
        let path = guest(file);
        world
            .host
            .apply(ApplyRequest {
                path,
                ..ApplyRequest::default()
            })
            .await
            .unwrap();
    }
    assert_eq!(version.call::<_, String>(()).await.unwrap(), "2.0.0");
    assert_eq!(increment.call::<_, i64>((3_i64,)).await.unwrap(), 5);
    assert_eq!(later.call::<_, i64>((1_i64, 2_i64)).await.unwrap(), 3);
    let error = increment.call::<_, i64>(("three",)).await.unwrap_err();
    assert_eq!(
        (error.code, error.executed),
        (CallErrorCode::WrongArgument, Executed::NotExecuted)
    );
}

#[tokio::test]
async fn who_calls_without_end_lets_other_tasks_have_their_turn() {
    let world = World::of(&["counter-1.0.0"]).await;
    let increment = world.host.function("counter", "increment");
    let (told, mut heard) = tokio::sync::oneshot::channel();
    tokio::spawn(async move { told.send(()) });
    // On the only thread there is: the other task would never run if no call ever gave it its turn.
    while heard.try_recv().is_err() {
        increment.call::<_, i64>((1_i64,)).await.unwrap();
    }
}
