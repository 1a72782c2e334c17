//! `wasi:sockets`.

use super::{answerer, call, denial, denials, explorer, greeter};
use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn r08_a_socket_leads_only_where_that_is_granted() {
    let (granted, other) = (greeter("hello"), greeter("secret"));
    let world = explorer(&format!("[modules.grants]\nsockets = [\"tcp://127.0.0.1:{granted}\"]")).await;
    assert_eq!(
        call(&world, &format!("connect(\"127.0.0.1\", {granted})")).await,
        "ok(\"hello\")"
    );
    assert_eq!(denials(&world), []);
    let refused = call(&world, &format!("connect(\"127.0.0.1\", {other})")).await;
    assert!(
        refused.starts_with("err(") && refused.contains("PermissionDenied"),
        "{refused}"
    );
    let (message, grant) = denial(&world);
    let line = format!("sockets = [\"tcp://127.0.0.1:{other}\"]");
    assert_eq!(
        grant,
        format!("[[modules]]\nname = \"explorer\"\n[modules.grants]\n{line}")
    );
    assert!(
        message.starts_with(&format!(
            "explorer 1.0.0 was denied wasi:sockets: a connection to tcp://127.0.0.1:{other}"
        )) && message.contains(&line),
        "{message}"
    );
    // Told once, however often it tries.
    call(&world, &format!("connect(\"127.0.0.1\", {other})")).await;
    denial(&world);
    // Listening is another thing.
    let refused = call(&world, &format!("listen(\"127.0.0.1:{granted}\")")).await;
    assert!(refused.contains("PermissionDenied"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_the_lines_that_are_told_grant_it() {
    let port = greeter("hello");
    let denied = explorer("").await;
    assert!(
        call(&denied, &format!("connect(\"127.0.0.1\", {port})"))
            .await
            .starts_with("err(")
    );
    let (_, grant) = denial(&denied);
    let text = format!("format = 1\n[release]\nname = \"s\"\nversion = \"1.0.0\"\n{grant}");
    let world = World::release(
        &text.replace(
            "name = \"explorer\"",
            "name = \"explorer\"\npath = \"explorer-1.0.0.wasm\"",
        ),
        &["explorer-1.0.0"],
    )
    .await;
    assert_eq!(
        call(&world, &format!("connect(\"127.0.0.1\", {port})")).await,
        "ok(\"hello\")"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_a_name_is_looked_up_only_if_it_is_granted_and_leads_to_its_addresses() {
    let port = greeter("hello");
    let world = explorer(&format!("[modules.grants]\nsockets = [\"tcp://localhost:{port}\"]")).await;
    assert_eq!(
        call(&world, &format!("connect(\"localhost\", {port})")).await,
        "ok(\"hello\")"
    );
    // An address of the name, found out otherwise.
    assert_eq!(
        call(&world, &format!("connect(\"127.0.0.1\", {port})")).await,
        "ok(\"hello\")"
    );
    assert_eq!(denials(&world), []);
    let refused = call(&world, "resolve(\"example.invalid\")").await;
    assert!(refused.starts_with("err("), "{refused}");
    let (message, _) = denial(&world);
    assert!(message.contains("looking up the name example.invalid"), "{message}");
    // Another address than those of the name.
    let refused = call(&world, &format!("connect(\"127.0.0.2\", {port})")).await;
    assert!(refused.contains("PermissionDenied"), "{refused}");
    assert_eq!(denials(&world).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_listening_is_granted_by_its_own_word() {
    let world = explorer("[modules.grants]\nsockets = [\"tcp-listen://127.0.0.1:*\"]").await;
    assert_eq!(call(&world, "listen(\"127.0.0.1:0\")").await, "ok");
    let refused = call(&world, "listen(\"0.0.0.0:0\")").await;
    assert!(refused.contains("PermissionDenied"), "{refused}");
    let refused = call(&world, &format!("connect(\"127.0.0.1\", {})", greeter("hello"))).await;
    assert!(refused.contains("PermissionDenied"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_datagrams_go_where_that_is_granted_and_come_from_there() {
    let address = answerer();
    let world = explorer(&format!("[modules.grants]\nsockets = [\"udp://{address}\"]")).await;
    assert_eq!(
        call(&world, &format!("ask(\"{address}\", \"you\")")).await,
        "ok(\"re: you\")"
    );
    let refused = call(&world, "ask(\"127.0.0.1:9\", \"you\")").await;
    assert!(refused.starts_with("err("), "{refused}");
    assert!(denial(&world).0.contains("udp://127.0.0.1:9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_a_guest_that_tries_everything_does_not_fill_the_events() {
    let world = explorer("").await;
    for port in 1..=40 {
        call(&world, &format!("listen(\"127.0.0.1:{port}\")")).await;
    }
    let told = denials(&world);
    assert_eq!(told.len(), 16);
    assert!(
        told[15].message.contains("is not told any more"),
        "{}",
        told[15].message
    );
}
