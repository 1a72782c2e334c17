//! Routes belong to the release: they are checked with it, switch with it, and come back with it. And `POST /call`.

use super::{Site, get, page, post, whole};
use crate::support::{Binary, World, guest};
use hyper::Request;
use wasmhot::control::protocol::UndoRequest;

pub(super) const RELEASE: &str = "format = 1\n[release]\nname = \"site\"\nversion = \"1.0.0\"\n";

fn module(name: &str, more: &str) -> String {
    format!("[[modules]]\nname = \"{name}\"\nversion = \"1.0.0\"\n{more}\n")
}

#[tokio::test]
async fn r09_the_key_stands_in_the_path() {
    let site = Site::of(&["booth-1.0.0"]).await;
    let mut client = site.client().await;
    assert_eq!(client.get("/booth/a/count").await.ok(), "1");
    assert_eq!(client.get("/booth/a/count").await.ok(), "2");
    assert_eq!(client.get("/booth/Z%C3%BCrich%2F1/count").await.ok(), "1");
    // Other letters for the same key.
    assert_eq!(client.get("/booth/%61/describe").await.ok(), "2 visits");
    assert_eq!(
        client.get("/booth/b/where").await.ok(),
        "Method::Get test /booth/b/where"
    );
    assert_eq!(client.get("/booth/%ff/count").await.problem(400), "bad-request");
    assert_eq!(client.get("/booth/").await.problem(404), "no-route");
    let mut keys = site.world.host.state_show("booth", None).await.unwrap().keys;
    keys.sort();
    assert_eq!(keys, ["Zürich/1", "a", "b"]);
    assert_eq!(site.world.host.status().modules[0].keys, Some(3));
}

#[tokio::test]
async fn stated_routes_answer_and_nothing_else_does() {
    let toml = format!(
        "{RELEASE}{}{}{}",
        module("page", "routes = [{ path = \"/\" }, { path = \"/old/page\" }]"),
        module(
            "booth",
            "[[modules.routes]]\nhost = \"Booth.example\"\npath = \"/at/{key}\""
        ),
        module("echo", "routes = []") + &module("counter", "")
    );
    let guests = ["page-1.0.0", "booth-1.0.0", "echo-1.0.0", "counter-1.0.0"];
    let site = Site::serving(World::release(&toml, &guests).await);
    assert_eq!(site.get("/count").await.ok(), "1");
    assert_eq!(site.get("/old/page/count").await.ok(), "2");
    assert_eq!(
        site.get("/echo/count").await.ok(),
        "3",
        "echo has no route, so it is the page's"
    );
    let at_booth = |path: &str| {
        Request::get(path)
            .header("host", "booth.EXAMPLE:80")
            .body(whole(""))
            .unwrap()
    };
    let mut client = site.client().await;
    assert_eq!(client.ask(at_booth("/at/k/count")).await.ok(), "1");
    assert_eq!(client.ask(at_booth("/count")).await.ok(), "4");
    let status = site.world.host.status().http.unwrap();
    let routes: Vec<_> = status
        .routes
        .iter()
        .map(|route| format!("{} {}", route.route, route.module))
        .collect();
    assert_eq!(routes, ["booth.example/at/{key}/ booth", "/old/page/ page", "/ page"]);
    assert_eq!(status.address, site.address.to_string());
    // Whom a request is for has to be clear.
    let nobody = Request::get("/count").body(whole("")).unwrap();
    assert_eq!(client.ask(nobody).await.problem(400), "bad-request");
}

#[tokio::test]
async fn two_modules_that_want_the_same_are_refused_by_their_names() {
    let site = Site::of(&["page-1.0.0"]).await;
    let relup = format!(
        "format = 1\nrelease = {{ name = \"site\", to = \"1.0.0\" }}\n{}[[up]]\nadd_module = \"booth\"\n[[up]]\nadd_module = \"echo\"\n[[up]]\nadd_module = \"counter\"\n",
        module("booth", "path = \"booth-1.0.0.wasm\"")
            + &module("counter", "path = \"counter-1.0.0.wasm\"")
            + &module("echo", "path = \"echo-1.0.0.wasm\"\nroutes = [{ path = \"/page\" }]")
    );
    for name in ["booth-1.0.0", "echo-1.0.0", "counter-1.0.0"] {
        std::fs::copy(guest(name), site.world.outside().join(format!("{name}.wasm"))).unwrap();
    }
    let refused = site
        .world
        .apply_bytes("relup.toml", relup.as_bytes())
        .await
        .unwrap_err();
    assert_eq!(refused.code, "route-conflict");
    assert!(
        refused
            .message
            .contains("`echo` and `page` are both to answer `/page/`"),
        "{refused}"
    );
    let good = relup.replace("/page\" }", "/echo/{key}\" }");
    let refused = site.world.apply_bytes("relup.toml", good.as_bytes()).await.unwrap_err();
    assert_eq!(refused.code, "bad-route");
    let good = relup.replace("/page\" }", "/page/echo\" }");
    site.world.apply_bytes("relup.toml", good.as_bytes()).await.unwrap();
    assert_eq!(site.get("/page/echo/pass-on?by=3").await.ok(), "3");
    assert_eq!(site.get("/page/count").await.ok(), "1");
}

#[tokio::test]
async fn r38_a_change_of_routes_alone_is_a_revision_with_the_same_instances_and_undo_brings_them_back() {
    let toml = format!("{RELEASE}{}", module("page", ""));
    let site = Site::serving(World::release(&toml, &["page-1.0.0"]).await);
    let mut client = site.client().await;
    assert_eq!(client.get("/page/count").await.ok(), "1");
    let relup = "format = 1\nrelease = { name = \"site\", to = \"1.1.0\" }\n[[modules]]\nname = \"page\"\nroutes = [{ path = \"/new/\" }]\n";
    let report = site.world.apply_bytes("relup.toml", relup.as_bytes()).await.unwrap();
    assert_eq!((report.revision, report.gate_us), (Some(2), 0), "nothing waits");
    assert_eq!(client.get("/page/count").await.problem(404), "no-route");
    assert_eq!(client.get("/new/count").await.ok(), "2");
    let again = site.world.apply_bytes("relup.toml", relup.as_bytes()).await.unwrap();
    assert!(again.revision.is_none(), "{again:?}");
    let diff = site.world.host.diff(1, 2).await.unwrap();
    assert!(format!("{diff:?}").contains("routes: null -> "), "{diff:?}");
    // What is not said again is kept; code moves by itself.
    site.world.apply(&page("1.1.0")).await.unwrap();
    assert_eq!(client.get("/new/describe").await.ok(), "page: 2 visits");
    site.world
        .host
        .undo(UndoRequest {
            to: Some(1),
            ..UndoRequest::default()
        })
        .await
        .unwrap();
    assert_eq!(client.get("/new/count").await.problem(404), "no-route");
    assert_eq!(client.get("/page/count").await.ok(), "3");
    // And so it is after a restart.
    let Site { ref world, .. } = site;
    assert_eq!(world.host.status().http.unwrap().routes[0].route, "/page/");
}

#[tokio::test]
async fn functions_are_called_by_post_if_the_release_says_so() {
    let toml = |calls: &str| format!("{RELEASE}{}{}", module("counter", calls), module("rooms", ""));
    let guests = ["counter-1.0.0", "rooms-1.0.0"];
    let site = Site::serving(World::release(&toml(""), &guests).await);
    let mut client = site.client().await;
    for path in ["/call/counter/get", "/call/counter/gett", "/call/nobody/get"] {
        let refused = client.post(path, "[]").await;
        assert_eq!(refused.problem(403), "not-granted", "{path}");
        assert!(
            !refused.body.contains("increment"),
            "nothing is told of what there is: {refused:?}"
        );
    }
    let relup = "format = 1\nrelease = { name = \"site\", to = \"1.1.0\" }\n[[modules]]\nname = \"counter\"\nhttp_calls = [\"increment\", \"get\"]\n\
         [[modules]]\nname = \"rooms\"\nhttp_calls = [\"*\"]\n";
    site.world.apply_bytes("relup.toml", relup.as_bytes()).await.unwrap();
    assert_eq!(client.post("/call/counter/increment", "[5]").await.ok(), "5\n");
    assert_eq!(client.post("/call/counter/get", " [] ").await.ok(), "5\n");
    assert_eq!(
        client.post("/call/counter/describe", "[]").await.problem(403),
        "not-granted"
    );
    assert_eq!(
        client
            .post("/call/rooms/say", "[\"kitchen\", \"ann\", \"hi\"]")
            .await
            .ok(),
        "1\n"
    );
    assert_eq!(
        client
            .post("/call/rooms/record", "[\"kitchen\", \"ann\", 7]")
            .await
            .ok(),
        "{\"err\":\"ann: expected 1, got 7\"}\n"
    );
    assert_eq!(
        client.post("/call/rooms/nothing", "[]").await.problem(404),
        "no-such-function"
    );
    assert_eq!(
        client.post("/call/counter/increment", "[\"x\"]").await.problem(400),
        "wrong-argument"
    );
    assert_eq!(
        client.post("/call/counter/increment", "{}").await.problem(415),
        "not-json"
    );
    assert_eq!(client.post("/call/counter", "[]").await.problem(400), "bad-request");
    assert_eq!(client.ask(get("/call/counter/get")).await.problem(405), "wrong-method");
    // What any page can make a browser send.
    let mut plain = post("/call/counter/increment", "[1]");
    plain
        .headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(client.ask(plain).await.problem(415), "not-json");
    site.world.host.undo(UndoRequest::default()).await.unwrap();
    assert_eq!(client.post("/call/counter/get", "[]").await.problem(403), "not-granted");
}

#[test]
fn the_ready_line_says_where_and_status_says_who() {
    let host = Binary::run(&["page-1.0.0"], &["--listen", "127.0.0.1:0"]);
    let (_, address) = host.ready.split_once("http://").unwrap();
    let status = host.ok(&["status"]);
    assert!(status.contains(&format!("HTTP at {address}: /page/")), "{status}");
    let (_, json) = host.json(&["status"]);
    assert_eq!(json["http"]["routes"][0]["module"], "page");
    // Nobody else has that address.
    let (exit, said) = host.fails(&["--socket", "other.sock", "run", ".", "--listen", address]);
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains(address) && said.contains("--listen"), "{said}");
    let silent = Binary::run(&["page-1.0.0"], &[]);
    assert!(!silent.ready.contains("http") && !silent.ok(&["status"]).contains("HTTP"));
}
