//! What a guest of WASI 0.3 may reach: the scout tries what the explorer does by 0.2. The capabilities are the same.

use super::{answerer, call_of, denial_of, denials, release_of, server, tells_of_a_request};
use crate::made::with_note;
use crate::support::{World, guest};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use wasmhot::event::EventKind;

/// A host with the scout, which is granted what these lines of its module say.
async fn scout(lines: &str) -> World {
    World::release(&release_of("scout", lines), &["scout-1.0.0"]).await
}

async fn call(world: &World, call: &str) -> String {
    call_of(world, "scout", call).await
}

fn denial(world: &World) -> (String, String) {
    denial_of(world, "scout")
}

/// A server that answers the first line of whoever connects.
fn echo() -> u16 {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut line = String::new();
            let _ = BufReader::new(&stream).read_line(&mut line);
            let _ = write!(stream, "re: {line}");
        }
    });
    port
}

fn connect(host: &str, port: u16) -> String {
    format!("connect(\"{host}\", {port}, \"hi\")")
}

const DENIED: &str = "err(\"ErrorCode::AccessDenied\")";

#[tokio::test(flavor = "multi_thread")]
async fn r08_arguments_and_environment() {
    let world = scout("[modules.grants]\nargs = [\"--fast\"]\nenv = { LANG = \"C\" }").await;
    assert_eq!(call(&world, "args()").await, "[\"scout\", \"--fast\"]");
    assert_eq!(call(&world, "env(\"LANG\")").await, "some(\"C\")");
    assert_eq!(call(&world, "env(\"PATH\")").await, "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_a_socket_leads_only_where_that_is_granted() {
    let (granted, other) = (echo(), echo());
    let world = scout(&format!("[modules.grants]\nsockets = [\"tcp://127.0.0.1:{granted}\"]")).await;
    assert_eq!(call(&world, &connect("127.0.0.1", granted)).await, "ok(\"re: hi\")");
    assert_eq!(denials(&world), []);
    assert_eq!(call(&world, &connect("127.0.0.1", other)).await, DENIED);
    let (message, grant) = denial(&world);
    let line = format!("sockets = [\"tcp://127.0.0.1:{other}\"]");
    assert_eq!(
        grant,
        format!("[[modules]]\nname = \"scout\"\n[modules.grants]\n{line}")
    );
    let told = format!("scout 1.0.0 was denied wasi:sockets: a connection to tcp://127.0.0.1:{other}");
    assert!(message.starts_with(&told) && message.contains(&line), "{message}");
    // Listening is another thing.
    assert_eq!(call(&world, &format!("listen(\"127.0.0.1:{granted}\")")).await, DENIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_a_name_is_looked_up_only_if_it_is_granted_and_leads_to_its_addresses() {
    let port = echo();
    let world = scout(&format!("[modules.grants]\nsockets = [\"tcp://localhost:{port}\"]")).await;
    // An address of the name, found out otherwise.
    assert_eq!(call(&world, &connect("127.0.0.1", port)).await, "ok(\"re: hi\")");
    let found = call(&world, "resolve(\"localhost\")").await;
    assert!(found.starts_with("ok([") && found.contains("127.0.0.1"), "{found}");
    // In the form of a name, which asks nobody.
    assert_eq!(call(&world, "resolve(\"192.0.2.1\")").await, "ok([\"192.0.2.1\"])");
    assert_eq!(denials(&world), []);
    assert_eq!(call(&world, "resolve(\"example.invalid\")").await, DENIED);
    let (message, grant) = denial(&world);
    assert!(message.contains("looking up the name example.invalid"), "{message}");
    assert!(grant.ends_with("sockets = [\"tcp://example.invalid:*\"]"), "{grant}");
    assert_eq!(call(&world, &connect("example.invalid", port)).await, DENIED);
    // Another address than those of the name, and another port.
    assert_eq!(call(&world, &connect("127.0.0.2", port)).await, DENIED);
    assert_eq!(call(&world, &connect("127.0.0.1", echo())).await, DENIED);
    assert_eq!(denials(&world).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_a_name_below_one_that_is_granted_leads_where_the_guest_has_found_it() {
    let port = echo();
    let world = scout(&format!("[modules.grants]\nsockets = [\"tcp://*.1:{port}\"]")).await;
    // Which names there are below it only the guest can say.
    assert_eq!(call(&world, &connect("127.0.0.1", port)).await, DENIED);
    // A name that needs no server of names: an address in the old form.
    assert_eq!(call(&world, "resolve(\"127.1\")").await, "ok([\"127.0.0.1\"])");
    assert_eq!(call(&world, &connect("127.0.0.1", port)).await, "ok(\"re: hi\")");
    assert_eq!(denials(&world).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_listening_is_granted_by_its_own_word() {
    let world = scout("[modules.grants]\nsockets = [\"tcp-listen://127.0.0.1:*\"]").await;
    assert_eq!(call(&world, "listen(\"127.0.0.1:0\")").await, "ok");
    assert_eq!(call(&world, "listen(\"0.0.0.0:0\")").await, DENIED);
    assert_eq!(call(&world, "overhear(\"127.0.0.1:0\", \"hi\")").await, DENIED);
    let told = denials(&world);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[1].message.contains("a connection to tcp://127.0.0.1:"),
        "{}",
        told[1].message
    );
    let world = scout("[modules.grants]\nsockets = [\"tcp-listen://127.0.0.1:*\", \"tcp://127.0.0.1:*\"]").await;
    assert_eq!(call(&world, "overhear(\"127.0.0.1:0\", \"hi\")").await, "ok(\"hi\")");
    assert_eq!(denials(&world), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_datagrams_go_where_that_is_granted_and_come_from_there() {
    let address = answerer();
    let world = scout(&format!("[modules.grants]\nsockets = [\"udp://{address}\"]")).await;
    assert_eq!(
        call(&world, &format!("ask(\"{address}\", \"you\")")).await,
        "ok(\"re: you\")"
    );
    assert_eq!(denials(&world), []);
    assert_eq!(call(&world, "ask(\"127.0.0.1:9\", \"you\")").await, DENIED);
    assert!(denial(&world).0.contains("udp://127.0.0.1:9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_requests_go_only_where_that_is_granted() {
    let (granted, other) = (server(), server());
    let world = scout(&format!(
        "[modules.grants]\nhttp = [\"http://127.0.0.1:{granted}/v1\"]\nsockets = [\"tcp://127.0.0.1:{other}\"]"
    ))
    .await;
    let fetch = async |scheme: &str, port: u16, path: &str| {
        call(
            &world,
            &format!("fetch(\"{scheme}\", \"127.0.0.1:{port}\", \"{path}\")"),
        )
        .await
    };
    let denied = "err(\"ErrorCode::HttpRequestDenied\")";
    assert_eq!(fetch("http", granted, "/v1/x?y=1").await, "ok(\"200 /v1/x?y=1\")");
    assert_eq!(denials(&world), []);
    // A socket may lead there, a request may not.
    assert_eq!(fetch("http", other, "/v1?token=s3cret").await, denied);
    tells_of_a_request(denial(&world), other);
    for path in ["/v2", "/v1/../admin", "/v1/%2e%2e/admin"] {
        assert_eq!(fetch("http", granted, path).await, denied, "{path}");
    }
    assert_eq!(fetch("https", granted, "/v1").await, denied);
    // And the other way round.
    assert_eq!(call(&world, &connect("127.0.0.1", granted)).await, DENIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn r03_everything_outside_is_refused_in_migrate_granted_or_not() {
    let port = server();
    // Nothing is saved meanwhile: the rehearsal that would follow is refused as much again.
    let world = scout(&format!(
        "[modules.limits]\nsave_interval = \"1h\"\n[modules.grants]\nhttp = [\"http://localhost:{port}\"]\nsockets = [\"tcp://127.0.0.1:*\", \"udp://127.0.0.1:*\", \"tcp://localhost:*\"]"
    ))
    .await;
    assert_eq!(
        call(&world, &format!("fetch(\"http\", \"localhost:{port}\", \"/\")")).await,
        "ok(\"200 /\")"
    );
    call(&world, &format!("plan(\"localhost\", {port})")).await;
    let since = world.now();
    let other = with_note(std::fs::read(guest("scout-1.0.0")).unwrap(), "other");
    world.apply_bytes("scout-1.0.0.wasm", &other).await.unwrap();
    let said = r#"Err(\"ErrorCode::AccessDenied\")"#;
    let request = r#"Err(\"ErrorCode::HttpRequestDenied\")"#;
    assert_eq!(
        call(&world, "tried()").await,
        format!(r#"["{said}", "{said}", "{said}", "{request}"]"#)
    );
    let told = world.host.events().since(since).0;
    let told: Vec<_> = told.iter().filter(|event| event.kind == EventKind::Denied).collect();
    assert_eq!(told.len(), 4, "{told:#?}");
    for event in told {
        assert_eq!(event.details["during"], "migrate", "{event:#?}");
    }
    // It serves now.
    assert_eq!(
        call(&world, &format!("fetch(\"http\", \"localhost:{port}\", \"/\")")).await,
        "ok(\"200 /\")"
    );
}
