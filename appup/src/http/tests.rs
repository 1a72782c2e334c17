#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use super::{RouteHost, RoutePath, RouteSpec, RouteTable, is_handler};
use crate::fixture::{graph, lines};
use crate::graph::Graph;
use crate::interface::{FunctionName, FunctionType, Type};
use std::sync::Arc;

/// `page pool | /a/ example.org/b/`: modules that answer HTTP requests, each with its routes; without `|` none are stated.
fn served(text: &str) -> Graph {
    let mut served = Graph::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (module, routes) = line
            .split_once('|')
            .map_or((line, None), |(module, routes)| (module, Some(routes)));
        let (name, kind) = module.trim().split_once(' ').unwrap();
        let mut node = graph(&format!("{name} {kind} 1.0.0"))
            .nodes
            .into_values()
            .next()
            .unwrap();
        let handler = FunctionType {
            params: vec![
                ("request".to_owned(), Type::Resource),
                ("response".to_owned(), Type::Resource),
            ],
            result: None,
            is_async: false,
        };
        Arc::make_mut(&mut node.interface)
            .exports
            .insert(handle("wasi:http/incoming-handler@0.2.6"), handler);
        node.routes = routes.map(|routes| routes.split_whitespace().map(route).collect());
        served.nodes.insert(node.version.name.clone(), node);
    }
    served
}

fn handle(interface: &str) -> FunctionName {
    FunctionName {
        interface: Some(interface.to_owned()),
        name: "handle".to_owned(),
    }
}

fn route(text: &str) -> RouteSpec {
    let (host, path) = text.split_at(text.find('/').unwrap());
    RouteSpec {
        host: (!host.is_empty()).then(|| RouteHost::parse(host).unwrap()),
        path: RoutePath::parse(path).unwrap(),
    }
}

/// `module`, `module key`, or `-`.
fn find(table: &RouteTable, host: &str, path: &str) -> String {
    match table.find(Some(host), path) {
        Ok(Some(found)) => match found.key {
            Some(key) => format!("{} {key}", found.module),
            None => found.module.to_string(),
        },
        Ok(None) => "-".to_owned(),
        Err(bad) => bad.to_string(),
    }
}

#[test]
fn the_most_special_route_answers() {
    let served = served(
        "home pool | /\n api pool | /api\n room keyed | /rooms/{key}/\n lobby pool | /rooms/lobby\n org pool | Example.ORG/\n \
         deep pool | /api/deep/er/\n",
    );
    let (_, refusals, _) = served.resolve();
    assert_eq!(lines(&refusals), "");
    let table = RouteTable::new(&served);
    for (host, path, who) in [
        ("a", "/", "home"),
        ("a", "/apix", "home"),
        ("a", "/api", "api"),
        ("a", "/api/", "api"),
        ("a", "/api/x?y", "api"),
        ("a", "/api/deep", "api"),
        ("a", "/api/deep/er/x", "deep"),
        ("a", "/%61pi", "api"),
        ("a", "/rooms", "home"),
        ("a", "/rooms/", "home"),
        ("a", "/rooms//x", "home"),
        ("a", "/rooms/kitchen", "room kitchen"),
        ("a", "/rooms/kitchen/say", "room kitchen"),
        ("a", "/rooms/a%20b%2Fc/", "room a b/c"),
        ("a", "/rooms/Z%C3%BCrich", "room Zürich"),
        ("a", "/rooms/lobby/x", "lobby"),
        ("example.org:8080", "/rooms/kitchen", "org"),
        ("EXAMPLE.org", "/", "org"),
        ("a", "*", "-"),
        ("a", "", "-"),
    ] {
        assert_eq!(find(&table, host, path), who, "{host}{path}");
    }
    for path in ["/rooms/%", "/rooms/%f", "/rooms/%+1", "/rooms/%ff"] {
        assert!(
            find(&table, "a", path).contains("`room` in the path is no text"),
            "{path}"
        );
    }
    assert!(table.find(None, "/api").is_ok_and(|found| found.is_some()));
}

#[test]
fn without_a_stated_route_a_module_answers_under_its_name() {
    let served = served("page single\n room keyed\n quiet pool |\n");
    assert_eq!(lines(&served.resolve().1), "");
    let table = RouteTable::new(&served);
    assert_eq!(find(&table, "a", "/page/x"), "page");
    assert_eq!(find(&table, "a", "/room/7"), "room 7");
    assert_eq!(find(&table, "a", "/room"), "-");
    assert_eq!(find(&table, "a", "/quiet/"), "-");
    let shown: Vec<_> = table
        .iter()
        .map(|(route, module)| format!("{route} {module}"))
        .collect();
    assert_eq!(shown, ["/room/{key}/ room", "/page/ page"]);
}

#[test]
fn what_cannot_be_is_refused_with_its_names() {
    let mut served = served(
        "a pool | /x/ /x\n b pool | /x/ org/y\n c single | /c/{key}\n d keyed | /d/\n e pool | ORG/y/\n f pool | /g\n g pool\n",
    );
    let plain = graph("plain pool 1.0.0 + f(u32)").nodes.into_values().next().unwrap();
    served.nodes.insert(plain.version.name.clone(), plain);
    served.nodes.get_mut("plain").unwrap().routes = Some(vec![route("/p")]);
    let (_, refusals, _) = served.resolve();
    insta::assert_snapshot!(lines(&refusals), @r"
    `a` has the route `/x/` twice.
      help: keep one
    `a` and `b` are both to answer `/x/`.
      help: give one of them another host or path in `[[modules.routes]]`
    The route `/c/{key}/` of `c` has a `{key}`, but `c` is single.
      help: take `{key}` out of the path, or make `c` keyed
    `d` is keyed, but its route `/d/` does not say where the key stands.
      help: put `{key}` into its path, as in `/d/{key}/`
    `b` and `e` are both to answer `org/y/`.
      help: give one of them another host or path in `[[modules.routes]]`
    `f` and `g` are both to answer `/g/` (`g` has no routes of its own, so it answers under its name).
      help: give one of them another host or path in `[[modules.routes]]`
    `plain` is to answer `/p/`, but does not export an HTTP handler: `wasi:http/incoming-handler` (WASI 0.2) or `wasi:http/handler` (0.3).
      help: let `plain` export one, or take its routes out of the release
    ");
}

#[test]
fn routes_are_read_and_shown() {
    for (text, shown) in [("/", "/"), ("/a", "/a/"), ("/a/", "/a/"), ("/ä/{key}/b", "/ä/{key}/b/")] {
        assert_eq!(
            RoutePath::parse(text).map(|path| path.to_string()),
            Ok(shown.to_owned())
        );
    }
    for text in [
        "",
        "a",
        "//",
        "/a//b",
        "/{id}",
        "/a{key}",
        "/{key}/{key}",
        "/a%20b",
        "/a?b",
        "/a*",
        "/a\n",
    ] {
        assert!(RoutePath::parse(text).is_err(), "{text}");
    }
    for text in ["example.org", "localhost", "127.0.0.1", "[::1]"] {
        assert!(RouteHost::parse(text).is_ok(), "{text}");
    }
    for text in ["", "a b", "a/b", "a:80", "[x]", "http://a"] {
        assert!(RouteHost::parse(text).is_err(), "{text}");
    }
    let json = serde_json::to_string(&route("Example.org/a/{key}")).unwrap();
    assert_eq!(json, r#"{"host":"example.org","path":"/a/{key}/"}"#);
    assert_eq!(
        serde_json::from_str::<RouteSpec>(&json).unwrap(),
        route("example.org/a/{key}/")
    );
    assert!(serde_json::from_str::<RouteSpec>(r#"{"path":"a"}"#).is_err());
}

#[test]
fn handlers_are_known_by_interface_and_version() {
    for (interface, is) in [
        ("wasi:http/incoming-handler@0.2.0", true),
        ("wasi:http/incoming-handler@0.2.12", true),
        ("wasi:http/handler@0.3.0", true),
        ("wasi:http/handler@0.2.0", false),
        ("wasi:http/incoming-handler@0.3.0", false),
        ("wasi:http/incoming-handler@1.0.0", false),
        ("demo:http/incoming-handler@0.2.0", false),
    ] {
        assert_eq!(is_handler(&handle(interface)), is, "{interface}");
    }
}
