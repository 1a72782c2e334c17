use super::{DropOutcome, candidate, settle_drops};
use crate::fixture::{graph, lines, name};
use crate::graph::{Graph, Node, Wiring};
use crate::name::{Digest, ModuleName, Version};
use crate::refusal::RefusalCode;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn settle(current: &Graph, dropped: &str) -> DropOutcome {
    settle_drops(current, &current.resolve().0, &graph(dropped).nodes)
}

/// Groups as text: `a b, c`.
fn groups(outcome: &DropOutcome) -> String {
    let part = |part: &BTreeSet<ModuleName>| part.iter().map(ModuleName::as_str).collect::<Vec<_>>().join(" ");
    outcome.groups.iter().map(part).collect::<Vec<_>>().join(", ")
}

#[test]
fn r34_the_highest_version_is_the_candidate() {
    let file = |version: &str, byte| {
        (
            Version::parse(version).expect("a version"),
            Digest::from_bytes([byte; 32]),
        )
    };
    let files = [
        file("1.9.0", 1),
        file("1.10.0", 2),
        file("1.10.0-rc.1", 3),
        file("1.2.0", 4),
    ];
    assert_eq!(candidate(&files), Some(&files[1]));
    assert_eq!(candidate(&[]), None);
    // Of equal precedence the last: the digest in `0.0.0+…` says nothing about age.
    let files = [file("0.0.0+fff", 1), file("0.0.0+000", 2)];
    assert_eq!(candidate(&files), Some(&files[1]));
}

const CURRENT: &str =
    "cart pool 1.0.0 - place(u32)\n orders single 1.0.0 + place(u32)\n web pool 1.0.0\n log pool 1.0.0";

#[test]
fn r35_what_fits_moves_and_what_fits_only_with_another_waits() {
    let current = graph(CURRENT);
    let half = settle(&current, "orders single 1.1.0 + place(u64)\n web pool 1.1.0");
    assert_eq!(groups(&half), "web");
    let why = &half.pending[&name("orders")];
    assert_eq!(why[0].code, RefusalCode::TypeMismatch);
    insta::assert_snapshot!(lines(why), @r#"
    `cart` 1.0.0 imports `place` as `func(p0: u32)`, but `orders` 1.1.0 exports it as `func(p0: u64)`.
      help: move `cart` and `orders` in one upgrade to versions that agree, or let `orders` export the old interface version beside the new one
    "#);
    let whole = settle(
        &current,
        "orders single 1.1.0 + place(u64)\n cart pool 1.1.0 - place(u64)\n web pool 1.1.0",
    );
    assert_eq!((groups(&whole).as_str(), whole.pending.len()), ("cart orders, web", 0));
}

#[test]
fn r35_what_fits_by_itself_moves_by_itself() {
    let outcome = settle(
        &graph(CURRENT),
        "orders single 1.1.0 + place(u32) more()\n cart pool 1.1.0 - place(u32)",
    );
    assert_eq!(groups(&outcome), "cart, orders");
}

#[test]
fn r35_a_new_caller_brings_its_callee() {
    let outcome = settle(
        &graph(CURRENT),
        "new pool 1.0.0 + n()\n web pool 1.1.0 - n()\n log pool 1.1.0 - gone()",
    );
    assert_eq!(groups(&outcome), "new web");
    assert_eq!(outcome.pending[&name("log")][0].code, RefusalCode::MissingProvider);
}

#[test]
fn r35_of_two_that_exclude_each_other_the_first_moves() {
    // Each fits what runs; together they do not.
    let current = graph("a pool 1.0.0 + f(u32)\n b pool 1.0.0");
    let outcome = settle(&current, "a pool 1.1.0 + f(u64)\n b pool 1.1.0 - f(u32)");
    assert_eq!((groups(&outcome).as_str(), outcome.pending.len()), ("a", 1));
}

#[test]
fn r35_a_function_may_change_its_home() {
    let current = graph("a pool 1.0.0 + f()\n b pool 1.0.0\n c pool 1.0.0 - f()");
    let moved = settle(&current, "a pool 1.1.0\n b pool 1.1.0 + f()");
    assert_eq!(groups(&moved), "a b");
}

#[test]
fn what_runs_already_is_no_candidate() {
    let current = graph(CURRENT);
    assert_eq!(settle(&current, CURRENT), DropOutcome::default());
    assert_eq!(settle(&current, ""), DropOutcome::default());
}

#[test]
fn at_a_first_start_all_are_candidates() {
    let outcome = settle(&Graph::default(), CURRENT);
    assert_eq!(groups(&outcome), "cart orders, log, web");
}

/// What a random module imports and exports: types by number, 0 is none.
pub(crate) type Shape = (bool, [u8; 3], [u8; 3]);

fn module(place: usize, version: &str, (single, exports, imports): Shape, spread: bool) -> String {
    let mut text = format!("m{place} {} {version} +", if single { "single" } else { "pool" });
    let of = |number: u8| if number == 1 { "u32" } else { "u64" };
    for (function, number) in exports.into_iter().enumerate().filter(|(_, number)| *number > 0) {
        // Spread: any module may export any function. Otherwise each function has one home.
        let home = if spread { String::new() } else { format!("m{place}") };
        text.push_str(&format!(" {home}f{function}({})", of(number)));
    }
    text.push_str(" -");
    for (function, number) in imports.into_iter().enumerate().filter(|(_, number)| *number > 0) {
        let home = if spread {
            String::new()
        } else {
            format!("m{}", (place + 1 + function) % 4)
        };
        text.push_str(&format!(" {home}f{}({})", function % 2, of(number)));
    }
    text
}

/// Shapes of what runs and what is dropped, four to six modules each: much is exported and little imported, or hardly
/// anything would fit.
pub(crate) fn shapes() -> impl Strategy<Value = Vec<Pair>> {
    let exports = || prop::array::uniform3(prop_oneof![1 => Just(0_u8), 6 => Just(1), 2 => Just(2)]);
    let imports = || prop::array::uniform3(prop_oneof![6 => Just(0_u8), 3 => Just(1), 1 => Just(2)]);
    let shape = move || (prop::bool::weighted(0.2), exports(), imports());
    prop::collection::vec((shape(), prop::option::weighted(0.8, shape())), 4..=6)
}

pub(crate) type Pair = (Shape, Option<Shape>);

/// A running graph that fits (imports that do not are left out), and candidates.
pub(crate) fn world(shapes: &[Pair], spread: bool) -> (Graph, BTreeMap<ModuleName, Node>) {
    let lines = |version, of: &dyn Fn(&Pair) -> Option<Shape>| -> String {
        let line = |(place, pair)| of(pair).map(|shape| module(place, version, shape, spread) + "\n");
        shapes.iter().enumerate().filter_map(line).collect()
    };
    let mut current = graph(&lines("1.0.0", &|pair| Some(pair.0)));
    while let Some(refusal) = current.resolve().1.first() {
        let faulty = refusal.modules[0].clone();
        current.nodes.remove(&faulty);
    }
    (current, graph(&lines("1.1.0", &|pair| pair.1)).nodes)
}

fn fits(
    current: &Graph,
    wiring: &Wiring,
    candidates: &BTreeMap<ModuleName, Node>,
    moving: &BTreeSet<ModuleName>,
) -> bool {
    let mut graph = current.clone();
    graph
        .nodes
        .extend(moving.iter().map(|name| (name.clone(), candidates[name].clone())));
    graph.resolve_from(wiring).1.is_empty()
}

/// Every subset.
fn subsets(of: &[ModuleName]) -> impl Iterator<Item = BTreeSet<ModuleName>> {
    (0..1_usize << of.len()).map(|bits| {
        let chosen = of.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1);
        chosen.map(|(_, name)| name.clone()).collect()
    })
}

fn check_outcome(shapes: &[Pair], spread: bool) -> Result<(), TestCaseError> {
    let (current, candidates) = world(shapes, spread);
    let wiring = current.resolve().0;
    let outcome = settle_drops(&current, &wiring, &candidates);
    let moving: BTreeSet<ModuleName> = outcome.groups.iter().flatten().cloned().collect();
    // Every candidate is in just one place, and what waits knows why.
    prop_assert_eq!(outcome.groups.iter().map(BTreeSet::len).sum::<usize>(), moving.len());
    prop_assert!(outcome.pending.keys().all(|name| !moving.contains(name)));
    prop_assert_eq!(moving.len() + outcome.pending.len(), candidates.len());
    prop_assert!(outcome.pending.values().all(|why| !why.is_empty()));
    // No step leaves an edge that does not fit.
    let mut moved = BTreeSet::new();
    for group in &outcome.groups {
        moved.extend(group.iter().cloned());
        prop_assert!(fits(&current, &wiring, &candidates, &moved), "{:?} does not fit", moved);
    }
    // No larger set would fit.
    let names: Vec<ModuleName> = candidates.keys().cloned().collect();
    for larger in subsets(&names).filter(|set| set.is_superset(&moving) && set.len() > moving.len()) {
        prop_assert!(
            !fits(&current, &wiring, &candidates, &larger),
            "{:?} would fit, not just {:?}",
            larger,
            moving
        );
    }
    if spread {
        return Ok(());
    }
    // The parts are independent: any of them may move without the others.
    for parts in 0..1_usize << outcome.groups.len() {
        let chosen = outcome
            .groups
            .iter()
            .enumerate()
            .filter(|(place, _)| parts >> place & 1 == 1);
        let moved: BTreeSet<ModuleName> = chosen.flat_map(|(_, part)| part.iter().cloned()).collect();
        prop_assert!(
            fits(&current, &wiring, &candidates, &moved),
            "{:?} does not fit alone",
            moved
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn r35_as_much_as_can_moves_and_no_edge_is_left_unfit(shapes in shapes()) {
        check_outcome(&shapes, false)?;
    }

    #[test]
    fn r35_also_where_several_modules_may_serve_a_function(shapes in shapes()) {
        check_outcome(&shapes, true)?;
    }
}
