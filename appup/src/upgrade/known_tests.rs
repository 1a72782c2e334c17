//! What is checked beyond the two graphs: states (R4), grants (R8), calls open in older releases (R7).

use super::tests::{by, by_default};
use crate::capability::Capability;
use crate::description::StateDescription;
use crate::fixture::{graph, lines, name, node};
use crate::graph::{Graph, Node};
use crate::name::ModuleName;
use crate::refusal::{Refusal, RefusalCode, WarningCode};
use crate::settings::Grants;
use crate::upgrade::{CheckOptions, Checked, Known, Open, Saved, Transition, check};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A description that reads these ranges, with these fields.
fn described(reads: &[&str], writes: &[&str], fields: &[&str]) -> StateDescription {
    let ranges = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a range")).collect();
    StateDescription {
        media_type: "application/cbor".into(),
        reads: ranges(reads),
        writes: ranges(writes),
        schema: serde_json::json!({ "type": "S", "fields": fields.iter().map(|field| (*field, "u32")).collect::<std::collections::BTreeMap<_, _>>() }),
    }
}

fn checked(transition: &Transition, allow_lossy: bool) -> Result<Checked, Vec<Refusal>> {
    check(transition, &transition.old.resolve().0, &CheckOptions { allow_lossy })
}

/// `a` goes from 1.0.0 to 1.2.0, and both describe their state.
fn described_update(up: &str, old: StateDescription, new: StateDescription) -> Transition {
    let transition = by("a single 1.0.0", "a single 1.2.0", up).expect("fits");
    let mut known = Known::default();
    known.states.insert(transition.old.nodes["a"].version.digest, old);
    known.states.insert(transition.new.nodes["a"].version.digest, new);
    transition.knowing(known)
}

const UPDATE: &str = "[[up]]\nupdate = \"a\"";

#[test]
fn r04_the_running_state_has_to_be_readable() {
    let old = || described(&["~1.0"], &[], &["n"]);
    let transition = described_update(UPDATE, old(), described(&["~1.2", "~1.1"], &[], &["n"]));
    insta::assert_snapshot!(lines(&checked(&transition, true).expect_err("is refused")), @r#"
    `a` 1.2.0 cannot read the state of a@1.0.0 (the running version): it reads "~1.2", "~1.1".
      help: let `a` read 1.0.0, go there by a middle version (`via`), or begin without the state: `state = "empty"`
    "#);
    for (up, new) in [
        (UPDATE, described(&["~1.2", "~1.0"], &[], &["n"])),
        (
            "[[up]]\nupdate = \"a\"\nstate = \"empty\"",
            described(&["~1.2"], &[], &[]),
        ),
        ("[[up]]\nrestart_module = \"a\"", described(&["~1.2"], &[], &[])),
        (
            "[[up]]\nupdate = \"a\"\nvia = [\"1.1.0\"]",
            described(&["~1.2", "~1.1"], &[], &["n"]),
        ),
    ] {
        let transition = described_update(up, old(), new);
        assert!(checked(&transition, false).is_ok(), "{up}");
    }
    // The version that runs may write what the other one reads (R2).
    let writes = described_update(
        UPDATE,
        described(&["~1.0"], &["1.2"], &["n"]),
        described(&["~1.2"], &[], &["n"]),
    );
    assert!(checked(&writes, false).is_ok());
}

/// So many states of `a` that this version has written.
fn saved(text: &str, states: u64) -> Saved {
    let version = node(text).version;
    let module = version.name.clone();
    Saved {
        module,
        version,
        states,
    }
}

/// Keyed, from 1.1.0 to 1.2.0, which reads ~1.1 and of which all is described.
fn keyed(up: &str) -> Transition {
    let mut transition = by("a keyed 1.1.0", "a keyed 1.2.0", up).expect("fits");
    let of = |node: &Node| node.version.digest;
    let (old, new) = (of(&transition.old.nodes["a"]), of(&transition.new.nodes["a"]));
    let states = &mut transition.known.states;
    states.insert(old, described(&["~1.1", "~1.0"], &["~1.0"], &[]));
    states.insert(new, described(&["~1.2", "~1.1"], &["~1.1"], &[]));
    transition
}

#[test]
fn r04_every_saved_state_of_a_key_has_to_be_readable() {
    let mut transition = keyed(UPDATE);
    transition.known.saved = vec![
        saved("a keyed 1.1.0", 9),
        saved("a keyed 1.1.7", 1),
        saved("b keyed 0.1.0", 1),
    ];
    assert!(checked(&transition, false).is_ok());
    transition.known.saved.push(saved("a keyed 1.0.0", 2));
    insta::assert_snapshot!(lines(&checked(&transition, false).expect_err("is refused")), @r#"
    `a` 1.2.0 cannot read the saved states of 2 keys, which a@1.0.0 has written: it reads "~1.2", "~1.1", and no version that is to be had leads there.
      help: let `a` read 1.0.0, name a version between them with its file (`[[middle]]`), or allow with `--allow-lossy` that these keys answer `key-not-migrated`
    "#);
    let allowed = checked(&transition, true).expect("is allowed");
    assert_eq!((allowed.lossy.len(), allowed.given_up.len()), (1, 1));
    assert_eq!(allowed.given_up[0].states, 2);
    // They may begin again, or go through a version that is to be had.
    let mut empty = keyed("[[up]]\nupdate = \"a\"\nstate = \"empty\"");
    empty.known.saved.clone_from(&transition.known.saved);
    assert!(checked(&empty, false).is_ok());
    let running = transition.old.nodes["a"].version.clone();
    transition.known.had.insert(running.clone());
    assert!(checked(&transition, false).is_ok());
    // A version of which nothing is known is found out by trying.
    transition.known.had.clear();
    transition.known.states.retain(|digest, _| *digest == running.digest);
    assert!(checked(&transition, false).is_ok());
}

#[test]
fn r04_of_a_single_module_the_live_state_counts_and_not_what_was_saved() {
    let old = || described(&["~1.0"], &[], &[]);
    let up = |up: &str| {
        let mut transition = described_update(up, old(), described(&["~1.2", "~1.0"], &[], &[]));
        transition.known.saved = vec![saved("a single 0.9.0", 1)];
        checked(&transition, true).map_err(|refusals| refusals[0].message.clone())
    };
    assert!(up(UPDATE).is_ok());
    let refused = up("[[up]]\nupdate = \"a\"\nstate = \"last-saved\"").expect_err("is taken");
    assert!(refused.contains("a saved state, that of a@0.9.0"), "{refused}");
}

#[test]
fn r28_the_shortest_way_leads_through_versions_that_read_each_other() {
    let of = |minor: u64| node(&format!("a keyed 1.{minor}.0")).version;
    let mut known = Known::default();
    // Each reads the one before; 1.4 also reads 1.1.
    for minor in 0..=5_u64 {
        let before = format!("~1.{}", minor.saturating_sub(1));
        let own = format!("~1.{minor}");
        let mut reads = vec![own.as_str(), before.as_str()];
        reads.extend((minor == 4).then_some("~1.1"));
        known.states.insert(of(minor).digest, described(&reads, &[], &[]));
        known.had.insert(of(minor));
    }
    let way = |known: &Known, from: u64, to: u64| {
        let way = known.way(&of(to), &of(from));
        way.map(|way| way.iter().map(|id| id.version.minor).collect::<Vec<_>>())
    };
    assert_eq!(way(&known, 4, 5), Some(vec![]));
    assert_eq!(way(&known, 0, 5), Some(vec![1, 4]));
    // Nobody says that he writes for an older one, and nobody reads a newer one.
    assert_eq!(way(&known, 5, 0), None);
    known.had.remove(&of(1));
    assert_eq!(way(&known, 0, 5), None);
    // Of 1.3 nothing is known: it may read anything.
    known.states.remove(&of(3).digest);
    assert_eq!(way(&known, 0, 5), Some(vec![3, 4]));
    // Another module's version is no way, and neither is one that is newer than both.
    known.had = BTreeSet::from([node("b keyed 1.3.0").version, node("a keyed 1.9.0").version]);
    assert_eq!(way(&known, 0, 5), None);
    // Down, by what the newer ones write.
    known.had = (0..=5).map(of).collect();
    for minor in 1..=5_u64 {
        let writes = format!("~1.{}", minor - 1);
        let own = format!("~1.{minor}");
        known
            .states
            .insert(of(minor).digest, described(&[&own], &[&writes], &[]));
    }
    assert_eq!(way(&known, 3, 0), Some(vec![2, 1]));
}

#[test]
fn r04_a_chain_has_to_hold_in_every_link() {
    let up = "[[up]]\nupdate = \"a\"\nvia = [\"1.1.0\"]";
    let mut transition = described_update(up, described(&[], &[], &[]), described(&["~1.2", "~1.1"], &[], &[]));
    let middle = node("a single 1.1.0").version;
    transition.known.middle.insert(middle.clone());
    for (reads, holds) in [("~1.0", true), ("~0.9", false)] {
        let state = described(&["~1.1", reads], &[], &[]);
        transition.known.states.insert(middle.digest, state);
        assert_eq!(checked(&transition, false).is_ok(), holds, "{reads}");
    }
}

#[test]
fn r04_a_module_that_is_added_takes_up_what_was_kept_under_its_name() {
    let transition = by_default("b pool 1.0.0", "b pool 1.0.0\n a single 2.0.0");
    let mut known = Known::default();
    let after = transition.new.nodes["a"].version.digest;
    known.states.insert(after, described(&["~2.0"], &[], &[]));
    known.saved.push(saved("a single 1.0.0", 1));
    let refusals = checked(&transition.knowing(known), false).expect_err("is refused");
    assert_eq!(refusals[0].code, RefusalCode::StateUnreadable);
}

#[test]
fn r30_a_field_that_nobody_says_is_gone_is_lost() {
    let old = || described(&["~1.0"], &[], &["n", "names"]);
    let silent = described_update(UPDATE, old(), described(&[">=1.0, <2"], &[], &["n"]));
    insta::assert_snapshot!(lines(&checked(&silent, false).expect_err("is refused")), @r#"
    The state of `a` loses `names`: 1.2.0 has no such field, and reads 1.0.0 as its own format.
      help: give 1.0.0 an entry in `reads` of its own with a conversion, or allow it with `--allow-lossy`
    "#);
    assert_eq!(checked(&silent, true).expect("may run").lossy.len(), 1);
    let said = described_update(UPDATE, old(), described(&["~1.2", "~1.0"], &[], &["n"]));
    assert_eq!(checked(&said, false).expect("may run").lossy.len(), 0);
}

/// The graph with imports of the host.
fn wanting(mut graph: Graph, module: &str, interfaces: &[&str]) -> Graph {
    let node: &mut Node = graph.nodes.get_mut(module).expect("is there");
    let mut interface = (*node.interface).clone();
    interface.capabilities = interfaces.iter().map(|one| (*one).to_owned()).collect();
    node.interface = Arc::new(interface);
    graph
}

#[test]
fn r08_a_version_that_newly_wants_the_network_is_refused_unless_that_is_settled() {
    let mut transition = by_default("a single 1.0.0", "a single 1.1.0");
    transition.old = wanting(transition.old, "a", &["wasi:sockets/tcp@0.2.0"]);
    let wants = [
        "wasi:sockets/tcp@0.2.0",
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:filesystem/types@0.2.0",
        "wasi:clocks/wall-clock@0.2.0",
    ];
    transition.new = wanting(transition.new, "a", &wants);
    assert!(checked(&transition, false).expect("is not judged").warnings.is_empty());
    transition.known.grant(&name("a"), &Grants::default());
    insta::assert_snapshot!(lines(&checked(&transition, false).expect_err("is refused")), @r#"
    `a` 1.1.0 newly imports `wasi:http`, which the release does not grant it.
      help: grant it, under `[[modules]] name = "a"`: `[modules.grants]` `http = ["https://api.example.com"]`; or say that it does without: `denied = ["http"]`, `wasmhot apply FILE --deny http`
    "#);
    let denied = Grants {
        denied: BTreeSet::from([Capability::Http]),
        ..Grants::default()
    };
    transition.known.grant(&name("a"), &denied);
    assert!(checked(&transition, false).expect("may run").warnings.is_empty());
    let granted = Grants {
        http: vec!["https://example.com".parse().expect("a place")],
        ..Grants::default()
    };
    transition.known.grant(&name("a"), &granted);
    // R32: what it writes there is not part of what moves.
    let warnings = checked(&transition, false).expect("may run").warnings;
    assert_eq!(warnings[0].code, WarningCode::WritesOutside);
    insta::assert_snapshot!(lines(&warnings), @"`a` also writes outside of its state: wasi:http. What it leaves there is not taken back with it.");
}

#[test]
fn r08_the_first_version_of_a_module_may_import_what_it_wants() {
    let mut transition = by_default("", "a pool 1.0.0");
    transition.new = wanting(
        transition.new,
        "a",
        &["wasi:sockets/tcp@0.2.0", "wasi:http/outgoing-handler@0.2.0"],
    );
    transition.known.grant(&name("a"), &Grants::default());
    assert!(checked(&transition, false).is_ok());
}

pub(super) fn open(text: &str) -> Open {
    let graph = graph(text);
    let wiring = graph.resolve().0;
    Open { graph, wiring }
}

#[test]
fn r07_calls_open_in_an_older_release_are_waited_for() {
    let old = "web pool 1.1.0\n cart pool 1.1.0\n orders single 1.0.0 + place(u32)";
    let new = "web pool 1.1.0\n cart pool 1.1.0\n orders single 1.1.0 + place(u64)";
    let mut transition = by_default(old, new);
    let gated = |transition: &Transition| -> String {
        let gated = checked(transition, false).expect("may run").gated;
        gated.iter().map(ModuleName::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(gated(&transition), "orders");
    let older =
        "web pool 1.0.0 - add(u32)\n cart pool 1.0.0 + add(u32) - place(u32)\n orders single 1.0.0 + place(u32)";
    transition.known.open.push(open(older));
    assert_eq!(gated(&transition), "cart orders web");
    let warnings = checked(&transition, false).expect("may run").warnings;
    assert_eq!(warnings[0].code, WarningCode::OpenCalls);
    insta::assert_snapshot!(lines(&warnings), @"Calls that began in `cart` 1.0.0 may still be open and import `place` as `func(p0: u32)`, but `orders` 1.1.0 exports it as `func(p0: u64)`: the upgrade waits for them.");
}

#[test]
fn r07_an_edge_that_was_broken_before_is_waited_for_no_more() {
    let mut transition = by_default(
        "orders single 1.1.0 + place(u64)",
        "orders single 1.2.0 + place(string)",
    );
    transition
        .known
        .open
        .push(open("cart pool 1.0.0 - place(u32)\n orders single 1.0.0 + place(u32)"));
    let checked = checked(&transition, false).expect("may run");
    assert_eq!((checked.gated.len(), checked.warnings.len()), (1, 0));
}

#[test]
fn r20_an_older_call_goes_on_in_newer_code_behind_a_stateful_module() {
    // `y` stays; what it calls since 1.1.0 is what a call from the older `web` can still reach through it.
    let of = |cart: &str, of: &str| {
        format!(
            "web pool 1.1.0\n y single 1.1.0 + y() - add()\n cart pool {cart} + add() - place({of})\n orders single {cart} + place({of})"
        )
    };
    let mut transition = by_default(&of("1.0.0", "u32"), &of("1.1.0", "u64"));
    let gated = |transition: &Transition| checked(transition, false).expect("may run").gated;
    let names = |names: &[&str]| names.iter().map(|text| name(text)).collect::<BTreeSet<_>>();
    assert_eq!(gated(&transition), names(&["cart", "orders", "y"]));
    let older = "web pool 1.0.0 - y()\n y single 1.0.0 + y()\n orders single 1.0.0 + place(u32)";
    transition.known.open.push(open(older));
    assert_eq!(gated(&transition), names(&["cart", "orders", "web", "y"]));
}

#[test]
fn r07_a_call_that_started_on_a_key_goes_on_in_old_code() {
    // Nobody waits for it when its module goes, so the next upgrade does.
    let mut transition = by_default("orders single 1.0.0 + place(u32)", "orders single 1.1.0 + place(u64)");
    let older = "room keyed 1.0.0 + say(string) - place(u32)\n orders single 1.0.0 + place(u32)";
    transition.known.open.push(open(older));
    let gated = checked(&transition, false).expect("may run").gated;
    assert_eq!(gated, BTreeSet::from([name("orders"), name("room")]));
}

#[test]
fn what_is_known_survives_json() {
    let mut transition = described_update(UPDATE, described(&["~1.0"], &["1.2"], &["n"]), described(&[], &[], &[]));
    transition.known.saved.push(saved("a single 1.0.3", 1));
    transition.known.middle.insert(node("a single 1.1.0").version);
    transition
        .known
        .open
        .push(open("cart pool 1.0.0 - place(u32)\n orders single 1.0.0 + place(u32)"));
    let granted = BTreeSet::from([Capability::Filesystem]);
    transition.known.granted.insert(name("a"), granted);
    let json = serde_json::to_string(&transition).expect("serialises");
    assert_eq!(serde_json::from_str::<Transition>(&json).expect("is read"), transition);
    // What was written before there was anything to know is read too.
    let mut old: serde_json::Value = serde_json::from_str(&json).expect("is JSON");
    old.as_object_mut().expect("a table").remove("known");
    let read: Transition = serde_json::from_value(old).expect("is read");
    assert_eq!(read.known, Known::default());
}
