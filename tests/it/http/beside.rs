//! The handler of WASI 0.3 (`wasi:http/handler`): requests run beside each other in one instance, and guest tasks outlive them.

use super::routes::RELEASE;
use super::{Site, get, page};
use crate::support::{World, until};
use http_body_util::BodyExt;
use std::time::Duration;
use wasmhot_appup::LimitsSpec;

#[tokio::test]
async fn requests_of_one_instance_run_beside_each_other() {
    let site = Site::of(&["page-2.0.0"]).await;
    // Each waits until the others have come.
    let met = ["/page/meet?n=3"; 3].map(|path| site.get(path));
    for answer in futures_util::future::join_all(met).await {
        assert_eq!(answer.ok(), "3");
    }
    let mut client = site.client().await;
    assert_eq!(client.get("/page/where").await.ok(), "Method::Get test /page/where");
    assert_eq!(client.get("/page/other").await.status, 404);
    let large = "é".repeat(1_000_000);
    assert_eq!(client.post("/page/size", &large).await.ok(), "2000000");
    assert_eq!(client.post("/page/echo", &large).await.ok(), large);
}

#[tokio::test]
async fn a_keyed_module_has_one_instance_for_each_key() {
    let page = "[[modules]]\nname = \"page\"\nversion = \"2.0.0\"\nkind = \"keyed\"\n";
    let release = format!("{RELEASE}{page}");
    let site = Site::serving(World::release(&release, &["page-2.0.0"]).await);
    for (path, visits) in [("/page/a/count", "1"), ("/page/a/count", "2"), ("/page/b/count", "1")] {
        assert_eq!(site.get(path).await.ok(), visits);
    }
}

#[tokio::test]
async fn what_a_handler_does_wrong_has_its_status_and_the_page_goes_on() {
    let site = Site::of(&["page-2.0.0", "echo-2.0.0", "counter-1.0.0"]).await;
    let mut client = site.client().await;
    for (path, code) in [
        ("/page/refuse", "bad-response"),
        ("/page/unfinished", "bad-response"),
        ("/page/torn", "trapped"),
        ("/page/trap", "trapped"),
        ("/echo/refuse", "bad-response"),
        ("/echo/trap", "trapped"),
    ] {
        assert_eq!(client.get(path).await.problem(502), code, "{path}");
    }
    assert_eq!(client.get("/page/count").await.ok(), "1");
    for path in ["/echo/unfinished", "/echo/torn"] {
        assert!(!site.looks_whole(path).await, "{path}");
    }
    assert_eq!(site.get("/echo/pass-on?by=1").await.ok(), "1");
}

#[tokio::test]
async fn r14_a_trap_takes_the_requests_beside_it_along() {
    let site = Site::of(&["page-2.0.0"]).await;
    let waiting = async {
        let mut client = site.client().await;
        client.get("/page/meet?n=2").await
    };
    let trapping = async {
        until("one waits", || site.running() == 1).await;
        site.get("/page/trap").await
    };
    let (waiting, trapping) = tokio::join!(waiting, trapping);
    assert_eq!(trapping.problem(502), "trapped");
    assert!(waiting.body.contains("ran beside a call that was lost"), "{waiting:?}");
    assert_eq!(waiting.problem(502), "trapped");
    assert_eq!(site.get("/page/count").await.ok(), "1");
}

#[tokio::test]
async fn an_upgrade_waits_for_the_guest_task_that_a_request_left_behind() {
    let site = Site::of(&["page-2.0.0"]).await;
    assert_eq!(site.get("/page/after?ms=300").await.ok(), "later");
    // Answered long before, and still at work.
    site.world.apply(&page("1.0.0")).await.unwrap();
    assert_eq!(site.get("/page/describe").await.ok(), "1 visits");
}

#[tokio::test]
async fn r11_a_response_that_takes_too_long_breaks_at_the_deadline() {
    let limits = LimitsSpec {
        call_deadline: Some(Duration::from_millis(300)),
        ..LimitsSpec::default()
    };
    let site = Site::with(&["echo-2.0.0", "counter-1.0.0"], |builder| builder.limits(limits)).await;
    let mut client = site.client().await;
    let mut response = client
        .send(get("/echo/parts?count=10000&bytes=10&ms=20"))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    while let Some(Ok(_)) = response.frame().await {}
    assert!(response.frame().await.is_none_or(|frame| frame.is_err()));
    until("the guest is let go", || site.running() == 0).await;
    assert_eq!(site.get("/echo/sleep?ms=60000").await.problem(504), "timed-out");
    assert_eq!(site.get("/echo/pass-on?by=1").await.ok(), "1");
}
