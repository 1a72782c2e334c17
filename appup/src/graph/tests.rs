use crate::fixture::{function, graph, lines, link, name};
use crate::graph::{Graph, Wiring};
use crate::refusal::{RefusalCode, WarningCode};

const ORDERS: &str = "demo:shop/orders";

fn codes(graph: &Graph) -> Vec<RefusalCode> {
    graph.resolve().1.into_iter().map(|refusal| refusal.code).collect()
}

#[track_caller]
fn callee(wiring: &Wiring, caller: &str, imported: &str) -> String {
    let link = wiring.link(caller, &function(imported)).expect("is linked");
    format!("{} {}", link.callee, link.function)
}

#[test]
fn r07_an_import_is_linked_to_the_only_module_that_exports_it() {
    let release = graph(
        "cart pool 1.0.0 - demo:shop/orders@1.0.0.place(u32>failing) tax(u32>u32)
         orders single 1.0.0 + demo:shop/orders@1.0.0.place(u32>failing) demo:shop/orders@1.0.0.cancel(u32)
         taxes pool 1.0.0 + tax(u32>u32) demo:shop/taxes.tax(u32)",
    );
    let (wiring, refusals, warnings) = release.resolve();
    assert_eq!((refusals, warnings), (vec![], vec![]));
    assert_eq!(
        callee(&wiring, "cart", "demo:shop/orders@1.0.0.place"),
        "orders demo:shop/orders@1.0.0.place"
    );
    assert_eq!(callee(&wiring, "cart", "tax"), "taxes tax");
    assert_eq!(wiring.edges().count(), 2);
    let json = serde_json::to_string(&wiring).expect("serialises");
    assert_eq!(serde_json::from_str::<Wiring>(&json).expect("is read"), wiring);
    let json = serde_json::to_string(&release).expect("serialises");
    assert_eq!(serde_json::from_str::<Graph>(&json).expect("is read"), release);
}

#[test]
fn r07_the_exact_version_of_an_interface_wins_then_the_highest_compatible_one() {
    let release = graph(
        "cart pool 1.0.0 - demo:shop/orders@1.1.0.place(u32)
         orders pool 1.0.0 + demo:shop/orders@1.0.0.place(u32) demo:shop/orders@1.2.0.place(u32) demo:shop/orders@2.0.0.place(u32)",
    );
    let compatible = callee(&release.resolve().0, "cart", "demo:shop/orders@1.1.0.place");
    assert_eq!(compatible, "orders demo:shop/orders@1.2.0.place");
    let release = graph(
        "cart pool 1.0.0 - demo:shop/orders@1.1.0.place(u32)
         newer pool 1.0.0 + demo:shop/orders@1.2.0.place(u32)
         orders pool 1.0.0 + demo:shop/orders@1.1.0.place(u32)",
    );
    let exact = callee(&release.resolve().0, "cart", "demo:shop/orders@1.1.0.place");
    assert_eq!(exact, "orders demo:shop/orders@1.1.0.place");
}

#[test]
fn r07_a_missing_provider_is_refused_with_whoever_comes_near() {
    let release = graph(
        "cart pool 1.0.0 + look(u32) - demo:shop/orders@1.0.0.place(u32>failing) look(u32)
         old pool 1.0.0 + demo:shop/orders@0.9.0.place(u32)
         orders single 1.0.0 + demo:shop/orders@1.0.0.cancel(u32)",
    );
    let refusals = release.resolve().1;
    assert!(
        refusals
            .iter()
            .all(|refusal| refusal.code == RefusalCode::MissingProvider)
    );
    insta::assert_snapshot!(lines(&refusals), @r#"
    `cart` imports `look` as `func(p0: u32)`, and no module serves that (it exports it itself, but a module is linked to itself only where its `links` say so).
      help: add a module that exports `look`, or a version of `cart` that does without
    `cart` imports `demo:shop/orders@1.0.0.place` as `func(p0: u32) -> result<_, string>`, and no module serves that (`old` exports `demo:shop/orders@0.9.0`, which is not compatible; `orders` exports the interface, but not this function).
      help: add a module that exports `demo:shop/orders@1.0.0.place`, or a version of `cart` that does without
    "#);
}

#[test]
fn r07_two_providers_are_refused_until_a_link_names_one() {
    let release = graph(
        "cart pool 1.0.0 - demo:shop/orders@1.0.0.place(u32)
         east pool 1.0.0 + demo:shop/orders@1.0.0.place(u32)
         west pool 1.0.0 + demo:shop/orders@1.0.0.place(u32)",
    );
    insta::assert_snapshot!(lines(&release.resolve().1), @r#"
    `cart` imports `demo:shop/orders@1.0.0`, which `east` and `west` export.
      help: name one, under module `cart` of the release: `links = { "demo:shop/orders@1.0.0" = "east" }`
    "#);
    for key in [ORDERS, "demo:shop/orders@1.0.0"] {
        let (wiring, refusals, warnings) = link(release.clone(), "cart", key, "west").resolve();
        assert_eq!((refusals, warnings), (vec![], vec![]));
        assert_eq!(
            callee(&wiring, "cart", "demo:shop/orders@1.0.0.place"),
            "west demo:shop/orders@1.0.0.place"
        );
    }
    assert_eq!(
        codes(&link(release.clone(), "cart", ORDERS, "north")),
        [RefusalCode::BadLink]
    );
    // To itself it is linked only when told so, and then refused only for what it does not export.
    assert_eq!(
        codes(&link(release.clone(), "cart", ORDERS, "cart")),
        [RefusalCode::MissingProvider]
    );
    let warnings = link(
        link(release, "cart", ORDERS, "east"),
        "cart",
        "demo:shop/ordres",
        "west",
    )
    .resolve()
    .2;
    assert_eq!(warnings[0].code, WarningCode::UnusedLink);
}

#[test]
fn r07_a_second_provider_that_appears_later_moves_nothing() {
    let before = graph(
        "cart pool 1.0.0 - demo:shop/orders@1.1.0.place(u32) tax(u32)
         orders pool 1.0.0 + demo:shop/orders@1.2.0.place(u32) tax(u32)",
    );
    let wiring = before.resolve().0;
    let mut after = before;
    after
        .nodes
        .extend(graph("exact pool 1.0.0 + demo:shop/orders@1.1.0.place(u32) tax(u32)").nodes);
    let (kept, refusals, _) = after.resolve_from(&wiring);
    assert_eq!((&kept, refusals), (&wiring, vec![]));
    // The caller's next version imports the next version of the interface: still no new import.
    after
        .nodes
        .extend(graph("cart pool 1.1.0 - demo:shop/orders@1.2.0.place(u32) tax(u32)").nodes);
    after
        .nodes
        .extend(graph("exact pool 1.0.0 + demo:shop/orders@1.2.0.place(u32) tax(u32)").nodes);
    let (kept, refusals, _) = after.resolve_from(&wiring);
    assert!(refusals.is_empty(), "{refusals:?}");
    assert_eq!(
        callee(&kept, "cart", "demo:shop/orders@1.2.0.place"),
        "orders demo:shop/orders@1.2.0.place"
    );
    // A new importer has nothing to keep.
    after.nodes.extend(graph("till pool 1.0.0 - tax(u32)").nodes);
    assert_eq!(after.resolve_from(&wiring).1[0].code, RefusalCode::AmbiguousProvider);
    // The configured link wins over what was.
    let linked = link(after, "till", "tax", "exact").resolve_from(&wiring).0;
    assert_eq!(callee(&linked, "till", "tax"), "exact tax");
    // And what no longer exports it, cannot keep it.
    let mut gone = graph("cart pool 1.0.0 - tax(u32)\n orders pool 2.0.0\n other pool 1.0.0 + tax(u32)");
    assert_eq!(callee(&gone.resolve_from(&wiring).0, "cart", "tax"), "other tax");
    gone.nodes.remove(&name("other"));
    assert_eq!(gone.resolve_from(&wiring).1[0].code, RefusalCode::MissingProvider);
}

#[test]
fn r07_types_have_to_be_equal_and_a_refusal_names_both() {
    let release = graph(
        "cart pool 1.0.0 - place(u32>failing)
         orders pool 1.1.0 + place(u64>failing)",
    );
    assert_eq!(codes(&release), [RefusalCode::TypeMismatch]);
    insta::assert_snapshot!(lines(&release.resolve().1), @r#"
    `cart` 1.0.0 imports `place` as `func(p0: u32) -> result<_, string>`, but `orders` 1.1.0 exports it as `func(p0: u64) -> result<_, string>`.
      help: move `cart` and `orders` in one upgrade to versions that agree, or let `orders` export the old interface version beside the new one
    "#);
}

#[test]
fn r07_resources_and_streams_do_not_cross() {
    for of in ["resource", "stream"] {
        let text = format!("cart pool 1.0.0 - open(>{of})\n files pool 1.0.0 + open(>{of})");
        assert_eq!(codes(&graph(&text)), [RefusalCode::ResourceCrosses]);
    }
}

#[test]
fn r09_a_keyed_function_takes_the_key_first() {
    assert_eq!(codes(&graph("room keyed 1.0.0 + say(string,u32) leave(string)")), []);
    let release = graph("room keyed 1.0.0 + say(u32,string) list() leave(string)");
    assert_eq!(codes(&release), [RefusalCode::KindMismatch; 2]);
    insta::assert_snapshot!(lines(&release.resolve().1), @r#"
    `room` is to be keyed, but its function `list` is `func()`: the first parameter has to be the key, a `string`.
      help: give `list` a first parameter `key: string`
    `room` is to be keyed, but its function `say` is `func(p0: u32, p1: string)`: the first parameter has to be the key, a `string`.
      help: give `say` a first parameter `key: string`
    "#);
}

#[test]
fn r09_a_module_without_lifecycle_cannot_keep_state() {
    let mut release = graph("counter single 1.0.0 + get(>u32)");
    let node = release.nodes.get_mut("counter").expect("is there");
    std::sync::Arc::make_mut(&mut node.interface).stateful = false;
    insta::assert_snapshot!(lines(&release.resolve().1), @r#"
    `counter` is to be single, but does not export `wasmhot:module/lifecycle`, so that its state could not be handed over.
      help: let `counter` export the lifecycle, or take `kind = "single"` out of the release
    "#);
    let mut release = graph("counter pool 1.0.0 + get(>u32)");
    let node = release.nodes.get_mut("counter").expect("is there");
    std::sync::Arc::make_mut(&mut node.interface).stateful = true;
    assert_eq!(release.resolve().2[0].code, WarningCode::StateNotKept);
}

#[test]
fn r13_a_stateful_caller_is_warned_where_failure_cannot_be_reported() {
    let release = graph(
        "cart single 1.0.0 - a(>failing) b(>u32) c()
         far pool 1.0.0 - c()
         orders pool 1.0.0 + a(>failing) b(>u32) c()",
    );
    insta::assert_snapshot!(lines(&release.resolve().2), @r#"
    `cart` keeps state and calls `b` of `orders`, whose type `func() -> u32` has no `result<_, string>` to report failure: if that call fails, `cart` traps and loses what it has not saved.
    `cart` keeps state and calls `c` of `orders`, whose type `func()` has no `result<_, string>` to report failure: if that call fails, `cart` traps and loses what it has not saved.
    "#);
}

#[test]
fn r15_a_circle_with_a_single_module_is_refused() {
    let release = graph(
        "a pool 1.0.0 + a() - b()
         b single 1.0.0 + b() - c()
         c pool 1.0.0 + c() - a()
         d pool 1.0.0 - a()",
    );
    insta::assert_snapshot!(lines(&release.resolve().1), @r#"
    The imports form a circle, b → c → a → b, and `b` is single: a call could wait for itself.
      help: break the circle: put what both sides need into a module of its own
    "#);
    for (one, other) in [("pool", "pool"), ("keyed", "pool"), ("keyed", "keyed")] {
        let text = format!("a {one} 1.0.0 + a(string) - b(string)\n b {other} 1.0.0 + b(string) - a(string)");
        assert_eq!(codes(&graph(&text)), [], "{one} and {other}");
    }
}
