//! What goes wrong in modules: each has its status, and leaves the connection and the others as they were.

use super::{Site, page};
use crate::support::{guest, until};
use std::time::Duration;
use wasmhot::control::protocol::ApplyRequest;
use wasmhot::event::EventKind;
use wasmhot_appup::{Instances, LimitsSpec};

async fn limited(guests: &[&str], limits: LimitsSpec) -> Site {
    Site::with(guests, |builder| builder.limits(limits)).await
}

#[tokio::test]
async fn r14_a_trap_is_502_and_the_state_comes_back() {
    let site = Site::of(&["page-1.0.0", "booth-1.0.0"]).await;
    let mut client = site.client().await;
    for visit in 1..=3 {
        assert_eq!(client.get("/page/count").await.ok(), visit.to_string());
    }
    site.world.host.state_export("page", None).await.unwrap();
    let trapped = client.get("/page/trap").await;
    assert_eq!(trapped.problem(502), "trapped");
    assert!(
        trapped.body.contains("is restored") && !trapped.body.contains("backtrace"),
        "{trapped:?}"
    );
    assert_eq!(client.get("/page/count").await.ok(), "4");
    let event = site.world.event_of(0, EventKind::Trapped).await;
    assert!(
        event.details["backtrace"]
            .as_str()
            .is_some_and(|trace| trace.contains("abort")),
        "{event:?}"
    );
    assert_eq!(client.get("/booth/a/trap").await.problem(502), "trapped");
    assert_eq!(client.get("/booth/b/count").await.ok(), "1");
}

#[tokio::test]
async fn a_handler_without_a_whole_response_is_502_and_never_looks_whole() {
    let site = Site::of(&["page-1.0.0", "echo-1.0.0", "counter-1.0.0"]).await;
    let mut client = site.client().await;
    for (path, code) in [
        ("/page/nothing", "bad-response"),
        ("/page/refuse", "bad-response"),
        ("/page/unfinished", "bad-response"),
        ("/page/torn", "trapped"),
        // All was written; but what the page counted is lost, and the client is not told otherwise.
        ("/page/late", "trapped"),
        ("/echo/nothing", "bad-response"),
        ("/echo/refuse", "bad-response"),
        ("/echo/trap", "trapped"),
    ] {
        assert_eq!(client.get(path).await.problem(502), code, "{path}");
    }
    assert_eq!(client.get("/page/count").await.ok(), "1");
    // A pool may have sent its status by then: the body breaks, and the connection with it.
    for path in ["/echo/unfinished", "/echo/torn"] {
        assert!(!site.looks_whole(path).await, "{path}");
    }
    assert_eq!(site.get("/echo/pass-on?by=1").await.ok(), "1");
}

/// As JavaScript that componentize-js made showed: its handlers answer once, and are silent from then on.
#[tokio::test]
async fn an_instance_without_state_that_gave_no_response_is_not_asked_again() {
    let site = Site::of(&["echo-1.0.0", "counter-1.0.0"]).await;
    let counts = || {
        let status = site.world.host.status();
        let echo = status.modules.into_iter().find(|module| module.module == "echo");
        let echo = echo.unwrap();
        (echo.running, echo.instances)
    };
    assert_eq!(site.get("/echo/pass-on?by=1").await.ok(), "1");
    // A client has its response before the instance is given back; a request that comes between gets another one.
    until("the instance is given back", || counts() == (0, 1)).await;
    assert_eq!(site.get("/echo/nothing").await.problem(502), "bad-response");
    until("the instance is given up", || counts() == (0, 0)).await;
    assert_eq!(site.get("/echo/pass-on?by=1").await.ok(), "2");
    until("another one is there", || counts() == (0, 1)).await;
}

/// What such handlers need.
#[tokio::test]
async fn with_fresh_instances_each_request_has_one_of_its_own() {
    let fresh = LimitsSpec {
        instances: Some(Instances::Fresh),
        ..LimitsSpec::default()
    };
    let site = limited(&["echo-1.0.0", "counter-1.0.0"], fresh).await;
    let instances = || site.world.host.status().modules[1].instances;
    let mut client = site.client().await;
    for count in ["1", "2", "3"] {
        assert_eq!(client.get("/echo/pass-on?by=1").await.ok(), count);
        until("the instance is gone", || instances() == 0).await;
    }
    assert_eq!(client.get("/echo/nothing").await.problem(502), "bad-response");
    assert_eq!(client.get("/echo/pass-on?by=1").await.ok(), "4");
}

#[tokio::test]
async fn r11_a_call_that_takes_too_long_is_504_and_runs_to_its_end() {
    let limits = LimitsSpec {
        call_deadline: Some(Duration::from_millis(200)),
        ..LimitsSpec::default()
    };
    let site = limited(&["page-1.0.0", "echo-1.0.0", "counter-1.0.0"], limits).await;
    let mut client = site.client().await;
    assert_eq!(client.get("/page/sleep?ms=900").await.problem(504), "timed-out");
    // It still runs: who waits behind it in vain was not executed, and may try again.
    assert_eq!(client.get("/page/count").await.problem(503), "timed-out");
    until("the page is free", || {
        site.world
            .host
            .status()
            .modules
            .iter()
            .all(|module| module.running == 0)
    })
    .await;
    assert_eq!(client.get("/page/describe").await.ok(), "1 visits");
    assert_eq!(client.get("/echo/sleep?ms=60000").await.problem(504), "timed-out");
}

#[tokio::test]
async fn a_full_queue_is_503_and_to_be_tried_again() {
    let limits = LimitsSpec {
        queue_max: Some(1),
        ..LimitsSpec::default()
    };
    let site = limited(&["page-1.0.0"], limits).await;
    let status = || site.world.host.status().modules.remove(0);
    let (mut one, mut two) = (site.client().await, site.client().await);
    let first = tokio::spawn(async move { one.get("/page/sleep?ms=500").await.ok() });
    until("one runs", || status().running == 1).await;
    let second = tokio::spawn(async move { two.get("/page/count").await.ok() });
    until("one waits", || status().waiting == 1).await;
    let refused = site.get("/page/count").await;
    assert_eq!(refused.problem(503), "overloaded");
    assert!(refused.body.contains("not-executed"), "{refused:?}");
    assert_eq!(
        (first.await.unwrap().as_str(), second.await.unwrap().as_str()),
        ("1", "2")
    );
}

#[tokio::test]
async fn r39_statuses_of_500_and_more_are_errors_of_a_release_on_probation() {
    let site = Site::of(&["page-1.0.0"]).await;
    let mut client = site.client().await;
    let apply = |path| ApplyRequest {
        path,
        probation_ms: Some(600_000),
        ..ApplyRequest::default()
    };
    // What the client does wrong is no error of the release.
    site.world.host.apply(apply(page("1.1.0"))).await.unwrap();
    for _ in 0..60 {
        assert_eq!(client.get("/page/status?code=404").await.status, 404);
    }
    site.world.host.permanent().await.unwrap();
    let now = site.world.now();
    site.world.host.apply(apply(guest("page-1.0.0"))).await.unwrap();
    // As long as it takes: calls that come before the host looks at the rates for the first time say nothing.
    let failing = async {
        loop {
            let answer = client.get("/page/status?code=503").await;
            if site.world.host.status().revision > 3 {
                return;
            }
            assert_eq!(answer.status, 503);
        }
    };
    let (back, ()) = tokio::join!(site.world.event_of(now, EventKind::WentBack), failing);
    assert!(back.message.contains("calls of page failed"), "{back:?}");
    assert_eq!(client.get("/page/version").await.ok(), "1.1.0");
}

#[tokio::test]
async fn p2_a_handler_that_calls_another_module_is_a_call_tree_like_any_other() {
    let site = Site::of(&["echo-1.0.0", "counter-1.0.0"]).await;
    let mut client = site.client().await;
    assert_eq!(client.get("/echo/pass-on?by=4").await.ok(), "4");
    site.world.apply(&guest("counter-2.0.0")).await.unwrap();
    assert_eq!(client.get("/echo/pass-on?by=3").await.ok(), "7");
    let total: i64 = site.world.host.call("counter", "get", ()).await.unwrap();
    assert_eq!(total, 7);
}
