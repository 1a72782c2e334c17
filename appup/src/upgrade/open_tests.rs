//! Calls open in older releases (R7): the gated set against another way to find it, forward from every call that may have started.

use super::known_tests::open;
use crate::fixture::lines;
use crate::graph::Graph;
use crate::name::ModuleName;
use crate::upgrade::{CheckOptions, Known, Open, Transition, check};
use proptest::prelude::*;
use std::collections::BTreeSet;

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
    #![proptest_config(ProptestConfig::with_cases(5000))]

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
