//! What is checked beyond the two graphs: states (R4), grants (R8), calls open in older releases (R7).

use super::tests::{by, by_default};
use crate::capability::Capability;
use crate::description::StateDescription;
use crate::fixture::{graph, lines, name, node};
use crate::graph::{Graph, Node};
use crate::name::ModuleName;
use crate::refusal::{Refusal, RefusalCode, WarningCode};
use crate::upgrade::{CheckOptions, Checked, Known, Open, Transition, check};
use proptest::prelude::*;
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

#[test]
fn r04_every_saved_state_has_to_be_readable() {
    let mut transition = described_update(UPDATE, described(&[], &[], &[]), described(&["~1.2", "~1.0"], &[], &[]));
    let saved = |text: &str| node(text).version;
    transition.known.saved = BTreeSet::from([saved("a single 1.0.3"), saved("b single 0.1.0")]);
    assert!(checked(&transition, false).is_ok());
    transition.known.saved.insert(saved("a single 0.9.0"));
    let refusals = checked(&transition, false).expect_err("is refused");
    assert_eq!(refusals[0].code, RefusalCode::StateUnreadable);
    assert!(
        refusals[0].message.contains("a@0.9.0 (a saved state)"),
        "{}",
        refusals[0]
    );
    // A version of which nothing is known is found out by trying.
    transition.known.states.clear();
    assert!(checked(&transition, false).is_ok());
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
    known.saved.insert(node("a single 1.0.0").version);
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
fn r08_what_is_newly_wanted_has_to_be_granted() {
    let mut transition = by_default("a single 1.0.0", "a single 1.1.0");
    transition.old = wanting(transition.old, "a", &["wasi:sockets/tcp@0.2.0"]);
    let wants = [
        "wasi:sockets/tcp@0.2.0",
        "wasi:filesystem/types@0.2.0",
        "wasi:clocks/wall-clock@0.2.0",
    ];
    transition.new = wanting(transition.new, "a", &wants);
    assert!(checked(&transition, false).expect("is not judged").warnings.is_empty());
    transition.known.granted.insert(name("a"), BTreeSet::new());
    insta::assert_snapshot!(lines(&checked(&transition, false).expect_err("is refused")), @r#"
    `a` 1.1.0 newly imports `wasi:filesystem`, which the release does not grant it.
      help: grant it under `[modules.grants]` of `a`, or take a version that does without
    "#);
    let granted = BTreeSet::from([Capability::Filesystem]);
    transition.known.granted.insert(name("a"), granted);
    // R32: what it writes there is not part of what moves.
    let warnings = checked(&transition, false).expect("may run").warnings;
    assert_eq!(warnings[0].code, WarningCode::WritesOutside);
    insta::assert_snapshot!(lines(&warnings), @"`a` also writes outside of its state: wasi:filesystem. What it leaves there is not taken back with it.");
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

pub(super) const MODULES: usize = 5;

/// One module in one release: whether it is there, its type, whom of the later modules it imports.
pub(super) type Shape = (bool, u8, [bool; MODULES]);

pub(super) fn releases() -> impl Strategy<Value = (Vec<&'static str>, Vec<Vec<Shape>>)> {
    let kind = prop_oneof![4 => Just("pool"), 3 => Just("single"), 1 => Just("keyed")];
    let shape = (
        prop::bool::weighted(0.85),
        0..2_u8,
        prop::array::uniform5(prop::bool::weighted(0.4)),
    );
    let release = prop::collection::vec(shape, MODULES);
    // What does not change is what makes trees live on: so most modules are as in the release before.
    let kept = prop::collection::vec(prop::bool::weighted(0.6), MODULES);
    let releases = prop::collection::vec((release, kept), 2..=4);
    (prop::collection::vec(kind, MODULES), releases).prop_map(|(kinds, drawn)| {
        let mut all: Vec<Vec<Shape>> = Vec::new();
        for (mut release, kept) in drawn {
            if let Some(before) = all.last() {
                for place in (0..MODULES).filter(|place| kept[*place]) {
                    release[place] = before[place];
                }
            }
            all.push(release);
        }
        (kinds, all)
    })
}

pub(super) fn text_of(kinds: &[&str], release: &[Shape]) -> String {
    let of = |place: usize| if release[place].1 == 0 { "u32" } else { "u64" };
    let mut text = String::new();
    for (place, (there, _, imports)) in release.iter().enumerate().filter(|(_, shape)| shape.0) {
        assert!(*there);
        let imported = (place + 1..MODULES).filter(|callee| imports[*callee] && release[*callee].0);
        let imports: String = imported
            .map(|callee| format!(" f{callee}(string,{})", of(callee)))
            .collect();
        text.push_str(&format!(
            "m{place} {} 1.0.0 + f{place}(string,{}) -{imports}\n",
            kinds[place],
            of(place)
        ));
    }
    text
}

/// Walks forward, from every call that may have started in any release, to the calls that it may still make.
struct Forward<'t> {
    transition: &'t Transition,
    releases: Vec<Open>,
}

type Frame<'f> = (usize, &'f ModuleName);

impl Forward<'_> {
    fn moved(&self, module: &ModuleName) -> bool {
        self.transition.old.nodes.get(module) != self.transition.new.nodes.get(module)
    }

    /// A new call to a stateful module meets its one live version.
    fn lives(&self, (release, module): Frame<'_>) -> bool {
        let node = &self.releases[release].graph.nodes[module];
        let later = self.releases[release..].iter();
        !node.keeps_state() || later.clone().all(|later| later.graph.nodes.get(module) == Some(node))
    }

    /// Calls that have started on a key go on in old code.
    fn is_keyed(&self, (release, module): Frame<'_>) -> bool {
        self.releases[release].graph.nodes[module].kind == crate::Kind::Keyed
    }

    /// A frame's calls: the callee, whether it breaks in this upgrade, and the frames on old code in which it may go on.
    fn calls(&self, (release, module): Frame<'_>) -> Vec<(&ModuleName, bool, Vec<Frame<'_>>)> {
        let Open { graph, wiring } = &self.releases[release];
        let links = wiring.links.get(module).into_iter().flatten();
        let call = |(imported, link): (&crate::FunctionName, &'_ crate::Link)| {
            let callee = graph.nodes.get_key_value(&link.callee).expect("is linked").0;
            if !graph.nodes[callee].keeps_state() {
                return (callee, false, vec![(release, callee)]);
            }
            let wanted = &graph.nodes[module].interface.imports[imported];
            let has = |graph: &Graph| {
                graph
                    .nodes
                    .get(callee)
                    .and_then(|node| node.interface.exports.get(imported))
                    == Some(wanted)
            };
            if self.transition.old.nodes.contains_key(callee) && self.moved(callee) {
                return (callee, has(&self.transition.old) && !has(&self.transition.new), vec![]);
            }
            let lives =
                |later: &usize| self.releases[*later].graph.nodes.contains_key(callee) && self.lives((*later, callee));
            let frames = (release..self.releases.len())
                .filter(lives)
                .map(|later| (later, callee))
                .collect();
            (callee, false, frames)
        };
        links.map(call).collect()
    }

    fn frames(&self) -> Vec<Frame<'_>> {
        let all = self.releases.iter().enumerate();
        all.flat_map(|(release, open)| open.graph.nodes.keys().map(move |module| (release, module)))
            .filter(|frame| self.lives(*frame) || self.is_keyed(*frame))
            .collect()
    }

    fn safe(&self, gated: &BTreeSet<ModuleName>) -> bool {
        let mut waiting: Vec<Frame<'_>> = self
            .frames()
            .into_iter()
            .filter(|(_, module)| !gated.contains(*module))
            .collect();
        let mut seen: BTreeSet<Frame<'_>> = waiting.iter().copied().collect();
        while let Some(frame) = waiting.pop() {
            for (_, breaks, next) in self.calls(frame) {
                if breaks {
                    return false;
                }
                waiting.extend(next.into_iter().filter(|next| seen.insert(*next)));
            }
        }
        true
    }

    /// Gated for its own sake: it hands its state over, or an edge into it breaks.
    fn own(&self, module: &ModuleName) -> bool {
        let Some(node) = self.transition.old.nodes.get(module) else {
            return false;
        };
        let broken = || {
            let frames = self.frames().into_iter();
            frames
                .flat_map(|frame| self.calls(frame))
                .any(|(callee, breaks, _)| breaks && callee == module)
        };
        self.moved(module) && node.keeps_state() && (node.kind == crate::Kind::Single || broken())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn r07_r20_r21_r22_also_with_calls_open_in_older_releases_the_gated_set_suffices_and_is_minimal((kinds, shapes) in releases()) {
        let mut all: Vec<Open> = shapes.iter().map(|release| open(&text_of(&kinds, release))).collect();
        let new = all.pop().expect("at least two").graph;
        let old = all.last().expect("at least one").clone();
        let moves = crate::default_moves(&old.graph, &new);
        let known = Known { open: all[..all.len() - 1].to_vec(), ..Known::default() };
        let transition = Transition::new(old.graph, new, moves).knowing(known);
        let checked = check(&transition, &old.wiring, &CheckOptions::default());
        let gated = checked.map_err(|refusals| TestCaseError::fail(lines(&refusals)))?.gated;
        let forward = Forward { transition: &transition, releases: all };
        prop_assert!(forward.safe(&gated), "{gated:?} is too small");
        let every: BTreeSet<ModuleName> = forward.frames().into_iter().map(|(_, module)| module.clone()).collect();
        for module in every.iter().filter(|module| forward.own(module)) {
            prop_assert!(gated.contains(module), "{module} hands over ungated");
        }
        for module in gated.iter().filter(|module| !forward.own(module)) {
            let mut fewer = gated.clone();
            fewer.remove(module);
            prop_assert!(!forward.safe(&fewer), "{module} need not be in {gated:?}");
        }
    }
}
