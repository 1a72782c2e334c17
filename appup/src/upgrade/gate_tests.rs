//! The gated set against another way to find it: walking forward, frame by frame, from every call that may have started.

use super::check;
use super::tests::by_default;
use crate::graph::Wiring;
use crate::name::ModuleName;
use crate::settings::Kind;
use crate::upgrade::{CheckOptions, Transition};
use proptest::prelude::*;
use std::collections::BTreeSet;

const MODULES: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Stays,
    Compatible,
    OtherType,
    Goes,
}

#[derive(Clone, Debug)]
struct Shape {
    kind: &'static str,
    change: Change,
    /// Which of the later modules it imports.
    imports: [bool; MODULES],
}

fn shape() -> impl Strategy<Value = Shape> {
    let kind = prop_oneof![4 => Just("pool"), 3 => Just("single"), 1 => Just("keyed")];
    let change = prop_oneof![
        3 => Just(Change::Stays),
        2 => Just(Change::Compatible),
        2 => Just(Change::OtherType),
        1 => Just(Change::Goes),
    ];
    let imports = prop::array::uniform6(prop::bool::weighted(0.4));
    (kind, change, imports).prop_map(|(kind, change, imports)| Shape { kind, change, imports })
}

/// Old and new graph in which every caller of what changes its type or goes is moved too.
fn transition(shapes: &[Shape]) -> Transition {
    let text = |new: bool| -> String {
        let line = |(place, shape): (usize, &Shape)| {
            let of = |callee: &Shape| {
                if new && callee.change == Change::OtherType {
                    "u64"
                } else {
                    "u32"
                }
            };
            let mut moved = shape.change != Change::Stays;
            let mut imports = String::new();
            for callee in (place + 1..shapes.len()).filter(|callee| shape.imports[*callee]) {
                moved |= matches!(shapes[callee].change, Change::OtherType | Change::Goes);
                if !(new && shapes[callee].change == Change::Goes) {
                    imports.push_str(&format!(" f{callee}(string,{})", of(&shapes[callee])));
                }
            }
            let version = if new && moved { "1.1.0" } else { "1.0.0" };
            format!(
                "m{place} {} {version} + f{place}(string,{}) -{imports}\n",
                shape.kind,
                of(shape)
            )
        };
        let lines = shapes
            .iter()
            .enumerate()
            .filter(|(_, shape)| !(new && shape.change == Change::Goes));
        lines.map(line).collect()
    };
    by_default(&text(false), &text(true))
}

struct Oracle<'t> {
    transition: &'t Transition,
    wiring: Wiring,
}

impl Oracle<'_> {
    fn kind(&self, module: &ModuleName) -> Kind {
        self.transition.old.nodes[module].kind
    }

    fn moved(&self, module: &ModuleName) -> bool {
        let (old, new) = (
            &self.transition.old.nodes[module],
            self.transition.new.nodes.get(module),
        );
        new.is_none_or(|new| new.version != old.version)
    }

    /// The callees of old code, each with whether the new version of the callee still offers what is called.
    fn calls(&self, module: &ModuleName) -> impl Iterator<Item = (&ModuleName, bool)> {
        self.wiring
            .links
            .get(module)
            .into_iter()
            .flatten()
            .map(|(imported, link)| {
                let wanted = &self.transition.old.nodes[module].interface.imports[imported];
                let new = self.transition.new.nodes.get(&link.callee);
                let offered = new.and_then(|node| node.interface.exports.get(imported));
                (&link.callee, offered == Some(wanted))
            })
    }

    /// True if no call that started in a module outside of `gated` before the switch can, after it, call a new version by an
    /// old type. Such a call meets old pools and stateful modules that stay (R20); in a stateful module that moves it
    /// goes on with new code.
    fn safe(&self, gated: &BTreeSet<ModuleName>) -> bool {
        let mut frames: Vec<&ModuleName> = self
            .transition
            .old
            .nodes
            .keys()
            .filter(|module| !gated.contains(*module))
            .collect();
        let mut seen: BTreeSet<&ModuleName> = frames.iter().copied().collect();
        while let Some(frame) = frames.pop() {
            for (callee, fits) in self.calls(frame) {
                let hands_over = self.kind(callee).keeps_state() && self.moved(callee);
                if hands_over && !fits {
                    return false;
                }
                if !hands_over && seen.insert(callee) {
                    frames.push(callee);
                }
            }
        }
        true
    }

    /// Gated for its own sake: it hands over all its state at once, or is keyed and an edge into it breaks.
    fn own(&self, module: &ModuleName) -> bool {
        let broken = || {
            let mut callers = self.transition.old.nodes.keys();
            callers.any(|caller| self.calls(caller).any(|(callee, fits)| callee == module && !fits))
        };
        self.moved(module)
            && match self.kind(module) {
                Kind::Pool => false,
                Kind::Single => true,
                Kind::Keyed => broken(),
            }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn r22_the_gated_set_suffices_and_is_minimal(shapes in prop::collection::vec(shape(), 1..=MODULES)) {
        let transition = transition(&shapes);
        let wiring = transition.old.resolve().0;
        let checked = check(&transition, &wiring, &CheckOptions::default());
        let gated = checked.map_err(|refusals| TestCaseError::fail(crate::fixture::lines(&refusals)))?.gated;
        let oracle = Oracle { transition: &transition, wiring };
        prop_assert!(oracle.safe(&gated), "{gated:?} is too small");
        for module in transition.old.nodes.keys().filter(|module| oracle.own(module)) {
            prop_assert!(gated.contains(module), "{module} hands over ungated");
        }
        for module in gated.iter().filter(|module| !oracle.own(module)) {
            let mut fewer = gated.clone();
            fewer.remove(module);
            prop_assert!(!oracle.safe(&fewer), "{module} need not be in {gated:?}");
        }
    }
}
